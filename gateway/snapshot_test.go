package gateway

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/formats"
)

// An exchange keeps the configuration that it began with; the old one is closed after the last exchange that holds
// it, and not before.
func TestSwap(t *testing.T) {
	arrived, proceed := make(chan struct{}), make(chan struct{})
	h := newHouse(t, formats.OpenAI, provider(t, func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-proceed
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(wholeAnswer))
	}))
	var closed atomic.Bool
	first := NewSnapshot(h.config, h.policies, h.ids, newTracker(), nil, func() { closed.Store(true) })
	h.gateway.Swap(first)
	priced := ""
	h.policies.price = func(*abi.Pricing) abi.Answer { priced = "old"; return abi.NoVerdict }

	answered := make(chan int, 1)
	go func() { answered <- h.post("/v1/chat/completions", `{"model":"m0"}`).StatusCode }()
	<-arrived
	next := NewSnapshot(h.config, &fakePolicies{price: func(*abi.Pricing) abi.Answer { priced = "new"; return abi.NoVerdict }},
		h.ids, newTracker(), first, nil)
	h.gateway.Swap(next)
	if closed.Load() {
		t.Fatal("the old configuration was closed under an exchange")
	}
	if first.targets[h.config.Providers[0]].pool != next.targets[h.config.Providers[0]].pool {
		t.Error("a provider that did not move lost its connections")
	}
	close(proceed)
	if status := <-answered; status != 200 {
		t.Fatalf("status %d", status)
	}
	h.records.wait(t, 0)
	if !closed.Load() || priced != "old" {
		t.Errorf("closed %v, priced by the %s policies", closed.Load(), priced)
	}
}

// Two providers of one host have connections of their own, also after a reload.
func TestConnectionsAreLentByProvider(t *testing.T) {
	c := testConfig(formats.OpenAI, []string{"http://127.0.0.1:1", "http://127.0.0.1:1"})
	first := NewSnapshot(c, &fakePolicies{}, newIdentities(), newTracker(), nil, nil)
	for range 10 { // which of them is found first is a matter of chance
		next := NewSnapshot(c, &fakePolicies{}, newIdentities(), newTracker(), first, nil)
		for _, p := range c.Providers {
			if next.targets[p].pool != first.targets[p].pool {
				t.Fatalf("%s has not the connections that it had", p.Name)
			}
		}
	}
}

// A thousand swaps under load: every exchange succeeds, every configuration is closed once.
func TestSwapsUnderLoad(t *testing.T) {
	url, _ := answers(t, 200, wholeAnswer)
	h := newHouse(t, formats.OpenAI, url)
	stop := make(chan struct{})
	var all sync.WaitGroup
	var failed, served atomic.Int64
	c := client(t)
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/v1/chat/completions", strings.NewReader(`{"model":"m0"}`))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Authorization", "Bearer "+testKey)
				resp, err := c.Do(r)
				if err != nil || resp.StatusCode != 200 {
					failed.Add(1)
				}
				if err == nil {
					_ = resp.Body.Close()
				}
				served.Add(1)
			}
		})
	}
	var closed atomic.Int64
	previous := h.gateway.current.Load()
	const swaps = 1000
	for range swaps {
		next := NewSnapshot(h.config, h.policies, h.ids, newTracker(), previous, func() { closed.Add(1) })
		h.gateway.Swap(next)
		previous = next
	}
	close(stop)
	all.Wait()
	if failed.Load() > 0 || closed.Load() != swaps-1 {
		t.Errorf("%d of %d exchanges failed; %d configurations closed", failed.Load(), served.Load(), closed.Load())
	}
}
