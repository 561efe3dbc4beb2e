package runtime

import (
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Set is an immutable list of policies that is asked at the hooks. Its methods may be called by many goroutines at
// once. Whoever replaces a set closes the old one when nobody asks it any more.
type Set struct {
	runtime  *Runtime
	policies []*binding               // in the order in which they were given
	asked    [abi.NumHooks][]*binding // by hook; at authenticate without those that are asked for a veto
	vetoes   []*binding
	shadows  [abi.NumHooks][]*binding // by hook, also those that are asked for a veto; in none of the other lists
	closed   sync.Once
}

// binding is a policy as a set asks it.
type binding struct {
	name     string
	hooks    []abi.Hook
	veto     bool
	limits   Limits
	given    Grants
	grants   grants
	pool     *pool
	reports  reporter
	observer Observer
	percent  uint64 // of callers; everybody is 100
	shadow   *shadow
	inputs   inputSet // of a message
	tracer   Tracer   // nil: nobody wants to know
}

// question is one asking of a hook. Exactly one of the pointers is set, beside that of the recording.
type question struct {
	hook           abi.Hook
	veto           bool
	authentication *abi.Authentication
	choice         *abi.StepChoice
	pricing        *abi.Pricing
	recording      *recording // nil: what the guest does is not recorded
}

// request is the request that the question is about; nil if nobody knows.
func (q question) request() *abi.Request {
	switch q.hook {
	case abi.Authenticate:
		return q.authentication.Request
	case abi.ChooseStep:
		return q.choice.Request
	default:
		return q.pricing.Request
	}
}

// requestID names the request that the question is about, for the log.
func (q question) requestID() string {
	request := q.request()
	if request == nil {
		return ""
	}
	return string(request.ID)
}

// add appends a policy while the set is made.
func (s *Set) add(b *binding) {
	s.policies = append(s.policies, b)
	for _, h := range b.hooks {
		switch {
		case b.shadow != nil:
			s.shadows[h] = append(s.shadows[h], b)
		case h == abi.Authenticate && b.veto:
			s.vetoes = append(s.vetoes, b)
		default:
			s.asked[h] = append(s.asked[h], b)
		}
	}
}

// Authenticate asks who the request belongs to. A policy that fails denies: the answer is Failed, and a.Policy
// names it. After an allow every veto is asked.
func (s *Set) Authenticate(a *abi.Authentication) abi.Answer {
	answer := s.authenticate(a)
	if len(s.shadows[abi.Authenticate]) > 0 {
		s.askShadows(question{hook: abi.Authenticate, authentication: a}, answer)
	}
	return answer
}

func (s *Set) authenticate(a *abi.Authentication) abi.Answer {
	a.Policy, a.Identity, a.Status, a.Message, a.Code, a.Vetoed = "", nil, 0, "", "", nil
	answer := abi.NoVerdict
	for _, p := range s.asked[abi.Authenticate] {
		q := question{hook: abi.Authenticate, authentication: a}
		if !p.concerns(q) {
			continue
		}
		if answer = p.ask(q); answer == abi.Failed {
			a.Policy = p.name
		}
		if answer != abi.NoVerdict {
			break
		}
	}
	if answer != abi.Given || a.Identity == nil {
		return answer
	}
	return s.askVetoes(a)
}

// askVetoes asks whether anybody objects to the identity that was allowed. The first who does decides.
func (s *Set) askVetoes(a *abi.Authentication) abi.Answer {
	allowed := a.Identity
	for _, p := range s.vetoes {
		q := question{hook: abi.Authenticate, veto: true, authentication: a}
		if !p.concerns(q) {
			continue
		}
		switch p.ask(q) {
		case abi.Given:
			a.Vetoed = allowed
			return abi.Given
		case abi.Failed:
			a.Policy, a.Identity, a.Vetoed = p.name, nil, allowed
			return abi.Failed
		}
	}
	return abi.Given
}

// ChooseStep asks which step of the chain to try.
func (s *Set) ChooseStep(c *abi.StepChoice) abi.Answer {
	c.Policy, c.Step, c.Stop = "", 0, false
	return s.firstVerdict(question{hook: abi.ChooseStep, choice: c})
}

// PriceResponse asks what an attempt costs.
func (s *Set) PriceResponse(p *abi.Pricing) abi.Answer {
	p.Policy, p.Cost, p.Breakdown = "", 0, [abi.NumDimensions]abi.NanoUSD{}
	return s.firstVerdict(question{hook: abi.PriceResponse, pricing: p})
}

// firstVerdict asks until a policy gives a verdict. One that fails counts as if it had passed.
func (s *Set) firstVerdict(q question) abi.Answer {
	answer := s.askInTurn(q)
	if len(s.shadows[q.hook]) > 0 {
		s.askShadows(q, answer)
	}
	return answer
}

func (s *Set) askInTurn(q question) abi.Answer {
	without := abi.NoVerdict
	for _, p := range s.asked[q.hook] {
		if !p.concerns(q) {
			continue
		}
		switch p.ask(q) {
		case abi.Given:
			return abi.Given
		case abi.Failed:
			without = abi.Failed
		}
	}
	return without
}

// ask asks one policy, unless it is out. NoVerdict means that it passed. A failure has been logged and counted when
// it returns.
func (b *binding) ask(q question) abi.Answer {
	began := b.pool.runtime.elapsed()
	turn := b.pool.breakers[q.hook].admit(began)
	if turn == refused {
		b.observer.HookDone(b.name, q.hook, 0, TakenOut)
		return abi.Failed
	}
	if b.tracer != nil {
		q.recording = b.record(q)
	}
	verdict, failed := b.askInstance(q)
	ended := b.pool.runtime.elapsed()
	if q.recording != nil {
		b.trace(q, verdict, failed, ended-began)
	}
	switch {
	case failed != nil:
		b.fail(q, turn, began, ended, failed)
		return abi.Failed
	case verdict:
		b.succeed(q, turn, began, ended)
		return abi.Given
	default:
		b.succeed(q, turn, began, ended)
		return abi.NoVerdict
	}
}

func (b *binding) succeed(q question, t turn, began, ended time.Duration) {
	b.observer.HookDone(b.name, q.hook, ended-began, NoFailure)
	b.pool.breakers[q.hook].done(t, ended, "", nil)
}

func (b *binding) fail(q question, t turn, began, ended time.Duration, failed *failedCall) {
	b.observer.HookDone(b.name, q.hook, ended-began, failed.failure)
	request := q.requestID()
	b.reports.report(q.hook.String(), request, failed)
	b.pool.breakers[q.hook].done(t, ended, request, failed)
}

// askInstance asks through an instance, which is given back or, if the guest may have left it in disorder, replaced.
func (b *binding) askInstance(q question) (bool, *failedCall) {
	in := b.pool.take()
	if in == nil {
		var failed *failedCall
		if in, failed = b.pool.await(b.limits.Time); failed != nil {
			return false, failed
		}
	}
	verdict, failed := in.ask(b, q)
	switch {
	case failed != nil && failed.failure.poisons():
		b.pool.discard(in)
	case in.outgrew():
		b.reports.reportGrowth(q.hook.String(), q.requestID(), in.grown())
		b.pool.discard(in)
	default:
		b.pool.give(in)
	}
	return verdict, failed
}

// Close gives back what the set holds. Instances that no other set uses are closed when their calls have ended,
// which Close waits for. Hooks that are asked later fail.
func (s *Set) Close() {
	s.closed.Do(func() {
		s.runtime.stopShadows(s.policies)
		s.runtime.drop(s.policies)
	})
}

// AskAgain has policies asked again that are out because they kept failing.
func (s *Set) AskAgain() {
	for _, b := range s.policies {
		b.pool.askAgain()
	}
}

// Policies describes the set's policies, in their order.
func (s *Set) Policies() []PolicyInfo {
	infos := make([]PolicyInfo, 0, len(s.policies))
	for _, b := range s.policies {
		m := b.pool.module
		infos = append(infos, PolicyInfo{
			Name:      b.name,
			Digest:    hex.EncodeToString(m.key.wasm[:]),
			Size:      m.size,
			Hooks:     slices.Clone(b.hooks),
			Veto:      b.veto,
			Shadow:    b.shadow != nil,
			Percent:   int(b.percent),
			Limits:    b.limits,
			Grants:    Grants{Identities: b.given.Identities, KV: b.given.KV, Inputs: slices.Clone(b.given.Inputs)},
			Stubbed:   slices.Clone(m.stubbed),
			Instances: b.pool.alive(),
		})
	}
	return infos
}
