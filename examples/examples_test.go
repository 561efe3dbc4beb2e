// Package examples_test boots every example: it builds each as its README says, and runs the result as the gateway does.
package examples_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/runtime"
)

// load builds an example by its Makefile and loads it as a file that was dropped into policy_dir: under the file's
// name, without grants.
func load(t *testing.T, example, name string) *runtime.Set {
	t.Helper()
	out := filepath.Join(t.TempDir(), name+".wasm")
	build := exec.CommandContext(t.Context(), "make", "-C", example, "OUT="+out)
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", example, err, text)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	r, err := runtime.New(t.Context(), runtime.Options{CacheDir: compiled, Functions: hostfuncs.Functions()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	set, err := r.Load(t.Context(), []runtime.Policy{{Name: name, Wasm: wasm}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set
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
