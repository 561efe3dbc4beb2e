package gateway

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/gateway/upstream"
	"github.com/sallyport-dev/sallyport/health"
	"github.com/sallyport-dev/sallyport/idempotency"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
	"github.com/valyala/fasthttp"
)

// exchange is one client request with everything that belongs to it, from its first byte to its record. It is used
// by the goroutine of the client's connection alone, and used again for later requests: nothing in it may be kept.
type exchange struct {
	gateway  *Gateway
	trip     upstream.Trip // to the provider
	watch    watch         // of the client
	stream   stream        // the answer, while it is streamed
	body     formats.Body  // what inspect found
	meter    formats.Meter
	splitter formats.Splitter
	edits    []formats.Edit
	outgoing upstream.Request
	buffer   []byte // of the answer: all of it, or the part of a stream that is on its way
	id       []byte // of the request, as the client is told

	setHeader func(name string, value []byte) // of the answer
	scratch   [64]byte                        // for the value of one

	left     chan struct{}      // has one element when the client has left
	room     room               // for answers that are held back
	failures []abi.ErrorClass   // of the latest attempt at each step
	silents  []*config.Provider // that let this exchange wait in vain

	teams       []*abi.Team // of the identity, the nearest first
	admission   ledger.Admission
	reservation ledger.Reservation // of the latest attempt
	request

	record record.Record
}

// request is what an exchange forgets when it is over.
type request struct {
	snapshot   *Snapshot
	ctx        *fasthttp.RequestCtx
	client     *clientConn
	start      time.Time
	over       bool   // finish has run
	path       []byte // without prefix and query
	query      query
	route      formats.Route
	credential []byte // as the client sent it, without "Bearer "
	chain      *config.Chain
	step       *config.Step   // of the latest attempt
	handles    []*health.Step // of the chain's steps
	underWay   health.Attempt // the latest
	attempted  time.Time      // when it began
	deadline   time.Time      // of the exchange
	forced     bool           // what is offered is so for want of anything better

	claim *idempotency.Claim // the request's Idempotency-Key; nil for none

	contextNeeded int64 // in tokens: the prompt is longer than this; 0 unknown

	streamed   bool              // the client asked for a stream
	framing    formats.Framing   // of the latest attempt's answer
	addsUsage  bool              // the usage at the stream's end is our wish, not the client's
	retryAfter time.Duration     // what the latest attempt's provider asked for; 0 if nothing
	tokens     estimate          // what the request may come to
	settlement ledger.Settlement // of the latest attempt, once price has found it out

	facts   abi.Request // what every hook may know
	auth    abi.Authentication
	choice  abi.StepChoice
	pricing abi.Pricing
}

// run takes a request through its stages, up to where its answer is ready to be written. The rest happens as the
// answer is written: relay, price, settle, record; see finish.
func (x *exchange) run() *refusal {
	if no := x.frame(); no != nil {
		return no
	}
	if no := x.inspect(); no != nil {
		return no
	}
	if no := x.authenticate(); no != nil {
		return no
	}
	if !x.route.HasBody() {
		return x.list()
	}
	if no := x.admit(); no != nil {
		return no
	}
	if answered, no := x.recall(); no != nil || answered {
		return no
	}
	x.watchClient()
	for {
		step, no := x.chooseStep()
		if no != nil {
			return no
		}
		if no := x.reserve(step); no != nil {
			return no
		}
		x.rewrite(step)
		if x.forward(step) {
			return x.relay()
		}
	}
}

// handle serves one request. It is fasthttp's handler, and the one place where a panic ends.
func (g *Gateway) handle(ctx *fasthttp.RequestCtx) {
	if g.health(ctx) {
		return
	}
	x := g.begin(ctx)
	if x == nil {
		return
	}
	defer x.rescue()
	if no := x.run(); no != nil {
		x.refuse(no)
	}
	if !ctx.Response.IsBodyStream() {
		x.finish()
	}
}

// rescue turns a panic into an answer and a record.
func (x *exchange) rescue() {
	if p := recover(); p != nil {
		x.refuse(broken(panicked(p)))
		x.finish()
	}
}

// finish ends the exchange: price, settle, record, and everything that it holds is let go. It runs exactly once on
// every way out; a streamed answer's Close calls it, after the last byte or whatever cut it.
func (x *exchange) finish() {
	if x.over {
		return
	}
	x.over = true
	defer x.letGo()
	x.gateway.watcher.remove(&x.watch)
	x.trip.Close()
	x.underWay.End(health.Result{Outcome: answerOutcome(x.record.Outcome)})
	x.safely(x.price)
	x.safely(x.settle)
	x.safely(x.remember)
	x.safely(x.leaveRecord)
}

// safely runs one of the last stages. A panic in it ends here: behind finish the exchange may already be another
// request's, and the stages that follow have to run all the same.
func (x *exchange) safely(stage func()) {
	defer func() {
		if p := recover(); p != nil {
			x.fail(record.Broken, formats.CodeInternalError, panicked(p))
		}
	}()
	stage()
}

// letGo gives back what the exchange holds, and the exchange itself.
func (x *exchange) letGo() {
	g := x.gateway
	x.snapshot.release()
	x.reset()
	g.idle.Put(x)
	g.door.leave()
}

// panicked is a panic as the cause of a failure, with its stack for the log.
func panicked(p any) error { return fmt.Errorf("panic: %v\n%s", p, debug.Stack()) }
