//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/internal/testutil/faults"
)

// TestChainCommands takes providers out by hand and lets them in again, by the commands that an operator uses.
func TestChainCommands(t *testing.T) {
	c := newChained(t)
	c.states("healthy", "healthy")
	c.goesTo("first")
	if out := c.mustCommand("chain", "drain", c.first.String()); strings.Count(out, " drained ") != 2 { // the chain's step, and the alias
		t.Errorf("drain printed\n%s", out)
	}
	c.states("drained", "healthy")
	c.goesTo("second")
	c.edit("retries: 0", "retries: 1")
	c.until("the change is taken", func() bool { return strings.Contains(c.log.String(), "configuration changed") })
	c.states("drained", "healthy")
	c.goesTo("second")
	c.mustCommand("chain", "drain", c.second.String(), c.second.String())
	c.states("drained", "drained")
	if a := c.send(); a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, "no_step_available") || a.header.Get("Retry-After") == "" {
		t.Errorf("with nothing left: %s, %v", a, a.header)
	}
	c.mustCommand("chain", "restore", c.second.String(), c.second.String())
	c.goesTo("second")
	if out := c.mustCommand("chain", "restore", c.first.String()); strings.Contains(out, "drained") || strings.Count(out, " healthy ") != 2 {
		t.Errorf("restore printed\n%s", out)
	}
	c.goesTo("first")

	c.ill.Store(true)
	c.until("the circuit is open", func() bool { c.send(); return strings.Join(c.shown(), " ") == "open healthy" })
	c.ill.Store(false)
	c.mustCommand("chain", "restore", c.first.String())
	c.states("healthy", "healthy")
	c.goesTo("first")

	c.mustCommand("chain", "drain", c.first.String())
	c.fails("no step asks that", "chain", "drain", "nobody")
	c.fails("no step asks that", "chain", "restore", c.first.String(), "nothing")
	c.fails("there is no chain or alias", "chain", "status", "nothing")
	c.stop(syscall.SIGTERM)
	c.fails("no gateway is running", "chain", "status")
	c.run()
	c.states("healthy", "healthy")
	c.goesTo("first")
}

// TestChainDrainLetsGoOn drains a provider that has a stream under way: that comes to its end.
func TestChainDrainLetsGoOn(t *testing.T) {
	p := newTill(t)
	g := start(t, tillConfig, map[string]string{"Provider": p.URL})
	_, secret := g.issue(identity.Wish{Name: "patient", Budgets: total(1_000_000_000_000)})
	for _, stream := range []bool{false, true} {
		p.holdOrders()
		o := &order{User: "patient", Number: firstNumber, MaxTokens: 50, Stream: stream}
		answered := make(chan *answer, 1)
		go func() {
			a, err := g.place(http.DefaultClient, secret, o)
			if err != nil {
				t.Error(err)
			}
			answered <- a
		}()
		g.until("the provider has the request", func() bool { return p.held() == 1 })
		if out := g.mustCommand("chain", "drain", "till"); !strings.Contains(out, " drained ") || !strings.HasSuffix(out, " 1\n") {
			t.Errorf("with an attempt under way drain printed\n%s", out)
		}
		if a, err := g.place(http.DefaultClient, secret, o); err != nil || a.status != http.StatusServiceUnavailable {
			t.Errorf("a request for a provider that is drained: %v, %v", a, err)
		}
		p.release()
		if a := <-answered; a == nil || !a.whole(o) {
			t.Errorf("the one that was under way: %v", a)
		}
		g.mustCommand("chain", "restore", "till")
	}
	if tab := p.take()["patient"]; len(tab) != 2 {
		t.Errorf("the provider had %+v, want two orders", tab)
	}
}

// chained is a gateway with a chain of two providers, the first of which can be told to be ill.
type chained struct {
	*gateway
	secret        string
	first, second faults.Model
	ill           *atomic.Bool
}

func newChained(t *testing.T) *chained {
	ill := &atomic.Bool{}
	p := faults.New(t, faults.Behaviour{Name: "ill-when-told", Play: func(t *faults.Turn) {
		if ill.Load() {
			t.Refuse(http.StatusServiceUnavailable, "{}")
			return
		}
		t.Answer()
	}})
	c := &chained{
		ill:    ill,
		first:  faults.Model{Behaviour: "ill-when-told", API: faults.Chat, Case: "first"},
		second: faults.Model{Behaviour: "well", API: faults.Chat, Case: "second"},
	}
	var providers, models strings.Builder
	for _, m := range []faults.Model{c.first, c.second} {
		fmt.Fprintf(&providers, "  - {name: %q, format: openai, base_url: %q}\n", m, p.URL(m)+"/v1")
		fmt.Fprintf(&models, "  - {alias: %q, provider: %q, model: %q, price: {input: 1, output: 2}}\n", m, m, m)
	}
	c.gateway = start(t, fmt.Sprintf("providers:\n%smodels:\n%schains: [{name: chain, retries: 0, steps: [{model: %q, priority: 1}, {model: %q, priority: 2}]}]\n",
		&providers, &models, c.first, c.second), nil)
	_, c.secret = c.issue(identity.Wish{Name: "operator", Budgets: total(1_000_000_000_000)})
	return c
}

func (c *chained) send() *answer {
	path, body := faults.Chat.Request("chain", false, "", 0)
	return c.ask(c.secret, path, body)
}

// goesTo checks who answers, and that the headers say so.
func (c *chained) goesTo(want string) {
	c.t.Helper()
	m := c.first
	if want == "second" {
		m = c.second
	}
	a := c.send()
	if a.status != http.StatusOK || tokensOf(a.body) != faults.Tokens || !strings.Contains(a.body, m.String()) {
		c.t.Errorf("the %s did not answer: %s", want, a)
	}
	for _, name := range []string{"X-Sallyport-Step", "X-Sallyport-Provider", "X-Sallyport-Model"} {
		if got := a.header.Get(name); got != m.String() {
			c.t.Errorf("%s is %q, want %q", name, got, m)
		}
	}
}

// shown are the states of the chain's steps, as `chain status` has them.
func (c *chained) shown() (states []string) {
	c.t.Helper()
	var chains []admin.Chain
	out := c.mustCommand("chain", "status", "chain", "--json")
	if err := json.Unmarshal([]byte(out), &chains); err != nil || len(chains) != 1 {
		c.t.Fatalf("chain status printed %v and %s", err, out)
	}
	for i := range chains[0].Steps {
		states = append(states, chains[0].Steps[i].State)
	}
	return states
}

func (c *chained) states(want ...string) {
	c.t.Helper()
	if got := c.shown(); strings.Join(got, " ") != strings.Join(want, " ") {
		c.t.Errorf("the steps are %s, want %s", got, want)
	}
}

// fails runs a command that has to be refused, and to say why.
func (c *chained) fails(why string, args ...string) {
	c.t.Helper()
	if out, err := c.command(args...); err == nil || !strings.Contains(out, why) {
		c.t.Errorf("%q: %v, %s, want %q", args, err, out, why)
	}
}
