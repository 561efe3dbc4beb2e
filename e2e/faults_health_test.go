//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/internal/testutil/faults"
)

// TestFaultsThatPass shows a provider that fails for a while: its circuit opens after three failures, nobody knocks
// on it while it is open, one attempt finds out that it is well again, and then all come back.
func TestFaultsThatPass(t *testing.T) {
	var healthy atomic.Bool
	p := faults.New(t, faults.Behaviour{Name: "ill-for-a-while", Play: func(t *faults.Turn) {
		if healthy.Load() {
			t.Answer()
			return
		}
		t.Refuse(http.StatusServiceUnavailable, "{}")
	}})
	first := faults.Model{Behaviour: "ill-for-a-while", API: faults.Chat, Case: "first"}
	next := faults.Model{Behaviour: "well", API: faults.Chat, Case: "second"}
	var providers, models strings.Builder
	for _, m := range []faults.Model{first, next} {
		fmt.Fprintf(&providers, "  - {name: %q, format: openai, base_url: %q}\n", m, p.URL(m)+"/v1")
		fmt.Fprintf(&models, "  - {alias: %q, provider: %q, model: %q, price: {input: 1, output: 2}}\n", m, m, m)
	}
	g := start(t, fmt.Sprintf("providers:\n%smodels:\n%schains: [{name: chain, retries: 0, steps: [{model: %q, priority: 1}, {model: %q, priority: 2}]}]\n",
		&providers, &models, first, next), nil)
	_, secret := g.issue(identity.Wish{Name: "patient", Budgets: total(1_000_000_000_000)})
	ask := func() (provider string) {
		path, body := faults.Chat.Request("chain", false, "", 0)
		a := g.ask(secret, path, body)
		if a.status != http.StatusOK || tokensOf(a.body) != faults.Tokens {
			t.Errorf("a client got %s", a)
		}
		if strings.Contains(a.body, first.String()) {
			return "first"
		}
		return "second"
	}
	const least = 4500 * time.Millisecond // that the circuit stays open
	failing := time.Now()
	for range 50 {
		if ask() != "second" {
			t.Error("a provider that fails has answered")
		}
	}
	took := time.Since(failing)
	if n := len(p.Take(first.String())); n < 3 || n > 3 && took < least {
		t.Errorf("a provider that fails was asked %d times in %v, want 3", n, took)
	}
	healthy.Store(true)
	began := time.Now()
	g.until("the first step is back", func() bool { return ask() == "first" })
	if back := time.Since(began); back > 10*time.Second && took < least {
		t.Errorf("it was back after %v", back)
	}
	for range 5 {
		if ask() != "first" {
			t.Error("a step that is well again was passed over")
		}
	}
	if n := len(p.Seen(first.String())); n != 6 {
		t.Errorf("it was asked %d times since, want 6", n)
	}
}
