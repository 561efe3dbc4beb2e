// Package gateway is the request path: what happens to a request from its first byte to its record. It is the sole
// owner of fasthttp. exchange.go lists the stages of a request in their order; each stage is a file of its name.
//
// It asks policies, finds identities and writes records through the small interfaces declared here, which
// cmd/sallyport joins to runtime, identity, state and admin; it imports none of those.
package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
	"github.com/valyala/fasthttp"
)

// Policies answers the hooks. The calls' inputs are set; what a verdict says is in their output fields. A method
// may be called by many goroutines at once.
type Policies interface {
	Authenticate(*abi.Authentication) abi.Answer
	ChooseStep(*abi.StepChoice) abi.Answer
	PriceResponse(*abi.Pricing) abi.Answer
}

// Identities digests credentials and finds whom they belong to, and teams.
type Identities interface {
	abi.Identities
	Digest(credential []byte) abi.Digest
	Team(name string) (*abi.Team, bool)
}

// Ledger counts what exchanges use and cost. *ledger.Ledger is one; a method may be called by many goroutines at once.
type Ledger interface {
	Admit(*ledger.Admission) (*ledger.Refusal, error)
	Leave(*ledger.Admission, *abi.Usage)
	Reserve(*ledger.Admission, *ledger.Reservation) (*ledger.Refusal, error)
	Settle(*ledger.Reservation, ledger.Settlement)
	EstimateInput(model string, body int) int64
	ObserveInput(model string, body int, tokens int64)
}

// Recorder is told of every exchange: once when it begins and once when it is over. It must not block, and keep
// nothing of the record after the call.
type Recorder interface {
	Begin()
	Record(*record.Record)
}

// Limits of the data listener.
const (
	readHeader     = 15 * time.Second // for a request's header and, unless it is large, its body
	readIdle       = 75 * time.Second // between requests; longer than the load balancers in front wait
	readBufferSize = 8 << 10          // bounds a request's header: 431 above it
	bodyRate       = 64 << 10         // bytes per second that a large body may take its time at
)

// Gateway serves the data listener. Configuration reaches it through Swap.
type Gateway struct {
	log         *slog.Logger
	ledger      Ledger
	recorder    Recorder
	idempotency Idempotency
	server      *fasthttp.Server
	watcher     *watcher
	current     atomic.Pointer[Snapshot]
	swapping    sync.Mutex
	idle        sync.Pool // of *exchange
	door        door
	room        atomic.Int64 // bytes that exchanges hold of answers that no client has seen yet

	dismissed atomic.Bool // those under way are told that it ends
}

// Parts are what a gateway is joined to.
type Parts struct {
	Log         *slog.Logger
	Ledger      Ledger
	Recorder    Recorder
	Idempotency Idempotency // nil: an Idempotency-Key means nothing
}

// New returns a gateway that serves first. It takes over first's hold, as Swap does.
func New(p Parts, first *Snapshot) *Gateway {
	g := &Gateway{log: p.Log, ledger: p.Ledger, recorder: p.Recorder, idempotency: p.Idempotency, watcher: newWatcher()}
	g.current.Store(first)
	g.server = &fasthttp.Server{
		Handler:                      g.handle,
		ErrorHandler:                 g.handleUnreadable,
		HeaderReceived:               g.bound,
		Logger:                       serverLog{p.Log},
		ReadTimeout:                  readHeader,
		IdleTimeout:                  readIdle,
		ReadBufferSize:               readBufferSize,
		NoDefaultServerHeader:        true,
		NoDefaultContentType:         true,
		SecureErrorLogMessage:        true, // else the log shows header bytes, credentials among them
		DisablePreParseMultipartForm: true,
		CloseOnShutdown:              true,
	}
	return g
}

// Serve accepts connections until Shutdown. It closes the listener.
func (g *Gateway) Serve(l net.Listener) error {
	if !g.door.open(l) {
		return l.Close()
	}
	go g.watcher.run() // until Shutdown: clients also leave while the last exchanges drain
	if err := g.server.Serve(listener{l}); err != nil {
		return fmt.Errorf("serving %s: %w", l.Addr(), err)
	}
	return nil
}

// Swap makes next the configuration of all exchanges that begin from now on. Those under way keep theirs; the old
// one is closed when the last of them is over.
func (g *Gateway) Swap(next *Snapshot) {
	g.swapping.Lock()
	defer g.swapping.Unlock()
	g.current.Swap(next).release()
}

// Shutdown stops accepting, and waits for the exchanges under way until ctx is done; the clients of those that are
// left are cut off, and requests that have not come in whole are turned away. When it returns, every exchange is over and
// recorded. It is called once.
func (g *Gateway) Shutdown(ctx context.Context) error {
	err := g.server.ShutdownWithContext(ctx)
	g.door.close()
	done := make(chan struct{})
	go func() { g.door.in.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		g.dismissed.Store(true)
		g.watcher.dismiss()
		<-done
	}
	g.watcher.close()
	g.current.Load().release()
	return err
}

// bound limits the body of a request by the current configuration, and gives a large one more time.
func (g *Gateway) bound(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	config := fasthttp.RequestConfig{MaxRequestBodySize: g.current.Load().Config.MaxBody}
	if n := h.ContentLength(); n > bodyRate {
		config.ReadTimeout = readHeader + time.Duration(n/bodyRate)*time.Second
	}
	return config
}

// serverLog puts what fasthttp logs, connection troubles of clients, into our log.
type serverLog struct{ log *slog.Logger }

// Printf implements fasthttp.Logger.
func (l serverLog) Printf(format string, args ...any) {
	l.log.Debug("connection", "error", fmt.Sprintf(format, args...))
}
