package runtime_test

import (
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// goGuest builds testdata/goguest with the toolchain that runs the test.
func goGuest(t testing.TB) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "guest.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, ".")
	build.Dir = filepath.Join("testdata", "goguest")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the guest: %v\n%s", err, text)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

func TestAGoGuest(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a guest, which takes seconds")
	}
	var lines messages
	told := make(failures, 1)
	set := load(t, runtime.Options{
		Log: slog.New(&lines), Observer: told, Now: clock,
		Random: func(b []byte) {
			for i := range b {
				b[i] = 7
			}
		},
	}, runtime.Policy{Name: "p", Wasm: goGuest(t), Limits: runtime.Limits{Time: plenty}})
	for _, test := range []struct {
		model   string
		failure runtime.Failure
		message string
		logs    string
	}{
		{"pass", runtime.NoFailure, "", ""},
		{"other", runtime.NoFailure, "nothing", ""},
		{"json", runtime.NoFailure, "[1 2 3] <nil>", ""},
		{"surroundings", runtime.NoFailure, "args 0, environment 0, file false", ""},
		{"clock", runtime.NoFailure, "2023-11-14T22:13:20.123Z", ""},
		{"print", runtime.NoFailure, "nothing", "hello log"},
		{"garbage", runtime.NoFailure, "64", ""},
		{"panic", runtime.Trap, "", "panic: on purpose"},
		{"other", runtime.NoFailure, "nothing", ""},
		{"exit", runtime.Exited, "", ""},
		{"other", runtime.NoFailure, "nothing", ""},
	} {
		lines = nil
		a := abi.Authentication{Request: &abi.Request{Model: []byte(test.model)}}
		set.Authenticate(&a)
		if got := <-told; got != test.failure || a.Message != test.message {
			t.Errorf("%s: failed by %s, message %q; want %s, %q", test.model, got, a.Message, test.failure, test.message)
		}
		if test.logs != "" && !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, test.logs) }) {
			t.Errorf("%s: logged %q", test.model, lines)
		}
	}
}

// A Go guest collects its garbage in some calls: it has to fit into the budget of fuel, and into the memory, for good.
func TestAGoGuestLivesLong(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a guest, which takes seconds")
	}
	told := make(failures, 1)
	set := load(t, runtime.Options{Observer: told}, runtime.Policy{Name: "p", Wasm: goGuest(t), Limits: runtime.Limits{Time: plenty}})
	for i := range 500 {
		set.Authenticate(&abi.Authentication{Request: &abi.Request{Model: []byte("garbage")}})
		if got := <-told; got != runtime.NoFailure {
			t.Fatalf("call %d failed by %s", i, got)
		}
	}
}
