// Package sums keeps sums by day and key in sorted files. It is made to be added to: an addition reads nothing, costs
// its own bytes and no more, and needs no index in memory. What was added is added up when it is read.
//
// It imports internal/durable and the standard library. Package state owns it.
//
// An addition is a file, a part. It is written under another name and renamed when it is whole, and never changed after
// that. Merge makes one part of several, so that reading a day opens few files. A part is named
//
//	2026-07-14.00000000000000000017-00000000000000000042.sums
//
// by the day and by the numbers of the first and the last addition that it holds; for a single addition they are the
// same. The parts of a day do not overlap. One that lies within another is what a merge left behind that was killed
// before it had removed what it replaced. See part.go for what is in a file.
package sums

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/sallyport-dev/sallyport/internal/durable"
)

// Errors of this package.
var (
	ErrCorrupt = errors.New("a part of the sums is damaged")
	ErrClosed  = errors.New("the sums are closed")
)

const (
	mostParts = 16  // of a day that is still added to: when there are more, some are merged
	checkRows = 256 // rows between two looks at whether somebody wants this to end
)

// Row is what is added, and what is read: the sums of one key.
type Row struct {
	Key     string  // any bytes, at most MaxText
	Label   string  // at most MaxText; of several, the last one that was added counts, also if it is empty
	Numbers []int64 // at most MaxNumbers; added up one by one, where a shorter list has zeros behind
}

// Sums is an open folder of parts. Its methods may be called by many goroutines: one addition and one merge are made at
// a time, and reading waits for neither.
type Sums struct {
	dir        string
	most       int                    // parts of a day that are not merged yet
	syncFolder func(dir string) error // another one in tests

	adding  sync.Mutex // held during an addition
	merging sync.Mutex // held during a merge

	mu     sync.Mutex        // held while the list is changed and while parts are opened, not while they are written
	days   map[string][]part // in order of their additions
	stray  []string          // names of parts that must not count, but could not be removed for sure
	closed bool
}

// Open opens the folder dir, or makes it. It looks at the names only: damage is found by who reads. Files that a crash
// left behind are removed, files that are not ours are left alone.
func Open(dir string) (*Sums, error) { return open(dir, mostParts) }

func open(dir string, most int) (*Sums, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the sums: %w", err)
	}
	s := &Sums{dir: dir, most: most, syncFolder: durable.SyncFolder, days: map[string][]part{}}
	parts, unfinished, err := list(dir)
	if err != nil {
		return nil, err
	}
	// The process may have ended between a rename and the sync behind it: what is taken for there has to stay.
	if err := errors.Join(durable.SyncFolder(filepath.Dir(filepath.Clean(dir))), durable.SyncFolder(dir)); err != nil {
		return nil, fmt.Errorf("syncing the folder of the sums: %w", err)
	}
	replaced, err := s.adopt(parts)
	if err != nil {
		return nil, err
	}
	for _, name := range append(unfinished, replaced...) {
		_ = os.Remove(filepath.Join(dir, name)) // it does not count; the next Open tries again
	}
	return s, nil
}

// list returns the parts in a folder, each behind those that it can lie within, and the names of temporary files.
func list(dir string) (parts []part, unfinished []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("listing the sums: %w", err)
	}
	for _, e := range entries {
		p, temporary, ours := parseName(e.Name())
		switch {
		case !ours || !e.Type().IsRegular():
		case temporary:
			unfinished = append(unfinished, e.Name())
		default:
			info, err := e.Info()
			if err != nil {
				return nil, nil, fmt.Errorf("listing the sums: %w", err)
			}
			p.size = info.Size()
			parts = append(parts, p)
		}
	}
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(a.day, b.day), cmp.Compare(a.first, b.first), cmp.Compare(b.last, a.last))
	})
	return parts, unfinished, nil
}

// adopt takes parts into the list, but for those that lie within another one: the names of these are returned.
func (s *Sums) adopt(parts []part) (replaced []string, err error) {
	for _, p := range parts {
		day := s.days[p.day]
		if len(day) > 0 {
			before := day[len(day)-1]
			if p.last <= before.last {
				replaced = append(replaced, p.name())
				continue
			}
			if p.first <= before.last {
				return nil, fmt.Errorf("%w: %s overlaps %s", ErrCorrupt, filepath.Join(s.dir, p.name()), before.name())
			}
		}
		s.days[p.day] = append(day, p)
	}
	return replaced, nil
}

// UpTo returns the number of the last addition to a day; 0 if there was none.
func (s *Sums) UpTo(day string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if parts := s.days[day]; len(parts) > 0 {
		return parts[len(parts)-1].last
	}
	return 0
}

// Add adds rows, in strictly ascending order of their keys, to the sums of a day, such as 2026-07-14. upTo is the number
// of the addition, from 1 on; if the day has it already, or a later one, nothing is done: an earlier try came that far.
// When Add returns nil the addition survives a power failure. An error leaves the day as it was. Without rows nothing is
// written, and the number is not taken down.
//
// A sum that int64 cannot hold stays at the bound it has reached.
func (s *Sums) Add(day string, upTo uint64, rows iter.Seq[Row]) error {
	if err := checkDay(day); err != nil {
		return err
	}
	s.adding.Lock()
	defer s.adding.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	if upTo <= s.UpTo(day) {
		return nil
	}
	w := newWriter(s.dir, part{day: day, first: upTo, last: upTo})
	defer w.discard()
	err := w.addAll(rows)
	if err == nil && w.rows > 0 {
		err = s.publish(w)
	}
	if err != nil {
		return fmt.Errorf("adding to the sums of %s: %w", day, err)
	}
	if w.rows > 0 {
		s.mu.Lock()
		s.days[day] = append(s.days[day], w.part)
		s.mu.Unlock()
	}
	return nil
}

// ready fails if the sums are closed, or if there is still a part that must not count: if it were there when the folder
// is opened again, next to one that was written after it, something could be counted twice.
func (s *Sums) ready() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	return s.removeStray()
}

// removeStray removes the parts that must not count. It is called with mu held.
func (s *Sums) removeStray() error {
	if len(s.stray) == 0 {
		return nil
	}
	for _, name := range s.stray {
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing what a failed write left behind: %w", err)
		}
	}
	if err := s.syncFolder(s.dir); err != nil {
		return fmt.Errorf("removing what a failed write left behind: %w", err)
	}
	s.stray = nil
	return nil
}

// publish ends a part and gives it its name. After an error it does not count, and nothing else is written before it is
// sure to be gone.
func (s *Sums) publish(w *writer) error {
	if err := w.finish(); err != nil {
		return err
	}
	err := s.syncFolder(s.dir)
	if err != nil {
		s.mu.Lock()
		s.stray = append(s.stray, w.name())
		_ = s.removeStray() // else the next Add or Merge tries it again
		s.mu.Unlock()
	}
	return err
}

// Read calls f for the sums of the days from one to another, both included; "" is no bound. They come in order of days,
// then of keys, each key of a day once. The row is f's only during the call. Of each day Read sees what was added
// before it came to that day. It ends with f's error, ctx's, or ErrClosed.
//
// A checksum is at the end of a part: before Read returns ErrCorrupt, f may have been given wrong rows.
func (s *Sums) Read(ctx context.Context, from, to string, f func(day string, r *Row) error) error {
	for _, bound := range []string{from, to} {
		if err := checkDay(bound); bound != "" && err != nil {
			return err
		}
	}
	var m merger
	for _, day := range s.listDays() {
		if day < from || to != "" && day > to {
			continue
		}
		if err := s.readDay(ctx, day, &m, f); err != nil {
			return err
		}
	}
	return s.alive(ctx)
}

// readDay calls f for the sums of one day.
func (s *Sums) readDay(ctx context.Context, day string, m *merger, f func(string, *Row) error) error {
	_, files, err := s.openParts(day, func(parts []part) []part { return parts })
	if err != nil {
		return err
	}
	defer closeAll(files)
	if err := m.begin(files); err != nil {
		return err
	}
	var row Row
	for n := 0; ; n++ {
		if n%checkRows == 0 {
			if err := s.alive(ctx); err != nil {
				return err
			}
		}
		if more, err := m.next(); !more || err != nil {
			return err
		}
		row.Key, row.Numbers = string(m.key), m.numbers
		if row.Label != string(m.label) {
			row.Label = string(m.label)
		}
		if err := f(day, &row); err != nil {
			return err
		}
	}
}

// alive returns why something that takes long has to end.
func (s *Sums) alive(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	return ctx.Err()
}

// listDays returns the days that there are, in order.
func (s *Sums) listDays() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.days))
}

// openParts opens those parts of a day that are chosen. The lock is held meanwhile: a merge removes parts only after it
// has taken them off the list, and what is open can be read after that too.
func (s *Sums) openParts(day string, choose func([]part) []part) ([]part, []*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, ErrClosed
	}
	parts := choose(s.days[day])
	files := make([]*os.File, 0, len(parts))
	for _, p := range parts {
		f, err := os.Open(filepath.Join(s.dir, p.name()))
		if err != nil {
			closeAll(files)
			return nil, nil, fmt.Errorf("opening the sums of %s: %w", day, err)
		}
		files = append(files, f)
	}
	return parts, files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // it was only read
	}
}

// Snapshot opens all parts, in order of their names: what they hold together is what was added up to one moment. They
// stay as they are whatever is done to the sums, and are the caller's to close.
func (s *Sums) Snapshot() ([]durable.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	var files []durable.File
	for _, day := range slices.Sorted(maps.Keys(s.days)) {
		for _, p := range s.days[day] {
			f, err := os.Open(filepath.Join(s.dir, p.name()))
			if err != nil {
				for _, f := range files {
					_ = f.Close() // it was only read
				}
				return nil, fmt.Errorf("opening the sums of %s: %w", day, err)
			}
			files = append(files, durable.File{Name: p.name(), File: f, Size: p.size})
		}
	}
	return files, nil
}

// Close closes the sums. It waits for an addition on its way, and ends a merge and reading with ErrClosed: so does
// everything that is called after it.
func (s *Sums) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.adding.Lock()
	s.merging.Lock()
	defer s.adding.Unlock()
	defer s.merging.Unlock()
	return nil
}

// checkDay reports whether a day can be part of a file's name.
func checkDay(day string) error {
	if t, err := time.Parse(time.DateOnly, day); err != nil || t.Format(time.DateOnly) != day {
		return fmt.Errorf("%q is no day such as 2006-01-02", day)
	}
	return nil
}
