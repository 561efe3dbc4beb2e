package hostfuncs

import (
	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// text is what a field of bytes holds, in one of three forms. An empty one means that there is none.
type text struct {
	bytes  []byte
	string string
	label  *abi.Label // read as "name=value"
}

// lookupText returns the text of a field that find has allowed. Elements past the end of a list are absent.
func lookupText(c *runtime.Call, id abi.FieldID, index int32) text {
	switch {
	case id < abi.FieldCredential:
		return textOfRequest(c.Request, id)
	case id < abi.FieldIdentityKeyID:
		return textOfCredential(c.Authentication, id)
	case id < abi.FieldChain:
		return textOfIdentity(c.Identity, id, index)
	case id < abi.FieldPricePhase:
		return textOfChoice(c.StepChoice, id, index)
	default:
		return textOfPricing(c.Pricing, id)
	}
}

func textOfRequest(r *abi.Request, id abi.FieldID) text {
	if r == nil {
		return text{}
	}
	switch id {
	case abi.FieldRequestID:
		return text{bytes: r.ID}
	case abi.FieldRequestMethod:
		return text{bytes: r.Method}
	case abi.FieldRequestPath:
		return text{bytes: r.Path}
	case abi.FieldRequestFormat:
		return text{string: r.Format}
	case abi.FieldRequestOperation:
		return text{string: r.Operation}
	case abi.FieldRequestClientAddress:
		return text{bytes: r.ClientAddress}
	case abi.FieldRequestModel:
		return text{bytes: r.Model}
	}
	return text{}
}

func textOfCredential(a *abi.Authentication, id abi.FieldID) text {
	switch id {
	case abi.FieldCredential:
		return text{bytes: a.Credential}
	case abi.FieldCredentialDigest:
		if a.Digest != (abi.Digest{}) {
			return text{bytes: a.Digest[:]}
		}
	}
	return text{}
}

func textOfIdentity(i *abi.Identity, id abi.FieldID, index int32) text {
	if i == nil {
		return text{}
	}
	switch id {
	case abi.FieldIdentityKeyID:
		return text{string: i.KeyID}
	case abi.FieldIdentityName:
		return text{string: i.Name}
	case abi.FieldIdentityTeam:
		return text{string: i.Team}
	case abi.FieldIdentityModels:
		if index >= 0 && int(index) < len(i.Models) {
			return text{string: i.Models[index]}
		}
	case abi.FieldIdentityLabels:
		if index >= 0 && int(index) < len(i.Labels) {
			return text{label: &i.Labels[index]}
		}
	case abi.FieldIdentityDefaultModel:
		return text{string: i.DefaultModel}
	}
	return text{}
}

func textOfChoice(s *abi.StepChoice, id abi.FieldID, index int32) text {
	switch id {
	case abi.FieldChain:
		return text{string: s.Chain}
	case abi.FieldStrategy:
		return text{string: s.Strategy}
	}
	if index < 0 || int(index) >= len(s.Steps) {
		return text{}
	}
	switch id {
	case abi.FieldStepModel:
		return text{string: s.Steps[index].Model}
	case abi.FieldStepProvider:
		return text{string: s.Steps[index].Provider}
	}
	return text{}
}

func textOfPricing(p *abi.Pricing, id abi.FieldID) text {
	switch id {
	case abi.FieldProvider:
		return text{string: p.Provider}
	case abi.FieldModel:
		return text{string: p.Model}
	}
	return text{}
}
