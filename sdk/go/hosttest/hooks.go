//go:build !wasm

package hosttest

import (
	"crypto/sha256"
	"slices"
	"time"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
)

// Authentication is a question of the hook authenticate.
type Authentication struct {
	Setting
	Request

	Credential string
	Shape      sallyport.CredentialShape // default: foreign, or none without a credential
	Keys       map[string]Identity       // the stored keys by their credentials
	Allowed    *Identity                 // whom another policy let in: the policy is asked for a veto
}

// Authenticated is its answer: either an Identity, or a Status, a Message and a Code.
type Authenticated struct {
	Outcome

	Identity *Identity // allowed; of the policy's own, KeyID is the ID that it set
	Status   int       // denied
	Message  string
	Code     string
}

// Ask asks the policy's export authenticate.
func (a Authentication) Ask(export func() int32) Authenticated {
	h := newFake(a.Setting, &a.Request)
	h.keys = map[[abi.DigestSize]byte]Identity{}
	for credential, key := range a.Keys {
		h.keys[sha256.Sum256([]byte(credential))] = key
	}
	if a.Credential != "" {
		digest := sha256.Sum256([]byte(a.Credential))
		h.text(abi.FieldCredentialDigest, string(digest[:]))
		h.text(abi.FieldCredential, a.Credential)
		if a.Shape == sallyport.CredentialNone {
			a.Shape = sallyport.CredentialForeign
		}
	}
	h.ints[abi.FieldCredentialShape] = []int64{int64(a.Shape)}
	h.veto = a.Allowed != nil
	if h.veto {
		h.identity(*a.Allowed)
	}
	got := Authenticated{}
	got.Outcome = h.ask(export, func() string { return h.authenticated(&got) })
	return got
}

// StepChoice is a question of the hook choose_step.
type StepChoice struct {
	Setting
	Request

	Identity  Identity
	Chain     string
	Steps     []Step
	States    []StepState // how each step does; nil: who was not tried is available, and healthy
	Strategy  string
	Affinity  *int64 // nil: none
	Attempt   int    // default: 1
	LastError sallyport.ErrorClass
	LastStep  int // of the attempt before; means nothing at the first
}

// Step is a step of a chain.
type Step struct {
	Model, Provider string

	Priority, Weight, Tries int64

	Context int64               // in tokens; 0: not known
	Price   []sallyport.NanoUSD // by sallyport.Dimension, and may be shorter; nil: not known
}

// StepState is how a step does.
type StepState struct {
	Available bool
	Health    sallyport.StepHealth
	Cooldown  time.Duration
	Latency   time.Duration // 0: not known
	Active    int64
}

// StepChosen is its answer: either a step, or Stop.
type StepChosen struct {
	Outcome

	Step   int
	Stop   bool
	Reason string
}

// Ask asks the policy's export choose_step.
func (c StepChoice) Ask(export func() int32) StepChosen {
	h := newFake(c.Setting, &c.Request)
	h.identity(c.Identity)
	h.text(abi.FieldChain, c.Chain)
	h.steps, h.attempt = int64(len(c.Steps)), int64(max(c.Attempt, 1))
	h.ints[abi.FieldStepCount] = []int64{h.steps}
	h.ints[abi.FieldAttempt] = []int64{h.attempt}
	h.ints[abi.FieldLastError] = []int64{int64(c.LastError)}
	if h.attempt > 1 {
		h.ints[abi.FieldLastStep] = []int64{int64(c.LastStep)}
	}
	h.text(abi.FieldStrategy, c.Strategy)
	if c.Affinity != nil {
		h.ints[abi.FieldAffinity] = []int64{*c.Affinity}
	}
	for i, s := range c.Steps {
		h.texts[abi.FieldStepModel] = append(h.texts[abi.FieldStepModel], s.Model)
		h.texts[abi.FieldStepProvider] = append(h.texts[abi.FieldStepProvider], s.Provider)
		h.ints[abi.FieldStepPriority] = append(h.ints[abi.FieldStepPriority], s.Priority)
		h.ints[abi.FieldStepWeight] = append(h.ints[abi.FieldStepWeight], s.Weight)
		h.ints[abi.FieldStepTries] = append(h.ints[abi.FieldStepTries], s.Tries)
		h.ints[abi.FieldStepContext] = append(h.ints[abi.FieldStepContext], s.Context)
		h.ints[abi.FieldStepPriceInput] = append(h.ints[abi.FieldStepPriceInput], s.price(sallyport.Input))
		h.ints[abi.FieldStepPriceOutput] = append(h.ints[abi.FieldStepPriceOutput], s.price(sallyport.Output))
		h.state(c.state(i))
	}
	got := StepChosen{}
	got.Outcome = h.ask(export, func() string { return h.stepChosen(&got) })
	return got
}

// price is what the step's model charges for a dimension, -1 if that is not known.
func (s *Step) price(d sallyport.Dimension) int64 {
	switch {
	case s.Price == nil:
		return -1
	case int(d) < len(s.Price):
		return int64(s.Price[d])
	default:
		return 0
	}
}

// state is how a step does.
func (c *StepChoice) state(step int) StepState {
	switch {
	case c.States == nil:
		return StepState{Available: c.Steps[step].Tries == 0}
	case step < len(c.States):
		return c.States[step]
	default:
		return StepState{}
	}
}

// Pricing is a question of the hook price_response. Usage and Price are indexed by sallyport.Dimension and may be
// shorter than the dimensions.
type Pricing struct {
	Setting
	Request

	Identity      Identity
	Phase         sallyport.PricePhase // default: final
	Provider      string
	ProviderModel string
	Usage         []int64
	Price         []sallyport.NanoUSD // nil: the model has no price
}

// Priced is its answer.
type Priced struct {
	Outcome

	Cost      sallyport.NanoUSD
	Breakdown []sallyport.NanoUSD // as far as the policy set it
}

// Ask asks the policy's export price_response.
func (p Pricing) Ask(export func() int32) Priced {
	h := newFake(p.Setting, &p.Request)
	h.identity(p.Identity)
	if p.Phase == 0 {
		p.Phase = sallyport.Final
	}
	h.ints[abi.FieldPricePhase] = []int64{int64(p.Phase)}
	h.text(abi.FieldProvider, p.Provider)
	h.text(abi.FieldModel, p.ProviderModel)
	h.ints[abi.FieldUsage] = make([]int64, max(len(p.Usage), sallyport.NumDimensions))
	copy(h.ints[abi.FieldUsage], p.Usage)
	if p.Price != nil {
		h.ints[abi.FieldPrice] = make([]int64, max(len(p.Price), sallyport.NumDimensions))
		for d, price := range p.Price {
			h.ints[abi.FieldPrice][d] = int64(price)
		}
	}
	got := Priced{}
	got.Outcome = h.ask(export, func() string { return h.priced(&got) })
	got.Breakdown = slices.Clip(got.Breakdown)
	return got
}
