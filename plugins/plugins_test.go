package plugins

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestBuiltin(t *testing.T) {
	if _, err := Builtin("../default"); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown name: %v", err)
	}
	for _, name := range Names() {
		wasm, err := Builtin(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.HasPrefix(wasm, []byte("\x00asm")) {
			t.Errorf("%s is no WebAssembly module", name)
		}
	}
}

// What is embedded is what the sources build, byte for byte, wherever and whenever they are built.
func TestBuiltinIsFreshAndReproducible(t *testing.T) {
	for _, name := range Names() {
		embedded, err := Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), name+".wasm")
		build := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, ".")
		build.Dir = name
		build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
		if text, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building %s: %v\n%s", name, err, text)
		}
		built, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(built, embedded) {
			t.Errorf("dist/%s.wasm is not what its sources build: run make build", name)
		}
	}
}
