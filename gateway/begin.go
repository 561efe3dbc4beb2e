package gateway

import (
	"bytes"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
	"github.com/valyala/fasthttp"
)

// headerID is the header in which the client gets the request id.
const headerID = "X-Sallyport-Request-Id"

// begin opens an exchange: it gets an id and the snapshot that it is pinned to. After the shutdown the request is turned
// away, and there is none.
func (g *Gateway) begin(ctx *fasthttp.RequestCtx) *exchange {
	if !g.door.enter() {
		turnAway(ctx)
		return nil
	}
	g.recorder.Begin()
	x, ok := g.idle.Get().(*exchange)
	if !ok {
		x = &exchange{gateway: g}
		x.stream.exchange = x
		x.watch.index = -1
		x.left = make(chan struct{}, 1)
		x.watch.gone = x.leave
		x.room.all = &g.room
		x.setHeader = func(name string, value []byte) { x.ctx.Response.Header.SetBytesV(name, value) }
	}
	x.snapshot = g.hold()
	x.ctx = ctx
	x.client, _ = ctx.Conn().(*clientConn)
	x.start = time.Now()
	x.id = record.NewID(x.id[:0], x.start, record.Random{})
	x.over = false

	x.record.ID = string(x.id)
	x.record.Time = x.start
	x.record.ClientAddress = x.client.addr
	x.record.Outcome = record.Served
	return x
}

// reset forgets everything that belongs to one request and keeps the buffers.
func (x *exchange) reset() {
	x.trip.Reset()
	select {
	case <-x.left:
	default:
	}
	x.room.leave()
	x.stream.forget()
	x.failures = x.failures[:0]
	clear(x.silents)
	x.silents = x.silents[:0]
	tries, states, attempts := x.choice.Tries[:0], x.choice.States[:0], x.record.Attempts[:0]
	clear(x.record.Attempts)
	clear(x.teams)
	x.teams = x.teams[:0]
	clear(x.admission.Levels)
	x.admission.Levels, x.admission.Rates = x.admission.Levels[:0], ledger.Rates{}
	x.request = request{over: true}
	x.record = record.Record{Attempts: attempts}
	x.choice = abi.StepChoice{Tries: tries, States: states}
	x.edits = x.edits[:0]
	x.outgoing.Head, x.outgoing.Body = x.outgoing.Head[:0], nil
	x.buffer = keep(x.buffer)
	for _, b := range [...][]byte{x.buffer, x.stream.held, x.outgoing.Head, x.id, x.scratch[:]} {
		poison(b)
	}
}

// leave ends the exchange's round trip and its pauses: the client has left.
func (x *exchange) leave() {
	x.trip.Cancel()
	x.left <- struct{}{} // it has room, and is called once
}

// keptBuffer is the largest buffer that stays with an exchange for the next request.
const keptBuffer = 64 << 10

func keep(b []byte) []byte {
	if cap(b) > keptBuffer {
		return nil
	}
	return b[:0]
}

// health answers the liveness check. It is no exchange: it leaves no record and asks no policy.
func (g *Gateway) health(ctx *fasthttp.RequestCtx) bool {
	if !ctx.IsGet() {
		return false
	}
	path, ok := bytes.CutPrefix(ctx.Request.Header.RequestURI(), []byte(g.current.Load().Config.Prefix))
	if !ok || (string(path) != "/health" && string(path) != "/v1/health") {
		return false
	}
	ctx.Response.Header.SetContentType(contentJSON)
	ctx.Response.SetBodyString(`{"status":"ok"}`)
	return true
}

// handleUnreadable answers what fasthttp could not read as a request: 413, 431, 408 and 400. A connection on which
// nothing ever came, as browsers and load balancers open them, is no exchange: it leaves no record.
func (g *Gateway) handleUnreadable(ctx *fasthttp.RequestCtx, err error) {
	if c, ok := ctx.Conn().(*clientConn); ok && len(c.requestStart()) == 0 {
		ctx.Response.SetStatusCode(fasthttp.StatusRequestTimeout)
		return
	}
	x := g.begin(ctx)
	if x == nil {
		return
	}
	defer x.rescue()
	x.client.linger = true
	x.route.Format = formats.FormatOf(x.firstPath())
	x.refuse(unreadable(err, x.snapshot.Config.MaxBody))
	x.finish()
}

// firstPath is the path of a request that may not have been parsed, as far as it is known.
func (x *exchange) firstPath() []byte {
	target := x.ctx.Request.Header.RequestURI()
	if len(target) <= 1 {
		_, rest, _ := bytes.Cut(x.client.requestStart(), []byte{' '})
		target, _, _ = bytes.Cut(rest, []byte{' '})
	}
	path, _, _ := bytes.Cut(target, []byte{'?'})
	return bytes.TrimPrefix(path, []byte(x.snapshot.Config.Prefix))
}
