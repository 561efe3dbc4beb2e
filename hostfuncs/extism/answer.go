package extism

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// grammar is what may answer, by names. All kernels share it, and it does not change.
type grammar struct {
	hooks      [abi.NumHooks]answers
	dimensions []string
	limits     []string
}

// answers is what may answer a hook.
type answers struct {
	members  []string // of the message
	verdicts []form   // a word stands here twice if what comes with it are alternatives
}

// form is a verdict's word and what comes with it, by the numbers of members.
type form struct {
	word     string
	needs    memberSet
	mayHave  memberSet
	sentence string // says both
}

// memberSet is a set of a message's members, a bit each.
type memberSet uint16

// Members of a message. The verdict is the first at each hook.
const (
	memberIdentity memberSet = 2 << iota
	memberStored
	memberStatus
	memberMessage
	memberCode

	memberStep   memberSet = 2
	memberReason memberSet = 4

	memberCost      memberSet = 2
	memberBreakdown memberSet = 4
)

func newGrammar() *grammar {
	pass := form{"pass", 0, 0, "by itself"}
	g := &grammar{hooks: [abi.NumHooks]answers{
		abi.Authenticate: {[]string{"verdict", "identity", "stored", "status", "message", "code"}, []form{
			{"allow", memberIdentity, 0, "with an identity"},
			{"allow", memberStored, 0, "with stored"},
			{"deny", memberStatus, memberMessage | memberCode, "with a status and, if there is more to say, a message and a code"},
			pass,
		}},
		abi.ChooseStep: {[]string{"verdict", "step", "reason"}, []form{
			{"step", memberStep, memberReason, "with a step and, if there is one to tell, a reason"},
			{"stop", 0, memberReason, "by itself or with a reason"},
			pass,
		}},
		abi.PriceResponse: {[]string{"verdict", "cost", "breakdown"}, []form{
			{"price", memberCost, memberBreakdown, "with a cost and, if it is known, its breakdown"},
			pass,
		}},
	}}
	for d := range abi.NumDimensions {
		g.dimensions = append(g.dimensions, d.String())
	}
	for l := range abi.NumLimits {
		g.limits = append(g.limits, l.String())
	}
	return g
}

// answer is a message that is being read as a verdict. Its outputs are set as they come, and mean something only if the
// whole message is in order.
type answer struct {
	kernel  *kernel
	call    *runtime.Call
	in      reader
	word    string // of the verdict
	present memberSet
}

// Answer implements runtime.Session: it reads the output as a verdict.
func (k *kernel) Answer(c *runtime.Call) (pass bool, err error) {
	if k.output.length > maxAnswer {
		return false, fmt.Errorf("the policy's answer has %d bytes, more than the %d that are read", k.output.length, maxAnswer)
	}
	a := answer{kernel: k, call: c, in: reader{in: k.view(k.output), buffer: k.buffer}}
	err = a.read()
	k.buffer = a.in.buffer
	if err != nil {
		return false, fmt.Errorf("the policy's answer is no verdict: %w", err)
	}
	return a.word == "pass", nil
}

func (a *answer) read() error {
	at := &a.kernel.grammar.hooks[a.call.Hook]
	err := a.in.object(at.members, func(i int) error {
		a.present |= 1 << i
		return a.member(at.members[i])
	})
	if err != nil {
		return err
	}
	if err := a.in.end(); err != nil {
		return err
	}
	if err := a.check(at.verdicts); err != nil {
		return err
	}
	if a.word == "stop" {
		return a.setInt(abi.FieldStop, 0, 1)
	}
	return nil
}

// check makes sure that what came goes together.
func (a *answer) check(verdicts []form) error {
	if a.present&1 == 0 {
		return errors.New("it has no verdict")
	}
	var ways []string
	for _, f := range verdicts {
		if f.word != a.word {
			continue
		}
		if rest := a.present &^ 1; f.needs&^rest == 0 && rest&^(f.needs|f.mayHave) == 0 {
			return nil
		}
		ways = append(ways, f.sentence)
	}
	return fmt.Errorf("the verdict %s comes %s", a.word, strings.Join(ways, ", or "))
}

// member reads the value of a member.
func (a *answer) member(name string) error {
	switch name {
	case "verdict":
		return a.verdict()
	case "identity":
		return a.identity()
	case "stored":
		return a.stored()
	case "status":
		return a.int(abi.FieldDenyStatus, 0)
	case "message":
		return a.text(abi.FieldDenyMessage, 0)
	case "code":
		return a.text(abi.FieldDenyCode, 0)
	case "step":
		return a.int(abi.FieldChosenStep, 0)
	case "reason":
		return a.text(abi.FieldChoiceReason, 0)
	case "cost":
		return a.amount(abi.FieldCost, 0)
	default:
		dimensions := a.kernel.grammar.dimensions
		return a.in.object(dimensions, func(d int) error { return a.amount(abi.FieldCostBreakdown, int32(d)) })
	}
}

func (a *answer) verdict() error {
	word, err := a.in.text()
	if err != nil {
		return err
	}
	known := a.kernel.grammar.hooks[a.call.Hook].verdicts
	i := slices.IndexFunc(known, func(f form) bool { return f.word == string(word) })
	if i < 0 {
		return fmt.Errorf("%q is none at the hook %s", word[:min(len(word), maxShown)], a.call.Hook)
	}
	a.word = known[i].word
	return nil
}

// stored allows as the identity that has the request's own credential.
func (a *answer) stored() error {
	if err := a.in.yes(); err != nil {
		return err
	}
	if !a.call.GrantedIdentities() {
		return errors.New("this needs the grant identities: read")
	}
	handle := a.kernel.lookUp(a.call)
	if handle <= abi.OK {
		return errors.New("nobody who is stored has the request's credential")
	}
	return a.setInt(abi.FieldAllowHandle, 0, int64(handle))
}

// identity reads an identity of the policy's own.
func (a *answer) identity() error {
	members := []string{"id", "name", "team", "models", "expires", "limits", "budgets", "default_model", "labels"}
	return a.in.object(members, func(i int) error {
		switch members[i] {
		case "id":
			return a.text(abi.FieldAllowID, 0)
		case "name":
			return a.text(abi.FieldAllowName, 0)
		case "team":
			return a.text(abi.FieldAllowTeam, 0)
		case "models":
			return a.in.list(func(i int32) error { return a.text(abi.FieldAllowModels, i) })
		case "expires":
			return a.int(abi.FieldAllowExpires, 0)
		case "limits":
			return a.in.object(a.kernel.grammar.limits, func(l int) error { return a.int(abi.FieldAllowLimits, int32(l)) })
		case "budgets":
			return a.in.list(a.budget)
		case "default_model":
			return a.text(abi.FieldAllowDefaultModel, 0)
		default:
			return a.in.list(func(i int32) error { return a.text(abi.FieldAllowLabels, i) })
		}
	})
}

// budget reads one budget of it. That it has an amount is seen when the verdict is settled.
func (a *answer) budget(n int32) error {
	members := []string{"amount", "period", "timezone"}
	return a.in.object(members, func(i int) error {
		switch members[i] {
		case "amount":
			return a.amount(abi.FieldAllowBudgetAmount, n)
		case "period":
			return a.period(n)
		default:
			return a.text(abi.FieldAllowBudgetTimezone, n)
		}
	})
}

func (a *answer) period(n int32) error {
	name, err := a.in.text()
	if err != nil {
		return err
	}
	period, ok := abi.ParsePeriod(string(name))
	if !ok {
		return fmt.Errorf("%q is no period", name[:min(len(name), maxShown)])
	}
	return a.setInt(abi.FieldAllowBudgetPeriod, n, int64(period))
}

// text reads a text and sets an output to it.
func (a *answer) text(field abi.FieldID, index int32) error {
	text, err := a.in.text()
	if err != nil {
		return err
	}
	if a.call.SetText(field, index, text) != abi.OK {
		return refused(field)
	}
	return nil
}

// int reads a number and sets an output to it.
func (a *answer) int(field abi.FieldID, index int32) error {
	n, err := a.in.integer()
	if err != nil {
		return err
	}
	return a.setInt(field, index, n)
}

// amount reads money and sets an output to it.
func (a *answer) amount(field abi.FieldID, index int32) error {
	n, err := a.in.amount()
	if err != nil {
		return err
	}
	return a.setInt(field, index, n)
}

func (a *answer) setInt(field abi.FieldID, index int32, n int64) error {
	if a.call.SetInt(field, index, n) != abi.OK {
		return refused(field)
	}
	return nil
}

// refused says what the contract has to say of an output that was out of its range.
func refused(field abi.FieldID) error {
	for _, f := range abi.Fields() {
		if f.ID == field {
			return fmt.Errorf("not accepted as %s: %s", f.Name, f.Doc)
		}
	}
	return fmt.Errorf("not accepted as field %d", field)
}
