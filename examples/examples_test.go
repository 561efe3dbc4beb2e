// Package examples_test boots every example: it builds each as its README says, and runs the result as the gateway does.
package examples_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/runtime"
)

// buildTime bounds the build of one example, on a machine that does other things too.
const buildTime = 5 * time.Minute

// now is the time that the examples see: a Saturday noon.
var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// build builds an example by its Makefile. Without its toolchain the test is skipped, unless SALLYPORT_TOOLCHAINS=all
// says that there is every one.
func build(t *testing.T, example string) []byte {
	t.Helper()
	if missing := missingTool(example); missing != "" {
		if os.Getenv("SALLYPORT_TOOLCHAINS") == "all" {
			t.Fatalf("%s cannot be built: %s", example, missing)
		}
		t.Skipf("%s cannot be built: %s; make deps installs it", example, missing)
	}
	out := filepath.Join(t.TempDir(), "policy.wasm")
	run(t, "make", "-C", example, "OUT="+out)
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func run(t *testing.T, command string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), buildTime)
	defer cancel()
	if text, err := exec.CommandContext(ctx, command, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", command, strings.Join(args, " "), err, text)
	}
}

// missingTool says what an example's build lacks, or nothing. Its source tells its language.
func missingTool(example string) string {
	has := func(file string) bool {
		_, err := os.Stat(file)
		return err == nil
	}
	switch {
	case has(filepath.Join(example, "policy.c")):
		for _, tool := range []string{"clang", "wasm-ld"} {
			if _, err := exec.LookPath(tool); err != nil {
				return tool + " is not installed"
			}
		}
	case has(filepath.Join(example, "policy.ts")) && !has("../sdk/assemblyscript/node_modules/.bin/asc"):
		return "npm ci was not run in sdk/assemblyscript"
	case has(filepath.Join(example, "policy.rs")):
		for _, rustc := range []string{"rustc", "/usr/bin/rustc"} {
			dir, err := exec.Command(rustc, "--print", "target-libdir", "--target", "wasm32-unknown-unknown").Output()
			if err == nil && has(strings.TrimSpace(string(dir))) {
				return ""
			}
		}
		return "there is no rustc with the target wasm32-unknown-unknown"
	case has(filepath.Join(example, "policy.zig")) && !has("../.tools/zig/bin/python-zig"):
		if _, err := exec.LookPath("zig"); err != nil && exec.Command("python3", "-m", "ziglang", "version").Run() != nil {
			return "Zig is not installed"
		}
	}
	return ""
}

// load builds an example and loads it as a file that was dropped into policy_dir: under the file's name, without grants.
func load(t *testing.T, example, name string) *runtime.Set {
	t.Helper()
	return loadPolicies(t, runtime.Policy{Name: name, Wasm: build(t, example)})
}

// loadAsDocumented builds an example and loads it with the settings that its README shows for policies.yaml, preceded by
// others.
func loadAsDocumented(t *testing.T, example string, others ...runtime.Policy) *runtime.Set {
	t.Helper()
	p := documented(t, example)
	p.Wasm = build(t, example)
	return loadPolicies(t, append(others, p)...)
}

func loadPolicies(t *testing.T, policies ...runtime.Policy) *runtime.Set {
	t.Helper()
	for i := range policies {
		policies[i].Limits.Time = 10 * time.Second // how fast a machine is that does other things too is not what is tested
	}
	r, err := runtime.New(t.Context(), runtime.Options{
		CacheDir:  compiled,
		Functions: hostfuncs.Functions(hostfuncs.Options{}),
		Now:       func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	set, err := r.Load(t.Context(), policies)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set
}

// documented reads the example's own policy from the YAML of its README.
func documented(t *testing.T, example string) runtime.Policy {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(example, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	block, _, _ := strings.Cut(rest, "```")
	var file struct {
		Policies []struct {
			Name   string
			Hooks  []string
			Veto   bool
			Config map[string]any
			Limits struct{ Fuel int64 }
			Grants struct{ Inputs []string }
		}
	}
	if err := yaml.Unmarshal([]byte(block), &file); err != nil {
		t.Fatalf("%s/README.md: %v", example, err)
	}
	for _, p := range file.Policies {
		if p.Name != example {
			continue
		}
		policy := runtime.Policy{
			Name: p.Name, Veto: p.Veto, Limits: runtime.Limits{Fuel: p.Limits.Fuel}, Grants: runtime.Grants{Inputs: p.Grants.Inputs},
		}
		if p.Config != nil {
			if policy.Config, err = json.Marshal(p.Config); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range p.Hooks {
			hook, ok := abi.ParseHook(name)
			if !ok {
				t.Fatalf("%s/README.md: there is no hook %q", example, name)
			}
			policy.Hooks = append(policy.Hooks, hook)
		}
		return policy
	}
	t.Fatalf("%s/README.md shows no policy of that name", example)
	return runtime.Policy{}
}

func TestPolicyGo(t *testing.T) {
	set := load(t, "policy-go", "greet")
	a := &abi.Authentication{Request: &abi.Request{Model: []byte("coding")}}
	if answer := set.Authenticate(a); answer != abi.Given || a.Status != 401 || a.Identity != nil {
		t.Errorf("answer %d, %+v", answer, a)
	}
	if want := "You need a key for coding: ask in #llm-keys for one."; a.Message != want {
		t.Errorf("the client is told %q, want %q", a.Message, want)
	}
	if choice := (&abi.StepChoice{Request: &abi.Request{}, Steps: make([]abi.Step, 1)}); set.ChooseStep(choice) != abi.NoVerdict {
		t.Error("it is asked at a hook that it does not export")
	}
}

// A Go guest that makes garbage has to collect it within the budget of one of its calls.
func TestPolicyGoCollectsItsGarbage(t *testing.T) {
	set := load(t, "policy-go", "greet")
	a := &abi.Authentication{Request: &abi.Request{Model: []byte(strings.Repeat("x", 400))}}
	for i := range 30_000 { // some 30 MiB, twice the memory that the guest may have
		if answer := set.Authenticate(a); answer != abi.Given {
			t.Fatalf("call %d: answer %d", i, answer)
		}
	}
}

func TestPolicyC(t *testing.T) {
	set := load(t, "policy-c", "guest-pass")
	facts := []struct {
		name    string
		address string
		shape   abi.CredentialShape
		guest   bool
	}{
		{"this machine", "127.0.0.1", abi.CredentialNone, true},
		{"this machine by another of its addresses", "127.8.9.10", abi.CredentialNone, true},
		{"this machine over IPv6", "::1", abi.CredentialNone, true},
		{"with a key of somebody's", "127.0.0.1", abi.CredentialForeign, false},
		{"with a key that may be ours", "127.0.0.1", abi.CredentialGenerated, false},
		{"with a mistyped key", "127.0.0.1", abi.CredentialMistyped, false},
		{"the next machine", "192.168.0.2", abi.CredentialNone, false},
		{"an address that ends alike", "10.127.0.1", abi.CredentialNone, false},
		{"an address that begins alike", "1270::1", abi.CredentialNone, false},
		{"an address that begins with it", "::10", abi.CredentialNone, false},
		{"an address that does not fit", "127." + string(make([]byte, 100)), abi.CredentialNone, false},
		{"no address", "", abi.CredentialNone, false},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			a := &abi.Authentication{Request: &abi.Request{ClientAddress: []byte(f.address)}, Shape: f.shape}
			switch answer := set.Authenticate(a); {
			case !f.guest && answer != abi.NoVerdict:
				t.Errorf("answer %d, want a pass", answer)
			case f.guest && (answer != abi.Given || a.Identity == nil || a.Identity.KeyID != "policy:guest-pass/guest"):
				t.Errorf("answer %d, %+v, want a guest", answer, a)
			case f.guest && (len(a.Identity.Models) != 2 || a.Identity.Models[0] != "llama" || a.Identity.Models[1] != "demo*"):
				t.Errorf("the guest may use %q", a.Identity.Models)
			}
		})
	}
}
