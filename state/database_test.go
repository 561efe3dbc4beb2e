package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/state/requestlog"
)

// noNewTable keeps a database from making the file of its next memory table, until the returned function is called.
func noNewTable(t *testing.T, dir string) (again func()) {
	t.Helper()
	tables, err := filepath.Glob(filepath.Join(dir, "*.mem"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("%q, %v", tables, err)
	}
	var last int
	if _, err := fmt.Sscanf(filepath.Base(tables[len(tables)-1]), "%d.mem", &last); err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(dir, fmt.Sprintf("%05d.mem", last+1))
	if err := os.Mkdir(next, 0o700); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(next); err != nil {
			t.Error(err)
		}
	}
}

// patience bounds what takes a second or two, on a machine that has nothing else to do.
const patience = 2 * time.Minute

// until waits for something that happens within patience.
func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	timeout := time.After(patience)
	for !happened() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-timeout:
			t.Fatalf("waiting for this: %s", what)
		}
	}
}

func largeRow(i int) (string, []byte) { return fmt.Sprintf("row/%06d", i), make([]byte, 100_000) }

// A ledger whose database failed refuses all that would touch it, and is opened again when the disk lets it. What was
// acknowledged is there.
func TestLedgerSurvivesAFailedWrite(t *testing.T) {
	log, lines := logged()
	dir := t.TempDir()
	s := openState(t, dir, Options{Log: log})
	digest := storeKey(t, s, "ci")
	again := noNewTable(t, filepath.Join(dir, ledgerFolder))
	written, err := 0, error(nil)
	for ; err == nil && written < 1000; written++ {
		key, value := largeRow(written)
		err = s.Write(maps.All(map[string][]byte{key: value}))
	}
	written-- // the last was not
	s.cache.forget(&digest)
	for range 3 { // the first is answered by Badger, the others are not to reach it
		_, readErr := second3(s.Read("row/000000"))
		for name, err := range map[string]error{
			"Write":     err,
			"Again":     s.Write(maps.All(map[string][]byte{"x": {1}})),
			"Read":      readErr,
			"Append":    s.Append(1, []byte("x"), true),
			"Backup":    s.Backup(context.Background(), new(strings.Builder)),
			"ChangeKey": second(s.ChangeKey(context.Background(), "ci", setState(abi.KeyActive))),
			"Health":    second(s.Health()),
		} {
			if !errors.Is(err, ErrReadOnly) {
				t.Errorf("%s returns %v, want %v", name, err, ErrReadOnly)
			}
		}
		if _, ok := s.Lookup(&digest); ok {
			t.Error("a key is found in a database that failed")
		}
		s.space.check(true)
		s.reclaim()
	}
	again()
	until(t, "the ledger is opened again", func() bool { return second(s.Health()) == nil })
	if err := s.Write(maps.All(map[string][]byte{"x": {1}})); err != nil {
		t.Errorf("writing again: %v", err)
	}
	for range 2 {
		for i := range written {
			key, value := largeRow(i)
			if got, ok, err := s.Read(key); !ok || err != nil || len(got) != len(value) {
				t.Errorf("row %d of %d: %d bytes, %t, %v", i, written, len(got), ok, err)
			}
		}
		if id, ok := s.Lookup(&digest); !ok || id.Name != "ci" {
			t.Errorf("the key is found as %+v, %t", id, ok)
		}
		closeState(t, s)
		s = openState(t, dir, Options{})
	}
	if n := strings.Count(lines.String(), `msg="the disk cannot be written`); n != 1 {
		t.Errorf("it is told %d times: %s", n, lines)
	}
}

func second3[A, B, C any](_ A, b B, c C) (B, C) { return b, c }

// The same, with readers and writers of all kinds at work as it happens.
func TestLedgerFailsUnderReadersAndWriters(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	digest := storeKey(t, s, "ci")
	again := noNewTable(t, filepath.Join(filepath.Dir(s.lock.Name()), ledgerFolder))
	stopped := make(chan struct{})
	var failed atomic.Int64
	var all sync.WaitGroup
	work := func(step func(i int) error) {
		all.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stopped:
					return
				default:
				}
				if err := step(i); errors.Is(err, ErrReadOnly) {
					failed.Add(1)
				} else if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for worker := range 2 {
		work(func(i int) error {
			key, value := largeRow(worker*500 + i%300)
			return s.Write(maps.All(map[string][]byte{key: value}))
		})
		work(func(int) error { return second(second3(s.Read("row/000001"))) })
		work(func(int) error { s.cache.forget(&digest); s.Lookup(&digest); return nil })
	}
	work(func(int) error { return second(s.ChangeKey(context.Background(), "ci", setState(abi.KeyActive))) })
	work(func(int) error { return s.Backup(context.Background(), new(strings.Builder)) })
	until(t, "the database fails", func() bool { return failed.Load() > 100 })
	again()
	until(t, "the ledger is opened again", func() bool { return second(s.Health()) == nil })
	close(stopped)
	all.Wait()
	if id, ok := s.Lookup(&digest); !ok || id.Name != "ci" {
		t.Errorf("the key is found as %+v, %t", id, ok)
	}
}

// A request log whose files cannot be written drops and counts until they can. Keys and money notice nothing.
func TestRequestLogSurvivesAFailedWrite(t *testing.T) {
	log, lines := logged()
	dir := t.TempDir()
	s := openState(t, dir, Options{Log: log})
	kept := exchange(time.Now())
	s.Record(kept)
	flush := func() {
		if err := s.Flush(context.Background()); err != nil {
			t.Error(err)
		}
	}
	flush()
	tail := s.requests.files
	broken, err := requestlog.Open(filepath.Join(dir, requestsFolder), requestlog.Options{MaxSize: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := broken.Close(); err != nil {
		t.Fatal(err)
	}
	s.requests.files = broken // the writer is idle after a flush
	for range 3 {
		s.Record(exchange(time.Now()))
		flush()
		if err := s.requests.trim(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if s.Dropped() != 3 {
		t.Errorf("%d records are dropped, want 3", s.Dropped())
	}
	storeKey(t, s, "ci")
	s.requests.files = tail
	again := exchange(time.Now())
	s.Record(again)
	for _, id := range []string{kept.ID, again.ID} {
		if _, err := s.Find(context.Background(), id); err != nil {
			t.Errorf("finding %s: %v", id, err)
		}
	}
	if s.Dropped() != 3 {
		t.Errorf("%d records are dropped by a log that is written again", s.Dropped()-3)
	}
	closeState(t, s)
	for _, line := range []string{"writing the request log failed", "the request log is written again"} {
		if n := strings.Count(lines.String(), line); n != 1 {
			t.Errorf("%q is told %d times: %s", line, n, lines)
		}
	}
}

// A database that cannot be opened again is tried again, and told of once.
func TestFailedDatabaseIsTriedAgain(t *testing.T) {
	log, lines := logged()
	s := openState(t, t.TempDir(), Options{Log: log})
	opened := s.ledger.open
	broken := errors.New("still none")
	s.ledger.inUse.Lock()
	tries := 0
	s.ledger.open = func() (*badger.DB, error) {
		if tries++; tries <= 3 {
			return nil, broken
		}
		return opened()
	}
	s.ledger.inUse.Unlock()
	failure := errors.New("no file descriptor is left")
	if err := s.ledger.write(func() error { return failure }); !errors.Is(err, failure) {
		t.Error(err)
	}
	for s.ledger.gate.failure() != nil {
		s.ledger.mend()
	}
	if n := strings.Count(lines.String(), "still none"); n != 1 || tries != 4 {
		t.Errorf("tried %d times, told %d times: %s", tries, n, lines)
	}
	if err := s.Write(maps.All(map[string][]byte{"x": {1}})); err != nil {
		t.Error(err)
	}
}
