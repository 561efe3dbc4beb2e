package formats

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// In this file positions are passed and returned in registers instead of being kept in scanner.pos, which takes a
// tenth off the time of a small body. Each function reads what stands at i, and returns the position behind it or -1
// after a fault.

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
	at, c := next(s.buf, i)
	if c != '"' {
		return s.stop(expectedKey, at)
	}
	end, escaped := s.str(at)
	if end < 0 {
		return -1
	}
	s.keyAt, s.keyEnd, s.escaped = at, end-1, escaped
	if i, c = next(s.buf, end); c != ':' {
		return s.stop(expectedColon, i)
	}
	if n := end - at; n == len(`"cache_control"`) || n == len(`"ttl"`) || escaped {
		s.cacheKey(i + 1)
	}
	return i + 1
}

// cacheKey notes whether the last key, whose value stands at i, asks for a cache to be written and for how long. Such
// keys stand deep within a body, so that all keys of their length come here.
func (s *scanner) cacheKey(i int) {
	key := s.key()
	if s.escaped {
		var buf [longestField + utf8.UTFMax]byte
		key = unescape(buf[:0], key)
	}
	i, c := next(s.buf, i)
	switch string(key) {
	case "cache_control":
		s.caches = s.caches || c != 'n'
	case "ttl":
		s.long = s.long || c == '"' && !shortLifetime(s.buf[i:])
	}
}

// shortLifetime recognises the default lifetimes of Anthropic's and OpenAI's caches.
func shortLifetime(value []byte) bool {
	return bytes.HasPrefix(value, []byte(`"5m"`)) || bytes.HasPrefix(value, []byte(`"30m"`))
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
//
// After the first words, of what is then a long text, four are looked at together: 65 µs for 512 KB in place of 102; the many
// short strings of a body of 250 bytes pay 18 ns more.
func plain(b []byte, i int, seen uint64) (end int, c byte, ored uint64) {
	for far := i + 64; i+8 <= len(b); i += 8 {
		if i >= far {
			i, seen = plainWords(b, i, seen)
			far = len(b)
		}
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

// plainWords steps over as many groups of four words of plain text as there are, and a word more to look at is left.
func plainWords(b []byte, i int, seen uint64) (end int, ored uint64) {
	for ; i+40 <= len(b); i += 32 {
		w := b[i : i+32]
		x0, x1 := binary.LittleEndian.Uint64(w), binary.LittleEndian.Uint64(w[8:])
		x2, x3 := binary.LittleEndian.Uint64(w[16:]), binary.LittleEndian.Uint64(w[24:])
		if special(x0)|special(x1)|special(x2)|special(x3) != 0 {
			break
		}
		seen |= x0 | x1 | x2 | x3
	}
	return i, seen
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
