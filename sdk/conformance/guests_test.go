package conformance_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// buildTime bounds the build of one guest, on a machine that does other things too.
const buildTime = 5 * time.Minute

// sdks are the SDKs that are held to the golden cases: each name is a target of the Makefile.
var sdks = []string{"go", "c", "rust", "assemblyscript"}

// built is the guests that were asked for, each built once.
var built = struct {
	sync.Mutex
	guests map[string]func() ([]byte, error)
}{guests: map[string]func() ([]byte, error){}}

// requireTools skips the test without an SDK's toolchain, unless SALLYPORT_TOOLCHAINS=all says that there is every one.
func requireTools(t testing.TB, sdk string) {
	t.Helper()
	missing := missingTool(sdk)
	switch {
	case missing == "":
	case os.Getenv("SALLYPORT_TOOLCHAINS") == "all":
		t.Fatalf("a guest in %s cannot be built: %s", sdk, missing)
	default:
		t.Skipf("a guest in %s cannot be built: %s; make deps installs it", sdk, missing)
	}
}

// build builds an SDK's guest.
func build(t testing.TB, sdk string) []byte {
	t.Helper()
	requireTools(t, sdk)
	built.Lock()
	if built.guests[sdk] == nil {
		built.guests[sdk] = sync.OnceValues(func() ([]byte, error) { return runMake(sdk) })
	}
	guest := built.guests[sdk]
	built.Unlock()
	wasm, err := guest()
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func runMake(sdk string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), buildTime)
	defer cancel()
	out := filepath.Join(scratch, "guests", sdk)
	if text, err := exec.CommandContext(ctx, "make", sdk, "OUT="+out).CombinedOutput(); err != nil {
		return nil, errors.New("building the guest of " + sdk + ": " + err.Error() + "\n" + string(text))
	}
	return os.ReadFile(filepath.Join(out, sdk+".wasm"))
}

// missingTool says what the build of an SDK's guest lacks, or nothing.
func missingTool(sdk string) string {
	switch sdk {
	case "c":
		return absent("clang", "wasm-ld")
	case "rust":
		if rustc() == "" {
			return "there is no rustc with the target wasm32-unknown-unknown"
		}
		return ""
	case "assemblyscript":
		if _, err := os.Stat("../assemblyscript/node_modules/.bin/asc"); err != nil {
			return "npm ci was not run in sdk/assemblyscript"
		}
		return absent("node")
	default:
		return absent("go")
	}
}

func absent(tools ...string) string {
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			return tool + " is not installed"
		}
	}
	return ""
}

// rustc finds the Rust compiler that the Makefile finds too: the first that has the target.
func rustc() string {
	for _, rustc := range []string{"rustc", "/usr/bin/rustc"} {
		dir, err := exec.Command(rustc, "--print", "target-libdir", "--target", "wasm32-unknown-unknown").Output()
		if err != nil {
			continue
		}
		if _, err := os.Stat(strings.TrimSpace(string(dir))); err == nil {
			return rustc
		}
	}
	return ""
}

// The Rust SDK's own tests run natively, against its gateway in memory.
func TestRustNatively(t *testing.T) {
	requireTools(t, "rust")
	ctx, cancel := context.WithTimeout(t.Context(), buildTime)
	defer cancel()
	tests := filepath.Join(t.TempDir(), "tests")
	build := exec.CommandContext(ctx, rustc(), "-D", "warnings", "--edition", "2021", "--test", "../rust/src/lib.rs", "-o", tests)
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the tests: %v\n%s", err, text)
	}
	if text, err := exec.CommandContext(ctx, tests).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}
