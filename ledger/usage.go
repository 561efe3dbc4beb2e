package ledger

import (
	"context"
	"errors"
	"fmt"
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

const secondsPerDay = 24 * 60 * 60

// addUsage sums up a settled attempt.
func (l *Ledger) addUsage(e *Entry) {
	key := usageKey{e.Time.Unix() / secondsPerDay, e.KeyID, e.Team, e.Model}
	sum := l.usage[key]
	if sum == nil {
		sum = new(usageSum)
		l.usage[key] = sum
	}
	sum.key = e.Key
	sum.attempts++
	sum.cost += e.Cost
	for d, n := range e.Usage {
		sum.usage[d] += n
	}
}

// Rows of usage.
//
//	key    "usage/" day "/" key id, 0, team, 0, model
//	value  1 byte version | segment that it is up to | the key's name | attempts | cost | usage
const (
	usageRows       = "usage/"
	usageRowVersion = 1
	separator       = "\x00" // cannot stand in a name
)

func (k *usageKey) row() string {
	day := time.Unix(k.day*secondsPerDay, 0).UTC().Format(time.DateOnly)
	return usageRows + day + "/" + k.keyID + separator + k.team + separator + k.model
}

func (s *usageSum) encode(segment uint64) []byte {
	var e encoder
	e.byte(usageRowVersion)
	e.uint(segment)
	e.text(s.key)
	e.int(s.attempts)
	e.int(int64(s.cost))
	e.usage(&s.usage)
	return e.buf
}

func parseUsage(row []byte) (s usageSum, segment uint64, err error) {
	d := decoder{buf: row}
	if version := d.byte(); version != usageRowVersion {
		return s, 0, fmt.Errorf("%w: version %d of a row of usage, this program knows %d", ErrCorrupt, version, usageRowVersion)
	}
	segment = d.uint()
	s.key, s.attempts, s.cost, s.usage = d.text(), d.int(), abi.NanoUSD(d.int()), d.usage()
	if err := d.end(); err != nil {
		return s, 0, fmt.Errorf("%w: a row of usage: %w", ErrCorrupt, err)
	}
	return s, segment, nil
}

// mergeUsage returns the row of a sum that is up to a segment, added to what the store has; nil if the store has it
// already, because an earlier try came that far.
func (l *Ledger) mergeUsage(key *usageKey, sum *usageSum, segment uint64) ([]byte, error) {
	old, ok, err := l.store.Read(key.row())
	if err != nil {
		return nil, fmt.Errorf("reading usage: %w", err)
	}
	merged := *sum
	if ok {
		before, upTo, err := parseUsage(old)
		if err != nil {
			return nil, err
		}
		if upTo >= segment {
			return nil, nil
		}
		merged.attempts += before.attempts
		merged.cost += before.cost
		for d, n := range before.usage {
			merged.usage[d] += n
		}
	}
	return merged.encode(segment), nil
}

// Totals calls f for what each key used with each model on each day, from the day from to the day to ("2026-11-21",
// both included, "" for no bound), in the order of days. The Total is f's only during the call.
func (l *Ledger) Totals(ctx context.Context, from, to string, f func(*Total) error) error {
	if err := l.flush(ctx, true); err != nil && !errors.Is(err, ErrUnavailable) {
		return err
	}
	err := l.store.Scan(ctx, usageRows, usageRows+from, func(row string, value []byte) error {
		day, rest, _ := strings.Cut(strings.TrimPrefix(row, usageRows), "/")
		if to != "" && day > to {
			return errEnough
		}
		names := strings.Split(rest, separator)
		if len(names) != 3 {
			return fmt.Errorf("%w: a row of usage is named %q", ErrCorrupt, row)
		}
		sum, _, err := parseUsage(value)
		if err != nil {
			return err
		}
		return f(&Total{
			Day: day, KeyID: names[0], Key: sum.key, Team: names[1], Model: names[2],
			Attempts: sum.attempts, Usage: sum.usage, Cost: sum.cost,
		})
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}
