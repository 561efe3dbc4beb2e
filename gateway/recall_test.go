package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/formats"
)

// What a second request under one Idempotency-Key gets, by what became of the first, and how often the provider is
// asked in all.
func TestIdempotencyKeys(t *testing.T) {
	const body, streamed = `{"model":"m0"}`, `{"model":"m0","stream":true}`
	stream := sends(event1, event3, done)
	facts := []struct {
		name          string
		first, second string
		replies       []reply
		keep          bool
		status        int
		answer        string
		asked         int32
	}{
		{"answered, and kept", body, body, []reply{fine}, true, 200, wholeAnswer, 1},
		{"answered, and not kept", body, body, []reply{fine}, false, 409, "idempotency_finished", 1},
		{"streamed", streamed, streamed, []reply{stream}, true, 409, "idempotency_finished", 1},
		{"another request", body, `{"model":"m0","n":1}`, []reply{fine}, true, 422, "idempotency_key_reused", 1},
		{"failed for sure", body, body, []reply{fails(500, "{}"), fine}, true, 200, wholeAnswer, 2},
		{"rejected", body, body, []reply{fails(400, "{}"), fine}, true, 200, wholeAnswer, 2},
		{"lost", body, body, []reply{fails(504, "{}"), fine}, true, 409, "idempotency_lost", 1},
		{"cut", streamed, streamed, []reply{sends(event1), stream}, true, 409, "idempotency_lost", 1},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			url, asked := inTurn(t, f.replies...)
			h := newHouse(t, formats.OpenAI, url)
			h.config.Idempotency.StoreAnswers = f.keep
			original := h.post("/v1/chat/completions", f.first, headerIdempotency, "k")
			text(t, original.Body)
			h.records.wait(t, 0)
			resp := h.post("/v1/chat/completions", f.second, headerIdempotency, "k")
			got := text(t, resp.Body)
			if resp.StatusCode != f.status || !strings.Contains(got, f.answer) || asked.Load() != f.asked {
				t.Errorf("%d %s, the provider was asked %d times", resp.StatusCode, got, asked.Load())
			}
			replayed := f.status == 200 && f.asked == 1
			if (resp.Header.Get(headerReplayed) == "true") != replayed {
				t.Errorf("headers: %v", resp.Header)
			}
			if f.status > 400 && !strings.Contains(got, original.Header.Get(headerID)) {
				t.Errorf("the first request is not named: %s", got)
			}
			if r := h.records.wait(t, 1); replayed && (len(r.Attempts) != 0 || r.Cost != 0 || len(h.entries(r.ID)) != 0) {
				t.Errorf("a replay was charged: %+v", r)
			}
		})
	}
}

func TestIdempotencyKeyUnderWay(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	url, _ := inTurn(t, func(w http.ResponseWriter, r *http.Request) { arrived <- struct{}{}; <-release; fine(w, r) })
	h := newHouse(t, formats.OpenAI, url)
	answered := make(chan int)
	go func() {
		answered <- h.post("/v1/chat/completions", `{"model":"m0"}`, headerIdempotency, "k").StatusCode
	}()
	<-arrived
	resp := h.post("/v1/chat/completions", `{"model":"m0"}`, headerIdempotency, "k")
	if got := text(t, resp.Body); resp.StatusCode != 409 || !strings.Contains(got, "idempotency_under_way") || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	close(release)
	if status := <-answered; status != 200 {
		t.Errorf("the first: %d", status)
	}
	if resp := h.post("/v1/chat/completions", `{"model":"m0"}`, headerIdempotency, strings.Repeat("k", 256)); resp.StatusCode != 400 {
		t.Errorf("a key that is too long: %d", resp.StatusCode)
	}
}
