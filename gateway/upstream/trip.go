package upstream

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// answerGrace is how long an answer is looked for after writing the request has failed. What there is has arrived.
const answerGrace = 100 * time.Millisecond

// Trip is one round trip. The zero value is ready; after Close it can be used again. One goroutine drives it; only
// Cancel and Canceled may be called from another.
type Trip struct {
	// Header is the answer's header, valid from Send to Close.
	Header fasthttp.ResponseHeader

	pool      *Pool
	conn      *conn
	in        reader
	out       writer
	body      body
	closes    bool          // the connection must not be used again, by what the answer says
	early     bool          // the answer came before the request was whole
	listening bool          // another goroutine reads the header
	heard     chan struct{} // it has
	refused   error         // why it could not

	mu       sync.Mutex         // guards what Cancel needs
	opening  context.CancelFunc // ends the wait for a connection
	live     *conn              // conn while it may be closed by Cancel
	canceled bool
}

// Send writes req on a connection of pool and reads the answer's header. After an *Error the trip is closed.
//
// A provider may answer before it has the whole request, as one that refuses its size does. The answer counts then,
// and nothing is said of the write that broke.
func (t *Trip) Send(pool *Pool, req *Request) error {
	t.pool = pool
	t.Header.Reset() // what an earlier trip answered says nothing of this one
	now := time.Now()
	deadline := now.Add(req.Timeouts.Total)
	c, err := t.connect(&req.Timeouts, now, deadline)
	if err != nil {
		return t.fail(Connecting, err)
	}
	t.conn = c
	c.begin(&req.Timeouts, deadline)
	if !t.arm(c) {
		return t.fail(Connecting, ErrCanceled)
	}
	t.in = reader{src: c, buf: pool.buffers.getRead()}
	wrote := t.write(req)
	err = t.hear(wrote, req)
	switch {
	case err == nil:
		t.early = wrote != nil
		t.body.begin(&t.Header, &t.in)
		return nil
	case wrote != nil && !errors.Is(wrote, errStopped):
		return t.fail(Sending, wrote)
	case wrote != nil:
		return t.fail(Sending, err)
	case c.gotBytes:
		return t.fail(Reading, err)
	}
	return t.fail(Waiting, err)
}

// connect returns a connection that is ready for a request: an idle one that passed the look, or a fresh one.
func (t *Trip) connect(limits *Timeouts, now, deadline time.Time) (*conn, error) {
	c, turn := t.pool.claim(now)
	if c != nil {
		return c, nil
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	if !t.armOpening(cancel) {
		if turn {
			t.pool.pass()
		}
		return nil, ErrCanceled
	}
	defer t.disarm()
	if !turn {
		if c, err := t.pool.wait(ctx); c != nil || err != nil {
			return c, err
		}
	}
	return t.pool.dial(ctx, limits)
}

// Read reads the answer's body. io.EOF means that it ended where its framing says; an *Error wrapping ErrCut that
// the connection ended before. What is ready is returned at once: Read never waits to fill p.
func (t *Trip) Read(p []byte) (int, error) {
	n, err := t.body.read(p)
	if err == nil || err == io.EOF { //nolint:errorlint // the body's own end, not an error that holds one
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

// Cancel ends the round trip from another goroutine: its connection is closed at once, or the wait for one ended, and
// whatever Send or Read waits for fails with ErrCanceled. A trip that has not begun will not.
func (t *Trip) Cancel() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.canceled = true
	if t.live != nil {
		_ = t.live.Close()
	}
	if t.opening != nil {
		t.opening()
	}
}

// Canceled reports whether Cancel was called since the last Reset.
func (t *Trip) Canceled() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.canceled
}

// Linger makes ready for an answer that comes bit by bit, over a long time: with a small buffer, as long as what comes at
// one time fits in.
func (t *Trip) Linger() {
	if len(t.in.buf) != readSize || t.in.buffered() > smallSize/2 {
		return
	}
	small, large := t.pool.buffers.getSmall(), t.in.buf
	n := copy(small, t.in.ready())
	t.in.buf, t.in.from, t.in.to, t.in.full = small, 0, n, false
	t.pool.buffers.putRead(large)
}

// SetGap changes how long the next reads may take, while the answer is being read.
func (t *Trip) SetGap(gap time.Duration) { t.conn.setGap(gap) }

// Close gives the connection back, to the pool if the answer was read to its end, and makes the trip ready for the
// next Send. It may be called at any time, more than once. A cancellation outlives it: see Reset.
func (t *Trip) Close() {
	if t.conn == nil {
		return
	}
	if t.listening { // Send did not come to its end: the body panicked
		_ = t.conn.Close()
		<-t.heard
		t.listening = false
	}
	reuse := t.disarm() && t.spent()
	if t.in.buf != nil {
		t.pool.buffers.putRead(t.in.buf)
	}
	t.pool.release(t.conn, reuse)
	t.conn, t.in, t.body, t.closes, t.early = nil, reader{}, body{}, false, false
}

// spent reports whether the request and the answer went over whole, with nothing behind them, so that the connection
// can be used for others.
func (t *Trip) spent() bool {
	return t.body.done && !t.early && !t.closes && t.in.buffered() == 0 && !t.conn.ended && !t.Header.ConnectionClose()
}

// Reset forgets a cancellation and the header, for the next exchange.
func (t *Trip) Reset() {
	t.Close()
	t.Header.Reset()
	t.mu.Lock()
	defer t.mu.Unlock()
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

// armOpening lets Cancel end the wait for a connection; false if it came first.
func (t *Trip) armOpening(stop context.CancelFunc) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.canceled {
		t.opening = stop
	}
	return !t.canceled
}

// disarm takes the connection out of Cancel's reach, so that a late Cancel cannot close it under its next user. It
// reports whether the connection is still whole.
func (t *Trip) disarm() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live, t.opening = nil, nil
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
