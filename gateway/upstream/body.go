package upstream

import (
	"bufio"
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

// maxChunkLine bounds a chunk's size line and a trailer line.
const maxChunkLine = 4 << 10

// body reads an answer's body. fasthttp's own readers are not used: they take a chunked body that the peer cut for
// a whole one, and they wait for a whole chunk where part of it could already be passed on.
type body struct {
	br      *bufio.Reader
	framing framing
	left    int64 // bytes left of the body or of the chunk
	inChunk bool  // left counts a chunk that was begun, its line end included
	done    bool  // ended where the framing says
}

// begin starts on the body that h announces.
func (b *body) begin(h *fasthttp.ResponseHeader, br *bufio.Reader) {
	*b = body{br: br}
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
		n, err := b.br.Read(p)
		b.done = err == io.EOF
		return n, err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.br.Read(p)
	b.left -= int64(n)
	b.done = b.left == 0
	if err == io.EOF && !b.done {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// readChunked returns bytes of the current chunk, and of those behind it as far as they are already buffered.
func (b *body) readChunked(p []byte) (int, error) {
	total := 0
	for {
		if b.left == 0 {
			if err := b.nextChunk(); err != nil || b.done {
				return total, endOf(err, b.done && total == 0)
			}
		}
		part := p[total:]
		if int64(len(part)) > b.left {
			part = part[:b.left]
		}
		n, err := b.br.Read(part)
		b.left -= int64(n)
		total += n
		if err != nil {
			return total, endOf(err, false)
		}
		if total == len(p) || !b.ready() {
			return total, nil
		}
	}
}

// endOf turns a connection's end into what it means in mid-body, and a finished body into io.EOF.
func endOf(err error, finished bool) error {
	switch {
	case finished:
		return io.EOF
	case err == io.EOF: //nolint:errorlint // bufio returns the sentinel itself
		return io.ErrUnexpectedEOF
	}
	return err
}

// ready reports whether more of the body can be had without waiting: of this chunk, or the next one's size line.
func (b *body) ready() bool {
	n := b.br.Buffered()
	if b.left > 0 || n <= len("\r\n") {
		return b.left > 0 && n > 0
	}
	next, _ := b.br.Peek(n)
	return bytes.IndexByte(next[len("\r\n"):], '\n') >= 0
}

// nextChunk reads the line end of the chunk before and the size line of the next; after the last one the trailers,
// which are dropped.
func (b *body) nextChunk() error {
	if b.inChunk {
		var end [2]byte
		if _, err := io.ReadFull(b.br, end[:]); err != nil {
			return err
		}
		if end != [2]byte{'\r', '\n'} {
			return fmt.Errorf("%w: chunk longer than its size", ErrMalformed)
		}
	}
	line, err := b.line()
	if err != nil {
		return err
	}
	if b.left, err = chunkSize(line); err != nil {
		return err
	}
	b.inChunk = true
	for b.left == 0 {
		if line, err = b.line(); err != nil {
			return err
		}
		if len(line) == 0 {
			b.done = true
			return nil
		}
	}
	return nil
}

// line reads one CRLF-ended line, without its end.
func (b *body) line() ([]byte, error) {
	line, err := b.br.ReadSlice('\n')
	if err == bufio.ErrBufferFull || len(line) > maxChunkLine { //nolint:errorlint // bufio returns the sentinel itself
		return nil, fmt.Errorf("%w: chunk line too long", ErrMalformed)
	}
	if err != nil {
		return nil, err
	}
	line, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok || bytes.IndexByte(line, '\r') >= 0 {
		return nil, fmt.Errorf("%w: chunk line that does not end with CRLF", ErrMalformed)
	}
	return line, nil
}

// chunkSize parses a size line; extensions are passed over.
func chunkSize(line []byte) (int64, error) {
	line, _, _ = bytes.Cut(line, []byte{';'})
	line = bytes.TrimRight(line, " \t")
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
