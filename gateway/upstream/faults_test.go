package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-dev/sallyport/internal/testutil"
)

// peer serves connections without reading requests by itself.
func peer(t *testing.T, serve func(n int, c *net.TCPConn)) *Pool {
	t.Helper()
	address := testutil.ServeConns(t, func(n int, c net.Conn) { serve(n, c.(*net.TCPConn)) })
	pool := localPool(address, "", nil)
	t.Cleanup(pool.Close)
	return pool
}

// reset ends a connection with a RST.
func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

const longBody = 16 << 20

// longRequest does not fit into the buffers between us and a peer that does not read.
func longRequest() *Request {
	req := testRequest()
	req.Head = fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", longBody)
	req.Body = strings.NewReader(strings.Repeat("x", longBody))
	return req
}

// fails sends a request and expects this failure.
func fails(t *testing.T, pool *Pool, req *Request, phase Phase, cause error) {
	t.Helper()
	var trip Trip
	err := trip.Send(pool, req)
	if err == nil {
		_, err = io.ReadAll(&trip)
		trip.Close()
	}
	var e *Error
	if !errors.As(err, &e) || e.Phase != phase || !errors.Is(err, cause) {
		t.Errorf("error %v, want %v while %v", err, cause, phase)
	}
	pool.wants(t, 0, 0, 0)
}

// What a provider had when the connection ended decides what may be sent again, and so does how: all of the ends are
// told as what they are, at every point.
func TestEnds(t *testing.T) {
	ends := map[string]func(c *net.TCPConn, over <-chan struct{}){
		"FIN": func(c *net.TCPConn, over <-chan struct{}) { _ = c.CloseWrite(); <-over },
		"RST": func(c *net.TCPConn, _ <-chan struct{}) { reset(c) },
	}
	for name, end := range ends {
		t.Run(name+" before the request is whole", func(t *testing.T) {
			over := make(chan struct{})
			defer close(over)
			pool := peer(t, func(_ int, c *net.TCPConn) {
				_, _ = io.ReadFull(c, make([]byte, 1000)) // and no more, or all of it might be written before the end is seen
				end(c, over)
			})
			fails(t, pool, longRequest(), Sending, ErrCut)
		})
		for at, part := range map[string]string{
			"after the request":     "",
			"in the status line":    "HTTP/1.1 2",
			"in the header":         "HTTP/1.1 200 OK\r\nContent-",
			"after the header":      "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
			"in the body":           "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfi",
			"in a chunk":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfi",
			"between chunks":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n",
			"in a size":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n2",
			"before the end":        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n0\r\n",
			"in a trailer":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n0\r\nA: b",
			"after interim answers": "HTTP/1.1 103 Early Hints\r\n\r\n",
		} {
			t.Run(name+" "+at, func(t *testing.T) {
				reached, over := make(chan struct{}), make(chan struct{})
				defer close(over)
				pool := peer(t, func(_ int, c *net.TCPConn) {
					_, _ = http.ReadRequest(bufio.NewReader(c))
					_, _ = io.WriteString(c, part)
					<-reached // what was sent is there before the RST
					end(c, over)
				})
				phase := Reading
				if part == "" {
					phase = Waiting
				}
				watched(pool, len(part), func() { close(reached) })
				fails(t, pool, testRequest(), phase, ErrCut)
			})
		}
	}
}

func say(c net.Conn, what string) { _, _ = io.WriteString(c, what) }

// watch is a connection that tells when so many bytes were read from it, and counts.
type watch struct {
	*net.TCPConn
	wanted        int64
	tell          func() // once
	got           atomic.Int64
	reads, writes atomic.Int64
}

func (w *watch) Read(p []byte) (int, error) {
	w.reads.Add(1)
	n, err := w.TCPConn.Read(p)
	if w.got.Add(int64(n)) >= w.wanted {
		w.tell()
	}
	return n, err
}

func (w *watch) Write(p []byte) (int, error) {
	w.writes.Add(1)
	n, err := w.TCPConn.Write(p)
	if w.wanted == 0 {
		w.tell()
	}
	return n, err
}

// watched lets the pool's next connections tell when n bytes were read, and with none when the request was written.
func watched(pool *Pool, n int, tell func()) *[]*watch {
	all := new([]*watch)
	pool.dialer.connect = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		c, err := connectTCP(ctx, to)
		if err != nil {
			return nil, err
		}
		w := &watch{TCPConn: c.(*net.TCPConn), wanted: int64(n), tell: sync.OnceFunc(tell)}
		*all = append(*all, w)
		return w, nil
	}
	return all
}

// A provider that refuses a long request before it has read it is believed, whether it then hangs up or not.
func TestEarlyAnswer(t *testing.T) {
	const refusal = "HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\n\r\ntoo large"
	for name, serve := range map[string]func(c *net.TCPConn, told <-chan struct{}){
		"and ends its side":       func(c *net.TCPConn, told <-chan struct{}) { say(c, refusal); _ = c.CloseWrite(); <-told },
		"and resets":              func(c *net.TCPConn, told <-chan struct{}) { say(c, refusal); <-told; reset(c) },
		"and reads no more":       func(c *net.TCPConn, told <-chan struct{}) { say(c, refusal); <-told },
		"in pieces":               func(c *net.TCPConn, told <-chan struct{}) { say(c, refusal[:5]); say(c, refusal[5:]); <-told },
		"after an interim answer": func(c *net.TCPConn, told <-chan struct{}) { say(c, "HTTP/1.1 100 Continue\r\n\r\n"+refusal); <-told },
	} {
		t.Run(name, func(t *testing.T) {
			told := make(chan struct{})
			pool := peer(t, func(_ int, c *net.TCPConn) {
				_, _ = io.ReadFull(c, make([]byte, 1000))
				serve(c, told)
			})
			watched(pool, len(refusal), func() { close(told) })
			req := longRequest()
			began := time.Now()
			var trip Trip
			if err := trip.Send(pool, req); err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(&trip)
			if trip.Header.StatusCode() != 413 || string(b) != "too large" || err != nil {
				t.Errorf("%d %q, %v", trip.Header.StatusCode(), b, err)
			}
			if time.Since(began) > req.Timeouts.Write {
				t.Error("it was not read before the write timed out")
			}
			trip.Close()
			pool.wants(t, 0, 0, 0) // half a request is on that connection
		})
	}
}

// An interim answer is no reason to stop sending.
func TestInterimAnswerWhileSending(t *testing.T) {
	pool := peer(t, func(_ int, c *net.TCPConn) {
		_, _ = io.WriteString(c, "HTTP/1.1 102 Processing\r\n\r\n")
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err == nil {
			n, _ := io.Copy(io.Discard, r.Body)
			if n == longBody {
				_, _ = io.WriteString(c, answer("fine"))
			}
		}
	})
	var trip Trip
	if err := trip.Send(pool, longRequest()); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(&trip); string(b) != "fine" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	trip.Close()
	pool.wants(t, 1, 1, 0) // the request was whole
}

// A peer that neither reads nor answers is given up in the time for a write, and one that is canceled at once.
func TestStalledWrite(t *testing.T) {
	release := make(chan struct{})
	pool := peer(t, func(int, *net.TCPConn) { <-release })
	t.Cleanup(func() { close(release) })
	req := longRequest()
	req.Timeouts.Write = 50 * time.Millisecond
	fails(t, pool, req, Sending, ErrTimeout)
	pool.release(take(t, pool), true) // so that the time does not end while it connects
	req = longRequest()
	req.Timeouts.Write = time.Minute
	req.Timeouts.Total = 100 * time.Millisecond
	fails(t, pool, req, Sending, ErrTimeout)

	var trip Trip
	timer := time.AfterFunc(50*time.Millisecond, trip.Cancel)
	defer timer.Stop()
	req.Timeouts.Total = time.Minute
	if err := trip.Send(pool, req); !errors.Is(err, ErrCanceled) {
		t.Errorf("error %v", err)
	}
}

// slow is a socket that takes a write after some time, and gives up at its deadline.
type slow struct {
	net.Conn
	takes    time.Duration
	deadline time.Time
	writes   []int
}

func (s *slow) SetWriteDeadline(t time.Time) error { s.deadline = t; return nil }

func (s *slow) Write(p []byte) (int, error) {
	if d := time.Until(s.deadline); d < s.takes {
		<-time.After(d)
		return 0, os.ErrDeadlineExceeded
	}
	<-time.After(s.takes)
	s.writes = append(s.writes, len(p))
	return len(p), nil
}

// A long request that moves slowly lives: the time is for each piece of it.
func TestSlowWriteLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slow{takes: 20 * time.Second}
		c := &conn{Conn: s, socket: s}
		began := time.Now()
		c.begin(&Timeouts{Write: 30 * time.Second}, began.Add(100*time.Second))
		if n, err := c.Write(make([]byte, 4*maxWrite)); n != 4*maxWrite || err != nil || !slices.Equal(s.writes, []int{maxWrite, maxWrite, maxWrite, maxWrite}) {
			t.Errorf("wrote %d as %v, %v", n, s.writes, err)
		}
		if n, err := c.Write(make([]byte, 2*maxWrite)); n != maxWrite || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("beyond the whole time: wrote %d, %v", n, err)
		}
		if took := time.Since(began); took != 100*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

// Interim answers do not put off the time for the real one.
func TestInterimAnswersBuyNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := piped(t, func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			for range maxInterim - 1 {
				if _, err := io.WriteString(c, "HTTP/1.1 102 Processing\r\n\r\n"); err != nil {
					return
				}
				<-time.After(60 * time.Millisecond)
			}
			say(c, answer("fine"))
		})
		req := testRequest()
		req.Timeouts.FirstByte = 100 * time.Millisecond
		began := time.Now()
		fails(t, pool, req, Reading, ErrTimeout)
		if took := time.Since(began); took != req.Timeouts.FirstByte {
			t.Errorf("given up after %s", took)
		}
	})
}

// piped is a pool whose connections are pipes. In a bubble of synctest time passes only while both ends wait.
func piped(t *testing.T, serve func(c net.Conn)) *Pool {
	t.Helper()
	var all sync.WaitGroup
	t.Cleanup(all.Wait)
	pool := localPool("127.0.0.1:1", "", nil)
	pool.dialer.connect = func(context.Context, netip.AddrPort) (net.Conn, error) {
		ours, theirs := net.Pipe()
		all.Go(func() {
			defer theirs.Close()
			serve(theirs)
		})
		return pipe{Conn: ours}, nil
	}
	return pool
}

// pipe stands for a socket, though there is none to look at before it is used again.
type pipe struct {
	net.Conn
	raw syscall.RawConn
}

func (p pipe) SyscallConn() (syscall.RawConn, error) { return p.raw, nil }

type broken struct{ after int }

var errBody = errors.New("the body broke")

func (b broken) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(make([]byte, b.after))
	return int64(n), errors.Join(err, errBody)
}

type panics struct{}

func (panics) WriteTo(w io.Writer) (int64, error) {
	_, _ = w.Write(make([]byte, 2*writeSize))
	panic("in the body")
}

// A body that fails by itself leaves nothing behind.
func TestBodyThatBreaks(t *testing.T) {
	pool := peer(t, func(_ int, c *net.TCPConn) { _, _ = io.Copy(io.Discard, c) })
	for _, after := range []int{0, 10 * writeSize} {
		req := testRequest()
		req.Body = broken{after}
		fails(t, pool, req, Sending, errBody)
	}
	var trip Trip
	func() {
		defer func() { _ = recover() }()
		req := testRequest()
		req.Body = panics{}
		_ = trip.Send(pool, req)
	}()
	trip.Close()
	pool.wants(t, 0, 0, 0)
}

// What waits on a connection that was used before, and takes nothing any more, was said before the request: it is
// nobody's answer.
func TestGoodbyeIsNoAnswer(t *testing.T) {
	pool := peer(t, func(n int, c *net.TCPConn) {
		br := bufio.NewReader(c)
		_, _ = http.ReadRequest(br)
		_, _ = io.WriteString(c, answer("fine"))
		_, _ = io.Copy(io.Discard, br)
	})
	var trip Trip
	if got, err := roundTrip(pool, &trip); got != "fine" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	pool.mu.Lock()
	c := pool.newest
	pool.mu.Unlock()
	c.Conn = goodbye{c.Conn, strings.NewReader("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")}
	fails(t, pool, testRequest(), Sending, ErrCut)
}

// goodbye is a connection whose peer said goodbye after the look and before the write.
type goodbye struct {
	net.Conn
	said io.Reader
}

func (goodbye) Write([]byte) (int, error)        { return 0, syscall.EPIPE }
func (g goodbye) Read(p []byte) (int, error)     { return g.said.Read(p) }
func (goodbye) SetReadDeadline(time.Time) error  { return nil }
func (goodbye) SetWriteDeadline(time.Time) error { return nil }
