package admin

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// Amounts of money are written in two ways. What people decide, a budget for instance, is dollars as exact decimal
// text: "5.00". What is counted is nano-dollars as a whole number, in members whose names say so: "cost_nano_usd".

// maxUSD is the most of one budget; it leaves room for the sums of what is spent and reserved.
const maxUSD = 1_000_000_000

// formatUSD writes an amount as decimal text: "5.00", "0.000000001".
func formatUSD(n abi.NanoUSD) string { return strings.Replace(n.String(), "$", "", 1) }

// parseUSD reads an amount, and names it where it is none.
func parseUSD(text string) (abi.NanoUSD, error) {
	n, err := abi.ParseUSD(text)
	switch {
	case errors.Is(err, abi.ErrUSD):
		return 0, fmt.Errorf("%q is no amount in US dollars such as 0.27", text)
	case errors.Is(err, abi.ErrUSDDecimals):
		return 0, fmt.Errorf("%q has more than 9 decimals", text)
	case err != nil || n > maxUSD*1_000_000_000:
		return 0, fmt.Errorf("%q is more than %d dollars", text, maxUSD)
	}
	return n, nil
}

// Budget is a budget as the API has it: {"usd":"5.00","per":"day","timezone":"Europe/Berlin"}.
type Budget struct {
	USD      string `json:"usd"`                // exact decimal text
	Per      string `json:"per"`                // day, week, month, total
	Timezone string `json:"timezone,omitempty"` // whose midnights count; default UTC
}

// budget checks a budget.
func (b *Budget) budget() (abi.Budget, error) {
	amount, err := parseUSD(b.USD)
	if err != nil {
		return abi.Budget{}, fmt.Errorf("%w: usd %w", identity.ErrWish, err)
	}
	period, ok := abi.ParsePeriod(b.Per)
	if !ok {
		return abi.Budget{}, fmt.Errorf("%w: per %q is none of %s", identity.ErrWish, b.Per, strings.Join(periodNames(), ", "))
	}
	location, err := time.LoadLocation(b.Timezone)
	if err != nil || b.Timezone == "Local" { // a budget must not depend on where the gateway runs
		return abi.Budget{}, fmt.Errorf("%w: timezone %q is neither UTC nor a name such as Europe/Berlin", identity.ErrWish, b.Timezone)
	}
	if period == abi.InTotal { // it has no midnight that a time zone could move
		location = time.UTC
	}
	return abi.Budget{Amount: amount, Period: period, Location: location}, nil
}

// ParseBudget reads a budget as people write it: "5/day", "50/month@Europe/Berlin", "100/total". Errors wrap
// identity.ErrWish.
func ParseBudget(text string) (Budget, error) {
	amount, rest, ok := strings.Cut(text, "/")
	per, timezone, _ := strings.Cut(rest, "@")
	if !ok {
		return Budget{}, fmt.Errorf("%w: %q is no budget such as 5/day or 50/month@Europe/Berlin", identity.ErrWish, text)
	}
	b := Budget{USD: strings.TrimPrefix(amount, "$"), Per: per, Timezone: timezone}
	checked, err := b.budget()
	if err != nil {
		return Budget{}, err
	}
	return showBudget(&checked), nil
}

func showBudget(b *abi.Budget) Budget {
	return Budget{USD: formatUSD(b.Amount), Per: b.Period.String(), Timezone: b.Zone()}
}

func periodNames() []string {
	var names []string
	for p := range abi.NumPeriods {
		names = append(names, p.String())
	}
	return names
}

func limitNames() []string {
	var names []string
	for l := range abi.NumLimits {
		names = append(names, l.String())
	}
	return names
}
