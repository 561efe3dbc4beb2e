package state

import (
	"context"
	"fmt"

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

// MaxRecent bounds one call of Recent.
const MaxRecent = 1000

func (l *requestLog) find(ctx context.Context, id string) (r record.Record, err error) {
	if err := l.flush(ctx); err != nil {
		return record.Record{}, err
	}
	value, found, err := l.files.Find(ctx, id, l.clock().Unix())
	if err != nil {
		return record.Record{}, translate(err)
	}
	if !found {
		return record.Record{}, ErrNotFound
	}
	if r, err = record.Parse(value); err != nil {
		return record.Record{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return r, nil
}

func (l *requestLog) recent(ctx context.Context, limit int, before string) (all []record.Record, err error) {
	if err := l.flush(ctx); err != nil {
		return nil, err
	}
	for len(all) < limit {
		rows, err := l.files.Newest(ctx, limit-len(all), before, l.clock().Unix())
		if err != nil {
			return nil, translate(err)
		}
		if len(rows) == 0 {
			break
		}
		for _, row := range rows {
			r, err := record.Parse(row.Value)
			if err != nil { // it does not hide the others
				l.log.Warn("a row of the request log is passed over", "key", row.Key, "error", err)
				continue
			}
			all = append(all, r)
		}
		before = rows[len(rows)-1].Key
	}
	return all, nil
}
