package prices

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Terms is a tariff as a file states it: what a model costs from which date on.
type Terms struct {
	Entries []Entry // at least one, by ascending From; the last one that has begun is in force
}

// Entry is what a model costs from a date on. It is complete: nothing is taken over from the entry before.
type Entry struct {
	From time.Time // of no effect in the first entry, which is in force until the next one begins
	Rates
	Windows []Window // hours that cost something else; of those that overlap the last one counts
}

// Rates are prices, and those that replace them for long prompts.
type Rates struct {
	Prices
	Tiers []Tier // by ascending Above
}

// Prices holds the prices that are stated, in nano-dollars per million units.
type Prices struct {
	Row    abi.PriceRow
	Stated [abi.NumDimensions]bool
}

// Tier replaces prices where the prompt has more than so many tokens, cached ones included. It holds for all of the
// prompt and for the answer, not only for what is above.
type Tier struct {
	Above int64 // tokens, at least 1
	Prices
}

// Window replaces prices for some hours of the day, by what the clocks on the wall show: an hour that is skipped when
// summer time begins is not in it, one that comes twice is in it twice. Its prices win over those of the entry and of
// the entry's tiers; those of its own tiers win over all.
type Window struct {
	Location *time.Location // whose clocks; nil: UTC
	From, To time.Duration  // since midnight, 0 to 24h, From included, To not; To before From: past midnight
	Days     []time.Weekday // on which the window begins; empty: every day
	Rates
}

// Set states the price of a dimension, in nano-dollars per million units.
func (p *Prices) Set(d abi.Dimension, price abi.NanoUSD) { p.Row[d], p.Stated[d] = price, true }

// overlay returns p with what over states replaced.
func (p Prices) overlay(over Prices) Prices {
	for d, stated := range over.Stated {
		if stated {
			p.Set(abi.Dimension(d), over.Row[d])
		}
	}
	return p
}

// complete returns the row with the prices filled in that are not stated.
func (p Prices) complete() abi.PriceRow {
	for _, f := range fallbacks {
		if !p.Stated[f.dimension] {
			p.Row[f.dimension] = p.Row[f.from]
		}
	}
	return p.Row
}

// How much one tariff can hold. It bounds what is computed in advance; real ones have a handful.
const (
	maxEntries = 64
	maxWindows = 16
	maxTiers   = 16
)

const day = 24 * time.Hour

// check returns all that is wrong with the terms.
func (t Terms) check() error {
	var errs []error
	if len(t.Entries) == 0 {
		errs = append(errs, errors.New("has no price"))
	}
	if len(t.Entries) > maxEntries {
		errs = append(errs, fmt.Errorf("has %d entries, at most %d are possible", len(t.Entries), maxEntries))
	}
	for i, e := range t.Entries {
		where := ""
		if len(t.Entries) > 1 {
			where = fmt.Sprintf("entry %d: ", i+1)
		}
		if i > 0 && !e.From.After(t.Entries[i-1].From) {
			errs = append(errs, fmt.Errorf("%smust begin after the entry above it", where))
		}
		errs = append(errs, e.check(where)...)
		if len(e.Windows) > maxWindows {
			errs = append(errs, fmt.Errorf("%shas %d windows, at most %d are possible", where, len(e.Windows), maxWindows))
		}
		for j, w := range e.Windows {
			errs = append(errs, w.check(fmt.Sprintf("%swindow %d: ", where, j+1))...)
		}
	}
	return errors.Join(errs...)
}

// check returns all that is wrong with the window, with where it stands before it.
func (w *Window) check(where string) (errs []error) {
	if w.From < 0 || w.From >= day || w.To < 0 || w.To > day || w.From%time.Second != 0 || w.To%time.Second != 0 {
		errs = append(errs, fmt.Errorf("%sthe hours must be from 00:00 to 24:00", where))
	}
	if w.From == w.To {
		errs = append(errs, fmt.Errorf("%sends when it begins: all of a day is from 00:00 to 24:00", where))
	}
	for _, d := range w.Days {
		if d < time.Sunday || d > time.Saturday {
			errs = append(errs, fmt.Errorf("%sthere is no weekday %d", where, d))
		}
	}
	return append(errs, w.Rates.check(where)...)
}

// check returns all that is wrong with the rates, with where they stand before it.
func (r *Rates) check(where string) []error {
	errs := r.Prices.check(where)
	if len(r.Tiers) > maxTiers {
		errs = append(errs, fmt.Errorf("%shas %d tiers, at most %d are possible", where, len(r.Tiers), maxTiers))
	}
	above := int64(0)
	for i, t := range r.Tiers {
		where := fmt.Sprintf("%stier %d: ", where, i+1)
		if t.Above <= above {
			errs = append(errs, fmt.Errorf("%smust begin above %d tokens", where, above))
		}
		above = max(above, t.Above)
		errs = append(errs, t.check(where)...)
	}
	return errs
}

func (p *Prices) check(where string) (errs []error) {
	if !slices.Contains(p.Stated[:], true) {
		errs = append(errs, fmt.Errorf("%sstates no price", where))
	}
	for d, price := range p.Row {
		switch {
		case price < 0:
			errs = append(errs, fmt.Errorf("%s%s: must not be negative", where, fields[d]))
		case price > maxPrice:
			errs = append(errs, fmt.Errorf("%s%s: %w", where, fields[d], errTooDear))
		}
	}
	return errs
}
