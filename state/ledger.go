package state

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/sallyport-dev/sallyport/state/sums"
)

// Nothing of money lies in Badger: the ledger's journal, its books (balances, rates and its place in the journal) and usage
// have files of their own, beside Badger's. A commit of Badger costs ten times the CPU of a write, a row five to ten
// times that of one here, deleted ones give their space back only when tables happen to be merged, and a full disk is
// an error here instead of a SIGBUS.

// Append writes the next segment of the journal; the numbers begin at 1. When it returns nil, the segment survives the
// end of the process; with sync also a power failure. An error means that it is not there: ErrDiskFull or ErrReadOnly
// while the disk must not or cannot be written. It is called by one goroutine at a time.
func (s *State) Append(number uint64, segment []byte, sync bool) error {
	err := s.space.ledger.err()
	if err == nil {
		s.moment.RLock()
		err = s.noticed(s.journal.Append(number, segment, sync))
		s.moment.RUnlock()
	}
	if err != nil {
		return fmt.Errorf("appending segment %d to the journal: %w", number, err)
	}
	return nil
}

// Segments calls f for every segment with a number from from on, up to the one that is the last as it is called, in
// order. The bytes are f's only during the call.
func (s *State) Segments(ctx context.Context, from uint64, f func(number uint64, segment []byte) error) error {
	return translate(s.journal.Segments(ctx, from, f))
}

// LastSegment returns the number of the last segment; 0 if there never was one.
func (s *State) LastSegment() (uint64, error) { return s.journal.Last(), nil }

// Drop gives up the segments before number before, as far as they fill whole files, and their space with them. What
// Write stored before is synced first: it may be all that tells of them. While a backup is being made it does nothing.
func (s *State) Drop(ctx context.Context, before uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.moment.RLock()
	defer s.moment.RUnlock()
	if s.backups.Load() > 0 {
		return nil
	}
	err := s.books.Sync()
	if err == nil {
		err = s.journal.Drop(before)
	}
	if err != nil {
		return fmt.Errorf("dropping segments before %d: %w", before, s.noticed(err))
	}
	return nil
}

// Sync makes what was appended to the journal survive a power failure.
func (s *State) Sync() error {
	if err := s.noticed(s.journal.Sync()); err != nil {
		return fmt.Errorf("syncing the journal: %w", err)
	}
	return nil
}

// noticed translates an error of the ledger's files. One that the disk is the reason for is looked into at once, instead of
// a second later.
func (s *State) noticed(err error) error {
	err = translate(err)
	if errors.Is(err, ErrDiskFull) || errors.Is(err, ErrReadOnly) {
		s.space.check(true)
	}
	return err
}

// WriteBooks stores rows of the ledger's books; a nil value removes one. It keeps nothing of them. They are stored in their order, so
// that after an error or a crash the first ones may be there and the others not. They survive the end of the process,
// and from the next Drop on a power failure.
func (s *State) WriteBooks(rows iter.Seq2[string, []byte]) error {
	s.moment.RLock()
	defer s.moment.RUnlock()
	err := s.space.ledger.err()
	if err == nil {
		err = s.noticed(s.books.Write(rows))
	}
	if err != nil {
		return fmt.Errorf("writing the ledger's books: %w", err)
	}
	return nil
}

// ReadBook returns a row of the ledger's books, as a copy; ok is false if there is none.
func (s *State) ReadBook(key string) (value []byte, ok bool, err error) {
	value, ok, err = s.books.Read(key)
	if err != nil {
		return nil, false, fmt.Errorf("reading %q in the ledger's books: %w", key, translate(err))
	}
	return value, ok, nil
}

// ScanBooks calls f for the rows of the ledger's books whose keys begin with prefix, from key from on, in order. The bytes
// are f's only during the call. It ends with f's error, or ctx's.
func (s *State) ScanBooks(ctx context.Context, prefix, from string, f func(key string, value []byte) error) error {
	return translate(s.books.Scan(ctx, prefix, from, f))
}

// AddUsage adds sums to those of a day ("2026-11-21"), number by number; the last label of a key counts. rows gives them in
// the order of their keys. If the day's last addition was up to upTo, or further, it does nothing. When it returns nil,
// what it added survives a power failure; an error leaves the day as it was.
func (s *State) AddUsage(day string, upTo uint64, rows func(yield func(key, label string, numbers []int64) bool)) error {
	s.moment.RLock()
	defer s.moment.RUnlock()
	err := s.space.ledger.err()
	if err == nil {
		err = s.noticed(s.usage.Add(day, upTo, func(yield func(sums.Row) bool) {
			rows(func(key, label string, numbers []int64) bool {
				return yield(sums.Row{Key: key, Label: label, Numbers: numbers})
			})
		}))
	}
	if err != nil {
		return fmt.Errorf("adding to the usage of %s: %w", day, err)
	}
	return nil
}

// UsageUpTo returns what upTo was at the day's last addition; 0 if there was none.
func (s *State) UsageUpTo(day string) uint64 { return s.usage.UpTo(day) }

// Usage calls f for the sums of the days from from to to, both included, "" for no bound: in the order of days, then keys.
// The numbers are f's only during the call. It ends with f's error, or ctx's.
func (s *State) Usage(ctx context.Context, from, to string, f func(day, key, label string, numbers []int64) error) error {
	return translate(s.usage.Read(ctx, from, to, func(day string, r *sums.Row) error { return f(day, r.Key, r.Label, r.Numbers) }))
}

// mergeUsage keeps the usage's files few.
func (s *State) mergeUsage(ctx context.Context) {
	if s.space.ledger.err() != nil {
		return // it writes before it frees
	}
	err := s.usage.Merge(ctx, s.clock().UTC().Format(time.DateOnly))
	if err != nil && ctx.Err() == nil {
		s.log.Warn("merging files of usage failed", "error", translate(err))
	}
}
