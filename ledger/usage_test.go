package ledger

import (
	"errors"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/testutil"
)

// halting is a store whose additions of usage can fail from some day on.
type halting struct {
	*testutil.Memory
	from string // the first day that fails; "": none
}

func (s *halting) AddUsage(day string, upTo uint64, rows func(yield func(key, label string, numbers []int64) bool)) error {
	if s.from != "" && day >= s.from {
		return errors.New("the disk is full")
	}
	return s.Memory.AddUsage(day, upTo, rows)
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

func TestUsageIsAddedUp(t *testing.T) {
	store := newMemory()
	clock := testutil.NewClock("2026-11-21T12:00:00Z")
	l := opened(t, store, clock, Settings{})
	facts := []struct {
		name string
		do   func()
		keys int
		cost abi.NanoUSD
	}{
		{"the first of 20 keys", func() { use(t, l, 20) }, 20, 20 * dime},
		{"the same again", func() { use(t, l, 20) }, 20, 40 * dime},
		{"with ten more", func() { use(t, l, 30) }, 30, 70 * dime},
		{"the next day", func() { clock.Add(24 * time.Hour); use(t, l, 30) }, 60, 100 * dime},
	}
	for _, f := range facts {
		f.do()
		if keys, cost := used(t, l); keys != f.keys || cost != f.cost {
			t.Errorf("%s: %d sums with %s, want %d with %s", f.name, keys, cost, f.keys, f.cost)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	next := opened(t, store, clock, Settings{})
	use(t, next, 30)
	if keys, cost := used(t, next); keys != 60 || cost != 130*dime {
		t.Errorf("after a restart: %d sums with %s, want 60 with %s", keys, cost, 130*dime)
	}
	next = opened(t, store.Snapshot(), clock, Settings{})
	if keys, cost := used(t, next); keys != 60 || cost != 130*dime {
		t.Errorf("after a kill: %d sums with %s, want 60 with %s", keys, cost, 130*dime)
	}
}

// Of two days one is written, and the other is not: also after a kill each attempt is counted once.
func TestUsageIsCountedOnceThoughAFlushEndedHalfWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in which the ledger does not flush by itself meanwhile
		store := &halting{Memory: newMemory()}
		clock := testutil.NewClock("2026-11-21T12:00:00Z")
		l := opened(t, store, clock, Settings{})
		use(t, l, 20)
		clock.Add(24 * time.Hour)
		use(t, l, 20)
		store.from = "2026-11-22"
		if err := l.flush(t.Context()); err == nil {
			t.Fatal("usage that could not be written is no error")
		}
		use(t, l, 20)
		killed := opened(t, store.Snapshot(), clock, Settings{})
		if keys, cost := used(t, killed); keys != 40 || cost < 40*dime {
			t.Errorf("after a kill: %d sums with %s, want 40 with %s at least", keys, cost, 40*dime)
		}
		verified(t, killed)
		store.from = ""
		for range 2 { // the first try is made good before what came after it is written
			if err := l.flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if keys, cost := used(t, l); keys != 40 || cost != 60*dime {
			t.Errorf("%d sums with %s, want 40 with %s", keys, cost, 60*dime)
		}
		verified(t, l)
	})
}

// restless is a store that accounts change under whenever they are written.
type restless struct {
	*testutil.Memory
	change func()
}

func (s *restless) WriteBooks(rows iter.Seq2[string, []byte]) error {
	s.change()
	return s.Memory.WriteBooks(rows)
}

// More accounts change than can be written meanwhile: a flush ends all the same, with what was there as it began.
func TestAFlushEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in which the ledger does not flush by itself meanwhile
		store := &restless{Memory: newMemory(), change: func() {}}
		l := opened(t, store, nil, Settings{})
		for i := range flushChunk + 100 {
			spend(t, l, fmt.Sprint("req_", i), keyLevel(fmt.Sprint("key_", i), abi.Limits{}, abi.Budget{Amount: dime}))
		}
		writes := 0
		store.change = func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if writes++; writes < 10 {
				for _, a := range l.accounts.resident {
					l.accounts.touch(a)
				}
			}
		}
		if err := l.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := 3; writes != want { // two parts, and the ledger's place
			t.Errorf("%d writes, want %d", writes, want)
		}
	})
}
