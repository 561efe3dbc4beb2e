package gateway

import (
	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
)

// chooseStep asks the policies which step to try, and holds them to what may be tried: a step at most once in an
// exchange. Without a usable verdict the lowest priority decides. After a rejection for good it is not called: that
// is an answer.
func (x *exchange) chooseStep() (*config.Step, *refusal) {
	call := &x.choice
	if x.trip.Canceled() {
		return nil, gone()
	}
	if call.Attempt == 0 {
		x.openChoice()
	}
	call.Attempt++
	fallback := x.byPriority()
	if fallback < 0 {
		return nil, x.exhausted()
	}
	answer := x.snapshot.Policies.ChooseStep(call)
	if call.Policy != "" {
		x.record.Policies[abi.ChooseStep] = call.Policy
	}
	switch {
	case answer != abi.Given:
		call.Step = fallback
	case call.Stop:
		return nil, x.exhausted()
	case call.Tries[call.Step] > 0:
		x.gateway.log.Warn("policy chose a step that was tried before: by priority instead",
			"request", x.record.ID, "policy", call.Policy, "chain", x.chain.Name, "step", x.chain.Steps[call.Step].Alias)
		call.Step = fallback
	}
	call.Tries[call.Step]++
	call.LastStep = int64(call.Step)
	return &x.chain.Steps[call.Step], nil
}

// openChoice prepares the call for the first attempt.
func (x *exchange) openChoice() {
	call := &x.choice
	call.Request, call.Identity = &x.facts, x.auth.Identity
	call.Chain, call.Steps = x.chain.Name, x.chain.Choices
	call.LastStep = -1
	for range call.Steps {
		call.Tries = append(call.Tries, 0)
	}
}

// byPriority is the first step of the lowest priority that was not tried; -1 if all were.
func (x *exchange) byPriority() int {
	best := -1
	for i := range x.choice.Steps {
		if x.choice.Tries[i] == 0 && (best < 0 || x.choice.Steps[i].Priority < x.choice.Steps[best].Priority) {
			best = i
		}
	}
	return best
}
