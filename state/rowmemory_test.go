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

// put is what a change of a row and a lookup behind it do.
func (m *rowMemory) put(key, value []byte) {
	m.forget(key)
	m.add(key, value, m.present())
}

func TestRowMemory(t *testing.T) {
	m := newRows(t, smallest)
	if _, ok := m.find(nil, []byte("a")); ok {
		t.Error("an empty memory has a row")
	}
	m.put([]byte("a"), []byte("one"))
	m.put([]byte("b"), nil)
	if v, ok := m.find([]byte("x"), []byte("a")); !ok || string(v) != "xone" {
		t.Errorf("a is %q, %t", v, ok)
	}
	if v, ok := m.find(nil, []byte("b")); !ok || len(v) != 0 {
		t.Errorf("b is %q, %t", v, ok)
	}
	m.put([]byte("a"), bytes.Repeat([]byte("two"), 100))
	m.put([]byte("a"), []byte("three"))
	m.add([]byte("a"), []byte("read beside it"), m.present())
	if v, _ := m.find(nil, []byte("a")); string(v) != "three" {
		t.Errorf("a is %q, want the last", v)
	}
	m.put([]byte("a"), make([]byte, longestRow))
	if v, ok := m.find(nil, []byte("a")); ok {
		t.Errorf("a row that is too long is kept: %q", v)
	}
	m.close()
	m.put([]byte("a"), []byte("four"))
	if v, ok := m.find(nil, []byte("a")); ok {
		t.Errorf("after its end a is %q", v)
	}
}

func TestRowMemoryRefusesRowsFromBeforeAChange(t *testing.T) {
	m := newRows(t, smallest)
	epoch := m.present()
	m.forget([]byte("a"))
	if m.add([]byte("a"), []byte("old"), epoch) {
		t.Error("a row of an older epoch was taken")
	}
	if v, ok := m.find(nil, []byte("a")); ok {
		t.Errorf("a is %q", v)
	}
}

func TestRowMemoryKeepsTheNewest(t *testing.T) {
	for name, value := range map[string]int{"few long rows, which fill the ring": 400, "many short ones, which fill the slots": 0} {
		m := newRows(t, smallest)
		if !m.hasRoom() {
			t.Errorf("%s: an empty one has no room", name)
		}
		const n = 100_000
		for i := range n {
			m.put(fmt.Append(nil, i), make([]byte, value))
			if _, ok := m.find(nil, fmt.Append(nil, i)); !ok {
				t.Fatalf("%s: row %d is not there right after it was put", name, i)
			}
		}
		if _, ok := m.find(nil, fmt.Append(nil, 0)); ok || m.hasRoom() {
			t.Errorf("%s: the first of %d is still there, or there is room: %t", name, n, m.hasRoom())
		}
		for i := n - 100; i < n; i++ {
			if _, ok := m.find(nil, fmt.Append(nil, i)); !ok {
				t.Errorf("%s: row %d of %d is not there", name, i, n)
			}
		}
	}
}

// Beside a map, in any order of operations: what is found is what the database has.
func TestRowMemoryAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, err := newRowMemory(smallest)
		if err != nil {
			t.Fatal(err)
		}
		defer m.close()
		rows := map[string]string{} // what the database has
		keys := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			key := keys.Draw(t, "key")
			switch rapid.IntRange(0, 2).Draw(t, "operation") {
			case 0:
				rows[key] = string(make([]byte, rapid.IntRange(0, 3000).Draw(t, "length"))) + key
				m.forget([]byte(key))
			case 1:
				delete(rows, key)
				m.forget([]byte(key))
			case 2:
				if row, ok := rows[key]; ok {
					m.add([]byte(key), []byte(row), m.present())
				}
			}
			for k := range 4 {
				key := string(rune('a' + k))
				if v, ok := m.find(nil, []byte(key)); ok && string(v) != rows[key] {
					t.Fatalf("%s has %d bytes, want %d", key, len(v), len(rows[key]))
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
				n := rand.IntN(2000)*8 + g
				key := fmt.Append(nil, n)
				if n%5 == 0 {
					m.forget(key)
				} else {
					m.add(key, key, m.present())
				}
				if v, ok := m.find(nil, fmt.Append(nil, n+1)); ok && string(v) != fmt.Sprint(n+1) {
					t.Errorf("row %d is %q", n+1, v)
				}
			}
		})
	}
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
		if _, ok := m.find(buf[:0], digests[i%len(digests)]); !ok {
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
		if v, ok := m.find(nil, row(i)); !ok || !bytes.Equal(v, row(n-i)) {
			t.Fatalf("row %d is %q, %v", i, v, ok)
		}
	}
}
