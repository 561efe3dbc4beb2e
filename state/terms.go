package state

import (
	"fmt"
	"sync"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// terms are what the rows of keys and teams have in common, as JSON. Limits and periods stand there by name and time
// zones by theirs: a row must mean the same to every version that reads it, and what it does not know is an error, not
// a key without that limit.
type terms struct {
	Models  []string         `json:"models,omitempty"`
	Labels  []rowLabel       `json:"labels,omitempty"`
	Limits  map[string]int64 `json:"limits,omitempty"`
	Budgets []rowBudget      `json:"budgets,omitempty"`
}

type rowLabel struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
}

type rowBudget struct {
	Amount abi.NanoUSD `json:"nano_usd"`
	Period string      `json:"per"`
	Zone   string      `json:"timezone"`
}

func newTerms(models []string, labels []abi.Label, limits *abi.Limits, budgets []abi.Budget) terms {
	t := terms{Models: models}
	for _, l := range labels {
		t.Labels = append(t.Labels, rowLabel(l))
	}
	for i, limit := range limits {
		if limit != 0 {
			if t.Limits == nil {
				t.Limits = make(map[string]int64)
			}
			t.Limits[abi.Limit(i).String()] = limit
		}
	}
	for i := range budgets {
		t.Budgets = append(t.Budgets, rowBudget{budgets[i].Amount, budgets[i].Period.String(), budgets[i].Zone()})
	}
	return t
}

func (t *terms) labels() []abi.Label {
	var labels []abi.Label
	for _, l := range t.Labels {
		labels = append(labels, abi.Label(l))
	}
	return labels
}

func (t *terms) limits() (limits abi.Limits, err error) {
	for name, limit := range t.Limits {
		l, ok := abi.ParseLimit(name)
		if !ok || limit < 0 {
			return limits, fmt.Errorf("%w: the limit %q is %d", ErrCorrupt, name, limit)
		}
		limits[l] = limit
	}
	return limits, nil
}

func (t *terms) budgets(z *zones) (budgets []abi.Budget, err error) {
	for _, b := range t.Budgets {
		period, ok := abi.ParsePeriod(b.Period)
		if !ok || b.Amount < 0 {
			return nil, fmt.Errorf("%w: a budget of %d per %q", ErrCorrupt, b.Amount, b.Period)
		}
		location, err := z.load(b.Zone)
		if err != nil {
			return nil, err
		}
		budgets = append(budgets, abi.Budget{Amount: b.Amount, Period: period, Location: location})
	}
	return budgets, nil
}

func parseState(name string) (abi.KeyState, bool) {
	for s := abi.KeyActive; s <= abi.KeyRevoked; s++ {
		if s.String() == name {
			return s, true
		}
	}
	return 0, false
}

// zones remembers time zones: loading one reads a file, and all keys with a budget in Berlin share one. Only zones
// that exist are kept, so there are never more than some hundreds.
type zones struct{ loaded sync.Map } // name to *time.Location

func (z *zones) load(name string) (*time.Location, error) {
	if name == time.UTC.String() {
		return time.UTC, nil
	}
	if l, ok := z.loaded.Load(name); ok {
		return l.(*time.Location), nil //nolint:errcheck // nothing else is stored
	}
	if name == "" || name == time.Local.String() {
		return nil, fmt.Errorf("%w: the time zone %q", ErrCorrupt, name)
	}
	l, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	z.loaded.Store(name, l)
	return l, nil
}
