package host

import (
	"slices"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugin/cases"
)

// allower returns a guest that lets in whom a case with a veto is about: it looks a fixed digest up and allows what it
// finds. In the text format:
//
//	(import "sallyport:policy/1" "identity_lookup" (func $lookup (param i32 i32) (result i32)))
//	(import "sallyport:policy/1" "set_i64" (func $set (param i32 i32 i64) (result i32)))
//	(memory (export "memory") 1)
//	(data (i32.const 0) "…the digest…")
//	(func (export "authenticate") (result i32)
//	  (drop (call $set (i32.const 1000) (i32.const 0)
//	    (i64.extend_i32_s (call $lookup (i32.const 0) (i32.const 32)))))
//	  (i32.const 0))
func allower() []byte {
	const i32, i64 = 0x7f, 0x7e
	imports := [][]byte{
		slices.Concat(name(abi.ModulePolicy), name("identity_lookup"), []byte{0, 0}),
		slices.Concat(name(abi.ModulePolicy), name("set_i64"), []byte{0, 1}),
	}
	exports := [][]byte{
		slices.Concat(name(abi.ExportMemory), []byte{2, 0}),
		slices.Concat(name(abi.Authenticate.String()), []byte{0, 2}),
	}
	body := []byte{
		0,                // no locals
		0x41, 0xe8, 0x07, // i32.const 1000: allow.handle
		0x41, 0, // i32.const 0
		0x41, 0, 0x41, abi.DigestSize, 0x10, 0, // identity_lookup(0, 32)
		0xac, 0x10, 1, 0x1a, // as i64 to set_i64, drop
		0x41, abi.ReturnVerdict, 0x0b,
	}
	return slices.Concat([]byte("\x00asm\x01\x00\x00\x00"),
		section(1, []byte{0x60, 2, i32, i32, 1, i32}, []byte{0x60, 3, i32, i32, i64, 1, i32}, []byte{0x60, 0, 1, i32}),
		section(2, imports...),
		section(3, []byte{2}),
		section(5, []byte{0, 1}),
		section(7, exports...),
		section(10, append([]byte{byte(len(body))}, body...)),
		section(11, slices.Concat([]byte{0, 0x41, 0, 0x0b, abi.DigestSize}, cases.AllowedDigest[:])),
	)
}

// name is a text with its length. All that is here is shorter than 128 bytes, so that a length is one byte.
func name(s string) []byte { return append([]byte{byte(len(s))}, s...) }

// section is a section of a module: its items, with their number and length.
func section(id byte, items ...[]byte) []byte {
	content := append([]byte{byte(len(items))}, slices.Concat(items...)...)
	return append([]byte{id, byte(len(content))}, content...)
}
