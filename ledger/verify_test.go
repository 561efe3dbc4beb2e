package ledger

import (
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/testutil"
)

// flushed brings a ledger's books up to date.
func flushed(t *testing.T, l *Ledger) {
	t.Helper()
	if err := l.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// spend books an attempt of a dime.
func spend(t *testing.T, l *Ledger, id string, levels ...Level) {
	t.Helper()
	a := admitted(t, l, levels...)
	r := reservation(id, dime)
	if no, err := l.Reserve(a, r); no != nil || err != nil {
		t.Fatal(no, err)
	}
	l.Settle(r, Settlement{Basis: Authoritative, Cost: dime})
	l.Leave(a, &abi.Usage{})
}

// A balance that is not there any more, or is an old one, is found, though it is the row that says what it is up to.
func TestVerifyMissesRows(t *testing.T) {
	store, clock := newMemory(), testutil.NewClock("2026-11-21T10:00:00Z")
	l := opened(t, store, clock, Settings{})
	key := keyLevel("key_1", abi.Limits{}, abi.Budget{Amount: 10 * dime, Period: abi.PerDay})
	row := (&account{Account: key.Account}).row()
	write := func(value []byte) {
		if err := store.WriteBooks(func(yield func(string, []byte) bool) { yield(row, value) }); err != nil {
			t.Fatal(err)
		}
	}
	read := func() []byte {
		flushed(t, l)
		value, _, err := store.ReadBook(row)
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	spend(t, l, "req_1", key)
	first := read()
	spend(t, l, "req_2", key)
	second := read()
	clock.Add(24 * time.Hour)
	spend(t, l, "req_3", key)
	third := read()
	for name, lost := range map[string][]byte{"no row": nil, "of the day before": first, "without the last attempt": second} {
		write(lost)
		if v, err := l.Verify(t.Context()); err != nil || len(v.Problems) != 1 {
			t.Errorf("%s: %q, %v; want one problem", name, v.Problems, err)
		}
	}
	write(third)
	verified(t, l)
}

// What is left of the journal may begin with a reservation that is older than much of what was dropped: it was repeated.
func TestVerifyKnowsWhereTheJournalBegins(t *testing.T) {
	store, clock := newMemory(), testutil.NewClock("2026-11-20T23:00:00Z")
	l := opened(t, store, clock, Settings{})
	key := keyLevel("key_1", abi.Limits{}, abi.Budget{Amount: 10 * dime, Period: abi.PerDay})
	a, long := admitted(t, l, key), reservation("long", dime)
	if no, err := l.Reserve(a, long); no != nil || err != nil {
		t.Fatal(no, err)
	}
	clock.Add(2 * time.Hour)
	spend(t, l, "dropped", key)
	flushed(t, l)
	l.mu.Lock()
	l.journal += carryAfter + 1
	from := l.segment()
	l.mu.Unlock()
	flushed(t, l) // which repeats the long one
	clock.Add(time.Hour)
	spend(t, l, "kept", key)
	flushed(t, l)
	if err := store.Drop(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	if v := verified(t, l); v.Open != 1 || v.Partial != 1 {
		t.Errorf("%+v, want one open and one window in part", v)
	}
	l.Settle(long, Settlement{Basis: Authoritative, Cost: dime})
	l.Leave(a, &abi.Usage{})
	flushed(t, l)
	l.mu.Lock()
	from = l.segment()
	l.mu.Unlock()
	if err := store.Drop(t.Context(), from); err != nil {
		t.Fatal(err)
	}
	if v := verified(t, l); v.Segments != 0 || v.Partial != 1 {
		t.Errorf("without a journal: %+v, want one window in part", v)
	}
}
