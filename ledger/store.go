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
	// LastSegment returns the number of the last segment; 0 if there never was one.
	LastSegment() (uint64, error)
	// Drop gives up the segments before number before, or some of them.
	Drop(ctx context.Context, before uint64) error

	// Write stores rows; a nil value removes one. It may come to an end half-way.
	Write(rows iter.Seq2[string, []byte]) error
	// Read returns a copy of a row's value; ok is false if there is none.
	Read(key string) (value []byte, ok bool, err error)
	// Scan calls f for the rows whose keys begin with prefix, from key from on, in order. The bytes are f's only
	// during the call.
	Scan(ctx context.Context, prefix, from string, f func(key string, value []byte) error) error
}
