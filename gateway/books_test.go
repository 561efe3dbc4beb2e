package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/prices"
	"github.com/sallyport-dev/sallyport/record"
)

// books is a house for facts about money: two providers that do what the fact at hand says, a third at which nobody
// listens, and a key with a budget of its own for each fact.
type books struct {
	*house
	scripts [2]script
	asked   []string      // what the providers got, in order
	reached chan struct{} // a provider has sent what it will send, and waits for its connection to end
	closed  chan struct{} // it did
	facts   int
}

// script is what a provider does with one request.
type script func(b *books, c net.Conn)

// plenty is the budget of a fact that says nothing of one: a dollar.
var plenty = abi.Budget{Amount: 1_000_000_000, Period: abi.InTotal}

func newBooks(t *testing.T, format formats.Format) *books {
	t.Helper()
	b := &books{reached: make(chan struct{}, 1), closed: make(chan struct{}, 1)}
	var urls []string
	for i := range b.scripts {
		urls = append(urls, rawProvider(t, func(_ int, request []byte, c net.Conn) {
			b.asked = append(b.asked, string(request))
			b.scripts[i](b, c)
		}))
	}
	b.house = newHouse(t, format, append(urls, closedPort(t))...)
	return b
}

// begin prepares for the next fact, which has a key and providers of its own. What it changes of the configuration
// holds until its test ends.
func (b *books) begin(t *testing.T, first, second script) {
	b.facts++
	select {
	case <-b.reached: // of a fact whose client did not wait for it
	default:
	}
	b.asked, b.scripts = nil, [2]script{first, second}
	b.ids.key = &abi.Identity{KeyID: fmt.Sprintf("key_%d", b.facts), Name: "tester", Team: "core", Budgets: []abi.Budget{plenty}}
	policies, teams, settings := *b.policies, b.ids.teams, b.config.Ledger
	b.ids.teams = map[string]*abi.Team{"core": {Name: "core"}}
	chains := map[string]config.Chain{}
	for name, chain := range b.config.Chains {
		chains[name] = *chain
		chain.Steps = slices.Clone(chain.Steps)
	}
	t.Cleanup(func() {
		*b.policies, b.ids.teams, b.config.Ledger = policies, teams, settings
		for name, chain := range chains {
			*b.config.Chains[name] = chain
		}
	})
}

// tariff sets the price of one step's model in all chains; nil: it has none.
func (b *books) tariff(alias string, row *abi.PriceRow) {
	for _, chain := range b.config.Chains {
		for i := range chain.Steps {
			if chain.Steps[i].Alias != alias {
				continue
			}
			if chain.Steps[i].Tariff = nil; row != nil {
				chain.Steps[i].Tariff = prices.Flat(*row, "test")
			}
		}
	}
}

// send sends a request on a connection of its own. With nothing in until it returns the answer; else the client leaves
// when it has read that much of one, or with waiting, when the provider has the request.
func (b *books) send(t *testing.T, path, body, until string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	line := "POST " + path + " HTTP/1.1"
	if body == "" {
		line = "GET " + path + " HTTP/1.1"
	}
	if _, err := io.WriteString(c, rawRequest(line, body)); err != nil {
		t.Fatal(err)
	}
	switch until {
	case "":
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		return resp, text(t, resp.Body)
	case waiting:
		<-b.reached
	default:
		readUntil(t, c, until)
	}
	_ = c.Close()
	return nil, ""
}

// waiting stands for a client that leaves before there is an answer.
const waiting = "waiting"

// readUntil reads until a text has come.
func readUntil(t *testing.T, r io.Reader, mark string) {
	t.Helper()
	var got []byte
	for !strings.Contains(string(got), mark) {
		part := make([]byte, 1024)
		n, err := r.Read(part)
		if got = append(got, part[:n]...); err != nil {
			t.Fatalf("%v after %q, without %q", err, got, mark)
		}
	}
}

// patience is how long a test waits for what should come soon.
const patience = 10 * time.Second

// left waits until a provider that waits for its connection's end has seen it.
func (b *books) left(t *testing.T) {
	t.Helper()
	select {
	case <-b.closed:
	case <-time.After(patience):
		t.Error("the provider's connection is still open")
	}
}

// says answers with a whole JSON document.
func says(status int, body string, headers ...string) script {
	return func(_ *books, c net.Conn) {
		head := fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", status, len(body))
		for i := 0; i < len(headers); i += 2 {
			head += headers[i] + ": " + headers[i+1] + "\r\n"
		}
		_, _ = io.WriteString(c, head+"\r\n"+body)
	}
}

// streams answers with a whole stream.
func streams(events ...string) script {
	return whole(streamOf(events...) + "0\r\n\r\n")
}

// whole sends all of an answer, and keeps the connection for the next request.
func whole(sent string) script {
	return func(_ *books, c net.Conn) { _, _ = io.WriteString(c, sent) }
}

// cuts ends the connection after what it has sent, which must not be all of an answer: the next request might be on the way
// when the connection ends.
func cuts(sent string) script {
	return func(_ *books, c net.Conn) { _, _ = io.WriteString(c, sent); _ = c.Close() }
}

// waits sends nothing more after what it has sent, and waits until its connection ends.
func waits(sent string) script {
	return func(b *books, c net.Conn) {
		_, _ = io.WriteString(c, sent)
		b.reached <- struct{}{}
		_, _ = c.Read(make([]byte, 1))
		b.closed <- struct{}{}
	}
}

// stalls sends nothing, and waits until its connection ends.
func stalls(_ *books, c net.Conn) { _, _ = c.Read(make([]byte, 1)) }

// never is the script of a provider that must not be asked.
func never(b *books, c net.Conn) {
	b.t.Error("a provider was asked")
	_ = c.Close()
}

// streamOf is a stream's beginning, with a chunk for each event.
func streamOf(events ...string) string {
	sent := streamHead
	for _, e := range events {
		sent += chunk(e)
	}
	return sent
}

// attempt is what the books have to say of one.
type attempt struct {
	basis    ledger.Basis
	reserved abi.NanoUSD
	cost     abi.NanoUSD
	flags    ledger.Flags
}

// booked holds the books against what they have to say of a request: the journal, the balances and the record.
func (b *books) booked(t *testing.T, r *record.Record, want []attempt) {
	t.Helper()
	var got []attempt
	var sum abi.NanoUSD
	overrun := false
	for i, e := range b.entries(r.ID) {
		got = append(got, attempt{e.Basis, e.Reserved, e.Cost, e.Flags})
		sum += e.Cost
		overrun = overrun || e.Flags&ledger.Overrun != 0
		if e.Attempt != i+1 || e.State != ledger.StateSettled || e.KeyID != b.ids.key.KeyID || e.Key != r.Key || e.Team != r.Team || e.Model != r.Chain {
			t.Errorf("entry %+v of the record %+v", e, r)
		}
		if e.Basis == ledger.Authoritative && e.Usage != r.Usage {
			t.Errorf("the journal has the usage %v, the record %v", e.Usage, r.Usage)
		}
		if i >= len(r.Attempts) {
			continue
		}
		if a := &r.Attempts[i]; a.Basis != e.Basis.String() || a.Reserved != e.Reserved || a.Cost != e.Cost || a.Provider != e.Provider {
			t.Errorf("the record has the attempt %+v, the journal %+v", a, e)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("booked %+v\nwant   %+v", got, want)
	}
	if r.Booked != sum || r.Overrun != overrun || r.Unbooked {
		t.Errorf("the record has %s booked, overrun %t, unbooked %t; the journal %s, %t", r.Booked, r.Overrun, r.Unbooked, sum, overrun)
	}
	if balance := b.balance(ledger.KeyAccount, b.ids.key.KeyID, plenty); balance.Spent != sum || balance.Reserved != 0 {
		t.Errorf("the balance is %s spent and %s reserved, want %s and nothing", balance.Spent, balance.Reserved, sum)
	}
}
