package gateway

import (
	"slices"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
)

// This file says what may be tried next. docs/failures.md is its contract.

// offer finds out how every step does and which may be tried now, and returns how many may.
func (x *exchange) offer() (offered int) {
	call := &x.choice
	open := x.mayGoOn()
	x.forced = false
	for i := range call.States {
		view := x.handles[i].View()
		s := &call.States[i]
		*s = abi.StepState{
			Available: open && view.Available && x.mayTry(i), Health: abi.StepHealth(view.State),
			Cooldown: view.Cooldown, Latency: view.Latency, Active: int64(view.Active),
		}
		if s.Available {
			offered++
		}
	}
	if offered == 0 && open && len(x.record.Attempts) == 0 {
		return x.force()
	}
	return offered
}

// force offers what only its failures keep out, where nothing else is left: the last candidate is never ejected. A
// request does so before its first attempt alone, so it knocks on one closed door at most.
func (x *exchange) force() (offered int) {
	for i := range x.choice.States {
		switch s := &x.choice.States[i]; s.Health {
		case abi.StepOpen, abi.StepProbing, abi.StepRefused:
			s.Available = true
			offered++
		}
	}
	x.forced = offered > 0
	return offered
}

// mayGoOn reports whether the exchange may make another attempt at all.
func (x *exchange) mayGoOn() bool {
	if x.choice.LastError == abi.Ambiguous && x.chain.OnAmbiguous == config.AmbiguousFail {
		return false
	}
	return time.Now().Before(x.deadline)
}

// mayTry reports whether what this exchange has seen allows a step. Whether the step is in health is another question.
func (x *exchange) mayTry(i int) bool {
	step, tries := &x.chain.Steps[i], int(x.choice.Tries[i])
	if x.silent(step) || x.contextNeeded > 0 && step.Context <= x.contextNeeded {
		return false
	}
	return (tries == 0 || x.mayRepeat(step, tries, x.failures[i])) && (!x.tried(step) || x.handles[i].MayRepeat())
}

// mayRepeat reports whether a step may be tried again after so many tries, of which the latest failed like this.
func (x *exchange) mayRepeat(step *config.Step, tries int, failure abi.ErrorClass) bool {
	switch failure {
	case abi.NotSent, abi.Transient:
		return tries <= x.chain.Retries && x.canWait()
	case abi.RateLimited, abi.BadCredential: // with another credential, or after a wait if there is nothing else
		n := len(step.Provider.Credentials)
		return tries < x.chain.Retries+max(1, n) && (n > 1 || !x.anotherStep())
	case abi.Ambiguous:
		return tries <= x.chain.Retries && x.chain.OnAmbiguous == config.AmbiguousSame && x.canWait()
	}
	return false
}

// canWait reports whether the latest attempt's provider may be asked again after as long as it wants to be left alone:
// that is soon, and within the exchange's time.
func (x *exchange) canWait() bool {
	return x.retryAfter <= maxWait && x.retryAfter < time.Until(x.deadline)
}

// tried reports whether this exchange has asked the step's provider before.
func (x *exchange) tried(step *config.Step) bool {
	for i := range x.record.Attempts {
		if x.record.Attempts[i].Provider == step.Provider.Name {
			return true
		}
	}
	return false
}

// silent reports whether the step's provider let this exchange wait in vain before.
func (x *exchange) silent(step *config.Step) bool {
	return slices.Contains(x.silents, step.Provider)
}

// largerContext reports whether a step that was not tried yet takes longer prompts than this one.
func (x *exchange) largerContext(than *config.Step) bool {
	for i := range x.chain.Steps {
		if x.choice.Tries[i] == 0 && than.Context > 0 && x.chain.Steps[i].Context > than.Context {
			return true
		}
	}
	return false
}

// anotherStep reports whether there is a step that was not tried yet.
func (x *exchange) anotherStep() bool {
	return slices.Contains(x.choice.Tries, 0)
}

// worthWaiting is how long until a step that may be tried is no longer parked, where that is soon.
func (x *exchange) worthWaiting() (wait time.Duration, worth bool) {
	if !x.mayGoOn() {
		return 0, false
	}
	for i := range x.choice.States {
		s := &x.choice.States[i]
		if s.Health == abi.StepParked && s.Cooldown <= maxWait && x.mayTry(i) && (!worth || s.Cooldown < wait) {
			wait, worth = s.Cooldown, true
		}
	}
	return wait + time.Millisecond, worth
}

// promptStart is as much of a body as decides about affinity by the prompt's start.
const promptStart = 1 << 10

// affinity is what the request has in common with those that belong to the same step.
func (x *exchange) affinity() (hash uint64, known bool) {
	var common []byte
	switch x.chain.Affinity {
	case config.NoAffinity:
		return 0, false
	case config.ByHeader:
		common = x.ctx.Request.Header.Peek(x.chain.AffinityHeader)
	case config.ByPromptStart:
		body := x.ctx.Request.Body()
		common = body[:min(len(body), promptStart)]
	}
	if len(common) == 0 {
		return fnv(x.auth.Identity.KeyID), true
	}
	return fnv(common), true
}

// fnv is FNV-1a. It is the same in every process, so that several gateways, and one after a restart, find the same step.
func fnv[T string | []byte](text T) uint64 {
	hash := uint64(14695981039346656037)
	for i := range len(text) {
		hash = (hash ^ uint64(text[i])) * 1099511628211
	}
	return hash
}
