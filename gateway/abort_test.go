package gateway

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
)

// phase is a point of an exchange at which clients leave.
type phase struct {
	name  string
	body  string // "": streamBody
	short bool   // the client sends half of its body
	more  string // it sends this behind its request
	sends string // by the provider, which then waits for its connection's end
	whole bool   // sends is all of the answer: the connection is kept
	until string // what the client has read when it leaves; "": it leaves when the stage below or the provider is reached
	stage func(*aborts)
	port  func(*testing.T) string // the provider's base URL, if it is none of the test's

	outcomes []record.Outcome             // possible ones
	costs    map[ledger.Basis]abi.NanoUSD // possible ones, and what is booked then
	free     bool                         // that nothing was reserved is possible too
}

// aborts is a crowd of clients that all leave in one phase.
type aborts struct {
	*house
	clients []abort
	stage   chan struct{} // an exchange has reached the stage in which its client leaves
	gone    sync.WaitGroup
	resume  chan struct{} // closed when all have left: the stage may end
	ended   chan *abort   // those whose provider has seen its connection end
}

// abort is one of the clients.
type abort struct {
	reached chan struct{} // the provider has sent what it sends
	left    time.Time
	asked   time.Time // when the provider had the request
	closed  time.Time // when it saw its connection end
}

// held is a stage that lasts until all clients have left.
func (a *aborts) held() {
	a.stage <- struct{}{}
	<-a.resume
}

// stagedLedger tells when an attempt is reserved, before or after it.
type stagedLedger struct {
	Ledger
	before, after func()
}

func (l *stagedLedger) Reserve(a *ledger.Admission, r *ledger.Reservation) (*ledger.Refusal, error) {
	l.before()
	defer l.after()
	return l.Ledger.Reserve(a, r)
}

var (
	goneEarly  = map[ledger.Basis]abi.NanoUSD{ledger.Unbilled: 0, ledger.Interrupted: chatInput}
	goneWithin = map[ledger.Basis]abi.NanoUSD{ledger.Interrupted: chatInput}
	clientGone = []record.Outcome{record.ClientGone}
)

var phases = []phase{
	{name: "before the body is whole", short: true, free: true, outcomes: []record.Outcome{record.Refused}},
	{name: "authenticating", free: true, outcomes: clientGone, costs: goneEarly, stage: func(a *aborts) {
		a.policies.authenticate = func(c *abi.Authentication) abi.Answer {
			a.held()
			c.Identity = a.ids.key
			return abi.Given
		}
	}},
	{name: "reserving", outcomes: clientGone, costs: goneEarly, stage: func(a *aborts) {
		a.gateway.ledger = &stagedLedger{a.ledger, a.held, func() {}}
	}},
	{name: "connecting", port: func(t *testing.T) string { return "http://" + testutil.UnansweredAddress(t) }, outcomes: clientGone, costs: map[ledger.Basis]abi.NanoUSD{ledger.Unbilled: 0}, stage: func(a *aborts) {
		a.gateway.ledger = &stagedLedger{a.ledger, func() {}, func() { a.stage <- struct{}{} }}
		a.config.Chains["m0"].Steps[0].Patience.Streamed.Connect = time.Minute // it is the client's leaving that ends it
	}},
	{name: "waiting for the first byte", outcomes: clientGone, costs: goneWithin},
	{name: "waiting, with more sent", more: "POST /v1/", outcomes: clientGone, costs: goneWithin},
	{name: "within a whole answer", body: chatBody, sends: partial, outcomes: clientGone, costs: goneWithin},
	{name: "after the headers", sends: streamHead, outcomes: clientGone, costs: goneWithin},
	{name: "within the stream", sends: streamOf(event1, event2), until: event2, outcomes: clientGone,
		costs: map[ledger.Basis]abi.NanoUSD{ledger.Interrupted: chatInput + 2*1100}},
	{name: "before the last event", sends: streamOf(event1, event3, usage), until: event3, outcomes: clientGone,
		costs: map[ledger.Basis]abi.NanoUSD{ledger.Authoritative: 3550}},
	{name: "after the last event", sends: streamOf(event1, event3, usage, done) + "0\r\n\r\n", whole: true, until: done,
		outcomes: []record.Outcome{record.Served}, costs: map[ledger.Basis]abi.NanoUSD{ledger.Authoritative: 3550}},
}

// soon is how long after its client an attempt may live, on a machine that is busy with other tests, and less than anything
// else that would end it. That the watcher needs no more than its interval, TestWatcher shows.
const soon = 2 * time.Second

// Whenever clients leave, each exchange ends with one record, each attempt with one settlement, and the provider's
// connection at once.
func TestClientsLeaveInEveryPhase(t *testing.T) {
	crowd := 100
	if testing.Short() {
		crowd = 5
	}
	var table strings.Builder
	for i := range phases {
		p := &phases[i]
		t.Run(p.name, func(t *testing.T) {
			a := newAborts(t, p, crowd)
			a.run(t, p)
			outcomes, bases, asked := a.books(t, p)
			fmt.Fprintf(&table, "\n%-27s %-16s %-30s %s", p.name, outcomes, bases, a.latency(t, p, asked))
		})
	}
	t.Logf("%d clients each: outcomes, settlements, the provider's connection ended%s", crowd, table.String())
}

func newAborts(t *testing.T, p *phase, crowd int) *aborts {
	a := &aborts{clients: make([]abort, crowd), stage: make(chan struct{}, crowd), resume: make(chan struct{}), ended: make(chan *abort, crowd)}
	for i := range a.clients {
		a.clients[i].reached = make(chan struct{})
	}
	var url string
	if p.port != nil {
		url = p.port(t)
	} else {
		url = rawProvider(t, func(_ int, request []byte, c net.Conn) { a.provide(p, request, c) })
	}
	a.house = newHouse(t, formats.OpenAI, url)
	a.ids.key.Budgets = []abi.Budget{plenty}
	if p.stage != nil {
		p.stage(a)
	}
	return a
}

// provide is the provider. The client's number is its user agent.
func (a *aborts) provide(p *phase, request []byte, c net.Conn) {
	_, agent, _ := bytes.Cut(request, []byte("User-Agent: "))
	agent, _, _ = bytes.Cut(agent, []byte("\r\n"))
	n, err := strconv.Atoi(string(agent))
	if err != nil || n >= len(a.clients) {
		a.t.Errorf("user agent %q", agent)
		return
	}
	client := &a.clients[n]
	client.asked = time.Now()
	_, _ = io.WriteString(c, p.sends)
	close(client.reached)
	if !p.whole {
		_, _ = c.Read(make([]byte, 1))
		client.closed = time.Now()
	}
	a.ended <- client
}

// run lets all clients come and leave.
func (a *aborts) run(t *testing.T, p *phase) {
	var all sync.WaitGroup
	var wrong atomic.Pointer[error]
	a.gone.Add(len(a.clients))
	for n := range a.clients {
		all.Go(func() {
			defer a.gone.Done()
			if err := a.visit(p, n); err != nil {
				wrong.Store(&err)
			}
		})
	}
	a.gone.Wait()
	close(a.resume)
	all.Wait()
	if err := wrong.Load(); err != nil {
		t.Fatal(*err)
	}
	a.records.wait(t, len(a.clients)-1)
	if begun, ended := a.records.counts(); begun != len(a.clients) || ended != len(a.clients) {
		t.Errorf("%d exchanges began, %d ended", begun, ended)
	}
}

// visit is one client's: it comes, waits for the phase, and leaves.
func (a *aborts) visit(p *phase, n int) error {
	client := &a.clients[n]
	c, err := net.Dial("tcp", a.address)
	if err != nil {
		return err
	}
	defer c.Close()
	body := p.body
	if body == "" {
		body = streamBody
	}
	request := rawRequest(chatLine, body, "User-Agent: "+itoa(n))
	if p.short {
		request = request[:len(request)-len(body)/2]
	}
	if _, err := io.WriteString(c, request+p.more); err != nil {
		return err
	}
	var got []byte
	switch {
	case p.short:
	case p.stage != nil:
		<-a.stage
	case p.until == "":
		<-client.reached
	default:
		for part := make([]byte, 1024); !bytes.Contains(got, []byte(p.until)); {
			k, err := c.Read(part)
			if got = append(got, part[:k]...); err != nil {
				return fmt.Errorf("%w after %q", err, got)
			}
		}
	}
	client.left = time.Now()
	return nil
}

// books checks what is booked, and returns how often what came of the exchanges and of their attempts, and how many of
// these the provider must have seen.
func (a *aborts) books(t *testing.T, p *phase) (outcomes, bases string, asked int) {
	counted := map[string]int{}
	for n := range a.clients {
		r := a.records.wait(t, n)
		counted[r.Outcome.String()]++
		if !slices.Contains(p.outcomes, r.Outcome) {
			t.Errorf("record: %+v", r)
		}
		entries := a.entries(r.ID)
		if len(entries) > 1 || len(entries) == 0 && !p.free {
			t.Errorf("%d attempts of %s are booked", len(entries), r.ID)
		}
	}
	outcomes = tally(counted)
	clear(counted)
	var sum abi.NanoUSD
	for _, e := range a.entries("") {
		counted[e.Basis.String()]++
		sum += e.Cost
		if cost, possible := p.costs[e.Basis]; !possible || e.Cost != cost || e.State != ledger.StateSettled {
			t.Errorf("booked: %+v", e)
		}
	}
	if balance := a.balance(ledger.KeyAccount, a.ids.key.KeyID, plenty); balance.Spent != sum || balance.Reserved != 0 {
		t.Errorf("%d spent and %d reserved, want %d and nothing", balance.Spent, balance.Reserved, sum)
	}
	if f := a.ledger.Figures(); f.Open != 0 {
		t.Errorf("%d reservations are open", f.Open)
	}
	return outcomes, tally(counted), len(a.entries("")) - counted[ledger.Unbilled.String()]
}

// tally writes counts, by name.
func tally(counts map[string]int) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, fmt.Sprintf("%d %s", counts[name], name))
	}
	return strings.Join(all, ", ")
}

// latency returns the 99th percentile of how long providers waited for the end of their connections: from when the
// client had left and they had been asked.
func (a *aborts) latency(t *testing.T, p *phase, asked int) string {
	var took []time.Duration
	for range asked {
		select {
		case client := <-a.ended:
			from := client.left
			if client.asked.After(from) {
				from = client.asked
			}
			took = append(took, client.closed.Sub(from))
		case <-time.After(patience):
			t.Fatalf("%d of %d connections of the provider have ended", len(took), asked)
		}
	}
	switch {
	case p.whole:
		return "kept"
	case asked == 0:
		return "never asked"
	}
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	if p99 > soon {
		t.Errorf("99 of 100 providers waited up to %v for the end", p99)
	}
	return fmt.Sprintf("p99 %v of %d", p99.Round(time.Millisecond), len(took))
}
