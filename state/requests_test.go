package state

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/record"
	"github.com/sallyport-dev/sallyport/state/requestlog"
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

// A log whose writer does not run.
func stalledLog(queue int) *requestLog {
	return &requestLog{
		clock: time.Now, retention: time.Hour, space: &spaceWatch{bounds: bounds{ledger: 1 << 40}, free: plenty}, queue: queue,
		buffers: sync.Pool{New: func() any { return new([]byte) }},
		wake:    make(chan struct{}, 1), hurry: make(chan struct{}, 1),
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

// countRows counts the rows of the log that have not expired.
func countRows(t *testing.T, s *State) int {
	t.Helper()
	return countRowsSince(t, s, s.clock().Unix())
}

// countRowsSince counts those that had not by then.
func countRowsSince(t *testing.T, s *State, then int64) int {
	t.Helper()
	if err := s.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	rows, err := s.requests.files.Newest(context.Background(), math.MaxInt, "", then)
	if err != nil {
		t.Fatal(err)
	}
	return len(rows)
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
	l.log, l.files = log, s.requests.files
	write := func(records int, rest ...byte) {
		for range records {
			l.record(exchange(time.Now()))
		}
		b, _ := l.take(nil)
		b.frames, b.records = append(b.frames, rest...), b.records+min(len(rest), 1)
		l.write(&b)
	}
	write(0) // marks alone
	write(1, []byte("no frame")...)
	write(2, []byte("no frame")...)
	if n := strings.Count(lines.String(), "writing the request log failed"); n != 1 || l.dropped.Load() != 5 {
		t.Errorf("told %d times, %d dropped, want 1 and 5:\n%s", n, l.dropped.Load(), lines)
	}
	write(1)
	write(1)
	if n := strings.Count(lines.String(), "written again"); n != 1 || l.dropped.Load() != 5 {
		t.Errorf("told %d times, %d dropped, want 1 and 5:\n%s", n, l.dropped.Load(), lines)
	}
	if n := countRows(t, s); n != 2 {
		t.Errorf("%d rows written, want the 2 of the batches that worked", n)
	}
}

func TestFlushHeedsTheContextAndTheEnd(t *testing.T) {
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	if err := stalledLog(1).flush(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("with a stalled writer: %v", err)
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
	for _, id := range []string{"req_zzz", "req_zzy"} {
		frame := append(requestlog.Begin(nil, id, math.MaxInt64), '9')
		requestlog.Seal(frame)
		if !s.requests.add(frame) {
			t.Fatal("it was not taken")
		}
	}
	all, err := s.Recent(context.Background(), 1, "")
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

// What the request path pays.
func BenchmarkRecord(b *testing.B) {
	l := stalledLog(1)
	r := exchange(time.Now())
	b.ReportAllocs()
	for b.Loop() {
		l.record(r)
		l.waiting.frames, l.waiting.records = l.waiting.frames[:0], 0
	}
	if l.dropped.Load() > 0 {
		b.Fatal("records were dropped, which costs less")
	}
}

// What a record costs altogether, the write included, with as many of them waiting as a burst leaves.
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
