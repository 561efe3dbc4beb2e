//go:build !wasm

package hosttest

import (
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
)

// Caps of what a policy sets, in bytes and elements.
const (
	maxName    = 128
	maxModels  = 64
	maxMessage = 512
)

func (h *fake) Set(field abi.Field, index int32, value string) int32 {
	most, elements := maxName, int32(1)
	switch field {
	case abi.FieldDenyMessage:
		most = maxMessage
	case abi.FieldAllowModels:
		elements = maxModels
	}
	list := h.setTexts[field]
	empty := value == "" && (field == abi.FieldAllowID || field == abi.FieldAllowModels)
	if index < 0 || index >= elements || int(index) > len(list) || empty || len(value) > most || !isPrintable(value) {
		return h.refuse(field)
	}
	if int(index) == len(list) {
		list = append(list, "")
	}
	list[index] = value
	h.setTexts[field] = list
	if elements > 1 {
		return 0 // one good element mends no bad one
	}
	return h.accept(field)
}

func isPrintable(value string) bool {
	for _, r := range value {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return utf8.ValidString(value)
}

func (h *fake) SetInt(field abi.Field, value int64) int32 {
	ok := false
	switch field {
	case abi.FieldAllowHandle:
		ok = value >= 1 && value <= int64(len(h.found))
	case abi.FieldAllowExpires:
		ok = value >= 1
	case abi.FieldDenyStatus:
		ok = value >= 400 && value <= 499 || value == 503
	case abi.FieldChosenStep:
		ok = value >= 0 && value < h.steps
	case abi.FieldStop:
		ok = value == 0 || value == 1 && h.attempt > 1
	case abi.FieldCost:
		ok = value >= 0 && value <= int64(sallyport.MaxCost)
	}
	if !ok {
		return h.refuse(field)
	}
	h.setInts[field] = []int64{value}
	return h.accept(field)
}

func (h *fake) SetInts(field abi.Field, values []int64) int32 {
	bad := func(v int64) bool { return v < 0 || v > int64(sallyport.MaxCost) }
	if len(values) > sallyport.NumDimensions || slices.ContainsFunc(values, bad) {
		return h.refuse(field)
	}
	h.setInts[field] = slices.Clone(values)
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
	case stored:
		got.Identity = &h.found[h.number(abi.FieldAllowHandle)-1]
	case own:
		got.Identity = h.own()
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
	}
	if i.Name == "" {
		i.Name = i.KeyID
	}
	if ms := h.number(abi.FieldAllowExpires); ms != 0 {
		i.Expires = time.UnixMilli(ms)
	}
	return i
}

func (h *fake) stepChosen(got *StepChosen) string {
	chosen, stop := h.has(abi.FieldChosenStep), h.number(abi.FieldStop) == 1
	switch {
	case chosen && stop:
		return "the policy both chose a step and stopped"
	case !chosen && !stop:
		return "the policy neither chose a step nor stopped"
	}
	got.Step, got.Stop = int(h.number(abi.FieldChosenStep)), stop
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
