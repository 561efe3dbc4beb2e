package project

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/plugin/host"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// assemblyscript is where the SDK's own compiler is, which npm ci has put there.
const assemblyscript = "../../sdk/assemblyscript/node_modules"

// initProject makes a project in a fresh folder.
func initProject(t *testing.T, lang, name string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	if _, err := Init(dir, lang, ""); err != nil {
		t.Fatal(err)
	}
	if lang == "assemblyscript" { // in place of npm install, which needs a network
		modules, err := filepath.Abs(assemblyscript)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(modules); err == nil {
			must(t, os.Symlink(modules, filepath.Join(dir, "node_modules")))
		}
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// buildProject builds a project into a file, "" for its own. Without the toolchain the test is skipped, unless SALLYPORT_TOOLCHAINS=all says that there
// is every one.
func buildProject(t *testing.T, dir, out string) *Built {
	t.Helper()
	var log bytes.Buffer
	engine := func() ([]byte, error) { return os.ReadFile("../../plugins/dist/javascript.wasm") }
	built, err := Build(t.Context(), dir, Options{Out: out, Log: &log, Engine: engine})
	if (errors.Is(err, ErrToolchain) || errors.Is(err, ErrNoEngine)) && os.Getenv("SALLYPORT_TOOLCHAINS") != "all" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	return built
}

// What init writes is a policy: it builds, its cases pass, and two people who build it get the same file.
func TestInitAndBuild(t *testing.T) {
	for _, lang := range Languages() {
		t.Run(lang, func(t *testing.T) {
			if lang != "c" && testing.Short() {
				t.Skip("compiling takes long: -short")
			}
			built := buildProject(t, initProject(t, lang, "guest-pass"), "")
			if m := built.Manifest; m.Name != "guest-pass" || m.Toolchain == "" || len(m.Cases()) != 3 {
				t.Errorf("%+v", m)
			}
			t.Logf("%d bytes, %s", len(built.Wasm), built.Manifest.Toolchain)
			script, err := manifest.FindSection(built.Wasm, manifest.ScriptSection)
			must(t, err)
			h, err := host.Open(t.Context(), host.Options{Policy: runtime.Policy{Name: "guest-pass", Wasm: built.Wasm, Script: script}})
			must(t, err)
			defer h.Close(t.Context())
			results, err := h.Run(t.Context(), built.Manifest.Cases())
			must(t, err)
			for _, r := range results {
				if len(r.Differences) > 0 {
					t.Errorf("%s: %s", r.Case.Name, strings.Join(r.Differences, "\n"))
				}
			}
			again := buildProject(t, initProject(t, lang, "guest-pass"), "")
			if built.Digest() != again.Digest() {
				t.Errorf("built twice, the digests are %s and %s", built.Digest(), again.Digest())
			}
			if !bytes.Contains(built.Wasm, []byte("uest")) || bytes.Contains(built.Wasm, []byte(filepath.Dir(filepath.Dir(built.Path)))) {
				t.Error("it holds the path of the folder that it was built in")
			}
		})
	}
}

func TestSDKsAreFresh(t *testing.T) {
	embedded, err := dist.ReadFile("dist/sdk.zip")
	if err != nil {
		t.Fatal(ErrNotBuilt)
	}
	out := filepath.Join(t.TempDir(), "sdk.zip")
	if text, err := exec.CommandContext(t.Context(), "go", "run", "./pack", "-sdk", "../../sdk", "-out", out).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	packed, err := os.ReadFile(out)
	must(t, err)
	if !bytes.Equal(packed, embedded) {
		t.Error("dist/sdk.zip is not what the SDKs are: run make build")
	}
}

func TestInitRefuses(t *testing.T) {
	full := t.TempDir()
	must(t, os.WriteFile(filepath.Join(full, "mine"), nil, 0o600))
	for _, test := range []struct{ name, dir, lang, plugin, want string }{
		{"a folder with something in it", full, "c", "", "is not empty: it was left as it is"},
		{"an unknown language", filepath.Join(full, "x"), "cobol", "", `"cobol" is no language of policies: use one of go, rust`},
		{"a name with a space", filepath.Join(full, "x"), "c", "a b", "is no name of a plugin"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Init(test.dir, test.lang, test.plugin); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	if entries, err := os.ReadDir(full); err != nil || len(entries) != 1 {
		t.Errorf("it wrote %v, %v", entries, err)
	}
}

func TestBuildRefuses(t *testing.T) {
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"no project", nil, "is no plugin's project: there is no manifest.yaml"},
		{"no source", map[string]string{"manifest.yaml": "{name: a, version: 1.0.0}"}, "there is none of go.mod, policy.rs"},
		{"two sources", map[string]string{"manifest.yaml": "{name: a, version: 1.0.0}", "policy.c": "", "policy.rs": ""}, "holds policy.rs and policy.c"},
		{"a manifest that is not right", map[string]string{"manifest.yaml": "name: a\nversion: x\n", "policy.c": ""}, "manifest.yaml:2: version: must be a version such as 1.2.0"},
		{"tests in the manifest", map[string]string{"manifest.yaml": "name: a\nversion: 1.0.0\ntests: []\n", "policy.c": ""}, "manifest.yaml:3: tests: stand in cases.yaml"},
		{"cases that are not right", map[string]string{
			"manifest.yaml": "{name: a, version: 1.0.0}", "policy.c": "", "cases.yaml": "- name: x\n  hook: authenticate\n  want:\n    status: yes\n",
		}, "cases.yaml:4: [0].want.status: must be integer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range test.files {
				must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
			}
			if _, err := Build(t.Context(), dir, Options{}); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// A toolchain that is missing is told with what to install.
func TestMissingToolchains(t *testing.T) {
	empty := t.TempDir()
	for lang, want := range map[string]string{
		"go": "https://go.dev/dl", "c": "apt-get install clang lld", "assemblyscript": "npm install",
	} {
		t.Run(lang, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "p")
			if _, err := Init(dir, lang, ""); err != nil {
				t.Fatal(err)
			}
			t.Setenv("PATH", empty)
			if _, err := Build(t.Context(), dir, Options{}); !errors.Is(err, ErrToolchain) || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

// What the compiler says about a mistake reaches its author, and the module from before stays.
func TestAMistakeInTheSource(t *testing.T) {
	dir := initProject(t, "c", "guest-pass")
	before := buildProject(t, dir, "")
	must(t, os.WriteFile(filepath.Join(dir, "policy.c"), []byte("this is not C"), 0o600))
	var log bytes.Buffer
	if _, err := Build(t.Context(), dir, Options{Log: &log}); err == nil || !strings.Contains(log.String(), "policy.c:1:1: error") {
		t.Errorf("%v\n%s", err, log.String())
	}
	if now, err := os.ReadFile(before.Path); err != nil || !bytes.Equal(now, before.Wasm) {
		t.Errorf("the module from before is gone: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*.tmp.*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A module that something else built gets its manifest too; a manifest that does not fit it is refused.
func TestBuildWithAModuleFromElsewhere(t *testing.T) {
	dir := initProject(t, "c", "guest-pass")
	plain, err := filepath.Abs("../../abi/testdata/guests/v1/c.wasm")
	must(t, err)
	write := func(grants string) {
		must(t, os.WriteFile(filepath.Join(dir, ManifestFile), []byte("name: guest\nversion: 1.0.0\n"+grants), 0o600))
	}
	must(t, os.Remove(filepath.Join(dir, CasesFile)))
	write("")
	built, err := Build(t.Context(), dir, Options{Wasm: plain})
	must(t, err)
	if remarks := strings.Join(built.Report.Remarks, "\n"); !strings.Contains(remarks, "need the grant identities: read, which its manifest does not ask for") {
		t.Errorf("without the grant: %s", remarks)
	}
	write("grants: [{identities: read, reason: finds keys}]\n")
	revision := "r1"
	built, err = Build(t.Context(), dir, Options{Wasm: plain, Revision: &revision, Out: filepath.Join(dir, "x.wasm")})
	must(t, err)
	if len(built.Report.Remarks) > 0 || built.Manifest.Revision != "r1" || filepath.Base(built.Path) != "x.wasm" || !slices.Contains(built.Report.Hooks, "choose_step") {
		t.Errorf("%+v", built.Manifest)
	}
}
