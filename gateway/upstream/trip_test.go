package upstream

import (
	"bufio"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-dev/sallyport/internal/testutil"
)

// provider serves every connection with script. next reads one request and says whether there was one; n counts
// the connections from 0.
func provider(t *testing.T, script func(n int, c net.Conn, next func() bool)) *Pool {
	t.Helper()
	address := testutil.ServeConns(t, func(n int, c net.Conn) {
		br := bufio.NewReader(c)
		script(n, c, func() bool {
			r, err := http.ReadRequest(br)
			if err == nil {
				_, err = io.Copy(io.Discard, r.Body)
			}
			return err == nil
		})
	})
	pool := localPool(address, "", nil)
	t.Cleanup(pool.Close)
	return pool
}

// localPool leads to a test's own server.
func localPool(address, serverName string, roots *x509.CertPool) *Pool {
	return NewPool(Options{Addr: address, ServerName: serverName, RootCAs: roots, AllowPrivate: true})
}

func testRequest() *Request {
	return &Request{
		Head: []byte("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"),
		Body: strings.NewReader("{}"),
		Timeouts: Timeouts{
			Connect: 10 * time.Second, Write: 10 * time.Second, FirstByte: 5 * time.Second, Gap: 5 * time.Second, Total: time.Minute,
		},
	}
}

// answer is a whole answer with this body.
func answer(body string) string {
	return "HTTP/1.1 200 OK\r\nContent-Length: " + string(rune('0'+len(body))) + "\r\n\r\n" + body
}

// roundTrip sends a request and reads the whole answer.
func roundTrip(pool *Pool, trip *Trip) (string, error) {
	if err := trip.Send(pool, testRequest()); err != nil {
		return "", err
	}
	defer trip.Close()
	b, err := io.ReadAll(trip)
	return string(b), err
}

// An answer that nobody asked for, on an idle connection, must never reach the next caller (trap 1).
func TestUnsolicitedAnswerIsDropped(t *testing.T) {
	inject, injected := make(chan struct{}), make(chan struct{})
	pool := provider(t, func(n int, c net.Conn, next func() bool) {
		for next() {
			_, _ = io.WriteString(c, answer("fine"))
			if n == 0 {
				<-inject
				_, _ = io.WriteString(c, answer("INJECT"))
				close(injected)
			}
		}
	})
	var trip Trip
	if got, err := roundTrip(pool, &trip); err != nil || got != "fine" {
		t.Fatalf("%q, %v", got, err)
	}
	close(inject)
	<-injected
	pool.seesMore(t)
	if got, err := roundTrip(pool, &trip); err != nil || got != "fine" {
		t.Errorf("after the injection: %q, %v", got, err)
	}
}

// A connection whose answer was not read to its end is never used again.
func TestHalfReadConnectionIsDropped(t *testing.T) {
	pool := provider(t, func(n int, c net.Conn, next func() bool) {
		for next() {
			if n == 0 {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
				continue
			}
			_, _ = io.WriteString(c, answer("fine"))
		}
	})
	var trip Trip
	if err := trip.Send(pool, testRequest()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(&trip, make([]byte, len("abc"))); err != nil {
		t.Fatal(err)
	}
	trip.Close()
	if got, err := roundTrip(pool, &trip); err != nil || got != "fine" {
		t.Errorf("%q, %v", got, err)
	}
}

// A pooled connection that the provider closed is dropped before anything is written on it.
func TestStaleConnectionIsDropped(t *testing.T) {
	closed, requests := make(chan struct{}), make(chan int, 10)
	pool := provider(t, func(n int, c net.Conn, next func() bool) {
		for next() {
			requests <- n
			_, _ = io.WriteString(c, answer("fine"))
			if n == 0 {
				_ = c.Close()
				close(closed)
				return
			}
		}
	})
	var trip Trip
	for i := range 2 {
		if got, err := roundTrip(pool, &trip); err != nil || got != "fine" {
			t.Fatalf("round trip %d: %q, %v", i, got, err)
		}
		if i == 0 {
			<-closed
			pool.seesMore(t)
		}
	}
	if a, b := <-requests, <-requests; a != 0 || b != 1 {
		t.Errorf("requests came on connections %d and %d", a, b)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	connections := make(chan int, 10)
	pool := provider(t, func(n int, c net.Conn, next func() bool) {
		connections <- n
		for next() {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\nA-Trailer: x\r\n\r\n")
		}
	})
	var trip Trip
	for range 3 {
		if got, err := roundTrip(pool, &trip); err != nil || got != "fine" {
			t.Fatalf("%q, %v", got, err)
		}
	}
	if len(connections) != 1 {
		t.Errorf("%d connections for three round trips", len(connections))
	}
}

// However a provider fails, the request is sent once, and the error says how far it got.
func TestFailures(t *testing.T) {
	facts := []struct {
		name, sent string
		phase      Phase
		cause      error
	}{
		{"closes without an answer", "", Waiting, ErrCut},
		{"closes in the header", "HTTP/1.1 200 OK\r\nContent-", Reading, ErrCut},
		{"closes in the body", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", Reading, ErrCut},
		{"closes in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", Reading, ErrCut},
		{"closes between chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", Reading, ErrCut},
		{"closes before the trailer's end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", Reading, ErrCut},
		{"wrong chunk size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nabc\r\n0\r\n\r\n", Reading, ErrMalformed},
		{"chunk longer than its size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n", Reading, ErrMalformed},
		{"endless interim answers", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 99), Reading, ErrMalformed},
		{"switches protocols", "HTTP/1.1 101 Switching Protocols\r\n\r\n", Reading, ErrMalformed},
		{"a header without end", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 64<<10), Reading, ErrMalformed},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			sends := make(chan int, 10)
			pool := provider(t, func(n int, c net.Conn, next func() bool) {
				if next() {
					sends <- n
					_, _ = io.WriteString(c, f.sent)
					_ = c.(*net.TCPConn).CloseWrite()
					_, _ = io.Copy(io.Discard, c)
				}
			})
			var trip Trip
			_, err := roundTrip(pool, &trip)
			var e *Error
			if !errors.As(err, &e) || e.Phase != f.phase || !errors.Is(err, f.cause) {
				t.Errorf("error %v, want %v while %v", err, f.cause, f.phase)
			}
			if len(sends) != 1 {
				t.Errorf("sent %d times", len(sends))
			}
		})
	}
}

func TestInterimAnswersArePassedOver(t *testing.T) {
	pool := provider(t, func(_ int, c net.Conn, next func() bool) {
		for next() {
			_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"+answer("fine"))
		}
	})
	if got, err := roundTrip(pool, new(Trip)); err != nil || got != "fine" {
		t.Errorf("%q, %v", got, err)
	}
}

// Timeouts are per read: an answer that takes longer than any of them lives, one that stops does not.
func TestTimeoutsArePerRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		req := testRequest()
		gap := req.Timeouts.Gap
		pool := piped(t, func(c net.Conn) {
			_, _ = http.ReadRequest(bufio.NewReader(c))
			say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for range 10 {
				<-time.After(gap * 3 / 4)
				say(c, "1\r\na\r\n")
			}
			_, _ = io.Copy(io.Discard, c)
		})
		var trip Trip
		if err := trip.Send(pool, req); err != nil {
			t.Fatal(err)
		}
		defer trip.Close()
		for i := range 10 { // seven and a half gaps in all
			if n, err := trip.Read(make([]byte, 10)); n != 1 || err != nil {
				t.Fatalf("read %d: %d, %v", i, n, err)
			}
		}
		began := time.Now()
		_, err := trip.Read(make([]byte, 10))
		if took := time.Since(began); !errors.Is(err, ErrTimeout) || took < gap || took > gap+gap/gapSlack {
			t.Errorf("a stalled answer, after %s: %v", took, err)
		}
	})
}

// A gap that is made shorter counts at once, though the reads before it were given longer.
func TestAShorterGapCounts(t *testing.T) {
	step := make(chan struct{})
	pool := provider(t, func(_ int, c net.Conn, next func() bool) {
		next()
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		<-step
		_, _ = io.WriteString(c, "1\r\na\r\n")
		next() // until the end
	})
	req := testRequest()
	req.Timeouts.Gap = 5 * time.Second
	var trip Trip
	if err := trip.Send(pool, req); err != nil {
		t.Fatal(err)
	}
	defer trip.Close()
	close(step)
	if n, err := trip.Read(make([]byte, 10)); n != 1 || err != nil {
		t.Fatalf("the first read: %d, %v", n, err)
	}
	trip.SetGap(50 * time.Millisecond)
	began := time.Now()
	if _, err := trip.Read(make([]byte, 10)); !errors.Is(err, ErrTimeout) || time.Since(began) > req.Timeouts.Gap {
		t.Errorf("a stalled answer after %v: %v", time.Since(began), err)
	}
}

func TestCancel(t *testing.T) {
	reached := make(chan struct{})
	gone := make(chan struct{})
	pool := provider(t, func(_ int, c net.Conn, next func() bool) {
		if next() {
			close(reached)
			_, _ = c.Read(make([]byte, 1))
			close(gone)
		}
	})
	var trip Trip
	go func() { <-reached; trip.Cancel() }()
	if _, err := roundTrip(pool, &trip); !errors.Is(err, ErrCanceled) {
		t.Errorf("error %v", err)
	}
	<-gone
	if err := trip.Send(pool, testRequest()); !errors.Is(err, ErrCanceled) {
		t.Errorf("a canceled trip began again: %v", err)
	}
}

func TestNobodyListens(t *testing.T) {
	address := testutil.ClosedAddress(t, 0)
	var e *Error
	if _, err := roundTrip(localPool(address, "", nil), new(Trip)); !errors.As(err, &e) || e.Phase != Connecting {
		t.Errorf("error %v", err)
	}
}
