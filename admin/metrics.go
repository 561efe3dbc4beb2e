package admin

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/record"
)

// maxClients is how many keys have a label of their own; later ones share otherClient, so that a million keys cost
// what a thousand do.
const maxClients = 1000

// Label values where there is nothing to name.
const (
	none        = "none"
	otherClient = "other"
)

// activeFor is how long a client counts as active after its last exchange.
const activeFor = 5 * time.Minute

// Metrics counts exchanges and hook calls. Every label's values come from the configuration or from a closed or
// capped set, never from what a client sent. Its methods may be called by many goroutines at once.
type Metrics struct {
	registry *prometheus.Registry
	now      func() time.Time

	requests  *prometheus.CounterVec
	input     *prometheus.CounterVec
	output    *prometheus.CounterVec
	cost      *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	firstByte *prometheus.HistogramVec
	upstream  *prometheus.CounterVec
	hooks     *prometheus.HistogramVec
	failures  *prometheus.CounterVec

	policiesOut  *prometheus.GaugeVec
	shadows      *prometheus.CounterVec
	policyCounts *prometheus.CounterVec
	inProgress   prometheus.Gauge
	overhead     prometheus.Histogram

	served   children[servedKey, *servedSeries]
	statuses children[statusKey, prometheus.Counter]
	hooked   children[hookKey, prometheus.Observer]
	clients  clients
}

// NewMetrics returns metrics in a registry of their own, with the process's and Go's beside them. dropped tells how
// many records the request log had to drop.
func NewMetrics(version string, dropped func() float64, now func() time.Time) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), now: now}
	by := []string{"model", "provider", "client"}
	m.requests = m.counter("ai_gateway_requests_total", "Exchanges by the status that the client saw and how they ended.",
		"format", "operation", "model", "provider", "client", "status", "outcome")
	m.input = m.counter("ai_gateway_input_tokens_total", "Input tokens, cached ones included.", by...)
	m.output = m.counter("ai_gateway_output_tokens_total", "Output tokens, reasoning included.", by...)
	m.cost = m.counter("ai_gateway_cost_dollars_total", "Cost in US dollars, as the price_response hook said.", by...)
	m.upstream = m.counter("ai_gateway_upstream_errors_total", "Attempts that failed, by what is known of them.", "provider", "class")
	m.failures = m.counter("sallyport_hook_failures_total", "Hook calls without a usable answer.", "policy", "hook", "reason")
	m.duration = m.histogram("ai_gateway_request_duration_seconds", "From the request read to the answer's last byte.",
		prometheus.ExponentialBuckets(0.005, 2, 18), "model", "provider")
	m.firstByte = m.histogram("sallyport_time_to_first_byte_seconds", "From the request read to the answer's first byte.",
		prometheus.ExponentialBuckets(0.005, 2, 16), "model", "provider")
	m.hooks = m.histogram("sallyport_hook_duration_seconds", "One policy's answer at one hook.",
		prometheus.ExponentialBuckets(1e-6, 4, 10), "policy", "hook")
	m.policiesOut = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sallyport_policy_out",
		Help: "1 while a policy that kept failing at a hook is not asked there."}, []string{"policy", "hook"})
	m.shadows = m.counter("sallyport_policy_shadow_total", "What shadow policies answered, by how it compares with what was decided.",
		"policy", "hook", "result")
	m.policyCounts = m.counter("sallyport_policy_count_total", "What a policy counts by the metric function.", "policy", "name")
	m.inProgress = prometheus.NewGauge(prometheus.GaugeOpts{Name: "ai_gateway_requests_in_progress", Help: "Exchanges under way."})
	m.overhead = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "sallyport_overhead_seconds", Help: "Time of an exchange that was not spent on providers.",
		Buckets: prometheus.ExponentialBuckets(1e-5, 4, 10),
	})
	m.registry.MustRegister(m.inProgress, m.overhead, m.policiesOut,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ai_gateway_active_clients",
			Help: "Clients with an exchange in the last five minutes."}, func() float64 { return m.clients.active(m.now()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "sallyport_request_log_dropped_total",
			Help: "Records that the request log had to drop."}, dropped),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sallyport_build_info", Help: "Always 1.",
			ConstLabels: prometheus.Labels{"version": version, "abi": strconv.Itoa(abi.Version)}}, func() float64 { return 1 }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *Metrics) counter(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	m.registry.MustRegister(h)
	return h
}

// Begin counts an exchange in.
func (m *Metrics) Begin() { m.inProgress.Inc() }

// servedKey and servedSeries find the series of an exchange without building labels anew.
type servedKey struct{ model, provider, client string }

type servedSeries struct {
	input, output, cost prometheus.Counter
	duration, firstByte prometheus.Observer
}

// Record counts an exchange out.
func (m *Metrics) Record(r *record.Record) {
	m.inProgress.Dec()
	key := servedKey{orNone(r.Chain), orNone(r.Provider), m.clients.label(r.Key, m.now())}
	s := m.series(key)
	m.status(statusKey{key, r.Format, orNone(r.Operation), r.Status, r.Outcome}).Inc()
	s.input.Add(float64(r.Usage.InputTokens()))
	s.output.Add(float64(r.Usage.OutputTokens()))
	if r.Cost > 0 {
		s.cost.Add(r.Cost.Dollars())
	}
	s.duration.Observe(r.Duration.Seconds())
	if r.FirstByte > 0 {
		s.firstByte.Observe(r.FirstByte.Seconds())
	}
	m.overhead.Observe(max(r.Duration-r.Upstream, 0).Seconds())
	for i := range r.Attempts {
		if a := &r.Attempts[i]; a.Class != abi.NoError {
			m.upstream.WithLabelValues(a.Provider, a.Class.String()).Inc()
		}
	}
}

func (m *Metrics) series(k servedKey) *servedSeries {
	return m.served.get(k, func() *servedSeries {
		return &servedSeries{
			input:     m.input.WithLabelValues(k.model, k.provider, k.client),
			output:    m.output.WithLabelValues(k.model, k.provider, k.client),
			cost:      m.cost.WithLabelValues(k.model, k.provider, k.client),
			duration:  m.duration.WithLabelValues(k.model, k.provider),
			firstByte: m.firstByte.WithLabelValues(k.model, k.provider),
		}
	})
}

// statusKey finds the counter of an exchange.
type statusKey struct {
	servedKey
	format, operation string
	status            int
	outcome           record.Outcome
}

func (m *Metrics) status(k statusKey) prometheus.Counter {
	return m.statuses.get(k, func() prometheus.Counter {
		return m.requests.WithLabelValues(k.format, k.operation, k.model, k.provider, k.client, strconv.Itoa(k.status), k.outcome.String())
	})
}

// hookKey finds the series of a policy at a hook.
type hookKey struct {
	policy string
	hook   abi.Hook
}

// HookDone counts one policy's answer; failure is the closed set's name of what went wrong, "" if nothing did.
func (m *Metrics) HookDone(policy string, hook abi.Hook, took time.Duration, failure string) {
	m.hooked.get(hookKey{policy, hook}, func() prometheus.Observer {
		return m.hooks.WithLabelValues(policy, hook.String())
	}).Observe(took.Seconds())
	if failure != "" {
		m.failures.WithLabelValues(policy, hook.String(), failure).Inc()
	}
}

// ShadowDone counts what a shadow policy answered; result is the closed set's name of how it compares with what was decided.
func (m *Metrics) ShadowDone(policy string, hook abi.Hook, result string) {
	m.shadows.WithLabelValues(policy, hook.String(), result).Inc()
}

// WatchTrace adds how many decisions of policies were written to the trace, and how many there was no room for.
func (m *Metrics) WatchTrace(written, dropped func() float64) {
	const name, help = "sallyport_trace_decisions_total", "Decisions of policies that were to be traced."
	for result, value := range map[string]func() float64{"written": written, "dropped": dropped} {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: name, Help: help, ConstLabels: prometheus.Labels{"result": result},
		}, value))
	}
}

// clients are the keys that have a label of their own, with the time that each was last seen.
type clients struct {
	mu   sync.Mutex
	seen map[string]int64 // unix seconds
}

// label returns the label of a key that was seen now.
func (c *clients) label(name string, now time.Time) string {
	if name == "" {
		return none
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.seen[name]; !ok && len(c.seen) >= maxClients {
		name = otherClient
	}
	if c.seen == nil {
		c.seen = map[string]int64{}
	}
	c.seen[name] = now.Unix()
	return name
}

// active counts those seen lately. All that share a label count as one.
func (c *clients) active(now time.Time) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	active := 0.0
	for _, seen := range c.seen {
		if now.Unix()-seen <= int64(activeFor/time.Second) {
			active++
		}
	}
	return active
}

func orNone(name string) string {
	if name == "" {
		return none
	}
	return name
}
