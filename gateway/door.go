package gateway

import (
	"net"
	"sync"

	"github.com/sallyport-dev/sallyport/formats"
	"github.com/valyala/fasthttp"
)

// door is where exchanges begin and end. A request may still be on its way in when the gateway has shut down, because
// its body came slowly: behind a shut door it is no exchange any more.
type door struct {
	mu       sync.RWMutex // held for reading while an exchange enters
	shut     bool
	listener net.Listener   // behind which it is; nil before the gateway serves
	in       sync.WaitGroup // exchanges that are not over
}

// open puts the door behind a listener; false if it is shut already.
func (d *door) open(l net.Listener) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.listener = l
	return !d.shut
}

// enter lets an exchange begin; false if the door is shut.
func (d *door) enter() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if !d.shut {
		d.in.Add(1)
	}
	return !d.shut
}

// leave ends an exchange.
func (d *door) leave() { d.in.Done() }

// close lets no exchange begin any more, and closes the listener, which fasthttp does not if it was about to serve. The
// exchanges under way go on.
func (d *door) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = true
	if d.listener != nil {
		_ = d.listener.Close() // closed already, as a rule
	}
}

// turnAway answers a request that came too late to be an exchange: it leaves no record and asks no policy.
func turnAway(ctx *fasthttp.RequestCtx) {
	no := gone(true)
	ctx.Response.SetStatusCode(no.Status)
	ctx.Response.Header.SetContentType(contentJSON)
	ctx.Response.SetBodyRaw(formats.AppendError(nil, formats.FormatOf(ctx.Request.Header.RequestURI()), no.Error, nil))
	ctx.SetConnectionClose()
}
