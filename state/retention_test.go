package state

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

// The log is written three times over its limit. It stays within it, but for what a file system rounds up, and what is there is the newest.
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
	if largest > limit*17/16 {
		t.Errorf("the log took %d MiB, its limit is %d", largest>>20, limit>>20)
	}
	if held := int64(kept) * 3300; held < limit*9/10 {
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

// What has expired is given up by the file, at most a sixty-fourth of the retention late.
func TestExpiredFilesAreDropped(t *testing.T) {
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
	}{{10 * time.Hour, 10}, {24*time.Hour - time.Minute, 10}, {28*time.Hour + time.Minute, 5}, {1000 * time.Hour, 0}} {
		at := start.Add(tt.after)
		now.Store(&at)
		if err := s.requests.trim(context.Background()); err != nil {
			t.Fatal(err)
		}
		if rows := countRowsSince(t, s, 0); rows != tt.want {
			t.Errorf("after %v there are %d rows on the disk, want %d", tt.after, rows, tt.want)
		}
	}
	if size := s.requests.files.Size(); size != 0 {
		t.Errorf("an empty log takes %d bytes", size)
	}
}

// Nothing that happens to the request log's files is felt by keys and money.
func TestRubbishInTheRequestLog(t *testing.T) {
	dir := t.TempDir()
	opts := Options{MaxLogSize: 4 << 20}
	s := openState(t, dir, opts)
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
		s = openState(t, dir, opts)
		if id, ok := s.Lookup(&digest); !ok || id.Name != "ci" {
			t.Errorf("the key is gone: %+v, %t", id, ok)
		}
		if last, err := s.LastSegment(); err != nil || last != 1 {
			t.Errorf("the journal ends with %d, %v", last, err)
		}
		r := exchange(time.Now())
		s.Record(r)
		if _, err := s.Find(context.Background(), r.ID); err != nil {
			t.Errorf("the log does not work any more: %v", err)
		}
		if n := countRows(t, s); n != round+1 {
			t.Errorf("%d rows are found in rubbish", n)
		}
		closeState(t, s)
	}
}

// Damage in one place costs the rows that it hit.
func TestDamageInTheRequestLog(t *testing.T) {
	dir := t.TempDir()
	opts := Options{MaxLogSize: 4 << 20}
	s := openState(t, dir, opts)
	const rows = 2000
	for range rows {
		s.Record(exchange(time.Now()))
	}
	closeState(t, s)
	files, err := filepath.Glob(filepath.Join(dir, requestsFolder, "*"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		copy(content[len(content)/2:], "here was something")
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s = openState(t, dir, opts)
	if n := countRows(t, s); n < rows-2*len(files) || n >= rows {
		t.Errorf("%d rows are left of %d, damage was done in %d places", n, rows, len(files))
	}
}

// A log that an earlier version kept in Badger is left behind, and told of.
func TestFormerRequestLog(t *testing.T) {
	dir := t.TempDir()
	former := filepath.Join(dir, requestsFolder)
	log, lines := logged()
	for range 2 { // the second time its place is taken
		if err := os.MkdirAll(former, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"MANIFEST", "000001.vlog", "00001.mem", "000001.sst"} {
			if err := os.WriteFile(filepath.Join(former, name), []byte("of Badger"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := openState(t, dir, Options{Log: log})
		r := exchange(time.Now())
		s.Record(r)
		if _, err := s.Find(context.Background(), r.ID); err != nil {
			t.Errorf("the new log does not work: %v", err)
		}
		closeState(t, s)
		if _, err := os.Stat(filepath.Join(former+".former", "MANIFEST")); err != nil {
			t.Error(err)
		}
	}
	if n := strings.Count(lines.String(), "left behind"); n != 2 {
		t.Errorf("told %d times:\n%s", n, lines)
	}
}

// What comes in one burst is more than a small log may hold: the newest of it fills the log.
func TestBurstLeavesTheNewest(t *testing.T) {
	const limit, rows = 1 << 20, 6_000
	dir := t.TempDir()
	opts := Options{MaxLogSize: limit}
	s := openState(t, dir, opts)
	start := time.Now()
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
		if i == rows/2 { // what is known of the files outlives the process
			closeState(t, s)
			s = openState(t, dir, opts)
		}
	}
	keptOf(t, s, ids)
	kept, held := countRows(t, s), onDisk(t, filepath.Join(dir, requestsFolder))
	t.Logf("%d rows of %d are kept; the files take %d KiB of %d", kept, rows, held>>10, limit>>10)
	if held < limit*9/10 || held > limit*5/4 || kept < 1500 {
		t.Errorf("%d rows are kept in %d bytes of %d", kept, held, limit)
	}
	if s.Dropped() > 0 {
		t.Errorf("%d records were dropped", s.Dropped())
	}
}
