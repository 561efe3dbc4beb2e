package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// Terms are what keys and teams have in common, as the API has them. What is empty is left out.
type Terms struct {
	Models  []string          `json:"models,omitempty"` // exact names and "prefix*"; none: all
	Labels  map[string]string `json:"labels,omitempty"`
	Limits  map[string]int64  `json:"limits,omitempty"` // by the limit's name: "rpm"
	Budgets []Budget          `json:"budgets,omitempty"`
}

// terms are Terms as the rest of the gateway has them.
type terms struct {
	models  []string
	labels  []abi.Label
	limits  abi.Limits
	budgets []abi.Budget
}

func (t *terms) show() Terms {
	shown := Terms{Models: t.models}
	for _, l := range t.labels {
		if shown.Labels == nil {
			shown.Labels = map[string]string{}
		}
		shown.Labels[l.Name] = l.Value
	}
	for l, n := range t.limits {
		if n == 0 {
			continue
		}
		if shown.Limits == nil {
			shown.Limits = map[string]int64{}
		}
		shown.Limits[abi.Limit(l).String()] = n
	}
	for i := range t.budgets {
		shown.Budgets = append(shown.Budgets, showBudget(&t.budgets[i]))
	}
	return shown
}

// terms is the way back from show. Errors wrap identity.ErrWish.
func (t *Terms) terms() (terms, error) {
	read := terms{models: t.Models}
	for _, name := range slices.Sorted(maps.Keys(t.Labels)) {
		read.labels = append(read.labels, abi.Label{Name: name, Value: t.Labels[name]})
	}
	for name, n := range t.Limits {
		if err := setLimit(&read.limits, name, &n); err != nil {
			return terms{}, err
		}
	}
	var err error
	read.budgets, err = readBudgets(t.Budgets)
	return read, err
}

// setLimit sets one limit by its name; nil takes it away.
func setLimit(limits *abi.Limits, name string, n *int64) error {
	l, ok := abi.ParseLimit(name)
	switch {
	case !ok:
		return fmt.Errorf("%w: there is no limit %q, only %s", identity.ErrWish, name, strings.Join(limitNames(), ", "))
	case n == nil:
		limits[l] = 0
	case *n <= 0:
		return fmt.Errorf("%w: limit %s must be at least 1: whoever may have nothing is disabled", identity.ErrWish, name)
	default:
		limits[l] = *n
	}
	return nil
}

func readBudgets(budgets []Budget) ([]abi.Budget, error) {
	var read []abi.Budget
	for i := range budgets {
		b, err := budgets[i].budget()
		if err != nil {
			return nil, err
		}
		read = append(read, b)
	}
	return read, nil
}

// Change is a member of a JSON merge patch (RFC 7396). One that is absent changes nothing, null clears, anything else
// is the new value.
type Change[T any] struct {
	Set   bool // it is in the patch
	Clear bool // it is null there
	Value T
}

// To returns the change to a value.
func To[T any](value T) Change[T] { return Change[T]{Set: true, Value: value} }

// Cleared returns the change to nothing.
func Cleared[T any]() Change[T] { return Change[T]{Set: true, Clear: true} }

// IsZero makes encoding/json leave out what is not in the patch.
func (c Change[T]) IsZero() bool { return !c.Set }

// MarshalJSON implements json.Marshaler.
func (c Change[T]) MarshalJSON() ([]byte, error) {
	if c.Clear {
		return []byte("null"), nil
	}
	return json.Marshal(c.Value)
}

// UnmarshalJSON implements json.Unmarshaler. encoding/json calls it for null, too.
func (c *Change[T]) UnmarshalJSON(data []byte) error {
	c.Set = true
	if string(data) == "null" {
		c.Clear = true
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields() // what the decoder of the whole patch was told does not reach here
	return d.Decode(&c.Value)
}

// apply puts the change into effect. The value of one that clears is the zero one.
func (c *Change[T]) apply(target *T) {
	if c.Set {
		*target = c.Value
	}
}

// TermsChange changes Terms. Models and budgets are replaced as a whole; of labels and limits only those that are
// named, and null takes one away.
type TermsChange struct {
	Models  Change[[]string]           `json:"models,omitzero"`
	Labels  Change[map[string]*string] `json:"labels,omitzero"`
	Limits  Change[map[string]*int64]  `json:"limits,omitzero"`
	Budgets Change[[]Budget]           `json:"budgets,omitzero"`
}

func (c *TermsChange) apply(t *terms) error {
	c.Models.apply(&t.models)
	if c.Budgets.Set {
		budgets, err := readBudgets(c.Budgets.Value)
		if err != nil {
			return err
		}
		t.budgets = budgets
	}
	if c.Limits.Clear {
		t.limits = abi.Limits{}
	}
	for name, n := range c.Limits.Value {
		if err := setLimit(&t.limits, name, n); err != nil {
			return err
		}
	}
	if c.Labels.Set {
		t.labels = c.changeLabels(t.labels)
	}
	return nil
}

// changeLabels returns new labels: the old ones may be shared.
func (c *TermsChange) changeLabels(old []abi.Label) []abi.Label {
	all := map[string]string{}
	if !c.Labels.Clear {
		for _, l := range old {
			all[l.Name] = l.Value
		}
	}
	for name, value := range c.Labels.Value {
		if value == nil {
			delete(all, name)
		} else {
			all[name] = *value
		}
	}
	var labels []abi.Label
	for _, name := range slices.Sorted(maps.Keys(all)) {
		labels = append(labels, abi.Label{Name: name, Value: all[name]})
	}
	return labels
}
