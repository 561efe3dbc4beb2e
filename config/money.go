package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/sallyport-dev/sallyport/abi"
)

// Bounds of amounts of money in dollars.
const (
	maxPrice  = 1_000_000     // per million units: a dollar for each
	maxBudget = 1_000_000_000 // leaves room for the sums of what is spent and reserved
)

// maxBudgets is how many budgets one key or team can have.
const maxBudgets = 8

// budgets reads one budget, or a list of them.
func (v value) budgets() (budgets []abi.Budget) {
	read := func(v value) {
		b, ok := v.budget()
		if !ok {
			return
		}
		if slices.ContainsFunc(budgets, func(other abi.Budget) bool { return other.Period == b.Period && other.Zone() == b.Zone() }) {
			v.fail("is the second budget of one period: %s, %s", b.Period, b.Zone())
			return
		}
		budgets = append(budgets, b)
	}
	if v.node.Kind == yaml.MappingNode {
		read(v)
		return budgets
	}
	if v.items(read) && len(v.node.Content) == 0 {
		v.fail("has no budget: take the field out to spend without one")
	}
	if len(budgets) > maxBudgets {
		v.fail("has %d budgets, at most %d are possible", len(budgets), maxBudgets)
	}
	return budgets
}

// budget reads how much may be spent in each period. What never begins anew has no midnight that a time zone could
// move, so the zone of such a budget is always the same.
func (v value) budget() (b abi.Budget, ok bool) {
	before := len(v.load.problems)
	b.Location = time.UTC
	v.object([]field{
		required("usd", func(v value) { b.Amount = v.dollars(maxBudget) }),
		required("per", func(v value) { b.Period = v.period() }),
		optional("timezone", func(v value) { b.Location = v.location() }),
	})
	if b.Period == abi.InTotal {
		b.Location = time.UTC
	}
	return b, len(v.load.problems) == before
}

func (v value) period() abi.Period {
	var names []string
	for p := range abi.NumPeriods {
		names = append(names, p.String())
	}
	name, _ := v.choice(names...)
	period, _ := abi.ParsePeriod(name)
	return period
}

// location reads a time zone. That of the machine is refused: a budget must not depend on where the gateway runs.
func (v value) location() *time.Location {
	s, ok := v.text()
	if !ok {
		return time.UTC
	}
	location, err := time.LoadLocation(s)
	if err != nil || s == "" || s == "Local" {
		v.fail("must be UTC or the name of a time zone such as Europe/Berlin")
		return time.UTC
	}
	return location
}

// dollars reads an amount of money up to most dollars.
func (v value) dollars(most int64) abi.NanoUSD {
	s, ok := v.plain()
	if !ok {
		return 0
	}
	n, err := parseDollars(s, most)
	if err != nil {
		v.fail("%v", err)
	}
	return n
}

const nanoPerUSD = 1_000_000_000

// parseDollars reads an amount of up to most dollars.
func parseDollars(s string, most int64) (abi.NanoUSD, error) {
	n, err := abi.ParseUSD(s)
	if errors.Is(err, abi.ErrUSDRange) || n > abi.NanoUSD(most*nanoPerUSD) {
		return 0, fmt.Errorf("must be at most %d dollars", most)
	}
	return n, err
}

func isDigits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}
