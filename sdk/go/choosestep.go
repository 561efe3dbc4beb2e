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

// Choose has a step tried.
func (*StepChoice) Choose(step int) Verdict {
	return verdict(abi.FieldChosenStep, host.SetInt(abi.FieldChosenStep, int64(step)))
}

// Stop has nothing more tried: the client gets the error of the attempt before. At the first attempt there is none, so
// it fails.
func (*StepChoice) Stop() Verdict { return verdict(abi.FieldStop, host.SetInt(abi.FieldStop, 1)) }
