package cases

import (
	"crypto/sha256"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// DefaultNow is the time of cases that name none.
const DefaultNow Moment = 1795262400000 // 2026-11-21 12:00 UTC

// Clock returns the time of the case.
func (c *Case) Clock() time.Time {
	if c.Now == 0 {
		return DefaultNow.Time()
	}
	return c.Now.Time()
}

// Authentication returns the question of a case at authenticate.
func (c *Case) Authentication() *abi.Authentication {
	shape := abi.CredentialNone
	switch {
	case c.Shape != nil:
		shape = abi.CredentialShape(*c.Shape)
	case c.Credential != "":
		shape = abi.CredentialForeign
	}
	return &abi.Authentication{
		Request: c.request(), Credential: []byte(c.Credential), Digest: digestOf(c.Credential), Shape: shape, Identities: c,
	}
}

// StepChoice returns the question of a case at choose_step.
func (c *Case) StepChoice() *abi.StepChoice {
	s := &abi.StepChoice{
		Request: c.request(), Identity: c.Identity.stored(), Chain: c.Chain, Attempt: max(c.Attempt, 1),
		LastError: abi.ErrorClass(c.LastError), LastStep: c.LastStep, Strategy: c.Strategy,
	}
	if c.Affinity != nil {
		s.Affinity, s.Sticks = uint64(*c.Affinity)<<11, true // guests see the upper bits
	}
	if s.Attempt == 1 {
		s.LastStep = -1
	}
	for _, step := range c.Steps {
		s.Steps = append(s.Steps, abi.Step{
			Model: step.Model, Provider: step.Provider, Priority: step.Priority, Weight: step.Weight, Price: step.Price.row(),
			Context: step.Context,
		})
		s.Tries = append(s.Tries, step.Tries)
		s.States = append(s.States, step.state())
	}
	return s
}

// state returns how the step does.
func (s *Step) state() abi.StepState {
	state := abi.StepState{
		Available: s.Tries == 0, Health: abi.StepHealth(s.Health), Cooldown: time.Duration(s.Cooldown) * time.Millisecond,
		Latency: time.Duration(s.Latency) * time.Microsecond, Active: s.Active,
	}
	if s.Available != nil {
		state.Available = *s.Available
	}
	return state
}

// Pricing returns the question of a case at price_response.
func (c *Case) Pricing() *abi.Pricing {
	return &abi.Pricing{
		Request: c.request(), Identity: c.Identity.stored(), Phase: abi.PricePhase(c.Phase), Provider: c.Provider,
		Model: c.ProviderModel, Usage: abi.Usage(c.Usage), Price: c.Price.row(),
	}
}

func (c *Case) request() *abi.Request {
	r := &c.Request
	return &abi.Request{
		ID: []byte(r.ID), Method: []byte(r.Method), Path: []byte(r.Path), Format: r.Format, Operation: r.Operation,
		ClientAddress: []byte(r.ClientAddress), Model: []byte(r.Model), Stream: r.Stream, Headers: c,
	}
}

// Header finds a header of the case.
func (c *Case) Header(name string) ([]byte, bool) {
	value, ok := c.Request.Headers[name]
	return []byte(strings.Repeat(value, max(c.HeadersTimes, 1))), ok
}

// AllowedDigest finds the identity that a case with a veto is about.
var AllowedDigest = abi.Digest(sha256.Sum256([]byte("allowed by the policy before")))

// Lookup finds a stored key of the case.
func (c *Case) Lookup(digest *abi.Digest) (*abi.Identity, bool) {
	if c.Veto && c.Identity != nil && *digest == AllowedDigest {
		return c.Identity.stored(), true
	}
	for credential, key := range c.Keys {
		if digestOf(credential) == *digest {
			return key.stored(), true
		}
	}
	return nil, false
}

// digestOf stands for the gateway's keyed digest: guests only hand it on.
func digestOf(credential string) abi.Digest {
	if credential == "" {
		return abi.Digest{}
	}
	return sha256.Sum256([]byte(credential))
}

func (a *Amounts) row() *abi.PriceRow {
	if a == nil {
		return nil
	}
	row := &abi.PriceRow{}
	for d, amount := range a {
		row[d] = abi.NanoUSD(amount)
	}
	return row
}

// stored returns the identity as the gateway's store has it.
func (i *Identity) stored() *abi.Identity {
	if i == nil {
		return nil
	}
	out := &abi.Identity{
		KeyID: i.KeyID, Name: i.Name, Team: i.Team, State: abi.KeyState(i.State), Expires: i.Expires.Time(), Models: i.Models,
		DefaultModel: i.DefaultModel,
	}
	for _, label := range i.Labels {
		name, value, _ := strings.Cut(label, "=")
		out.Labels = append(out.Labels, abi.Label{Name: name, Value: value})
	}
	for name, most := range i.Limits {
		if limit, ok := abi.ParseLimit(name); ok {
			out.Limits[limit] = most
		}
	}
	for _, b := range i.Budgets {
		period, _ := abi.ParsePeriod(b.Per)
		location, _ := time.LoadLocation(b.Timezone)
		out.Budgets = append(out.Budgets, abi.Budget{Amount: b.Amount, Period: period, Location: location})
	}
	return out
}

// described returns an identity as cases write it.
func described(i *abi.Identity) *Identity {
	if i == nil {
		return nil
	}
	out := &Identity{KeyID: i.KeyID, Name: i.Name, Team: i.Team, State: KeyState(i.State), Models: i.Models, DefaultModel: i.DefaultModel}
	if !i.Expires.IsZero() {
		out.Expires = Moment(i.Expires.UnixMilli())
	}
	for _, label := range i.Labels {
		out.Labels = append(out.Labels, label.Name+"="+label.Value)
	}
	for limit, most := range i.Limits {
		if most == 0 {
			continue
		}
		if out.Limits == nil {
			out.Limits = map[string]int64{}
		}
		out.Limits[abi.Limit(limit).String()] = most
	}
	for _, b := range i.Budgets {
		out.Budgets = append(out.Budgets, Budget{b.Amount, b.Period.String(), b.Zone()})
	}
	return out
}

var (
	_ abi.Headers    = (*Case)(nil)
	_ abi.Identities = (*Case)(nil)
)
