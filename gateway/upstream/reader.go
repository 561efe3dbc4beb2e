package upstream

import (
	"bytes"
	"fmt"
	"io"
)

const (
	readSize  = 8 << 10  // of a connection's buffer: an ordinary header and a small answer in one read
	smallSize = 2 << 10  // of one whose stream has begun: that waits for most of its life, and there are thousands
	maxHeader = 64 << 10 // of an answer, to which the buffer grows when it has to
	direct    = 1 << 10  // with so much room for a body of known end, it is read without a copy
)

// reader is a connection's incoming bytes, in a buffer that grows for a large header only.
type reader struct {
	src  io.Reader
	buf  []byte
	from int // buf[from:to] was read from src and not taken yet
	to   int
	full bool  // the last read filled the buffer: there is more
	err  error // what src said with the last bytes
}

func (r *reader) buffered() int { return r.to - r.from }

// ready returns what is buffered. It is valid until the next call.
func (r *reader) ready() []byte { return r.buf[r.from:r.to] }

// take passes over n bytes.
func (r *reader) take(n int) { r.from += n }

// fill reads once from src, at least one byte behind what is buffered. The buffer grows, to limit at most, when it has to;
// up to its ordinary size also when there was more to read than it had room for.
func (r *reader) fill(limit int) error {
	if r.err != nil {
		return r.err
	}
	if r.from > 0 && (r.from == r.to || r.to == len(r.buf)) {
		r.to = copy(r.buf, r.buf[r.from:r.to])
		r.from = 0
	}
	switch size := len(r.buf); {
	case r.to == size && size >= limit:
		return errTooLong
	case r.to == size, r.full && size < min(readSize, limit):
		grown := make([]byte, min(2*size, limit))
		copy(grown, r.buf[:r.to])
		poison(r.buf)
		r.buf = grown
	}
	n, err := r.read(r.buf[r.to:])
	r.to += n
	r.full = r.to == len(r.buf)
	return err
}

// read reads at least one byte from src, or says why there is none.
func (r *reader) read(p []byte) (int, error) {
	for range 100 {
		n, err := r.src.Read(p)
		if n > 0 {
			r.err = err
			return n, nil
		}
		if err != nil {
			r.err = err
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

// some returns what is buffered or, without waiting for more than a byte, what src has. If p has room for copyless
// bytes, they are not buffered.
func (r *reader) some(p []byte, copyless int) (int, error) {
	if r.buffered() == 0 {
		if r.err != nil {
			return 0, r.err
		}
		if len(p) >= copyless {
			return r.read(p)
		}
		if err := r.fill(readSize); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.ready())
	r.take(n)
	return n, nil
}

// lineEnd passes over a CRLF, and reports whether there was one.
func (r *reader) lineEnd() (bool, error) {
	for r.buffered() < len("\r\n") {
		if err := r.fill(readSize); err != nil {
			return false, err
		}
	}
	ok := r.ready()[0] == '\r' && r.ready()[1] == '\n'
	r.take(len("\r\n"))
	return ok, nil
}

// line returns the next CRLF-ended line without its end. It is valid until the next call.
func (r *reader) line() ([]byte, error) {
	for seen := 0; ; {
		if i := bytes.IndexByte(r.ready()[seen:], '\n'); i >= 0 {
			line := r.ready()[:seen+i+1]
			r.take(len(line))
			return lineOf(line)
		}
		if seen = r.buffered(); seen > maxChunkLine {
			return nil, errTooLong
		}
		if err := r.fill(readSize); err != nil {
			return nil, err
		}
	}
}

func lineOf(line []byte) ([]byte, error) {
	if len(line) > maxChunkLine {
		return nil, errTooLong
	}
	line, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || bytes.IndexByte(line, '\r') >= 0 {
		return nil, fmt.Errorf("%w: chunk line that does not end with CRLF", ErrMalformed)
	}
	return line, nil
}

// block returns a header with the empty line that ends it, and passes over it. It is valid until the next call. Every
// byte is looked at once, in however small pieces they come.
func (r *reader) block() ([]byte, error) {
	for seen := 0; ; {
		if n := endOfBlock(r.ready(), seen); n > 0 {
			block := r.ready()[:n]
			r.take(n)
			return block, nil
		}
		seen = r.buffered()
		if err := r.fill(maxHeader); err != nil {
			return nil, err
		}
	}
}

// endOfBlock returns the length of the header that b begins with; 0 if its end is not there. seen bytes were looked
// at before.
func endOfBlock(b []byte, seen int) int {
	for i := max(0, seen-len("\n\r")); ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return 0
		}
		i += n + 1
		switch rest := b[i:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return i + 1
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return i + 2
		}
	}
}
