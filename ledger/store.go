package ledger

import (
	"context"
	"iter"
)

// Store keeps the ledger: a journal of numbered segments, and rows. Package state implements it. Append is called by
// one goroutine at a time, everything else by many.
type Store interface {
	// Append writes the next segment of the journal; the numbers begin at 1. When it returns nil the segment survives
	// the end of the process; with sync, a power failure too. An error means that it is not there.
	Append(number uint64, segment []byte, sync bool) error
	// Segments calls f for every segment with a number from from on, in order. The bytes are f's only during the call.
	Segments(ctx context.Context, from uint64, f func(number uint64, segment []byte) error) error
	// Sync makes what was appended survive a power failure.
	Sync() error
	// LastSegment returns the number of the last segment; 0 if there never was one.
	LastSegment() (uint64, error)
	// Drop gives up the segments before number before, or some of them.
	Drop(ctx context.Context, before uint64) error

	// WriteBooks stores rows; a nil value removes one. They are stored in their order: it may come to an end half-way.
	WriteBooks(rows iter.Seq2[string, []byte]) error
	// ReadBook returns a copy of a row's value; ok is false if there is none.
	ReadBook(key string) (value []byte, ok bool, err error)
	// ScanBooks calls f for the rows whose keys begin with prefix, from key from on, in order. The bytes are f's only
	// during the call.
	ScanBooks(ctx context.Context, prefix, from string, f func(key string, value []byte) error) error

	// AddUsage adds sums to those of a day ("2026-11-21"), number by number; the last label of a key counts. rows gives them in
	// the order of their keys. upTo is a segment's number: if the day's last addition came that far, it does nothing.
	// When it returns nil, what it added survives a power failure; an error leaves the day as it was.
	AddUsage(day string, upTo uint64, rows func(yield func(key, label string, numbers []int64) bool)) error
	// UsageUpTo returns what upTo was at the day's last addition; 0 if there was none.
	UsageUpTo(day string) uint64
	// Usage calls f for the sums of the days from from to to, both included, "" for no bound: in the order of days, then
	// keys. The numbers are f's only during the call.
	Usage(ctx context.Context, from, to string, f func(day, key, label string, numbers []int64) error) error
}
