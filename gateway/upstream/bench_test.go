package upstream

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// canned is a provider that answers every read with the same answer, in this process and without parsing.
func canned(tb testing.TB, response string) *Pool {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				b := make([]byte, 32<<10)
				response := []byte(response)
				for {
					if _, err := c.Read(b); err != nil {
						return
					}
					if _, err := c.Write(response); err != nil {
						return
					}
				}
			}()
		}
	}()
	pool := localPool(l.Addr().String(), "", nil)
	tb.Cleanup(func() { _ = l.Close(); <-done; pool.Close() })
	return pool
}

func BenchmarkCheckout(b *testing.B) {
	pool := canned(b, answer("fine"))
	limits := testRequest().Timeouts
	trip := Trip{pool: pool}
	b.ReportAllocs()
	for b.Loop() {
		now := time.Now()
		c, err := trip.connect(&limits, now, now.Add(time.Minute))
		if err != nil {
			b.Fatal(err)
		}
		pool.release(c, true)
	}
}

func BenchmarkCheckoutParallel(b *testing.B) {
	pool := canned(b, answer("fine"))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		limits := testRequest().Timeouts
		trip := Trip{pool: pool}
		for pb.Next() {
			now := time.Now()
			c, err := trip.connect(&limits, now, now.Add(time.Minute))
			if err != nil {
				b.Error(err)
				return
			}
			pool.release(c, true)
		}
	})
}

func BenchmarkRoundTrip(b *testing.B) {
	pool := canned(b, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nfine")
	exchange := roundTripper(b, pool)
	b.ReportAllocs()
	for b.Loop() {
		exchange()
	}
}

// roundTripper returns a round trip that allocates nothing of its own.
func roundTripper(tb testing.TB, pool *Pool) func() {
	req := testRequest()
	text := []byte("{}")
	body := bytes.NewReader(text)
	req.Body = body
	var trip Trip
	p := make([]byte, 4096)
	return func() {
		body.Reset(text)
		if err := trip.Send(pool, req); err != nil {
			tb.Fatal(err)
		}
		for {
			if _, err := trip.Read(p); err == io.EOF { //nolint:errorlint // the reader's own end
				break
			} else if err != nil {
				tb.Fatal(err)
			}
		}
		trip.Close()
	}
}
