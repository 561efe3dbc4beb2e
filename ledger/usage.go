package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// usageKey is what usage is summed up by.
type usageKey struct {
	day                int64 // since 1970, UTC
	keyID, team, model string
}

// usageSum is what was used under one usageKey, as far as no row has it.
type usageSum struct {
	key      string // the key's name
	attempts int64
	usage    abi.Usage
	cost     abi.NanoUSD
}

const (
	secondsPerDay = 24 * 60 * 60
	sumsAtATime   = 64 // are made
)

// addUsage sums up a settled attempt.
func (l *Ledger) addUsage(e *Entry) {
	key := usageKey{e.Time.Unix() / secondsPerDay, e.KeyID, e.Team, e.Model}
	sum := l.usage[key]
	if sum == nil {
		if len(l.sums) == 0 {
			l.sums = make([]usageSum, sumsAtATime)
		}
		sum, l.sums = &l.sums[0], l.sums[1:]
		l.usage[key] = sum
	}
	sum.key = e.Key
	sum.attempts++
	sum.cost += e.Cost
	for d, n := range e.Usage {
		sum.usage[d] += n
	}
}

// The store keeps sums of usage by day. The key of one is key id, 0, team, 0, model, its label the key's name, and its
// numbers are attempts, cost, and each dimension of usage, in their order.
const (
	separator    = "\x00" // cannot stand in a name
	usageNumbers = 2 + int(abi.NumDimensions)
)

// names is the key of a sum.
func (k *usageKey) names() string { return k.keyID + separator + k.team + separator + k.model }

func dayName(day int64) string { return time.Unix(day*secondsPerDay, 0).UTC().Format(time.DateOnly) }

func (s *usageSum) appendNumbers(dst []int64) []int64 {
	return append(append(dst, s.attempts, int64(s.cost)), s.usage[:]...)
}

// total takes a sum of the store apart.
func total(day, key, label string, numbers []int64) (t Total, err error) {
	names := strings.Split(key, separator)
	if len(names) != 3 || len(numbers) < 2 || len(numbers) > usageNumbers {
		return t, fmt.Errorf("%w: a sum of usage of %s is named %q and has %d numbers", ErrCorrupt, day, key, len(numbers))
	}
	t = Total{
		Day: day, KeyID: names[0], Key: label, Team: names[1], Model: names[2], Attempts: numbers[0], Cost: abi.NanoUSD(numbers[1]),
	}
	copy(t.Usage[:], numbers[2:])
	return t, nil
}

// writeUsage adds the sums that seal took to those of the store, also the ones of an earlier try that failed: what the
// store has of them already it does not add again.
func (l *Ledger) writeUsage() error {
	if l.books.usage == nil {
		return nil
	}
	byDay := map[int64][]namedSum{}
	for key, sum := range l.books.usage {
		byDay[key.day] = append(byDay[key.day], namedSum{key.names(), sum})
	}
	for day, sums := range byDay {
		slices.SortFunc(sums, func(a, b namedSum) int { return strings.Compare(a.names, b.names) })
		if err := l.store.AddUsage(dayName(day), l.books.usageTo, rowsOf(sums)); err != nil {
			return fmt.Errorf("writing usage: %w", err)
		}
	}
	l.books.usage, l.books.written = nil, l.books.usageTo
	return nil
}

// namedSum is a sum on its way to the store.
type namedSum struct {
	names string
	*usageSum
}

func rowsOf(sums []namedSum) func(yield func(key, label string, numbers []int64) bool) {
	return func(yield func(key, label string, numbers []int64) bool) {
		var numbers [usageNumbers]int64
		for _, s := range sums {
			if !yield(s.names, s.key, s.appendNumbers(numbers[:0])) {
				return
			}
		}
	}
}

// Totals calls f for what each key used with each model on each day, from the day from to the day to ("2026-11-21",
// both included, "" for no bound), in the order of days. The Total is f's only during the call.
func (l *Ledger) Totals(ctx context.Context, from, to string, f func(*Total) error) error {
	if err := l.flush(ctx); err != nil && !errors.Is(err, ErrUnavailable) {
		return err
	}
	return l.store.Usage(ctx, from, to, func(day, key, label string, numbers []int64) error {
		t, err := total(day, key, label, numbers)
		if err != nil {
			return err
		}
		return f(&t)
	})
}
