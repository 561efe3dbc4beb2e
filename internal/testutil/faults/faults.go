// Package faults is a provider that misbehaves as it is told: on raw sockets, in the three formats, streamed and not.
// The model's name chooses the script, so that one provider plays all of them at once, each apart from the others.
// It notes what it saw of every request, so that both ends of a gateway can be held against each other.
//
// Only tests import it; it imports the standard library.
package faults

import (
	"bufio"
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Behaviour is one way to treat a request.
type Behaviour struct {
	Name string
	// Own says that it begins before the request is read, where no model is known yet: each model has a listener of
	// its own.
	Own bool
	// Big says that its point is a request that does not fit into the buffers between both ends: see BigBody.
	Big bool
	// Heavy says that it moves megabytes, and is better not played often at one time.
	Heavy bool
	// Asks is how often a client has to ask to see it, one after the other; 0 is once.
	Asks int
	// Only are the forms that have it; nil is all.
	Only []API
	// Streams says that it exists for streams alone.
	Streams bool
	// Play treats one request, or with Own one connection.
	Play func(*Turn)
	// port makes a place without a listener.
	port func(testing.TB) string
}

// In reports whether a form of answer has this behaviour.
func (b *Behaviour) In(a API, streamed bool) bool {
	return (b.Only == nil || slices.Contains(b.Only, a)) && (streamed || !b.Streams && a != GeminiArray)
}

// BigBody is more than the buffers of both ends hold: who writes it has to wait until the provider reads.
const BigBody = 9 << 20

// Times of the scripts. The timeouts of who is tested lie between Late and TooLate.
const (
	Late    = 200 * time.Millisecond
	TooLate = 7 * time.Second
	step    = 20 * time.Millisecond // between two pieces of what comes slowly
	mercy   = 30 * time.Second      // after which nobody is waited for any more
)

// Request is what the provider saw of one request, or of a connection that brought none.
type Request struct {
	Model      string
	Number     int       // of this model, from 1
	Connection int       // the provider's, from 1
	Path       string    // with its query
	Bytes      int       // of its body, as far as they were read
	Whole      bool      // all of it was read
	Canary     string    // what the client marked its request with
	Began      time.Time // its head was there, or the connection was
	Arrived    time.Time // all of it was there; zero if not Whole
	Ended      time.Time // the other end was found to have closed; zero if it was not, or nobody looked
	Played     time.Time // the script was over; zero if it goes on
}

// Provider plays behaviours.
type Provider struct {
	t       testing.TB
	scripts map[string]*Behaviour
	shared  string
	over    context.Context

	mu          sync.Mutex
	seen        map[string][]*Request
	connections int
	open        map[net.Conn]struct{}
	listeners   []net.Listener
	closed      bool
	all         sync.WaitGroup
}

// New starts a provider with all Behaviours, and more that are given. It ends with the test.
func New(t testing.TB, more ...Behaviour) *Provider {
	over, end := context.WithCancel(context.Background())
	p := &Provider{t: t, scripts: map[string]*Behaviour{}, over: over, seen: map[string][]*Request{}, open: map[net.Conn]struct{}{}}
	for _, b := range append(Behaviours(), more...) {
		if p.scripts[b.Name] != nil || strings.Contains(b.Name, ".") {
			t.Fatalf("the behaviour %q is there twice, or has a point in its name", b.Name)
		}
		p.scripts[b.Name] = &b
	}
	p.shared = p.listen("")
	t.Cleanup(func() { end(); p.close() })
	return p
}

// URL is where a model is served: a base URL without a path.
func (p *Provider) URL(m Model) string {
	b := p.scripts[m.Behaviour]
	switch {
	case b == nil:
		p.t.Fatalf("no behaviour is called %q", m.Behaviour)
	case b.port != nil:
		return "http://" + b.port(p.t)
	case b.Own:
		return "http://" + p.listen(m.String())
	}
	return "http://" + p.shared
}

// Seen returns what was seen of a model.
func (p *Provider) Seen(model string) []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]Request, 0, len(p.seen[model]))
	for _, r := range p.seen[model] {
		all = append(all, *r)
	}
	return all
}

// Take is Seen, and forgets it.
func (p *Provider) Take(model string) []Request {
	all := p.Seen(model)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.seen, model)
	return all
}

// Open is how many connections are open.
func (p *Provider) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}

// smallBuffer is the receive buffer of listeners whose peers have to wait until they are read.
const smallBuffer = 16 << 10

// listen opens a listener: for one model, or for all.
func (p *Provider) listen(model string) string {
	config := net.ListenConfig{}
	if model != "" {
		config.Control = func(_, _ string, c syscall.RawConn) error {
			var failed error
			err := c.Control(func(fd uintptr) {
				failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, smallBuffer)
			})
			if err != nil {
				return err
			}
			return failed
		}
	}
	l, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listeners = append(p.listeners, l)
	p.all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if number := p.enter(c); number > 0 {
				p.all.Go(func() { p.serve(c, number, model) })
			}
		}
	})
	return l.Addr().String()
}

// enter notes a connection; 0 if the test is over.
func (p *Provider) enter(c net.Conn) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close()
		return 0
	}
	p.connections++
	p.open[c] = struct{}{}
	return p.connections
}

func (p *Provider) close() {
	p.mu.Lock()
	p.closed = true
	for _, l := range p.listeners {
		_ = l.Close()
	}
	for c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.all.Wait()
}

// serve plays one connection: one turn for each request.
func (p *Provider) serve(c net.Conn, number int, model string) {
	t := &Turn{provider: p, conn: c, in: bufio.NewReaderSize(c, 4<<10), connection: number}
	defer func() {
		_ = c.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, c)
	}()
	if model != "" {
		t.begin(model)
		p.scripts[t.Model.Behaviour].Play(t)
		return
	}
	for !t.over {
		if !t.receive() {
			return
		}
		b := p.scripts[t.Model.Behaviour]
		if b == nil {
			p.t.Errorf("the model %q is of no behaviour", t.Model.Behaviour)
			return
		}
		b.Play(t)
		p.change(func() { t.seen.Played = time.Now() })
	}
}

// note adds a request to what was seen, and numbers it.
func (p *Provider) note(model string, r *Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r.Model = model
	p.seen[model] = append(p.seen[model], r)
	r.Number = len(p.seen[model])
}

// change changes what is noted of a request.
func (p *Provider) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}
