package gateway

import (
	"math/rand/v2"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/health"
)

// chooseStep asks the policies which step to try, among those that may be tried, and takes it: from then on it counts
// as under way. Without a usable verdict the lowest priority decides. After an answer for the client it is not called.
func (x *exchange) chooseStep() (*config.Step, *refusal) {
	call := &x.choice
	if call.Attempt == 0 {
		x.openChoice()
	}
	for call.Attempt = int64(len(x.record.Attempts)) + 1; ; {
		if x.trip.Canceled() {
			return nil, gone(x.gateway.dismissed.Load())
		}
		offered := x.offer()
		if offered == 0 {
			if wait, worth := x.worthWaiting(); worth && x.pause(wait) {
				continue
			}
			return nil, x.exhausted()
		}
		chosen := x.ask()
		if chosen < 0 {
			return nil, x.exhausted()
		}
		if x.take(chosen) {
			return &x.chain.Steps[chosen], nil
		}
		// Another exchange was faster, and what it took is not offered again.
	}
}

// openChoice prepares the call for the first attempt.
func (x *exchange) openChoice() {
	call := &x.choice
	x.handles = x.snapshot.handles[x.chain]
	x.deadline = x.start.Add(x.timeLimit())
	call.Request, call.Identity = &x.facts, x.auth.Identity
	call.Chain, call.Steps, call.Strategy = x.chain.Name, x.chain.Choices, x.chain.Strategy
	call.Affinity, call.Sticks = x.affinity()
	call.LastStep = -1
	for range call.Steps {
		call.Tries = append(call.Tries, 0)
		call.States = append(call.States, abi.StepState{})
		x.failures = append(x.failures, abi.NoError)
	}
}

// ask lets the policies choose, and holds them to what is offered. It returns -1 if nothing more is to be tried.
func (x *exchange) ask() int {
	call := &x.choice
	call.Policy, call.Reason = "", ""
	answer := x.snapshot.Policies.ChooseStep(call)
	if call.Policy != "" {
		x.record.Policies[abi.ChooseStep] = call.Policy
	}
	switch {
	case answer != abi.Given:
		call.Step, call.Reason = x.byPriority(), ""
	case call.Stop:
		return -1
	case !call.States[call.Step].Available:
		x.gateway.log.Warn("policy chose a step that is not available: by priority instead",
			"request", x.record.ID, "policy", call.Policy, "chain", x.chain.Name, "step", x.chain.Steps[call.Step].Alias)
		call.Step, call.Reason = x.byPriority(), ""
	}
	return call.Step
}

// byPriority is the first available step of the lowest priority.
func (x *exchange) byPriority() int {
	best := -1
	for i := range x.choice.Steps {
		if x.choice.States[i].Available && (best < 0 || x.choice.Steps[i].Priority < x.choice.Steps[best].Priority) {
			best = i
		}
	}
	return best
}

// take begins an attempt at a step, with a pause where it repeats the one before.
func (x *exchange) take(step int) bool {
	call := &x.choice
	if int64(step) == call.LastStep && !x.pause(x.pauseBefore(step)) {
		return false // the client left, or the time is up: offer finds that out
	}
	attempt, ok := x.handles[step].Begin(health.Begin{Repeat: x.tried(&x.chain.Steps[step]), Force: x.forced})
	if !ok {
		return false
	}
	x.underWay = attempt
	call.Tries[step]++
	call.LastStep = int64(step)
	return true
}

// Bounds of the pause before a step is tried again.
const (
	firstPause  = 250 * time.Millisecond
	maxPause    = 2 * time.Second
	maxWait     = 5 * time.Second // for a provider that says when to come back
	maxRecalled = 5 * time.Minute // as much of a provider's wish to be left alone as is granted
)

// pauseBefore is how long to wait before a step is tried again at once: at random, so that the exchanges that a
// provider failed together do not come back together, and not before it asks for it. Where little time is left, the
// chance is taken within that.
func (x *exchange) pauseBefore(step int) time.Duration {
	if c := x.choice.LastError; c == abi.RateLimited || c == abi.BadCredential {
		return 0 // with another credential, or after the wait was over
	}
	most := max(min(firstPause<<min(x.choice.Tries[step]-1, 8), maxPause, time.Until(x.deadline)), 0)
	return max(rand.N(most+1), x.retryAfter) //nolint:gosec // jitter, not a secret
}

// pause waits, unless that takes longer than the exchange may. It reports false if the client left meanwhile.
func (x *exchange) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	if d >= time.Until(x.deadline) {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-x.left:
		return false
	}
}
