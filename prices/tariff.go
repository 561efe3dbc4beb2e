package prices

import (
	"cmp"
	"slices"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Tariff is what one model of one provider costs, with all its conditions. It is immutable, for many goroutines.
type Tariff struct {
	source  string
	entries []entry   // by from; the first is in force before it too
	worst   []stretch // by from; the first reaches back for ever
}

// entry is what is in force from a moment on.
type entry struct {
	from    time.Time
	rates   ladder
	windows []window
}

// window is some hours of the day.
type window struct {
	location *time.Location
	from, to int64   // seconds since midnight
	days     [7]bool // on which the window begins
	rates    ladder
}

// stretch is a time during which the same entries are in force or about to be, and their dearest prices.
type stretch struct {
	from  time.Time
	rates ladder
}

// ladder holds rows by the length of the prompt. The first rung holds from 0 tokens on.
type ladder []rung

type rung struct {
	above int64 // tokens; negative in the first rung
	row   abi.PriceRow
}

// row returns the row for a prompt of so many tokens.
func (l ladder) row(tokens int64) *abi.PriceRow {
	i := len(l) - 1
	for i > 0 && tokens <= l[i].above {
		i--
	}
	return &l[i].row
}

// Flat returns the tariff that is the same row under all conditions. source says where it comes from, for people.
func Flat(row abi.PriceRow, source string) *Tariff {
	rates := ladder{{above: -1, row: row}}
	return &Tariff{source: source, entries: []entry{{rates: rates}}, worst: []stretch{{rates: rates}}}
}

// New returns the tariff that the terms state, or everything that is wrong with them. Prices that are not stated are
// those of the dimension that providers charge instead: cached and audio tokens as input, writes for an hour as those
// for five minutes, reasoning and audio answered as output; images and requests are free. What a tier or a window
// does not state is as outside of it. source says where the tariff comes from, for people.
func New(terms Terms, source string) (*Tariff, error) {
	if err := terms.check(); err != nil {
		return nil, err
	}
	return build(terms, source), nil
}

// build computes the tariff of terms that were checked.
func build(terms Terms, source string) *Tariff {
	t := &Tariff{source: source, entries: make([]entry, len(terms.Entries))}
	for i := range terms.Entries {
		t.entries[i] = terms.Entries[i].resolve()
	}
	t.foresee()
	return t
}

// resolve computes the rows of an entry.
func (e *Entry) resolve() entry {
	resolved := entry{from: e.From, rates: resolve(e.Prices, e.Tiers, nil)}
	for _, w := range e.Windows {
		own := window{location: w.Location, from: int64(w.From / time.Second), to: int64(w.To / time.Second)}
		if own.location == nil {
			own.location = time.UTC
		}
		for _, d := range w.Days {
			own.days[d] = true
		}
		if len(w.Days) == 0 {
			own.days = [7]bool{true, true, true, true, true, true, true}
		}
		own.rates = resolve(e.Prices, e.Tiers, &w.Rates)
		resolved.windows = append(resolved.windows, own)
	}
	return resolved
}

// resolve lays the tiers and the rates of a window, if any, over the base prices, for every length at which anything
// changes.
func resolve(base Prices, tiers []Tier, window *Rates) ladder {
	var own []Tier
	if window != nil {
		own = window.Tiers
	}
	lengths := []int64{-1}
	for _, t := range slices.Concat(tiers, own) {
		lengths = append(lengths, t.Above)
	}
	slices.Sort(lengths)
	var l ladder
	for _, above := range slices.Compact(lengths) {
		p := base.reach(tiers, above)
		if window != nil {
			p = p.overlay(window.Prices).reach(own, above)
		}
		l = append(l, rung{above: above, row: p.complete()})
	}
	return l
}

// reach lays the tiers over the prices that begin at so many tokens or before.
func (p Prices) reach(tiers []Tier, above int64) Prices {
	for _, t := range tiers {
		if t.Above <= above {
			p = p.overlay(t.Prices)
		}
	}
	return p
}

// horizon is how far ahead of a request the entries count that a reservation for it covers.
const horizon = day

// foresee computes the dearest rows for every time at which the set of entries changes that they depend on.
func (t *Tariff) foresee() {
	moments := []time.Time{{}}
	for _, e := range t.entries[1:] {
		moments = append(moments, e.from.Add(-horizon), e.from)
	}
	slices.SortFunc(moments, time.Time.Compare)
	for _, from := range slices.CompactFunc(moments, time.Time.Equal) {
		first := t.inForce(from)
		last := first
		for last+1 < len(t.entries) && !t.entries[last+1].from.Add(-horizon).After(from) {
			last++
		}
		t.worst = append(t.worst, stretch{from: from, rates: dearest(t.entries[first : last+1])})
	}
}

// dearest returns the highest price of each dimension in any of the entries, for prompts up to each length.
func dearest(entries []entry) ladder {
	var all ladder
	for _, e := range entries {
		all = append(all, e.rates...)
		for _, w := range e.windows {
			all = append(all, w.rates...)
		}
	}
	slices.SortStableFunc(all, func(a, b rung) int { return cmp.Compare(a.above, b.above) })
	var l ladder
	for _, r := range all {
		if len(l) > 0 {
			for d, price := range l[len(l)-1].row {
				r.row[d] = max(r.row[d], price)
			}
			if l[len(l)-1].above == r.above {
				l = l[:len(l)-1]
			}
		}
		l = append(l, r)
	}
	return l
}

// inForce returns the index of the entry that is in force.
func (t *Tariff) inForce(at time.Time) int {
	i := len(t.entries) - 1
	for i > 0 && at.Before(t.entries[i].from) {
		i--
	}
	return i
}

// Row returns the prices of a request that is sent at a time with a prompt of so many tokens, cached ones included.
// The row belongs to the tariff and must not be changed. It is never nil.
func (t *Tariff) Row(at time.Time, inputTokens int64) *abi.PriceRow {
	e := &t.entries[t.inForce(at)]
	rates := e.rates
	for i := range e.windows {
		if e.windows[i].holds(at) {
			rates = e.windows[i].rates
		}
	}
	return rates.row(inputTokens)
}

// holds says whether the clocks on the wall show one of the window's hours.
func (w *window) holds(at time.Time) bool {
	at = at.In(w.location)
	hour, minute, second := at.Clock()
	now := int64(hour*3600 + minute*60 + second)
	today := at.Weekday()
	switch {
	case w.from < w.to:
		return w.days[today] && w.from <= now && now < w.to
	case now >= w.from:
		return w.days[today]
	}
	return now < w.to && w.days[(today+6)%7]
}

// Dearest returns, for each dimension, the highest price that a request sent at a time with at most so many tokens in
// its prompt can come to: of all tiers up to that length, all hours of the day, and all entries that are in force
// then or begin within 24 hours. The row belongs to the tariff and must not be changed. It is never nil.
func (t *Tariff) Dearest(at time.Time, inputTokens int64) *abi.PriceRow {
	i := len(t.worst) - 1
	for i > 0 && at.Before(t.worst[i].from) {
		i--
	}
	return t.worst[i].rates.row(inputTokens)
}

// Source says where the tariff comes from, for people: "policies.yaml", "catalogue 2026-11-20: openai/gpt-5-mini".
func (t *Tariff) Source() string { return t.source }
