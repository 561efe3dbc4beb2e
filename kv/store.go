package kv

import (
	"context"
	"iter"
)

// Store keeps the rows. Package state implements it; it is the part of the ledger's store that knows rows. Each
// namespace writes by itself, so all methods are called by many goroutines at once.
type Store interface {
	// Write stores rows; a nil value removes one. It keeps nothing of them, and may come to an end half-way.
	Write(rows iter.Seq2[string, []byte]) error
	// Read returns a copy of a row's value; ok is false if there is none.
	Read(key string) (value []byte, ok bool, err error)
	// Scan calls f for the rows whose keys begin with prefix, from key from on, in order. The bytes are f's only
	// during the call.
	Scan(ctx context.Context, prefix, from string, f func(key string, value []byte) error) error
}
