package trace

import (
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// encode makes a line of a decision. It shares what the decision points to.
func encode(d *runtime.Decision) *line {
	s := newScrubber(d)
	l := &line{
		Version: version, Time: d.Time.UTC(), Policy: d.Policy, Module: d.Module[:], Hook: d.Hook.String(), Veto: d.Veto, Shadow: d.Shadow,
		Request: s.request(d.Request), Identity: s.identity(d.Identity), Cut: d.Cut,
		Answer: answers[d.Answer], Cause: s.text(d.Cause), Said: s.text(d.Said), Took: d.Took.Nanoseconds(), Fuel: d.Fuel,
	}
	if d.Failure != runtime.NoFailure {
		l.Failure = d.Failure.String()
	}
	for _, h := range d.Headers {
		l.Headers = append(l.Headers, header{h.Name, s.bytes(h.Value), !h.Found})
	}
	for i := range d.Calls {
		l.Calls = append(l.Calls, s.call(&d.Calls[i]))
	}
	switch {
	case d.Authentication != nil:
		a := d.Authentication
		l.Credential = &credential{Shape: int64(a.Shape), Read: d.CredentialRead}
		if a.Digest != (abi.Digest{}) {
			l.Credential.Digest = a.Digest[:]
		}
	case d.StepChoice != nil:
		l.Choice = encodeChoice(d.StepChoice)
	case d.Pricing != nil:
		p := d.Pricing
		l.Pricing = &pricing{int64(p.Phase), p.Provider, p.Model, p.Usage, p.Price}
	}
	if d.Answer == abi.Given {
		l.Verdict = s.verdict(d)
	}
	return l
}

func (s scrubber) request(r *abi.Request) *request {
	if r == nil {
		return nil
	}
	return &request{
		ID: s.bytes(r.ID), Method: s.bytes(r.Method), Path: s.bytes(r.Path), Format: r.Format, Operation: r.Operation,
		ClientAddress: s.bytes(r.ClientAddress), Model: s.bytes(r.Model), Stream: r.Stream,
	}
}

func (s scrubber) call(h *runtime.HostCall) call {
	c := call{Function: h.Function, Args: h.Args, Result: h.Result, Out: s.bytes(h.Out), Values: h.Values, Identity: s.identity(h.Identity)}
	for _, in := range h.In {
		c.In = append(c.In, s.bytes(in))
	}
	return c
}

func (s scrubber) identity(i *abi.Identity) *identity {
	if i == nil {
		return nil
	}
	out := &identity{
		KeyID: s.text(i.KeyID), Name: s.text(i.Name), Team: s.text(i.Team), State: int64(i.State), DefaultModel: s.text(i.DefaultModel),
		Limits: i.Limits,
	}
	if !i.Expires.IsZero() {
		expires := i.Expires.UTC()
		out.Expires = &expires
	}
	for _, model := range i.Models {
		out.Models = append(out.Models, s.text(model))
	}
	for _, l := range i.Labels {
		out.Labels = append(out.Labels, label{s.text(l.Name), s.text(l.Value)})
	}
	for _, b := range i.Budgets {
		out.Budgets = append(out.Budgets, budget{int64(b.Amount), uint8(b.Period), b.Zone()})
	}
	return out
}

func encodeChoice(c *abi.StepChoice) *choice {
	out := &choice{
		Chain: c.Chain, Steps: []step{}, Tries: c.Tries, Strategy: c.Strategy, Affinity: c.Affinity, Sticks: c.Sticks,
		Attempt: c.Attempt, LastError: int64(c.LastError), LastStep: c.LastStep,
	}
	for i := range c.Steps {
		s := &c.Steps[i]
		out.Steps = append(out.Steps, step{s.Model, s.Provider, s.Priority, s.Weight, s.Price, s.Context})
	}
	for _, s := range c.States {
		out.States = append(out.States, state{s.Available, int64(s.Health), s.Cooldown, s.Latency, s.Active})
	}
	return out
}

func (s scrubber) verdict(d *runtime.Decision) *verdict {
	switch {
	case d.Authentication != nil:
		a := d.Authentication
		return &verdict{Identity: s.identity(a.Identity), Status: a.Status, Code: s.text(a.Code), Message: s.text(a.Message)}
	case d.StepChoice != nil:
		c := d.StepChoice
		return &verdict{Step: c.Step, Stop: c.Stop, Reason: c.Reason}
	default:
		p := d.Pricing
		return &verdict{Cost: int64(p.Cost), Breakdown: p.Breakdown}
	}
}

// decision makes of a line what was written, as far as it is in there.
func (l *line) decision() (*runtime.Decision, error) {
	hook, ok := abi.ParseHook(l.Hook)
	if !ok {
		return nil, badValue("hook", l.Hook)
	}
	d := &runtime.Decision{
		Time: l.Time, Policy: l.Policy, Hook: hook, Veto: l.Veto, Shadow: l.Shadow, Request: l.Request.decode(),
		Identity: l.Identity.decode(), Cut: l.Cut, Cause: l.Cause, Said: l.Said, Took: time.Duration(l.Took), Fuel: l.Fuel,
	}
	copy(d.Module[:], l.Module)
	for answer, name := range answers {
		if name == l.Answer {
			d.Answer, ok = answer, false // found
		}
	}
	if ok {
		return nil, badValue("answer", l.Answer)
	}
	for f := range runtime.NumFailures {
		if f.String() == l.Failure {
			d.Failure = f
		}
	}
	for _, h := range l.Headers {
		d.Headers = append(d.Headers, runtime.HeaderRead{Name: h.Name, Value: h.Value, Found: !h.Absent})
	}
	for i := range l.Calls {
		d.Calls = append(d.Calls, l.Calls[i].decode())
	}
	return d, l.decodeQuestion(d)
}

// decodeQuestion makes the question of the hook, with the verdict.
func (l *line) decodeQuestion(d *runtime.Decision) error {
	v := l.Verdict
	if v == nil {
		v = &verdict{}
	}
	switch {
	case d.Hook == abi.Authenticate && l.Credential != nil:
		a := &abi.Authentication{Request: d.Request, Shape: abi.CredentialShape(l.Credential.Shape)}
		d.CredentialRead = l.Credential.Read
		copy(a.Digest[:], l.Credential.Digest)
		a.Identity, a.Status, a.Code, a.Message = v.Identity.decode(), v.Status, v.Code, v.Message
		d.Authentication = a
	case d.Hook == abi.ChooseStep && l.Choice != nil && len(l.Choice.Steps) > 0:
		d.StepChoice = l.Choice.decode()
		d.StepChoice.Request, d.StepChoice.Identity = d.Request, d.Identity
		d.StepChoice.Step, d.StepChoice.Stop, d.StepChoice.Reason = v.Step, v.Stop, v.Reason
	case d.Hook == abi.PriceResponse && l.Pricing != nil:
		p := l.Pricing
		d.Pricing = &abi.Pricing{
			Request: d.Request, Identity: d.Identity, Phase: abi.PricePhase(p.Phase), Provider: p.Provider, Model: p.Model, Usage: p.Usage,
			Price: p.Price, Cost: abi.NanoUSD(v.Cost), Breakdown: v.Breakdown,
		}
	default:
		return badValue("hook", l.Hook)
	}
	return nil
}

func (r *request) decode() *abi.Request {
	if r == nil {
		return nil
	}
	return &abi.Request{
		ID: r.ID, Method: r.Method, Path: r.Path, Format: r.Format, Operation: r.Operation, ClientAddress: r.ClientAddress, Model: r.Model,
		Stream: r.Stream,
	}
}

func (c *call) decode() runtime.HostCall {
	h := runtime.HostCall{Function: c.Function, Args: c.Args, Result: c.Result, Out: c.Out, Values: c.Values, Identity: c.Identity.decode()}
	for _, in := range c.In {
		h.In = append(h.In, in)
	}
	return h
}

func (i *identity) decode() *abi.Identity {
	if i == nil {
		return nil
	}
	out := &abi.Identity{
		KeyID: i.KeyID, Name: i.Name, Team: i.Team, State: abi.KeyState(i.State), Models: i.Models, DefaultModel: i.DefaultModel, Limits: i.Limits,
	}
	if i.Expires != nil {
		out.Expires = *i.Expires
	}
	for _, l := range i.Labels {
		out.Labels = append(out.Labels, abi.Label{Name: l.Name, Value: l.Value})
	}
	for _, b := range i.Budgets {
		location, err := time.LoadLocation(b.Timezone)
		if err != nil {
			location = time.UTC // its name is not known here: nothing that a policy sees
		}
		out.Budgets = append(out.Budgets, abi.Budget{Amount: abi.NanoUSD(b.Amount), Period: abi.Period(b.Period), Location: location})
	}
	return out
}

func (c *choice) decode() *abi.StepChoice {
	out := &abi.StepChoice{
		Chain: c.Chain, Tries: c.Tries, Strategy: c.Strategy, Affinity: c.Affinity, Sticks: c.Sticks, Attempt: c.Attempt,
		LastError: abi.ErrorClass(c.LastError), LastStep: c.LastStep,
	}
	for _, s := range c.Steps {
		out.Steps = append(out.Steps, abi.Step{
			Model: s.Model, Provider: s.Provider, Priority: s.Priority, Weight: s.Weight, Price: s.Price, Context: s.Context,
		})
	}
	for _, s := range c.States {
		out.States = append(out.States, abi.StepState{
			Available: s.Available, Health: abi.StepHealth(s.Health), Cooldown: s.Cooldown, Latency: s.Latency, Active: s.Active,
		})
	}
	return out
}
