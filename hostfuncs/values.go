package hostfuncs

import (
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// value is what a field holds: a text in one of three forms, of which an empty one means that there is none, or a
// number.
type value struct {
	bytes  []byte
	text   string
	label  *abi.Label // read as "name=value"
	number int64
	known  bool // there is a number
}

func number(n int64) value { return value{number: n, known: true} }

// at returns an element of a list of numbers. index may be anything.
func at[T ~int64](list []T, index int32) value {
	if index < 0 || int(index) >= len(list) {
		return value{}
	}
	return number(int64(list[index]))
}

// lookup returns the value of a field that find has allowed. Elements past the end of a list are absent.
func lookup(c *runtime.Call, id abi.FieldID, index int32) value {
	switch {
	case id < abi.FieldCredential:
		return ofRequest(c.Request, id)
	case id < abi.FieldIdentityKeyID:
		return ofCredential(c.Authentication, id)
	case id < abi.FieldChain:
		return ofIdentity(c.Identity, id, index)
	case id < abi.FieldPricePhase:
		return ofChoice(c.StepChoice, id, index)
	default:
		return ofPricing(c.Pricing, id, index)
	}
}

func ofRequest(r *abi.Request, id abi.FieldID) value {
	if r == nil {
		return value{}
	}
	switch id {
	case abi.FieldRequestID:
		return value{bytes: r.ID}
	case abi.FieldRequestMethod:
		return value{bytes: r.Method}
	case abi.FieldRequestPath:
		return value{bytes: r.Path}
	case abi.FieldRequestFormat:
		return value{text: r.Format}
	case abi.FieldRequestOperation:
		return value{text: r.Operation}
	case abi.FieldRequestClientAddress:
		return value{bytes: r.ClientAddress}
	case abi.FieldRequestModel:
		return value{bytes: r.Model}
	case abi.FieldRequestStream:
		if r.Stream {
			return number(1)
		}
		return number(0)
	}
	return value{}
}

func ofCredential(a *abi.Authentication, id abi.FieldID) value {
	switch id {
	case abi.FieldCredential:
		return value{bytes: a.Credential}
	case abi.FieldCredentialDigest:
		if a.Digest != (abi.Digest{}) {
			return value{bytes: a.Digest[:]}
		}
	case abi.FieldCredentialShape:
		return number(int64(a.Shape))
	}
	return value{}
}

func ofIdentity(i *abi.Identity, id abi.FieldID, index int32) value {
	if i == nil {
		return value{}
	}
	switch id {
	case abi.FieldIdentityKeyID:
		return value{text: i.KeyID}
	case abi.FieldIdentityName:
		return value{text: i.Name}
	case abi.FieldIdentityTeam:
		return value{text: i.Team}
	case abi.FieldIdentityState:
		return number(int64(i.State))
	case abi.FieldIdentityExpires:
		return instant(i.Expires)
	case abi.FieldIdentityModels:
		if index >= 0 && int(index) < len(i.Models) {
			return value{text: i.Models[index]}
		}
	case abi.FieldIdentityLabels:
		if index >= 0 && int(index) < len(i.Labels) {
			return value{label: &i.Labels[index]}
		}
	case abi.FieldIdentityLimits:
		return at(i.Limits[:], index)
	case abi.FieldIdentityDefaultModel:
		return value{text: i.DefaultModel}
	}
	return value{}
}

// instant is a time in milliseconds; the zero time is absent.
func instant(t time.Time) value {
	if t.IsZero() {
		return value{}
	}
	return number(t.UnixMilli())
}

func ofChoice(s *abi.StepChoice, id abi.FieldID, index int32) value {
	switch id {
	case abi.FieldChain:
		return value{text: s.Chain}
	case abi.FieldStepCount:
		return number(int64(len(s.Steps)))
	case abi.FieldAttempt:
		return number(s.Attempt)
	case abi.FieldLastError:
		return number(int64(s.LastError))
	case abi.FieldLastStep:
		if s.LastStep >= 0 {
			return number(s.LastStep)
		}
		return value{}
	case abi.FieldStepTries:
		return at(s.Tries, index)
	case abi.FieldStrategy:
		return value{text: s.Strategy}
	case abi.FieldAffinity:
		n, ok := s.AffinityNumber()
		return value{number: n, known: ok}
	}
	switch {
	case index < 0 || int(index) >= len(s.Steps):
		return value{}
	case id == abi.FieldStepModel:
		return value{text: s.Steps[index].Model}
	case id == abi.FieldStepProvider:
		return value{text: s.Steps[index].Provider}
	case isState(id):
		return number(ofState(s.State(int(index)), id))
	default:
		return number(ofStep(&s.Steps[index], id))
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

func ofPricing(p *abi.Pricing, id abi.FieldID, index int32) value {
	switch id {
	case abi.FieldPricePhase:
		return number(int64(p.Phase))
	case abi.FieldProvider:
		return value{text: p.Provider}
	case abi.FieldModel:
		return value{text: p.Model}
	case abi.FieldUsage:
		return at(p.Usage[:], index)
	case abi.FieldPrice:
		if p.Price != nil {
			return at(p.Price[:], index)
		}
	}
	return value{}
}
