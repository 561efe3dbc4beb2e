package runtime

import (
	"math/bits"

	"github.com/sallyport-dev/sallyport/abi"
)

// outputs is what a guest has set in its call. A value that is out of range is refused when it is set, so what is
// here is in range; whether it adds up to a verdict is decided when the guest returns.
type outputs struct {
	set     outputSet // have a value
	refused outputSet // had a value refused and got no good one since

	own ownIdentity
	plain
}

// plain is what is set beside an identity of the policy's own.
type plain struct {
	handle   int64
	status   int64
	message  string
	code     string
	step     int64
	stop     int64
	reason   string
	cost     int64
	portions [abi.NumDimensions]int64
}

// forget makes it what it was before the call. An identity of the policy's own is most of the memory, and rare.
func (o *outputs) forget() {
	touched := o.set | o.refused
	if touched == 0 {
		return
	}
	if touched&ownIdentityFields != 0 {
		o.own = ownIdentity{}
	}
	o.set, o.refused, o.plain = 0, 0, plain{}
}

// outputSet is a set of output fields, a bit each.
type outputSet uint64

func outputBit(field abi.FieldID) outputSet { return 1 << (field - abi.FieldAllowHandle) }

func setOf(fields ...abi.FieldID) outputSet {
	var s outputSet
	for _, f := range fields {
		s |= outputBit(f)
	}
	return s
}

func (s outputSet) has(field abi.FieldID) bool { return s&outputBit(field) != 0 }

// first returns the field with the lowest id of a set that is not empty.
func (s outputSet) first() abi.FieldID {
	return abi.FieldAllowHandle + abi.FieldID(bits.TrailingZeros64(uint64(s)))
}

// Caps of outputs, in bytes.
const (
	maxMessage = 512
	maxCode    = 64
	maxReason  = 64
)

// SetText stores an output of kind Bytes, or an element of a list of them. The caller has made sure that field is
// an output of the running hook; value may be guest memory, and is copied.
func (c *Call) SetText(field abi.FieldID, index int32, value []byte) abi.Code {
	o := &c.out
	switch field {
	case abi.FieldAllowID:
		return o.setText(field, &o.own.id, value, 1, maxName)
	case abi.FieldAllowName:
		return o.setText(field, &o.own.name, value, 0, maxName)
	case abi.FieldAllowTeam:
		return o.setText(field, &o.own.team, value, 0, maxName)
	case abi.FieldAllowDefaultModel:
		return o.setText(field, &o.own.defaultModel, value, 0, maxDefaultModel)
	case abi.FieldAllowModels:
		return o.setModel(index, value)
	case abi.FieldAllowLabels:
		return o.setLabel(index, value)
	case abi.FieldAllowBudgetTimezone:
		return c.setBudgetZone(index, value)
	case abi.FieldDenyMessage:
		return o.setText(field, &o.message, value, 0, maxMessage)
	case abi.FieldDenyCode:
		return o.setCode(value)
	case abi.FieldChoiceReason:
		return c.setReason(value)
	}
	return abi.BadArgument
}

func (o *outputs) setText(field abi.FieldID, to *string, value []byte, least, most int) abi.Code {
	if len(value) < least || len(value) > most || !isPrintable(value) {
		return o.refuse(field)
	}
	*to = string(value)
	return o.accept(field)
}

// setCode stores deny.code, which programs compare: it has no characters that one could write in two ways.
func (o *outputs) setCode(value []byte) abi.Code {
	for _, b := range value[:min(len(value), maxCode)] {
		if (b < 'a' || b > 'z') && (b < '0' || b > '9') && b != '_' {
			return o.refuse(abi.FieldDenyCode)
		}
	}
	return o.setText(abi.FieldDenyCode, &o.code, value, 1, maxCode)
}

// setReason stores choice.reason: records and headers have it, so it has nothing but printable ASCII. A policy has a few
// reasons and gives them again and again: the last one is kept, so that the same one costs no memory.
func (c *Call) setReason(value []byte) abi.Code {
	if len(value) > maxReason {
		return c.out.refuse(abi.FieldChoiceReason)
	}
	for _, b := range value {
		if b < ' ' || b > '~' {
			return c.out.refuse(abi.FieldChoiceReason)
		}
	}
	if string(value) != c.lastReason {
		c.lastReason = string(value)
	}
	c.out.reason = c.lastReason
	return c.out.accept(abi.FieldChoiceReason)
}

// SetInt stores an output of kind Int, or an element of a list of them.
func (c *Call) SetInt(field abi.FieldID, index int32, value int64) abi.Code {
	o := &c.out
	switch field {
	case abi.FieldAllowHandle:
		return o.setInt(field, &o.handle, value, 1, int64(c.lookups))
	case abi.FieldAllowExpires:
		return o.setInt(field, &o.own.expires, value, 1, maxExpires)
	case abi.FieldAllowLimits:
		return o.setLimit(index, value)
	case abi.FieldAllowBudgetAmount:
		return o.setBudgetAmount(index, value)
	case abi.FieldAllowBudgetPeriod:
		return o.setBudgetPeriod(index, value)
	case abi.FieldDenyStatus:
		if value == 503 {
			return o.setInt(field, &o.status, value, 503, 503)
		}
		return o.setInt(field, &o.status, value, 400, 499)
	case abi.FieldChosenStep:
		return o.setInt(field, &o.step, value, 0, int64(len(c.StepChoice.Steps))-1)
	case abi.FieldStop:
		most := int64(1)
		if c.StepChoice.Attempt <= 1 {
			most = 0 // there is no last error yet that the client could get
		}
		return o.setInt(field, &o.stop, value, 0, most)
	case abi.FieldCost:
		return o.setInt(field, &o.cost, value, 0, int64(abi.MaxCost))
	case abi.FieldCostBreakdown:
		return o.setPortion(index, value)
	}
	return abi.BadArgument
}

func (o *outputs) setInt(field abi.FieldID, to *int64, value, least, most int64) abi.Code {
	if value < least || value > most {
		return o.refuse(field)
	}
	*to = value
	return o.accept(field)
}

func (o *outputs) setPortion(index int32, value int64) abi.Code {
	const field = abi.FieldCostBreakdown
	if index < 0 || int(index) >= len(o.portions) || value < 0 || value > int64(abi.MaxCost) {
		return o.refuse(field)
	}
	o.portions[index] = value
	return o.acceptElement(field)
}

func (o *outputs) accept(field abi.FieldID) abi.Code {
	o.set |= outputBit(field)
	o.refused &^= outputBit(field)
	return abi.OK
}

// acceptElement notes that an element of a list is set. One that was refused before stays missed: a policy that
// ignored the code would otherwise allow more, or charge something else, than it meant to.
func (o *outputs) acceptElement(field abi.FieldID) abi.Code {
	o.set |= outputBit(field)
	return abi.OK
}

// Refuse notes that the guest tried to set an output and could not. Unless it then sets it well, its answer is no
// verdict: a policy that ignores the code would otherwise allow, or charge, something that it did not mean.
func (c *Call) Refuse(field abi.FieldID) abi.Code { return c.out.refuse(field) }

func (o *outputs) refuse(field abi.FieldID) abi.Code {
	o.refused |= outputBit(field)
	return abi.BadArgument
}
