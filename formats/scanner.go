package formats

// scanner reads one JSON text strictly as RFC 8259 has it, without decoding or allocating. Callers walk the levels
// that they care about and skip what does not concern them:
//
//	for ok := s.object(); ok; ok = s.member() {
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
	limit   int   // of depth
	lenient bool  // accept invalid UTF-8, as encoding/json does
	keyAt   int   // where the opening quote of the last member's key stands
	keyEnd  int   // where its closing quote stands
	escaped bool  // the key holds escapes
	caches  bool  // a "cache_control" was seen, on whatever level
	long    bool  // so was a "ttl" of another lifetime than the default ones
	spoken  int64 // bytes of text in what said has read

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
