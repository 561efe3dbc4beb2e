// Package wasmtest assembles small WebAssembly modules, so that tests say what a guest does where they say what
// should come of it, without a toolchain.
//
// Only tests import it. It imports abi. It checks nothing: a test may want a bad module.
package wasmtest

import (
	"encoding/binary"
	"slices"
)

// Type is a value type of the binary format.
type Type byte

// The value types.
const (
	I32 Type = 0x7f
	I64 Type = 0x7e
	F32 Type = 0x7d
	F64 Type = 0x7c
)

// Kind is what an import or an export is.
type Kind byte

// The kinds.
const (
	Func Kind = iota
	Table
	Memory
	Global
)

// Index names a function, or a global, of the module that is being assembled.
type Index uint32

// Module is a module that is being assembled. Imports come before functions. The zero value is an empty module.
type Module struct {
	types   []byte
	imports []byte
	funcs   []byte
	table   []byte
	memory  []byte
	globals []byte
	exports []byte
	start   []byte
	elems   []byte
	code    []byte
	data    []byte
	custom  []byte
	counts  [12]uint32 // elements by section id
	indexes uint32     // functions, imported ones included
}

// Section ids.
const (
	secType   = 1
	secImport = 2
	secFunc   = 3
	secTable  = 4
	secMemory = 5
	secGlobal = 6
	secExport = 7
	secStart  = 8
	secElem   = 9
	secCode   = 10
	secData   = 11
)

// Import imports a function.
func (m *Module) Import(module, name string, params, results []Type) Index {
	m.imports = append(name2(m.imports, module, name), byte(Func))
	m.imports = appendU(m.imports, m.newType(params, results))
	m.counts[secImport]++
	m.indexes++
	return Index(m.indexes - 1)
}

// ImportMemory imports a memory of at least min pages.
func (m *Module) ImportMemory(module, name string, min uint32) {
	m.imports = append(name2(m.imports, module, name), byte(Memory), 0)
	m.imports = appendU(m.imports, min)
	m.counts[secImport]++
}

// Func adds a function with locals after its parameters, and exports it unless export is empty.
func (m *Module) Func(export string, params, results, locals []Type, body ...[]byte) Index {
	m.funcs = appendU(m.funcs, m.newType(params, results))
	m.counts[secFunc]++
	code := appendU(nil, uint32(len(locals)))
	for _, t := range locals {
		code = append(code, 1, byte(t))
	}
	code = append(slices.Concat(code, slices.Concat(body...)), 0x0b)
	m.code = append(appendU(m.code, uint32(len(code))), code...)
	m.counts[secCode]++
	m.indexes++
	index := Index(m.indexes - 1)
	if export != "" {
		m.Export(export, Func, index)
	}
	return index
}

// Hook adds and exports a function of type () -> i32, which is what hooks are.
func (m *Module) Hook(name string, body ...[]byte) Index {
	return m.Func(name, nil, []Type{I32}, nil, body...)
}

// Memory adds a memory of at least min pages and exports it as "memory".
func (m *Module) Memory(min uint32) *Module {
	m.memory = appendU([]byte{0}, min)
	m.counts[secMemory] = 1
	m.Export("memory", Memory, 0)
	return m
}

// MemoryOfType adds a memory of a type that is given as it is written: flags, then sizes. Called twice, it adds two.
func (m *Module) MemoryOfType(flags byte, sizes ...uint32) {
	m.memory = append(m.memory, flags)
	for _, s := range sizes {
		m.memory = appendU(m.memory, s)
	}
	m.counts[secMemory]++
}

// Table adds a table of size elements, of which the first are the functions.
func (m *Module) Table(size uint32, functions ...Index) {
	m.table = appendU([]byte{0x70, 0}, size)
	m.counts[secTable] = 1
	m.elems = appendU(append([]byte{0}, Code(I32Const(0), End)...), uint32(len(functions)))
	for _, f := range functions {
		m.elems = appendU(m.elems, uint32(f))
	}
	m.counts[secElem] = 1
}

// Custom adds a custom section at the module's end.
func (m *Module) Custom(name string, content []byte) {
	content = append(appendName(nil, name), content...)
	m.custom = append(appendU(append(m.custom, 0), uint32(len(content))), content...)
}

// Global adds a mutable i64 global.
func (m *Module) Global(initial int64) Index {
	m.globals = slices.Concat(m.globals, []byte{byte(I64), 1}, I64Const(initial), []byte{0x0b})
	m.counts[secGlobal]++
	return Index(m.counts[secGlobal] - 1)
}

// Export exports something under a further name.
func (m *Module) Export(name string, kind Kind, index Index) {
	m.exports = append(appendName(m.exports, name), byte(kind))
	m.exports = appendU(m.exports, uint32(index))
	m.counts[secExport]++
}

// Start makes a function the start function.
func (m *Module) Start(f Index) { m.start = appendU(nil, uint32(f)) }

// Data fills memory from offset on.
func (m *Module) Data(offset int32, b []byte) {
	m.data = slices.Concat(m.data, []byte{0}, I32Const(offset), []byte{0x0b})
	m.data = append(appendU(m.data, uint32(len(b))), b...)
	m.counts[secData]++
}

// Bytes returns the module.
func (m *Module) Bytes() []byte {
	out := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, content []byte) {
		if len(content) == 0 {
			return
		}
		if id != secStart {
			content = append(appendU(nil, m.counts[id]), content...)
		}
		out = append(appendU(append(out, id), uint32(len(content))), content...)
	}
	section(secType, m.types)
	section(secImport, m.imports)
	section(secFunc, m.funcs)
	section(secTable, m.table)
	section(secMemory, m.memory)
	section(secGlobal, m.globals)
	section(secExport, m.exports)
	section(secStart, m.start)
	section(secElem, m.elems)
	section(secCode, m.code)
	section(secData, m.data)
	return append(out, m.custom...)
}

func (m *Module) newType(params, results []Type) uint32 {
	m.types = append(m.types, 0x60)
	for _, list := range [][]Type{params, results} {
		m.types = appendU(m.types, uint32(len(list)))
		for _, t := range list {
			m.types = append(m.types, byte(t))
		}
	}
	m.counts[secType]++
	return m.counts[secType] - 1
}

func name2(b []byte, module, name string) []byte { return appendName(appendName(b, module), name) }

func appendName(b []byte, s string) []byte { return append(appendU(b, uint32(len(s))), s...) }

// appendU appends an unsigned LEB128 number.
func appendU(b []byte, v uint32) []byte { return binary.AppendUvarint(b, uint64(v)) }

// appendS appends a signed LEB128 number.
func appendS(b []byte, v int64) []byte {
	for {
		low := byte(v & 0x7f)
		v >>= 7
		if v == 0 && low&0x40 == 0 || v == -1 && low&0x40 != 0 {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}
