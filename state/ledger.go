package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/dgraph-io/badger/v4"
)

// ledgerRows + key: a row of the ledger. The journal's segments lie in files of their own, in the folder journal of
// the ledger's: a commit of Badger costs ten times the CPU of a write, deleted rows give their space back only when
// tables happen to be merged, and a full disk is an error there instead of a SIGBUS.
const ledgerRows = "m/"

// Append writes the next segment of the journal; the numbers begin at 1. When it returns nil, the segment survives the
// end of the process; with sync also a power failure. An error means that it is not there: ErrDiskFull or ErrReadOnly
// while the disk must not or cannot be written. It is called by one goroutine at a time.
func (s *State) Append(number uint64, segment []byte, sync bool) error {
	err := s.space.ledger.err()
	if err == nil {
		s.moment.RLock()
		err = translate(s.journal.Append(number, segment, sync))
		s.moment.RUnlock()
		if errors.Is(err, ErrDiskFull) || errors.Is(err, ErrReadOnly) {
			s.space.check(true) // what a second of waiting would find out
		}
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
	db, err := s.ledger.begin()
	if err == nil {
		err = s.ledger.write(db.Sync)
		s.ledger.end()
	}
	if err == nil {
		err = s.journal.Drop(before)
	}
	if err != nil {
		return fmt.Errorf("dropping segments before %d: %w", before, translate(err))
	}
	return nil
}

// Write stores rows of the ledger; a nil value removes one. It keeps nothing of them. They go in one transaction, or in
// several if they are too many for one, so that after an error or a crash some may be written and others not. They
// survive the end of the process, and from the next Drop on a power failure.
func (s *State) Write(rows iter.Seq2[string, []byte]) error {
	s.moment.RLock()
	defer s.moment.RUnlock()
	db, err := s.ledger.begin()
	if err == nil {
		err = s.write(db, rows)
		s.ledger.end()
	}
	if err != nil {
		return fmt.Errorf("writing rows of the ledger: %w", translate(err))
	}
	return nil
}

// admit asks whether a commit may be made to the ledger's rows. The disk is probed each time, and not once a second as
// for the request log: keys cannot be read until a database that failed was opened again. There are few such commits.
func (s *State) admit(bytes int) error {
	s.space.check(true)
	return s.space.admit(&s.space.ledger, bytes)
}

func (s *State) write(db *badger.DB, rows iter.Seq2[string, []byte]) error {
	txn, size := db.NewTransaction(true), 0
	defer func() { txn.Discard() }()
	var kept []keptRow
	commit := func() error {
		err := s.admit(size)
		if err == nil {
			err = s.ledger.commit(txn)
		}
		s.keep(kept, err)
		kept = kept[:0]
		return err
	}
	for key, value := range rows {
		row := append([]byte(ledgerRows), key...)
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
		if key, ok := bytes.CutPrefix(row, []byte(keptRows)); ok {
			kept = append(kept, keptRow{key, value})
		}
	}
	return commit()
}

// keptRow is a row that is kept in memory. Its key is without their prefix.
type keptRow struct{ key, value []byte }

// keep takes into memory what a commit wrote. Of one that failed nobody knows what was written.
func (s *State) keep(rows []keptRow, failed error) {
	for _, r := range rows {
		switch {
		case failed != nil:
			s.accounts.forget(r.key)
		case r.value == nil:
			s.accounts.remove(r.key)
		default:
			s.accounts.put(r.key, r.value)
		}
	}
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
	if name, kept := strings.CutPrefix(key, keptRows[len(ledgerRows):]); kept {
		value, ok, absent := s.accounts.find(nil, []byte(name))
		if ok || absent {
			return value, ok, nil
		}
	}
	err = s.view(func(txn *badger.Txn) error {
		value, err = read(txn, ledgerRows+key)
		return err
	})
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("reading row %q of the ledger: %w", key, err)
	}
	return value, true, nil
}

// Scan calls f for the rows whose keys begin with prefix, from key from on, in order. The bytes are f's only during the
// call. It ends with f's error, or ctx's.
func (s *State) Scan(ctx context.Context, prefix, from string, f func(key string, value []byte) error) error {
	return s.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(ledgerRows + prefix)})
		defer it.Close()
		for it.Seek([]byte(ledgerRows + max(prefix, from))); it.Valid(); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			item := it.Item()
			err := item.Value(func(value []byte) error { return f(string(item.Key()[len(ledgerRows):]), value) })
			if err != nil {
				return err
			}
		}
		return nil
	})
}
