package admin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/record"
)

// exposed returns what a scrape of the metrics shows.
func exposed(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	Handler(Options{Metrics: m}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("status %d", w.Code)
	}
	return w.Body.String()
}

func testMetrics(now *time.Time) *Metrics {
	return NewMetrics("v1", func() float64 { return 3 }, func() time.Time { return *now })
}

func served(key string) *record.Record {
	return &record.Record{
		Key: key, Format: "openai", Operation: "chat", Chain: "coding", Model: "raw from the client", Provider: "p1", Status: 200,
		Usage: abi.Usage{abi.Input: 10, abi.CacheRead: 5, abi.Output: 7, abi.Reasoning: 2}, Cost: 1_500_000_000, Priced: true,
		Duration: 30 * time.Millisecond, FirstByte: 20 * time.Millisecond, Upstream: 29 * time.Millisecond,
		Attempts: []record.Attempt{{Step: "a", Provider: "p0", Class: abi.Transient}, {Step: "b", Provider: "p1"}},
	}
}

func TestMetricsOfAnExchange(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	m := testMetrics(&now)
	m.Begin()
	m.Begin()
	m.Record(served("ci"))
	m.HookDone("default", abi.Authenticate, 3*time.Microsecond, "")
	m.HookDone("default", abi.ChooseStep, 3*time.Microsecond, "trap")
	text := exposed(t, m)
	for _, line := range []string{
		`ai_gateway_requests_total{client="ci",format="openai",model="coding",operation="chat",outcome="served",provider="p1",status="200"} 1`,
		`ai_gateway_requests_in_progress 1`,
		`ai_gateway_input_tokens_total{client="ci",model="coding",provider="p1"} 15`,
		`ai_gateway_output_tokens_total{client="ci",model="coding",provider="p1"} 9`,
		`ai_gateway_cost_dollars_total{client="ci",model="coding",provider="p1"} 1.5`,
		`ai_gateway_request_duration_seconds_count{model="coding",provider="p1"} 1`,
		`ai_gateway_upstream_errors_total{class="transient",provider="p0"} 1`,
		`ai_gateway_active_clients 1`,
		`sallyport_hook_duration_seconds_count{hook="authenticate",policy="default"} 1`,
		`sallyport_hook_failures_total{hook="choose_step",policy="default",reason="trap"} 1`,
		`sallyport_time_to_first_byte_seconds_count{model="coding",provider="p1"} 1`,
		`sallyport_overhead_seconds_count 1`,
		`sallyport_request_log_dropped_total 3`,
		`sallyport_build_info{abi="1",version="v1"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	if strings.Contains(text, "raw from the client") {
		t.Error("a label holds what a client sent")
	}
	now = now.Add(activeFor + time.Second)
	if !strings.Contains(exposed(t, m), "ai_gateway_active_clients 0\n") {
		t.Error("a client stays active")
	}
}

// A million keys cost what a thousand do.
func TestClientLabelIsCapped(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	m := testMetrics(&now)
	for i := range maxClients + 500 {
		m.Begin()
		m.Record(served(fmt.Sprintf("k%d", i)))
	}
	text := exposed(t, m)
	if n := strings.Count(text, "ai_gateway_input_tokens_total{"); n != maxClients+1 {
		t.Errorf("%d series, want %d", n, maxClients+1)
	}
	if !strings.Contains(text, `ai_gateway_requests_total{client="other",format="openai",model="coding",operation="chat",outcome="served",provider="p1",status="200"} 500`) {
		t.Error("the later clients are not counted as other")
	}
}

func TestMetricsAllocateNothing(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	m := testMetrics(&now)
	r := served("ci")
	r.Attempts = r.Attempts[1:]
	got := testing.AllocsPerRun(1000, func() {
		m.Begin()
		m.Record(r)
		m.HookDone("default", abi.Authenticate, time.Microsecond, "")
	})
	if got != 0 {
		t.Errorf("%v allocations for an exchange, want none", got)
	}
}

func TestMetricsInParallel(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	m := testMetrics(&now)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 500 {
				m.Begin()
				m.Record(served(fmt.Sprintf("k%d", (g+i)%50)))
				m.HookDone("default", abi.Hook(i%3), time.Microsecond, "")
			}
		})
	}
	all.Wait()
	if text := exposed(t, m); !strings.Contains(text, "sallyport_overhead_seconds_count 4000\n") || !strings.Contains(text, "ai_gateway_requests_in_progress 0\n") {
		t.Error("exchanges were lost")
	}
}

func BenchmarkMetrics(b *testing.B) {
	now := time.Unix(1_000_000, 0)
	m := testMetrics(&now)
	r := served("ci")
	b.ReportAllocs()
	for b.Loop() {
		m.Begin()
		m.Record(r)
	}
}
