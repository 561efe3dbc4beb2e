package gateway

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/health"
)

// A provider that is out is asked whether it is back, by a request that costs nothing; one in health is not.
func TestProbe(t *testing.T) {
	var probes, requests atomic.Int32
	var back atomic.Bool
	url := provider(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			probes.Add(1)
			if r.URL.Path != "/models" || r.Header.Get("Authorization") != "Bearer provider-secret" {
				t.Errorf("probed with %s %v", r.URL, r.Header)
			}
		} else {
			requests.Add(1)
		}
		if back.Load() {
			fine(w, r)
			return
		}
		fails(503, "{}")(w, r)
	})
	h := newHouse(t, formats.OpenAI, url)
	h.config.Providers[0].Probe = config.Probe{Every: time.Minute, Path: "/models"}
	now, asked := time.Now(), map[string]time.Time{}
	look := func(after time.Duration) health.State {
		now = now.Add(after)
		h.gateway.probeDue(t.Context(), now, asked)
		s := h.gateway.current.Load()
		return s.handles[h.config.Chains["m0"]][0].View().State
	}
	if state := look(0); state != health.Healthy || probes.Load() != 0 {
		t.Errorf("in health: %v, %d probes", state, probes.Load())
	}
	for range 3 {
		h.post("/v1/chat/completions", `{"model":"m0"}`)
	}
	if state := look(time.Minute); state != health.Open || probes.Load() != 1 {
		t.Errorf("still out: %v, %d probes", state, probes.Load())
	}
	back.Store(true)
	if state := look(30 * time.Second); state != health.Open || probes.Load() != 1 {
		t.Errorf("before its time: %v, %d probes", state, probes.Load())
	}
	if state := look(30 * time.Second); state != health.Healthy || probes.Load() != 2 || requests.Load() != 3 {
		t.Errorf("back: %v, %d probes, %d requests", state, probes.Load(), requests.Load())
	}
}

// A shutdown does not wait for a provider that a probe waits for.
func TestProbesEndWithTheirContext(t *testing.T) {
	var probing atomic.Bool
	reached, left := make(chan struct{}), make(chan struct{})
	h := newHouse(t, formats.OpenAI, rawProvider(t, func(_ int, _ []byte, c net.Conn) {
		if !probing.Load() {
			_ = c.Close()
			return
		}
		close(reached)
		_, _ = c.Read(make([]byte, 1))
		close(left)
	}))
	for range 3 {
		h.post("/v1/chat/completions", `{"model":"m0"}`)
	}
	probing.Store(true)
	h.config.Providers[0].Probe = config.Probe{Every: time.Minute, Path: "/models"}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { h.gateway.probeDue(ctx, time.Now(), map[string]time.Time{}); close(done) }()
	<-reached
	began := time.Now()
	cancel()
	<-done
	<-left
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the probe ended %s after its context", took)
	}
	step := h.gateway.current.Load().handles[h.config.Chains["m0"]][0]
	if view := step.View(); view.State != health.Open || view.Active != 0 {
		t.Errorf("%+v", view)
	}
	h.shutdown(patience)
	h.gateway.probeDue(t.Context(), time.Now(), map[string]time.Time{}) // finds nothing to hold
}
