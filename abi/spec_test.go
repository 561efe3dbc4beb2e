package abi_test

import (
	"context"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/runtime"
)

// The worked example of SPEC.md is a policy: its bytes load, and do what the text says.
func TestSpecExample(t *testing.T) {
	r, err := runtime.New(t.Context(), runtime.Options{Functions: hostfuncs.Functions(hostfuncs.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	set, err := r.Load(t.Context(), []runtime.Policy{{Name: "spec", Wasm: specExample(t), Limits: runtime.Limits{Time: time.Minute}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)

	facts := []struct {
		name    string
		address string
		shape   abi.CredentialShape
		want    string // the identity that is allowed; none: pass
	}{
		{"from this machine", "127.0.0.1", abi.CredentialNone, "policy:spec/guest"},
		{"with a credential", "127.0.0.1", abi.CredentialForeign, ""},
		{"from elsewhere", "127.0.0.2", abi.CredentialNone, ""},
		{"from elsewhere in the first bytes", "227.0.0.1", abi.CredentialNone, ""},
		{"from a longer address", "127.0.0.10", abi.CredentialNone, ""},
		{"from nowhere", "", abi.CredentialNone, ""},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			a := &abi.Authentication{Request: &abi.Request{ClientAddress: []byte(f.address)}, Shape: f.shape}
			answer, got := set.Authenticate(a), ""
			if a.Identity != nil {
				got = a.Identity.KeyID
			}
			if got != f.want || (answer == abi.Given) != (f.want != "") || answer == abi.Failed {
				t.Errorf("answer %d, identity %q, want %q", answer, got, f.want)
			}
		})
	}
}

// specExample reads the block of bytes.
func specExample(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```hex\n")
	block, _, _ := strings.Cut(rest, "```")
	wasm, err := hex.DecodeString(strings.Join(strings.Fields(block), ""))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "A guest in 263 bytes") || len(wasm) != 263 {
		t.Errorf("the heading says 263 bytes, the block has %d", len(wasm))
	}
	return wasm
}
