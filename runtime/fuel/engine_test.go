package fuel_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// plenty is more fuel than any test burns.
const plenty = math.MaxInt64 / 2

// unlimited lets test suites through that do what no policy should.
func unlimited() fuel.Limits {
	const n = math.MaxInt32
	return fuel.Limits{
		ModuleBytes: n, FunctionBytes: n, Types: n, Arity: n, Imports: n, Functions: n, Exports: n, Globals: n, Locals: n,
		TotalLocals: n, Nesting: n, Tables: n, TableElements: math.MaxUint32, DataBytes: n,
	}
}

func newRuntime(tb testing.TB, config wazero.RuntimeConfig) wazero.Runtime {
	tb.Helper()
	r := wazero.NewRuntimeWithConfig(tb.Context(), config)
	tb.Cleanup(func() { _ = r.Close(context.Background()) })
	return r
}

// instantiate runs a module as it is, with an empty WASI for Go guests and "host" "f0" for the assembled ones.
func instantiate(tb testing.TB, r wazero.Runtime, bin []byte) (api.Module, error) {
	tb.Helper()
	ctx := tb.Context()
	if r.Module("host") == nil {
		wasi_snapshot_preview1.MustInstantiate(ctx, r)
		host := r.NewHostModuleBuilder("host")
		host.NewFunctionBuilder().WithFunc(func() {}).Export("f0")
		if _, err := host.Instantiate(ctx); err != nil {
			tb.Fatal(err)
		}
	}
	return r.InstantiateWithConfig(ctx, bin, wazero.NewModuleConfig().WithName("").WithStartFunctions())
}

func mustInstantiate(tb testing.TB, r wazero.Runtime, bin []byte) api.Module {
	tb.Helper()
	mod, err := instantiate(tb, r, bin)
	if err != nil {
		tb.Fatal(err)
	}
	if f := mod.ExportedFunction("_initialize"); f != nil {
		if _, err := f.Call(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
	return mod
}

func meter(tb testing.TB, bin []byte, initial int64) []byte {
	tb.Helper()
	m, err := fuel.Instrument(bin, initial, unlimited())
	if err != nil {
		tb.Fatal(err)
	}
	return m.Binary
}

// metered is an instance whose fuel the test can set and read.
type metered struct {
	api.Module
	fuel api.MutableGlobal
}

func instantiateMetered(tb testing.TB, r wazero.Runtime, bin []byte, initial int64) metered {
	tb.Helper()
	mod := mustInstantiate(tb, r, meter(tb, bin, initial))
	return metered{mod, mod.ExportedGlobal(fuel.Export).(api.MutableGlobal)}
}

func (m metered) left() int64 { return int64(m.fuel.Get()) }

// used calls a function with a budget and returns what it took of it.
func (m metered) used(tb testing.TB, budget int64, name string, args ...uint64) (int64, error) {
	tb.Helper()
	m.fuel.Set(uint64(budget))
	_, err := m.ExportedFunction(name).Call(tb.Context(), args...)
	return budget - m.left(), err
}

// goGuest builds the Go guest of testdata, once for all tests.
func goGuest(tb testing.TB) []byte {
	tb.Helper()
	bin, err := buildGoGuest()
	if err != nil {
		tb.Fatal(err)
	}
	return bin
}

var buildGoGuest = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "fuel-guest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "guest.wasm")
	build := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, "./testdata/guest")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if msg, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the Go guest: %w\n%s", err, msg)
	}
	return os.ReadFile(out)
})
