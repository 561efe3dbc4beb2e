package upstream

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// conn is one connection to a provider. fasthttp's pool holds it as a net.Conn; one round trip at a time uses it.
type conn struct {
	net.Conn                 // what is read and written: the socket, or TLS over it
	socket   net.Conn        // the socket itself
	rawRead  syscall.RawConn // for the look before reuse
	peek     func(fd uintptr) bool
	idle     bool // set by peek: the socket is open and has nothing to read

	release func(reuse bool) // gives the connection back to the pool or ends it
	retire  time.Time        // not used again after this
	used    bool             // has carried a round trip before

	deadline     time.Time     // of the whole round trip
	readTimeout  time.Duration // of the next read
	writeTimeout time.Duration // of the next write
	gotBytes     bool          // a byte was read in this round trip
	ended        bool          // the peer closed, or reading failed
}

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
	c.rawRead = raw
	c.peek = func(fd uintptr) bool {
		var one [1]byte
		_, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		c.idle = errors.Is(err, unix.EAGAIN)
		return true
	}
	return c, nil
}

// begin prepares the connection for a round trip.
func (c *conn) begin(t *Timeouts, deadline time.Time) {
	c.deadline = deadline
	c.writeTimeout, c.readTimeout = t.Write, t.FirstByte
	c.gotBytes, c.ended = false, false
}

// clean reports whether an idle connection may carry another request: nothing was sent by the peer since the last
// answer, neither an end nor a byte. What waits there belongs to nobody, and the next caller would take it for
// his answer. On TLS the socket below is looked at: any pending record, even a harmless one, costs only a dial.
func (c *conn) clean(now time.Time) bool {
	if now.After(c.retire) {
		return false
	}
	c.idle = false
	return c.rawRead.Read(c.peek) == nil && c.idle
}

// handshake speaks TLS on a fresh connection.
func (c *conn) handshake(config *tls.Config, timeout time.Duration) error {
	t := tls.Client(c.socket, config)
	if err := c.socket.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if err := t.Handshake(); err != nil {
		return err
	}
	c.Conn = t
	return c.socket.SetDeadline(time.Time{})
}

// Read reads with a deadline of its own, and remembers how the peer ended.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.socket.SetReadDeadline(c.next(c.readTimeout)); err != nil {
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

// Write writes with a deadline of its own.
func (c *conn) Write(p []byte) (int, error) {
	if err := c.socket.SetWriteDeadline(c.next(c.writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// Close closes the socket. There is no farewell on TLS: it could block, and the peer has nothing left to say.
func (c *conn) Close() error { return c.socket.Close() }

// next returns the sooner of a step's deadline and the round trip's.
func (c *conn) next(step time.Duration) time.Time {
	d := time.Now().Add(step)
	if !c.deadline.IsZero() && c.deadline.Before(d) {
		return c.deadline
	}
	return d
}

// isTimeout reports whether err is a deadline that passed.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &ne) && ne.Timeout()
}
