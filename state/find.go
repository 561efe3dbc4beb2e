package state

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/sallyport-dev/sallyport/record"
)

// Find returns the record of a request, or ErrNotFound. A record that was taken before the call is found.
func (s *State) Find(ctx context.Context, id string) (record.Record, error) {
	r, err := s.requests.find(ctx, id)
	if err != nil {
		return record.Record{}, fmt.Errorf("finding request %q: %w", id, err)
	}
	return r, nil
}

// Recent returns up to limit records, newest first: those whose ids sort before before, or the newest if it is empty.
// A limit is at most MaxRecent.
func (s *State) Recent(ctx context.Context, limit int, before string) ([]record.Record, error) {
	all, err := s.requests.recent(ctx, min(limit, MaxRecent), before)
	if err != nil {
		return nil, fmt.Errorf("listing requests: %w", err)
	}
	return all, nil
}

// MaxRecent bounds one call of Recent: Badger keeps old versions as long as someone reads.
const MaxRecent = 1000

func (l *requestLog) find(ctx context.Context, id string) (r record.Record, err error) {
	if err := l.flush(ctx); err != nil {
		return record.Record{}, err
	}
	err = l.db.view(func(txn *badger.Txn) error {
		item, err := txn.Get([]byte(requestRows + id))
		if err != nil {
			return err
		}
		return item.Value(func(value []byte) error {
			r, err = parseRow(value, l.clock())
			return err
		})
	})
	return r, err
}

func (l *requestLog) recent(ctx context.Context, limit int, before string) (all []record.Record, err error) {
	if err := l.flush(ctx); err != nil {
		return nil, err
	}
	start := requestRows + before
	if before == "" {
		start = requestRows + "\xff" // sorts after every id
	}
	err = l.db.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{
			Reverse: true, PrefetchValues: true, PrefetchSize: min(limit, 100), Prefix: []byte(requestRows),
		})
		defer it.Close()
		for it.Seek([]byte(start)); it.Valid() && len(all) < limit; it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if string(it.Item().Key()) == start {
				continue // before itself
			}
			if err := l.collect(it.Item(), &all); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// collect adds the record of a row, unless it has expired. A row that cannot be read does not hide the others.
func (l *requestLog) collect(item *badger.Item, all *[]record.Record) error {
	return item.Value(func(value []byte) error {
		r, err := parseRow(value, l.clock())
		switch {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			l.log.Warn("a row of the request log is passed over", "key", string(item.Key()), "error", err)
		default:
			*all = append(*all, r)
		}
		return nil
	})
}
