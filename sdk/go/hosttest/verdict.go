//go:build !wasm

package hosttest

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
)

// Caps of what a policy sets, in bytes, elements and units.
const (
	maxName    = 128
	maxDefault = 256
	maxMessage = 512
	maxCode    = 64
	maxReason  = 64
	maxModels  = 64
	maxLabels  = 16
	maxBudgets = 8
	maxLimit   = 1_000_000_000_000_000
	maxAmount  = 1_000_000_000_000_000_000
)

// text is what a text may be, or each of a list of them.
type text struct {
	most     int // bytes
	elements int
	valid    func(string) bool // beside being printable; nil: anything
}

func textOf(field abi.Field) text {
	switch field {
	case abi.FieldDenyMessage:
		return text{maxMessage, 1, nil}
	case abi.FieldDenyCode:
		return text{maxCode, 1, isCode}
	case abi.FieldChoiceReason:
		return text{maxReason, 1, isASCII}
	case abi.FieldAllowID:
		return text{maxName, 1, isSomething}
	case abi.FieldAllowDefaultModel:
		return text{maxDefault, 1, nil}
	case abi.FieldAllowModels:
		return text{maxName, maxModels, isSomething}
	case abi.FieldAllowLabels:
		return text{maxName, maxLabels, isLabel}
	case abi.FieldAllowBudgetTimezone:
		return text{maxName, maxBudgets, isZone}
	default: // allow.name, allow.team
		return text{maxName, 1, nil}
	}
}

func isSomething(value string) bool { return value != "" }
func isLabel(value string) bool     { return strings.Index(value, "=") > 0 }

func isCode(value string) bool {
	return value != "" && strings.Trim(value, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// isASCII is for what is printable already.
func isASCII(value string) bool {
	return !strings.ContainsFunc(value, func(r rune) bool { return r > unicode.MaxASCII })
}

func isZone(value string) bool {
	_, err := time.LoadLocation(value)
	return err == nil && value != "" && value != "Local"
}

func isPrintable(value string) bool {
	for _, r := range value {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return utf8.ValidString(value)
}

func (h *fake) Set(field abi.Field, index int32, value string) int32 {
	list, may := h.setTexts[field], textOf(field)
	if index < 0 || int(index) >= may.elements || int(index) > len(list) || len(value) > may.most || !isPrintable(value) ||
		may.valid != nil && !may.valid(value) {
		return h.refuse(field)
	}
	if int(index) == len(list) {
		list = append(list, "")
	}
	list[index] = value
	h.setTexts[field] = list
	if may.elements > 1 {
		return 0 // one good element mends no bad one
	}
	return h.accept(field)
}

func (h *fake) SetElement(field abi.Field, index int32, value int64) int32 {
	elements, ok := 1, false
	switch field {
	case abi.FieldAllowHandle:
		ok = value >= 1 && value <= int64(len(h.found))
	case abi.FieldAllowExpires:
		ok = value >= 1
	case abi.FieldAllowLimits:
		elements, ok = sallyport.NumLimits, value >= 0 && value <= maxLimit
	case abi.FieldAllowBudgetAmount:
		elements, ok = maxBudgets, value >= 0 && value <= maxAmount
	case abi.FieldAllowBudgetPeriod:
		elements, ok = maxBudgets, value >= int64(sallyport.PerDay) && value <= int64(sallyport.InTotal)
	case abi.FieldDenyStatus:
		ok = value >= 400 && value <= 499 || value == 503
	case abi.FieldChosenStep:
		ok = value >= 0 && value < h.steps
	case abi.FieldStop:
		ok = value == 0 || value == 1 && h.attempt > 1
	case abi.FieldCost:
		ok = value >= 0 && value <= int64(sallyport.MaxCost)
	case abi.FieldCostBreakdown:
		elements, ok = sallyport.NumDimensions, value >= 0 && value <= int64(sallyport.MaxCost)
	}
	if !ok || index < 0 || int(index) >= elements {
		return h.refuse(field)
	}
	for len(h.setInts[field]) <= int(index) {
		h.setInts[field] = append(h.setInts[field], 0)
	}
	h.setInts[field][index] = value
	if elements > 1 {
		return 0
	}
	return h.accept(field)
}

func (h *fake) SetInts(field abi.Field, values []int64) int32 {
	for i, value := range values {
		if code := h.SetElement(field, int32(i), value); code != 0 {
			return code
		}
	}
	return 0
}

func (h *fake) refuse(field abi.Field) int32 {
	h.refused = append(h.refused, field)
	return int32(sallyport.BadArgument)
}

func (h *fake) accept(field abi.Field) int32 {
	h.refused = slices.DeleteFunc(h.refused, func(f abi.Field) bool { return f == field })
	return 0
}

// overlooked says which refusal the policy did not mend.
func (h *fake) overlooked() string {
	if len(h.refused) == 0 {
		return ""
	}
	return "the policy set " + h.refused[0].Name() + " out of range, and ignored the code it got"
}

// has reports whether any of the fields was set.
func (h *fake) has(fields ...abi.Field) bool {
	return slices.ContainsFunc(fields, func(f abi.Field) bool { return len(h.setTexts[f])+len(h.setInts[f]) > 0 })
}

// number returns what a field was set to, 0 if it was not.
func (h *fake) number(field abi.Field) int64 {
	if list := h.setInts[field]; len(list) > 0 {
		return list[0]
	}
	return 0
}

// written returns the text that a field was set to, empty if it was not.
func (h *fake) written(field abi.Field) string {
	if list := h.setTexts[field]; len(list) > 0 {
		return list[0]
	}
	return ""
}

// authenticated fills in the verdict and returns what is wrong with it.
func (h *fake) authenticated(got *Authenticated) string {
	stored, own := h.has(abi.FieldAllowHandle), h.has(abi.FieldAllowID)
	denied := h.has(abi.FieldDenyStatus)
	switch {
	case denied && (stored || own):
		return "the policy both allowed and denied"
	case h.veto && (stored || own):
		return "the policy allowed, but was asked for a veto: it may deny or pass"
	case stored && own:
		return "the policy allowed a stored identity, and described one of its own"
	case denied:
		got.Status, got.Message = int(h.number(abi.FieldDenyStatus)), h.written(abi.FieldDenyMessage)
		got.Code = h.written(abi.FieldDenyCode)
	case stored:
		got.Identity = &h.found[h.number(abi.FieldAllowHandle)-1]
	case own:
		got.Identity = h.own()
		return h.budgets(got.Identity)
	default:
		return "the policy neither allowed nor denied"
	}
	return ""
}

func (h *fake) own() *Identity {
	i := &Identity{
		KeyID:  h.written(abi.FieldAllowID),
		Name:   h.written(abi.FieldAllowName),
		Team:   h.written(abi.FieldAllowTeam),
		Models: h.setTexts[abi.FieldAllowModels],

		DefaultModel: h.written(abi.FieldAllowDefaultModel),
	}
	copy(i.Limits[:], h.setInts[abi.FieldAllowLimits])
	for _, label := range h.setTexts[abi.FieldAllowLabels] {
		name, value, _ := strings.Cut(label, "=")
		i.Labels = append(i.Labels, sallyport.Label{Name: name, Value: value})
	}
	if i.Name == "" {
		i.Name = i.KeyID
	}
	if ms := h.number(abi.FieldAllowExpires); ms != 0 {
		i.Expires = time.UnixMilli(ms)
	}
	return i
}

// budgets puts the three lists together and returns what is wrong with them.
func (h *fake) budgets(i *Identity) string {
	amounts, periods, zones := h.setInts[abi.FieldAllowBudgetAmount], h.setInts[abi.FieldAllowBudgetPeriod], h.setTexts[abi.FieldAllowBudgetTimezone]
	if len(periods) > len(amounts) || len(zones) > len(amounts) {
		return "the policy described a budget without an amount"
	}
	for n, amount := range amounts {
		b := sallyport.Budget{Amount: sallyport.NanoUSD(amount), Timezone: "UTC"}
		if n < len(periods) {
			b.Period = sallyport.Period(periods[n])
		}
		if n < len(zones) {
			b.Timezone = zones[n]
		}
		same := func(other sallyport.Budget) bool { return other.Period == b.Period && other.Timezone == b.Timezone }
		if slices.ContainsFunc(i.Budgets, same) {
			return "the policy set two budgets of the same period and time zone"
		}
		i.Budgets = append(i.Budgets, b)
	}
	return ""
}

func (h *fake) stepChosen(got *StepChosen) string {
	chosen, stop := h.has(abi.FieldChosenStep), h.number(abi.FieldStop) == 1
	switch {
	case chosen && stop:
		return "the policy both chose a step and stopped"
	case !chosen && !stop:
		return "the policy neither chose a step nor stopped"
	}
	got.Step, got.Stop, got.Reason = int(h.number(abi.FieldChosenStep)), stop, h.written(abi.FieldChoiceReason)
	return ""
}

func (h *fake) priced(got *Priced) string {
	if !h.has(abi.FieldCost) {
		return "the policy set no cost"
	}
	got.Cost = sallyport.NanoUSD(h.number(abi.FieldCost))
	sum := sallyport.NanoUSD(0)
	for _, part := range h.setInts[abi.FieldCostBreakdown] {
		got.Breakdown = append(got.Breakdown, sallyport.NanoUSD(part))
		sum += sallyport.NanoUSD(part)
	}
	if sum > got.Cost {
		return "the policy's breakdown adds up to more than its cost"
	}
	return ""
}
