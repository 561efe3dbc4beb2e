//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// till is a provider of chat completions that answers at once, and keeps a tab of what it billed to whom.
type till struct {
	*httptest.Server
	callers atomic.Int64 // connections that are open

	mu      sync.Mutex
	tabs    map[string][]bill
	dear    bool          // it bills three times as much output as it was allowed
	exact   bool          // it bills all of the output that it was allowed
	hold    chan struct{} // orders wait until it is closed; nil: they do not
	waiting int           // orders that do
	slow    time.Duration // orders, and pieces of streams, take up to so long
}

// bill is what the till billed for one order. That it is on the tab means that the whole order has arrived.
type bill struct {
	number        int64
	input, output int64
}

func (b *bill) cost() abi.NanoUSD { return tillCost(b.input, b.output) }

func newTill(t *testing.T) *till {
	p := &till{tabs: map[string][]bill{}}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	p.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			p.callers.Add(1)
		case http.StateClosed, http.StateHijacked:
			p.callers.Add(-1)
		case http.StateActive, http.StateIdle:
		}
	}
	p.Start()
	t.Cleanup(func() {
		p.release()
		p.Close()
	})
	return p
}

func (p *till) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var o order
	if err != nil || json.Unmarshal(body, &o) != nil {
		return // the gateway was killed as it sent it
	}
	b, hold, slow := p.enter(&o)
	if hold != nil {
		<-hold
	}
	if o.Stream {
		p.stream(w, r, &b, slow)
		return
	}
	linger(r, slow)
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"id":"chatcmpl-till","object":"chat.completion","created":1,"model":"till","choices":[{"index":0,`+
		`"message":{"role":"assistant","content":"here you are"},"finish_reason":"stop"}],"usage":%s}`, b.usage())
}

// stream answers in pieces.
func (p *till) stream(w http.ResponseWriter, r *http.Request, b *bill, slow time.Duration) {
	w.Header().Set("Content-Type", "text/event-stream")
	const head = `data: {"id":"chatcmpl-till","object":"chat.completion.chunk","created":1,"model":"till","choices":`
	for _, piece := range []string{
		head + `[{"index":0,"delta":{"role":"assistant","content":"here"},"finish_reason":null}]}`,
		head + `[{"index":0,"delta":{"content":" you are"},"finish_reason":null}]}`,
		head + `[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
		head + `[],"usage":` + b.usage() + `}`,
		"data: [DONE]",
	} {
		linger(r, slow/5)
		_, _ = io.WriteString(w, piece+"\n\n") // whoever left is told of nothing
		_ = http.NewResponseController(w).Flush()
	}
}

func (b *bill) usage() string {
	return fmt.Sprintf(`{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}`, b.input, b.output, b.input+b.output)
}

// enter puts an order on its user's tab.
func (p *till) enter(o *order) (b bill, hold chan struct{}, slow time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b = bill{o.Number, 1 + o.Number%40, o.Number % (o.MaxTokens + 1)} // both inside the estimate
	switch {
	case p.dear:
		b.output = 3 * o.MaxTokens
	case p.exact:
		b.output = o.MaxTokens
	}
	p.tabs[o.User] = append(p.tabs[o.User], b)
	if p.hold != nil {
		p.waiting++
	}
	return b, p.hold, p.slow
}

// linger takes a random time.
func linger(r *http.Request, most time.Duration) {
	if most == 0 {
		return
	}
	wait := time.NewTimer(rand.N(most))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-r.Context().Done():
	}
}

// hold makes the orders that come from now on wait.
func (p *till) holdOrders() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hold, p.waiting = make(chan struct{}), 0
}

// held is how many orders wait.
func (p *till) held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.waiting
}

// release lets the orders go that wait.
func (p *till) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hold != nil {
		close(p.hold)
		p.hold = nil
	}
}

// set changes how the till bills from now on.
func (p *till) set(change func(*till)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

// take returns the tabs since it was last asked.
func (p *till) take() map[string][]bill {
	p.mu.Lock()
	defer p.mu.Unlock()
	tabs := maps.Clone(p.tabs)
	clear(p.tabs)
	return tabs
}

// sum is what is on a tab.
func sum(tab []bill) (cost abi.NanoUSD) {
	for i := range tab {
		cost += tab[i].cost()
	}
	return cost
}
