//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

const (
	stormCallers = 512
	stormFits    = stormCallers / 10 // of them fit into the budget at one time
	stormOutput  = 50
	firstNumber  = 100_000 // of an order: all have six digits
)

// TestProofStorm sends 512 requests at once against a budget that has room for a tenth of them, again and again: not
// a nano-dollar too much is spent, and none that is left is withheld.
func TestProofStorm(t *testing.T) {
	for _, estimate := range []string{"learned", "bound"} {
		t.Run(estimate, func(t *testing.T) {
			p := newTill(t)
			g := start(t, tillConfig+"ledger: {estimate: "+estimate+"}\n", map[string]string{"Provider": p.URL})
			s := &storm{gateway: g, till: p, client: callers(t, stormCallers), number: firstNumber, spent: map[string]abi.NanoUSD{}, worst: map[string]abi.NanoUSD{}}
			bytes := int64(len((&order{User: "caller", Number: firstNumber, MaxTokens: stormOutput}).body()))
			s.each = tillCost(bytes, stormOutput)
			if estimate == "learned" {
				s.each = tillCost((bytes+1)/2, stormOutput)
			}
			began := time.Now()
			for i := range size(5, 200) {
				s.round(i)
				if t.Failed() {
					return
				}
			}
			took, served, refused := time.Since(began), s.served.Load(), s.refused.Load()
			t.Logf("%d rounds of %d callers in %v: %d requests (%.0f/s), %d served, %d refused; the most that was ever spent and reserved of a budget is %.4f%%",
				size(5, 200), stormCallers, took.Round(time.Millisecond), served+refused, float64(served+refused)/took.Seconds(),
				served, refused, float64(s.peak.Load())/1e4)
			s.overrun()
			s.audit()
		})
	}
}

// storm is the test of one estimate mode.
type storm struct {
	*gateway
	till   *till
	client *http.Client
	each   abi.NanoUSD // what is reserved for one request
	number int64       // of the last order

	served, refused atomic.Int64
	peak            atomic.Int64           // of spent and reserved in a budget, in millionths of it
	spent           map[string]abi.NanoUSD // by account, as the balances said
	worst           map[string]abi.NanoUSD // by team: what each of its attempts has reserved
}

// target is who is called in one round: a budget, and the secrets of the keys that draw on it.
type target struct {
	account string // of the tight budget
	limit   abi.NanoUSD
	secrets []string
	ids     []string
	team    string
}

// target makes the keys and the team of a round. Either the team's budget is the tight one, with two keys under it
// that have more each, or that of the one key.
func (s *storm) target(i int) *target {
	limit := stormFits*s.each + s.each/2
	ample := []abi.Budget{{Amount: 1000 * limit, Period: abi.PerMonth}, {Amount: 1000 * limit, Period: abi.InTotal}}
	x := &target{limit: limit, team: fmt.Sprintf("team-%03d", i)}
	ofTeam, ofKey, keys := total(limit), ample, 2
	x.account = "team/" + x.team
	if i%4 >= 2 {
		ofTeam, ofKey, keys = ample, total(limit), 1
	}
	_, err := s.books().CreateTeam(s.t.Context(), &abi.Team{Name: x.team, Budgets: ofTeam})
	must(s.t, err)
	for k := range keys {
		id, secret := s.issue(identity.Wish{Name: fmt.Sprintf("key-%03d-%d", i, k), Team: x.team, Budgets: ofKey})
		x.ids, x.secrets = append(x.ids, id), append(x.secrets, secret)
	}
	if keys == 1 {
		x.account = "key/" + x.ids[0]
	}
	s.worst[x.team] = s.each
	return x
}

// round storms one budget. In every other round the provider holds what it gets until all others have been refused,
// so that exactly as many are let through as fit; in the rest it answers at once.
func (s *storm) round(i int) {
	x := s.target(i)
	held := i%2 == 0
	if held {
		s.till.holdOrders()
	}
	watching, stop := context.WithCancel(s.t.Context())
	var watched sync.WaitGroup
	watched.Go(func() { s.watch(watching, x) })
	before := s.refused.Load()
	done := s.burst(x)
	if held {
		s.until("all are held or refused", func() bool { return s.till.held()+int(s.refused.Load()-before) == stormCallers })
		if n := s.till.held(); n != stormFits {
			s.t.Errorf("round %d: %d requests were let through at one time, %d fit", i, n, stormFits)
		}
		if b := s.balance(x.account); b.Spent != 0 || b.Reserved != stormFits*s.each {
			s.t.Errorf("round %d: while %d are under way, %d are spent and %d reserved", i, stormFits, b.Spent, b.Reserved)
		}
		s.till.release()
	}
	<-done
	stop()
	watched.Wait()
	s.settle(i, x)
	s.drain(i, x)
}

// burst sends all requests at once. The channel is closed when all are answered.
func (s *storm) burst(x *target) <-chan struct{} {
	gun, done := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	for c := range int64(stormCallers) {
		o := &order{User: "caller", Number: s.number + c, MaxTokens: stormOutput}
		all.Go(func() {
			<-gun
			s.call(x.secrets[int(c)%len(x.secrets)], o)
		})
	}
	s.number += stormCallers
	close(gun)
	go func() { all.Wait(); close(done) }()
	return done
}

// call sends one request, which is served or refused for want of money.
func (s *storm) call(secret string, o *order) (served bool) {
	a, err := s.place(s.client, secret, o)
	switch {
	case err != nil:
		s.t.Errorf("a request: %v", err)
	case a.whole(o):
		s.served.Add(1)
		return true
	case a.status != http.StatusTooManyRequests || !strings.Contains(a.body, `"insufficient_quota"`) || !strings.Contains(a.body, "budget_exceeded") ||
		a.header.Get("X-Should-Retry") != "false":
		s.t.Errorf("a request is answered %s with %v", a, a.header)
	default:
		s.refused.Add(1)
	}
	return false
}

// watch looks at the balance as long as the storm lasts.
func (s *storm) watch(ctx context.Context, x *target) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		b := s.balance(x.account)
		if b.Spent+b.Reserved > x.limit {
			s.t.Errorf("%s: %d are spent and %d reserved, of %d", x.account, b.Spent, b.Reserved, x.limit)
		}
		share := int64((b.Spent + b.Reserved) * 1_000_000 / x.limit)
		for old := s.peak.Load(); share > old && !s.peak.CompareAndSwap(old, share); old = s.peak.Load() {
		}
	}
}

// settle compares the balance with what the provider billed.
func (s *storm) settle(i int, x *target) {
	s.settled()
	billed := sum(s.till.take()["caller"])
	b := s.balance(x.account)
	if b.Spent != billed || b.Reserved != 0 || b.Spent > x.limit {
		s.t.Errorf("round %d: %s has spent %d and reserved %d, the provider billed %d; the budget is %d", i, x.account, b.Spent, b.Reserved, billed, x.limit)
	}
	s.spent[x.account] = billed
}

// drain spends what is left, one request after the other: each is served for as long as its worst case fits, and
// none after that.
func (s *storm) drain(i int, x *target) {
	left := x.limit - s.spent[x.account]
	for n := 0; ; n++ {
		s.number++
		served := s.call(x.secrets[n%len(x.secrets)], &order{User: "caller", Number: s.number, MaxTokens: stormOutput})
		if fits := left >= s.each; served != fits {
			s.t.Errorf("round %d: with %d left of which a request takes up to %d, one is served: %v", i, left, s.each, served)
		}
		if !served {
			break
		}
		billed := sum(s.till.take()["caller"])
		left -= billed
		s.spent[x.account] += billed
	}
	if b := s.balance(x.account); b.Spent != s.spent[x.account] || b.Left() != left {
		s.t.Errorf("round %d: %s has spent %d, the provider billed %d", i, x.account, b.Spent, s.spent[x.account])
	}
}

// overrun lets the provider bill more than was reserved: that is booked as it is, flagged and counted, and nothing
// else goes over.
func (s *storm) overrun() {
	const i = 902 // the key's budget is the tight one
	x := s.target(i)
	_, other := s.issue(identity.Wish{Name: "bystander", Team: x.team, Budgets: total(s.each)})
	before := s.figure("sallyport_ledger_overruns_total")
	s.till.set(func(p *till) { p.dear = true })
	s.till.holdOrders()
	refused := s.refused.Load()
	done := s.burst(x)
	s.until("all are held or refused", func() bool { return s.till.held()+int(s.refused.Load()-refused) == stormCallers })
	s.till.release()
	<-done
	s.till.set(func(p *till) { p.dear = false })
	s.settled()
	billed := sum(s.till.take()["caller"])
	b := s.balance(x.account)
	if b.Spent != billed || billed <= x.limit {
		s.t.Errorf("the provider billed %d, %d are booked; the budget is %d", billed, b.Spent, x.limit)
	}
	if n := s.figure("sallyport_ledger_overruns_total") - before; n != stormFits {
		s.t.Errorf("%v overruns are counted, there were %d", n, stormFits)
	}
	s.number++
	if s.call(x.secrets[0], &order{User: "caller", Number: s.number, MaxTokens: stormOutput}) {
		s.t.Error("a key that is over its budget is served")
	}
	if !s.call(other, &order{User: "caller", Number: s.number, MaxTokens: stormOutput}) {
		s.t.Error("another key of the team, with a budget of its own, is refused")
	}
	s.settled()
	s.spent[x.account] = billed
	s.spent["team/"+x.team] = billed + sum(s.till.take()["caller"])
	s.t.Logf("with a provider that bills three times its maximum: %d of %d in flight were booked at %s on a budget of %s, and flagged", stormFits, stormCallers, billed, x.limit)
}

// audit compares the ledger's export with everything that the balances said.
func (s *storm) audit() {
	v := s.verify()
	all := s.export()
	if int64(len(all)) != v.Entries || v.Entries != s.served.Load() {
		s.t.Errorf("%d lines are exported, %d attempts verified, %d were served", len(all), v.Entries, s.served.Load())
	}
	overruns := 0
	for i := range all {
		a := &all[i]
		over := slices.Contains(a.Flags, "overrun")
		if over {
			overruns++
		}
		if a.State != "settled" || a.Basis != "authoritative" || over != (a.Cost > a.Reserved) || a.Reserved != s.worst[a.Team] ||
			a.Cost != tillCost(a.Usage["input"], a.Usage["output"]) {
			s.t.Errorf("the export has %+v; each attempt has %d reserved", *a, s.worst[a.Team])
		}
	}
	keys, teams := costs(all, byKey), costs(all, byTeam)
	for account, spent := range s.spent {
		kind, name, _ := strings.Cut(account, "/")
		exported := keys[name]
		if kind == "team" {
			exported = teams[name]
		}
		if exported != spent || s.balance(account).Spent != spent {
			s.t.Errorf("%s: %d were billed, %d are exported, %d are the balance", account, spent, exported, s.balance(account).Spent)
		}
	}
	if n := s.figure("sallyport_ledger_discrepancies_total"); n != 0 || overruns != stormFits {
		s.t.Errorf("%v discrepancies are counted; %d overruns are exported, there were %d", n, overruns, stormFits)
	}
	s.t.Logf("the export's %d lines come to what the %d balances say, and to what the provider billed", len(all), len(s.spent))
}
