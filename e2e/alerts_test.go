//go:build e2e

package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

const webhookSecret = "e2e-webhook-secret"

// alert is what a webhook is sent, as far as it matters here.
type alert struct {
	ID      string      `json:"id"`
	Account string      `json:"account"`
	Percent int         `json:"percent"`
	Limit   abi.NanoUSD `json:"limit_nano_usd"`
	Spent   abi.NanoUSD `json:"spent_nano_usd"`
}

// hook is an operator's endpoint for alerts. It refuses the first try of each.
type hook struct {
	*httptest.Server
	mu    sync.Mutex
	tried map[string]bool
	took  []alert
}

func newHook(t *testing.T) *hook {
	h := &hook{tried: map[string]bool{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(webhookSecret))
		mac.Write(body)
		var a alert
		if signed := "sha256=" + hex.EncodeToString(mac.Sum(nil)); err != nil || json.Unmarshal(body, &a) != nil || r.Header.Get("X-Sallyport-Signature") != signed {
			t.Errorf("the webhook is sent %s, signed %s", body, r.Header.Get("X-Sallyport-Signature"))
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if !h.tried[a.ID] {
			h.tried[a.ID] = true
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		h.took = append(h.took, a)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) all() []alert {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.took)
}

// TestProofAlerts spends a budget in four steps: the shares of 80 and 100 percent are told once each, signed, and not
// again after a restart.
func TestProofAlerts(t *testing.T) {
	p, h := newTill(t), newHook(t)
	p.dear = true // what is billed is more than what is reserved: the last request passes the budget
	g := start(t, tillConfig+`alerts: {webhook: "{{.Hook}}/spent", secret: `+webhookSecret+"}\n",
		map[string]string{"Provider": p.URL, "Hook": h.URL})
	each := tillCost(1, 3*900)
	limit := 7 * each / 2
	_, err := g.books().CreateTeam(t.Context(), &abi.Team{Name: "ample", Budgets: total(100 * limit)})
	must(t, err)
	id, secret := g.issue(identity.Wish{Name: "spender", Team: "ample", Budgets: total(limit)})
	client := callers(t, 1)
	spend := func(want int) {
		t.Helper()
		a, err := g.place(client, secret, &order{User: "spender", Number: 1_000_000, MaxTokens: 900}) // one input token
		if err != nil || a.status != want {
			t.Fatalf("a request: %v %s", err, a)
		}
	}
	told := func(want ...int) {
		t.Helper()
		g.until("the webhook is told", func() bool { return len(h.all()) >= len(want) })
		for i, a := range h.all() {
			if i >= len(want) || a.Account != "key/"+id || a.Percent != want[i] || a.Limit != limit || a.Spent != each*abi.NanoUSD(3+i) {
				t.Errorf("alert %d is %+v", i, a)
			}
		}
	}
	spend(http.StatusOK)
	spend(http.StatusOK)
	told()
	spend(http.StatusOK) // 86 %
	told(80)
	g.stop(syscall.SIGTERM)
	g.run()
	spend(http.StatusOK) // 114 %
	told(80, 100)
	spend(http.StatusTooManyRequests)
	g.until("the rows are written", func() bool { return g.figure("sallyport_alerts_delivered_total") == 1 })
	g.stop(syscall.SIGTERM)
	g.run()
	spend(http.StatusTooManyRequests)
	other, free := g.issue(identity.Wish{Name: "other", Team: "ample", Budgets: total(1_000_000_000_000)})
	secret = free
	spend(http.StatusOK)
	g.settled()
	told(80, 100)
	if n := g.figure("sallyport_alerts_total"); n != 0 {
		t.Errorf("%v alerts are given after all was told, for %s too", n, other)
	}
	g.log.expect(t, "a budget is used to a share")
}
