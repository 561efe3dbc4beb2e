package rows

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

// found is a row that a scan came upon.
type found struct {
	key string
	at  place
}

// Scan calls f for the rows whose keys begin with prefix, from key from on, in order, as they are when it is called. The
// value is f's only during the call. It ends with f's error, or ctx's. All files are read once, and the keys are held in memory.
func (t *Table) Scan(ctx context.Context, prefix, from string, f func(key string, value []byte) error) error {
	files, end, err := t.beginScan()
	if err != nil {
		return err
	}
	defer t.endScan()
	rows, err := t.gather(ctx, files, end, func(key []byte) bool {
		return strings.HasPrefix(string(key), prefix) && string(key) >= from
	})
	if err != nil {
		return err
	}
	slices.SortFunc(rows, func(a, b found) int { return cmp.Or(strings.Compare(a.key, b.key), cmp.Compare(a.at, b.at)) })
	var look [firstLook]byte
	for i, r := range rows {
		if i+1 < len(rows) && rows[i+1].key == r.key {
			continue // a later one counts
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		fr, err := files[r.at.number()-files[0].number].frame(r.at.offset(), look[:])
		if err != nil {
			return err
		}
		if fr.removed {
			continue
		}
		if err := f(r.key, fr.value); err != nil {
			return err
		}
	}
	return nil
}

// beginScan keeps the files from going, and returns them with where the last of them ends.
func (t *Table) beginScan() (files []*file, end place, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, 0, ErrClosed
	}
	t.scans++
	for _, f := range t.files {
		now := *f
		files = append(files, &now)
	}
	tail := files[len(files)-1]
	return files, placeOf(tail.number, tail.size), nil
}

func (t *Table) endScan() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.scans--
}

// gather finds the frames of wanted keys, all but those that did not count any more as the scan began.
func (t *Table) gather(ctx context.Context, files []*file, end place, wanted func(key []byte) bool) (rows []found, err error) {
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		content, err := file.content()
		if err != nil {
			return nil, err
		}
		err = frames(content, func(offset int64, fr *frame) error {
			if here := placeOf(file.number, offset); wanted(fr.key) && !t.outdated(fr, here, end) {
				rows = append(rows, found{string(fr.key), here})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// outdated reports whether another frame than the one here counted for its key as a scan began that goes to end. In doubt
// it says no: the later one of two is taken.
func (t *Table) outdated(f *frame, here, end place) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	at, ok := t.index.get(t.hashes.of(f.key))
	return ok && at != here && at < end
}
