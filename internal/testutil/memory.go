package testutil

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Memory is a store of the ledger in memory. What it holds is what would be on the disk: a ledger that is abandoned, as by a kill,
// leaves it for the next.
type Memory struct {
	mu       sync.Mutex
	first    uint64 // number of segments[0]
	segments [][]byte
	rows     map[string][]byte
	usage    map[string]usageDay
	broken   error // what Append, Write and AddUsage answer
}

// usageDay is the usage of a day.
type usageDay struct {
	upTo uint64
	sums map[string]usageSum
}

type usageSum struct {
	label   string
	numbers []int64
}

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{first: 1, rows: map[string][]byte{}, usage: map[string]usageDay{}}
}

// Append implements the store.
func (m *Memory) Append(number uint64, segment []byte, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return m.broken
	}
	if number != m.first+uint64(len(m.segments)) {
		return errors.New("a gap in the journal")
	}
	m.segments = append(m.segments, slices.Clone(segment))
	return nil
}

// Segments implements the store.
func (m *Memory) Segments(_ context.Context, from uint64, f func(uint64, []byte) error) error {
	m.mu.Lock()
	first, segments := m.first, m.segments
	m.mu.Unlock()
	for i, s := range segments {
		if number := first + uint64(i); number >= from {
			if err := f(number, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// LastSegment implements the store.
func (m *Memory) LastSegment() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.first + uint64(len(m.segments)) - 1, nil
}

// Held returns how many segments there are, and the number of the first.
func (m *Memory) Held() (segments int, first uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.segments), m.first
}

// Drop implements the store.
func (m *Memory) Drop(_ context.Context, before uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.first < before && len(m.segments) > 0 {
		m.segments = m.segments[1:]
		m.first++
	}
	return nil
}

// Write implements the store.
func (m *Memory) Write(rows iter.Seq2[string, []byte]) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.broken != nil {
		return m.broken
	}
	for key, value := range rows {
		if value == nil {
			delete(m.rows, key)
		} else {
			m.rows[key] = slices.Clone(value)
		}
	}
	return nil
}

// Read implements the store.
func (m *Memory) Read(key string) ([]byte, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.rows[key]
	return slices.Clone(value), ok, nil
}

// Scan implements the store.
func (m *Memory) Scan(_ context.Context, prefix, from string, f func(string, []byte) error) error {
	m.mu.Lock()
	var keys []string
	for key := range m.rows {
		if strings.HasPrefix(key, prefix) && key >= from {
			keys = append(keys, key)
		}
	}
	m.mu.Unlock()
	slices.Sort(keys)
	for _, key := range keys {
		value, _, _ := m.Read(key)
		if err := f(key, value); err != nil {
			return err
		}
	}
	return nil
}

// WriteBooks implements the store: the ledger has for its books what others have for their rows.
func (m *Memory) WriteBooks(rows iter.Seq2[string, []byte]) error { return m.Write(rows) }

// ReadBook implements the store.
func (m *Memory) ReadBook(key string) ([]byte, bool, error) { return m.Read(key) }

// ScanBooks implements the store.
func (m *Memory) ScanBooks(ctx context.Context, prefix, from string, f func(string, []byte) error) error {
	return m.Scan(ctx, prefix, from, f)
}

// Sync implements the store.
func (m *Memory) Sync() error { return nil }

// AddUsage implements the store.
func (m *Memory) AddUsage(day string, upTo uint64, rows func(yield func(key, label string, numbers []int64) bool)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.usage[day]
	if m.broken != nil || upTo <= before.upTo {
		return m.broken
	}
	after := usageDay{upTo, maps.Clone(before.sums)}
	if after.sums == nil {
		after.sums = map[string]usageSum{}
	}
	last, unsorted := "", false
	rows(func(key, label string, numbers []int64) bool {
		unsorted = unsorted || key <= last
		last = key
		sum := make([]int64, max(len(numbers), len(before.sums[key].numbers)))
		copy(sum, before.sums[key].numbers)
		for i, n := range numbers {
			sum[i] += n
		}
		after.sums[key] = usageSum{label, sum}
		return true
	})
	if unsorted {
		return errors.New("the keys are not in order")
	}
	m.usage[day] = after
	return nil
}

// UsageUpTo implements the store.
func (m *Memory) UsageUpTo(day string) uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.usage[day].upTo
}

// Usage implements the store.
func (m *Memory) Usage(_ context.Context, from, to string, f func(day, key, label string, numbers []int64) error) error {
	m.mu.Lock()
	days := maps.Clone(m.usage)
	m.mu.Unlock()
	for _, day := range slices.Sorted(maps.Keys(days)) {
		if day < from || to != "" && day > to {
			continue
		}
		sums := days[day].sums
		for _, key := range slices.Sorted(maps.Keys(sums)) {
			if err := f(day, key, sums[key].label, slices.Clone(sums[key].numbers)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Break makes Append, Write and AddUsage answer err, or work again if it is nil.
func (m *Memory) Break(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.broken = err
}

// Snapshot returns the store as a kill would leave it now.
func (m *Memory) Snapshot() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := NewMemory()
	c.first, c.segments = m.first, slices.Clone(m.segments)
	maps.Copy(c.rows, m.rows)
	maps.Copy(c.usage, m.usage) // a day that is added to is made anew
	return c
}
