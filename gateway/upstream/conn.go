package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// conn is one connection to a provider. One round trip at a time uses it.
type conn struct {
	net.Conn                 // what is read and written: the socket, or TLS over it
	socket   net.Conn        // the socket itself
	raw      syscall.RawConn // for the look before reuse, and for writing without waiting
	peek     func(fd uintptr) bool
	polled   [1]unix.PollFd // peek's
	silent   bool           // set by peek: the socket is open and has nothing to read
	push     func(fd uintptr) bool
	pushed   [2][]byte // push's
	taken    int       // set by push: bytes that the socket took
	failed   error     // set by push: why it took none

	newer, older *conn     // neighbours among the idle ones; the pool's
	idleSince    time.Time // the pool's
	retire       time.Time // not used again after this
	reused       bool      // has carried a round trip before

	written  int  // bytes of the request that were handed over
	gotBytes bool // a byte was read in this round trip
	ended    bool // the peer closed, or reading failed

	// A long request is written while another goroutine listens for an early answer, so both sides of it share this.
	mu       sync.Mutex
	deadline time.Time     // of the whole round trip
	firstBy  time.Time     // of the answer's first byte; zero, which is no bound, until the request is written
	begun    bool          // the answer's first byte is there: from now on it is gaps that are bounded
	gap      time.Duration // of the next read
	readBy   time.Time     // the deadline that reads have since the answer has begun
	write    time.Duration // of the next write
	stopped  bool          // nothing more is to be written
}

// errStopped is a write that was given up because the peer had said all that it was going to say.
var errStopped = errors.New("the peer does not wait for the rest")

// newConn wraps a fresh socket.
func newConn(socket net.Conn, retire time.Time) (*conn, error) {
	c := &conn{Conn: socket, socket: socket, retire: retire}
	sc, ok := socket.(syscall.Conn)
	if !ok {
		return nil, errors.New("connection without a socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	c.raw = raw
	c.peek = func(fd uintptr) bool {
		c.polled[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN} //nolint:gosec // a descriptor
		n, err := unix.Poll(c.polled[:], 0)
		c.silent = n == 0 && err == nil
		return true
	}
	c.push = func(fd uintptr) bool {
		c.taken, c.failed = unix.Writev(int(fd), c.pushed[:]) //nolint:gosec // a descriptor
		return true
	}
	return c, nil
}

// begin prepares the connection for a round trip.
func (c *conn) begin(t *Timeouts, deadline time.Time) {
	c.deadline, c.firstBy = deadline, time.Time{}
	c.write, c.gap = t.Write, t.Gap
	c.written = 0
	c.readBy = time.Time{}
	c.begun, c.stopped, c.gotBytes, c.ended = false, false, false, false
}

// clean reports whether an idle connection may carry another request: nothing was sent by the peer since the last
// answer, neither an end nor a byte. What waits there belongs to nobody, and the next caller would take it for
// his answer. On TLS the socket below is looked at: any pending record, even a harmless one, costs only a dial.
func (c *conn) clean(now time.Time) bool {
	if now.After(c.retire) {
		return false
	}
	c.silent = false
	return c.raw.Read(c.peek) == nil && c.silent
}

// handshake speaks TLS on a fresh connection.
func (c *conn) handshake(ctx context.Context, config *tls.Config) error {
	t := tls.Client(c.socket, config)
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	c.Conn = t
	return nil
}

// Read reads with a deadline of its own, and remembers how the peer ended.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.boundRead(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.gotBytes = true
	}
	if err != nil {
		c.ended = true
	}
	return n, err
}

// gapSlack is by what part of itself a gap may be longer than was asked for, so that not every event of a stream sets a
// deadline: that was a fifteenth of what an event costs.
const gapSlack = 32

// boundRead sets the deadline of the next read, if the one that is set comes too soon.
func (c *conn) boundRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.begun {
		c.readBy = time.Time{}
		return c.socket.SetReadDeadline(c.firstBy)
	}
	if !c.readBy.Before(c.within(c.gap)) {
		return nil
	}
	c.readBy = c.within(c.gap + c.gap/gapSlack)
	return c.socket.SetReadDeadline(c.readBy)
}

// setGap says how long the next reads may take.
func (c *conn) setGap(gap time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gap, c.readBy = gap, time.Time{}
}

// await says how long the answer's first byte may take from now on, also to a read that is reading already.
func (c *conn) await(d time.Duration, reading bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.firstBy = c.within(d)
	if reading && !c.begun {
		_ = c.socket.SetReadDeadline(c.firstBy) // fails on a closed socket, as the read then does
	}
}

// setBegun says whether the answer has begun.
func (c *conn) setBegun(begun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun = begun
}

// stopWriting ends the write that is under way, and those to come.
func (c *conn) stopWriting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	_ = c.socket.SetWriteDeadline(time.Unix(1, 0)) // fails on a closed socket, as the write then does
}

// writeNow writes as much of two pieces as the socket has room for, in one go and without waiting. On TLS, where a record goes
// as a whole, it writes nothing.
func (c *conn) writeNow(first, second []byte) (n int, err error) {
	if c.Conn != c.socket {
		return 0, nil
	}
	if err := c.boundWrite(); err != nil {
		return 0, err
	}
	c.pushed = [2][]byte{first, second}
	err = c.raw.Write(c.push)
	c.pushed = [2][]byte{}
	switch {
	case err != nil:
		return 0, c.whyNotWritten(err)
	case errors.Is(c.failed, unix.EAGAIN), errors.Is(c.failed, unix.EINTR):
		return 0, nil
	case c.failed != nil:
		return 0, &net.OpError{Op: "write", Net: "tcp", Addr: c.socket.RemoteAddr(), Err: os.NewSyscallError("writev", c.failed)}
	}
	c.written += c.taken
	return c.taken, nil
}

// maxWrite is the most that is written under one deadline, so that a long request lives as long as it moves.
const maxWrite = 64 << 10

// Write writes with a deadline of its own for each piece.
func (c *conn) Write(p []byte) (int, error) {
	total := 0
	for {
		piece := p[total:min(len(p), total+maxWrite)]
		if err := c.boundWrite(); err != nil {
			return total, err
		}
		n, err := c.Conn.Write(piece)
		total += n
		c.written += n
		if err != nil {
			return total, c.whyNotWritten(err)
		}
		if total == len(p) {
			return total, nil
		}
	}
}

// whyNotWritten tells a write that was stopped from one that failed.
func (c *conn) whyNotWritten(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errStopped
	}
	return err
}

// boundWrite sets the deadline of the next write.
func (c *conn) boundWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errStopped
	}
	return c.socket.SetWriteDeadline(c.within(c.write))
}

// within returns the sooner of a step's deadline and the round trip's.
func (c *conn) within(step time.Duration) time.Time {
	d := time.Now().Add(step)
	if c.deadline.Before(d) {
		return c.deadline
	}
	return d
}

// Close closes the socket. There is no farewell on TLS: it could block, and the peer has nothing left to say.
func (c *conn) Close() error { return c.socket.Close() }

// isTimeout reports whether err is a deadline that passed.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}
