package upstream

import (
	"bytes"
	"fmt"
	"io"

	"github.com/valyala/fasthttp"
)

// framing is how a body's end is known.
type framing uint8

const (
	sized   framing = iota // Content-Length
	chunked                // Transfer-Encoding: chunked
	closing                // the connection's end
)

const (
	maxChunkLine = 4 << 10  // a chunk's size line, or a trailer line
	maxTrailers  = 64 << 10 // all trailer lines together
)

var errTooLong = fmt.Errorf("%w: a header or a chunk line is too long", ErrMalformed)

// body reads an answer's body. fasthttp's own readers are not used: they take a chunked body that the peer cut for
// a whole one, and they wait for a whole chunk where part of it could already be passed on.
type body struct {
	in       *reader
	framing  framing
	left     int64 // bytes left of the body or of the chunk
	inChunk  bool  // left counts a chunk that was begun, its line end included
	trailing bool  // the last chunk was read, what follows are trailers
	trailers int   // bytes of them so far
	done     bool  // ended where the framing says
}

// begin starts on the body that h announces.
func (b *body) begin(h *fasthttp.ResponseHeader, in *reader) {
	*b = body{in: in}
	switch n := h.ContentLength(); {
	case bodyless(h.StatusCode()):
		b.done = true
	case n >= 0:
		b.left = int64(n)
		b.done = n == 0
	case n == -1:
		b.framing = chunked
	default:
		b.framing = closing
	}
}

// bodyless reports whether an answer with this status never has a body.
func bodyless(status int) bool {
	return status == fasthttp.StatusNoContent || status == fasthttp.StatusNotModified
}

// read returns what is ready, at least one byte, or the error that ended the body.
func (b *body) read(p []byte) (int, error) {
	if b.done {
		return 0, io.EOF
	}
	switch b.framing {
	case chunked:
		return b.readChunked(p)
	case closing:
		n, err := b.in.some(p, direct)
		b.done = err == io.EOF //nolint:errorlint // the sentinel itself
		return n, err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.in.some(p, direct)
	b.left -= int64(n)
	b.done = b.left == 0
	return n, inMidBody(err)
}

// readChunked returns bytes of the current chunk, and of those behind it as far as they are already buffered.
func (b *body) readChunked(p []byte) (int, error) {
	total := 0
	for {
		if b.left == 0 {
			if total > 0 && (b.trailing || !b.lineReady()) {
				return total, nil
			}
			if err := b.nextChunk(); err != nil {
				return total, inMidBody(err)
			}
			if b.done {
				return 0, io.EOF
			}
			continue
		}
		part := p[total:]
		if int64(len(part)) > b.left {
			part = part[:b.left]
		}
		n, err := b.in.some(part, len(b.in.buf)) // with less, what follows the chunk had to be read by itself
		b.left -= int64(n)
		total += n
		if err != nil {
			return total, inMidBody(err)
		}
		if total == len(p) || b.left > 0 && b.in.buffered() == 0 {
			return total, nil
		}
	}
}

// inMidBody turns a connection's end into what it means before a body's end.
func inMidBody(err error) error {
	if err == io.EOF { //nolint:errorlint // the sentinel itself
		return io.ErrUnexpectedEOF
	}
	return err
}

// lineReady reports whether the next chunk's size line can be had without waiting.
func (b *body) lineReady() bool {
	next := b.in.ready()
	return len(next) > len("\r\n") && bytes.IndexByte(next[len("\r\n"):], '\n') >= 0
}

// nextChunk reads the line end of the chunk before and the size line of the next, or after the last one a trailer
// line, which is dropped.
func (b *body) nextChunk() error {
	if b.inChunk {
		b.inChunk = false
		if ok, err := b.in.lineEnd(); err != nil || !ok {
			return orMalformed(err, "chunk longer than its size")
		}
	}
	line, err := b.in.line()
	switch {
	case err != nil:
		return err
	case b.trailing:
		b.done = len(line) == 0
		if b.trailers += len(line); b.trailers > maxTrailers {
			return errTooLong
		}
		return nil
	}
	b.left, err = chunkSize(line)
	b.trailing, b.inChunk = b.left == 0, b.left > 0
	return err
}

// orMalformed returns err, or without one what is wrong with the answer.
func orMalformed(err error, what string) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrMalformed, what)
}

// chunkSize parses a size line; extensions are passed over.
func chunkSize(line []byte) (int64, error) {
	line, _, extended := bytes.Cut(line, []byte{';'})
	if !extended {
		line = bytes.TrimRight(line, " \t")
	}
	if len(line) == 0 || len(line) > 15 {
		return 0, fmt.Errorf("%w: chunk size", ErrMalformed)
	}
	var n int64
	for _, c := range line {
		d := hexDigit(c)
		if d < 0 {
			return 0, fmt.Errorf("%w: chunk size", ErrMalformed)
		}
		n = n<<4 | int64(d)
	}
	return n, nil
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
