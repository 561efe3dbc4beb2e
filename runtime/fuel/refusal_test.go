package fuel_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// sections writes a module out of sections that guest would not write: id, then content.
func sections(idAndContent ...string) []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	for _, s := range idAndContent {
		out = sec(out, s[0], []byte(s[1:]))
	}
	return out
}

// code writes a module of one function "run" of no parameters, with a memory and 5 globals, "g0" to "g4".
func code(text string) []byte {
	g := run(text)
	g.globals = 5
	return g.wasm()
}

const (
	typeSection     = "\x01\x01\x60\x00\x00"
	functionSection = "\x03\x01\x00"
)

var refusals = []struct {
	name   string
	module []byte
	kind   error
	says   string
}{
	// What the bytes are.
	{"nothing", nil, fuel.ErrMalformed, "no WebAssembly module of version 1"},
	{"a component", []byte("\x00asm\x0d\x00\x01\x00"), fuel.ErrMalformed, "no WebAssembly module of version 1"},
	{"no size of a section", []byte("\x00asm\x01\x00\x00\x00\x01"), fuel.ErrMalformed, "at byte 0x9: unexpected end"},
	{"a section cut short", []byte("\x00asm\x01\x00\x00\x00\x01\x05\x00"), fuel.ErrMalformed, "5 bytes announced, 1 left"},
	{"a section too long", sections(typeSection + "\x00"), fuel.ErrMalformed, "type section: at byte 0xe: 1 bytes too many"},
	{"a section twice", sections(typeSection, typeSection), fuel.ErrMalformed, "type section twice or out of order"},
	{"sections out of order", sections(functionSection, typeSection), fuel.ErrMalformed, "type section twice or out of order"},
	{"an unknown section", sections("\x0d\x00"), fuel.ErrUnsupported, "section 13"},
	{"a count beyond the bytes", sections("\x01\xff\xff\xff\xff\x0f"), fuel.ErrMalformed, "4294967295 entries announced"},
	{"a custom section without a name", sections("\x00\x09abc"), fuel.ErrMalformed, "custom section"},
	{"a name that is not UTF-8", sections("\x00\x02\xff\xfe"), fuel.ErrMalformed, "not UTF-8"},
	{"functions without code", sections(typeSection, functionSection), fuel.ErrMalformed, "1 functions declared, 0 have code"},
	{"code without functions", sections("\x0a\x01\x02\x00\x0b"), fuel.ErrMalformed, "0 functions declared, 1 have code"},
	{"more code than functions", sections(typeSection, functionSection, "\x0a\x02\x02\x00\x0b\x02\x00\x0b"),
		fuel.ErrMalformed, "1 functions declared, 2 have code"},
	{"another number of data segments", sections("\x05\x01\x00\x01", "\x0c\x02", "\x0b\x01\x01\x00"), fuel.ErrMalformed,
		"2 data segments announced, 1 found"},
	{"an unknown data segment", sections("\x0b\x01\x03\x00"), fuel.ErrMalformed, "data segment with flags 3"},
	{"an unknown element segment", sections("\x09\x01\x08\x00"), fuel.ErrMalformed, "element segment with flags 8"},
	{"a mutability of 2", sections("\x06\x01\x7f\x02\x41\x00\x0b"), fuel.ErrMalformed, "mutability 2"},

	// The global that is added must not have a name.
	{"global.get of it", code("global.get 5 drop"), fuel.ErrMalformed, `function 0: at byte 0x7b: global 5 of 5`},
	{"global.set of it", code("i32.const 0 global.set 5"), fuel.ErrMalformed, "global 5 of 5"},
	{"exporting it", sections("\x06\x01\x7f\x01\x41\x00\x0b", "\x07\x01\x01g\x03\x01"), fuel.ErrMalformed, "global 1 of 1"},
	{"a global made of it", sections("\x06\x02\x7f\x01\x41\x00\x0b\x7e\x00\x23\x02\x0b"), fuel.ErrMalformed, "global 2 of 2"},
	{"data at it", sections("\x05\x01\x00\x01", "\x0b\x01\x00\x23\x00\x0b\x00"), fuel.ErrMalformed, "global 0 of 0"},
	{"elements at it", sections("\x04\x01\x70\x00\x01", "\x09\x01\x00\x23\x00\x0b\x00"), fuel.ErrMalformed, "global 0 of 0"},
	{"an element made of it", sections("\x09\x01\x05\x70\x01\x23\x00\x0b"), fuel.ErrMalformed, "global 0 of 0"},
	{"exporting its name", guest{functions: []function{{name: fuel.Export}}}.wasm(), fuel.ErrReserved,
		`export section: at byte 0x26: export "sallyport:fuel": reserved name`},

	// Nor the local.
	{"local.get of it", code("local.get 2 drop i32.const 0 memory.grow drop"), fuel.ErrMalformed, "local 2 of 2"},
	{"local.tee of it", code("i32.const 0 local.tee 2 memory.grow drop"), fuel.ErrMalformed, "local 2 of 2"},

	// Everything else that code names.
	{"call", code("call 1"), fuel.ErrMalformed, "function 1 of 1"},
	{"ref.func", code("ref.func 1 drop"), fuel.ErrMalformed, "function 1 of 1"},
	{"the type of call_indirect", code("i32.const 0 call_indirect 1 0"), fuel.ErrMalformed, "type 1 of 1"},
	{"the table of call_indirect", code("i32.const 0 call_indirect 0 1"), fuel.ErrMalformed, "table 1 of 1"},
	{"the type of a block", code("block 1 end"), fuel.ErrMalformed, "block of type 1 of 1"},
	{"br", code("block void br 2 end"), fuel.ErrMalformed, "label 2 of 2"},
	{"br_table", code("block void i32.const 0 br_table 1 0 2 end"), fuel.ErrMalformed, "label 2 of 2"},
	{"table.size", code("table.size 1 drop"), fuel.ErrMalformed, "table 1 of 1"},
	{"memory.init", code("i32.const 0 i32.const 0 i32.const 0 memory.init 0"), fuel.ErrMalformed, "without a data count"},
	{"table.init", code("i32.const 0 i32.const 0 i32.const 0 table.init 1 0"), fuel.ErrMalformed, "element segment 1 of 1"},
	{"an exported function", sections("\x07\x01\x01f\x00\x00"), fuel.ErrMalformed, "function 0 of 0"},
	{"the start function", sections("\x08\x00"), fuel.ErrMalformed, "function 0 of 0"},

	// Nesting.
	{"a function without end", sections(typeSection, functionSection, "\x0a\x01\x03\x00\x02\x40"), fuel.ErrMalformed,
		"function 0: at byte 0x19: unexpected end"},
	{"code after the end", code("end nop"), fuel.ErrMalformed, "instructions after the end of the function"},
	{"else without if", code("block void else end"), fuel.ErrMalformed, "else without if"},
	{"else twice", code("i32.const 0 if void else else end"), fuel.ErrMalformed, "else without if"},

	// What is beyond WebAssembly 2.0, or is but one of its proposals.
	{"tail calls", code("return_call 0"), fuel.ErrUnsupported, "instruction 0x12 (tail calls)"},
	{"exceptions", code("throw 0"), fuel.ErrUnsupported, "instruction 0x8 (exceptions)"},
	{"threads", code("atomic.fence"), fuel.ErrUnsupported, "instruction 0xfe (threads)"},
	{"garbage collection", code("array.len"), fuel.ErrUnsupported, "instruction 0xfb (garbage collection)"},
	{"shared memory", sections("\x05\x01\x03\x01\x02"), fuel.ErrUnsupported, "shared memory"},
	{"64-bit memory", sections("\x05\x01\x04\x01"), fuel.ErrUnsupported, "64-bit memory"},
	{"two memories", sections("\x05\x02\x00\x01\x00\x01"), fuel.ErrUnsupported, "a second memory"},
	{"a load from another memory", code("i32.const 0 i32.load 66 0 drop"), fuel.ErrUnsupported, "alignment 2^66"},
	{"extended constants", sections("\x06\x01\x7f\x00\x41\x01\x41\x02\x6a\x0b"), fuel.ErrUnsupported, "more than one instruction"},
	{"a structure type", sections("\x01\x01\x5f\x00"), fuel.ErrUnsupported, "type of form 0x5f"},
	{"an unknown value type", sections("\x01\x01\x60\x01\x6e\x00"), fuel.ErrUnsupported, "value type 0x6e"},
	{"an imported tag", sections("\x02\x01\x01m\x01n\x04\x00"), fuel.ErrUnsupported, "import of kind 4"},
	{"an unknown vector instruction", sections(typeSection, functionSection, "\x0a\x01\x06\x00\xfd\x80\x02\x0b\x0b"),
		fuel.ErrUnsupported, "instruction 0x100 after a prefix"},
	{"a gap among the vector instructions", sections(typeSection, functionSection, "\x0a\x01\x06\x00\xfd\x9a\x01\x0b\x0b"),
		fuel.ErrUnsupported, "instruction 0x9a after a prefix"},

	// Numbers written otherwise than the specification allows, which parsers may read differently.
	{"a number of 6 bytes", sections("\x01\x80\x80\x80\x80\x80\x00"), fuel.ErrMalformed, "does not fit 32 bits"},
	{"a number of 33 bits", sections("\x01\x80\x80\x80\x80\x10"), fuel.ErrMalformed, "does not fit 32 bits"},
	{"a constant of 33 bits", sections("\x06\x01\x7f\x00\x41\xff\xff\xff\xff\x0f\x0b"), fuel.ErrMalformed, "does not fit 32 bits"},
	{"a constant of 65 bits", sections("\x06\x01\x7e\x00\x42\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x0b"), fuel.ErrMalformed,
		"does not fit 64 bits"},
}

func TestRefusals(t *testing.T) {
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			_, err := fuel.Instrument(c.module, 0, fuel.DefaultLimits())
			if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v\nwant one that says %q and is %q", err, c.says, c.kind)
			}
		})
	}
}

func TestNegativeFuelIsRefused(t *testing.T) {
	if _, err := fuel.Instrument(work.wasm(), -1, fuel.DefaultLimits()); err == nil {
		t.Error("taken")
	}
}

// TestLimits sets each limit to one less than what a module has, and then to just that.
func TestLimits(t *testing.T) {
	names := fuel.CustomSection{Name: "name", Data: []byte("\x01\x07\x01\x01\x04spin")}
	g := guest{
		imports: []fuel.FuncType{{Params: fuel.I32 + fuel.I64}},
		functions: []function{{
			name: "run", locals: i32s(3), code: "block void block void end end" + strings.Repeat(" nop", 200),
		}},
		globals: 3, table: []uint32{7}, data: "twelve bytes", memory: []uint32{1}, custom: []fuel.CustomSection{names},
	}
	bin := g.wasm()
	for _, c := range []struct {
		says  string
		set   func(*fuel.Limits, int)
		least int
	}{
		{"bytes,", func(l *fuel.Limits, n int) { l.ModuleBytes = n }, len(bin)},
		{`function 1 "spin": at byte 0x75: 214 bytes of code`, func(l *fuel.Limits, n int) { l.FunctionBytes = n }, 214},
		{"2 types", func(l *fuel.Limits, n int) { l.Types = n }, 2},
		{"2 parameters or results", func(l *fuel.Limits, n int) { l.Arity = n }, 2},
		{"1 imports", func(l *fuel.Limits, n int) { l.Imports = n }, 1},
		{"1 functions", func(l *fuel.Limits, n int) { l.Functions = n }, 1},
		{"5 exports", func(l *fuel.Limits, n int) { l.Exports = n }, 5},
		{"3 globals", func(l *fuel.Limits, n int) { l.Globals = n }, 3},
		{"3 locals", func(l *fuel.Limits, n int) { l.Locals = n }, 3},
		{"3 locals in all functions", func(l *fuel.Limits, n int) { l.TotalLocals = n }, 3},
		{"3 nested blocks", func(l *fuel.Limits, n int) { l.Nesting = n }, 3},
		{"1 tables", func(l *fuel.Limits, n int) { l.Tables = n }, 1},
		{"7 table elements", func(l *fuel.Limits, n int) { l.TableElements = n }, 7},
		{"12 bytes of data", func(l *fuel.Limits, n int) { l.DataBytes = n }, 12},
	} {
		t.Run(c.says, func(t *testing.T) {
			limits := unlimited()
			c.set(&limits, c.least)
			if _, err := fuel.Instrument(bin, 0, limits); err != nil {
				t.Errorf("refused at the limit: %v", err)
			}
			c.set(&limits, c.least-1)
			_, err := fuel.Instrument(bin, 0, limits)
			if !errors.Is(err, fuel.ErrLimit) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("over the limit: %v, want one that says %q", err, c.says)
			}
		})
	}
}

func TestTableMayNotGrowWithoutLimit(t *testing.T) {
	growing := []function{{name: "run", code: "ref.null 0x70 i32.const 1 table.grow 0 drop"}}
	for _, c := range []struct {
		sizes []uint32
		taken bool
	}{
		{[]uint32{1}, false},
		{[]uint32{1, 64<<10 + 1}, false},
		{[]uint32{1, 64 << 10}, true},
	} {
		_, err := fuel.Instrument(guest{table: c.sizes, functions: growing}.wasm(), 0, fuel.DefaultLimits())
		if c.taken != (err == nil) || err != nil && !errors.Is(err, fuel.ErrLimit) {
			t.Errorf("table of %d: %v", c.sizes, err)
		}
	}
}

// TestGrowthIsLimited refuses a module that is small but would not stay it.
func TestGrowthIsLimited(t *testing.T) {
	bin := run(strings.Repeat(" loop void i32.const 0 br_if 0 end", 1000)).wasm()
	limits := fuel.DefaultLimits()
	limits.FunctionBytes = 9000
	_, err := fuel.Instrument(bin, 0, limits)
	if !errors.Is(err, fuel.ErrLimit) || !strings.Contains(err.Error(), "after metering") {
		t.Errorf("function: %v", err)
	}
	limits.FunctionBytes, limits.ModuleBytes = 1<<20, 9000
	_, err = fuel.Instrument(bin, 0, limits)
	if !errors.Is(err, fuel.ErrLimit) || !strings.Contains(err.Error(), "after metering") {
		t.Errorf("module: %v", err)
	}
}

// TestTruncationIsRefused cuts a module at each byte. What is left may still be a module only if the cut falls
// between sections.
func TestTruncationIsRefused(t *testing.T) {
	bin := work.wasm()
	whole := []int{8}
	for at := 8; at < len(bin); {
		size, n := int(bin[at+1]), 2
		if size >= 0x80 {
			size, n = size&0x7f|int(bin[at+2])<<7, 3
		}
		at += n + size
		whole = append(whole, at)
	}
	for n := range bin {
		if _, err := fuel.Instrument(bin[:n], 0, fuel.DefaultLimits()); err == nil && !slices.Contains(whole, n) {
			t.Errorf("the first %d bytes were taken", n)
		}
	}
}
