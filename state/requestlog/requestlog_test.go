package requestlog

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

// frame is a row ready to be appended.
func frame(key, value string, expires int64) []byte {
	f := append(Begin(nil, key, expires), value...)
	Seal(f)
	return f
}

func opened(t testing.TB, dir string, opts Options) *Log {
	t.Helper()
	if opts.MaxSize == 0 {
		opts.MaxSize = 1 << 20
	}
	if opts.Retention == 0 {
		opts.Retention = math.MaxInt64 // so that files are ended by their size alone
	}
	l, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func key(i int) string { return fmt.Sprintf("req_%06d", i) }

// value is long enough that a few hundred rows need several files.
func value(i int) string { return strings.Repeat(strconv.Itoa(i)+" ", 50) }

func fill(t testing.TB, l *Log, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if n, err := l.Append(frame(key(i), value(i), 1000)); err != nil || n != 1 {
			t.Fatalf("row %d: %d, %v", i, n, err)
		}
	}
}

// keys are all that there are at a moment, the greatest first.
func keys(t testing.TB, l *Log, now int64) (all []string) {
	t.Helper()
	rows, err := l.Newest(context.Background(), math.MaxInt, "", now)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		all = append(all, r.Key)
	}
	return all
}

func files(t testing.TB, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRowsAreReadAsTheyWereWritten(t *testing.T) {
	dir := t.TempDir()
	l := opened(t, dir, Options{})
	const rows = 1000
	for range 3 {
		fill(t, l, 0, rows)
		for i := range rows {
			got, found, err := l.Find(t.Context(), key(i), 0)
			if err != nil || !found || string(got) != value(i) {
				t.Fatalf("row %d: %q, %t, %v", i, got, found, err)
			}
		}
		if _, found, err := l.Find(t.Context(), "req_000500x", 0); found || err != nil {
			t.Errorf("a row that is none: %t, %v", found, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = opened(t, dir, Options{})
	}
	if n := len(files(t, dir)); n < 10 {
		t.Errorf("all that is in %d files", n)
	}
}

// What is known of a file that was ended is what reading it through says.
func TestIndexIsWhatIsInTheFile(t *testing.T) {
	dir := t.TempDir()
	l := opened(t, dir, Options{})
	fill(t, l, 0, 500)
	for _, f := range l.files[:len(l.files)-1] {
		x, ok := readIndex(l.path(f.number), f.size)
		content, err := os.ReadFile(l.path(f.number))
		if err != nil {
			t.Fatal(err)
		}
		var want index
		var names extent
		scan(content, func(r row) { want.add(&r); names.add(r.key) })
		want.extend(&names)
		if !ok || x != want || x != f.index || x.rows == 0 {
			t.Errorf("file %d: %+v, %t, want %+v and %+v", f.number, x, ok, want, f.index)
		}
	}
}

// The files against a map: rows in any order, with any expiry, in batches, the folder opened again at any time.
func TestAgainstAModel(t *testing.T) {
	parent, tries := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		tries++
		dir := filepath.Join(parent, strconv.Itoa(tries))
		opts := Options{MaxSize: 1 << 30, Retention: 64 * rapid.Int64Range(1, 50).Draw(t, "span")}
		l, err := Open(dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		l.fileSize = 2000
		type stored struct {
			value   string
			expires int64
		}
		model, now, next := map[string]stored{}, int64(0), 0
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			default:
				var batch []byte
				n := rapid.IntRange(1, 20).Draw(t, "rows")
				for range n {
					next++
					k := fmt.Sprintf("%02d-%d", rapid.IntRange(0, 99).Draw(t, "key"), next)
					s := stored{strings.Repeat("v", rapid.IntRange(0, 300).Draw(t, "value")), now + rapid.Int64Range(-5, 100).Draw(t, "expires")}
					model[k] = s
					batch = append(batch, frame(k, s.value, s.expires)...)
				}
				if written, err := l.Append(batch); err != nil || written != n {
					t.Fatalf("%d of %d are written: %v", written, n, err)
				}
			case 0:
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if l, err = Open(dir, opts); err != nil {
					t.Fatal(err)
				}
				l.fileSize = 2000
			case 1:
				now += rapid.Int64Range(0, 60).Draw(t, "later")
				if err := l.Trim(now); err != nil {
					t.Fatal(err)
				}
			}
			var want []string
			for k, s := range model {
				if s.expires > now {
					want = append(want, k)
				}
			}
			slices.SortFunc(want, func(a, b string) int { return cmp.Compare(b, a) })
			before := rapid.SampledFrom(append(slices.Clone(want), "", "50")).Draw(t, "before")
			limit := rapid.IntRange(0, 30).Draw(t, "limit")
			checkNewest(t, l, want, before, limit, now)
			if len(want) > 0 {
				k := rapid.SampledFrom(want).Draw(t, "find")
				if got, found, err := l.Find(context.Background(), k, now); !found || err != nil || string(got) != model[k].value {
					t.Fatalf("%s is found as %q, %t, %v", k, got, found, err)
				}
			}
		}
	})
}

func checkNewest(t *rapid.T, l *Log, want []string, before string, limit int, now int64) {
	rows, err := l.Newest(context.Background(), limit, before, now)
	if err != nil {
		t.Fatal(err)
	}
	if before != "" {
		want = slices.DeleteFunc(slices.Clone(want), func(k string) bool { return k >= before })
	}
	want = want[:min(limit, len(want))]
	if !slices.EqualFunc(rows, want, func(r Row, k string) bool { return r.Key == k }) {
		t.Fatalf("before %q, at most %d: %d rows, want %q", before, limit, len(rows), want)
	}
}

// A crash may leave any part of the last row. It is cut off, and the next row stands in its place.
func TestUnfinishedEndIsCutOff(t *testing.T) {
	whole := append(frame(key(0), value(0), 1000), frame(key(1), value(1), 1000)...)
	last := frame(key(2), value(2), 1000)
	for cut := range len(last) {
		dir := t.TempDir()
		for name, rest := range map[string][]byte{"cut": last[:cut], "zeros": make([]byte, cut)} {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d%s", 1, suffix)), slices.Concat(whole, rest), 0o600); err != nil {
				t.Fatal(err)
			}
			l := opened(t, dir, Options{})
			if size := l.Size(); size != int64(len(whole)) {
				t.Fatalf("%s %d: %d bytes, want %d", name, cut, size, len(whole))
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := t.TempDir()
	l := opened(t, dir, Options{})
	fill(t, l, 0, 2)
	if err := errors.Join(l.Close(), os.WriteFile(l.path(1), slices.Concat(whole, last[:40]), 0o600)); err != nil {
		t.Fatal(err)
	}
	l = opened(t, dir, Options{})
	fill(t, l, 3, 4)
	if got := keys(t, l, 0); !slices.Equal(got, []string{key(3), key(1), key(0)}) {
		t.Errorf("got %q", got)
	}
}

// Whatever is done to one file, the rows of the others are there, and those of the file that it did not hit.
func TestDamageStaysWhereItIs(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"a byte flipped": func(b []byte) []byte { b[len(b)/2] ^= 0xff; return b },
		"cut":            func(b []byte) []byte { return b[:len(b)/2] },
		"overwritten":    func(b []byte) []byte { return bytes.Repeat([]byte{0xa5}, len(b)) },
		"all marks":      func(b []byte) []byte { return bytes.Repeat([]byte{mark}, len(b)) },
		"empty":          func([]byte) []byte { return nil },
		"gone":           nil,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := opened(t, dir, Options{})
			const rows = 500
			fill(t, l, 0, rows)
			hit := l.files[2]
			content, err := os.ReadFile(l.path(hit.number))
			if err == nil && damage == nil {
				err = os.Remove(l.path(hit.number))
			} else if err == nil {
				err = os.WriteFile(l.path(hit.number), damage(content), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // while it is open, and when it is opened again
				got := keys(t, l, 0)
				if lost := int64(rows - len(got)); lost < 1 || lost > hit.rows || name == "a byte flipped" && lost > 1 {
					t.Errorf("%d rows are lost of the %d in the file", lost, hit.rows)
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				l = opened(t, dir, Options{})
			}
			fill(t, l, rows, rows+10)
		})
	}
}

func TestSizeIsBounded(t *testing.T) {
	dir := t.TempDir()
	l := opened(t, dir, Options{MaxSize: 200_000})
	for i := range 3000 {
		fill(t, l, i, i+1)
		if size := l.Size(); size > 200_000 {
			t.Fatalf("row %d: %d bytes", i, size)
		}
	}
	got := keys(t, l, 0)
	if got[0] != key(2999) || len(got) < 650 || got[len(got)-1] != key(3000-len(got)) {
		t.Errorf("%d rows from %s to %s", len(got), got[len(got)-1], got[0])
	}
	var held int64
	for _, file := range files(t, dir) {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		held += info.Size()
	}
	if held != l.Size() {
		t.Errorf("the files have %d bytes, the log says %d", held, l.Size())
	}
	if _, err := l.Append(frame("req_large", strings.Repeat("x", 150_000), 1000)); err != nil {
		t.Error(err)
	}
	if size := l.Size(); size > 200_000 {
		t.Errorf("with a large row: %d bytes", size)
	}
}

// A write that fails leaves no part of itself, also if that could not be removed at once.
func TestFailedWrite(t *testing.T) {
	l := opened(t, t.TempDir(), Options{})
	fill(t, l, 0, 3)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("this system has no device that is always full")
	}
	tail := l.tail
	for range 2 {
		l.tail = full
		if n, err := l.Append(frame(key(9), "lost", 1000)); n != 0 || !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EINVAL) {
			t.Errorf("on a full disk: %d, %v", n, err)
		}
		if _, err := tail.WriteString("part of a row"); err != nil {
			t.Fatal(err)
		}
	}
	l.tail = tail
	fill(t, l, 3, 5)
	want := []string{key(4), key(3), key(2), key(1), key(0)}
	if got := keys(t, l, 0); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if err := full.Close(); err != nil {
		t.Error(err)
	}
	info, err := os.Stat(l.path(1))
	if err != nil || info.Size() != l.Size() {
		t.Errorf("the file has %d bytes, the log says %d; %v", info.Size(), l.Size(), err)
	}
}

// Who removes the folder, or the file that is written to, loses what was in it, and nothing that comes after.
func TestRemovedWhileOpen(t *testing.T) {
	for name, remove := range map[string]func(l *Log) error{
		"the folder":         func(l *Log) error { return os.RemoveAll(l.dir) },
		"the folder above":   func(l *Log) error { return os.RemoveAll(filepath.Dir(l.dir)) },
		"the last file":      func(l *Log) error { return os.Remove(l.path(l.files[len(l.files)-1].number)) },
		"what it has so far": func(l *Log) error { return errors.Join(os.RemoveAll(l.dir), os.Mkdir(l.dir, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data", "requests")
			l := opened(t, dir, Options{})
			fill(t, l, 0, 3)
			if err := remove(l); err != nil {
				t.Fatal(err)
			}
			fill(t, l, 3, 5)
			want := []string{key(4), key(3)}
			for range 2 { // while it is open, and when it is opened again
				if got := keys(t, l, 0); !slices.Equal(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				l = opened(t, dir, Options{})
			}
		})
	}
}

// A file that cannot be begun is one batch lost, not the log.
func TestNextFileIsTaken(t *testing.T) {
	dir := t.TempDir()
	l := opened(t, dir, Options{})
	if err := os.Mkdir(l.path(1), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(frame(key(0), "lost", 1000)); !errors.Is(err, os.ErrExist) {
		t.Errorf("got %v", err)
	}
	fill(t, l, 1, 3)
	if got := keys(t, l, 0); len(got) != 2 {
		t.Errorf("got %q", got)
	}
}

func TestClosed(t *testing.T) {
	l := opened(t, t.TempDir(), Options{})
	fill(t, l, 0, 1)
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
	_, appending := l.Append(frame(key(1), "", 1000))
	_, _, finding := l.Find(t.Context(), key(0), 0)
	_, listing := l.Newest(t.Context(), 1, "", 0)
	for _, err := range []error{appending, finding, listing, l.Trim(0)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want %v", err, ErrClosed)
		}
	}
}

// Readers come while files are written, ended and given up: what they find is whole and in order.
func TestReadersAndAWriter(t *testing.T) {
	l := opened(t, t.TempDir(), Options{MaxSize: 300_000})
	var done sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		done.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				rows, err := l.Newest(context.Background(), 100, "", 0)
				if err != nil {
					t.Error(err)
				}
				for i, r := range rows {
					if n, err := strconv.Atoi(strings.TrimPrefix(r.Key, "req_")); err != nil || string(r.Value) != value(n) || i > 0 && rows[i-1].Key <= r.Key {
						t.Errorf("row %d is %q", i, r.Key)
					}
				}
				if len(rows) > 0 {
					_, found, err := l.Find(context.Background(), rows[0].Key, 0)
					if left := keys(t, l, 0); err != nil || len(left) == 0 || !found && left[len(left)-1] <= rows[0].Key {
						t.Errorf("%s is there, and found: %t, %v", rows[0].Key, found, err)
					}
				}
			}
		})
	}
	fill(t, l, 0, 5000)
	close(stop)
	done.Wait()
}

// meanwhile is a context in whose time something happens, once, when somebody asks whether it has ended.
type meanwhile struct {
	context.Context
	once sync.Once
	do   func()
}

func (m *meanwhile) Err() error {
	m.once.Do(m.do)
	return m.Context.Err()
}

// Who writes may be so much faster than who reads that all files which were listed are given up before one is read.
func TestAReaderIsOvertaken(t *testing.T) {
	l := opened(t, t.TempDir(), Options{MaxSize: 100_000})
	fill(t, l, 0, 100)
	ctx := &meanwhile{Context: t.Context(), do: func() { fill(t, l, 100, 1000) }}
	if rows, err := l.Newest(ctx, 1, "", 0); err != nil || len(rows) != 1 || rows[0].Key != key(999) {
		t.Errorf("%d rows, want the newest: %v", len(rows), err)
	}
	ctx = &meanwhile{Context: t.Context(), do: func() { fill(t, l, 1000, 2000) }}
	if rows, err := l.Newest(ctx, 1, key(990), 0); err != nil || len(rows) != 0 {
		t.Errorf("%d rows before one that is gone: %v", len(rows), err)
	}
}

// Whatever a file holds, it is opened, appended to and read.
func FuzzOpen(f *testing.F) {
	var x index
	x.add(&row{expires: 5})
	f.Add(slices.Concat(frame("a", "1", 10), frame("b", "2", 20)))
	f.Add(slices.Concat(frame("a", "1", 10), x.appendTo(nil)))
	f.Add([]byte{mark, rowKind, 9, 0, 0, 0})
	f.Add([]byte{mark, mark, mark})
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d%s", 1, suffix)), content, 0o600); err != nil {
			t.Fatal(err)
		}
		l := opened(t, dir, Options{})
		if _, err := l.Append(frame("zzz", "new", math.MaxInt64)); err != nil {
			t.Fatal(err)
		}
		if got, found, err := l.Find(t.Context(), "zzz", 0); !found || err != nil || string(got) != "new" {
			t.Fatalf("%q, %t, %v", got, found, err)
		}
		if _, err := l.Newest(t.Context(), 10, "", 0); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(frame("key", "value", 1))
	f.Add(frame("", "", -1))
	f.Add((&index{first: "a", last: "b"}).appendTo(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, length := parse(data); length > 0 && !bytes.Equal(frame(string(r.key), string(r.value), r.expires), data[:length]) {
			t.Fatal("it reads as something else")
		}
		if x, ok := parseIndex(data); ok && !bytes.Equal(x.appendTo(nil), data) {
			t.Fatalf("it reads as %+v", x)
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	for _, rows := range []int{1, 100} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			l := opened(b, b.TempDir(), Options{MaxSize: 256 << 20})
			batch := bytes.Repeat(frame("req_01jd2m3n4p5q6r7s8t9vawbxcy", strings.Repeat("x", 600), 1000), rows)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := l.Append(batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows), "ns/row")
		})
	}
}

// What a look-up costs: a file of the largest size is read through.
func BenchmarkFind(b *testing.B) {
	l := opened(b, b.TempDir(), Options{MaxSize: 4 << 30})
	const rows = 50_000
	for i := range rows {
		if _, err := l.Append(frame(key(i), value(i), 1000)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if _, found, err := l.Find(b.Context(), key(rows/2), 0); !found || err != nil {
			b.Fatal(found, err)
		}
	}
}
