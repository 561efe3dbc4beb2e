package rows

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func opened(t testing.TB, dir string, fileSize int64) *Table {
	t.Helper()
	table, err := open(dir, fileSize)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	return table
}

func write(t testing.TB, table *Table, rows map[string][]byte) {
	t.Helper()
	if err := table.Write(maps.All(rows)); err != nil {
		t.Fatal(err)
	}
}

// fataler is what a test and a rapid check have in common.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// holds checks that the table has exactly these rows, by Scan and by Read.
func holds(t fataler, table *Table, want map[string]string) {
	t.Helper()
	var last string
	got := map[string]string{}
	err := table.Scan(context.Background(), "", "", func(key string, value []byte) error {
		if key < last {
			t.Fatalf("%q comes after %q", key, last)
		}
		last, got[key] = key, string(value)
		return nil
	})
	if err != nil || !maps.Equal(got, want) {
		t.Fatalf("a scan finds %d rows, %d are there: %v", len(got), len(want), err)
	}
	for key, value := range want {
		if v, ok, err := table.Read(key); err != nil || !ok || string(v) != value {
			t.Fatalf("%q is %q, %t, %v, want %q", key, v, ok, err, value)
		}
	}
	if live, _ := table.Figures(); live != len(want) {
		t.Fatalf("%d rows are counted, %d are there", live, len(want))
	}
}

// model is a table beside what it should hold.
type model struct {
	dir   string
	table *Table
	want  map[string]string
}

func (m *model) write(t *rapid.T) {
	key := rapid.Map(rapid.IntRange(0, 40), func(n int) string { return fmt.Sprintf("account/%02d", n) })
	batch := rapid.SliceOfN(key, 0, 60).Draw(t, "keys")
	err := m.table.Write(func(yield func(string, []byte) bool) {
		for _, key := range batch {
			var value []byte
			if delete(m.want, key); rapid.IntRange(0, 4).Draw(t, "remove") > 0 {
				value = bytes.Repeat([]byte{byte(len(m.want) + 1)}, rapid.IntRange(0, 400).Draw(t, "length"))
				m.want[key] = string(value)
			}
			if !yield(key, value) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (m *model) reopen(t *rapid.T) {
	if rapid.Bool().Draw(t, "in order") { // else as the end of the process leaves it
		if err := m.table.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	if m.table, err = open(m.dir, m.table.fileSize); err != nil {
		t.Fatal(err)
	}
}

func TestTheLastRowOfAKeyCounts(t *testing.T) {
	parent, n := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		m := &model{dir: filepath.Join(parent, strconv.Itoa(n)), want: map[string]string{}}
		var err error
		if m.table, err = open(m.dir, 2_000); err != nil {
			t.Fatal(err)
		}
		t.Repeat(map[string]func(*rapid.T){
			"Write":  m.write,
			"Reopen": m.reopen,
			"":       func(t *rapid.T) { holds(t, m.table, m.want) },
		})
		if err := m.table.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// Files are given up: what is on the disk stays in proportion to what is there.
func TestOldRowsGiveTheirSpaceBack(t *testing.T) {
	dir := t.TempDir()
	table := opened(t, dir, 16<<10)
	want := map[string]string{}
	for round := range 300 {
		batch := map[string][]byte{}
		for i := range 100 {
			batch[fmt.Sprint("account/", i)] = fmt.Append(nil, round, strings.Repeat("x", 50))
		}
		write(t, table, batch)
	}
	for i := range 100 {
		want[fmt.Sprint("account/", i)] = fmt.Sprint(299, strings.Repeat("x", 50))
	}
	holds(t, table, want)
	_, size := table.Figures()
	files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil || len(files) > 6 || size > 100<<10 {
		t.Errorf("%d files have %d bytes: %v", len(files), size, err)
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	holds(t, opened(t, dir, 16<<10), want)
}

func TestPrefixAndFrom(t *testing.T) {
	table := opened(t, t.TempDir(), fileSize)
	write(t, table, map[string][]byte{"a/1": {1}, "a/2": {2}, "a/3": nil, "b/1": {}, "a": {5}})
	for query, want := range map[[2]string]string{
		{"", ""}: "a a/1 a/2 b/1", {"a/", ""}: "a/1 a/2", {"a/", "a/2"}: "a/2", {"c", ""}: "", {"", "a/11"}: "a/2 b/1",
	} {
		var got []string
		err := table.Scan(t.Context(), query[0], query[1], func(key string, _ []byte) error { got = append(got, key); return nil })
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%q finds %q, want %q: %v", query, got, want, err)
		}
	}
	if v, ok, err := table.Read("b/1"); err != nil || !ok || v == nil || len(v) != 0 {
		t.Errorf("an empty row is %v, %t, %v", v, ok, err)
	}
	if _, ok, err := table.Read("a/3"); err != nil || ok {
		t.Errorf("a removed row is there: %v", err)
	}
}

// A scan sees the rows as they are when it begins, whatever is written meanwhile, and no file goes from under it.
func TestAScanIsOfOneMoment(t *testing.T) {
	table := opened(t, t.TempDir(), 4<<10)
	want := map[string][]byte{}
	for i := range 200 {
		want[fmt.Sprintf("account/%03d", i)] = []byte("before")
	}
	write(t, table, want)
	n := 0
	err := table.Scan(t.Context(), "", "", func(key string, value []byte) error {
		if n++; string(value) != "before" {
			return fmt.Errorf("%s is %q", key, value)
		}
		for range 3 {
			write(t, table, map[string][]byte{"account/199": []byte("after"), "account/198": nil, fmt.Sprint("new/", n): {1}})
		}
		return nil
	})
	if err != nil || n != len(want) {
		t.Errorf("%d rows of %d: %v", n, len(want), err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := table.Scan(ctx, "", "", func(string, []byte) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a scan that was called off: %v", err)
	}
}

// Whatever a crash leaves of the last write, the rows before it are there, and the next ones can be written.
func TestATornWriteIsCutOff(t *testing.T) {
	dir := t.TempDir()
	table := opened(t, dir, fileSize)
	write(t, table, map[string][]byte{"a": []byte("one")})
	_, whole := table.Figures()
	write(t, table, map[string][]byte{"b": []byte("two")})
	_, all := table.Figures()
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	file := table.path(1)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for length := whole; length < all; length++ {
		for _, behind := range [][]byte{nil, make([]byte, 100)} {
			left := slices.Concat(content[:length], behind)
			if behind != nil && length != whole {
				continue // a file system fills with zeros what it did not write at all
			}
			if err := os.WriteFile(file, left, 0o600); err != nil {
				t.Fatal(err)
			}
			table := opened(t, dir, fileSize)
			holds(t, table, map[string]string{"a": "one"})
			write(t, table, map[string][]byte{"c": []byte("three")})
			holds(t, table, map[string]string{"a": "one", "c": "three"})
			if err := table.Close(); err != nil {
				t.Fatal(err)
			}
			holds(t, opened(t, dir, fileSize), map[string]string{"a": "one", "c": "three"})
		}
	}
}

// Damage is told and never a wrong row. What looks like a torn end is one: the ledger's journal has the rest.
func TestDamageIsTold(t *testing.T) {
	dir := t.TempDir()
	table := opened(t, dir, 64)
	for i := range 3 {
		write(t, table, map[string][]byte{fmt.Sprint("account/", i): bytes.Repeat([]byte{byte(i)}, 80)})
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	for number := uint64(1); number <= 3; number++ {
		content, err := os.ReadFile(table.path(number))
		if err != nil {
			t.Fatal(err)
		}
		for i := range content {
			bad := bytes.Clone(content)
			bad[i] ^= 0x40
			if err := os.WriteFile(table.path(number), bad, 0o600); err != nil {
				t.Fatal(err)
			}
			again, err := open(dir, 64)
			switch {
			case err == nil && number < 3:
				t.Fatalf("byte %d of file %d is wrong, and nobody notices", i, number)
			case err != nil && !errors.Is(err, ErrCorrupt):
				t.Fatal(err)
			case err == nil:
				if live, _ := again.Figures(); live != 2 {
					t.Fatalf("byte %d of the last file is wrong, and %d rows are there", i, live)
				}
				_ = again.Close()
			}
			if err := os.WriteFile(table.path(number), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Remove(table.path(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := open(dir, 64); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a file is missing: %v", err)
	}
}

// A row that changes under an open table is an error of who reads it.
func TestDamageInUse(t *testing.T) {
	table := opened(t, t.TempDir(), fileSize)
	write(t, table, map[string][]byte{"a": []byte("one")})
	if err := os.WriteFile(table.path(1), make([]byte, 30), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := table.Read("a"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("reading a row that was overwritten: %v", err)
	}
}

// Many read while one writes: each finds the row as it was last written, or as it is being written.
func TestReadingBesideWriting(t *testing.T) {
	table := opened(t, t.TempDir(), 8<<10)
	const keys = 50
	batch := func(round int) iter.Seq2[string, []byte] {
		return func(yield func(string, []byte) bool) {
			for i := range keys {
				if !yield(fmt.Sprint("account/", i), fmt.Append(nil, i, " ", round)) {
					return
				}
			}
		}
	}
	if err := table.Write(batch(0)); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		all.Go(func() {
			for last := [keys]int{}; ; {
				i, key, round := rand.IntN(keys), 0, 0
				v, ok, err := table.Read(fmt.Sprint("account/", i))
				if _, scanErr := fmt.Sscan(string(v), &key, &round); err != nil || !ok || scanErr != nil || key != i || round < last[i] {
					t.Errorf("row %d, which was of round %d: %q, %t, %v", i, last[i], v, ok, err)
					return
				}
				last[i] = round
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	all.Go(func() {
		defer close(stop)
		for round := range 400 {
			if err := errors.Join(table.Write(batch(round)), table.Sync()); err != nil {
				t.Error(err)
				return
			}
		}
	})
	all.Wait()
}

func TestSnapshot(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	table := opened(t, dir, 1<<10)
	want := map[string]string{}
	for i := range 100 {
		write(t, table, map[string][]byte{fmt.Sprint(i): []byte("before")})
		want[fmt.Sprint(i)] = "before"
	}
	files, err := table.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		batch := map[string][]byte{}
		for i := range 100 {
			batch[fmt.Sprint(i)] = []byte("after")
		}
		write(t, table, batch)
	}
	for _, f := range files {
		content := make([]byte, f.Size)
		_, err := f.ReadAt(content, 0)
		if err := errors.Join(err, f.Close(), os.WriteFile(filepath.Join(copied, f.Name), content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	holds(t, opened(t, copied, 1<<10), want)
}

func TestWhatCannotBeKept(t *testing.T) {
	table := opened(t, t.TempDir(), fileSize)
	long := strings.Repeat("x", maxKey+1)
	if err := table.Write(maps.All(map[string][]byte{long: {1}})); !errors.Is(err, ErrRow) {
		t.Errorf("a key of %d bytes: %v", len(long), err)
	}
	if err := table.Write(maps.All(map[string][]byte{"x": make([]byte, maxValue+1)})); !errors.Is(err, ErrRow) {
		t.Errorf("a value that is too long: %v", err)
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, read := table.Read("x")
	_, snapshot := table.Snapshot()
	scan := table.Scan(t.Context(), "", "", func(string, []byte) error { return nil })
	for what, err := range map[string]error{"Read": read, "Snapshot": snapshot, "Scan": scan, "Sync": table.Sync(), "Write": table.Write(nil)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s of a closed table: %v", what, err)
		}
	}
}

// A write that failed leaves nothing behind that could be taken for a row.
func TestAFailedWrite(t *testing.T) {
	dir := t.TempDir()
	table := opened(t, dir, fileSize)
	write(t, table, map[string][]byte{"a": []byte("one")})
	handle := table.files[0].File
	readable, err := os.Open(table.path(1))
	if err != nil {
		t.Fatal(err)
	}
	table.files[0].File = readable // it takes no writes
	if err := table.Write(maps.All(map[string][]byte{"a": []byte("two"), "b": {1}})); err == nil {
		t.Fatal("a file that takes no writes was written")
	}
	holds(t, table, map[string]string{"a": "one"})
	table.files[0].File = handle
	write(t, table, map[string][]byte{"c": []byte("three")})
	if err := errors.Join(readable.Close(), table.Close()); err != nil {
		t.Fatal(err)
	}
	holds(t, opened(t, dir, fileSize), map[string]string{"a": "one", "c": "three"})
}

// BenchmarkTable is what a row costs among so many: written by the thousand in the order of keys, written at random, and read.
func BenchmarkTable(b *testing.B) {
	const chunk = 4096
	for _, n := range []int{1_000, 1_000_000} {
		table := opened(b, b.TempDir(), fileSize)
		value := bytes.Repeat([]byte{1}, 60)
		key := func(i int) string { return fmt.Sprintf("account/key/key_%016x", i) }
		keys := make([]string, n)
		for i := range keys {
			keys[i] = key(i)
		}
		if err := table.Write(func(yield func(string, []byte) bool) {
			for _, key := range keys {
				if !yield(key, value) {
					return
				}
			}
		}); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("write/rows=%d", n), func(b *testing.B) {
			for done := 0; done < b.N; done += chunk {
				err := table.Write(func(yield func(string, []byte) bool) {
					for range min(chunk, b.N-done) {
						if !yield(keys[rand.IntN(n)], value) {
							return
						}
					}
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("read/rows=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok, err := table.Read(keys[rand.IntN(n)]); !ok || err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("absent/rows=%d", n), func(b *testing.B) {
			for b.Loop() {
				if _, ok, err := table.Read("account/key/none"); ok || err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Whatever the files hold: the folder opens, and then all of it can be read, or it is damaged.
func FuzzOpen(f *testing.F) {
	frames := appendFrame(appendFrame(appendFrame(nil, "a", []byte("one")), "b", nil), "a", []byte("two"))
	f.Add(frames, frames)
	f.Add(frames, frames[:len(frames)-3])
	f.Add([]byte{}, make([]byte, 40))
	f.Fuzz(func(t *testing.T, first, last []byte) {
		dir := t.TempDir()
		for i, content := range [][]byte{first, last} {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d%s", i+1, suffix)), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		table, err := Open(dir)
		if errors.Is(err, ErrCorrupt) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = table.Close() }()
		found := map[string]string{}
		if err := table.Scan(t.Context(), "", "", func(key string, value []byte) error { found[key] = string(value); return nil }); err != nil {
			t.Fatal(err)
		}
		holds(t, table, found)
	})
}
