package sums

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const mostMerged = 256 // parts that are merged at a time: each is an open file

// Merge makes fewer parts of many, which changes no sum. today and the day before are still being added to: there, and
// on days to come, it does something when there are more than 16 parts. Earlier days get one part. It runs beside Add
// and Read. A second one waits for the first.
//
// Good parts are never given up for the merge of a damaged one: a day that has one is left as it is, and ErrCorrupt is
// returned when the other days are merged. Any other error ends it at once.
func (s *Sums) Merge(ctx context.Context, today string) error {
	yesterday, err := dayBefore(today)
	if err != nil {
		return err
	}
	s.merging.Lock()
	defer s.merging.Unlock()
	if err := s.ready(); err != nil {
		return err
	}
	var damaged []error
	for _, day := range s.listDays() {
		err := s.mergeDay(ctx, day, day < yesterday)
		if errors.Is(err, ErrCorrupt) {
			damaged = append(damaged, err)
		} else if err != nil {
			return errors.Join(append(damaged, err)...)
		}
	}
	return errors.Join(damaged...)
}

func dayBefore(day string) (string, error) {
	if err := checkDay(day); err != nil {
		return "", err
	}
	t, err := time.Parse(time.DateOnly, day)
	return t.AddDate(0, 0, -1).Format(time.DateOnly), err
}

// mergeDay merges parts of a day until there are few, or only one if nothing more will be added.
func (s *Sums) mergeDay(ctx context.Context, day string, over bool) error {
	most := s.most
	if over {
		most = 1
	}
	for {
		parts, files, err := s.openParts(day, func(parts []part) []part { return choose(parts, most) })
		if err != nil || len(parts) == 0 {
			return err
		}
		err = s.merge(ctx, parts, files)
		closeAll(files)
		if err != nil {
			return fmt.Errorf("merging the sums of %s: %w", day, err)
		}
	}
}

// choose returns the parts that are merged so that no more than most are left: none, or the newest ones. A part is
// taken if it has at most twice the bytes of all newer ones together, so that the merged one is at least half as large
// again, and a row is written again only so often as the day has become larger by half.
func choose(parts []part, most int) []part {
	if len(parts) <= most {
		return nil
	}
	i := len(parts) - 1
	for newer := parts[i].size; i > 0; i-- {
		p := parts[i-1]
		taken := len(parts) - i
		if taken == mostMerged || most > 1 && taken > 1 && p.size > 2*newer {
			break
		}
		newer += p.size
	}
	return parts[i:]
}

// merge replaces parts, which follow each other, by one.
func (s *Sums) merge(ctx context.Context, parts []part, files []*os.File) error {
	w := newWriter(s.dir, part{day: parts[0].day, first: parts[0].first, last: parts[len(parts)-1].last})
	defer w.discard()
	if err := s.writeMerged(ctx, w, files); err != nil {
		return err
	}
	if err := s.publish(w); err != nil {
		return err
	}
	s.mu.Lock()
	day := s.days[w.day]
	i := slices.IndexFunc(day, func(p part) bool { return p.first == w.first })
	s.days[w.day] = slices.Concat(day[:i], []part{w.part}, day[i+len(parts):])
	s.mu.Unlock()
	for _, p := range parts {
		_ = os.Remove(filepath.Join(s.dir, p.name())) // else the next Open removes it: it lies within the merged one
	}
	return nil
}

// writeMerged writes the rows of files. It returns nil only if all of them were read to their ends and are sound.
func (s *Sums) writeMerged(ctx context.Context, w *writer, files []*os.File) error {
	var m merger
	if err := m.begin(files); err != nil {
		return err
	}
	for {
		if w.rows%checkRows == 0 {
			if err := s.alive(ctx); err != nil {
				return err
			}
		}
		if more, err := m.next(); !more || err != nil {
			return err
		}
		w.buf = appendRow(w.buf, m.key, m.label, m.numbers)
		if err := w.added(); err != nil {
			return err
		}
	}
}

// merger reads the rows of several parts in order of their keys, and adds those of the same key up. It can be used for
// one day after the other, and keeps its buffers.
type merger struct {
	readers []*reader
	heap    []*reader // of those that have a row: the least key first, of equal ones the oldest part

	key, label []byte // of the row, until next is called
	numbers    []int64
}

// begin begins to read files, the oldest first.
func (m *merger) begin(files []*os.File) error {
	m.heap = m.heap[:0]
	for i, f := range files {
		if i == len(m.readers) {
			m.readers = append(m.readers, &reader{})
		}
		r := m.readers[i]
		if err := r.begin(f, i); err != nil {
			return err
		}
		if more, err := r.next(); err != nil {
			return err
		} else if more {
			m.heap = append(m.heap, r)
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return nil
}

// next makes the sums of the next key, if there is one.
func (m *merger) next() (more bool, err error) {
	if len(m.heap) == 0 {
		return false, nil
	}
	r := m.heap[0]
	m.key = append(m.key[:0], r.key...)
	m.label = append(m.label[:0], r.label...)
	m.numbers = append(m.numbers[:0], r.numbers...)
	for {
		if err := m.advance(); err != nil {
			return false, err
		}
		if len(m.heap) == 0 || !bytes.Equal(m.heap[0].key, m.key) {
			return true, nil
		}
		r = m.heap[0]
		m.label = append(m.label[:0], r.label...)
		m.numbers = addUp(m.numbers, r.numbers)
	}
}

// advance goes on to the next row of the first reader.
func (m *merger) advance() error {
	more, err := m.heap[0].next()
	if err != nil {
		return err
	}
	if !more {
		last := len(m.heap) - 1
		m.heap[0] = m.heap[last]
		m.heap = m.heap[:last]
	}
	m.down(0)
	return nil
}

// down moves a reader to its place behind those that are less.
func (m *merger) down(i int) {
	h := m.heap
	for {
		least := 2*i + 1
		if least >= len(h) {
			return
		}
		if right := least + 1; right < len(h) && h[right].less(h[least]) {
			least = right
		}
		if !h[least].less(h[i]) {
			return
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
}

func (r *reader) less(other *reader) bool {
	c := bytes.Compare(r.key, other.key)
	return c < 0 || c == 0 && r.age < other.age
}

// addUp adds more to sums.
func addUp(sums, more []int64) []int64 {
	for i, n := range more {
		if i < len(sums) {
			sums[i] = saturated(sums[i], n)
		} else {
			sums = append(sums, n)
		}
	}
	return sums
}

// saturated returns a+b, or the bound of int64 that it is beyond.
func saturated(a, b int64) int64 {
	sum := a + b
	switch {
	case a > 0 && b > 0 && sum < 0:
		return math.MaxInt64
	case a < 0 && b < 0 && sum >= 0:
		return math.MinInt64
	}
	return sum
}
