package project

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/durable"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/plugin/document"
	"github.com/sallyport-dev/sallyport/plugin/inspect"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
)

// Options say how to build.
type Options struct {
	Out       string                 // the file to write; "": NAME.wasm in the project's folder
	Wasm      string                 // a module that something else built, in place of running a toolchain
	Toolchain string                 // what built Wasm; "": nobody says
	Revision  *string                // of the source; nil: what git says of the folder
	Log       io.Writer              // what the toolchain says
	Engine    func() ([]byte, error) // runs policies in JavaScript; nil: there is none
}

// Built is a plugin that was built.
type Built struct {
	Path     string
	Wasm     []byte
	Manifest *manifest.Manifest
	Report   *inspect.Report
}

// Digest is the SHA-256 of the file, in hexadecimal.
func (b *Built) Digest() string {
	digest := sha256.Sum256(b.Wasm)
	return hex.EncodeToString(digest[:])
}

// Build builds a project: it compiles the policy and puts the manifest into it, with the cases as its self-test. The file is
// replaced in one step. Problems of the manifest and of the cases are document.Problems.
func Build(ctx context.Context, dir string, o Options) (*Built, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("finding the project: %w", err)
	}
	source, err := ReadManifest(dir)
	if err != nil { // before the toolchain is asked, which takes long
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "sallyport-build-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(scratch) }() // what is left is in nobody's way
	wasm, toolchain, err := compile(ctx, dir, scratch, o)
	if err != nil {
		return nil, fmt.Errorf("building %s: %w", dir, err)
	}
	m, wasm, err := seal(source, wasm, toolchain, o.revision(ctx, dir))
	if err != nil {
		return nil, err
	}
	report, err := inspect.Module(wasm)
	if err != nil {
		return nil, fmt.Errorf("looking into what was built: %w", err)
	}
	if len(report.Problems) > 0 {
		return nil, fmt.Errorf("what was built would not work: %s", strings.Join(report.Problems, "; "))
	}
	out := o.Out
	if out == "" {
		out = filepath.Join(dir, m.Name+".wasm")
	}
	if err := replace(out, wasm); err != nil {
		return nil, fmt.Errorf("writing the plugin: %w", err)
	}
	return &Built{Path: out, Wasm: wasm, Manifest: m, Report: report}, nil
}

// compile returns the module, and what compiled it.
func compile(ctx context.Context, dir, scratch string, o Options) (wasm []byte, toolchain string, err error) {
	if o.Wasm != "" {
		wasm, err = os.ReadFile(o.Wasm)
		return wasm, o.Toolchain, err
	}
	l, err := languageOf(dir)
	if err != nil {
		return nil, "", err
	}
	b := &build{
		ctx: ctx, dir: dir, sdk: filepath.Join(dir, SDKFolder), scratch: scratch, out: filepath.Join(scratch, "policy.wasm"), log: o.Log,
		engine: o.Engine,
	}
	if b.log == nil {
		b.log = io.Discard
	}
	if _, err := os.Stat(b.sdk); errors.Is(err, fs.ErrNotExist) { // a project without a copy of its own
		if b.sdk, err = unpack(scratch, l.sdk); err != nil {
			return nil, "", err
		}
	}
	if toolchain, err = l.build(b); err != nil {
		return nil, "", err
	}
	wasm, err = os.ReadFile(b.out)
	return wasm, toolchain, err
}

// unpack writes the SDK that comes with this program.
func unpack(scratch, folder string) (string, error) {
	sdks, err := SDKs()
	if err != nil {
		return "", err
	}
	to := filepath.Join(scratch, "sdk")
	if _, err := fs.Stat(sdks, folder); err != nil {
		return to, nil // the language has none
	}
	return to, copySDK(sdks, folder, to)
}

// ReadManifest reads a project's manifest.yaml and cases.yaml into one document, in which what the build adds is missing.
func ReadManifest(dir string) (*document.Document, error) {
	text, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s %w: there is no %s", dir, ErrNoProject, ManifestFile)
	}
	if err != nil {
		return nil, err
	}
	d, err := document.ReadYAML(text)
	if err == nil {
		err = checkSource(d)
	}
	if err != nil {
		return nil, in(ManifestFile, err)
	}
	members, _ := d.Value.(map[string]any)
	if members["abi"] == nil {
		d.Set("abi", abi.Version)
	}
	m, err := manifest.FromDocument(d) // so that its problems come with its lines
	if err != nil {
		return nil, in(ManifestFile, err)
	}
	tests, err := readTests(dir, m)
	if err != nil || tests == nil {
		return d, err
	}
	d.Set("tests", tests)
	return d, nil
}

// checkSource refuses what the build itself puts into a manifest.
func checkSource(d *document.Document) error {
	members, ok := d.Value.(map[string]any)
	if !ok {
		return document.Problems{{Line: 1, Message: "must be a mapping"}}
	}
	var problems document.Problems
	for name, message := range map[string]string{
		"tests":     "stand in " + CasesFile,
		"toolchain": "is filled in by the build",
		"revision":  "is filled in by the build",
	} {
		if _, there := members[name]; there {
			problems = append(problems, document.Problem{Line: d.Line("/" + name), Pointer: "/" + name, Message: message})
		}
	}
	if len(problems) == 0 {
		return nil
	}
	problems.Sort()
	return problems
}

// readTests returns the cases that go into the module, nil if there are none.
func readTests(dir string, m *manifest.Manifest) (any, error) {
	text, err := os.ReadFile(filepath.Join(dir, CasesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if _, err := cases.Read(CasesFile, text, m.OnlyHook()); err != nil {
		return nil, err
	}
	d, err := document.ReadYAML(text)
	if err != nil {
		return nil, in(CasesFile, err)
	}
	return d.Value, nil
}

// in names the file that problems are of.
func in(file string, err error) error {
	if problems, ok := err.(document.Problems); ok { //nolint:errorlint // they come as they are
		return problems.In(file)
	}
	return fmt.Errorf("reading %s: %w", file, err)
}

// seal puts the manifest into a module.
func seal(source *document.Document, wasm []byte, toolchain, revision string) (*manifest.Manifest, []byte, error) {
	for name, value := range map[string]string{"toolchain": toolchain, "revision": revision} {
		if value != "" {
			source.Set(name, value)
		}
	}
	text, err := source.JSON()
	if err != nil {
		return nil, nil, err
	}
	if wasm, err = manifest.Embed(wasm, text); err != nil {
		return nil, nil, fmt.Errorf("putting the manifest into the module: %w", err)
	}
	m, err := manifest.Read(wasm) // as whoever loads it will
	if err != nil {
		return nil, nil, err
	}
	return m, wasm, nil
}

// revision is what the manifest says of the source.
func (o *Options) revision(ctx context.Context, dir string) string {
	if o.Revision != nil {
		return *o.Revision
	}
	return Revision(ctx, dir)
}

// Revision is the commit of the source in a folder, with a mark where files differ from it; "" outside of a repository.
func Revision(ctx context.Context, dir string) string {
	git := func(args ...string) (string, bool) {
		c := exec.CommandContext(ctx, "git", args...)
		c.Dir = dir
		text, err := c.Output()
		return strings.TrimSpace(string(text)), err == nil
	}
	commit, ok := git("rev-parse", "HEAD")
	if !ok {
		return ""
	}
	if changed, ok := git("status", "--porcelain", "--", "."); !ok || changed != "" {
		commit += "-changed"
	}
	return commit
}

// replace writes a file in one step. The name of what is being written tells a gateway that watches the folder to wait.
func replace(file string, content []byte) error {
	return durable.Write(file, "."+filepath.Base(file)+".tmp.", 0o644, durable.Content(content))
}

// Cases returns all cases of a project: those of its self-test, and those of the folder cases.
func Cases(dir string, m *manifest.Manifest) ([]cases.Case, error) {
	files, err := filepath.Glob(filepath.Join(dir, CasesFolder, "*"))
	if err != nil {
		return nil, err
	}
	all := slices.Clone(m.Cases())
	for _, file := range files {
		if extension := filepath.Ext(file); extension != ".yaml" && extension != ".yml" && extension != ".json" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		more, err := cases.Read(file, text, m.OnlyHook())
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}
