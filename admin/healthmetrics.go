package admin

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// HealthFigures are what the metrics of the providers' health are read from, whenever they are scraped.
type HealthFigures struct {
	Places  []PlaceFigures
	Budgets []BudgetFigures
}

// PlaceFigures is how a provider and a model do with one credential.
type PlaceFigures struct {
	Provider, Model string
	State           string // one of HealthStates
}

// BudgetFigures is how a provider's retry budget stands.
type BudgetFigures struct {
	Provider string
	Active   int    // attempts under way
	Refused  uint64 // repetitions that had no room
}

// HealthStates are the states that a provider and a model can be in with a credential.
func HealthStates() []string {
	return []string{"healthy", "probing", "open", "parked", "refused", "drained"}
}

// maxPlaces is how many providers and models have labels of their own; the others share otherPlace. Their names are of
// the configuration, which the gateway does not bound.
const (
	maxPlaces  = 1000
	otherPlace = "other"
)

// placeKey is the labels of a place.
type placeKey struct{ provider, model string }

// places are those that have labels of their own.
type places struct {
	mu   sync.Mutex
	seen map[placeKey]bool
}

// label returns the labels of a place.
func (p *places) label(k placeKey) placeKey {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seen[k] {
		return k
	}
	if len(p.seen) >= maxPlaces {
		return placeKey{otherPlace, otherPlace}
	}
	if p.seen == nil {
		p.seen = map[placeKey]bool{}
	}
	p.seen[k] = true
	return k
}

// healthCollector reads HealthFigures once for a scrape.
type healthCollector struct {
	figures                func() HealthFigures
	places                 *places
	providers              places // by their names alone
	state, active, refused *prometheus.Desc
}

// Health counts changes of the providers' health.
type Health struct {
	places  *places
	changes *prometheus.CounterVec
}

// WatchHealth adds the metrics of the providers' health. What changes is told to what it returns.
func (m *Metrics) WatchHealth(figures func() HealthFigures) *Health {
	c := &healthCollector{
		figures: figures, places: &places{},
		state: prometheus.NewDesc("sallyport_provider_state",
			"Credentials that are in a state with a provider and model.", []string{"provider", "model", "state"}, nil),
		active: prometheus.NewDesc("sallyport_provider_attempts_in_progress",
			"Attempts under way.", []string{"provider"}, nil),
		refused: prometheus.NewDesc("sallyport_provider_repeats_refused_total",
			"Times that a provider could not be asked again, because its retry budget had no room.", []string{"provider"}, nil),
	}
	m.registry.MustRegister(c)
	return &Health{c.places, m.counter("sallyport_provider_state_changes_total",
		"Changes of health, by the state that was entered. The model is none where all of a provider or a credential changed.",
		"provider", "model", "scope", "state")}
}

// Changed counts a change; scope is whether it is a provider's, a credential's or a model's.
func (h *Health) Changed(provider, model, scope, state string) {
	k := h.places.label(placeKey{provider, orNone(model)})
	h.changes.WithLabelValues(k.provider, k.model, scope, state).Inc()
}

// Describe implements prometheus.Collector.
func (c *healthCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- c.state
	descs <- c.active
	descs <- c.refused
}

// Collect implements prometheus.Collector.
func (c *healthCollector) Collect(metrics chan<- prometheus.Metric) {
	figures := c.figures()
	states := map[placeKey]map[string]int{}
	for _, p := range figures.Places {
		k := c.places.label(placeKey{p.Provider, p.Model})
		if states[k] == nil {
			states[k] = map[string]int{}
		}
		states[k][p.State]++
	}
	for k, counts := range states {
		for _, state := range HealthStates() {
			metrics <- prometheus.MustNewConstMetric(c.state, prometheus.GaugeValue, float64(counts[state]), k.provider, k.model, state)
		}
	}
	type budget struct{ active, refused float64 }
	budgets := map[string]budget{}
	for _, b := range figures.Budgets {
		name := c.providers.label(placeKey{b.Provider, none}).provider
		sum := budgets[name]
		budgets[name] = budget{sum.active + float64(b.Active), sum.refused + float64(b.Refused)}
	}
	for name, b := range budgets {
		metrics <- prometheus.MustNewConstMetric(c.active, prometheus.GaugeValue, b.active, name)
		metrics <- prometheus.MustNewConstMetric(c.refused, prometheus.CounterValue, b.refused, name)
	}
}

var _ prometheus.Collector = (*healthCollector)(nil)
