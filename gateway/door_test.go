package gateway

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"github.com/sallyport-dev/sallyport/record"
	"github.com/valyala/fasthttp"
)

// A request whose body comes when the gateway has shut down is turned away: it finds no snapshot to be pinned to.
func TestRequestAfterTheShutdown(t *testing.T) {
	for _, f := range []struct{ name, rest string }{{"whole", "{}"}, {"unreadable", "x"}} {
		t.Run(f.name, func(t *testing.T) {
			received := make(chan struct{}, 1)
			h := newTweakedHouse(t, formats.OpenAI, func(g *Gateway) {
				g.server.HeaderReceived = func(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
					received <- struct{}{}
					return g.bound(h)
				}
			}, closedPort(t))
			c, err := net.Dial("tcp", h.address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			request := strings.TrimSuffix(rawRequest(chatLine, "{}"), "{}")
			if f.name == "unreadable" {
				request = strings.Replace(request, "Content-Length: 2", "Transfer-Encoding: chunked", 1)
			}
			_, _ = io.WriteString(c, request)
			<-received
			h.shutdown(20 * time.Millisecond)
			_, _ = io.WriteString(c, f.rest+"\r\n")
			got := text(t, c)
			if !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, formats.CodeShuttingDown) {
				t.Errorf("%q", got)
			}
			if begun, ended := h.records.counts(); begun != 0 || ended != 0 {
				t.Errorf("%d exchanges began, %d ended", begun, ended)
			}
		})
	}
}

// A gateway that is shut down before it serves does not serve.
func TestShutdownBeforeServing(t *testing.T) {
	for range 20 { // at once, or a moment later
		snapshot := NewSnapshot(testConfig(formats.OpenAI, []string{closedPort(t)}), &fakePolicies{}, newIdentities(), newTracker(), nil, nil)
		g := New(Parts{Log: slog.New(slog.DiscardHandler), Ledger: newLedger(t, testutil.NewMemory()), Recorder: silent{}}, snapshot)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- g.Serve(l) }()
		if err := g.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		select {
		case err := <-served:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Fatal("it serves")
		}
	}
}

// An exchange that comes to its provider only when those under way have been told that it ends is told too: the
// shutdown does not wait for its answer.
func TestShutdownFindsExchangesThatAreNotWatchedYet(t *testing.T) {
	h := newHouse(t, formats.OpenAI, rawProvider(t, func(_ int, _ []byte, c net.Conn) { _, _ = c.Read(make([]byte, 1)) }))
	asked, going := make(chan struct{}), make(chan struct{})
	h.policies.authenticate = func(c *abi.Authentication) abi.Answer {
		close(asked)
		<-going
		c.Identity = h.ids.key
		return abi.Given
	}
	c, err := net.Dial("tcp", h.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, rawRequest(chatLine, chatBody))
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	down := make(chan struct{})
	go func() { h.down.Do(func() { _ = h.gateway.Shutdown(ctx) }); close(down) }()
	for !h.gateway.watcher.isDismissed() {
		<-time.After(time.Millisecond)
	}
	close(going)
	if got := text(t, c); !strings.Contains(got, formats.CodeShuttingDown) {
		t.Errorf("%q", got)
	}
	<-down
	if r := h.records.wait(t, 0); r.Outcome != record.UpstreamError || r.Duration > 4*time.Second {
		t.Errorf("%v after %s", r.Outcome, r.Duration)
	}
}

// isDismissed reports whether whoever comes now is gone.
func (w *watcher) isDismissed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dismissed
}
