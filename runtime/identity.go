package runtime

import (
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// ownIdentity is what a guest has said of an identity that it makes up.
type ownIdentity struct {
	id           string
	name         string
	team         string
	defaultModel string
	expires      int64 // unix milliseconds; 0: never
	models       []string
	labels       []abi.Label
	limits       abi.Limits
	budgets      [maxBudgets]ownBudget
	amounts      int // how many budgets have an amount, which is how many there are
}

// ownBudget is one budget of it. What is not set is the contract's default: each day of UTC.
type ownBudget struct {
	amount abi.NanoUSD
	period abi.Period
	zone   *time.Location
	timed  bool // a period or a zone was set
}

// Caps of an own identity, in bytes and elements.
const (
	maxName         = 128 // of allow.id, allow.name, allow.team and an element of allow.models and allow.labels
	maxDefaultModel = 256
	maxModels       = 64
	maxLabels       = 16
	maxBudgets      = 8
	maxLimit        = 1_000_000_000_000_000
	maxBudget       = 1_000_000_000_000_000_000 // nano-dollars
	// maxExpires is the last millisecond of the year 9999, beyond which time.Time has no JSON.
	maxExpires = 253_402_300_799_999
)

// setElement stores an element of a list that comes without gaps.
func setElement[T any](o *outputs, field abi.FieldID, list *[]T, index int32, most int, element T) abi.Code {
	switch {
	case index < 0 || int(index) > len(*list) || int(index) >= most:
		return o.refuse(field)
	case int(index) == len(*list):
		*list = append(*list, element)
	default:
		(*list)[index] = element
	}
	return o.acceptElement(field)
}

// setModel stores an element of allow.models.
func (o *outputs) setModel(index int32, value []byte) abi.Code {
	if !isModelPattern(value) {
		return o.refuse(abi.FieldAllowModels)
	}
	return setElement(o, abi.FieldAllowModels, &o.own.models, index, maxModels, string(value))
}

// isModelPattern reports whether value is an exact name or "prefix*".
func isModelPattern(value []byte) bool {
	if len(value) == 0 || len(value) > maxName { // first: the value may be all of the guest's memory
		return false
	}
	star := slices.Index(value, '*')
	return isPrintable(value) && (star < 0 || star == len(value)-1)
}

// setLabel stores an element of allow.labels, "name=value".
func (o *outputs) setLabel(index int32, value []byte) abi.Code {
	equals := slices.Index(value[:min(len(value), maxName)], '=')
	if equals < 1 || len(value) > maxName || !isPrintable(value) {
		return o.refuse(abi.FieldAllowLabels)
	}
	label := abi.Label{Name: string(value[:equals]), Value: string(value[equals+1:])}
	return setElement(o, abi.FieldAllowLabels, &o.own.labels, index, maxLabels, label)
}

// setLimit stores an element of allow.limits. A limit that this host does not know is refused: to leave it out would
// allow more than the policy meant to.
func (o *outputs) setLimit(index int32, value int64) abi.Code {
	const field = abi.FieldAllowLimits
	if index < 0 || index >= int32(abi.NumLimits) || value < 0 || value > maxLimit {
		return o.refuse(field)
	}
	o.own.limits[index] = value
	return o.acceptElement(field)
}

// setBudgetAmount stores an element of allow.budget_amount, the list that says how many budgets there are.
func (o *outputs) setBudgetAmount(index int32, value int64) abi.Code {
	const field = abi.FieldAllowBudgetAmount
	if index < 0 || int(index) > o.own.amounts || index >= maxBudgets || value < 0 || value > maxBudget {
		return o.refuse(field)
	}
	o.own.budgets[index].amount = abi.NanoUSD(value)
	o.own.amounts = max(o.own.amounts, int(index)+1)
	return o.acceptElement(field)
}

// setBudgetPeriod stores an element of allow.budget_period. It may come before its amount.
func (o *outputs) setBudgetPeriod(index int32, value int64) abi.Code {
	const field = abi.FieldAllowBudgetPeriod
	if index < 0 || index >= maxBudgets || value < 0 || value >= int64(abi.NumPeriods) {
		return o.refuse(field)
	}
	b := &o.own.budgets[index]
	b.period, b.timed = abi.Period(value), true
	return o.acceptElement(field)
}

// setBudgetZone stores an element of allow.budget_timezone. It may come before its amount.
func (c *Call) setBudgetZone(index int32, name []byte) abi.Code {
	const field = abi.FieldAllowBudgetTimezone
	if index < 0 || index >= maxBudgets {
		return c.out.refuse(field)
	}
	zone, ok := c.findZone(name)
	if !ok {
		return c.out.refuse(field)
	}
	b := &c.out.own.budgets[index]
	b.zone, b.timed = zone, true
	return c.out.acceptElement(field)
}

// identity makes the identity that a policy described. Its slices are fresh in every call, so they may be handed out.
func (i *ownIdentity) identity(policy string) (*abi.Identity, error) {
	budgets, err := i.readBudgets()
	if err != nil {
		return nil, err
	}
	identity := &abi.Identity{
		KeyID:        "policy:" + policy + "/" + i.id,
		Name:         i.name,
		Team:         i.team,
		Models:       i.models,
		DefaultModel: i.defaultModel,
		Labels:       i.labels,
		Limits:       i.limits,
		Budgets:      budgets,
	}
	if identity.Name == "" {
		identity.Name = i.id
	}
	if i.expires != 0 {
		identity.Expires = time.UnixMilli(i.expires).UTC()
	}
	return identity, nil
}

// readBudgets joins the three lists that describe the budgets.
func (i *ownIdentity) readBudgets() ([]abi.Budget, error) {
	for n := i.amounts; n < maxBudgets; n++ {
		if i.budgets[n].timed {
			return nil, fmt.Errorf("the policy set the period or the time zone of budget %d, but not its amount", n)
		}
	}
	if i.amounts == 0 {
		return nil, nil
	}
	budgets := make([]abi.Budget, 0, i.amounts)
	for _, b := range i.budgets[:i.amounts] {
		budget := abi.Budget{Amount: b.amount, Period: b.period, Location: b.zone}
		if slices.ContainsFunc(budgets, func(other abi.Budget) bool {
			return other.Period == budget.Period && other.Zone() == budget.Zone()
		}) {
			return nil, fmt.Errorf("the policy set two budgets of one period and time zone: %s, %s", budget.Period, budget.Zone())
		}
		budgets = append(budgets, budget)
	}
	return budgets, nil
}
