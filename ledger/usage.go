package ledger

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
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
	return dayRows(k.day) + k.names()
}

// names is the part of a row's key behind the day.
func (k *usageKey) names() string { return k.keyID + separator + k.team + separator + k.model }

// dayRows is what the keys of a day's rows begin with.
func dayRows(day int64) string {
	return usageRows + time.Unix(day*secondsPerDay, 0).UTC().Format(time.DateOnly) + "/"
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

// writeUsage writes the sums of usage that seal took, also those of an earlier try that failed.
func (l *Ledger) writeUsage(ctx context.Context) error {
	if l.books.usage == nil {
		return nil
	}
	rows := make([]row, 0, len(l.books.usage))
	for key, sum := range l.books.usage {
		r, err := l.mergeUsage(ctx, &key, sum)
		if err != nil {
			return err
		}
		if r.value != nil {
			rows = append(rows, r)
		}
	}
	if err := l.store.Write(sorted(rows)); err != nil {
		return fmt.Errorf("writing usage: %w", err)
	}
	l.books.usage, l.books.written = nil, l.books.usageTo
	l.books.due = l.now().Add(usageInterval)
	return nil
}

// mergeUsage returns the row of a sum, added to what the store has; one without a value if the store has it already,
// because an earlier try came that far.
func (l *Ledger) mergeUsage(ctx context.Context, key *usageKey, sum *usageSum) (row, error) {
	day, err := l.usageDay(ctx, key.day)
	if err != nil {
		return row{}, err
	}
	r := row{key: day.prefix + key.names()}
	if day.note(r.key) {
		r.value = sum.encode(l.books.usageTo)
		return r, nil
	}
	old, ok, err := l.store.Read(r.key)
	if err != nil {
		return row{}, fmt.Errorf("reading usage: %w", err)
	}
	merged := *sum
	if ok {
		before, upTo, err := parseUsage(old)
		if err != nil {
			return row{}, err
		}
		if upTo >= l.books.usageTo {
			return r, nil
		}
		merged.attempts += before.attempts
		merged.cost += before.cost
		for d, n := range before.usage {
			merged.usage[d] += n
		}
	}
	r.value = merged.encode(l.books.usageTo)
	return r, nil
}

// usageDay knows which rows of usage there are of a day, so that the first one of a key is written without looking for
// one before.
type usageDay struct {
	day    int64
	prefix string // of its rows
	seed   maphash.Seed
	rows   map[uint64]struct{} // hashes of the rows' keys; two of one hash only cost a look
	most   int                 // of them
}

const (
	usageDays    = 2         // that rows are known of: attempts of yesterday are settled after midnight
	usageRowsMax = 2_000_000 // of a day: some 40 MB; where there are more, each is looked for
)

// usageDay finds what is known of a day, or reads which rows it has.
func (l *Ledger) usageDay(ctx context.Context, number int64) (*usageDay, error) {
	for _, d := range l.books.days {
		if d.day == number {
			return d, nil
		}
	}
	d := &usageDay{day: number, prefix: dayRows(number), seed: maphash.MakeSeed(), rows: map[uint64]struct{}{}, most: usageRowsMax}
	err := l.store.Scan(ctx, d.prefix, d.prefix, func(key string, _ []byte) error {
		d.note(key)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading which rows of usage there are: %w", err)
	}
	l.books.days = append(l.books.days, d)
	if n := len(l.books.days); n > usageDays {
		l.books.days = l.books.days[n-usageDays:]
	}
	return d, nil
}

// note notes that there is a row, or will be, and reports whether it is certain that there was none.
func (d *usageDay) note(key string) (fresh bool) {
	hash := maphash.String(d.seed, key)
	if _, ok := d.rows[hash]; ok || len(d.rows) >= d.most {
		return false
	}
	d.rows[hash] = struct{}{}
	return true
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
