package runtime

import (
	"sync"

	"github.com/sallyport-dev/sallyport/abi"
)

// ShadowResult says how what a shadow policy answered compares with what was decided. The set is closed: it is a metric
// label.
type ShadowResult uint8

// The results.
const (
	ShadowSame      ShadowResult = iota // the same would have come of it
	ShadowDifferent                     // something else would have come of it
	ShadowPassed                        // it passed where a verdict was given: it leaves that to others
	ShadowFailed                        // it failed
	ShadowMissed                        // it was not asked, because it has not kept up
	NumShadowResults
)

var shadowResultNames = [NumShadowResults]string{"same", "different", "passed", "failed", "missed"}

// String returns the result's name, as in metrics.
func (r ShadowResult) String() string {
	if r < NumShadowResults {
		return shadowResultNames[r]
	}
	return "unknown"
}

// ShadowObserver is told how shadow policies compare, by several goroutines at once.
type ShadowObserver interface {
	ShadowDone(policy string, hook abi.Hook, result ShadowResult)
}

// maxShadowed is how many questions wait for one shadow policy. More are not asked.
const maxShadowed = 64

// shadow asks a policy on a goroutine of its own, about copies of the questions. So the request is never held up by it,
// whatever the policy does; what it costs the request is the copy.
type shadow struct {
	binding *binding
	queue   chan *shadowed
	stop    chan struct{}
	stopped sync.WaitGroup
	spare   sync.Pool // *shadowed
}

func newShadow(b *binding) *shadow {
	return &shadow{binding: b, queue: make(chan *shadowed, maxShadowed), stop: make(chan struct{})}
}

// startShadows has the shadow policies of a set that is ready asked from now on.
func (r *Runtime) startShadows(policies []*binding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range policies {
		if b.shadow != nil {
			r.shadows[b.shadow] = struct{}{}
			b.shadow.stopped.Go(b.shadow.run)
		}
	}
}

// stopShadows waits for the questions that are being asked. Those that still wait are not asked any more.
func (r *Runtime) stopShadows(policies []*binding) {
	for _, b := range policies {
		if b.shadow != nil {
			r.stopShadow(b.shadow)
		}
	}
}

func (r *Runtime) stopAllShadows() {
	r.mu.Lock()
	var all []*shadow
	for s := range r.shadows {
		all = append(all, s)
	}
	r.mu.Unlock()
	for _, s := range all {
		r.stopShadow(s)
	}
}

func (r *Runtime) stopShadow(s *shadow) {
	r.mu.Lock()
	_, runs := r.shadows[s]
	delete(r.shadows, s)
	r.mu.Unlock()
	if runs {
		close(s.stop)
	}
	s.stopped.Wait()
}

// askShadows hands a question that was decided to the shadow policies of its hook.
func (s *Set) askShadows(q question, answer abi.Answer) {
	for _, b := range s.shadows[q.hook] {
		q := q
		if q.veto = b.veto && q.hook == abi.Authenticate; q.veto && allowedBefore(q.authentication) == nil {
			continue // no veto is asked for
		}
		if !b.concernsDecided(q) {
			continue
		}
		d, _ := b.shadow.spare.Get().(*shadowed)
		if d == nil {
			d = &shadowed{}
		}
		d.take(b, q, answer)
		select {
		case b.shadow.queue <- d:
		default:
			d.forget()
			b.shadow.spare.Put(d)
			b.pool.runtime.shadowed.ShadowDone(b.name, q.hook, ShadowMissed)
		}
	}
}

// allowedBefore is whom a verdict had allowed before vetoes were asked; nil if nobody was.
func allowedBefore(a *abi.Authentication) *abi.Identity {
	if a.Vetoed != nil {
		return a.Vetoed
	}
	return a.Identity
}

// concernsDecided is concerns for a question that was decided, whose identity may be gone again.
func (b *binding) concernsDecided(q question) bool {
	if !q.veto || b.percent == everybody {
		return b.concerns(q)
	}
	return placeIdentity(newPlacing(b.name), allowedBefore(q.authentication), q.authentication.Request).mixed()%everybody < b.percent
}

func (s *shadow) run() {
	for {
		select {
		case <-s.stop:
			return
		case d := <-s.queue:
			s.ask(d)
			d.forget()
			s.spare.Put(d)
		}
	}
}

// ask asks the policy as if it were not a shadow, and compares.
func (s *shadow) ask(d *shadowed) {
	b := s.binding
	answer := b.ask(d.question)
	would := verdictOf(d.question, answer)
	result := compare(would, d.decided, d.question.veto)
	b.pool.runtime.shadowed.ShadowDone(b.name, d.question.hook, result)
	if result == ShadowDifferent {
		b.reports.reportShadow(d.question.hook.String(), d.question.requestID(), would.String(), d.decided.String())
	}
}
