package fuel_test

import (
	"bytes"
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// FuzzInstrument gives arbitrary bytes to Instrument. What it takes must be refused the second time, for the name
// that it exports by then, and must be compiled by the engine exactly if the original is.
func FuzzInstrument(f *testing.F) {
	f.Add(work.wasm())
	f.Add(generate(random(1, 300)).wasm())
	for _, s := range storms {
		f.Add(s.guest.wasm())
	}
	for _, c := range refusals {
		f.Add(c.module)
	}
	r := wazero.NewRuntimeWithConfig(context.Background(), wazero.NewRuntimeConfigInterpreter())
	f.Cleanup(func() { _ = r.Close(context.Background()) })
	f.Fuzz(func(t *testing.T, bin []byte) {
		m, err := fuel.Instrument(bin, 1000, fuel.DefaultLimits())
		if err != nil {
			if !classified(err) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		again, err := fuel.Instrument(bin, 1000, fuel.DefaultLimits())
		if err != nil || !bytes.Equal(m.Binary, again.Binary) {
			t.Fatalf("another result the second time: %v", err)
		}
		if _, err := fuel.Instrument(m.Binary, 1000, fuel.DefaultLimits()); !errors.Is(err, fuel.ErrReserved) &&
			!errors.Is(err, fuel.ErrLimit) {
			t.Fatalf("metering what is metered: %v", err)
		}
		plain, metered := compiles(t, r, bin), compiles(t, r, m.Binary)
		if (plain == nil) != (metered == nil) {
			t.Fatalf("compiling it plain: %v, metered: %v", plain, metered)
		}
	})
}

func classified(err error) bool {
	for _, kind := range []error{fuel.ErrMalformed, fuel.ErrUnsupported, fuel.ErrLimit, fuel.ErrReserved} {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// compiles puts a section behind the module, because wazero trips over an empty custom section where it is the last.
func compiles(t *testing.T, r wazero.Runtime, bin []byte) error {
	t.Helper()
	c, err := r.CompileModule(t.Context(), append(slices.Clip(bin), "\x00\x03\x01xy"...))
	if err == nil {
		err = c.Close(t.Context())
	}
	return err
}

// FuzzPrograms runs generated programs plain, metered, and metered instruction by instruction.
func FuzzPrograms(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(random(seed, 400))
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		if len(choices) > 2000 {
			t.Skip("longer programs find nothing more")
		}
		checkProgram(t, choices)
	})
}

// TestPrograms does the same for a fixed lot of programs, so that every test run sees some.
func TestPrograms(t *testing.T) {
	long(t)
	for seed := range uint64(80) {
		checkProgram(t, random(1000+seed, 500))
	}
}

func random(seed uint64, n int) []byte {
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	b := make([]byte, n)
	_, _ = src.Read(b)
	return b
}

func checkProgram(t *testing.T, choices []byte) {
	t.Helper()
	bin := generate(choices).wasm()
	if worst, err := fuel.WorstBalance(bin, unlimited()); err != nil || worst < 0 {
		t.Fatalf("some path executes %d units more than it paid for: %v", -worst, err)
	}
	metered := meter(t, bin, 0)
	exactly, err := fuel.MeterExactly(bin, 0)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := perform(t, bin, plenty)
	got, used := perform(t, metered, plenty)
	if got != want {
		t.Fatalf("metered it did %+v, plain %+v", got, want)
	}
	same, exact := perform(t, exactly, plenty)
	if same != want {
		t.Fatalf("metered exactly it did %+v, plain %+v", same, want)
	}
	if used < exact {
		t.Fatalf("took %d units for what costs %d", used, exact)
	}
	if enough, _ := perform(t, metered, used); enough != want {
		t.Fatalf("with the %d units that it takes it did %+v, plain %+v", used, enough, want)
	}
	if short, over := perform(t, metered, used-1); over < used || short.trap == "" {
		t.Fatalf("with one unit less than the %d that it takes it did %+v and took %d", used, short, over)
	}
}

// outcome is all that can be seen of a program's run.
type outcome struct {
	result, g0, g1, memory uint64
	trap                   string
}

// perform runs a program on its own runtime and returns the fuel that it took.
func perform(t *testing.T, bin []byte, budget int64) (outcome, int64) {
	t.Helper()
	ctx := t.Context()
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig())
	defer r.Close(ctx)
	mod, err := r.Instantiate(ctx, bin)
	if err != nil {
		t.Fatal(err)
	}
	left, isMetered := mod.ExportedGlobal(fuel.Export).(api.MutableGlobal)
	if isMetered {
		left.Set(plenty)
	}
	if _, err := mod.ExportedFunction("arm").Call(ctx, 3000); err != nil {
		t.Fatal(err)
	}
	if isMetered {
		left.Set(uint64(budget))
	}
	var o outcome
	results, err := mod.ExportedFunction("run0").Call(ctx, 7, 12345)
	if err != nil {
		o.trap, _, _ = strings.Cut(err.Error(), "\n")
	} else {
		o.result = results[0]
	}
	o.g0, o.g1 = mod.ExportedGlobal("g0").Get(), mod.ExportedGlobal("g1").Get()
	sum := fnv.New64a()
	memory, _ := mod.Memory().Read(0, mod.Memory().Size())
	_, _ = sum.Write(memory)
	o.memory = sum.Sum64()
	if !isMetered {
		return o, 0
	}
	return o, budget - int64(left.Get())
}
