package wasmtest

import "slices"

// Instructions without immediates.
var (
	Unreachable = []byte{0x00}
	Else        = []byte{0x05}
	End         = []byte{0x0b}
	Return      = []byte{0x0f}
	Drop        = []byte{0x1a}
	I32Eqz      = []byte{0x45}
	I32Eq       = []byte{0x46}
	I32LtS      = []byte{0x48}
	I32Add      = []byte{0x6a}
	I32DivS     = []byte{0x6d}
	I32And      = []byte{0x71}
	I64Eq       = []byte{0x51}
	I64Add      = []byte{0x7c}
	I64RemU     = []byte{0x82}
	I64Eqz      = []byte{0x50}
	I64DivU     = []byte{0x80}
	I64Or       = []byte{0x84}
	I64Shl      = []byte{0x86}
	I64ExtendU  = []byte{0xad} // from an i32
	MemoryGrow  = []byte{0x40, 0}
	MemoryCopy  = []byte{0xfc, 10, 0, 0}
	MemoryFill  = []byte{0xfc, 11, 0}
)

// Code joins instructions.
func Code(parts ...[]byte) []byte { return slices.Concat(parts...) }

// I32Const pushes v.
func I32Const(v int32) []byte { return appendS([]byte{0x41}, int64(v)) }

// I64Const pushes v.
func I64Const(v int64) []byte { return appendS([]byte{0x42}, v) }

// Call calls f.
func Call(f Index) []byte { return appendU([]byte{0x10}, uint32(f)) }

// LocalGet pushes a local.
func LocalGet(i uint32) []byte { return appendU([]byte{0x20}, i) }

// LocalSet pops into a local.
func LocalSet(i uint32) []byte { return appendU([]byte{0x21}, i) }

// GlobalGet pushes a global.
func GlobalGet(g Index) []byte { return appendU([]byte{0x23}, uint32(g)) }

// GlobalSet pops into a global.
func GlobalSet(g Index) []byte { return appendU([]byte{0x24}, uint32(g)) }

// Br branches to the block that is depth blocks out.
func Br(depth uint32) []byte { return appendU([]byte{0x0c}, depth) }

// BrIf branches if the operand is not zero.
func BrIf(depth uint32) []byte { return appendU([]byte{0x0d}, depth) }

// BrTable branches to one of the depths by the operand, or to the last of them.
func BrTable(depths ...uint32) []byte {
	code := appendU([]byte{0x0e}, uint32(len(depths)-1))
	for _, d := range depths {
		code = appendU(code, d)
	}
	return code
}

// CallIndirect calls the element of the table that the operand names, which must be a function of type () -> ().
func (m *Module) CallIndirect() []byte {
	return append(appendU([]byte{0x11}, m.newType(nil, nil)), 0)
}

// Block is a block without a result.
func Block(body ...[]byte) []byte { return block(0x02, body) }

// Loop is a loop without a result.
func Loop(body ...[]byte) []byte { return block(0x03, body) }

// If runs its body if the operand is not zero.
func If(body ...[]byte) []byte { return block(0x04, body) }

func block(op byte, body [][]byte) []byte {
	return slices.Concat([]byte{op, 0x40}, slices.Concat(body...), End)
}

// I32Load8U loads a byte from the address operand.
func I32Load8U(offset uint32) []byte { return appendU([]byte{0x2d, 0}, offset) }

// I32Load loads from the address operand.
func I32Load(offset uint32) []byte { return appendU([]byte{0x28, 2}, offset) }

// I64Load loads from the address operand.
func I64Load(offset uint32) []byte { return appendU([]byte{0x29, 3}, offset) }

// I32Store stores the operand at the address operand below it.
func I32Store(offset uint32) []byte { return appendU([]byte{0x36, 2}, offset) }

// I32Store8 stores the operand's low byte at the address operand below it.
func I32Store8(offset uint32) []byte { return appendU([]byte{0x3a, 0}, offset) }

// I64Store stores the operand at the address operand below it.
func I64Store(offset uint32) []byte { return appendU([]byte{0x37, 3}, offset) }
