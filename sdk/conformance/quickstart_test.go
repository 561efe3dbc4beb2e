package conformance_test

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/runtime"
)

// What a README shows first is a policy, and its commands build it: each has an opinion on callers of the gateway's own
// machine, and none on callers with a credential.
func TestQuickStarts(t *testing.T) {
	facts := []struct {
		sdk, fence, source string
		beside             map[string]string // what stands beside the source, and what it is
		module             string
	}{
		{"go", "go", "policy.go", nil, "guest-pass.wasm"},
		{"c", "c", "policy.c", map[string]string{"sallyport.h": "c/sallyport.h"}, "policy.wasm"},
		{"rust", "rust", "policy.rs", map[string]string{"sallyport": "rust"}, "policy.wasm"},
		{"assemblyscript", "ts", "policy.ts",
			map[string]string{"sallyport": "assemblyscript", "node_modules": "assemblyscript/node_modules"}, "policy.wasm"},
	}
	for _, f := range facts {
		t.Run(f.sdk, func(t *testing.T) {
			if f.sdk == "go" && testing.Short() {
				t.Skip("compiling a Go guest takes long: -short")
			}
			requireTools(t, f.sdk)
			dir := t.TempDir()
			readme, err := os.ReadFile(filepath.Join("..", f.sdk, "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, f.source, block(string(readme), f.fence))
			for name, path := range f.beside {
				link(t, filepath.Join("..", path), filepath.Join(dir, name))
			}
			if f.sdk == "go" {
				write(t, dir, "go.mod", goModule(t))
			}
			runCommands(t, dir, commands(string(readme)))
			wasm, err := os.ReadFile(filepath.Join(dir, f.module))
			if err != nil {
				t.Fatal(err)
			}
			checkQuickStart(t, wasm)
		})
	}
}

func checkQuickStart(t *testing.T, wasm []byte) {
	t.Helper()
	set, err := newRuntime(t, slog.DiscardHandler, hostfuncs.Functions(hostfuncs.Options{})).Load(t.Context(), []runtime.Policy{{Name: "guest", Wasm: wasm}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	for shape, want := range map[abi.CredentialShape]abi.Answer{abi.CredentialNone: abi.Given, abi.CredentialForeign: abi.NoVerdict} {
		a := &abi.Authentication{Request: &abi.Request{ClientAddress: []byte("127.0.0.1")}, Shape: shape}
		if answer := set.Authenticate(a); answer != want {
			t.Errorf("with a credential of shape %d the answer is %d", shape, answer)
		}
	}
}

// block returns the first block of a language.
func block(readme, fence string) string {
	_, rest, _ := strings.Cut(readme, "```"+fence+"\n")
	code, _, _ := strings.Cut(rest, "```")
	return code
}

// commands returns the lines that are indented as code between the first block and the second.
func commands(readme string) string {
	var all strings.Builder
	for line := range strings.Lines(strings.Split(readme, "```")[2]) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			all.WriteString(command)
		}
	}
	return all.String()
}

func runCommands(t *testing.T, dir, commands string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), buildTime)
	defer cancel()
	path := os.Getenv("PATH")
	if compiler, err := exec.LookPath(rustc()); err == nil { // the first one of the PATH may lack the target
		bin := t.TempDir()
		link(t, compiler, filepath.Join(bin, "rustc"))
		path = bin + string(os.PathListSeparator) + path
	}
	command := exec.CommandContext(ctx, "bash", "-euc", commands)
	command.Dir = dir
	command.Env = append(os.Environ(), "PATH="+path)
	if text, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s%v\n%s", commands, err, text)
	}
}

func goModule(t *testing.T) string {
	t.Helper()
	sdk, err := filepath.Abs("../go")
	if err != nil {
		t.Fatal(err)
	}
	const path = "github.com/sallyport-dev/sallyport/sdk/go"
	return "module example.org/policy\n\ngo 1.26.0\n\nrequire " + path + " v0.0.0\n\nreplace " + path + " => " + sdk + "\n"
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, to, from string) {
	t.Helper()
	to, err := filepath.Abs(to)
	if err == nil {
		err = os.Symlink(to, from)
	}
	if err != nil {
		t.Fatal(err)
	}
}
