package runtime_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// compileBomb is a module that passes every check of its shape and takes the compiler very long: loops in loops in
// each of many functions, with many locals that are all alive in all of them.
func compileBomb(functions int) []byte {
	const locals, depth = 500, 500
	list := make([]w.Type, locals)
	var turn []byte
	for i := range list {
		list[i] = w.I64
		turn = w.Code(turn, w.LocalGet(uint32(i)), w.LocalGet(uint32(i*7+13)%locals), w.I64Add, w.LocalSet(uint32(i*3+1)%locals))
	}
	body := turn
	for i := range uint32(depth) {
		body = w.Loop(body, w.LocalGet(i%locals), w.I64Eqz, w.BrIf(0))
	}
	var m w.Module
	for range functions {
		m.Func("", nil, nil, list, body)
	}
	m.Hook("price_response", w.Pass)
	return m.Bytes()
}

// shell runs a command in place of the compiler.
func shell(script string) func(ctx context.Context) *exec.Cmd {
	return func(ctx context.Context) *exec.Cmd { return exec.CommandContext(ctx, "/bin/sh", "-c", script) }
}

func TestAChildCompiles(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // the second child finds the code in the cache
		set := load(t, runtime.Options{CacheDir: dir, Compiler: compiler}, runtime.Policy{Name: "p", Wasm: authenticator(), Grants: runtime.Grants{Identities: true}})
		if answer := set.Authenticate(authentication()); answer != abi.Given {
			t.Errorf("answer %d", answer)
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*")); len(files) != 1 {
			t.Errorf("the cache holds %v: this process did not use what the child compiled", files)
		}
	}
}

// stoppedCompiling reports whether an error says that compiling took longer than it may: of a processor, or, on a machine that
// has little of one left for the compiler's process, which gives way to all others, by the clock.
func stoppedCompiling(err error, limit time.Duration) bool {
	return err != nil && (strings.Contains(err.Error(), fmt.Sprintf("it takes longer than the %s that are allowed", limit)) ||
		strings.Contains(err.Error(), fmt.Sprintf("of which %s of a processor are allowed", limit)))
}

func TestCompilingIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles for seconds")
	}
	for _, test := range []struct {
		name    string
		wasm    []byte
		limits  runtime.CompileLimits
		stopped func(err error) bool
	}{
		{"time", compileBomb(500), runtime.CompileLimits{Time: 500 * time.Millisecond}, func(err error) bool {
			return stoppedCompiling(err, 500*time.Millisecond)
		}},
		{"memory", compileBomb(1), runtime.CompileLimits{Memory: 8 << 20}, func(err error) bool {
			return err != nil && strings.Contains(err.Error(), "it takes more than the 8 MiB of memory that are allowed")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			r := newRuntime(t, runtime.Options{CacheDir: dir, Compiler: compiler, CompileLimits: test.limits})
			began := time.Now()
			_, err := r.Load(t.Context(), []runtime.Policy{{Name: "p", Wasm: test.wasm}})
			if !test.stopped(err) {
				t.Errorf("after %s: error %v", time.Since(began), err)
			}
			if files, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(files) != 0 {
				t.Errorf("it left %v", files)
			}
		})
	}
}

// What bounds compiling is the time of a processor: a child that had to wait for one is let finish.
func TestACompilerThatHasToWait(t *testing.T) {
	dir := t.TempDir()
	waiting := func(ctx context.Context) *exec.Cmd {
		c := compiler(ctx)
		c.Args = append([]string{"/bin/sh", "-c", `sleep 0.2; exec "$0" "$@"`, c.Path}, c.Args[1:]...)
		c.Path = "/bin/sh"
		return c
	}
	limits := runtime.CompileLimits{Time: 100 * time.Millisecond}
	r := newRuntime(t, runtime.Options{CacheDir: dir, Compiler: waiting, CompileLimits: limits})
	set, err := r.Load(t.Context(), []runtime.Policy{{Name: "p", Wasm: authenticator(), Grants: runtime.Grants{Identities: true}}})
	if err != nil {
		t.Fatal(err)
	}
	set.Close()
}

func TestACompilerThatFails(t *testing.T) {
	t.Setenv("PROVIDER_KEY", "sk-secret")
	for _, test := range []struct {
		name    string
		script  string
		says    string
		keepsIn string // what it must not say
	}{
		{"it says why", "echo 'invalid module'; exit 1", "compiling the module: invalid module", "status"},
		{"it crashes", "printf 'fatal\\n\\tx.go:1\\n' >&2; exit 2", "exit status 2: fatal < x.go:1", "\n"},
		{"it is killed", "kill -9 $$", "signal: killed", ""},
		{"it runs out of memory", "echo 'fatal error: runtime: out of memory' >&2; exit 2", "more than the 512 MiB of memory", "fatal"},
		{"it says too much", "while :; do echo xxxxxxxxxxxxxxxx; done 2>&1 | head -c 100000; exit 1", "xxxx", strings.Repeat("x", 5000)},
		{"it tells what it knows", "set; exit 1", "GOMAXPROCS", "sk-secret"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRuntime(t, runtime.Options{CacheDir: t.TempDir(), Compiler: shell(test.script)})
			_, err := r.Load(t.Context(), []runtime.Policy{{Name: "p", Wasm: authenticator()}})
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("error %v, want %q", err, test.says)
			}
			if test.keepsIn != "" && strings.Contains(err.Error(), test.keepsIn) || len(err.Error()) > 8<<10 {
				t.Errorf("error of %d bytes: %v", len(err.Error()), err)
			}
		})
	}
}

func TestNothingIsLeftOfACompilerThatFails(t *testing.T) {
	dir := t.TempDir()
	made := filepath.Join(dir, fmt.Sprintf("%x", sha256.Sum256(authenticator())))
	r := newRuntime(t, runtime.Options{CacheDir: dir, Compiler: shell("mkdir " + made + "; echo half > " + made + "/code.1.tmp; exit 1")})
	if _, err := r.Load(t.Context(), []runtime.Policy{{Name: "p", Wasm: authenticator()}}); err == nil {
		t.Error("it was loaded")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 0 {
		t.Errorf("it left %v", left)
	}
}

func TestACompilerNeedsACache(t *testing.T) {
	if _, err := runtime.New(t.Context(), runtime.Options{Compiler: compiler}); err == nil || !strings.Contains(err.Error(), "cache") {
		t.Errorf("error %v", err)
	}
}

// While a set is made, which may take as long as compiling does, others are asked and closed; and Close does not wait.
func TestNothingWaitsForACompiler(t *testing.T) {
	began := make(chan struct{})
	r := newRuntime(t, runtime.Options{CacheDir: t.TempDir(), Compiler: func(ctx context.Context) *exec.Cmd {
		cmd := compiler(ctx)
		if ctx.Value(slow{}) != nil {
			cmd = shell("exec sleep 60")(ctx)
			close(began)
		}
		return cmd
	}})
	set, err := r.Load(t.Context(), []runtime.Policy{{Name: "p", Wasm: passes(abi.PriceResponse)}})
	if err != nil {
		t.Fatal(err)
	}
	loaded := make(chan error, 1)
	go func() {
		_, err := r.Load(context.WithValue(t.Context(), slow{}, true), []runtime.Policy{{Name: "p", Wasm: passes(abi.ChooseStep)}})
		loaded <- err
	}()
	<-began
	if answer := set.PriceResponse(&abi.Pricing{}); answer != abi.NoVerdict {
		t.Errorf("answer %d", answer)
	}
	set.Close()
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := <-loaded; !errors.Is(err, runtime.ErrClosed) {
		t.Errorf("the set that was being made: %v", err)
	}
}

// slow marks the context of a Load whose compiler does not end.
type slow struct{}

func TestWhatAChildIsTold(t *testing.T) {
	for _, test := range []struct {
		name, in, says string
	}{
		{"nothing", "", "the line that says how is missing"},
		{"no job", "compile\n\x00asm", "reading what to compile"},
		{"no module", `{"cache_dir":"` + t.TempDir() + `","memory_pages":1,"time_ns":1000000000,"memory_bytes":1000000000}` + "\njunk", "magic number"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := compiler(t.Context())
			cmd.Stdin = strings.NewReader(test.in)
			out, err := cmd.Output()
			if err == nil || !strings.Contains(string(out), test.says) {
				t.Errorf("it ended with %v and said %q", err, out)
			}
		})
	}
}
