// Package health knows how the providers do: which of them may be asked now, and with which credential. It learns from
// the attempts that are made (no probes of its own), and it decides nothing: it tells gateway what is open to it and
// keeps to the limits. gateway and cmd/sallyport may import it; it imports nothing of ours.
//
// Three things are watched, each by itself: a provider (can it be reached), a credential of it (is it taken), and a
// place, which is a provider, a credential and a model together (does it answer). There are no timers and no
// goroutines: times are compared when somebody asks. One mutex guards all that belongs to one provider; providers
// share nothing that an attempt touches.
package health

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// Errors of Drain and Restore.
var (
	// ErrUnknown is a provider, or a model of it, that no step asks.
	ErrUnknown = errors.New("no step asks that")
	// ErrDrained is a model that cannot be restored alone, because all of its provider is drained.
	ErrDrained = errors.New("all of the provider is drained: restore the provider")
)

// Options are what a Tracker works with.
type Options struct {
	Now     func() time.Time // nil: the system's monotonic clock
	Random  func() float64   // in [0,1), safe for concurrent use; nil: math/rand/v2
	Changed func(Change)     // told of every change of state, outside all locks; nil: nobody
}

// Change is a change of state of what Scope says. That a step is Full is not told: it lasts as long as an attempt.
//
// The end of a pause is nobody's event: it is told when something happens to the provider again.
type Change struct {
	Scope      Scope
	Provider   string
	Credential string // its id; "" where all of the provider changed
	Model      string // "" where all of the provider or the credential changed
	From       State
	To         State
	Cause      string
	For        time.Duration // how long To lasts; 0: until something happens
}

// Scope is what a state is of.
type Scope uint8

const (
	// OfProvider is all of a provider: Healthy, Probing, Open or Drained.
	OfProvider Scope = iota
	// OfCredential is a credential of a provider with all models: Healthy or Refused.
	OfCredential
	// OfModel is a model of a provider with one credential: all but Refused and Full.
	OfModel
)

// String returns the scope's name, as metrics show it.
func (s Scope) String() string {
	names := [...]string{"provider", "credential", "model"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// State is what may be done with a provider, a credential or a place.
type State uint8

const (
	// Healthy may be asked.
	Healthy State = iota
	// Probing is half open: one attempt may find out whether it works again.
	Probing
	// Open has failed too often, and is not asked for a while.
	Open
	// Parked has answered 429, and is not asked until it said.
	Parked
	// Refused has a credential that the provider does not take.
	Refused
	// Drained was taken out by hand.
	Drained
	// Full has as many attempts under way over this step as are allowed.
	Full
)

// String returns the state's name, as the admin API and metrics show it.
func (s State) String() string {
	names := [...]string{"healthy", "probing", "open", "parked", "refused", "drained", "full"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// Outcome is how an attempt ended, as far as it says something of the provider's health.
type Outcome uint8

const (
	// Neutral says nothing: the client left, or we were at fault. It is the zero value.
	Neutral Outcome = iota
	// Succeeded is an answer, also one that blames the request (4xx): the provider lives.
	Succeeded
	// Failed counts against the place.
	Failed
	// Unreachable counts against the whole provider.
	Unreachable
	// RateLimited parks the place.
	RateLimited
	// CredentialRefused parks the credential for all models.
	CredentialRefused
)

// String returns the outcome's name, as Status shows it.
func (o Outcome) String() string {
	names := [...]string{"neutral", "succeeded", "failed", "unreachable", "rate_limited", "credential_refused"}
	if int(o) < len(names) {
		return names[o]
	}
	return "unknown"
}

// Tracker knows the health of all providers. It outlives reloads of the configuration. All its methods, and those of
// what it hands out, are safe for concurrent use.
type Tracker struct {
	clock   func() int64 // nanoseconds since start
	start   time.Time
	random  func() float64
	changed func(Change)

	mu        sync.Mutex // held before a provider's
	providers map[providerKey]*provider
	drained   map[hand]bool
	swept     int64
}

// providerKey is what makes a provider the same one after a reload.
type providerKey struct{ name, address string }

// hand is what was drained by hand; model is "" for all of a provider's.
type hand struct{ provider, model string }

// New returns a Tracker that knows nothing yet.
func New(o Options) *Tracker {
	t := &Tracker{random: o.Random, changed: o.Changed, providers: map[providerKey]*provider{}, drained: map[hand]bool{}}
	if t.random == nil {
		t.random = rand.Float64
	}
	if t.changed == nil {
		t.changed = func(Change) {}
	}
	if o.Now == nil {
		t.start = time.Now()
		// Since reads the monotonic clock alone, which takes half the time of Now.
		t.clock = func() int64 { return int64(time.Since(t.start)) }
	} else {
		t.start = o.Now()
		t.clock = func() int64 { return int64(o.Now().Sub(t.start)) }
	}
	return t
}

// Target is a step, as a chain of the configuration has it.
type Target struct {
	Provider    string
	Address     string // a provider with another address is another one
	Model       string
	Credentials []string // ids of them, never secrets; one "" where there is none
	Concurrent  int      // attempts at once over this step, which is known by Chain and Alias; 0: no limit
	Chain       string
	Alias       string
}

// Step returns the handle of a step. Steps of the same provider, credential and model share their state, whatever
// chain they are of. State that was not used for a day is forgotten.
func (t *Tracker) Step(g Target) *Step {
	now := t.clock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	key := providerKey{g.Provider, g.Address}
	p := t.providers[key]
	if p == nil {
		p = newProvider(t, key)
		p.drained = t.drained[hand{g.Provider, ""}]
		p.watch.told, p.watch.since = p.own(now), now
		t.providers[key] = p
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &Step{provider: p, limit: g.Concurrent, gate: p.gate(gateKey{g.Chain, g.Alias, g.Model}, now)}
	for _, id := range g.Credentials {
		s.places = append(s.places, p.place(id, g.Model, t.drained[hand{g.Provider, g.Model}], now))
	}
	if len(s.places) == 0 {
		s.places = append(s.places, p.place("", g.Model, t.drained[hand{g.Provider, g.Model}], now))
	}
	return s
}

// What is forgotten, and how often that is looked for.
const (
	forgetAfter = int64(24 * time.Hour)
	sweepEvery  = int64(time.Hour)
)

// sweep forgets what was not used for a day. What is drained stays so: t.drained remembers it.
func (t *Tracker) sweep(now int64) {
	if now-t.swept < sweepEvery {
		return
	}
	t.swept = now
	for key, p := range t.providers {
		if p.sweep(now) {
			delete(t.providers, key)
		}
	}
}
