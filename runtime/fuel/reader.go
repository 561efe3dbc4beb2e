package fuel

import (
	"fmt"
	"unicode/utf8"
)

// reader decodes the primitives of the binary format. The first failure sticks: from then on every read returns zero,
// so that callers check err once per construct and not after each field. Integers are decoded as the specification
// asks: not a byte longer than their width needs and no unused bit set. An engine that is laxer can then never read
// another value out of the same bytes.
type reader struct {
	buf  []byte
	pos  int
	base int // where buf begins in the module, for messages
	err  error
}

// fail records the first failure with the place where it was noticed.
func (r *reader) fail(kind error, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("at byte %#x: %s: %w", r.base+r.pos, fmt.Sprintf(format, args...), kind)
	}
	r.pos = len(r.buf)
}

func (r *reader) malformed(format string, args ...any) { r.fail(ErrMalformed, format, args...) }

// more reports whether there is something left to read and nothing has failed.
func (r *reader) more() bool { return r.pos < len(r.buf) }

func (r *reader) left() int { return len(r.buf) - r.pos }

func (r *reader) byte() byte {
	if r.pos >= len(r.buf) {
		return r.ended()
	}
	r.pos++
	return r.buf[r.pos-1]
}

// ended is apart so that byte can be inlined.
func (r *reader) ended() byte {
	r.malformed("unexpected end")
	return 0
}

// take returns the next n bytes, a part of the module.
func (r *reader) take(n uint32) []byte {
	if int64(n) > int64(r.left()) {
		r.malformed("%d bytes announced, %d left", n, r.left())
		return nil
	}
	b := r.buf[r.pos : r.pos+int(n) : r.pos+int(n)]
	r.pos += int(n)
	return b
}

func (r *reader) skip(n uint32) { r.take(n) }

// u32 decodes an unsigned LEB128 of 32 bits. One byte is the common case by far.
func (r *reader) u32() uint32 {
	if r.pos < len(r.buf) && r.buf[r.pos] < 0x80 {
		r.pos++
		return uint32(r.buf[r.pos-1])
	}
	return r.longU32()
}

func (r *reader) longU32() uint32 {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		if shift == 28 && b > 0x0f {
			break
		}
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	r.malformed("integer does not fit 32 bits")
	return 0
}

// signed decodes a signed LEB128 of the given width: 32, 33 or 64 bits.
func (r *reader) signed(width int) int64 {
	var v int64
	for shift := 0; shift < width; shift += 7 {
		b := r.byte()
		v |= int64(b&0x7f) << shift
		if rest := width - shift; rest < 7 && !signExtended(b, rest) {
			break
		}
		if b < 0x80 {
			if shift < 57 {
				v = v << (57 - shift) >> (57 - shift)
			}
			return v
		}
	}
	r.malformed("integer does not fit %d bits", width)
	return 0
}

// signExtended reports whether the last byte of a signed LEB128, of which only some bits count, repeats the sign in
// the others.
func signExtended(b byte, bits int) bool {
	unused := b & 0x7f >> (bits - 1)
	return b < 0x80 && (unused == 0 || unused == 0x7f>>(bits-1))
}

// count decodes the length of a vector. Since each element takes a byte at least, a count larger than the rest of
// the bytes is a lie, and nothing may be allocated for it.
func (r *reader) count() int {
	n := r.u32()
	if int64(n) > int64(r.left()) {
		r.malformed("%d entries announced, %d bytes left", n, r.left())
		return 0
	}
	return int(n)
}

// index decodes an index and checks that it is one of n.
func (r *reader) index(what string, n int) uint32 {
	i := r.u32()
	if int64(i) >= int64(n) {
		r.malformed("%s %d of %d", what, i, n)
		return 0
	}
	return i
}

// zero decodes a byte that the format reserves and that must be zero until a later version gives it a meaning.
func (r *reader) zero(what string) {
	if b := r.byte(); b != 0 {
		r.fail(ErrUnsupported, "%s %d", what, b)
	}
}

func (r *reader) name() string {
	b := r.take(r.u32())
	if !utf8.Valid(b) {
		r.malformed("name %q is not UTF-8", b)
	}
	return string(b)
}
