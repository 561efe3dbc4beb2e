package upstream

import (
	"bytes"
	"fmt"

	"github.com/valyala/fasthttp"
)

// maxInterim bounds the 1xx answers before the real one.
const maxInterim = 16

var errHeader = fmt.Errorf("%w: the header is not HTTP/1", ErrMalformed)

// readHeader reads the answer's header, past interim answers.
func (t *Trip) readHeader() error {
	for range maxInterim {
		block, err := t.readBlock()
		if err != nil {
			return err
		}
		closes, ok := inspect(block)
		if !ok || !t.pool.buffers.parse(&t.Header, block) {
			t.Header.Reset()
			return errHeader
		}
		switch code := t.Header.StatusCode(); {
		case code >= 200 && code <= 599:
			t.closes = closes
			return nil
		case code == fasthttp.StatusSwitchingProtocols || code < 100 || code > 599:
			t.Header.Reset()
			return fmt.Errorf("%w: status %d", ErrMalformed, code)
		}
	}
	t.Header.Reset()
	return fmt.Errorf("%w: more than %d interim answers", ErrMalformed, maxInterim)
}

// readBlock reads one header. The time for the answer's first byte runs until a header has begun, the interim ones
// before it notwithstanding; then the bytes have to keep coming.
func (t *Trip) readBlock() ([]byte, error) {
	t.conn.setBegun(t.in.buffered() > 0)
	if t.in.buffered() == 0 {
		if err := t.in.fill(maxHeader); err != nil {
			return nil, err
		}
		t.conn.setBegun(true)
	}
	return t.in.block()
}

// inspect looks for what fasthttp passes over: other spellings of "Connection: close", and a body with two lengths,
// after which nobody knows what the connection holds (RFC 9112, 6.3). closes means that it must not be used again;
// ok is false for an answer that says chunked in a version that has no chunks.
func inspect(block []byte) (closes, ok bool) {
	length, encoding := false, false
	old := bytes.HasPrefix(block, []byte("HTTP/1.0"))
	for line := range bytes.Lines(block) {
		name, value, _ := bytes.Cut(line, []byte{':'})
		switch name = bytes.TrimRight(name, " \t"); {
		case bytes.EqualFold(name, []byte("connection")):
			closes = closes || saysClose(value)
		case bytes.EqualFold(name, []byte("content-length")):
			length = true
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			encoding = true
		}
	}
	return closes || length && encoding, !old || !encoding
}

// saysClose reports whether "close" is among the options of a connection.
func saysClose(value []byte) bool {
	for option := range bytes.SplitSeq(value, []byte{','}) {
		if bytes.EqualFold(bytes.TrimSpace(option), []byte("close")) {
			return true
		}
	}
	return false
}
