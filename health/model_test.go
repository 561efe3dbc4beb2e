package health

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/internal/testutil"
	"pgregory.net/rapid"
)

// The model keeps whole histories and order numbers where the code keeps buckets and eras. It knows one thing at a
// time and is as slow as it likes.

type modelEvent struct {
	at     time.Duration
	failed bool
}

type modelCircuit struct {
	open    bool
	opened  time.Duration // how long for
	until   time.Duration
	history []modelEvent // since it closed
	changed int          // the number of what opened or closed it
	probe   int          // the number of the attempt that is its probe; 0: none
	probes  []int        // all that were, since it opened
	probeAt time.Duration
}

func (c *modelCircuit) state(now time.Duration) (State, time.Duration, bool) {
	if !c.open {
		return Healthy, 0, true
	}
	if now < c.until {
		return Open, c.until - now, false
	}
	return Probing, 0, c.probe == 0 || now >= c.probeAt+5*time.Minute
}

func (c *modelCircuit) window(now time.Duration) (requests, failures int) {
	for _, e := range c.history {
		if e.at/time.Second > now/time.Second-30 {
			requests++
			if e.failed {
				failures++
			}
		}
	}
	return requests, failures
}

func (c *modelCircuit) row() (n int) {
	for i := len(c.history) - 1; i >= 0 && c.history[i].failed; i-- {
		n++
	}
	return n
}

// end is the end of an attempt: +1 it went well, -1 it failed, 0 it says nothing.
func (c *modelCircuit) end(a *modelAttempt, number int, verdict int, now time.Duration, jitter float64) {
	c.leave(a)
	if a.number < c.changed || verdict == 0 {
		return
	}
	if verdict > 0 && c.open {
		*c = modelCircuit{changed: number}
		return
	}
	if c.open {
		if slices.Contains(c.probes, a.number) {
			c.shut(number, now, jitter)
		}
		return
	}
	c.history = append(c.history, modelEvent{now, verdict < 0})
	requests, failures := c.window(now)
	if verdict < 0 && (c.row() >= 3 || requests >= 20 && float64(failures)/float64(requests) >= 0.5) {
		c.shut(number, now, jitter)
	}
}

func (c *modelCircuit) leave(a *modelAttempt) {
	if c.probe == a.number {
		c.probe = 0
	}
}

func (c *modelCircuit) shut(number int, now time.Duration, jitter float64) {
	if c.opened == 0 {
		c.opened = 5 * time.Second
	} else {
		c.opened = min(2*c.opened, 5*time.Minute)
	}
	c.open, c.changed, c.probe, c.probes = true, number, 0, nil
	c.until = now + min(time.Duration(float64(c.opened)*jitter), 5*time.Minute)
}

type modelPause struct {
	until, length time.Duration
	changed       int
}

func (p *modelPause) begin(a *modelAttempt, number int, now, first, most time.Duration) {
	if now < p.until {
		return
	}
	if p.length == 0 {
		p.length = first
	} else if a.number > p.changed {
		p.length = min(p.length*2, most)
	}
	p.until, p.changed = now+p.length, number
}

func (p *modelPause) succeed(a *modelAttempt) {
	if a.number > p.changed {
		p.until, p.length = 0, 0
	}
}

type modelPlace struct {
	circuit   modelCircuit
	parking   modelPause
	drained   bool
	active    int
	latency   float64
	latencyAt time.Duration
	last      Outcome
}

func (l *modelPlace) read(now time.Duration) float64 {
	return l.latency * math.Exp(-(now-l.latencyAt).Seconds()/10)
}

type modelProvider struct {
	reach    modelCircuit
	drained  bool
	active   int
	repeats  int
	begun    []time.Duration // repetitions
	refused  uint64
	refusals map[string]*modelPause
	places   map[[2]string]*modelPlace // credential, model
}

func (p *modelProvider) room(now time.Duration) bool {
	recent := 0
	for _, at := range p.begun {
		if now-at < time.Second {
			recent++
		}
	}
	return recent < 3 || float64(p.repeats+1) <= 0.2*float64(p.active+1)
}

type modelAttempt struct {
	number, step, credential int
	repeat                   bool
	real                     Attempt
}

// machine is the tracker and the model of it, side by side.
type machine struct {
	clock     *testutil.Clock
	start     time.Time
	now       time.Duration
	jitter    float64
	number    int
	tracker   *Tracker
	targets   []Target
	steps     []*Step
	next      []int
	gates     map[gateKey]int
	providers map[string]*modelProvider
	underWay  []*modelAttempt
	told      map[Change]State
	t         *rapid.T
}

func newMachine(t *rapid.T) *machine {
	m := &machine{
		clock: testutil.NewClock("2026-11-21T10:00:00Z"), providers: map[string]*modelProvider{}, t: t,
		gates: map[gateKey]int{}, told: map[Change]State{},
		targets: []Target{
			{Provider: "a", Address: "x:1", Model: "m1", Credentials: []string{"k1", "k2"}, Concurrent: 3, Chain: "c1", Alias: "a1"},
			{Provider: "a", Address: "x:1", Model: "m1", Credentials: []string{"k1", "k2"}, Chain: "c2", Alias: "a1"},
			{Provider: "a", Address: "x:1", Model: "m2", Credentials: []string{"k2"}, Chain: "c2", Alias: "a2"},
			{Provider: "b", Address: "y:1", Model: "m1", Credentials: []string{""}, Chain: "c2", Alias: "b"},
		},
	}
	m.start = m.clock.Now()
	random := rapid.Float64Range(0, 0.999).Draw(t, "random")
	m.jitter = 0.9 + 0.2*random
	m.tracker = New(Options{Now: m.clock.Now, Random: func() float64 { return random }, Changed: m.changed})
	for _, g := range m.targets {
		p := m.providers[g.Provider]
		if p == nil {
			p = &modelProvider{refusals: map[string]*modelPause{}, places: map[[2]string]*modelPlace{}}
			m.providers[g.Provider] = p
		}
		for _, c := range g.Credentials {
			p.refusals[c] = &modelPause{}
			p.places[[2]string{c, g.Model}] = &modelPlace{}
		}
	}
	m.reload(t)
	return m
}

// changed checks that changes of one thing follow each other.
func (m *machine) changed(c Change) {
	key := Change{Scope: c.Scope, Provider: c.Provider, Credential: c.Credential, Model: c.Model}
	if m.told[key] != c.From || c.From == c.To || c.Cause == "" {
		m.t.Fatalf("%+v, but it was %v", c, m.told[key])
	}
	m.told[key] = c.To
	m.tracker.Snapshot() // a callback that is told under a lock would never return
}

func (m *machine) reload(*rapid.T) {
	m.steps, m.next = nil, make([]int, len(m.targets))
	for _, g := range m.targets {
		m.steps = append(m.steps, m.tracker.Step(g))
	}
}

func (m *machine) advance(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{
		1, time.Millisecond, 100 * time.Millisecond, 999 * time.Millisecond, time.Second, 3 * time.Second,
		5 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 20 * time.Minute,
	}).Draw(t, "advance")
	m.clock.Add(d)
	m.now += d
}

// look is what the model thinks of a credential of a step.
func (m *machine) look(step, credential int) (state State, cooldown time.Duration, may bool) {
	g := m.targets[step]
	id := g.Credentials[credential]
	p := m.providers[g.Provider]
	l := p.places[[2]string{id, g.Model}]
	if p.drained || l.drained {
		return Drained, 0, false
	}
	reach, wait, may := p.reach.state(m.now)
	own, wait2, may2 := l.circuit.state(m.now)
	refused, parked := p.refusals[id].until-m.now, l.parking.until-m.now
	cooldown = max(wait, wait2, refused, parked, 0)
	switch {
	case parked > 0:
		return Parked, cooldown, false
	case refused > 0:
		return Refused, cooldown, false
	case reach == Open || own == Open:
		return Open, cooldown, false
	case reach == Probing || own == Probing:
		return Probing, cooldown, may && may2
	}
	return Healthy, cooldown, true
}

// choose is which credential the model would ask; -1 if none.
func (m *machine) choose(step int, o Begin) int {
	g := m.targets[step]
	key := gateKey{g.Chain, g.Alias, g.Model}
	if g.Concurrent > 0 && m.gates[key] >= g.Concurrent {
		return -1
	}
	n := len(g.Credentials)
	for k := range n {
		i := (m.next[step] + k) % n
		if _, _, may := m.look(step, i); may {
			m.next[step] = (i + 1) % n
			return i
		}
	}
	best, least := -1, time.Duration(math.MaxInt64)
	for k := range n {
		i := (m.next[step] + k) % n
		state, cooldown, _ := m.look(step, i)
		if o.Force && state != Drained && state != Parked && cooldown < least {
			best, least = i, cooldown
		}
	}
	return best
}

func (m *machine) begin(t *rapid.T) {
	step := rapid.IntRange(0, len(m.steps)-1).Draw(t, "step")
	o := Begin{Repeat: rapid.IntRange(0, 3).Draw(t, "repeat") == 0, Force: rapid.IntRange(0, 3).Draw(t, "force") == 0}
	g := m.targets[step]
	p := m.providers[g.Provider]
	want := m.choose(step, o)
	if want >= 0 && o.Repeat && !p.room(m.now) {
		p.refused++
		want = -1
	}
	real, ok := m.steps[step].Begin(o)
	if ok != (want >= 0) || ok && real.Credential != want {
		t.Fatalf("step %d, %+v: began with credential %d, %v; want %d", step, o, real.Credential, ok, want)
	}
	if !ok {
		return
	}
	a, probe := m.enter(step, want, o.Repeat, real)
	m.underWay = append(m.underWay, a)
	if real.Probe != probe {
		t.Fatalf("probe: %v, want %v", real.Probe, probe)
	}
}

// enter lets an attempt begin in the model, and says whether it is a probe.
func (m *machine) enter(step, credential int, repeat bool, real Attempt) (a *modelAttempt, probe bool) {
	g := m.targets[step]
	p := m.providers[g.Provider]
	l := p.places[[2]string{g.Credentials[credential], g.Model}]
	m.number++
	for _, c := range []*modelCircuit{&p.reach, &l.circuit} {
		if state, _, may := c.state(m.now); state == Probing && may {
			c.probe, c.probeAt, probe = m.number, m.now, true
			c.probes = append(c.probes, m.number)
		}
	}
	p.active++
	l.active++
	m.gates[gateKey{g.Chain, g.Alias, g.Model}]++
	if repeat {
		p.repeats++
		p.begun = append(p.begun, m.now)
	}
	return &modelAttempt{m.number, step, credential, repeat, real}, probe
}

func (m *machine) end(t *rapid.T) {
	if len(m.underWay) == 0 {
		t.Skip("nothing is under way")
	}
	i := rapid.IntRange(0, len(m.underWay)-1).Draw(t, "attempt")
	a := m.underWay[i]
	m.underWay = slices.Delete(m.underWay, i, i+1)
	r := Result{Outcome: rapid.SampledFrom([]Outcome{
		Neutral, Succeeded, Succeeded, Failed, Failed, Failed, Failed, Unreachable, Unreachable, RateLimited, CredentialRefused,
	}).Draw(t, "outcome")}
	if r.Outcome == RateLimited {
		r.RetryAfter = rapid.SampledFrom([]time.Duration{0, 0, time.Second, 7 * time.Second, time.Hour}).Draw(t, "retry after")
	}
	m.settle(a, r)
	a.real.End(r)
	a.real.End(Result{Outcome: Failed}) // a second one does nothing
}

func (m *machine) settle(a *modelAttempt, r Result) {
	g := m.targets[a.step]
	id := g.Credentials[a.credential]
	p := m.providers[g.Provider]
	l := p.places[[2]string{id, g.Model}]
	m.number++
	p.active--
	l.active--
	m.gates[gateKey{g.Chain, g.Alias, g.Model}]--
	if a.repeat {
		p.repeats--
	}
	reach, circuit := map[Outcome]int{Unreachable: -1, Neutral: 0}, map[Outcome]int{Succeeded: 1, Failed: -1}
	verdict, known := reach[r.Outcome]
	if !known {
		verdict = 1 // it answered
	}
	p.reach.end(a, m.number, verdict, m.now, m.jitter)
	l.circuit.end(a, m.number, circuit[r.Outcome], m.now, m.jitter)
	switch {
	case r.Outcome == Succeeded:
		p.refusals[id].succeed(a)
		l.parking.succeed(a)
	case r.Outcome == CredentialRefused:
		p.refusals[id].begin(a, m.number, m.now, time.Minute, 15*time.Minute)
	case r.Outcome == RateLimited && r.RetryAfter > 0:
		l.parking.until = max(l.parking.until, m.now+min(r.RetryAfter, 5*time.Minute))
		l.parking.changed = m.number
	case r.Outcome == RateLimited:
		l.parking.begin(a, m.number, m.now, time.Second, time.Minute)
	}
	if r.Outcome != Neutral && r.Outcome != Succeeded {
		l.last = r.Outcome
	}
}

// series makes many attempts at a step one by one, so that circuits open often enough.
func (m *machine) series(t *rapid.T) {
	step := rapid.IntRange(0, len(m.steps)-1).Draw(t, "step")
	outcomes := rapid.SampledFrom([][]Outcome{
		{Failed}, {Unreachable}, {Succeeded}, {Failed, Succeeded}, {Succeeded, Unreachable}, {Failed, Failed, Succeeded, Succeeded, Succeeded},
	}).Draw(t, "outcomes")
	for n := range rapid.IntRange(1, 25).Draw(t, "how many") {
		outcome := outcomes[n%len(outcomes)]
		want := m.choose(step, Begin{})
		real, ok := m.steps[step].Begin(Begin{})
		if ok != (want >= 0) {
			t.Fatalf("step %d: began %v, want %d", step, ok, want)
		}
		if !ok {
			return
		}
		a, _ := m.enter(step, want, false, real)
		m.settle(a, Result{Outcome: outcome})
		a.real.End(Result{Outcome: outcome})
	}
}

func (m *machine) firstContent(t *rapid.T) {
	if len(m.underWay) == 0 {
		t.Skip("nothing is under way")
	}
	a := m.underWay[rapid.IntRange(0, len(m.underWay)-1).Draw(t, "attempt")]
	d := time.Duration(rapid.Int64Range(1, int64(time.Minute)).Draw(t, "latency"))
	g := m.targets[a.step]
	p := m.providers[g.Provider]
	l := p.places[[2]string{g.Credentials[a.credential], g.Model}]
	m.number++
	l.circuit.leave(a)
	if p.reach.leave(a); p.reach.open && a.number > p.reach.changed {
		p.reach = modelCircuit{changed: m.number}
	}
	if sample := float64(d); sample >= l.latency {
		l.latency = sample
	} else {
		keep := math.Exp(-(m.now - l.latencyAt).Seconds() / 10)
		l.latency = keep*l.latency + (1-keep)*sample
	}
	l.latencyAt = m.now
	a.real.FirstContent(d)
}

func (m *machine) byHand(t *rapid.T) {
	name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "provider")
	model := rapid.SampledFrom([]string{"", "m1", "m2"}).Draw(t, "model")
	drain := rapid.IntRange(0, 2).Draw(t, "drain") == 0
	p := m.providers[name]
	known := p != nil
	if known && model != "" {
		known = slices.ContainsFunc(m.targets, func(g Target) bool { return g.Provider == name && g.Model == model })
	}
	do := m.tracker.Restore
	if drain {
		do = m.tracker.Drain
	}
	err := do(name, model)
	if possible := known && (drain || model == "" || !p.drained); possible != (err == nil) {
		t.Fatalf("drain %v of %q %q: %v", drain, name, model, err)
	}
	if err != nil {
		return
	}
	m.number++
	if model == "" {
		p.drained = drain
		if !drain {
			p.reach = modelCircuit{changed: m.number}
			for _, c := range p.refusals {
				*c = modelPause{changed: m.number}
			}
		}
	}
	for key, l := range p.places {
		switch {
		case model != "" && key[1] != model:
		case !drain:
			l.drained, l.circuit, l.parking = false, modelCircuit{changed: m.number}, modelPause{changed: m.number}
		case model != "":
			l.drained = true
		}
	}
}

// check compares all that can be seen.
func (m *machine) check(t *rapid.T) {
	for i, s := range m.steps {
		g := m.targets[i]
		p := m.providers[g.Provider]
		got, active := s.View(), 0
		var fits bool
		var latencies []time.Duration
		best, available := time.Duration(math.MaxInt64), false
		for c, id := range g.Credentials {
			l := p.places[[2]string{id, g.Model}]
			active += l.active
			state, cooldown, may := m.look(i, c)
			available = available || may
			fits = fits || state == got.State && cooldown == got.Cooldown && may == got.Available
			if !may {
				best = min(best, cooldown)
			}
			latencies = append(latencies, time.Duration(l.read(m.now)))
		}
		if full := g.Concurrent > 0 && m.gates[gateKey{g.Chain, g.Alias, g.Model}] >= g.Concurrent; full {
			fits = got.State == Full && !got.Available || got.State == Drained || got.State == Parked
			available = false
		} else if !available && got.Cooldown != best {
			t.Fatalf("step %d: %+v, but a credential has %v left", i, got, best)
		}
		near := slices.ContainsFunc(latencies, func(d time.Duration) bool { return (got.Latency - d).Abs() < 3 })
		if !fits || got.Available != available || got.Active != active || !near {
			t.Fatalf("step %d at %v: %+v; want available %v, active %d, latency of %v", i, m.now, got, available, active, latencies)
		}
		if got, want := s.MayRepeat(), p.room(m.now); got != want {
			t.Fatalf("step %d may repeat: %v", i, got)
		} else if !want {
			p.refused++
		}
	}
	m.checkSnapshot(t)
}

func (m *machine) checkSnapshot(t *rapid.T) {
	for _, s := range m.tracker.Snapshot() {
		l := m.providers[s.Provider].places[[2]string{s.Credential, s.Model}]
		i := slices.IndexFunc(m.targets, func(g Target) bool { return g.Provider == s.Provider && g.Model == s.Model })
		state, cooldown, _ := m.look(i, slices.Index(m.targets[i].Credentials, s.Credential))
		requests, failures := l.circuit.window(m.now)
		if l.circuit.open {
			requests, failures = int(s.Requests), int(s.Failures) // what opened it, as it ages
		}
		row := l.circuit.row()
		last := ""
		if l.last != Neutral {
			last = l.last.String()
		}
		if s.State != state || s.Cooldown != cooldown || s.Active != l.active || int(s.Requests) != requests ||
			int(s.Failures) != failures || s.Consecutive != row || s.LastError != last || s.Since.After(m.clock.Now()) || s.Since.Before(m.start) {
			t.Fatalf("%+v; want %v %v, %d active, %d of %d failed, %d in a row, %s", s, state, cooldown, l.active, failures, requests, row, last)
		}
	}
	for _, b := range m.tracker.Budgets() {
		p := m.providers[b.Provider]
		if want := fmt.Sprint(p.active, p.repeats, p.refused); fmt.Sprint(b.Active, b.Repeats, b.Refused) != want {
			t.Fatalf("%+v, want %s", b, want)
		}
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		t.Repeat(map[string]func(*rapid.T){
			"reload": m.reload, "advance": m.advance, "begin": m.begin, "begin again": m.begin, "begin once more": m.begin,
			"end": m.end, "end again": m.end, "end once more": m.end, "series": m.series,
			"first content": m.firstContent, "by hand": m.byHand, "": m.check,
		})
	})
}
