package state

import (
	"context"
	"errors"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// identityMemory is how many bytes of rows by digest are kept in memory at most: those of a million keys, with what most
// keys have. Each exchange of a key that was not used for long reads one.
const identityMemory = 128 << 20

// warmChunk is how many rows are read in one transaction: Badger keeps old versions as long as someone reads, and a
// database that failed is not opened again before.
const warmChunk = 1024

// keepRows takes the memory for rows. Without it the gateway is slower, and no worse.
func (s *State) keepRows() {
	var err error
	if s.cache.rows, err = newRowMemory(identityMemory); err != nil {
		s.log.Warn("rows cannot be kept in memory: each is read when it is asked for", "error", err)
	}
}

// warmAfter is how long after a start the rows are read: the first seconds belong to what makes the gateway ready.
const warmAfter = 3 * time.Second

// warm reads the rows that are kept in memory, so that the first exchange of a key finds them there, until ctx ends.
// Requests do not wait for it: until it is done they read the database.
func (s *State) warm(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(warmAfter):
	}
	if err := s.fill(ctx); err != nil && ctx.Err() == nil {
		s.log.Warn("rows could not be read into memory: each is read when it is asked for", "error", err)
	}
}

// fill reads all digests' rows into memory, as far as there is room.
func (s *State) fill(ctx context.Context) error {
	from := []byte(digestRows)
	for len(from) > 0 {
		if err := ctx.Err(); err != nil || !s.cache.rows.hasRoom() {
			return err
		}
		next, err := s.fillChunk(from)
		if err != nil {
			return err
		}
		from = next
	}
	return nil
}

// fillChunk reads some of the rows, and returns where to go on: nowhere after the last, and here again if a row was
// changed meanwhile.
func (s *State) fillChunk(from []byte) (next []byte, err error) {
	epoch := s.cache.rows.present()
	err = s.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(digestRows)})
		defer it.Close()
		n := 0
		for it.Seek(from); it.Valid(); it.Next() {
			key := it.Item().Key()
			if n++; n > warmChunk {
				next = append(next, key...)
				return nil
			}
			err := it.Item().Value(func(value []byte) error {
				if !isIdentity(value) || s.cache.rows.add(key[len(digestRows):], value, epoch) {
					return nil
				}
				return errChanged
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errChanged) {
		return from, nil
	}
	return next, err
}

// errChanged ends a chunk that has to be read again. It never leaves this file.
var errChanged = errors.New("a row was changed")

func isIdentity(value []byte) bool { return len(value) > 0 && value[0] == digestVersion }
