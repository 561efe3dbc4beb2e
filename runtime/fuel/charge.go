package fuel

import "encoding/binary"

// charge is a place in a function at which fuel is taken.
type charge struct {
	at   int   // it goes before this byte of the body
	cost int64 // of the region that begins here; nothing is written for 0

	// measured says that the charge is for the length which the next instruction finds on top of the stack: 1 << scale
	// for each, or 1 for 1 << -scale of them.
	measured bool
	scale    int
}

// meter writes the charges into function bodies.
type meter struct {
	get, tail []byte // the code around what a charge subtracts
	code      []byte // the body being written
}

func newMeter(global int) *meter {
	index := binary.AppendUvarint(nil, uint64(global))
	get := append([]byte{opGlobalGet}, index...)
	tail := append([]byte{opI64Sub, opGlobalSet}, index...)
	tail = append(tail, get...)
	tail = append(tail, opI64Const, 0, opI64LtS, opIf, voidBlock, opUnreachable, opEnd)
	return &meter{get: get, tail: tail}
}

// body returns the function with its charges. The result is valid until the next call.
func (c *meter) body(b *body, charges []charge) []byte {
	c.code = c.appendLocals(c.code[:0], b)
	done := b.code
	for i := range charges {
		ch := &charges[i]
		c.code = append(c.code, b.bin[done:ch.at]...)
		done = ch.at
		switch {
		case ch.measured:
			c.chargeLength(uint64(b.locals), ch.scale)
		case ch.cost > 0:
			c.chargeRegion(ch.cost)
		}
	}
	c.code = append(c.code, b.bin[done:]...)
	return c.code
}

// appendLocals writes the groups of locals, with one more if a length has to be kept.
func (c *meter) appendLocals(code []byte, b *body) []byte {
	if !b.bulk {
		return append(code, b.bin[:b.code]...)
	}
	code = binary.AppendUvarint(code, uint64(b.groups)+1)
	code = append(code, b.bin[b.decls:b.code]...)
	code = append(code, 1)
	return append(code, I32...)
}

// chargeRegion writes fuel -= cost; if fuel < 0 { unreachable }.
func (c *meter) chargeRegion(cost int64) {
	c.code = append(c.code, c.get...)
	c.code = append(c.code, opI64Const)
	c.code = appendVarint(c.code, cost)
	c.code = append(c.code, c.tail...)
}

// chargeLength does the same with the scaled length on top of the stack, which stays there.
func (c *meter) chargeLength(local uint64, scale int) {
	c.code = append(c.code, opLocalTee)
	c.code = binary.AppendUvarint(c.code, local)
	c.code = append(c.code, c.get...)
	c.code = append(c.code, opLocalGet)
	c.code = binary.AppendUvarint(c.code, local)
	c.code = append(c.code, opI64ExtendU)
	switch {
	case scale > 0:
		c.code = append(c.code, opI64Const, byte(scale), opI64Shl)
	case scale < 0:
		c.code = append(c.code, opI64Const, byte(-scale), opI64ShrU)
	}
	c.code = append(c.code, c.tail...)
}

// appendVarint writes a signed LEB128. The one of encoding/binary is another encoding, with the sign in the first bit.
func appendVarint(b []byte, v int64) []byte {
	for {
		last := v>>6 == v>>63
		if last {
			return append(b, byte(v)&0x7f)
		}
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
}
