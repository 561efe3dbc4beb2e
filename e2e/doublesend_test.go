//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/internal/testutil/faults"
)

// sender sends one request after the other to a provider that fails at one point of every third.
type sender struct {
	point faults.Point
	model faults.Model
	alias string // a step of its own, or that step with another behind it
	sent  []sentRequest
}

// sentRequest is one of them, and what became of it.
type sentRequest struct {
	canary string
	id     string
	whole  bool // the client got a whole answer
}

// sendersPerPoint share the requests of one point.
const sendersPerPoint = 4

// TestProofDoubleSends ends connections at each point of an attempt: no provider sees a request twice that may have
// been billed, and every send is in the ledger, once.
func TestProofDoubleSends(t *testing.T) {
	points := faults.Points()
	var behaviours []faults.Behaviour
	for _, p := range points {
		behaviours = append(behaviours, p.Behaviour)
	}
	p := faults.New(t, behaviours...)
	senders, config := doubleSenders(p, points)
	g := start(t, config, nil)
	_, secret := g.issue(identity.Wish{Name: "doubles", Budgets: total(1_000_000_000_000_000)})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // the gateway closes behind a cut stream
	each := size(20, 1000) * 3 / sendersPerPoint                                // one in three meets the fault
	var all sync.WaitGroup
	for _, s := range senders {
		all.Go(func() {
			for n := range each {
				s.send(g, client, secret, n)
			}
		})
	}
	all.Wait()
	g.settled()
	entries := map[string][]attempt{}
	for _, a := range g.export() {
		entries[a.Request] = append(entries[a.Request], a)
	}
	second := sendsOf(p, secondOfPoints)
	table := map[string]*pointCount{}
	for _, s := range senders {
		if table[s.point.Name] == nil {
			table[s.point.Name] = &pointCount{}
		}
		s.audit(t, p, second, entries, table[s.point.Name])
	}
	for _, point := range points {
		t.Logf("%-22s %s", point.Name, table[point.Name])
	}
	g.verify()
}

// pointCount is what came of the requests of one point.
type pointCount struct{ requests, whole, first, second, attempts, unbilled, lost int }

func (c *pointCount) String() string {
	return fmt.Sprintf("%d requests, %d whole answers; the provider saw %d whole, the next step %d; %d attempts are booked, %d of them unbilled, %d lost",
		c.requests, c.whole, c.first, c.second, c.attempts, c.unbilled, c.lost)
}

// secondOfPoints is the step that does well.
func secondOfPoints(api faults.API, streamed bool) faults.Model {
	return faults.Model{Behaviour: "well", API: api, Streamed: streamed, Case: "second"}
}

// doubleSenders makes the senders and their configuration: every format, streamed and not, with a second step for
// half of them.
func doubleSenders(p *faults.Provider, points []faults.Point) (senders []*sender, config string) {
	var providers, models, chains strings.Builder
	add := func(m faults.Model) {
		fmt.Fprintf(&providers, "  - {name: %q, format: %s, base_url: %q}\n", m, m.API.Format(), p.URL(m)+m.API.Base())
		fmt.Fprintf(&models, "  - {alias: %q, provider: %q, model: %q, price: {input: 1, output: 2}}\n", m, m, m)
	}
	for api := range faults.GeminiArray {
		add(secondOfPoints(api, api%2 == 1))
	}
	for _, point := range points {
		for n := range sendersPerPoint {
			api := faults.API(n)
			m := faults.Model{Behaviour: point.Behaviour.Name, API: api, Streamed: api%2 == 1, Case: strconv.Itoa(n)}
			add(m)
			s := &sender{point: point, model: m, alias: m.String()}
			if n >= sendersPerPoint/2 {
				s.alias = "chain." + s.alias
				fmt.Fprintf(&chains, "  - {name: %q, steps: [{model: %q, priority: 1}, {model: %q, priority: 2}]}\n", s.alias, m, secondOfPoints(api, m.Streamed))
			}
			senders = append(senders, s)
		}
	}
	return senders, "providers:\n" + providers.String() + "models:\n" + models.String() + "chains:\n" + chains.String()
}

func (s *sender) send(g *gateway, client *http.Client, secret string, n int) {
	r := sentRequest{canary: s.alias + "-" + strconv.Itoa(n)}
	const enough = 5000 // for a request to have a middle
	path, body := s.model.API.Request(s.alias, s.model.Streamed, r.canary, enough)
	a, err := g.exchange(client, secret, path, body)
	if a == nil {
		g.t.Errorf("%s: no answer: %v", r.canary, err)
		return
	}
	r.id = a.id()
	r.whole = err == nil && a.status == http.StatusOK && tokensOf(a.body) == faults.Tokens && strings.Contains(a.body, endMark(s.model))
	if tokensOf(a.body) > 0 && !strings.Contains(a.body, "canary:"+r.canary+";") {
		g.t.Errorf("%s: another's answer: %s", r.canary, a)
	}
	s.sent = append(s.sent, r)
}

// sendsOf counts the whole requests that the provider saw for the models, by their canaries.
func sendsOf(p *faults.Provider, model func(faults.API, bool) faults.Model) map[string]int {
	sends := map[string]int{}
	for api := range faults.GeminiArray {
		for _, r := range p.Seen(model(api, api%2 == 1).String()) {
			if r.Whole {
				sends[r.Canary]++
			}
		}
	}
	return sends
}

// audit compares what both providers saw of each request with what is in the ledger.
func (s *sender) audit(t *testing.T, p *faults.Provider, second map[string]int, entries map[string][]attempt, sum *pointCount) {
	first := map[string]int{}
	for _, r := range p.Seen(s.model.String()) {
		if r.Whole {
			first[r.Canary]++
		}
	}
	for _, r := range s.sent {
		booked := entries[r.id]
		bases := count(booked, func(a *attempt) string { return a.Basis })
		billed := len(booked) - bases["unbilled"]
		switch seen := first[r.canary] + second[r.canary]; {
		case first[r.canary] > 1 || second[r.canary] > 1:
			t.Errorf("%s: a provider saw %s %d and %d times", s.point.Name, r.canary, first[r.canary], second[r.canary])
		case billed < seen:
			t.Errorf("%s: %s was seen %d times, and is booked as %s", s.point.Name, r.canary, seen, words(bases))
		case billed > 2 || len(booked) > 3:
			t.Errorf("%s: %s is booked as %s", s.point.Name, r.canary, words(bases))
		case s.alias != s.model.String() && !r.whole && bases["interrupted"] == 0:
			t.Errorf("%s: %s has no answer, although there is another step: %s", s.point.Name, r.canary, words(bases))
		}
		for i := range booked {
			if booked[i].State != "settled" {
				t.Errorf("%s: %s is %+v", s.point.Name, r.canary, booked[i])
			}
		}
		sum.requests++
		sum.first += first[r.canary]
		sum.second += second[r.canary]
		sum.attempts += len(booked)
		sum.unbilled += bases["unbilled"]
		sum.lost += bases["ambiguous"]
		if r.whole {
			sum.whole++
		}
	}
}
