package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

// onDisk returns what a folder takes of the disk.
func onDisk(t testing.TB, dir string) (size int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		var stat unix.Stat_t
		if unix.Stat(path, &stat) == nil { // Badger removes files meanwhile
			size += stat.Blocks * 512
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return size
}

// The log is written three times over its limit. It stays below five quarters of it, and what is there is the newest.
func TestLogSizeIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 200 MB")
	}
	const limit, rows, step = 64 << 20, 60_000, 20 * time.Millisecond
	var now atomic.Int64
	start := time.Now()
	dir := t.TempDir()
	opts := Options{MaxLogSize: limit, Clock: func() time.Time { return start.Add(time.Duration(now.Load())) }}
	s := openState(t, dir, opts)
	ids := make([]string, rows)
	var largest int64
	for i := range ids {
		r := exchange(start.Add(time.Duration(now.Add(int64(step)))))
		r.Cause = strings.Repeat("x", 3000)
		ids[i] = r.ID
		s.Record(r)
		if i%1000 == 0 {
			if err := s.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
			largest = max(largest, onDisk(t, filepath.Join(dir, requestsFolder)))
		}
		if i == rows/2 { // the accounts outlive the process
			closeState(t, s)
			s = openState(t, dir, opts)
		}
	}
	kept := keptOf(t, s, ids)
	t.Logf("at most %.1f MiB of %d, %d of %d rows are kept", float64(largest)/(1<<20), limit>>20, kept, rows)
	if largest > limit*5/4 {
		t.Errorf("the log took %d MiB, its limit is %d", largest>>20, limit>>20)
	}
	if held := int64(kept) * 3300; held < limit*6/10 {
		t.Errorf("only %d MiB are kept, the limit is %d", held>>20, limit>>20)
	}
	if s.Dropped() > 0 {
		t.Errorf("%d records were dropped", s.Dropped())
	}
}

// keptOf returns how many rows there are: all from one on.
func keptOf(t *testing.T, s *State, ids []string) int {
	t.Helper()
	first := -1
	for i := 0; i < len(ids); i += 100 {
		switch _, err := s.Find(context.Background(), ids[i]); {
		case err == nil && first < 0:
			first = i
		case errors.Is(err, ErrNotFound) && first >= 0:
			t.Errorf("row %d is gone, and %d is not", i, first)
		case err != nil && !errors.Is(err, ErrNotFound):
			t.Fatal(err)
		}
	}
	if _, err := s.Find(context.Background(), ids[len(ids)-1]); err != nil {
		t.Errorf("the last row: %v", err)
	}
	return len(ids) - first
}

// What has expired is given up by the part, and its accounts with it.
func TestExpiredPartsAreDropped(t *testing.T) {
	var now atomic.Pointer[time.Time]
	start := time.Now()
	now.Store(&start)
	s := openState(t, t.TempDir(), Options{Retention: 24 * time.Hour, Clock: func() time.Time { return *now.Load() }})
	for i := range 10 {
		at := start.Add(time.Duration(i) * time.Hour)
		now.Store(&at)
		s.Record(exchange(at))
	}
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{10 * time.Hour, 10}, {24 * time.Hour, 10}, {29*time.Hour + time.Minute, 5}, {1000 * time.Hour, 0}} {
		at := start.Add(tt.after)
		now.Store(&at)
		if err := s.requests.trim(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n, rows := len(s.requests.usage.buckets), countRowsOfAnyAge(t, s); n != tt.want || rows != tt.want {
			t.Errorf("after %v there are %d parts and %d rows, want %d", tt.after, n, rows, tt.want)
		}
	}
	if total := s.requests.usage.total; total != 0 {
		t.Errorf("%d bytes are accounted for an empty log", total)
	}
}

// countRowsOfAnyAge counts what is on the disk.
func countRowsOfAnyAge(t *testing.T, s *State) int {
	t.Helper()
	n := 0
	err := s.requests.db.handle.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(requestRows), AllVersions: true})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestUsage(t *testing.T) {
	u := usage{limit: 160}
	for i, name := range []string{"b", "b", "d", "a", "c", "d"} {
		u.add([]byte(name), int64(10*(i+1)))
	}
	want := []bucket{{"a", 40}, {"b", 30}, {"c", 50}, {"d", 90}}
	if !slices.Equal(u.buckets, want) || u.total != 210 || !slices.Equal(u.dirty, []string{"b", "d", "a", "c"}) {
		t.Fatalf("got %+v", u)
	}
	for _, tt := range []struct {
		before string
		limit  int64
		want   string
	}{
		{"", 210, ""},    // at the limit
		{"b", 1000, "a"}, // expired
		{"", 160, "b"},   // 170 are too many, 140 are below 150
		{"d", 160, "c"},  // expired, and not too many
		{"", 50, "d"},    // the last one, too
		{"z", 50, ""},    // nothing is left
	} {
		u.limit = tt.limit
		names, split := u.surplus(tt.before)
		for split { // it cannot be: it goes whole
			names = append(names, u.buckets[0].name)
			u.split(nil)
			_, split = u.surplus(tt.before)
		}
		if got := strings.Join(names, ""); got != tt.want {
			t.Errorf("before %q, limit %d: %q, want %q", tt.before, tt.limit, got, tt.want)
		}
	}
	if u.total != 0 {
		t.Errorf("%d bytes are left", u.total)
	}
}

// Nothing that happens to the request log's files is felt by keys and money.
func TestRubbishInTheRequestLog(t *testing.T) {
	dir := t.TempDir()
	s := openState(t, dir, Options{})
	digest := storeKey(t, s, "ci")
	if err := s.Append(1, []byte("money"), true); err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		s.Record(exchange(time.Now()))
	}
	closeState(t, s)
	files, err := filepath.Glob(filepath.Join(dir, requestsFolder, "*"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%q, %v", files, err)
	}
	for round := range 3 {
		for i, file := range files {
			info, err := os.Stat(file)
			if err != nil {
				continue // it is another one by now
			}
			rubbish := make([]byte, min(info.Size(), 1<<20))
			for j := range rubbish {
				rubbish[j] = byte(j*(i+7) + round)
			}
			if err := os.WriteFile(file, rubbish, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s = openState(t, dir, Options{})
		if id, ok := s.Lookup(&digest); !ok || id.Name != "ci" {
			t.Errorf("the key is gone: %+v, %t", id, ok)
		}
		if last, err := s.LastSegment(); err != nil || last != 1 {
			t.Errorf("the journal ends with %d, %v", last, err)
		}
		r := exchange(time.Now())
		s.Record(r)
		if _, err := s.Find(context.Background(), r.ID); err != nil {
			t.Errorf("the new log does not work: %v", err)
		}
		closeState(t, s)
	}
	aside, err := filepath.Glob(filepath.Join(dir, "requests.broken-*"))
	if err != nil || len(aside) != 3 {
		t.Errorf("set aside: %q, %v", aside, err)
	}
}

// Buckets that are split, filled and dropped in any order account for every row once.
func TestUsageAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := usage{limit: 1000}
		rows := make(map[string]int64)
		ids := rapid.StringMatching(`req_00000[01][01][01]{3}`)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			default:
				id, n := ids.Draw(t, "id"), rapid.Int64Range(1, 100).Draw(t, "bytes")
				u.add([]byte(id), n)
				rows[id] += n
			case 0:
				if len(u.buckets) == 0 || len(u.buckets[0].name) == longestBucket {
					continue
				}
				var parts []bucket
				name := u.buckets[0].name
				for _, id := range slices.Sorted(maps.Keys(rows)) {
					if part := id[:len(name)+1]; strings.HasPrefix(id, name) {
						if len(parts) == 0 || parts[len(parts)-1].name != part {
							parts = append(parts, bucket{name: part})
						}
						parts[len(parts)-1].bytes += rows[id]
					}
				}
				u.split(parts)
			case 1:
				u.limit = rapid.Int64Range(100, 2000).Draw(t, "limit")
				names, _ := u.surplus("")
				maps.DeleteFunc(rows, func(id string, _ int64) bool {
					return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(id, name) })
				})
			}
			checkUsage(t, &u, rows)
		}
	})
}

func checkUsage(t *rapid.T, u *usage, rows map[string]int64) {
	var total int64
	for i, b := range u.buckets {
		var bytes int64
		for id, n := range rows {
			if strings.HasPrefix(id, b.name) {
				bytes += n
			}
		}
		if bytes != b.bytes || i > 0 && (u.buckets[i-1].name >= b.name || strings.HasPrefix(b.name, u.buckets[i-1].name)) {
			t.Fatalf("bucket %+v after %+v holds %d bytes", b, u.buckets[max(i-1, 0)], bytes)
		}
		total += bytes
	}
	var all int64
	for _, n := range rows {
		all += n
	}
	if total != u.total || total != all {
		t.Fatalf("%d bytes in all, %d in buckets, %d of rows", u.total, total, all)
	}
}

// What comes within one bucket's time is more than a small log may hold: the newest of it fills the log.
func TestBurstLeavesTheNewest(t *testing.T) {
	const limit, rows = 1 << 20, 6_000
	dir := t.TempDir()
	opts := Options{MaxLogSize: limit}
	s := openState(t, dir, opts)
	start := time.Now().Truncate(bucketSpan)
	ids := make([]string, rows)
	for i := range ids {
		r := exchange(start.Add(time.Duration(i) * time.Millisecond))
		ids[i] = r.ID
		s.Record(r)
		if i%100 == 99 {
			if err := s.Flush(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if i == rows/2 { // the accounts outlive the process
			closeState(t, s)
			s = openState(t, dir, opts)
		}
	}
	keptOf(t, s, ids)
	kept, held := countRowsOfAnyAge(t, s), s.requests.usage.total
	t.Logf("%d rows of %d are kept, %d KiB of %d; the files take %d KiB", kept, rows, held>>10, limit>>10, onDisk(t, filepath.Join(dir, requestsFolder))>>10)
	if held < limit*2/5 || held > limit/2 || kept < 500 {
		t.Errorf("%d rows are kept, %d bytes of %d", kept, held, limit)
	}
	if s.Dropped() > 0 {
		t.Errorf("%d records were dropped", s.Dropped())
	}
}

func BenchmarkUsage(b *testing.B) {
	var u usage
	for i := range 80_000 {
		u.add(fmt.Appendf(nil, "req_%07d", i), 1)
		u.dirty = u.dirty[:0]
	}
	last := []byte(u.buckets[len(u.buckets)-1].name)
	b.ReportAllocs()
	for b.Loop() {
		u.add(last, 1)
	}
}
