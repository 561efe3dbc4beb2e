package runtime

import (
	"errors"
	"fmt"

	"github.com/sallyport-dev/sallyport/abi"
)

// Which outputs belong to which verdict.
var (
	ownIdentityOnly = setOf(abi.FieldAllowName, abi.FieldAllowTeam, abi.FieldAllowModels, abi.FieldAllowExpires,
		abi.FieldAllowLimits, abi.FieldAllowBudgetAmount, abi.FieldAllowBudgetPeriod, abi.FieldAllowBudgetTimezone,
		abi.FieldAllowDefaultModel, abi.FieldAllowLabels)
	ownIdentityFields = setOf(abi.FieldAllowID) | ownIdentityOnly
	allowing          = setOf(abi.FieldAllowHandle) | ownIdentityFields
	denying           = setOf(abi.FieldDenyStatus, abi.FieldDenyMessage, abi.FieldDenyCode)
)

// settle checks that what the guest set is a verdict, and writes it to where the caller finds it. The error says
// why it is none; then nothing was written.
func (c *Call) settle() error {
	if c.out.refused != 0 {
		return fmt.Errorf("the policy set %s out of range, and ignored the code it got", fieldName(c.out.refused.first()))
	}
	switch c.Hook {
	case abi.Authenticate:
		return c.settleAuthentication()
	case abi.ChooseStep:
		return c.settleStep()
	default:
		return c.settlePrice()
	}
}

// fieldName finds a field's name for an error.
func fieldName(id abi.FieldID) string {
	for _, f := range abi.Fields() {
		if f.ID == id {
			return f.Name
		}
	}
	return fmt.Sprintf("field %d", id)
}

func (c *Call) settleAuthentication() error {
	o, a := &c.out, c.Authentication
	allow, deny := o.set&allowing != 0, o.set&denying != 0
	switch {
	case allow && deny:
		return errors.New("the policy both allowed and denied")
	case allow && c.Veto:
		return errors.New("the policy allowed, but was asked for a veto: it may deny or pass")
	case deny:
		return c.settleDenial()
	case !allow:
		return errors.New("the policy neither allowed nor denied")
	}
	identity, err := c.allowed()
	if err != nil {
		return err
	}
	a.Policy, a.Identity, a.Status, a.Message, a.Code = c.Policy, identity, 0, "", ""
	return nil
}

func (c *Call) settleDenial() error {
	o, a := &c.out, c.Authentication
	if !o.set.has(abi.FieldDenyStatus) {
		return errors.New("the policy set deny.message or deny.code without deny.status")
	}
	message := o.message
	if message == "" {
		message = defaultMessage(o.status)
	}
	a.Policy, a.Identity, a.Status, a.Message, a.Code = c.Policy, nil, int(o.status), message, o.code
	return nil
}

// allowed returns the identity that an allowing policy named: a stored one or one of its own.
func (c *Call) allowed() (*abi.Identity, error) {
	o := &c.out
	if o.set.has(abi.FieldAllowHandle) {
		if o.set&allowing != outputBit(abi.FieldAllowHandle) {
			return nil, errors.New("the policy allowed a stored identity, and described one of its own")
		}
		return c.found[o.handle-1], nil
	}
	if !o.set.has(abi.FieldAllowID) {
		return nil, errors.New("the policy described an identity of its own without allow.id")
	}
	return o.own.identity(c.Policy)
}

// defaultMessage is what the client is told by a policy that gave a status alone.
func defaultMessage(status int64) string {
	switch status {
	case 401:
		return "The credential was not accepted."
	case 402:
		return "A policy of this gateway demands payment for this request."
	case 429:
		return "A policy of this gateway limits how often this request may be made."
	case 503:
		return "A policy of this gateway does not let requests through at the moment."
	default:
		return "A policy of this gateway refused the request."
	}
}

func (c *Call) settleStep() error {
	o, s := &c.out, c.StepChoice
	stop := o.stop == 1
	switch chosen := o.set.has(abi.FieldChosenStep); {
	case stop && chosen:
		return errors.New("the policy both chose a step and stopped")
	case !stop && !chosen:
		return errors.New("the policy neither chose a step nor stopped")
	}
	s.Policy, s.Step, s.Stop, s.Reason = c.Policy, int(o.step), stop, o.reason
	return nil
}

func (c *Call) settlePrice() error {
	o, p := &c.out, c.Pricing
	if !o.set.has(abi.FieldCost) {
		return errors.New("the policy set no cost")
	}
	var sum int64 // cannot overflow: every portion is at most MaxCost
	for _, portion := range o.portions {
		sum += portion
	}
	if sum > o.cost {
		return fmt.Errorf("the policy's breakdown adds up to %d, more than its cost of %d", sum, o.cost)
	}
	p.Policy, p.Cost = c.Policy, abi.NanoUSD(o.cost)
	for d, portion := range o.portions {
		p.Breakdown[d] = abi.NanoUSD(portion)
	}
	return nil
}
