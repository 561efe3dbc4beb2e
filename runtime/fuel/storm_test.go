package fuel_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// budget is the default of a hook.
const budget = 10_000_000

var unary = fuel.FuncType{Params: fuel.I32, Results: fuel.I32}

// storm is a guest that would run for ever, or for so long that nobody waits for it, when "run" is called.
type storm struct {
	name  string
	guest guest
}

func run(code string, more ...function) guest {
	functions := append([]function{{name: "run", locals: fuel.I32 + fuel.I64, code: code}}, more...)
	return guest{memory: []uint32{256, 256}, table: []uint32{uint32(len(functions))}, functions: functions}
}

var storms = []storm{
	{"spin", run("loop void br 0 end")},
	{"conditional spin", run("loop void i32.const 1 br_if 0 end")},
	{"switch spin", run("loop void local.get 0 br_table 0 0 end")},
	{"switch of cheap cases", run(`loop void
		block void block void block void block void
		  local.get 0 br_table 3 0 1 2 3
		end nop end nop end nop end
		br 0 end`)},
	{"spin through an empty nested loop", run("loop void loop void end br 0 end")},
	{"nested loops", run(`loop void
		i32.const 1000000 local.set 0
		loop void local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end
		br 0 end`)},
	{"spin in an else", run("i32.const 0 if void else loop void br 0 end end")},
	{"spin in dead code's neighbour", run("block void br 0 loop void br 0 end end loop void br 0 end")},
	{"exponential calls without a loop", run("i32.const 50 call 1 drop", function{typ: unary, code: `
		local.get 0 i32.eqz if i32 i32.const 1 else
		  local.get 0 i32.const 1 i32.sub call 1
		  local.get 0 i32.const 1 i32.sub call 1 i32.add
		end`})},
	{"recursion", run("call 0")},
	{"mutual recursion", run("call 1", function{code: "call 0"})},
	{"recursion through the table", run("i32.const 0 call_indirect 0 0")},
	{"recursion with a thousand locals", run("call 1", function{locals: i32s(1000), code: "call 1" + keep(1000)})},
	{"recursion with a thousand operands", run("call 1", function{code: operands(1000)})},
	{"host calls", guest{
		imports:   []fuel.FuncType{{}},
		functions: []function{{name: "run", code: "loop void call 0 br 0 end"}},
	}},
	{"host calls through the table", guest{
		imports:   []fuel.FuncType{{}},
		table:     []uint32{2},
		functions: []function{{name: "run", code: "loop void i32.const 0 call_indirect 0 0 br 0 end"}},
	}},
	{"memory.fill", run("loop void i32.const 0 i32.const 7 i32.const 0x1000000 memory.fill br 0 end")},
	{"memory.fill of nothing", run("loop void i32.const 0 i32.const 7 i32.const 0 memory.fill br 0 end")},
	{"memory.copy", run("loop void i32.const 64 i32.const 0 i32.const 0xffff00 memory.copy br 0 end")},
	{"memory.copy of nothing", run("loop void i32.const 0 i32.const 0 i32.const 0 memory.copy br 0 end")},
	{"memory.grow by pages", growing("loop void i32.const 1 memory.grow drop br 0 end")},
	{"memory.grow by nothing", growing("loop void i32.const 0 memory.grow drop br 0 end")},
	{"memory.grow to the sky", growing("loop void i32.const -1 memory.grow drop br 0 end")},
	{"memory.init", guest{
		memory: []uint32{1}, data: strings.Repeat("x", 60000),
		functions: []function{{name: "run", code: `
			loop void i32.const 0 i32.const 0 i32.const 60000 memory.init 0 br 0 end`}},
	}},
	{"table.fill", guest{
		table: []uint32{50000},
		functions: []function{{name: "run", code: `
			loop void i32.const 0 ref.null 0x70 i32.const 50000 table.fill 0 br 0 end`}},
	}},
	{"table.copy", guest{
		table: []uint32{50000},
		functions: []function{{name: "run", code: `
			loop void i32.const 1 i32.const 0 i32.const 49999 table.copy 0 0 br 0 end`}},
	}},
	{"table.grow", guest{
		table:     []uint32{1, 60000},
		functions: []function{{name: "run", code: "loop void ref.null 0x70 i32.const 9 table.grow 0 drop br 0 end"}},
	}},
	{"division", run("loop void" + strings.Repeat(" local.get 1 i64.const 3 i64.div_u i64.const -1 i64.xor local.set 1", 50) +
		" br 0 end")},
	{"square root", run("loop void local.get 1 f64.reinterpret_i64" + strings.Repeat(" f64.sqrt", 50) +
		" i64.reinterpret_f64 local.set 1 br 0 end")},
	{"cache misses", run("i32.const 0x1000000 local.set 0 " + chain + `
		loop void local.get 0` + strings.Repeat(" i32.load 2 0", 1000) + " local.set 0 br 0 end")},
	{"straight code", run("loop void" + strings.Repeat(" local.get 0 i32.const 77 i32.add local.set 0", 10000) + " br 0 end")},
}

// chain links the memory's cache lines to a ring that no prefetcher follows: from the top down, line i points to
// (5i+12345) mod 2^18, which visits them all.
const chain = `
	loop void
	  local.get 0 i32.const 64 i32.sub local.tee 0
	  local.get 0 i32.const 5 i32.mul i32.const 790080 i32.add i32.const 0xffffc0 i32.and
	  i32.store 2 0
	  local.get 0 br_if 0
	end`

func growing(code string) guest {
	return guest{memory: []uint32{1, 256}, functions: []function{{name: "run", code: code}}}
}

func i32s(n int) fuel.Types { return fuel.Types(strings.Repeat(string(fuel.I32), n)) }

// keep uses n locals after a call, so that the call's frame has to hold them.
func keep(n int) string {
	var b strings.Builder
	for i := range n - 1 {
		fmt.Fprintf(&b, " local.get %d local.set %d", i+1, i)
	}
	return b.String()
}

// operands leaves n operands on the stack while it calls itself.
func operands(n int) string {
	return strings.Repeat(" i32.const 0 i32.load 2 0", n) + " call 1" + strings.Repeat(" i32.const 0 i32.store 2 0", n)
}

func TestStormsEnd(t *testing.T) {
	for _, s := range storms {
		t.Run(s.name, func(t *testing.T) {
			mod := instantiateMetered(t, newRuntime(t, wazero.NewRuntimeConfig()), s.guest.wasm(), plenty)
			begin := time.Now()
			used, err := mod.used(t, budget, "run")
			took := time.Since(begin)
			if err == nil || !strings.Contains(err.Error(), "wasm error: unreachable") {
				t.Errorf("ended with %v", err)
			}
			if mod.left() >= 0 {
				t.Errorf("%d units are left", mod.left())
			}
			t.Logf("%d units, %v", used, took)
		})
	}
}

func TestStartFunctionRunsOnInitialFuel(t *testing.T) {
	g := run("i32.const 0x1000000 drop", function{name: "start", code: "loop void br 0 end"})
	g.start = "start"
	_, err := instantiate(t, newRuntime(t, wazero.NewRuntimeConfig()), meter(t, g.wasm(), budget))
	if err == nil || !strings.Contains(err.Error(), "wasm error: unreachable") {
		t.Errorf("instantiating: %v", err)
	}
}
