package sallyport

import (
	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/host"
)

// StepChoice is one question of the hook choose_step: before the first attempt of an exchange, and again after each
// that failed. Steps are counted from 0; the lists have an element for each.
type StepChoice struct{ Request }

// Identity is who the request belongs to.
func (*StepChoice) Identity() Identity { return Identity{} }

// Chain is the chain's name or, for a plain alias, that alias, which is a chain of one step.
func (*StepChoice) Chain() []byte { return text(abi.FieldChain) }

// Len is the number of steps, at least 1.
func (*StepChoice) Len() int { return int(number(abi.FieldStepCount)) }

// Attempt is 1 before the first attempt.
func (*StepChoice) Attempt() int { return int(number(abi.FieldAttempt)) }

// LastError says how the attempt before failed.
func (*StepChoice) LastError() ErrorClass { return ErrorClass(number(abi.FieldLastError)) }

// LastStep is the step of the attempt before, and false if there was none.
func (*StepChoice) LastStep() (int, bool) {
	step := host.GetInt(abi.FieldLastStep)
	return int(max(step, 0)), step != abi.NoValue
}

// Model is the alias that a step names.
func (*StepChoice) Model(step int) []byte {
	model, _ := answers.element(abi.FieldStepModel, int32(step))
	return model
}

// Provider is a step's provider.
func (*StepChoice) Provider(step int) []byte {
	provider, _ := answers.element(abi.FieldStepProvider, int32(step))
	return provider
}

// Priorities are the steps' priorities: lower is tried first.
func (*StepChoice) Priorities() []int64 { return answers.list(abi.FieldStepPriority) }

// Weights are the steps' shares within one priority, at least 0.
func (*StepChoice) Weights() []int64 { return answers.list(abi.FieldStepWeight) }

// Tries says how often each step was tried in this exchange.
func (*StepChoice) Tries() []int64 { return answers.list(abi.FieldStepTries) }

// Available says which steps may be chosen now: 1 where it may, else 0. The gateway knows retries, circuits, parked
// credentials and what the last error forbids, so that a policy need not.
func (*StepChoice) Available() []int64 { return answers.list(abi.FieldStepAvailable) }

// Health says how each step does: StepHealthy and the others.
func (*StepChoice) Health() []StepHealth { return asHealth(answers.list(abi.FieldStepHealth)) }

// Cooldowns are in how many milliseconds each step may be asked again; 0 if it may now.
func (*StepChoice) Cooldowns() []int64 { return answers.list(abi.FieldStepCooldown) }

// Latencies are how many microseconds each step takes to its first content: moving averages that follow peaks at once.
// 0 is not known.
func (*StepChoice) Latencies() []int64 { return answers.list(abi.FieldStepLatency) }

// Active is how many attempts are under way at each step.
func (*StepChoice) Active() []int64 { return answers.list(abi.FieldStepActive) }

// InputPrices are what a million tokens of input cost at each step, -1 where that is not known.
func (*StepChoice) InputPrices() []NanoUSD { return asMoney(answers.list(abi.FieldStepPriceInput)) }

// OutputPrices are what a million tokens of output cost at each step, -1 where that is not known.
func (*StepChoice) OutputPrices() []NanoUSD { return asMoney(answers.list(abi.FieldStepPriceOutput)) }

// Contexts are the largest contexts of the steps in tokens; 0 is not known.
func (*StepChoice) Contexts() []int64 { return answers.list(abi.FieldStepContext) }

// Strategy is what the chain asks for: weighted, latency, cost or sticky; empty where it asks for nothing.
func (*StepChoice) Strategy() []byte { return text(abi.FieldStrategy) }

// Affinity is a number from 0 to 2^53-1, and false if there is none: where the strategy is sticky, requests of the same
// number belong to the same step.
func (*StepChoice) Affinity() (int64, bool) {
	affinity := host.GetInt(abi.FieldAffinity)
	return max(affinity, 0), affinity != abi.NoValue
}

// Choose has a step tried.
func (*StepChoice) Choose(step int) Verdict {
	return verdict(abi.FieldChosenStep, host.SetInt(abi.FieldChosenStep, int64(step)))
}

// Stop has nothing more tried: the client gets the error of the attempt before. At the first attempt there is none, so
// it fails.
func (*StepChoice) Stop() Verdict { return verdict(abi.FieldStop, host.SetInt(abi.FieldStop, 1)) }

// ChooseWithReason is Choose with a reason for the record: up to 64 bytes of printable ASCII.
func (c *StepChoice) ChooseWithReason(step int, reason string) Verdict {
	if v := c.Choose(step); v != given {
		return v
	}
	return verdict(abi.FieldChoiceReason, host.Set(abi.FieldChoiceReason, 0, reason))
}

// StopWithReason is Stop with a reason for the record.
func (c *StepChoice) StopWithReason(reason string) Verdict {
	if v := c.Stop(); v != given {
		return v
	}
	return verdict(abi.FieldChoiceReason, host.Set(abi.FieldChoiceReason, 0, reason))
}
