package state

import (
	"context"
	"errors"
	"time"

	"github.com/dgraph-io/badger/v4"
)

// What is kept in memory of the ledger's rows, at most: a row of each kind for a million keys, with what most keys have.
const (
	identityMemory = 128 << 20 // bytes of rows by digest
	accountMemory  = 128 << 20 // bytes of rows by account
)

// keptRows are the rows of the ledger that are kept in memory: each exchange of a key that was not used for long reads
// one, and mostly there is none.
const keptRows = ledgerRows + "account/"

// warmChunk is how many rows are read in one transaction: Badger keeps old versions as long as someone reads, and a
// database that failed is not opened again before.
const warmChunk = 1024

// keepRows takes the memory for rows. Without it the gateway is slower, and no worse.
func (s *State) keepRows() {
	var err, other error
	s.accounts, err = newRowMemory(accountMemory)
	s.cache.rows, other = newRowMemory(identityMemory)
	if err = errors.Join(err, other); err != nil {
		s.log.Warn("rows cannot be kept in memory: each is read when it is asked for", "error", err)
	}
}

// warmInterval is how long it takes until rows are read again that nobody is sure of, because they could not be written.
const warmInterval = time.Minute

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
	again := time.NewTicker(warmInterval)
	defer again.Stop()
	err := s.fill(ctx, s.cache.rows, digestRows, isIdentity)
	for {
		err = errors.Join(err, s.fill(ctx, s.accounts, keptRows, nil))
		if err != nil && ctx.Err() == nil {
			s.log.Warn("rows could not be read into memory: each is read when it is asked for", "error", err)
		}
		err = nil
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// fill reads all rows with a prefix into memory, without the prefix, as far as they are wanted and there is room.
func (s *State) fill(ctx context.Context, m *rowMemory, prefix string, wanted func(value []byte) bool) error {
	began, from := m.present(), []byte(prefix)
	for len(from) > 0 {
		if err := ctx.Err(); err != nil || !m.wanting() {
			return err
		}
		next, err := s.fillChunk(m, prefix, from, wanted)
		if err != nil {
			return err
		}
		from = next
	}
	m.complete(began)
	return nil
}

// fillChunk reads some of the rows, and returns where to go on: nowhere after the last, and here again if a row was
// changed meanwhile.
func (s *State) fillChunk(m *rowMemory, prefix string, from []byte, wanted func(value []byte) bool) (next []byte, err error) {
	epoch := m.present()
	err = s.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(prefix)})
		defer it.Close()
		n := 0
		for it.Seek(from); it.Valid(); it.Next() {
			key := it.Item().Key()
			if n++; n > warmChunk {
				next = append(next, key...)
				return nil
			}
			err := it.Item().Value(func(value []byte) error {
				if wanted != nil && !wanted(value) || m.add(key[len(prefix):], value, epoch) {
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
