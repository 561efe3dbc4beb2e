package state

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func newRows(t testing.TB, bytes int) *rowMemory {
	t.Helper()
	m, err := newRowMemory(bytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	return m
}

// smallest is the least memory that can be taken: a page of slots for each shard.
const smallest = rowShards * 8 * 4096

func TestRowMemory(t *testing.T) {
	m := newRows(t, smallest)
	if _, ok, absent := m.find(nil, []byte("a")); ok || absent {
		t.Errorf("an empty memory answers %t, %t", ok, absent)
	}
	m.put([]byte("a"), []byte("one"))
	m.put([]byte("b"), nil)
	if v, ok, _ := m.find([]byte("x"), []byte("a")); !ok || string(v) != "xone" {
		t.Errorf("a is %q, %t", v, ok)
	}
	if v, ok, _ := m.find(nil, []byte("b")); !ok || len(v) != 0 {
		t.Errorf("b is %q, %t", v, ok)
	}
	m.put([]byte("a"), []byte("two, which fits"))
	m.put([]byte("a"), bytes.Repeat([]byte("three"), 100))
	m.put([]byte("a"), []byte("four"))
	if v, _, _ := m.find(nil, []byte("a")); string(v) != "four" {
		t.Errorf("a is %q, want the last", v)
	}
	m.remove([]byte("a"))
	if v, ok, _ := m.find(nil, []byte("a")); ok {
		t.Errorf("a was removed, and is %q", v)
	}
}

func TestRowMemoryIsWhole(t *testing.T) {
	facts := []struct {
		name  string
		then  func(m *rowMemory)
		whole bool
	}{
		{"at rest", func(*rowMemory) {}, true},
		{"after a row that is new", func(m *rowMemory) { m.put([]byte("b"), nil) }, true},
		{"after a row that is gone", func(m *rowMemory) { m.remove([]byte("a")) }, true},
		{"after a row that nobody is sure of", func(m *rowMemory) { m.forget([]byte("a")) }, false},
		{"after a row that is too long", func(m *rowMemory) { m.put([]byte("a"), make([]byte, longestRow)) }, false},
		{"after too many", func(m *rowMemory) { flood(m, 2*smallest/100) }, false},
		{"after its end", func(m *rowMemory) { m.close() }, false},
	}
	for _, f := range facts {
		m := newRows(t, smallest)
		m.add([]byte("a"), []byte("one"), m.present())
		if !m.complete(m.present()) {
			t.Errorf("%s: it is not whole in the first place", f.name)
		}
		f.then(m)
		if _, ok, absent := m.find(nil, []byte("nobody")); ok || absent != f.whole {
			t.Errorf("%s: a row that is not there is known to be absent: %t", f.name, absent)
		}
	}
}

func TestRowMemoryIsNotWholeIfSomethingChangedMeanwhile(t *testing.T) {
	m := newRows(t, smallest)
	began := m.present()
	m.forget([]byte("a"))
	if m.complete(began) {
		t.Error("it is whole without a row that was forgotten")
	}
}

// The row was read, then written or revoked, and only now it is added: it is the old one.
func TestRowMemoryRefusesRowsFromBeforeAChange(t *testing.T) {
	m := newRows(t, smallest)
	epoch := m.present()
	m.put([]byte("a"), []byte("new"))
	if !m.add([]byte("a"), []byte("old"), epoch) {
		t.Error("a row that was written calls for reading again")
	}
	if v, _, _ := m.find(nil, []byte("a")); string(v) != "new" {
		t.Errorf("a is %q", v)
	}
	flood(m, 2*smallest/100)
	if m.add([]byte("a"), []byte("old"), epoch) {
		t.Error("a row was taken though a newer one had made room meanwhile")
	}
	epoch = m.present()
	m.forget([]byte("a"))
	if m.add([]byte("a"), []byte("old"), epoch) {
		t.Error("a row of an older epoch was taken")
	}
	if v, ok, _ := m.find(nil, []byte("a")); ok {
		t.Errorf("a is %q", v)
	}
}

// flood puts n rows of some 100 bytes.
func flood(m *rowMemory, n int) {
	for i := range n {
		m.put(fmt.Appendf(nil, "row-%020d", i), make([]byte, 60))
	}
}

func TestRowMemoryKeepsTheNewest(t *testing.T) {
	for name, value := range map[string]int{"few long rows, which fill the ring": 400, "many short ones, which fill the slots": 0} {
		m := newRows(t, smallest)
		const n = 100_000
		for i := range n {
			m.put(fmt.Append(nil, i), make([]byte, value))
			if _, ok, _ := m.find(nil, fmt.Append(nil, i)); !ok {
				t.Fatalf("%s: row %d is not there right after it was put", name, i)
			}
		}
		if _, ok, _ := m.find(nil, fmt.Append(nil, 0)); ok {
			t.Errorf("%s: the first of %d is still there", name, n)
		}
		for i := n - 100; i < n; i++ {
			if _, ok, _ := m.find(nil, fmt.Append(nil, i)); !ok {
				t.Errorf("%s: row %d of %d is not there", name, i, n)
			}
		}
	}
}

// Accounts are written every few seconds for years: that must not push out those that are not.
func TestRowMemoryWritesRowsInPlace(t *testing.T) {
	m := newRows(t, smallest)
	m.put([]byte("cold"), []byte("one"))
	m.complete(m.present())
	for i := range 100_000 {
		m.put([]byte("hot"), make([]byte, 50+i%rowSpare))
	}
	if _, ok, _ := m.find(nil, []byte("cold")); !ok {
		t.Error("a row was pushed out by another that was written again and again")
	}
	if _, _, absent := m.find(nil, []byte("nobody")); !absent {
		t.Error("it is not whole any more")
	}
}

// Beside a map, in any order of operations: what is found is what was put last, and of a whole memory nothing is
// missing.
func TestRowMemoryAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, err := newRowMemory(smallest)
		if err != nil {
			t.Fatal(err)
		}
		defer m.close()
		rows := map[string]string{} // what the database has
		m.complete(m.present())
		keys := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			key := keys.Draw(t, "key")
			value := string(make([]byte, rapid.IntRange(0, 3000).Draw(t, "length"))) + key
			switch rapid.IntRange(0, 4).Draw(t, "operation") {
			case 0:
				rows[key] = value
				m.put([]byte(key), []byte(value))
			case 1:
				delete(rows, key)
				m.remove([]byte(key))
			case 2:
				m.forget([]byte(key))
			case 3:
				if old, ok := rows[key]; ok {
					m.add([]byte(key), []byte(old), m.present())
				}
			}
			for k := range 4 {
				key := string(rune('a' + k))
				switch v, ok, absent := m.find(nil, []byte(key)); {
				case ok && string(v) != rows[key]:
					t.Fatalf("%s has %d bytes, want %d", key, len(v), len(rows[key]))
				case absent && rows[key] != "":
					t.Fatalf("%s is said to be absent", key)
				}
			}
		}
	})
}

func TestRowMemoryInParallel(t *testing.T) {
	m := newRows(t, smallest)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for range 20_000 {
				n := rand.IntN(2000)*8 + g // each has one writer
				key := fmt.Append(nil, n)
				switch n % 5 {
				case 0:
					m.add(key, key, m.present())
				case 1:
					m.forget(key)
				default:
					m.put(key, key)
				}
				if v, ok, _ := m.find(nil, fmt.Append(nil, n+1)); ok && string(v) != fmt.Sprint(n+1) {
					t.Errorf("row %d is %q", n+1, v)
				}
			}
		})
	}
	all.Go(func() { m.complete(m.present()) })
	all.Wait()
}

func BenchmarkRowMemory(b *testing.B) {
	m := newRows(b, identityMemory)
	const n = 1_000_000
	for i := range n {
		_, digest := benchmarkKey(i)
		m.put(digest[:], make([]byte, 80))
	}
	digests := make([][]byte, 200_000)
	for i := range digests {
		_, digest := benchmarkKey(rand.IntN(n))
		digests[i] = digest[:]
	}
	var buf [512]byte
	i := 0
	for b.Loop() {
		if _, ok, _ := m.find(buf[:0], digests[i%len(digests)]); !ok {
			b.Fatal("not found")
		}
		i++
	}
}

// With many rows the memory asks for large pages. Nothing is lost by that.
func TestRowMemoryEnlarges(t *testing.T) {
	const n = 40_000
	m := newRows(t, 8<<20)
	row := func(i int) []byte { return fmt.Appendf(nil, "row-%d", i) }
	for i := range n {
		m.put(row(i), row(n-i))
	}
	for i := range m.shards {
		if s := &m.shards[i]; !s.large {
			t.Errorf("shard %d has %d rows in %d places and is not large", i, s.used, s.places())
		}
	}
	for i := range n {
		if v, ok, _ := m.find(nil, row(i)); !ok || !bytes.Equal(v, row(n-i)) {
			t.Fatalf("row %d is %q, %v", i, v, ok)
		}
	}
}
