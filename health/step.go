package health

import "time"

// Step is the handle of one step of a chain. It is made by Tracker.Step.
type Step struct {
	provider *provider
	places   []*place // one for each credential, in the order of Target.Credentials
	limit    int      // attempts at once; 0: no limit
	gate     *gate
	next     int // the credential whose turn it is; guarded by the provider's mutex
}

// View is how a step stands, which is how the best of its credentials does.
type View struct {
	State     State
	Available bool          // an attempt may begin now
	Cooldown  time.Duration // until it may be asked again; 0 if it may now, or if that is not known (Drained, Full, a probe under way)
	Latency   time.Duration // to the first content, as a mean that rises at once and falls slowly; 0: unknown
	Active    int           // attempts under way at this provider and model, whatever chain they are of
}

// View tells how the step stands now. It allocates nothing.
func (s *Step) View() View {
	p := s.provider
	now := p.tracker.clock()
	p.mu.Lock()
	var v View
	var best int64
	for i, l := range s.places {
		state, cooldown, may := p.look(l, now)
		v.Active += l.active
		if i == 0 || better(may, state, cooldown, v.Available, v.State, best) {
			v.State, v.Available, best = state, may, cooldown
			v.Latency = l.latency.read(now)
		}
	}
	if s.full() && v.State != Drained && v.State != Parked {
		// Before Open and the like: force does not get past it.
		v.State, v.Available = Full, false
	}
	p.mu.Unlock()
	v.Cooldown = time.Duration(best)
	return v
}

// better says whether a credential stands better than another one: it may be asked, or sooner.
func better(may bool, state State, cooldown int64, may2 bool, state2 State, cooldown2 int64) bool {
	if may != may2 {
		return may
	}
	if cooldown != cooldown2 {
		return cooldown < cooldown2
	}
	return state < state2
}

// full says whether no more attempts may begin over this step.
func (s *Step) full() bool { return s.limit > 0 && s.gate.active >= s.limit }

// MayRepeat says whether the provider's retry budget has room. It takes nothing of it. A refusal is counted.
func (s *Step) MayRepeat() bool {
	p := s.provider
	now := p.tracker.clock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.budget.room(now, p.active) {
		return true
	}
	p.budget.refused++
	return false
}

// Begin is what is known of an attempt that is to begin.
type Begin struct {
	Repeat bool // the exchange has asked this provider before: it counts against the retry budget
	Force  bool // nothing else is left: Open, Probing and Refused do not hold it back, all else does
}

// Attempt is one attempt under way. It must not be copied once it is used. The zero value is one that did not begin.
type Attempt struct {
	Credential int  // which of Target.Credentials
	Probe      bool // it finds out whether a circuit may close

	step    *Step
	place   *place
	reach   ticket
	circuit ticket
	parking uint32
	refusal uint32
	repeat  bool
	ended   bool // guarded by the provider's mutex
}

// Begin begins an attempt with the credential whose turn it is among those that may be asked. It reports false if none
// may, or if the retry budget has no room. It allocates nothing.
func (s *Step) Begin(o Begin) (Attempt, bool) {
	p := s.provider
	now := p.tracker.clock()
	p.mu.Lock()
	if s.full() {
		p.mu.Unlock()
		return Attempt{}, false
	}
	chosen := s.choose(now, o.Force)
	if chosen < 0 {
		p.mu.Unlock()
		return Attempt{}, false
	}
	if o.Repeat && !p.budget.room(now, p.active) {
		p.budget.refused++
		p.mu.Unlock()
		return Attempt{}, false
	}
	l := s.places[chosen]
	p.note(l, now, all(causeTime))
	a := Attempt{
		Credential: chosen, step: s, place: l, repeat: o.Repeat,
		reach: p.reach.enter(now), circuit: l.circuit.enter(now),
		parking: l.parking.era, refusal: l.credential.refusal.era,
	}
	a.Probe = a.reach.probe != 0 || a.circuit.probe != 0
	if o.Repeat {
		p.budget.begin(now)
	}
	p.active++
	l.active++
	s.gate.active++
	p.seen, l.seen, l.credential.seen, s.gate.seen = now, now, now, now
	p.unlock()
	return a, true
}

// choose returns the credential to be asked, -1 if there is none. By force it is the one that is the nearest to being
// asked of itself.
func (s *Step) choose(now int64, force bool) int {
	p := s.provider
	n := len(s.places)
	forced, least := -1, int64(0)
	for k := range n {
		i := (s.next + k) % n
		state, cooldown, may := p.look(s.places[i], now)
		if may {
			s.next = (i + 1) % n
			return i
		}
		if state == Drained || state == Parked {
			continue
		}
		if forced < 0 || cooldown < least {
			forced, least = i, cooldown
		}
	}
	if !force {
		return -1
	}
	return forced
}

// FirstContent tells how long the first content took. It feeds the latency. A probe whose answer begins lets the next
// one begin, so that a long stream does not keep all others out; whether its circuit may close, its end decides. That
// the provider can be reached needs no more proof.
func (a *Attempt) FirstContent(d time.Duration) {
	if a.step == nil {
		return
	}
	p := a.step.provider
	now := p.tracker.clock()
	p.mu.Lock()
	if a.ended {
		p.mu.Unlock()
		return
	}
	a.place.latency.observe(now, d)
	if !a.Probe && !p.reach.open {
		p.mu.Unlock()
		return
	}
	p.note(a.place, now, all(causeTime))
	a.place.circuit.leave(a.circuit)
	if p.reach.open {
		p.reach.succeed(a.reach, now)
	}
	p.note(a.place, now, all(causeSuccess))
	p.unlock()
}

// Result is how an attempt ended.
type Result struct {
	Outcome    Outcome
	RetryAfter time.Duration // with RateLimited: how long the provider wants not to be asked; 0 if it did not say
}

// End ends the attempt. Only the first call counts. It allocates nothing unless a state changes.
func (a *Attempt) End(r Result) {
	if a.step == nil {
		return
	}
	p := a.step.provider
	now := p.tracker.clock()
	p.mu.Lock()
	if a.ended {
		p.mu.Unlock()
		return
	}
	a.ended = true
	p.active--
	a.place.active--
	a.step.gate.active--
	if a.repeat {
		p.budget.repeats--
	}
	p.note(a.place, now, all(causeTime)) // what had changed before, unseen
	p.note(a.place, now, a.settle(r, now))
	p.unlock()
}

// settle lets the outcome count, and returns what it is the cause of where a state changes.
func (a *Attempt) settle(r Result, now int64) causes {
	p, l := a.step.provider, a.place
	random := p.tracker.random
	if r.Outcome > Succeeded && r.Outcome <= CredentialRefused {
		l.lastError = r.Outcome
	}
	why := causes{reach: causeSuccess, credential: causeSuccess, place: causeSuccess}
	switch r.Outcome {
	case Succeeded:
		p.reach.succeed(a.reach, now)
		l.circuit.succeed(a.circuit, now)
		l.credential.refusal.succeed(a.refusal)
		l.parking.succeed(a.parking)
	case Failed:
		p.reach.succeed(a.reach, now)
		why.place = l.circuit.fail(a.circuit, now, random)
	case Unreachable:
		why.reach = p.reach.fail(a.reach, now, random)
		l.circuit.leave(a.circuit)
	case RateLimited:
		p.reach.succeed(a.reach, now)
		l.circuit.leave(a.circuit)
		if r.RetryAfter > 0 {
			l.parking.extend(now, min(int64(r.RetryAfter), parkTold))
		} else {
			l.parking.begin(a.parking, now, parkFirst, parkMost)
		}
		why.place = causeLimit
	case CredentialRefused:
		p.reach.succeed(a.reach, now)
		l.circuit.leave(a.circuit)
		l.credential.refusal.begin(a.refusal, now, refuseFirst, refuseMost)
		why.credential = causeRefusal
	default:
		p.reach.leave(a.reach)
		l.circuit.leave(a.circuit)
	}
	return why
}
