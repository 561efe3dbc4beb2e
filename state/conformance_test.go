package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// ledgerStore is what the ledger keeps itself in. Whatever stands behind these methods has to pass testStore.
type ledgerStore interface {
	Append(number uint64, segment []byte, sync bool) error
	Segments(ctx context.Context, from uint64, f func(number uint64, segment []byte) error) error
	LastSegment() (uint64, error)
	Drop(ctx context.Context, before uint64) error
	Write(rows iter.Seq2[string, []byte]) error
	Read(key string) (value []byte, ok bool, err error)
	Scan(ctx context.Context, prefix, from string, f func(key string, value []byte) error) error
}

func TestLedgerStore(t *testing.T) {
	testStore(t, func(t *testing.T) (ledgerStore, func() ledgerStore) {
		dir := t.TempDir()
		s := openState(t, dir, Options{})
		return s, func() ledgerStore {
			closeState(t, s)
			s = openState(t, dir, Options{})
			return s
		}
	})
}

// ledgerBooks are the rows that the ledger has for itself, in the place of the others.
type ledgerBooks struct{ *State }

func (b ledgerBooks) Write(rows iter.Seq2[string, []byte]) error { return b.WriteBooks(rows) }

func (b ledgerBooks) Read(key string) ([]byte, bool, error) { return b.ReadBook(key) }

func (b ledgerBooks) Scan(ctx context.Context, prefix, from string, f func(key string, value []byte) error) error {
	return b.ScanBooks(ctx, prefix, from, f)
}

func TestLedgerBooks(t *testing.T) {
	testStore(t, func(t *testing.T) (ledgerStore, func() ledgerStore) {
		dir := t.TempDir()
		s := openState(t, dir, Options{})
		return ledgerBooks{s}, func() ledgerStore {
			closeState(t, s)
			s = openState(t, dir, Options{})
			return ledgerBooks{s}
		}
	})
}

// testStore tests a store. open returns an empty one, and what closes it and opens it again.
func testStore(t *testing.T, open func(t *testing.T) (s ledgerStore, reopen func() ledgerStore)) {
	t.Run("segments", func(t *testing.T) { testSegments(t, open) })
	t.Run("segments that cannot be", func(t *testing.T) { testWrongSegments(t, open) })
	t.Run("drop", func(t *testing.T) { testDrop(t, open) })
	t.Run("rows", func(t *testing.T) { testRows(t, open) })
	t.Run("many rows at once", func(t *testing.T) { testManyRows(t, open) })
	t.Run("rows as a model has them", func(t *testing.T) { testRowModel(t, open) })
	t.Run("readers beside writers", func(t *testing.T) { testStoreInParallel(t, open) })
}

type opener = func(t *testing.T) (ledgerStore, func() ledgerStore)

// segmentOf makes the content of a segment: 1 byte to 1 MiB.
func segmentOf(number uint64) []byte {
	size := 1 + int(number*7919%20_000)
	if number%50 == 0 {
		size = 1 << 20
	}
	return bytes.Repeat([]byte{byte(number), byte(number >> 8), 0xa5}, size/3+1)[:size]
}

// numbers reads the segments from a number on and checks what they hold.
func numbers(t *testing.T, s ledgerStore, from uint64) (all []uint64) {
	t.Helper()
	err := s.Segments(context.Background(), from, func(number uint64, segment []byte) error {
		if !bytes.Equal(segment, segmentOf(number)) {
			t.Errorf("segment %d holds something else", number)
		}
		all = append(all, number)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return all
}

func sequence(first, last uint64) (all []uint64) {
	for n := first; n <= last; n++ {
		all = append(all, n)
	}
	return all
}

func testSegments(t *testing.T, open opener) {
	s, reopen := open(t)
	if last, err := s.LastSegment(); err != nil || last != 0 {
		t.Errorf("the last segment of an empty store is %d, %v", last, err)
	}
	if all := numbers(t, s, 1); all != nil {
		t.Errorf("an empty store has the segments %d", all)
	}
	for n := range uint64(120) {
		segment := segmentOf(n + 1)
		if err := s.Append(n+1, segment, n%10 == 0); err != nil {
			t.Fatal(err)
		}
		clear(segment) // it is the caller's again
	}
	for _, when := range []string{"at once", "after a restart"} {
		if last, err := s.LastSegment(); err != nil || last != 120 {
			t.Errorf("%s: the last segment is %d, %v", when, last, err)
		}
		for _, from := range []uint64{0, 1, 60, 120, 121} {
			if got, want := numbers(t, s, from), sequence(max(from, 1), 120); !slices.Equal(got, want) {
				t.Errorf("%s: from %d on there are %d, want %d", when, from, got, want)
			}
		}
		s = reopen()
	}
	if err := s.Append(121, segmentOf(121), false); err != nil {
		t.Error(err)
	}
	testSegmentsStop(t, s)
}

func testSegmentsStop(t *testing.T, s ledgerStore) {
	enough := errors.New("enough")
	calls := 0
	err := s.Segments(context.Background(), 1, func(uint64, []byte) error {
		if calls++; calls == 3 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || calls != 3 {
		t.Errorf("%v after %d calls, want %v after 3", err, calls, enough)
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Segments(canceled, 1, func(uint64, []byte) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func testWrongSegments(t *testing.T, open opener) {
	s, _ := open(t)
	if err := s.Append(1, segmentOf(1), false); err != nil {
		t.Fatal(err)
	}
	for _, number := range []uint64{0, 1, 3} {
		if err := s.Append(number, segmentOf(number), false); err == nil {
			t.Errorf("segment %d is taken after 1", number)
		}
	}
	if err := s.Append(2, nil, false); err == nil {
		t.Error("an empty segment is taken")
	}
	if all := numbers(t, s, 1); !slices.Equal(all, []uint64{1}) {
		t.Errorf("there are the segments %d", all)
	}
}

func testDrop(t *testing.T, open opener) {
	s, reopen := open(t)
	for n := range uint64(30) {
		if err := s.Append(n+1, segmentOf(n+1), false); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Drop(context.Background(), 20); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := numbers(t, s, 20); !slices.Equal(got, sequence(20, 30)) {
			t.Errorf("from 20 on there are %d", got)
		}
		if last, err := s.LastSegment(); err != nil || last != 30 {
			t.Errorf("the last is %d, %v", last, err)
		}
		s = reopen()
	}
}

func testRows(t *testing.T, open opener) {
	s, reopen := open(t)
	rows := map[string][]byte{"a/1": []byte("x"), "a/2": {}, "a/3": []byte("z"), "b/1": []byte("w"), "\xff\x00": {0}}
	if err := s.Write(maps.All(rows)); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(maps.All(map[string][]byte{"a/3": nil, "a/1": []byte("y"), "none": nil})); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for key, want := range map[string]string{"a/1": "y", "a/2": "", "b/1": "w", "\xff\x00": "\x00"} {
			if value, ok, err := s.Read(key); err != nil || !ok || string(value) != want {
				t.Errorf("%q is %q, %t, %v, want %q", key, value, ok, err, want)
			}
		}
		for _, key := range []string{"a/3", "none", "", "a"} {
			if value, ok, err := s.Read(key); err != nil || ok || value != nil {
				t.Errorf("%q is %q, %t, %v", key, value, ok, err)
			}
		}
		for _, scan := range []struct{ prefix, from, want string }{
			{"a/", "", "a/1=y a/2="},
			{"a/", "a/2", "a/2="},
			{"a/", "a/10", "a/2="},
			{"a/", "b", ""},
			{"b", "a/1", "b/1=w"},
			{"", "", "a/1=y a/2= b/1=w \xff\x00=\x00"},
			{"", "b/1", "b/1=w \xff\x00=\x00"},
			{"c", "", ""},
		} {
			if got := scanned(t, s, scan.prefix, scan.from); got != scan.want {
				t.Errorf("scanning %q from %q: %q, want %q", scan.prefix, scan.from, got, scan.want)
			}
		}
		s = reopen()
	}
}

func scanned(t interface{ Error(...any) }, s ledgerStore, prefix, from string) string {
	var all []string
	err := s.Scan(context.Background(), prefix, from, func(key string, value []byte) error {
		all = append(all, key+"="+string(value))
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return strings.Join(all, " ")
}

// More than any transaction takes.
func testManyRows(t *testing.T, open opener) {
	s, _ := open(t)
	const rows = 300_000
	value := make([]byte, 40)
	err := s.Write(func(yield func(string, []byte) bool) {
		for i := range rows {
			value = fmt.Appendf(value[:0], "value %d", i) // it is the caller's again after each step
			if !yield(fmt.Sprintf("row/%06d", i), value) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	i := 0
	err = s.Scan(context.Background(), "row/", "", func(key string, value []byte) error {
		if key != fmt.Sprintf("row/%06d", i) || string(value) != fmt.Sprint("value ", i) {
			return fmt.Errorf("row %d is %q=%q", i, key, value)
		}
		i++
		return nil
	})
	if err != nil || i != rows {
		t.Errorf("%d rows, %v, want %d", i, err, rows)
	}
}

func testRowModel(t *testing.T, open opener) {
	s, reopen := open(t)
	model := make(map[string]string)
	key := rapid.StringMatching(`[a-c]{0,2}/[0-9]{1,2}`)
	rapid.Check(t, func(t *rapid.T) {
		t.Repeat(map[string]func(*rapid.T){
			"write": func(t *rapid.T) {
				batch := make(map[string][]byte)
				for _, k := range rapid.SliceOfN(key, 1, 8).Draw(t, "keys") {
					value := []byte(rapid.StringN(0, 6, -1).Draw(t, "value"))
					if rapid.Bool().Draw(t, "delete") {
						value = nil
						delete(model, k)
					} else {
						model[k] = string(value)
					}
					batch[k] = value
				}
				if err := s.Write(maps.All(batch)); err != nil {
					t.Fatal(err)
				}
			},
			"read": func(t *rapid.T) {
				k := key.Draw(t, "key")
				want, there := model[k]
				if value, ok, err := s.Read(k); err != nil || ok != there || string(value) != want {
					t.Fatalf("%q is %q, %t, %v, want %q, %t", k, value, ok, err, want, there)
				}
			},
			"scan": func(t *rapid.T) {
				prefix, from := rapid.StringMatching(`[a-c]?`).Draw(t, "prefix"), key.Draw(t, "from")
				var want []string
				for _, k := range slices.Sorted(maps.Keys(model)) {
					if strings.HasPrefix(k, prefix) && k >= from {
						want = append(want, k+"="+model[k])
					}
				}
				if got := scanned(t, s, prefix, from); got != strings.Join(want, " ") {
					t.Fatalf("scanning %q from %q: %q, want %q", prefix, from, got, want)
				}
			},
		})
	})
	s = reopen()
	after := make(map[string]string)
	err := s.Scan(context.Background(), "", "", func(key string, value []byte) error { after[key] = string(value); return nil })
	if err != nil || !maps.Equal(after, model) {
		t.Errorf("after a restart: %q, %v, want %q", after, err, model)
	}
}

func testStoreInParallel(t *testing.T, open opener) {
	s, _ := open(t)
	const last = 300
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := uint64(1); n <= last; n++ {
			if err := s.Append(n, segmentOf(n), n%100 == 0); err != nil {
				t.Error(err)
				return
			}
		}
	})
	wg.Go(func() {
		for n := range last {
			rows := map[string][]byte{"x": fmt.Append(nil, n), "y": fmt.Append(nil, n)}
			if err := s.Write(maps.All(rows)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			for range 50 {
				if all := numbers(t, s, 1); !slices.Equal(all, sequence(1, uint64(len(all)))) {
					t.Errorf("the segments are %d", all)
				}
				var x, y string
				fmt.Sscanf(scanned(t, s, "", ""), "x=%s y=%s", &x, &y)
				if x != y {
					t.Errorf("half of a write is seen: %q and %q", x, y)
				}
				if _, _, err := s.Read("x"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := s.Drop(context.Background(), last); err != nil {
		t.Error(err)
	}
	if all := numbers(t, s, last); !slices.Equal(all, []uint64{last}) {
		t.Errorf("after dropping the others: %d", all)
	}
}
