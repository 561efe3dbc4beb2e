package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/gateway"
	"github.com/sallyport-dev/sallyport/health"
)

// chainHealth shows how the chains of the configuration in force do, and takes what is changed by hand.
type chainHealth struct {
	tracker *health.Tracker
	config  func() *config.Snapshot
	target  func(*config.Chain, *config.Step) health.Target // what the gateway keeps a step's health by
	now     func() time.Time
}

// newChainHealth returns the health of the chains of whatever configuration is in force. Changes go to the log and to
// the metrics.
func newChainHealth(log *slog.Logger, metrics *admin.Metrics, current func() *config.Snapshot) *chainHealth {
	h := &chainHealth{config: current, target: gateway.HealthTarget, now: time.Now}
	counts := metrics.WatchHealth(h.figures)
	h.tracker = health.New(health.Options{Changed: func(c health.Change) {
		counts.Changed(c.Provider, c.Model, c.Scope.String(), c.To.String())
		log.Log(context.Background(), severity(c.To), "provider's health changed", "provider", c.Provider, "model", c.Model,
			"credential", c.Credential, "from", c.From.String(), "to", c.To.String(), "cause", c.Cause, "for", c.For)
	}})
	return h
}

// severity is how loudly a state is told of.
func severity(to health.State) slog.Level {
	switch to {
	case health.Open, health.Refused:
		return slog.LevelWarn
	case health.Parked, health.Probing: // ordinary, and often
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// placeID finds a place among those that the tracker knows.
type placeID struct{ provider, address, credential, model string }

// statuses are all places that the tracker knows.
func (h *chainHealth) statuses() map[placeID]health.Status {
	found := map[placeID]health.Status{}
	for _, s := range h.tracker.Snapshot() {
		found[placeID{s.Provider, s.Address, s.Credential, s.Model}] = s
	}
	return found
}

// Chains implements admin.Chains.
func (h *chainHealth) Chains(context.Context) ([]admin.Chain, error) {
	c := h.config()
	statuses := h.statuses()
	now := h.now()
	chains := make([]admin.Chain, 0, len(c.Names))
	for _, name := range c.Names {
		chain := c.Chains[name]
		shown := admin.Chain{Name: name, Alias: chain.Alias, Strategy: chain.Strategy}
		for i := range chain.Steps {
			step := h.step(chain, &chain.Steps[i], statuses, now)
			step.Priority, step.Weight = chain.Choices[i].Priority, chain.Choices[i].Weight
			shown.Steps = append(shown.Steps, step)
		}
		chains = append(chains, shown)
	}
	slices.SortStableFunc(chains, func(a, b admin.Chain) int { return cmp.Compare(rank(a.Alias), rank(b.Alias)) })
	return chains, nil
}

// rank puts aliases behind chains.
func rank(alias bool) int {
	if alias {
		return 1
	}
	return 0
}

func (h *chainHealth) step(chain *config.Chain, step *config.Step, statuses map[placeID]health.Status, now time.Time) admin.ChainStep {
	target := h.target(chain, step)
	view := h.tracker.Step(target).View()
	shown := admin.ChainStep{
		Model: step.Alias, Provider: target.Provider, ProviderModel: target.Model, Concurrent: step.Concurrent,
		State: view.State.String(), Available: view.Available,
	}
	for i, id := range target.Credentials {
		// A place that became known since the statuses were taken has nothing to tell yet.
		s, known := statuses[placeID{target.Provider, target.Address, id, target.Model}]
		if !known {
			s.Since = now
		}
		number := i + 1
		if id == "" {
			number = 0
		}
		credential := admin.Credential{
			Number: number, State: s.State.String(), Since: s.Since.UTC(), LatencyMS: s.Latency.Milliseconds(), Active: s.Active,
			Requests: s.Requests, Failures: s.Failures, Consecutive: s.Consecutive, LastError: s.LastError,
		}
		if s.Cooldown > 0 {
			until := now.Add(s.Cooldown).UTC()
			credential.Until = &until
		}
		shown.Credentials = append(shown.Credentials, credential)
	}
	return shown
}

// Drain implements admin.Chains.
func (h *chainHealth) Drain(_ context.Context, provider, model string) error {
	return handError(h.tracker.Drain(provider, model))
}

// Restore implements admin.Chains.
func (h *chainHealth) Restore(_ context.Context, provider, model string) error {
	return handError(h.tracker.Restore(provider, model))
}

// handError puts an error of the tracker as the admin API knows it.
func handError(err error) error {
	switch {
	case errors.Is(err, health.ErrUnknown):
		return fmt.Errorf("%w (%w)", err, admin.ErrNotFound)
	case errors.Is(err, health.ErrDrained):
		return fmt.Errorf("%w: %w", admin.ErrConflict, err)
	}
	return err
}

// figures are read for each scrape of the metrics. What the configuration in force does not ask is left out.
func (h *chainHealth) figures() admin.HealthFigures {
	var figures admin.HealthFigures
	c := h.config()
	if c == nil { // the first one is not in force yet
		return figures
	}
	statuses := h.statuses()
	providers := map[string]bool{}
	for _, name := range c.Names {
		chain := c.Chains[name]
		for i := range chain.Steps {
			target := h.target(chain, &chain.Steps[i])
			providers[target.Provider] = true
			for _, credential := range target.Credentials {
				id := placeID{target.Provider, target.Address, credential, target.Model}
				if s, ok := statuses[id]; ok {
					figures.Places = append(figures.Places, admin.PlaceFigures{Provider: s.Provider, Model: s.Model, State: s.State.String()})
					delete(statuses, id) // other chains may ask it, too
				}
			}
		}
	}
	for _, b := range h.tracker.Budgets() {
		if providers[b.Provider] {
			figures.Budgets = append(figures.Budgets, admin.BudgetFigures{Provider: b.Provider, Active: b.Active, Refused: b.Refused})
		}
	}
	return figures
}

var _ admin.Chains = (*chainHealth)(nil)
