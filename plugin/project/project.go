// Package project makes and builds plugins' projects: a policy's source, its manifest, its cases and the SDK that it is
// written with, in one folder. What it builds is one .wasm file with everything in it, and the same sources always give the
// same one.
//
// It imports abi, plugin/cases, plugin/document, plugin/inspect and plugin/manifest. cmd/sallyport imports it.
package project

import (
	"archive/zip"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/template"
)

// Files of a project.
const (
	ManifestFile = "manifest.yaml"
	CasesFile    = "cases.yaml" // the self-test, which goes into the module
	CasesFolder  = "cases"      // further ones
	SDKFolder    = "sallyport"
)

// The errors of this package that callers tell apart.
var (
	// ErrNotBuilt says that the binary was compiled before its SDKs were packed.
	ErrNotBuilt = errors.New("this binary was built without its SDKs: build with make build")
	// ErrNoProject says that a folder holds no project.
	ErrNoProject = errors.New("is no plugin's project")
)

//go:embed all:dist
var dist embed.FS

//go:embed templates
var templates embed.FS

// SDKs returns the sources of the SDKs, a folder for each.
func SDKs() (fs.FS, error) {
	archive, err := dist.ReadFile("dist/sdk.zip")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotBuilt
	}
	if err != nil {
		return nil, err
	}
	return zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
}

// language is one that policies are written in.
type language struct {
	name   string // as --lang has it, and the folder of its templates; "": Init knows none
	title  string // for people
	source string // the file by which a project is known
	sdk    string // folder of its SDK
	needs  string // what has to be installed, as a sentence
	build  func(b *build) (toolchain string, err error)
}

// languages are all of them, in the order in which people are told of them.
func languages() []language {
	return []language{
		{"go", "Go", "go.mod", "go", "Building needs Go 1.26 or newer.", buildGo},
		{"rust", "Rust", "policy.rs", "rust", "Building needs rustc with its wasm32-unknown-unknown library " + rustPackages + ".", buildRust},
		{
			"assemblyscript", "AssemblyScript", "policy.ts", "assemblyscript",
			"Building needs Node.js and the AssemblyScript compiler, which `npm install` brings.", buildAssemblyScript,
		},
		{"c", "C", "policy.c", "c", "Building needs clang and lld " + cPackages + ".", buildC},
		{"js", "JavaScript", "policy.js", "javascript", "Building needs nothing but sallyport.", buildJavaScript},
		{title: "Zig", source: "policy.zig", build: buildZig},
	}
}

// Languages returns the names of the languages that Init knows.
func Languages() (names []string) {
	for _, l := range languages() {
		if l.name != "" {
			names = append(names, l.name)
		}
	}
	return names
}

func findLanguage(name string) (language, error) {
	all := languages()
	i := slices.IndexFunc(all, func(l language) bool { return l.name == name })
	if i < 0 || name == "" {
		return language{}, fmt.Errorf("%q is no language of policies: use one of %s", name, strings.Join(Languages(), ", "))
	}
	return all[i], nil
}

// languageOf tells by the files of a project what it is written in.
func languageOf(dir string) (found language, err error) {
	var names []string
	for _, l := range languages() {
		if _, err := os.Stat(filepath.Join(dir, l.source)); err == nil {
			found = l
			names = append(names, l.source)
		}
	}
	switch len(names) {
	case 1:
		return found, nil
	case 0:
		var sources []string
		for _, l := range languages() {
			sources = append(sources, l.source)
		}
		return found, fmt.Errorf("%s %w: there is none of %s", dir, ErrNoProject, strings.Join(sources, ", "))
	default:
		return found, fmt.Errorf("%s holds %s: a project has one of them", dir, strings.Join(names, " and "))
	}
}

var projectName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// Init writes a new project into a folder, which is made; it may be there if it is empty. name is the plugin's; "" is the
// folder's. It returns the files that it wrote, without those of the SDK.
func Init(dir, lang, name string) ([]string, error) {
	l, err := findLanguage(lang)
	if err != nil {
		return nil, err
	}
	if name == "" {
		absolute, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("finding %s: %w", dir, err)
		}
		name = filepath.Base(absolute)
	}
	if !projectName.MatchString(name) {
		return nil, fmt.Errorf(`%q is no name of a plugin: it must be 1 to 64 letters, digits and "._-"`, name)
	}
	sdks, err := SDKs()
	if err != nil {
		return nil, err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty: it was left as it is", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a project is for everybody to read
		return nil, err
	}
	if _, err := fs.Stat(sdks, l.sdk); err == nil {
		if err := copySDK(sdks, l.sdk, filepath.Join(dir, SDKFolder)); err != nil {
			return nil, fmt.Errorf("writing the SDK: %w", err)
		}
	}
	return writeTemplates(dir, l, name)
}

// copySDK writes an SDK's files.
func copySDK(sdks fs.FS, folder, to string) error {
	sdk, err := fs.Sub(sdks, folder)
	if err != nil {
		return err
	}
	return os.CopyFS(to, sdk)
}

// facts are what templates are filled in with.
type facts struct{ Name, Lower, Language, Source, Needs string }

func writeTemplates(dir string, l language, name string) (written []string, err error) {
	filled := facts{name, strings.ToLower(name), l.title, l.source, l.needs}
	if l.source == "go.mod" {
		filled.Source = "the folder"
	}
	for _, folder := range []string{"all", l.name} {
		entries, err := templates.ReadDir(path.Join("templates", folder))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			file := strings.TrimSuffix(e.Name(), ".tmpl")
			if file == "gitignore" {
				file = ".gitignore" // go:embed leaves out files with a dot
			}
			t, err := template.ParseFS(templates, path.Join("templates", folder, e.Name()))
			if err != nil {
				return nil, err
			}
			var text bytes.Buffer
			if err := t.Execute(&text, filled); err != nil {
				return nil, err
			}
			if err := os.WriteFile(filepath.Join(dir, file), text.Bytes(), 0o644); err != nil { //nolint:gosec // as above
				return nil, err
			}
			written = append(written, file)
		}
	}
	return written, nil
}
