package hostfuncs

import (
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// lookupNumber returns the number of a field that find has allowed, and false if there is none. Elements past the end of
// a list are absent.
func lookupNumber(c *runtime.Call, id abi.FieldID, index int32) (n int64, ok bool) {
	switch {
	case id < abi.FieldCredential:
		return numberOfRequest(c.Request, id)
	case id < abi.FieldIdentityKeyID:
		return int64(c.Authentication.Shape), id == abi.FieldCredentialShape
	case id < abi.FieldChain:
		return numberOfIdentity(c.Identity, id, index)
	case id < abi.FieldPricePhase:
		return numberOfChoice(c.StepChoice, id, index)
	default:
		return numberOfPricing(c.Pricing, id, index)
	}
}

func numberOfRequest(r *abi.Request, id abi.FieldID) (int64, bool) {
	if r == nil || id != abi.FieldRequestStream {
		return 0, false
	}
	if r.Stream {
		return 1, true
	}
	return 0, true
}

func numberOfIdentity(i *abi.Identity, id abi.FieldID, index int32) (int64, bool) {
	if i == nil {
		return 0, false
	}
	switch id {
	case abi.FieldIdentityState:
		return int64(i.State), true
	case abi.FieldIdentityExpires:
		return instant(i.Expires)
	case abi.FieldIdentityLimits:
		return at(i.Limits[:], index)
	}
	return 0, false
}

// instant is a time in milliseconds; the zero time is absent.
func instant(t time.Time) (int64, bool) { return t.UnixMilli(), !t.IsZero() }

// at returns an element of a list of numbers. index may be anything.
func at[T ~int64](list []T, index int32) (int64, bool) {
	if index < 0 || int(index) >= len(list) {
		return 0, false
	}
	return int64(list[index]), true
}

func numberOfChoice(s *abi.StepChoice, id abi.FieldID, index int32) (int64, bool) {
	switch id {
	case abi.FieldStepCount:
		return int64(len(s.Steps)), true
	case abi.FieldAttempt:
		return s.Attempt, true
	case abi.FieldLastError:
		return int64(s.LastError), true
	case abi.FieldLastStep:
		return s.LastStep, s.LastStep >= 0
	case abi.FieldStepTries:
		return at(s.Tries, index)
	case abi.FieldAffinity:
		return s.AffinityNumber()
	}
	switch {
	case index < 0 || int(index) >= len(s.Steps):
		return 0, false
	case isState(id):
		return ofState(s.State(int(index)), id), true
	default:
		return ofStep(&s.Steps[index], id), true
	}
}

// isState reports whether a field of a step says how it does, which may be another in each call.
func isState(id abi.FieldID) bool { return id >= abi.FieldStepAvailable && id <= abi.FieldStepActive }

// ofStep returns a number of a step.
func ofStep(s *abi.Step, id abi.FieldID) int64 {
	switch id {
	case abi.FieldStepPriority:
		return s.Priority
	case abi.FieldStepWeight:
		return s.Weight
	case abi.FieldStepPriceInput:
		return int64(s.PriceOf(abi.Input))
	case abi.FieldStepPriceOutput:
		return int64(s.PriceOf(abi.Output))
	default: // abi.FieldStepContext
		return s.Context
	}
}

// ofState returns a number that says how a step does.
func ofState(s abi.StepState, id abi.FieldID) int64 {
	switch id {
	case abi.FieldStepAvailable:
		if s.Available {
			return 1
		}
		return 0
	case abi.FieldStepHealth:
		return int64(s.Health)
	case abi.FieldStepCooldown:
		return s.CooldownMillis()
	case abi.FieldStepLatency:
		return s.LatencyMicros()
	default:
		return s.Active
	}
}

func numberOfPricing(p *abi.Pricing, id abi.FieldID, index int32) (int64, bool) {
	switch id {
	case abi.FieldPricePhase:
		return int64(p.Phase), true
	case abi.FieldUsage:
		return at(p.Usage[:], index)
	case abi.FieldPrice:
		if p.Price != nil {
			return at(p.Price[:], index)
		}
	}
	return 0, false
}
