//go:build e2e

package e2e

import (
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sallyport-dev/sallyport/identity"
)

// TestProofIdempotencyKeys sends requests under Idempotency-Keys again after the gateway was started anew: what was
// answered is answered again, and what was under way when the gateway was killed is refused. Nothing is asked, or
// charged, twice.
func TestProofIdempotencyKeys(t *testing.T) {
	p := newTill(t)
	g := start(t, tillConfig+"idempotency: {store_answers: true}\n", map[string]string{"Provider": p.URL})
	k := &keyed{gateway: g, till: p}
	k.id, k.secret = g.issue(identity.Wish{Name: "again", Budgets: total(1_000_000_000_000)})
	_, other := g.issue(identity.Wish{Name: "other", Budgets: total(1_000_000_000_000)})

	for n, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		answered, streamed := "answered before a "+signal.String(), "streamed before a "+signal.String()
		whole, stream := k.order(int64(2*n), false), k.order(int64(2*n+1), true)
		first := k.ask(k.secret, answered, whole)
		k.expect(first, http.StatusOK, "here you are", false)
		k.expect(k.ask(k.secret, streamed, stream), http.StatusOK, "[DONE]", false)
		k.until("both are noted", func() bool { // which they are behind their last byte
			return k.ask(k.secret, answered, whole).status == http.StatusOK &&
				strings.Contains(k.ask(k.secret, streamed, stream).body, "idempotency_finished")
		})
		k.stop(signal)
		k.run()
		again := k.ask(k.secret, answered, whole)
		k.expect(again, http.StatusOK, first.body, true)
		if again.header.Get("Content-Type") != first.header.Get("Content-Type") || again.id() == first.id() {
			t.Errorf("the answer is given again with %v, at first it was %v", again.header, first.header)
		}
		k.expect(k.ask(k.secret, streamed, stream), http.StatusConflict, "idempotency_finished", false)
		k.expect(k.ask(k.secret, answered, stream), http.StatusUnprocessableEntity, "idempotency_key_reused", false)
		k.charged(2)
		k.expect(k.ask(other, answered, whole), http.StatusOK, "here you are", false) // a key is its owner's
		k.charged(1)
	}

	p.holdOrders()
	lost := k.order(9, false)
	gone := make(chan error, 1)
	go func() {
		_, err := k.send(k.secret, "killed", lost)
		gone <- err
	}()
	k.until("the provider has the request", func() bool { return p.held() == 1 })
	a := k.ask(k.secret, "killed", lost)
	k.expect(a, http.StatusConflict, "idempotency_under_way", false)
	if a.header.Get("Retry-After") != "1" {
		t.Errorf("a request that is under way is refused with %v", a.header)
	}
	k.stop(syscall.SIGKILL)
	if err := <-gone; err == nil {
		t.Error("a request was answered by a gateway that was killed")
	}
	p.release()
	for range 2 {
		k.run()
		a := k.ask(k.secret, "killed", lost)
		k.expect(a, http.StatusConflict, "idempotency_lost", false)
		if !slices.ContainsFunc(k.export(), func(e attempt) bool { return e.Basis == "crashed" && strings.Contains(a.body, e.Request) }) {
			t.Errorf("the ledger has no crashed attempt of the request that the answer names: %s", a)
		}
		k.stop(syscall.SIGTERM)
	}
	k.run()
	k.charged(1)
	k.expect(k.ask(k.secret, "killed, once more", lost), http.StatusOK, "here you are", false)
	k.charged(1)
	k.verify()
}

// keyed is a gateway that is asked under Idempotency-Keys.
type keyed struct {
	*gateway
	till       *till
	id, secret string
	orders     int // that the provider has had
}

func (k *keyed) order(n int64, stream bool) *order {
	return &order{User: "again", Number: firstNumber + n, MaxTokens: 50, Stream: stream}
}

// send sends an order under a key.
func (k *keyed) send(secret, key string, o *order) (*answer, error) {
	r := k.request(secret, chatPath, o.body())
	r.Header.Set("Idempotency-Key", key)
	return k.try(r)
}

func (k *keyed) ask(secret, key string, o *order) *answer {
	k.t.Helper()
	a, err := k.send(secret, key, o)
	must(k.t, err)
	return a
}

// expect checks an answer, and whether it was given before.
func (k *keyed) expect(a *answer, status int, text string, before bool) {
	k.t.Helper()
	replayed := ""
	if before {
		replayed = "true"
	}
	if a.status != status || !strings.Contains(a.body, text) || a.header.Get("Idempotency-Replayed") != replayed {
		k.t.Errorf("got %s, %v; want %d with %s", a, a.header, status, text)
	}
}

// charged checks how many orders the provider has had since it was last asked, and that the ledger has them all.
func (k *keyed) charged(orders int) {
	k.t.Helper()
	k.settled()
	got := k.till.take()["again"]
	if len(got) != orders {
		k.t.Errorf("the provider had %v, want %d orders", got, orders)
	}
	k.orders += len(got)
	if v := k.verify(); v.Entries != int64(k.orders) {
		k.t.Errorf("the ledger has %d attempts, the provider had %d orders", v.Entries, k.orders)
	}
}
