package project

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"github.com/sallyport-dev/sallyport/plugin/manifest"
)

// What is published says who made it, from what and by which licence; and what an example's README writes into policies.yaml is what
// its manifest asks for.
func TestManifestsOfWhatIsPublished(t *testing.T) {
	files, err := filepath.Glob("../../examples/*/README.md")
	must(t, err)
	if len(files) < 10 {
		t.Fatalf("there are %d examples", len(files))
	}
	for _, file := range append(files, "../../plugins/default/manifest.yaml") {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			d, err := ReadManifest(dir)
			must(t, err)
			m, err := manifest.FromDocument(d)
			must(t, err)
			if m.Author == "" || m.Licence != "MIT" || m.Description == "" || len(m.Hooks) == 0 ||
				!strings.HasSuffix(m.Source, strings.TrimPrefix(filepath.ToSlash(dir), "../..")) {
				t.Errorf("%+v", m)
			}
			text, err := os.ReadFile(filepath.Join(dir, "README.md"))
			if err != nil {
				return // the built-in policy, which needs no entry
			}
			checkEntry(t, m, string(text))
		})
	}
}

// Whoever takes an example from where it was published can build it himself and compare: each is a project.
func TestExamplesAreProjects(t *testing.T) {
	zig, err := filepath.Abs("../../.tools/zig/bin") // where make deps-zig has put it
	must(t, err)
	t.Setenv("PATH", zig+string(os.PathListSeparator)+os.Getenv("PATH"))
	files, err := filepath.Glob("../../examples/*/manifest.yaml")
	must(t, err)
	for _, file := range append(files, "../../plugins/default/manifest.yaml") {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(dir, "policy.c")); err != nil && testing.Short() {
				t.Skip("compiling takes long: -short")
			}
			built := buildProject(t, dir, filepath.Join(t.TempDir(), "policy.wasm"))
			t.Logf("%d bytes, %s", len(built.Wasm), built.Manifest.Toolchain)
		})
	}
}

// checkEntry holds the entry of policies.yaml that a page shows against a manifest.
func checkEntry(t *testing.T, m *manifest.Manifest, page string) {
	t.Helper()
	_, rest, shown := strings.Cut(page, "```yaml\n")
	if !shown {
		return // nothing but its name and file
	}
	block, _, _ := strings.Cut(rest, "```")
	var file struct {
		Policies []struct {
			Name   string
			Hooks  []string
			Veto   bool
			Config map[string]any
			Limits struct{ Fuel int64 }
			Grants struct {
				Identities, KV string
				Inputs         []string
			}
		}
	}
	must(t, yaml.Unmarshal([]byte(block), &file))
	for _, p := range file.Policies {
		if p.Name == "default" {
			continue
		}
		if len(p.Hooks) > 0 && !slices.Equal(p.Hooks, m.Hooks) || p.Veto != m.Veto {
			t.Errorf("the README has the hooks %q, veto %v", p.Hooks, p.Veto)
		}
		given := manifest.Given{
			Identities: p.Grants.Identities != "", KV: p.Grants.KV != "", Inputs: p.Grants.Inputs,
			Fuel: max(p.Limits.Fuel, 10_000_000), Time: 1 << 40, Memory: 1 << 30,
		}
		if missing := m.Missing(given); len(missing) > 0 {
			t.Errorf("the README leaves out what it %s", strings.Join(missing, ", and what it "))
		}
		var config []byte
		if p.Config != nil {
			text, err := json.Marshal(p.Config)
			must(t, err)
			config = text
		}
		for _, wrong := range m.ValidateConfig(config) {
			t.Errorf("the README's configuration: %s %s", wrong.Pointer, wrong.Message)
		}
		return
	}
	t.Errorf("the README shows no policy")
}
