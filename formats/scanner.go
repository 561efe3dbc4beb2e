package formats

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// scanner reads one JSON text strictly as RFC 8259 has it, without decoding or allocating. Callers walk the levels
// that they care about with member and element, and skip what does not concern them:
//
//	for first := true; s.member(&first); {
//		switch string(s.key()) {
//		case "model": …s.text()
//		default: s.skip()
//		}
//	}
//
// Every method returns false after a fault, and from then on all of them do; a walk that was left early by a fault
// therefore just runs out, and is asked about once, at its end.
type scanner struct {
	buf     []byte
	pos     int
	depth   int
	limit   int  // of depth
	lenient bool // accept invalid UTF-8, as encoding/json does
	keyAt   int  // where the opening quote of the last member's key stands
	keyEnd  int  // where its closing quote stands
	escaped bool // the key holds escapes

	fault   fault
	faultAt int
}

// fault says what is wrong with a text.
type fault uint8

const (
	sound fault = iota
	unexpectedEnd
	expectedObject
	expectedValue
	expectedKey
	expectedColon
	expectedCommaObject
	expectedCommaArray
	trailingData
	byteOrderMark
	badLiteral
	badNumber
	badEscape
	controlCharacter
	badUTF8
	tooDeep
)

func (s *scanner) reset(buf []byte, limit int, lenient bool) {
	*s = scanner{buf: buf, limit: limit, lenient: lenient}
}

// fail notes the first fault. It always returns false.
func (s *scanner) fail(f fault, at int) bool {
	if s.fault == sound {
		if at >= len(s.buf) {
			f, at = unexpectedEnd, len(s.buf)
		}
		s.fault, s.faultAt = f, at
		s.pos = len(s.buf)
	}
	return false
}

// blank steps over white space and returns the character after it, 0 at the end of the text.
func (s *scanner) blank() (c byte) {
	s.pos, c = next(s.buf, s.pos)
	return c
}

// next finds the first character at or after i that is not white space: 0 at the end of the text.
func next(b []byte, i int) (at int, c byte) {
	if i < len(b) && b[i] > ' ' {
		return i, b[i]
	}
	return blanks(b, i)
}

// blanks is what of next is too rare to be worth inlining.
func blanks(b []byte, i int) (at int, c byte) {
	for ; i < len(b); i++ {
		switch c := b[i]; c {
		case ' ', '\n', '\r', '\t':
		default:
			return i, c
		}
	}
	return i, 0
}

// end says whether the text was sound and nothing but white space follows.
func (s *scanner) end() bool {
	if s.fault != sound {
		return false
	}
	if s.blank(); s.pos < len(s.buf) {
		return s.fail(trailingData, s.pos)
	}
	return true
}

// object enters the object that follows and reads its first key. It returns false if there is none, or if another
// kind of value follows, which it skips. What follows true must read the member's value.
func (s *scanner) object() bool {
	if s.blank() != '{' {
		s.skip()
		return false
	}
	if !s.deeper(s.pos) {
		return false
	}
	at, c := next(s.buf, s.pos+1)
	if c == '}' {
		return s.shut(at)
	}
	return s.enter(at)
}

// member steps to the next member, as object does to the first. It returns false behind the closing brace.
func (s *scanner) member() bool {
	switch s.blank() {
	case ',':
		return s.enter(s.pos + 1)
	case '}':
		return s.shut(s.pos)
	}
	return s.fail(expectedCommaObject, s.pos)
}

// enter steps to the value of the member whose key stands at i.
func (s *scanner) enter(i int) bool {
	if i = s.memberKey(i); i < 0 {
		return false
	}
	s.pos = i
	return true
}

// key is the key of the last member, as it stands between its quotes.
func (s *scanner) key() []byte { return s.buf[s.keyAt+1 : s.keyEnd] }

// array and element are to arrays what object and member are to objects.
func (s *scanner) array() bool {
	if s.blank() != '[' {
		s.skip()
		return false
	}
	if !s.deeper(s.pos) {
		return false
	}
	at, c := next(s.buf, s.pos+1)
	if c == ']' {
		return s.shut(at)
	}
	s.pos = at
	return true
}

func (s *scanner) element() bool {
	switch s.blank() {
	case ',':
		s.pos++
		return true
	case ']':
		return s.shut(s.pos)
	}
	return s.fail(expectedCommaArray, s.pos)
}

// deeper enters the object or array that begins at i.
func (s *scanner) deeper(i int) bool {
	if s.depth == s.limit {
		return s.fail(tooDeep, i)
	}
	s.depth++
	return true
}

// shut leaves the object or array that ends at i. It returns false, as there is nothing more in it.
func (s *scanner) shut(i int) bool {
	s.depth--
	s.pos = i + 1
	return false
}

// text reads a string and returns what stands between its quotes, as it stands there. plain is false if that holds
// escapes. Another kind of value is skipped, and ok is false.
func (s *scanner) text() (value []byte, plain, ok bool) {
	if s.blank() != '"' {
		s.skip()
		return nil, false, false
	}
	start := s.pos
	end, escaped := s.str(start)
	if end < 0 {
		return nil, false, false
	}
	s.pos = end
	return s.buf[start+1 : end-1], !escaped, true
}

// skip reads one value of any kind.
func (s *scanner) skip() bool {
	end := s.value(s.pos)
	if end < 0 {
		return false
	}
	s.pos = end
	return true
}

// From here on down positions are passed and returned instead of being kept in s.pos, which is half as fast again.
// Each function reads what stands at i, and returns the position behind it or -1 after a fault.

func (s *scanner) value(i int) int {
	i, c := next(s.buf, i)
	switch c {
	case '"':
		end, _ := s.str(i)
		return end
	case '{':
		return s.members(i)
	case '[':
		return s.elements(i)
	case 't':
		return s.literal(i, "true")
	case 'f':
		return s.literal(i, "false")
	case 'n':
		return s.literal(i, "null")
	}
	if c == '-' || isDigit(c) {
		return s.number(i)
	}
	return s.stop(expectedValue, i)
}

// stop is fail for functions that return a position.
func (s *scanner) stop(f fault, at int) int {
	s.fail(f, at)
	return -1
}

func (s *scanner) members(i int) int {
	if !s.deeper(i) {
		return -1
	}
	i, c := next(s.buf, i+1)
	for first := true; c != '}'; first = false {
		if !first {
			if c != ',' {
				return s.stop(expectedCommaObject, i)
			}
			i++
		}
		if i = s.memberKey(i); i < 0 {
			return -1
		}
		if i = s.value(i); i < 0 {
			return -1
		}
		i, c = next(s.buf, i)
	}
	s.depth--
	return i + 1
}

func (s *scanner) elements(i int) int {
	if !s.deeper(i) {
		return -1
	}
	i, c := next(s.buf, i+1)
	for first := true; c != ']'; first = false {
		if !first {
			if c != ',' {
				return s.stop(expectedCommaArray, i)
			}
			i++
		}
		if i = s.value(i); i < 0 {
			return -1
		}
		i, c = next(s.buf, i)
	}
	s.depth--
	return i + 1
}

// memberKey reads a key and its colon, and notes where the key stands.
func (s *scanner) memberKey(i int) int {
	i, c := next(s.buf, i)
	if c != '"' {
		return s.stop(expectedKey, i)
	}
	end, escaped := s.str(i)
	if end < 0 {
		return -1
	}
	s.keyAt, s.keyEnd, s.escaped = i, end-1, escaped
	if i, c = next(s.buf, end); c != ':' {
		return s.stop(expectedColon, i)
	}
	return i + 1
}

func (s *scanner) literal(i int, word string) int {
	if rest := s.buf[i:]; len(rest) < len(word) || string(rest[:len(word)]) != word {
		return s.stop(badLiteral, i)
	}
	return i + len(word)
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// number reads a number: -? int frac? exp?
func (s *scanner) number(i int) int {
	b := s.buf
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if i = s.digits(i); i < 0 {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i = s.digits(i + 1); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		return s.digits(i)
	}
	return i
}

// digits reads at least one digit.
func (s *scanner) digits(i int) int {
	start := i
	for i < len(s.buf) && isDigit(s.buf[i]) {
		i++
	}
	if i == start {
		return s.stop(badNumber, i)
	}
	return i
}

// str reads a string. Its text is searched eight bytes at a time for what can end it. Bytes above ASCII never do, so
// whether they are UTF-8 is asked once, when the end is known.
func (s *scanner) str(i int) (end int, escaped bool) {
	b, start := s.buf, i+1
	var seen uint64 // all bytes passed, ored; a few behind the string may be among them
	for i = start; ; {
		var c byte
		i, c, seen = plain(b, i, seen)
		switch c {
		case '"':
			if seen&highBits != 0 && !s.lenient && !s.validUTF8(start, i) {
				return -1, escaped
			}
			return i + 1, escaped
		case '\\':
			escaped = true
			if i = s.escape(i); i < 0 {
				return -1, true
			}
		default:
			return s.stop(controlCharacter, i), escaped
		}
	}
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// special marks, with the high bit of its byte, each byte of x that ends the plain part of a string: a quote, a
// backslash or a control character. The lowest mark is exact; those above it may be false, for a borrow runs upwards
// out of a marked byte.
func special(x uint64) uint64 {
	quote := (x ^ lowBits*'"') - lowBits
	backslash := (x ^ lowBits*'\\') - lowBits
	control := x - lowBits*' '
	return (quote | backslash | control) & ^x & highBits
}

// plain steps over plain text from i on, to the quote, backslash or control character that ends it, or to the end of
// the buffer, where c is 0. All bytes passed are ored into seen, and perhaps a few behind them.
func plain(b []byte, i int, seen uint64) (end int, c byte, ored uint64) {
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		seen |= x
		if mark := special(x); mark != 0 {
			shift := bits.TrailingZeros64(mark) &^ 7
			return i + shift>>3, byte(x >> shift), seen
		}
	}
	for ; i < len(b); i++ {
		if c = b[i]; c < ' ' || c == '"' || c == '\\' {
			return i, c, seen
		}
		seen |= uint64(c)
	}
	return i, 0, seen
}

// escape reads an escape. A surrogate without its other half is accepted, as encoding/json and the providers' parsers
// do.
func (s *scanner) escape(i int) int {
	if i+1 >= len(s.buf) {
		return s.stop(unexpectedEnd, len(s.buf))
	}
	switch s.buf[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		for j := i + 2; j < i+6; j++ {
			if j >= len(s.buf) || !isHex(s.buf[j]) {
				return s.stop(badEscape, j)
			}
		}
		return i + 6
	}
	return s.stop(badEscape, i+1)
}

func isHex(c byte) bool { return isDigit(c) || (c|0x20)-'a' < 6 }

func (s *scanner) validUTF8(start, end int) bool {
	if utf8.Valid(s.buf[start:end]) {
		return true
	}
	for i := start; i < end; {
		r, size := utf8.DecodeRune(s.buf[i:end])
		if r == utf8.RuneError && size == 1 {
			return s.fail(badUTF8, i)
		}
		i += size
	}
	return true
}
