package formats

import "bytes"

// Splitter cuts a streamed answer into events as its bytes arrive, without changing or copying them. Between two
// calls of Next the caller keeps what was not consumed at the start of its buffer and appends what arrives; the
// Splitter remembers how far it has looked, so an event costs its length once, however small the pieces.
type Splitter struct {
	framing Framing
	sse     sseState
	array   arrayState
	joined  []byte // the data lines of an event that has several; reused
}

// Reset makes the Splitter ready for a new stream. Its buffer is kept.
func (s *Splitter) Reset(f Framing) { *s = Splitter{framing: f, joined: s.joined[:0]} }

// Next finds the first whole event at the start of buf: its n bytes, to be relayed as they came with all their line
// ends and punctuation, and its payload, which aliases buf or the Splitter and is valid until the next call. Events
// without a payload (comments, pings, brackets) have a nil data. ok is false if more bytes are needed; else n > 0.
func (s *Splitter) Next(buf []byte) (n int, data []byte, ok bool) {
	if s.framing == JSONArray {
		return s.array.next(buf)
	}
	if n, ok = s.sse.next(buf); !ok {
		return 0, nil, false
	}
	data = s.payload(buf[s.sse.mark:n])
	s.sse.mark = 0
	return n, data, true
}

// Rest returns the payload of what is left when the stream has ended: a last event that lacks its blank line, or
// part of an event. It is nil if nothing of substance is left.
func (s *Splitter) Rest(buf []byte) (data []byte) {
	if s.framing == JSONArray {
		return s.array.rest(buf)
	}
	return s.payload(buf[min(s.sse.mark, len(buf)):])
}

// Closed says whether the closing bracket of a JSON array was consumed, after which nothing can be added to it.
func (s *Splitter) Closed() bool { return s.array.closed }

// sseState is where the search for the blank line stands.
type sseState struct {
	started bool // the first bytes were looked at for a byte order mark
	mark    int  // how long that is, until the first event is out
	cr      bool // the last line ended in \r, so that a \n that follows belongs to it
	line    int  // where the current line begins
	looked  int  // how far it was searched for its end
}

// utf8Mark may precede the first event of a stream.
var utf8Mark = []byte("\xef\xbb\xbf")

// next finds the blank line that ends an event and returns the position after it. Lines end in \n, \r\n or \r; a
// \r\n whose halves arrive apart does not hold the event back: the \n is then relayed before the next event.
func (s *sseState) next(buf []byte) (n int, ok bool) {
	if !s.started {
		if len(buf) < len(utf8Mark) && bytes.HasPrefix(utf8Mark, buf) {
			return 0, false
		}
		s.started = true
		if bytes.HasPrefix(buf, utf8Mark) {
			s.mark, s.line = len(utf8Mark), len(utf8Mark)
		}
	}
	for {
		if s.cr && s.line < len(buf) {
			if s.cr = false; buf[s.line] == '\n' {
				s.line++
			}
		}
		s.looked = max(s.looked, s.line)
		end := lineEnd(buf, s.looked)
		if end == len(buf) {
			s.looked = end
			return 0, false
		}
		blank := end == s.line
		s.line = end + 1
		s.cr = buf[end] == '\r'
		if blank {
			return s.found(buf), true
		}
	}
}

// found ends an event behind its blank line and makes ready for the next one.
func (s *sseState) found(buf []byte) int {
	n := s.line
	if s.cr && n < len(buf) {
		if s.cr = false; buf[n] == '\n' {
			n++
		}
	}
	s.line, s.looked = 0, 0
	return n
}

// lineEnd finds the first \n or \r at or after from; len(buf) if there is none. The \r is only searched for in front
// of the \n, so that text without any costs two fast passes and not one per line.
func lineEnd(buf []byte, from int) int {
	line := buf[from:]
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	if i := bytes.IndexByte(line, '\r'); i >= 0 {
		line = line[:i]
	}
	return from + len(line)
}

// payload joins the data lines of one event.
func (s *Splitter) payload(event []byte) []byte {
	var data []byte
	lines := 0
	for len(event) > 0 {
		end := lineEnd(event, 0)
		value, ok := dataField(event[:end])
		event = event[min(end+1, len(event)):]
		switch {
		case !ok:
			continue
		case lines == 0:
			data = value
		case lines == 1:
			s.joined = append(append(append(s.joined[:0], data...), '\n'), value...)
			data = s.joined
		default:
			s.joined = append(append(s.joined, '\n'), value...)
			data = s.joined
		}
		lines++
	}
	return data
}

// dataField returns the value of a data line; it is never nil.
func dataField(line []byte) (value []byte, ok bool) {
	const name = "data"
	if !hasPrefix(line, name) {
		return nil, false
	}
	value = line[len(name):]
	if len(value) == 0 {
		return value, true
	}
	if value[0] != ':' {
		return nil, false
	}
	return bytes.TrimPrefix(value[1:], []byte(" ")), true
}

// arrayState is where the search for the end of an element stands. It follows depth and strings only: whether the
// element is sound JSON is for whoever reads it to find out.
type arrayState struct {
	closed   bool // the bracket that ends the array was consumed
	opened   bool // so was the one that begins it
	inString bool
	escaped  bool // the character before was a backslash in a string
	scalar   bool // the element is neither object, array nor string
	depth    int  // within the element
	start    int  // where the element begins; meaningful once begun
	begun    bool
	looked   int
}

// next finds the end of an element. The punctuation before an element is relayed with it, the one after the last
// element by itself.
func (s *arrayState) next(buf []byte) (n int, data []byte, ok bool) {
	for i := s.looked; i < len(buf); {
		if s.inString {
			if i = s.inside(buf, i); i == len(buf) {
				s.looked = i
				return 0, nil, false
			}
		}
		done, end := s.step(buf[i], i)
		i++
		if !done {
			continue
		}
		if s.begun {
			data = buf[s.start:end]
		}
		*s = arrayState{opened: true, closed: s.closed}
		return end, data, true
	}
	s.looked = len(buf)
	return 0, nil, false
}

// inside steps over the plain characters of a string, eight at a time, and stops at a quote or after an escape.
func (s *arrayState) inside(buf []byte, i int) int {
	for i < len(buf) {
		if s.escaped {
			s.escaped = false
			i++
			continue
		}
		i, _, _ = plain(buf, i, 0)
		if i == len(buf) || buf[i] == '"' {
			return i
		}
		s.escaped = buf[i] == '\\'
		i++
	}
	return i
}

// step takes the character at i, which stands outside of a string or ends one. done says that there is something to
// relay, up to end.
func (s *arrayState) step(c byte, i int) (done bool, end int) {
	switch c {
	case ' ', '\t', '\r', '\n':
		return s.scalar, i
	case ',':
		if s.scalar {
			return true, i
		}
	case '"':
		s.begin(i)
		s.inString = !s.inString
		return !s.inString && s.depth == 0, i + 1
	case '{', '[':
		if c == '[' && !s.opened && !s.begun {
			s.opened = true
			return false, 0
		}
		s.begin(i)
		s.depth++
	case '}', ']':
		return s.close(c, i)
	default:
		if !s.begun {
			s.begin(i)
			s.scalar = true
		}
	}
	return false, 0
}

func (s *arrayState) begin(i int) {
	if !s.begun {
		s.begun, s.start = true, i
	}
}

func (s *arrayState) close(c byte, i int) (done bool, end int) {
	switch {
	case s.scalar:
		return true, i
	case s.depth > 0:
		s.depth--
		return s.depth == 0, i + 1
	}
	s.closed = c == ']'
	return true, i + 1
}

// rest returns what there is of an element.
func (s *arrayState) rest(buf []byte) []byte {
	if !s.begun {
		return nil
	}
	return bytes.TrimSpace(buf[s.start:])
}
