package upstream

import (
	"bufio"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// Trip is one round trip. The zero value is ready; after Close it can be used again. One goroutine drives it; only
// Cancel may be called from another.
type Trip struct {
	// Header is the answer's header, valid from Send to Close.
	Header fasthttp.ResponseHeader

	pool *Pool
	conn *conn
	br   *bufio.Reader
	body body

	mu       sync.Mutex // guards what Cancel reads
	live     *conn      // conn while it may be closed by Cancel
	canceled bool
}

// Send writes req on a connection of pool and reads the answer's header. After an *Error the trip is closed.
func (t *Trip) Send(pool *Pool, req *Request) error {
	t.pool = pool
	t.Header.Reset() // what an earlier trip answered says nothing of this one
	c, err := pool.checkout(&req.Timeouts)
	if err != nil {
		return &Error{Connecting, cause(err)}
	}
	t.conn = c
	c.begin(&req.Timeouts, time.Now().Add(req.Timeouts.Total))
	if !t.arm(c) {
		t.Close()
		return &Error{Connecting, ErrCanceled}
	}
	if err := t.write(req); err != nil {
		return t.fail(Sending, err)
	}
	if err := t.readHeader(); err != nil {
		if c.gotBytes {
			return t.fail(Reading, err)
		}
		return t.fail(Waiting, err)
	}
	c.readTimeout = req.Timeouts.Gap
	t.body.begin(&t.Header, t.br)
	return nil
}

// write sends the whole request.
func (t *Trip) write(req *Request) error {
	bw := t.pool.host.AcquireWriter(t.conn)
	defer t.pool.host.ReleaseWriter(bw)
	if _, err := bw.Write(req.Head); err != nil {
		return err
	}
	if req.Body != nil {
		if _, err := req.Body.WriteTo(bw); err != nil {
			return err
		}
	}
	return bw.Flush()
}

// maxInterim bounds the 1xx answers before the real one.
const maxInterim = 16

// readHeader reads the answer's header, past interim answers.
func (t *Trip) readHeader() error {
	t.br = t.pool.host.AcquireReader(t.conn)
	for range maxInterim {
		if err := t.Header.Read(t.br); err != nil {
			return err
		}
		if code := t.Header.StatusCode(); code >= 200 && code <= 599 {
			return nil
		} else if code == fasthttp.StatusSwitchingProtocols || code < 100 || code > 599 {
			return ErrMalformed
		}
	}
	return ErrMalformed
}

// Read reads the answer's body. io.EOF means that it ended where its framing says; an *Error wrapping ErrCut that
// the connection ended before. What is ready is returned at once: Read never waits to fill p.
func (t *Trip) Read(p []byte) (int, error) {
	n, err := t.body.read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	if t.Canceled() {
		err = ErrCanceled
	}
	return n, &Error{Reading, cause(err)}
}

// Length is the body's length as the header states it; -1 if it does not.
func (t *Trip) Length() int {
	if n := t.Header.ContentLength(); n >= 0 {
		return n
	}
	return -1
}

// Cancel ends the round trip from another goroutine: its connection is closed at once, and whatever Send or Read
// waits for fails with ErrCanceled. A trip that has not begun will not.
func (t *Trip) Cancel() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.canceled = true
	if t.live != nil {
		_ = t.live.Close()
	}
}

// Canceled reports whether Cancel was called since the last Reset.
func (t *Trip) Canceled() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.canceled
}

// SetGap changes how long the next reads may take, while the answer is being read.
func (t *Trip) SetGap(gap time.Duration) { t.conn.readTimeout = gap }

// Close gives the connection back, to the pool if the answer was read to its end, and makes the trip ready for the
// next Send. It may be called at any time, more than once. A cancellation outlives it: see Reset.
func (t *Trip) Close() {
	if t.conn == nil {
		return
	}
	reuse := t.disarm() && t.body.done && t.br != nil && t.br.Buffered() == 0 && !t.conn.ended && !t.Header.ConnectionClose()
	if t.br != nil {
		t.pool.host.ReleaseReader(t.br)
	}
	t.conn.release(reuse)
	t.conn, t.br, t.body = nil, nil, body{}
}

// Reset forgets a cancellation and the header, for the next exchange.
func (t *Trip) Reset() {
	t.Close()
	t.Header.Reset()
	t.canceled = false
}

// arm lets Cancel reach c; false if it came first.
func (t *Trip) arm(c *conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.canceled {
		t.live = c
	}
	return !t.canceled
}

// disarm takes the connection out of Cancel's reach, so that a late Cancel cannot close it under its next user. It
// reports whether the connection is still whole.
func (t *Trip) disarm() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live = nil
	return !t.canceled
}

// fail closes the trip and says what happened.
func (t *Trip) fail(phase Phase, err error) error {
	if t.Canceled() {
		err = ErrCanceled
	}
	t.Close()
	return &Error{phase, cause(err)}
}

// cause translates the sentinels of the network and of fasthttp, once, here.
func cause(err error) error {
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.Is(err, fasthttp.ErrTimeout) || isTimeout(err):
		return ErrTimeout
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return ErrCut
	case errors.As(err, &small):
		return ErrMalformed
	}
	return err
}
