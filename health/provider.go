package health

import (
	"sync"
	"time"
)

// provider is what is known of one provider, and of its credentials and models.
type provider struct {
	tracker *Tracker
	key     providerKey

	mu          sync.Mutex // guards all below, and all that it leads to
	reach       circuit    // counts attempts that found nobody
	drained     bool
	watch       watch
	budget      budget
	active      int
	seen        int64
	credentials map[string]*credential
	places      map[placeKey]*place
	gates       map[gateKey]*gate
	changes     []Change // to be told when the mutex is free
}

type placeKey struct{ credential, model string }

// credential is what is known of a credential with all models.
type credential struct {
	id      string
	refusal pause
	watch   watch
	seen    int64
}

// place is a provider, a credential and a model together.
type place struct {
	model      string
	credential *credential
	circuit    circuit
	parking    pause
	drained    bool
	latency    latency
	active     int
	lastError  Outcome
	watch      watch
	seen       int64
}

// watch is what was told of a state.
type watch struct {
	told  State
	since int64
}

// gate counts the attempts over one step of one chain.
type gate struct {
	active int
	seen   int64
}

type gateKey struct{ chain, alias, model string }

func newProvider(t *Tracker, key providerKey) *provider {
	return &provider{
		tracker: t, key: key, budget: newBudget(), credentials: map[string]*credential{},
		places: map[placeKey]*place{}, gates: map[gateKey]*gate{},
	}
}

// place returns the place of a credential and a model. A new one is drained if the model is.
func (p *provider) place(id, model string, drained bool, now int64) *place {
	p.seen = now
	c := p.credentials[id]
	if c == nil {
		c = &credential{id: id, watch: watch{Healthy, now}}
		p.credentials[id] = c
	}
	c.seen = now
	key := placeKey{id, model}
	l := p.places[key]
	if l == nil {
		l = &place{model: model, credential: c, drained: drained}
		l.watch = watch{l.own(now), now}
		p.places[key] = l
	}
	l.seen = now
	return l
}

func (p *provider) gate(key gateKey, now int64) *gate {
	g := p.gates[key]
	if g == nil {
		g = &gate{}
		p.gates[key] = g
	}
	g.seen = now
	return g
}

// sweep forgets what was not used for a day, and reports whether that is all there was.
func (p *provider) sweep(now int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	used := map[*credential]bool{}
	for key, l := range p.places {
		if l.active == 0 && now-l.seen > forgetAfter {
			delete(p.places, key)
		} else {
			used[l.credential] = true
		}
	}
	for id, c := range p.credentials {
		if !used[c] && now-c.seen > forgetAfter {
			delete(p.credentials, id)
		}
	}
	for key, g := range p.gates {
		if g.active == 0 && now-g.seen > forgetAfter {
			delete(p.gates, key)
		}
	}
	return len(p.places) == 0 && p.active == 0 && now-p.seen > forgetAfter
}

// own is the provider's state by itself.
func (p *provider) own(now int64) State {
	if p.drained {
		return Drained
	}
	state, _, _ := p.reach.look(now)
	return state
}

func (c *credential) own(now int64) State {
	if c.refusal.left(now) > 0 {
		return Refused
	}
	return Healthy
}

// own is the place's state by itself.
func (l *place) own(now int64) State {
	if l.drained {
		return Drained
	}
	if l.parking.left(now) > 0 {
		return Parked
	}
	state, _, _ := l.circuit.look(now)
	return state
}

// look says what may be done with a place, all in all. The state is the one that stands most in the way; the rest is
// how long until nothing does, and whether an attempt may begin now.
func (p *provider) look(l *place, now int64) (State, int64, bool) {
	if p.drained || l.drained {
		return Drained, 0, false
	}
	state, cooldown, may := p.reach.look(now)
	own, left, mayToo := l.circuit.look(now)
	cooldown, may = max(cooldown, left), may && mayToo
	// Of two circuits, an open one stands more in the way than a half-open one.
	state = max(state, own)
	if left = l.credential.refusal.left(now); left > 0 {
		state, cooldown, may = Refused, max(cooldown, left), false
	}
	if left = l.parking.left(now); left > 0 {
		state, cooldown, may = Parked, max(cooldown, left), false
	}
	return state, cooldown, may
}

// What changes of state are caused by, as Change tells it.
const (
	causeRow     = "three failures in a row"
	causeShare   = "half of the attempts failed"
	causeProbe   = "the probe failed"
	causeSuccess = "it answered"
	causeLimit   = "it answered 429"
	causeRefusal = "the credential was refused"
	causeTime    = "the time is over"
	causeHand    = "by hand"
)

// causes are why the states of a provider, a credential and a place change, if they do.
type causes struct{ reach, credential, place string }

// all is one cause for whatever changes.
func all(cause string) causes { return causes{cause, cause, cause} }

// note finds out whether states are others than were told, and remembers what is to be told.
func (p *provider) note(l *place, now int64, why causes) {
	c := l.credential
	if state := p.own(now); state != p.watch.told {
		p.turn(&p.watch, Change{Scope: OfProvider}, state, why.reach, p.reach.until, now)
	}
	if state := c.own(now); state != c.watch.told {
		p.turn(&c.watch, Change{Scope: OfCredential, Credential: c.id}, state, why.credential, c.refusal.until, now)
	}
	if state := l.own(now); state != l.watch.told {
		until := l.circuit.until
		if state == Parked {
			until = l.parking.until
		}
		p.turn(&l.watch, Change{Scope: OfModel, Credential: c.id, Model: l.model}, state, why.place, until, now)
	}
}

// turn remembers that a state changed, to be told. what says whose it is.
func (p *provider) turn(w *watch, what Change, to State, cause string, until, now int64) {
	what.Provider, what.From, what.To, what.Cause = p.key.name, w.told, to, cause
	if to == Open || to == Parked || to == Refused {
		what.For = time.Duration(max(until-now, 0))
	}
	p.changes = append(p.changes, what)
	w.told, w.since = to, now
}

// unlock frees the provider and tells what changed meanwhile.
func (p *provider) unlock() {
	changes := p.changes
	p.changes = nil
	p.mu.Unlock()
	for i := range changes {
		p.tracker.changed(changes[i])
	}
}
