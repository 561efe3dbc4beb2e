package ledger

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/testutil"
)

// halting is a store that counts reads of usage, and whose writes can come to an end half-way.
type halting struct {
	*testutil.Memory
	reads atomic.Int64
	most  atomic.Int64 // rows of usage that may be written before one fails; 0: all
}

func (s *halting) Read(key string) ([]byte, bool, error) {
	if strings.HasPrefix(key, usageRows) {
		s.reads.Add(1)
	}
	return s.Memory.Read(key)
}

func (s *halting) Write(rows iter.Seq2[string, []byte]) error {
	n, failed := int64(0), false
	err := s.Memory.Write(func(yield func(string, []byte) bool) {
		for key, value := range rows {
			if strings.HasPrefix(key, usageRows) {
				if n++; s.most.Load() != 0 && n > s.most.Load() {
					failed = true
					return
				}
			}
			if !yield(key, value) {
				return
			}
		}
	})
	if failed {
		return errors.New("the disk is full")
	}
	return err
}

// use has n keys make one attempt each.
func use(t *testing.T, l *Ledger, n int) {
	t.Helper()
	a := admitted(t, l, keyLevel("key_1", abi.Limits{}, abi.Budget{Amount: 1000 * dime}))
	for i := range n {
		r := reservation("req", dime)
		r.KeyID = fmt.Sprint("key_", i)
		if no, err := l.Reserve(a, r); no != nil || err != nil {
			t.Fatal(no, err)
		}
		l.Settle(r, Settlement{Basis: Authoritative, Cost: dime, Usage: abi.Usage{abi.Requests: 1}})
	}
	l.Leave(a, &abi.Usage{})
}

// used is what the rows say of all keys.
func used(t *testing.T, l *Ledger) (keys int, cost abi.NanoUSD) {
	t.Helper()
	err := l.Totals(t.Context(), "", "", func(total *Total) error {
		keys++
		cost += total.Cost
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys, cost
}

func TestFirstRowOfUsageIsWrittenWithoutReading(t *testing.T) {
	store := &halting{Memory: newMemory()}
	clock := testutil.NewClock("2026-11-21T12:00:00Z")
	l := opened(t, store, clock, Settings{})
	facts := []struct {
		name  string
		do    func()
		keys  int
		cost  abi.NanoUSD
		reads int64 // at most
	}{
		{"the first of 20 keys", func() { use(t, l, 20) }, 20, 20 * dime, 0},
		{"the same again", func() { use(t, l, 20) }, 20, 40 * dime, 20},
		{"with ten more", func() { use(t, l, 30) }, 30, 70 * dime, 20},
		{"the next day", func() { clock.Add(24 * time.Hour); use(t, l, 30) }, 60, 100 * dime, 0},
	}
	for _, f := range facts {
		store.reads.Store(0)
		f.do()
		if keys, cost := used(t, l); keys != f.keys || cost != f.cost {
			t.Errorf("%s: %d rows with %s, want %d with %s", f.name, keys, cost, f.keys, f.cost)
		}
		if n := store.reads.Load(); n > f.reads {
			t.Errorf("%s: %d rows were read, want %d", f.name, n, f.reads)
		}
	}
	// A ledger that is opened later does not know what the one before it has written, and looks.
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	next := opened(t, store, clock, Settings{})
	use(t, next, 30)
	if keys, cost := used(t, next); keys != 60 || cost != 130*dime {
		t.Errorf("after a restart: %d rows with %s, want 60 with %s", keys, cost, 130*dime)
	}
}

func TestUsageIsCountedOnceThoughAWriteEndedHalfWay(t *testing.T) {
	store := &halting{Memory: newMemory()}
	l := opened(t, store, testutil.NewClock("2026-11-21T12:00:00Z"), Settings{})
	use(t, l, 20)
	store.most.Store(7)
	if err := l.flush(t.Context(), true); err == nil {
		t.Fatal("a write that ended half-way is no error")
	}
	use(t, l, 20)
	store.most.Store(0)
	if keys, cost := used(t, l); keys != 20 || cost != 40*dime {
		// The second half of it waits for the next flush: the first try is made good before.
		if keys, cost = used(t, l); keys != 20 || cost != 40*dime {
			t.Errorf("%d rows with %s, want 20 with %s", keys, cost, 40*dime)
		}
	}
	verified(t, l)
}

func TestUsageOfMoreKeysThanAreKnown(t *testing.T) {
	l := opened(t, newMemory(), testutil.NewClock("2026-11-21T12:00:00Z"), Settings{})
	day, err := l.usageDay(t.Context(), l.now().Unix()/secondsPerDay)
	if err != nil {
		t.Fatal(err)
	}
	day.most = 5
	for n := 1; n <= 3; n++ {
		use(t, l, 20)
		if keys, cost := used(t, l); keys != 20 || cost != abi.NanoUSD(20*n)*dime {
			t.Errorf("%d rows with %s, want 20 with %s", keys, cost, abi.NanoUSD(20*n)*dime)
		}
	}
	if len(day.rows) != 5 {
		t.Errorf("%d rows are known, 5 may be", len(day.rows))
	}
}
