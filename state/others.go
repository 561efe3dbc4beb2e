package state

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/dgraph-io/badger/v4"
)

// otherRows + key: a row of who has no tables of its own here: what policies remember, and requests under idempotency keys.
const otherRows = "m/"

// Write stores rows; a nil value removes one. It keeps nothing of them. They go in one transaction, or in
// several if they are too many for one, so that after an error or a crash some may be written and others not. They
// survive the end of the process, and a power failure after ten minutes at most.
func (s *State) Write(rows iter.Seq2[string, []byte]) error {
	s.moment.RLock()
	defer s.moment.RUnlock()
	db, err := s.ledger.begin()
	if err == nil {
		err = s.write(db, rows)
		s.ledger.end()
	}
	if err != nil {
		return fmt.Errorf("writing rows: %w", translate(err))
	}
	return nil
}

// admit asks whether a commit may be made to the database. The disk is probed each time, and not once a second as
// for the request log: keys cannot be read until a database that failed was opened again. There are few such commits.
func (s *State) admit(bytes int) error {
	s.space.check(true)
	return s.space.admit(&s.space.ledger, bytes)
}

func (s *State) write(db *badger.DB, rows iter.Seq2[string, []byte]) error {
	txn, size := db.NewTransaction(true), 0
	defer func() { txn.Discard() }()
	commit := func() error {
		if err := s.admit(size); err != nil {
			return err
		}
		return s.ledger.commit(txn)
	}
	for key, value := range rows {
		row := append([]byte(otherRows), key...)
		if value != nil {
			value = append(make([]byte, 0, len(value)), value...)
		}
		err := set(txn, row, value)
		if errors.Is(err, badger.ErrTxnTooBig) {
			if err := commit(); err != nil {
				return err
			}
			txn, size = db.NewTransaction(true), 0
			err = set(txn, row, value)
		}
		if err != nil {
			return err
		}
		size += len(row) + len(value)
	}
	return commit()
}

// set writes a row, or deletes it if the value is nil.
func set(txn *badger.Txn, row, value []byte) error {
	if value == nil {
		return txn.Delete(row)
	}
	return txn.Set(row, value)
}

// Read returns a copy of a row's value; ok is false if there is none.
func (s *State) Read(key string) (value []byte, ok bool, err error) {
	err = s.view(func(txn *badger.Txn) error {
		value, err = read(txn, otherRows+key)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("reading row %q: %w", key, err)
	}
	return value, true, nil
}

// Scan calls f for the rows whose keys begin with prefix, from key from on, in order. The bytes are f's only during the
// call. It ends with f's error, or ctx's.
func (s *State) Scan(ctx context.Context, prefix, from string, f func(key string, value []byte) error) error {
	return s.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(otherRows + prefix)})
		defer it.Close()
		for it.Seek([]byte(otherRows + max(prefix, from))); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			item := it.Item()
			err := item.Value(func(value []byte) error { return f(string(item.Key()[len(otherRows):]), value) })
			if err != nil {
				return err
			}
		}
		return nil
	})
}
