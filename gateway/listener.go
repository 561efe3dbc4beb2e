package gateway

import (
	"fmt"
	"io"
	"net"
	"syscall"
	"time"
)

// writeStall is how long one write to a client may take. Streams have no total: a slow reader is fine, one that
// reads nothing is not.
const writeStall = 30 * time.Second

// headStart is how much of each request's first bytes is kept, for the dialect of an answer to a request whose
// header cannot be parsed.
const headStart = 64

// listener wraps what it accepts in clientConn.
type listener struct{ net.Listener }

// Accept waits for the next connection.
func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newClientConn(c)
}

// clientConn is a client's connection as the gateway sees it: it gives every write a deadline of its own, knows
// the socket's descriptor for the watcher, and can be made to end after the current answer.
type clientConn struct {
	net.Conn
	fd     int    // of the socket; valid while the connection is open
	addr   string // the peer's IP address without the port
	text   []byte // addr, for guests
	last   bool   // read nothing more: the answer that is being written is the last
	linger bool   // the peer is still sending: see Close
	reads  bool   // the last call was Read, so the next one continues a request
	head   [headStart]byte
	headed int // bytes of head that are set
}

func newClientConn(c net.Conn) (net.Conn, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("accepted a %T, which has no socket", c)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil, err
	}
	cc := &clientConn{Conn: c, addr: c.RemoteAddr().String()}
	if host, _, err := net.SplitHostPort(cc.addr); err == nil {
		cc.addr = host
	}
	cc.text = []byte(cc.addr)
	if err := raw.Control(func(fd uintptr) { cc.fd = int(fd) }); err != nil {
		return nil, err
	}
	return cc, nil
}

// Read reads, and keeps the start of what follows a write.
func (c *clientConn) Read(p []byte) (int, error) {
	if c.last {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p)
	if !c.reads {
		c.headed = copy(c.head[:], p[:n])
	}
	c.reads = true
	return n, err
}

// Write writes with a deadline of its own.
func (c *clientConn) Write(p []byte) (int, error) {
	c.reads = false
	if err := c.SetWriteDeadline(time.Now().Add(writeStall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// lingerTime is how long a closed connection takes in what the peer is still sending.
const lingerTime = time.Second

// Close closes the connection. Where the peer was refused in the middle of its request it is first let finish, for
// a moment and into nothing: a socket closed with unread bytes resets the connection, and the peer might never see
// the answer that says why.
func (c *clientConn) Close() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok && c.linger {
		_ = tcp.CloseWrite()
		_ = tcp.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.Copy(io.Discard, tcp)
	}
	return c.Conn.Close()
}

// requestStart is the beginning of the request that is being read, as far as it was kept.
func (c *clientConn) requestStart() []byte { return c.head[:c.headed] }
