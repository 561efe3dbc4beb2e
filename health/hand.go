package health

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// Drain takes a provider, or one model of it, out until it is restored, also over reloads. Attempts under way go on.
// model "" is all of the provider's. Errors wrap ErrUnknown.
func (t *Tracker) Drain(name, model string) error {
	return t.byHand(name, model, func(p *provider, l *place) {
		if l == nil {
			p.drained = true
		} else {
			l.drained = true
		}
	}, func() error {
		t.drained[hand{name, model}] = true
		return nil
	})
}

// Restore ends what Drain began, closes circuits, and ends pauses: of all of a provider's if model is "", else of that
// model alone. Errors wrap ErrUnknown or ErrDrained.
func (t *Tracker) Restore(name, model string) error {
	return t.byHand(name, model, func(p *provider, l *place) {
		if l == nil {
			p.drained = false
			p.reach.reset()
			for _, c := range p.credentials {
				c.refusal.reset()
			}
			return
		}
		l.drained = false
		l.circuit.reset()
		l.parking.reset()
	}, func() error {
		if model != "" && t.drained[hand{name, ""}] {
			return fmt.Errorf("%q of %q: %w", model, name, ErrDrained)
		}
		for h := range t.drained {
			if h.provider == name && (model == "" || h.model == model) {
				delete(t.drained, h)
			}
		}
		return nil
	})
}

// byHand checks that there is what is named, remembers it, and does it: with each provider of that name where all of
// it is meant (the place is nil), and with each place.
func (t *Tracker) byHand(name, model string, do func(*provider, *place), remember func() error) error {
	t.mu.Lock()
	var found []*provider
	for key, p := range t.providers {
		if key.name == name && p.asks(model) {
			found = append(found, p)
		}
	}
	err := fmt.Errorf("%q of %q: %w", model, name, ErrUnknown)
	if model == "" {
		err = fmt.Errorf("provider %q: %w", name, ErrUnknown)
	}
	if len(found) > 0 {
		err = remember()
	}
	if err != nil {
		t.mu.Unlock()
		return err
	}
	now := t.clock()
	var changes []Change
	for _, p := range found {
		changes = append(changes, p.byHand(model, do, now)...)
	}
	t.mu.Unlock()
	for i := range changes {
		t.changed(changes[i])
	}
	return nil
}

// asks reports whether a step asks this model; "" is any.
func (p *provider) asks(model string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key := range p.places {
		if model == "" || key.model == model {
			return true
		}
	}
	return false
}

// byHand does it, and returns what changed.
func (p *provider) byHand(model string, do func(*provider, *place), now int64) []Change {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.places {
		p.note(l, now, all(causeTime)) // what had changed before, unseen
	}
	if model == "" {
		do(p, nil)
	}
	for key, l := range p.places {
		if model == "" || key.model == model {
			do(p, l)
		}
		p.note(l, now, all(causeHand))
	}
	changes := p.changes
	p.changes = nil
	return changes
}

// Status is how a place stands: a provider, a credential and a model.
type Status struct {
	Provider    string
	Address     string
	Credential  string // its id
	Model       string
	State       State // all in all, as View tells it; never Full
	Cooldown    time.Duration
	Latency     time.Duration
	Active      int
	Requests    uint64 // of the last 30 seconds, as far as they count for or against it
	Failures    uint64
	Consecutive int       // failures in a row
	LastError   string    // how the last attempt failed that did, as Outcome names it; "" if none did
	Since       time.Time // when the state began
}

// Snapshot tells how all places stand, in the order of provider, address, model and credential.
func (t *Tracker) Snapshot() []Status {
	now := t.clock()
	t.mu.Lock()
	defer t.mu.Unlock()
	var statuses []Status
	for _, p := range t.providers {
		p.mu.Lock()
		for _, l := range p.places {
			statuses = append(statuses, p.status(l, now))
		}
		p.mu.Unlock()
	}
	slices.SortFunc(statuses, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Address, b.Address),
			cmp.Compare(a.Model, b.Model), cmp.Compare(a.Credential, b.Credential))
	})
	return statuses
}

func (p *provider) status(l *place, now int64) Status {
	state, cooldown, _ := p.look(l, now)
	requests, failures := l.circuit.window.sum(now)
	s := Status{
		Provider: p.key.name, Address: p.key.address, Credential: l.credential.id, Model: l.model,
		State: state, Cooldown: time.Duration(cooldown), Latency: l.latency.read(now), Active: l.active,
		Requests: requests, Failures: failures, Consecutive: l.circuit.consecutive,
		Since: p.tracker.start.Add(time.Duration(p.since(l, state, now))),
	}
	if l.lastError != Neutral {
		s.LastError = l.lastError.String()
	}
	return s
}

// since is when a place came into the state that it is in, all in all: when what stands in the way began to, or, if
// nothing does, when the last of it ended.
func (p *provider) since(l *place, state State, now int64) int64 {
	began := int64(math.MaxInt64)
	ended := int64(0)
	see := func(w *watch, own State, ends int64) {
		since := w.since
		if own != w.told { // time changed it, unseen
			since = ends
		}
		if own == state {
			began = min(began, since)
		}
		ended = max(ended, since)
	}
	see(&p.watch, p.own(now), p.reach.until)
	see(&l.credential.watch, l.credential.own(now), l.credential.refusal.until)
	ends := l.circuit.until
	if l.watch.told == Parked {
		ends = l.parking.until
	}
	see(&l.watch, l.own(now), ends)
	if state == Healthy || began == math.MaxInt64 {
		return ended
	}
	return began
}

// Budget is how a provider's retry budget stands.
type Budget struct {
	Provider string
	Address  string
	Active   int    // attempts under way
	Repeats  int    // of them, repetitions
	Refused  uint64 // repetitions that had no room, since the start
}

// Budgets tells how the retry budgets stand, in the order of provider and address.
func (t *Tracker) Budgets() []Budget {
	t.mu.Lock()
	defer t.mu.Unlock()
	budgets := make([]Budget, 0, len(t.providers))
	for key, p := range t.providers {
		p.mu.Lock()
		budgets = append(budgets, Budget{key.name, key.address, p.active, p.budget.repeats, p.budget.refused})
		p.mu.Unlock()
	}
	slices.SortFunc(budgets, func(a, b Budget) int {
		return cmp.Or(cmp.Compare(a.Provider, b.Provider), cmp.Compare(a.Address, b.Address))
	})
	return budgets
}
