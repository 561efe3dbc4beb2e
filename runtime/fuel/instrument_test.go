package fuel_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// TestCosts states what the package comment says that things cost: fuel taken by "run" beyond its entry's 32 and its
// two locals.
func TestCosts(t *testing.T) {
	const entry = 32 + 2
	callee := function{typ: fuel.FuncType{Params: fuel.I32}, locals: i32s(9)}
	for _, c := range []struct {
		name, code string
		want       int64
	}{
		{"nothing", "", 0},
		{"nop", "nop nop", 0},
		{"ordinary instructions", "i32.const 1 drop", 2},
		{"blocks", strings.Repeat("block void ", 300) + strings.Repeat("end ", 300), 0},
		{"both arms of an if", "i32.const 0 if void i32.const 1 drop else i32.const 1 drop end", 2 + 4},
		{"what a branch skips", "block void br 0 i32.const 1 drop end", 1 + 2},
		{"division", "i32.const 1 i32.const 1 i32.div_u drop", 8 + 3},
		{"load", "i32.const 0 i32.load 2 0 drop", 8 + 2},
		{"store", "i32.const 0 i32.const 0 i32.store 2 0", 3},
		{"call", "i32.const 0 call 1", 2 + 32 + 10},
		{"call through the table", "i32.const 0 i32.const 1 call_indirect 1 0", 2 + 33 + 32 + 10},
		{"ten turns of a loop", `i32.const 10 local.set 0
			loop void local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end`, 2 + 10*5},
		{"a loop that is not entered", "i32.const 0 if void loop void i32.const 1 br_if 0 end end", 2},
		{"memory.fill by 8 bytes", "i32.const 0 i32.const 0 i32.const 807 memory.fill", 3 + 8 + 100},
		{"memory.copy by 8 bytes", "i32.const 0 i32.const 0 i32.const 800 memory.copy", 3 + 8 + 100},
		{"memory.grow by page", "i32.const 2 memory.grow drop", 2 + 64 + 2*8192},
		{"table.copy by element", "i32.const 0 i32.const 0 i32.const 2 table.copy 0 0", 3 + 8 + 2},
		{"a dear case of a switch, and the cheap ones in advance", `
			block void block void block void i32.const 0 br_table 2 1 0 2
			end ` + strings.Repeat("nop ", 99) + `i32.const 1 drop
			end ` + strings.Repeat("i32.const 1 drop ", 20) + `br 0
			end`, 2 + 2 + 41},
		{"no case of a switch but the one", `
			block void block void block void i32.const 1 br_table 2 0 1 2
			end ` + strings.Repeat("i32.const 1 drop ", 5000) + `
			end ` + strings.Repeat("i32.const 1 drop ", 20) + `
			end`, 2 + 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			mod := instantiateMetered(t, newRuntime(t, wazero.NewRuntimeConfig()), run(c.code, callee).wasm(), 0)
			used, err := mod.used(t, plenty, "run")
			if err != nil {
				t.Fatal(err)
			}
			if used-entry != c.want {
				t.Errorf("costs %d, want %d", used-entry, c.want)
			}
		})
	}
}

func TestInfo(t *testing.T) {
	manifest := fuel.CustomSection{Name: "manifest", Data: []byte("name: x")}
	g := guest{
		imports:   []fuel.FuncType{{Params: fuel.I32 + fuel.I64, Results: fuel.F64}},
		functions: []function{{name: "start", code: "nop"}, {code: "nop"}},
		memory:    []uint32{2, 16}, table: []uint32{3}, globals: 1, start: "start",
		custom: []fuel.CustomSection{manifest},
	}
	m, err := fuel.Instrument(g.wasm(), 0, fuel.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	want := fuel.Info{
		Imports: []fuel.ImportType{
			{Module: "host", Name: "f0", Kind: fuel.Func, Func: fuel.FuncType{Params: fuel.I32 + fuel.I64, Results: fuel.F64}},
		},
		Exports: []fuel.ExportType{
			{Name: "start", Kind: fuel.Func}, {Name: "memory", Kind: fuel.Memory}, {Name: "g0", Kind: fuel.Global},
		},
		Memory:    &fuel.MemoryType{Min: 2, Max: 16, HasMax: true},
		Start:     true,
		Functions: 2,
		Custom:    []fuel.CustomSection{manifest},
	}
	if !reflect.DeepEqual(m.Info, want) {
		t.Errorf("%+v\nwant %+v", m.Info, want)
	}
}

func TestTypesAsText(t *testing.T) {
	for _, c := range []struct {
		is   fmt.Stringer
		want string
	}{
		{fuel.FuncType{Results: fuel.I32}, "() -> (i32)"},
		{fuel.FuncType{Params: fuel.I32 + fuel.I64 + fuel.V128}, "(i32, i64, v128) -> ()"},
		{fuel.F32 + fuel.F64 + fuel.FuncRef + fuel.ExternRef, "(f32, f64, funcref, externref)"},
		{fuel.Func, "function"}, {fuel.Table, "table"}, {fuel.Memory, "memory"}, {fuel.Global, "global"},
		{fuel.Kind(9), "unknown"}, {fuel.Types("?"), "(unknown)"},
	} {
		if got := c.is.String(); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestCustomSectionsStay checks that they stand where they stood, except those that would now point astray.
func TestCustomSectionsStay(t *testing.T) {
	g := work
	g.custom = []fuel.CustomSection{
		{Name: "producers", Data: []byte("someone")}, {Name: ".debug_line", Data: []byte("0x40: line 7")}, {Name: "name"},
	}
	m, err := fuel.Instrument(g.wasm(), 0, fuel.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(m.Binary, []byte("\x00\x11\x09producerssomeone\x00\x05\x04name")) {
		t.Errorf("ends with %q", m.Binary[len(m.Binary)-60:])
	}
	if len(m.Custom) != 3 {
		t.Errorf("Info knows %d custom sections, want all 3", len(m.Custom))
	}
}

// TestEmptyModule has neither a global nor an export section to add to.
func TestEmptyModule(t *testing.T) {
	for _, bin := range [][]byte{
		sections(),
		sections("\x00\x01x"),
		sections(typeSection, functionSection, "\x0a\x01\x02\x00\x0b"),
	} {
		mod := instantiateMetered(t, newRuntime(t, wazero.NewRuntimeConfig()), bin, 77)
		if mod.left() != 77 {
			t.Errorf("%d units of fuel, want 77", mod.left())
		}
	}
}

// TestFuelIsSetForEachCall shows a budget used up by one call and given anew for the next.
func TestFuelIsSetForEachCall(t *testing.T) {
	mod := instantiateMetered(t, newRuntime(t, wazero.NewRuntimeConfig()), work.wasm(), 0)
	one, err := mod.used(t, plenty, "fib", 10)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mod.used(t, one-1, "fib", 10); err == nil || mod.left() >= 0 {
		t.Errorf("with %d units: %v, %d left", one-1, err, mod.left())
	}
	if used, err := mod.used(t, one, "fib", 10); err != nil || used != one {
		t.Errorf("with %d units: %v, took %d", one, err, used)
	}
}

// TestOwnUnreachableLeavesFuel is how a host tells a guest's failure from exhaustion.
func TestOwnUnreachableLeavesFuel(t *testing.T) {
	mod := instantiateMetered(t, newRuntime(t, wazero.NewRuntimeConfig()), run("unreachable").wasm(), 0)
	if _, err := mod.used(t, 1000, "run"); err == nil || mod.left() < 0 {
		t.Errorf("%v with %d left", err, mod.left())
	}
}

// TestGoGuest compares a real guest, whose runtime switches stacks and collects garbage, with and without metering.
func TestGoGuest(t *testing.T) {
	long(t)
	bin := goGuest(t)
	r := newRuntime(t, wazero.NewRuntimeConfig())
	plain := mustInstantiate(t, r, bin)
	metered := instantiateMetered(t, r, bin, plenty)
	for _, c := range []struct {
		name string
		args []uint64
	}{
		{"empty", nil},
		{"decode", nil},
		{"churn", []uint64{300}},
		{"goroutines", []uint64{50}},
		{"match", []uint64{40}},
		{"recovered", []uint64{1}},
		{"recovered", []uint64{7}},
		{"fib", []uint64{15}},
	} {
		want, err := plain.ExportedFunction(c.name).Call(t.Context(), c.args...)
		if err != nil {
			t.Fatalf("%s plain: %v", c.name, err)
		}
		metered.fuel.Set(plenty)
		got, err := metered.ExportedFunction(c.name).Call(t.Context(), c.args...)
		if err != nil || got[0] != want[0] {
			t.Errorf("%s%v = %v, %v, want %v", c.name, c.args, got, err, want)
		}
		t.Logf("%s%v: %d units", c.name, c.args, plenty-metered.left())
	}
	if used, err := metered.used(t, budget, "spin"); err == nil || used <= budget {
		t.Errorf("spin: %v after %d units", err, used)
	}
}

// TestFlippedBytes changes a byte of a real module here and there. It may well be taken, but nothing may panic.
func TestFlippedBytes(t *testing.T) {
	long(t)
	bin := bytes.Clone(goGuest(t))
	for i := range 12 {
		at, with := len(bin)/12*i+i, byte(1<<(i%8))
		bin[at] ^= with
		if _, err := fuel.Instrument(bin, 0, fuel.DefaultLimits()); err != nil && !classified(err) {
			t.Errorf("byte %#x: an error of no kind: %v", at, err)
		}
		bin[at] ^= with
	}
}

// TestMeteredCallAllocatesNothing pins what the host pays: setting the fuel, the call, reading it.
func TestMeteredCallAllocatesNothing(t *testing.T) {
	mod := instantiateMetered(t, newRuntime(t, wazero.NewRuntimeConfig()), work.wasm(), 0)
	f, stack, ctx := mod.ExportedFunction("fib"), make([]uint64, 1), t.Context()
	allocs := testing.AllocsPerRun(100, func() {
		stack[0] = 10
		mod.fuel.Set(budget)
		if err := f.CallWithStack(ctx, stack); err != nil || mod.left() < 0 {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want none", allocs)
	}
}

// TestEveryPathIsPaidFor looks at all paths through real code, through what the storms do, and through switches in
// which a case is reached by one br_table and falls into a case that is reached by another.
func TestEveryPathIsPaidFor(t *testing.T) {
	modules := map[string][]byte{"Go guest": goGuest(t)}
	for _, s := range storms {
		modules[s.name] = s.guest.wasm()
	}
	for _, cheap := range []string{"nop", "i32.const 1 drop"} {
		modules["two switches, "+cheap] = run(`
			block void block void
			  loop void
			    local.get 0 if void local.get 0 br_table 0 2 end
			  end
			  local.get 0 br_table 0 1
			end ` + cheap + `
			end ` + strings.Repeat("i32.const 1 drop ", 10)).wasm()
	}
	for name, bin := range modules {
		if worst, err := fuel.WorstBalance(bin, fuel.DefaultLimits()); err != nil || worst < 0 {
			t.Errorf("%s: some path executes %d units more than it paid for: %v", name, -worst, err)
		}
	}
}

// long marks a test that compiles much WebAssembly, which takes a minute under the race detector and shows nothing
// there: it runs without -short, on one goroutine.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("compiles much")
	}
}
