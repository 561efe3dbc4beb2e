package upstream

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/valyala/fasthttp"
)

// Which answers are whole, and after which the connection is used again.
func TestAnswers(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.WriteString(z, "fine")
	_ = z.Close()
	for _, f := range []struct {
		name, sent, body string
		reuse            bool
	}{
		{"plain", answer("fine"), "fine", true},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nfi\r\n2\r\nne\r\n0\r\n\r\n", "fine", true},
		{"trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n4\r\nfine\r\n0\r\nA: b\r\nUnasked: c\r\n\r\n", "fine", true},
		{"extra bytes", answer("fine") + "x", "fine", false},
		{"a second answer", answer("fine") + answer("evil"), "fine", false},
		{"extra bytes after chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\nx", "fine", false},
		{"bytes after an answer without a body", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nfine", "", false},
		{"no body", "HTTP/1.1 204 No Content\r\n\r\n", "", true},
		{"no length", "HTTP/1.1 200 OK\r\n\r\nfine", "fine", false},
		{"close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfine", "fine", false},
		{"Close", "HTTP/1.1 200 OK\r\nConnection: Close\r\nContent-Length: 4\r\n\r\nfine", "fine", false},
		{"close among others", "HTTP/1.1 200 OK\r\nConnection: x , CLOSE\r\nContent-Length: 4\r\n\r\nfine", "fine", false},
		{"close and keep-alive", "HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nfine", "fine", false},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfine", "fine", false},
		{"HTTP/1.0 to the end", "HTTP/1.0 200 OK\r\n\r\nfine", "fine", false},
		{"HTTP/1.0 kept alive", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nfine", "fine", true},
		{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 999\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n", "fine", false},
		{"gzip", fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", packed.Len(), packed.String()), packed.String(), true},
		{"a large header", "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 60<<10) + "\r\nContent-Length: 4\r\n\r\nfine", "fine", true},
		{"many interim answers", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", maxInterim-1) + answer("fine"), "fine", true},
	} {
		t.Run(f.name, func(t *testing.T) {
			pool := provider(t, func(_ int, c net.Conn, next func() bool) {
				for next() {
					_, _ = io.WriteString(c, f.sent)
					if strings.HasSuffix(f.sent, "\r\n\r\nfine") && !strings.Contains(f.sent, "Length") {
						return // the end is the end
					}
				}
			})
			for range 2 {
				got, err := roundTrip(pool, new(Trip))
				if err != nil || got != f.body {
					t.Fatalf("%q, %v", got, err)
				}
			}
			pool.mu.Lock()
			kept := pool.newest != nil && pool.newest.clean(pool.newest.idleSince)
			pool.mu.Unlock()
			if kept != f.reuse {
				t.Errorf("connection kept: %v", kept)
			}
		})
	}
}

func TestNoAnswers(t *testing.T) {
	for name, sent := range map[string]string{
		"not HTTP":                "SSH-2.0-OpenSSH_9.7\r\n\r\n",
		"TLS":                     "\x15\x03\x01\x00\x02\x02\x46\n\n",
		"HTTP/2":                  "HTTP/2 200\r\n\r\n",
		"no status":               "HTTP/1.1\r\n\r\n",
		"a status of four digits": "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
		"a status of no meaning":  "HTTP/1.1 799 OK\r\nContent-Length: 0\r\n\r\n",
		"an unknown coding":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"chunks in HTTP/1.0":      "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n",
		"two different lengths":   "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nfine",
		"a length below zero":     "HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\nfine",
		"a length beyond numbers": "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nfine",
		"an empty line first":     "\r\n\r\n",
		"too many interim ones":   strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", maxInterim) + answer("fine"),
		"too large a header":      "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 64<<10) + "\r\nContent-Length: 4\r\n\r\nfine",
		"trailers without end":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: "+strings.Repeat("b", 1000)+"\r\n", 70),
		"a long trailer":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: " + strings.Repeat("b", 5000) + "\r\n\r\n",
		"a size without end":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;" + strings.Repeat("x", 10000),
	} {
		t.Run(name, func(t *testing.T) {
			pool := provider(t, func(_ int, c net.Conn, next func() bool) {
				if next() {
					_, _ = io.WriteString(c, sent)
					_, _ = io.Copy(io.Discard, c)
				}
			})
			fails(t, pool, testRequest(), Reading, ErrMalformed)
		})
	}
}

// What has come of an answer is handed on, also where the rest of its framing is still to come.
func TestReadDoesNotWaitForFraming(t *testing.T) {
	for _, part := range []string{"4\r\nfine", "4\r\nfine\r", "4\r\nfine\r\n", "4\r\nfine\r\n0", "4\r\nfine\r\n0\r\n", "8\r\nfine", "4\r\nfine\r\n4\r\n"} {
		release := make(chan struct{})
		pool := provider(t, func(_ int, c net.Conn, next func() bool) {
			if next() {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"+part)
				<-release
			}
		})
		var trip Trip
		if err := trip.Send(pool, testRequest()); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4)
		if n, err := io.ReadFull(&trip, b); string(b) != "fine" || err != nil {
			t.Errorf("%q: read %d, %v", part, n, err)
		}
		trip.Close()
		close(release)
	}
}

// A small exchange is one write and one read, headers and bodies together, however the body is framed.
func TestSystemCalls(t *testing.T) {
	for _, sent := range []string{
		answer("fine"),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\nA: " + strings.Repeat("a", 2000) + "\r\n\r\n" + strings.Repeat("x", 4000),
	} {
		pool := provider(t, func(_ int, c net.Conn, next func() bool) {
			for next() {
				_, _ = io.WriteString(c, sent)
			}
		})
		all := watched(pool, 0, func() {})
		req := testRequest()
		req.Head = fmt.Appendf(nil, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n")
		req.Body = bytes.NewReader(make([]byte, 9000))
		var trip Trip
		if err := trip.Send(pool, req); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(&trip); err != nil {
			t.Fatal(err)
		}
		trip.Close()
		if c := (*all)[0]; c.reads.Load() != 1 || c.writes.Load() != 1 {
			t.Errorf("%d reads and %d writes", c.reads.Load(), c.writes.Load())
		}
		pool.wants(t, 1, 1, 0)
	}
}

// An answer that comes bit by bit has a small buffer, and gets the ordinary one back when much comes at one time.
func TestLinger(t *testing.T) {
	step := make(chan struct{})
	large := strings.Repeat("7d0\r\n"+strings.Repeat("x", 2000)+"\r\n", 100)
	pool := provider(t, func(_ int, c net.Conn, next func() bool) {
		next()
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n")
		<-step
		_, _ = io.WriteString(c, "1\r\na\r\n")
		<-step
		_, _ = io.WriteString(c, large+"0\r\n\r\n")
	})
	var trip Trip
	if err := trip.Send(pool, testRequest()); err != nil {
		t.Fatal(err)
	}
	defer trip.Close()
	trip.Linger()
	b := make([]byte, 1000)
	for _, want := range []string{"fine", "a"} {
		if n, err := trip.Read(b); string(b[:n]) != want || err != nil || len(trip.in.buf) != smallSize {
			t.Errorf("read %q, want %q, with a buffer of %d: %v", b[:n], want, len(trip.in.buf), err)
		}
		step <- struct{}{}
	}
	rest, err := io.ReadAll(&trip)
	if want := strings.Repeat("x", 200_000); err != nil || string(rest) != want || len(trip.in.buf) != readSize {
		t.Errorf("read %d bytes, want %d, with a buffer of %d: %v", len(rest), len(want), len(trip.in.buf), err)
	}
}

// A buffer that grew for one header does not stay.
func TestGrownBuffersAreNotKept(t *testing.T) {
	var b buffers
	b.putRead(make([]byte, maxHeader))
	if got := b.getRead(); len(got) != readSize {
		t.Errorf("got a buffer of %d bytes", len(got))
	}
}

// The end of a header is seen wherever the pieces meet in which it comes.
func TestHeaderInPieces(t *testing.T) {
	for _, want := range []string{"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK\nA: b\n\n", "HTTP/1.1 200 OK\r\n\r\n"} {
		for first := range len(want) {
			src := io.MultiReader(strings.NewReader(want[:first]), iotest.OneByteReader(strings.NewReader(want[first:]+"body")))
			in := reader{src: src, buf: make([]byte, 16)}
			if block, err := in.block(); string(block) != want || err != nil {
				t.Errorf("after %d bytes: %q, %v", first, block, err)
			}
		}
	}
}

// A header is looked at once, however small the pieces are in which it comes, and ends where fasthttp says too.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{
		answer("fine"), "HTTP/1.1 200 OK\nA: b\n\nx", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n A: b\r\n\r\n", "\r\n\r\n", "\n\n",
		"HTTP/1.0 204 No\r\nConnection:close\r\n\r\n", "HTTP/1.1 200 OK\r\nA:\n b\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		in := reader{src: bytes.NewReader(wire), buf: make([]byte, 16)}
		block, err := in.block()
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.HasPrefix(wire, block) || endOfBlock(wire, 0) != len(block) {
			t.Fatalf("%q begins with the header %q", wire, block)
		}
		var b buffers
		var h fasthttp.ResponseHeader
		inspect(block)
		if b.parse(&h, block) && h.StatusCode() > 999 {
			t.Fatalf("status %d", h.StatusCode())
		}
	})
}
