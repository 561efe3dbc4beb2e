package state

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sallyport-dev/sallyport/record"
)

// exchange makes the record of an exchange at this time.
func exchange(at time.Time) *record.Record {
	return &record.Record{
		ID: string(record.NewID(nil, at, record.Random{})), Time: at.UTC().Round(0), KeyID: "key_1", Key: "ci",
		ClientAddress: "192.0.2.7", Format: "openai", Operation: "chat", Model: "coding", Chain: "coding",
		Attempts: []record.Attempt{{Step: "deepseek", Provider: "deepseek", Status: 200, Duration: time.Second}},
		Provider: "deepseek", ProviderModel: "deepseek-v4-flash", Status: 200, Duration: time.Second,
	}
}

func TestRecordsOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	s := openState(t, dir, Options{})
	want := exchange(time.Now())
	s.Record(want)
	if got, err := s.Find(context.Background(), want.ID); err != nil || !reflect.DeepEqual(got, *want) {
		t.Errorf("at once: got\n%+v, %v, want\n%+v", got, err, *want)
	}
	closeState(t, s)
	s = openState(t, dir, Options{})
	if got, err := s.Find(context.Background(), want.ID); err != nil || !reflect.DeepEqual(got, *want) {
		t.Errorf("after a restart: got\n%+v, %v, want\n%+v", got, err, *want)
	}
	if n := s.Dropped(); n != 0 {
		t.Errorf("%d records dropped", n)
	}
}

// The gateway reuses its records: what Record was given may be overwritten when it returns.
func TestRecordKeepsNothing(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	r := exchange(time.Now())
	id := r.ID
	s.Record(r)
	r.Attempts[0].Step = "overwritten"
	*r = record.Record{}
	if got, err := s.Find(context.Background(), id); err != nil || got.Attempts[0].Step != "deepseek" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestFindWhatIsNone(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	for _, id := range []string{"", "req_00000000010000000000000000", "x\x00"} {
		if _, err := s.Find(context.Background(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v, want %v", id, err, ErrNotFound)
		}
	}
}

func TestRecent(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	start := time.Now()
	ids := make([]string, 10)
	for i := range ids {
		r := exchange(start.Add(time.Duration(i) * time.Millisecond))
		ids[len(ids)-1-i] = r.ID
		s.Record(r)
	}
	tests := []struct {
		name   string
		limit  int
		before string
		want   []string
	}{
		{"all", 100, "", ids},
		{"the newest", 3, "", ids[:3]},
		{"the next page", 3, ids[2], ids[3:6]},
		{"the last page", 100, ids[8], ids[9:]},
		{"nothing before the oldest", 100, ids[9], nil},
		{"before an id that is none", 2, ids[4] + "x", ids[4:6]},
		{"no more than can be asked for", 1 << 40, "", ids},
		{"none", 0, "", nil},
		{"less than none", -1, "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			records, err := s.Recent(context.Background(), tt.limit, tt.before)
			var got []string
			for _, r := range records {
				got = append(got, r.ID)
			}
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestRecordsExpire(t *testing.T) {
	var now atomic.Pointer[time.Time]
	set := func(at time.Time) { now.Store(&at) }
	start := time.Now()
	set(start)
	s := openState(t, t.TempDir(), Options{Retention: time.Hour, Clock: func() time.Time { return *now.Load() }})
	r := exchange(start)
	s.Record(r)
	for _, tt := range []struct {
		after time.Duration
		want  error
	}{{0, nil}, {time.Hour - 2*time.Second, nil}, {time.Hour, ErrNotFound}, {1000 * time.Hour, ErrNotFound}} {
		set(start.Add(tt.after))
		if _, err := s.Find(context.Background(), r.ID); !errors.Is(err, tt.want) {
			t.Errorf("after %v: Find returns %v, want %v", tt.after, err, tt.want)
		}
		if all, err := s.Recent(context.Background(), 10, ""); err != nil || (len(all) == 1) != (tt.want == nil) {
			t.Errorf("after %v: Recent returns %d records, %v", tt.after, len(all), err)
		}
	}
}

// A log whose committer does not run.
func stalledLog(queue int) *requestLog {
	return &requestLog{
		clock: time.Now, retention: time.Hour, space: &spaceWatch{bounds: bounds{ledger: 1 << 40}, free: plenty}, queue: make(chan row, queue),
		buffers: sync.Pool{New: func() any { return new([]byte) }},
	}
}

func TestRecordDropsAndCounts(t *testing.T) {
	tests := []struct {
		name   string
		before func(*requestLog)
		record *record.Record
		want   uint64
	}{
		{"nothing while there is room", func(*requestLog) {}, exchange(time.Now()), 0},
		{"what finds the queue full", func(l *requestLog) { l.record(exchange(time.Now())) }, exchange(time.Now()), 1},
		{"what finds the disk full", func(l *requestLog) { l.space.requests.stop.Store(&stop{ErrDiskFull}) }, exchange(time.Now()), 1},
		{"what comes after the end", func(l *requestLog) { l.closed = true }, exchange(time.Now()), 1},
		{"what is too large", func(*requestLog) {}, &record.Record{Cause: strings.Repeat("x", maxRow)}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := stalledLog(1)
			tt.before(l)
			l.record(tt.record)
			if got := l.dropped.Load(); got != tt.want {
				t.Errorf("%d dropped, want %d", got, tt.want)
			}
		})
	}
}

func TestLowSpacePausesTheLogAndNothingElse(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 40)
	log, _ := logged()
	s := openState(t, t.TempDir(), Options{Log: log, Free: func(string) (uint64, error) { return free.Load(), nil }})
	free.Store(300 << 20)
	s.space.check(true)
	lost := exchange(time.Now())
	s.Record(lost)
	if _, err := s.Find(context.Background(), lost.ID); !errors.Is(err, ErrNotFound) || s.Dropped() != 1 {
		t.Errorf("on a full disk: %v, %d dropped", err, s.Dropped())
	}
	digest := storeKey(t, s, "ci")
	if _, ok := s.Lookup(&digest); !ok {
		t.Error("keys do not work on a disk that is too full for the log")
	}
	free.Store(1 << 40)
	s.space.check(true)
	kept := exchange(time.Now())
	s.Record(kept)
	if _, err := s.Find(context.Background(), kept.ID); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

func TestEveryRecordIsWrittenOrCounted(t *testing.T) {
	dir := t.TempDir()
	s := openState(t, dir, Options{Queue: 64})
	const callers, each = 8, 500
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range each {
				s.Record(exchange(time.Now()))
			}
		})
	}
	wg.Wait()
	closeState(t, s)
	dropped := int(s.Dropped())
	s = openState(t, dir, Options{})
	if written := countRows(t, s); written+dropped != callers*each {
		t.Errorf("%d written and %d dropped of %d", written, dropped, callers*each)
	}
}

func countRows(t *testing.T, s *State) (n int) {
	t.Helper()
	err := s.requests.db.handle.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(requestRows)})
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

// A batch that is more than Badger takes in one transaction goes in several.
func TestBatchLargerThanATransaction(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	const large = 40
	l := stalledLog(large)
	l.db = s.requests.db
	var batch []row
	for range large {
		r := exchange(time.Now())
		r.Cause = strings.Repeat("x", maxRow-2048)
		l.record(r)
		batch = append(batch, <-l.queue)
	}
	if fits := s.requests.db.handle.MaxBatchSize(); fits > large*(maxRow-2048) {
		t.Fatalf("the batch fits into one transaction of %d bytes", fits)
	}
	if written, err := l.commit(batch); err != nil || written != large {
		t.Errorf("%d written, %v, want %d", written, err, large)
	}
	if n := countRows(t, s); n != large {
		t.Errorf("%d rows, want %d", n, large)
	}
}

// Rows that leave no room in a transaction for what is accounted of them: all are written, and accounted for.
func TestBatchThatFillsATransaction(t *testing.T) {
	s := openState(t, t.TempDir(), Options{MaxLogSize: 1 << 20})
	l := stalledLog(1)
	l.db, l.usage.limit = s.requests.db, 1<<40
	const perRow = 10 + 10 + 2 // what Badger counts beside key and value
	var rows, bytes int64
	for spare := range int64(80) {
		left := l.db.handle.MaxBatchSize() - 25 - spare // of it, 25 are for the transaction itself
		var batch []row
		for range 2 {
			buf := append([]byte(requestRows), record.NewID(nil, time.Now(), record.Random{})...)
			key := len(buf)
			buf = append(buf, make([]byte, left/2-perRow-int64(key))...)
			batch = append(batch, row{buf: &buf, key: key, expires: time.Now().Add(time.Hour).Unix()})
			rows, bytes = rows+1, bytes+int64(len(buf)+rowOverhead)
		}
		if written, err := l.commit(batch); err != nil || written != len(batch) {
			t.Fatalf("with %d bytes to spare, %d of %d rows are written: %v", spare, written, len(batch), err)
		}
	}
	stored, err := loadUsage(l.db.handle)
	if n := int64(countRows(t, s)); err != nil || n != rows || l.usage.total != bytes || stored.total != bytes {
		t.Errorf("%d rows of %d; %d bytes of %d are accounted for, %d on the disk, %v", n, rows, l.usage.total, bytes, stored.total, err)
	}
}

func TestRecordsWhileClosing(t *testing.T) {
	for range 20 {
		dir := t.TempDir()
		s := openState(t, dir, Options{})
		const records = 200
		var wg sync.WaitGroup
		wg.Go(func() {
			for range records {
				s.Record(exchange(time.Now()))
			}
		})
		wg.Go(func() {
			if err := s.Flush(context.Background()); err != nil && !errors.Is(err, ErrClosed) {
				t.Errorf("flushing: %v", err)
			}
		})
		closeState(t, s)
		wg.Wait()
		dropped := int(s.Dropped())
		s = openState(t, dir, Options{})
		if written := countRows(t, s); written+dropped != records {
			t.Errorf("%d written and %d dropped of %d", written, dropped, records)
		}
		closeState(t, s)
	}
}

func TestFailingLogTellsOnceAndRecovers(t *testing.T) {
	log, lines := logged()
	s := openState(t, t.TempDir(), Options{})
	l := stalledLog(10)
	l.log, l.db = log, s.requests.db
	good := func() row {
		l.record(exchange(time.Now()))
		return <-l.queue
	}
	refused := row{buf: new([]byte)} // Badger takes no empty key
	mark := row{mark: make(chan struct{})}

	l.write([]row{mark, refused, good()})
	l.write([]row{good(), refused})
	if n := strings.Count(lines.String(), "writing the request log failed"); n != 1 || l.dropped.Load() != 4 {
		t.Errorf("told %d times, %d dropped, want 1 and 4:\n%s", n, l.dropped.Load(), lines)
	}
	l.write([]row{good(), mark})
	l.write([]row{good()})
	if n := strings.Count(lines.String(), "written again"); n != 1 || l.dropped.Load() != 4 {
		t.Errorf("told %d times, %d dropped, want 1 and 4:\n%s", n, l.dropped.Load(), lines)
	}
	if n := countRows(t, s); n != 2 {
		t.Errorf("%d rows written, want the 2 of the batches that worked", n)
	}
}

func TestFlushHeedsTheContextAndTheEnd(t *testing.T) {
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	full := stalledLog(0)
	if err := full.flush(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("before a full queue: %v", err)
	}
	stalled := stalledLog(1)
	if err := stalled.flush(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("with a stalled committer: %v", err)
	}
	s := openState(t, t.TempDir(), Options{})
	closeState(t, s)
	if err := s.Flush(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("after the end: %v, want %v", err, ErrClosed)
	}
	if _, err := s.Find(context.Background(), "req_1"); !errors.Is(err, ErrClosed) {
		t.Errorf("finding after the end: %v, want %v", err, ErrClosed)
	}
	if _, err := s.Recent(context.Background(), 1, ""); !errors.Is(err, ErrClosed) {
		t.Errorf("listing after the end: %v, want %v", err, ErrClosed)
	}
}

func TestUnreadableRowDoesNotHideTheOthers(t *testing.T) {
	log, lines := logged()
	s := openState(t, t.TempDir(), Options{Log: log})
	good := exchange(time.Now())
	s.Record(good)
	err := s.requests.db.handle.Update(func(txn *badger.Txn) error { return txn.Set([]byte(requestRows+"req_zzz"), []byte{9}) })
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Recent(context.Background(), 10, "")
	if err != nil || len(all) != 1 || all[0].ID != good.ID {
		t.Errorf("got %+v, %v", all, err)
	}
	if !strings.Contains(lines.String(), "passed over") {
		t.Errorf("logged: %s", lines)
	}
	if _, err := s.Find(context.Background(), "req_zzz"); !errors.Is(err, ErrCorrupt) {
		t.Errorf("finding it: %v, want %v", err, ErrCorrupt)
	}
}

func FuzzParseRow(f *testing.F) {
	now := time.Unix(1_000_000, 0)
	header := binary.BigEndian.AppendUint64([]byte{rowVersion}, 2_000_000)
	f.Add(record.AppendJSON(header, exchange(now)))
	f.Add(binary.BigEndian.AppendUint64([]byte{rowVersion}, 1_000_000))
	f.Add([]byte{2, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{rowVersion})
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := parseRow(value, now)
		if err == nil && r.ID == "" || err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrNotFound) {
			t.Fatalf("got %+v, %v", r, err)
		}
	})
}

// What the request path pays.
func BenchmarkRecord(b *testing.B) {
	l := stalledLog(1)
	r := exchange(time.Now())
	b.ReportAllocs()
	for b.Loop() {
		l.record(r)
		l.recycle((<-l.queue).buf)
	}
	if l.dropped.Load() > 0 {
		b.Fatal("records were dropped, which costs less")
	}
}

// What a record costs altogether, commit included, with as many of them waiting as a burst leaves.
func BenchmarkRecordAndCommit(b *testing.B) {
	for _, burst := range []int{1, 64, 1024} {
		b.Run(fmt.Sprint(burst), func(b *testing.B) {
			s := openState(b, b.TempDir(), Options{})
			r := exchange(time.Now())
			for i := 0; b.Loop(); i++ {
				r.ID = string(record.NewID(nil, r.Time, record.Random{}))
				s.Record(r)
				if i%burst == burst-1 {
					if err := s.Flush(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
