package ledger

import (
	"encoding/binary"
	"errors"
)

// encoder appends what rows and events are made of: bytes, variable-length integers, and texts behind their length.
type encoder struct{ buf []byte }

func (e *encoder) byte(b byte)   { e.buf = append(e.buf, b) }
func (e *encoder) uint(n uint64) { e.buf = binary.AppendUvarint(e.buf, n) }
func (e *encoder) int(n int64)   { e.buf = binary.AppendVarint(e.buf, n) }
func (e *encoder) text(s string) {
	e.buf = binary.AppendUvarint(e.buf, uint64(len(s)))
	e.buf = append(e.buf, s...)
}

var errShort = errors.New("it ends too early, or goes on too long")

// decoder reads what an encoder wrote. After the first thing that is not there everything reads as zero, and end
// tells.
type decoder struct {
	buf   []byte
	short bool
}

func (d *decoder) fail() {
	d.buf, d.short = nil, true
}

func (d *decoder) byte() byte {
	if len(d.buf) == 0 {
		d.fail()
		return 0
	}
	b := d.buf[0]
	d.buf = d.buf[1:]
	return b
}

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.buf)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.buf = d.buf[size:]
	return n
}

func (d *decoder) int() int64 {
	n, size := binary.Varint(d.buf)
	if size <= 0 {
		d.fail()
		return 0
	}
	d.buf = d.buf[size:]
	return n
}

// raw returns the bytes of a text, as they lie in the buffer.
func (d *decoder) raw() []byte {
	n := d.uint()
	if n > uint64(len(d.buf)) {
		d.fail()
		return nil
	}
	s := d.buf[:n]
	d.buf = d.buf[n:]
	return s
}

func (d *decoder) text() string { return string(d.raw()) }

// count reads how many elements follow. More than most cannot be: each has a byte at least.
func (d *decoder) count(most int) int {
	n := d.uint()
	if n > uint64(most) {
		d.fail()
		return 0
	}
	return int(n)
}

// end says whether exactly what was read was there.
func (d *decoder) end() error {
	if d.short || len(d.buf) != 0 {
		return errShort
	}
	return nil
}
