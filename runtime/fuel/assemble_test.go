package fuel_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// guest describes a module in as few words as the tests need. Functions are numbered from the imported ones on, and
// the type of function i has index i.
type guest struct {
	imports   []fuel.FuncType // functions "host" "f0", "f1", …
	functions []function
	memory    []uint32 // minimum and, if wanted, maximum
	table     []uint32 // minimum and, if wanted, maximum; starts with every function in it, the imported ones first
	globals   int      // mutable i32 globals, exported as "g0", "g1", …
	start     string   // the export name of the start function
	data      string   // a passive data segment
	custom    []fuel.CustomSection
	exports   []string // more names for function 0
}

type function struct {
	name   string // of the export
	typ    fuel.FuncType
	locals fuel.Types
	code   string // see assemble; the last end is added
}

// wasm writes the module in the binary format.
func (g guest) wasm() []byte {
	var types, imports, funcs, exports, code, elements vector
	addType := func(t fuel.FuncType) {
		types.add([]byte{0x60}, str(string(t.Params)), str(string(t.Results)))
	}
	for i, t := range g.imports {
		addType(t)
		imports.add(str("host"), str(fmt.Sprint("f", i)), []byte{0}, uleb(i))
		elements.add(uleb(i))
	}
	start := []byte(nil)
	for i, f := range g.functions {
		i += len(g.imports)
		addType(f.typ)
		funcs.add(uleb(i))
		if f.name != "" {
			exports.add(str(f.name), []byte{byte(fuel.Func)}, uleb(i))
		}
		if f.name == g.start && g.start != "" {
			start = uleb(i)
		}
		code.add(str(string(f.body())))
		elements.add(uleb(i))
	}
	for _, name := range g.exports {
		exports.add(str(name), []byte{byte(fuel.Func)}, uleb(0))
	}
	var tables, memories, globals, segments, data vector
	if g.table != nil {
		tables.add([]byte(fuel.FuncRef), sizes(g.table))
		segments.add([]byte{0}, assemble("i32.const 0 end"), elements.bytes())
	}
	if g.memory != nil {
		memories.add(sizes(g.memory))
		exports.add(str("memory"), []byte{byte(fuel.Memory), 0})
	}
	for i := range g.globals {
		globals.add([]byte(fuel.I32), []byte{1}, assemble("i32.const 0 end"))
		exports.add(str(fmt.Sprint("g", i)), []byte{byte(fuel.Global)}, uleb(i))
	}
	out := []byte("\x00asm\x01\x00\x00\x00")
	out = sec(out, 1, types.bytes())
	out = sec(out, 2, imports.bytes())
	out = sec(out, 3, funcs.bytes())
	out = sec(out, 4, tables.bytes())
	out = sec(out, 5, memories.bytes())
	out = sec(out, 6, globals.bytes())
	out = sec(out, 7, exports.bytes())
	out = sec(out, 8, start)
	out = sec(out, 9, segments.bytes())
	if g.data != "" {
		data.add([]byte{1}, str(g.data))
		out = sec(out, 12, uleb(1))
	}
	out = sec(out, 10, code.bytes())
	out = sec(out, 11, data.bytes())
	for _, c := range g.custom {
		out = sec(out, 0, slices.Concat(str(c.Name), c.Data))
	}
	return out
}

func (f function) body() []byte {
	var locals vector
	for _, t := range []byte(f.locals) {
		locals.add([]byte{1, t})
	}
	if locals.n == 0 {
		return slices.Concat([]byte{0}, assemble(f.code+" end"))
	}
	return slices.Concat(locals.bytes(), assemble(f.code+" end"))
}

// vector is a counted list of things.
type vector struct {
	n    int
	data []byte
}

func (v *vector) add(parts ...[]byte) {
	v.n++
	v.data = append(v.data, slices.Concat(parts...)...)
}

// bytes is empty for an empty vector, which leaves out its section.
func (v *vector) bytes() []byte {
	if v.n == 0 {
		return nil
	}
	return append(uleb(v.n), v.data...)
}

func sec(out []byte, id byte, payload []byte) []byte {
	if payload == nil {
		return out
	}
	return append(append(out, id), str(string(payload))...)
}

func sizes(s []uint32) []byte {
	out := []byte{byte(len(s) - 1)}
	for _, n := range s {
		out = append(out, uleb(n)...)
	}
	return out
}

func str(s string) []byte { return append(uleb(len(s)), s...) }

func uleb[T int | uint32 | uint64](v T) []byte { return binary.AppendUvarint(nil, uint64(v)) }

// sleb writes a signed LEB128.
func sleb(v int64) []byte {
	var out []byte
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b < 0x40 || v == -1 && b >= 0x40 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

// mnemonics gives the opcode of each instruction that the tests use, and what follows it: u unsigned numbers, s a
// signed number, t a block type (void, i32, i64 or a type index), l a counted list of labels and a default, 0 a zero.
var mnemonics = map[string]struct{ opcode, follows string }{
	"unreachable": {"\x00", ""}, "nop": {"\x01", ""}, "block": {"\x02", "t"}, "loop": {"\x03", "t"}, "if": {"\x04", "t"},
	"else": {"\x05", ""}, "end": {"\x0b", ""}, "br": {"\x0c", "u"}, "br_if": {"\x0d", "u"}, "br_table": {"\x0e", "l"},
	"return": {"\x0f", ""}, "call": {"\x10", "u"}, "call_indirect": {"\x11", "uu"}, "return_call": {"\x12", "u"},
	"throw": {"\x08", "u"}, "drop": {"\x1a", ""}, "select": {"\x1b", ""},
	"local.get": {"\x20", "u"}, "local.set": {"\x21", "u"}, "local.tee": {"\x22", "u"},
	"global.get": {"\x23", "u"}, "global.set": {"\x24", "u"},
	"i32.load": {"\x28", "uu"}, "i64.load": {"\x29", "uu"}, "i32.store": {"\x36", "uu"}, "i64.store": {"\x37", "uu"},
	"memory.size": {"\x3f", "0"}, "memory.grow": {"\x40", "0"},
	"i32.const": {"\x41", "s"}, "i64.const": {"\x42", "s"},
	"i32.eqz": {"\x45", ""}, "i32.eq": {"\x46", ""}, "i32.ne": {"\x47", ""}, "i32.lt_s": {"\x48", ""},
	"i32.lt_u": {"\x49", ""}, "i32.add": {"\x6a", ""}, "i32.sub": {"\x6b", ""}, "i32.mul": {"\x6c", ""},
	"i32.div_u": {"\x6e", ""}, "i32.rem_u": {"\x70", ""}, "i32.and": {"\x71", ""}, "i32.or": {"\x72", ""},
	"i32.xor": {"\x73", ""}, "i32.shl": {"\x74", ""}, "i32.rotl": {"\x77", ""},
	"i64.add": {"\x7c", ""}, "i64.mul": {"\x7e", ""}, "i64.div_u": {"\x80", ""}, "i64.xor": {"\x85", ""},
	"i32.wrap_i64": {"\xa7", ""}, "i64.extend_i32_u": {"\xad", ""}, "f64.sqrt": {"\x9f", ""},
	"f64.reinterpret_i64": {"\xbf", ""}, "i64.reinterpret_f64": {"\xbd", ""},
	"ref.null": {"\xd0", "u"}, "ref.func": {"\xd2", "u"},
	"memory.init": {"\xfc\x08", "u0"}, "memory.copy": {"\xfc\x0a", "00"}, "memory.fill": {"\xfc\x0b", "0"},
	"table.init": {"\xfc\x0c", "uu"}, "table.copy": {"\xfc\x0e", "uu"}, "table.grow": {"\xfc\x0f", "u"},
	"table.size": {"\xfc\x10", "u"}, "table.fill": {"\xfc\x11", "u"},
	"atomic.fence": {"\xfe\x03", "0"}, "i32x4.splat": {"\xfd\x11", ""}, "i32x4.all_true": {"\xfd\xa3\x01", ""},
	"array.len": {"\xfb\x0f", ""},
}

// assemble turns instructions in words into bytes. It panics on what it does not know: the words are the tests' own.
func assemble(text string) []byte {
	var out []byte
	words := strings.Fields(text)
	next := func() string {
		w := words[0]
		words = words[1:]
		return w
	}
	number := func() int64 {
		v, err := strconv.ParseInt(next(), 0, 64)
		if err != nil {
			panic(err)
		}
		return v
	}
	for len(words) > 0 {
		word := next()
		m, ok := mnemonics[word]
		if !ok {
			panic("no such instruction: " + word)
		}
		out = append(out, m.opcode...)
		for _, f := range m.follows {
			switch f {
			case 'u':
				out = append(out, uleb(uint64(number()))...)
			case 's':
				out = append(out, sleb(number())...)
			case 't':
				out = append(out, blockType(next())...)
			case 'l':
				labels := number()
				out = append(out, uleb(uint64(labels))...)
				for range labels + 1 {
					out = append(out, uleb(uint64(number()))...)
				}
			case '0':
				out = append(out, 0)
			}
		}
	}
	return out
}

func blockType(word string) []byte {
	switch word {
	case "void":
		return []byte{0x40}
	case "i32":
		return []byte(fuel.I32)
	case "i64":
		return []byte(fuel.I64)
	}
	index, err := strconv.Atoi(word)
	if err != nil {
		panic(err)
	}
	return sleb(int64(index))
}
