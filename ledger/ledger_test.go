package ledger

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestReserveHoldsOnAllLevelsOrNone(t *testing.T) {
	l := opened(t, newMemory(), nil, Settings{})
	key := keyLevel("key_1", abi.Limits{}, abi.Budget{Amount: 10 * dime, Period: abi.PerDay})
	team := teamLevel("research", abi.Budget{Amount: 5 * dime, Period: abi.PerMonth})
	a := admitted(t, l, key, team)
	defer l.Leave(a, &abi.Usage{})

	first := reservation("req_1", 4*dime)
	if no, err := l.Reserve(a, first); no != nil || err != nil {
		t.Fatalf("first: %v, %v", no, err)
	}
	no, err := l.Reserve(a, reservation("req_2", 2*dime))
	if err != nil || no == nil || no.Level.Account != team.Account || no.Reserved != 4*dime || no.Spent != 0 {
		t.Fatalf("second: %+v, %v; want a refusal by the team", no, err)
	}
	if _, reserved := spent(t, l, key); reserved != 4*dime {
		t.Errorf("the refused attempt holds %s on the key, want $0.40", reserved)
	}
	l.Settle(first, Settlement{Basis: Authoritative, Cost: dime})
	l.Settle(first, Settlement{Basis: Authoritative, Cost: dime}) // once is enough
	for _, level := range []Level{key, team} {
		if settled, reserved := spent(t, l, level); settled != dime || reserved != 0 {
			t.Errorf("%s: %s spent and %s reserved, want $0.10 and $0.00", level.Account, settled, reserved)
		}
	}
	if no, err := l.Reserve(a, reservation("req_2", 4*dime)); no != nil || err != nil {
		t.Errorf("with money free again: %v, %v", no, err)
	}
	if v := verified(t, l); v.Entries != 1 || v.Open != 1 {
		t.Errorf("the journal has %d settled and %d open, want 1 and 1", v.Entries, v.Open)
	}
}

func TestOverrunIsBookedAsItIs(t *testing.T) {
	l := opened(t, newMemory(), nil, Settings{})
	key := keyLevel("key_1", abi.Limits{}, abi.Budget{Amount: 2 * dime, Period: abi.InTotal})
	a := admitted(t, l, key)
	r := reservation("req_1", dime)
	if no, err := l.Reserve(a, r); no != nil || err != nil {
		t.Fatal(no, err)
	}
	l.Settle(r, Settlement{Basis: Authoritative, Cost: 3 * dime})
	if settled, _ := spent(t, l, key); settled != 3*dime || r.Flags != Overrun || l.Figures().Overruns != 1 {
		t.Errorf("%s spent, flags %v, %d overruns; want $0.30, overrun, 1", settled, r.Flags.Names(), l.Figures().Overruns)
	}
	no, err := l.Reserve(a, reservation("req_2", 0))
	if err != nil || no == nil || !no.Resets.IsZero() || no.RetryAfter != 0 {
		t.Errorf("an overdrawn budget: %+v, %v; want a refusal without an end", no, err)
	}
	l.Leave(a, &abi.Usage{})
	verified(t, l)
}

// With a budget for a tenth of the callers, and usage that stays within the estimate, nothing goes over, and nobody
// is refused once money is free again.
func TestBudgetHoldsUnderConcurrency(t *testing.T) {
	const callers, covered = 512, 51
	rounds := 200
	if testing.Short() {
		rounds = 20
	}
	for round := range rounds {
		l := opened(t, newMemory(), nil, Settings{})
		key := keyLevel("key_1", abi.Limits{}, abi.Budget{Amount: covered * dime, Period: abi.PerDay})
		team := teamLevel("research", abi.Budget{Amount: 2 * covered * dime, Period: abi.PerMonth})
		var admittedCount, refused atomic.Int64
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				a := admitted(t, l, key, team)
				r := reservation(fmt.Sprintf("req_%d", i), dime)
				no, err := l.Reserve(a, r)
				switch {
				case err != nil:
					t.Error(err)
				case no != nil:
					refused.Add(1)
					if free := no.Budget.Amount - no.Spent - no.Reserved; free >= dime {
						t.Errorf("refused with %s free", free)
					}
				default:
					admittedCount.Add(1)
					l.Settle(r, Settlement{Basis: Authoritative, Cost: dime - abi.NanoUSD(i%2)*dime/2})
				}
				l.Leave(a, &abi.Usage{})
			})
		}
		all.Wait()
		settled, reserved := spent(t, l, key)
		if settled > covered*dime || reserved != 0 || admittedCount.Load()+refused.Load() != callers {
			t.Fatalf("round %d: %s spent of %s, %s reserved", round, settled, covered*dime, reserved)
		}
		if settled+dime <= covered*dime {
			a := admitted(t, l, key, team)
			r := reservation("req_more", dime)
			if no, err := l.Reserve(a, r); no != nil || err != nil {
				t.Fatalf("round %d: refused although %s of %s are spent: %v, %v", round, settled, covered*dime, no, err)
			}
			l.Settle(r, Settlement{Basis: Unbilled})
			l.Leave(a, &abi.Usage{})
		}
		verified(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReservationIsInTheJournalWhenReserveReturns(t *testing.T) {
	store := newMemory()
	l := opened(t, store, nil, Settings{})
	a := admitted(t, l)
	r := reservation("req_1", dime)
	if no, err := l.Reserve(a, r); no != nil || err != nil {
		t.Fatal(no, err)
	}
	found := false
	err := store.Segments(t.Context(), 0, func(_ uint64, s []byte) error {
		return readSegment(s, func(ev *event) error {
			found = found || ev.kind == reservationEvent && ev.ID == "req_1"
			return nil
		})
	})
	if err != nil || !found {
		t.Errorf("found %t, %v", found, err)
	}
	l.Settle(r, Settlement{Basis: Unbilled})
}

func TestCrashBooksWhatWasOpen(t *testing.T) {
	tests := []struct {
		booking Booking
		want    abi.NanoUSD
	}{
		{BookReservation, 4 * dime}, {BookInput, dime}, {BookNothing, 0},
	}
	for _, tt := range tests {
		store := newMemory()
		l := opened(t, store, nil, Settings{})
		key := keyLevel("key_1", abi.Limits{}, abi.Budget{Amount: 100 * dime, Period: abi.PerMonth})
		a := admitted(t, l, key)
		settled, lost := reservation("req_1", dime), reservation("req_2", 4*dime)
		for _, r := range []*Reservation{settled, lost} {
			if no, err := l.Reserve(a, r); no != nil || err != nil {
				t.Fatal(no, err)
			}
		}
		l.Settle(settled, Settlement{Basis: Authoritative, Cost: dime / 2})
		if err := l.sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		after := opened(t, store.Snapshot(), nil, Settings{Crash: tt.booking})
		if spent, reserved := spent(t, after, key); spent != dime/2+tt.want || reserved != 0 {
			t.Errorf("booking %d: %s spent, %s reserved, want %s and nothing", tt.booking, spent, reserved, dime/2+tt.want)
		}
		var flagged []Entry
		err := after.Export(t.Context(), time.Time{}, time.Time{}, func(e *Entry) error {
			if e.Basis == Crashed {
				flagged = append(flagged, *e)
			}
			return nil
		})
		if err != nil || len(flagged) != 1 || flagged[0].ID != "req_2" || flagged[0].Cost != tt.want {
			t.Errorf("booking %d: the journal says %+v, %v", tt.booking, flagged, err)
		}
		if v := verified(t, after); v.Entries != 2 || v.Open != 0 {
			t.Errorf("booking %d: %+v", tt.booking, v)
		}
	}
}

func TestStoreThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		l := opened(t, store, nil, Settings{})
		key := keyLevel("key_1", abi.Limits{}, abi.Budget{Amount: 10 * dime, Period: abi.InTotal})
		a := admitted(t, l, key)
		before := reservation("req_1", dime)
		if no, err := l.Reserve(a, before); no != nil || err != nil {
			t.Fatal(no, err)
		}
		store.Break(errors.New("no space left"))
		if _, err := l.Reserve(a, reservation("req_2", dime)); !errors.Is(err, ErrUnavailable) {
			t.Errorf("while the store fails: %v, want %v", err, ErrUnavailable)
		}
		if _, reserved := spent(t, l, key); reserved != dime {
			t.Errorf("%s reserved, want what was before", reserved)
		}
		l.Settle(before, Settlement{Basis: Authoritative, Cost: dime / 2}) // the answer came all the same
		l.Set(Settings{Unbudgeted: true})
		passed := reservation("req_3", dime)
		if no, err := l.Reserve(a, passed); no != nil || err != nil || !passed.Unbooked() {
			t.Errorf("unbudgeted while the store fails: %v, %v", no, err)
		}
		l.Settle(passed, Settlement{Basis: Authoritative, Cost: dime})
		if l.Available() == nil || l.Figures().Unbooked != 1 {
			t.Errorf("available %v, figures %+v", l.Available(), l.Figures())
		}
		store.Break(nil)
		<-time.After(time.Second) // of the test's own time
		synctest.Wait()
		if err := l.Available(); err != nil {
			t.Errorf("after it works again: %v", err)
		}
		again := reservation("req_4", dime)
		if no, err := l.Reserve(a, again); no != nil || err != nil || again.Unbooked() {
			t.Errorf("after it works again: %v, %v", no, err)
		}
		l.Settle(again, Settlement{Basis: Authoritative, Cost: dime / 2})
		if settled, reserved := spent(t, l, key); settled != dime || reserved != 0 {
			t.Errorf("%s spent and %s reserved, want $0.10 and nothing", settled, reserved)
		}
		l.Leave(a, &abi.Usage{})
		verified(t, l)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Nobody waited for what failed. What comes after it has nothing to do with that failure.
func TestTheFirstAfterAFailureIsBooked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		l := opened(t, store, nil, Settings{Unbudgeted: true})
		a := admitted(t, l, keyLevel("key_1", abi.Limits{}, abi.Budget{Amount: 10 * dime, Period: abi.InTotal}))
		before := reservation("req_1", dime)
		if no, err := l.Reserve(a, before); no != nil || err != nil {
			t.Fatal(no, err)
		}
		store.Break(errors.New("no space left"))
		l.Settle(before, Settlement{Basis: Authoritative, Cost: dime})
		<-time.After(time.Second) // of the test's own time
		if l.Available() == nil {
			t.Fatal("it can be written")
		}
		store.Break(nil)
		<-time.After(time.Second)
		if err := l.Available(); err != nil {
			t.Fatal(err)
		}
		after := reservation("req_2", dime)
		if no, err := l.Reserve(a, after); no != nil || err != nil || after.Unbooked() {
			t.Errorf("%v, %v, unbooked %t", no, err, after.Unbooked())
		}
		l.Settle(after, Settlement{Basis: Authoritative, Cost: dime})
		l.Leave(a, &abi.Usage{})
		if v := verified(t, l); v.Entries != 2 {
			t.Errorf("%+v, want two attempts", v)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestAlertsFireOnce(t *testing.T) {
	store, clock := newMemory(), testutil.NewClock("2026-11-21T10:00:00Z")
	var got []string
	open := func() *Ledger {
		l, err := Open(t.Context(), Options{
			Store: store, Clock: clock.Now, Settings: Settings{Alerts: []int{80, 100}},
			Alert: func(a Alert) { got = append(got, fmt.Sprintf("%s %d", a.Account, a.Percent)) },
		})
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	key := keyLevel("key_1", abi.Limits{}, abi.Budget{Amount: 10 * dime, Period: abi.PerMonth})
	spend := func(l *Ledger, amount abi.NanoUSD) {
		a := admitted(t, l, key)
		r := reservation("req", 0)
		if no, err := l.Reserve(a, r); no != nil || err != nil {
			t.Fatal(no, err)
		}
		l.Settle(r, Settlement{Basis: Authoritative, Cost: amount})
		l.Leave(a, &abi.Usage{})
	}
	l := open()
	spend(l, 7*dime)
	spend(l, dime)
	spend(l, dime)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open()
	spend(l, dime/2)
	spend(l, dime/2)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "[key/key_1 80 key/key_1 100]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
}

func TestRetentionDropsAndVerifyKnows(t *testing.T) {
	c := testutil.NewClock("2026-11-21T10:00:00Z")
	store := newMemory()
	l := opened(t, store, c, Settings{Retention: 24 * time.Hour})
	key := keyLevel("key_1", abi.Limits{}, abi.Budget{Amount: 100 * dime, Period: abi.InTotal})
	for i := range 5 {
		a := admitted(t, l, key)
		r := reservation(fmt.Sprint("req_", i), dime)
		if no, err := l.Reserve(a, r); no != nil || err != nil {
			t.Fatal(no, err)
		}
		l.Settle(r, Settlement{Basis: Authoritative, Cost: dime})
		l.Leave(a, &abi.Usage{})
		if err := l.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			verified(t, l)
		}
		c.Add(10 * time.Hour)
	}
	for range 2 { // what was not checked yet stays
		if err := l.dropOld(t.Context()); err != nil {
			t.Fatal(err)
		}
		verified(t, l)
	}
	if segments, first := store.Held(); first == 1 || segments == 0 {
		t.Fatalf("%d segments from %d are left", segments, first)
	}
	if v := verified(t, l); v.Windows != 1 || v.Partial != 1 {
		t.Errorf("%+v, want one window, in part", v)
	}
	if settled, _ := spent(t, l, key); settled != 5*dime {
		t.Errorf("%s spent, want $0.50", settled)
	}
}

func TestTotalsByDay(t *testing.T) {
	c := testutil.NewClock("2026-11-21T23:59:00Z")
	l := opened(t, newMemory(), c, Settings{})
	for i := range 4 {
		a := admitted(t, l)
		r := reservation(fmt.Sprint("req_", i), dime)
		if no, err := l.Reserve(a, r); no != nil || err != nil {
			t.Fatal(no, err)
		}
		l.Settle(r, Settlement{Basis: Authoritative, Cost: dime, Usage: abi.Usage{abi.Input: 10, abi.Requests: 1}})
		l.Leave(a, &abi.Usage{})
		c.Add(time.Minute)
	}
	var got []string
	collect := func(s *Total) error {
		got = append(got, fmt.Sprint(s.Day, " ", s.Key, " ", s.Team, " ", s.Model, " ", s.Attempts, " ", s.Usage[abi.Input], " ", s.Cost))
		return nil
	}
	for range 2 { // a second reading must not add anything up again
		got = nil
		if err := l.Totals(t.Context(), "", "", collect); err != nil {
			t.Fatal(err)
		}
		want := "[2026-11-21 ci research coding 1 10 $0.10 2026-11-22 ci research coding 3 30 $0.30]"
		if fmt.Sprint(got) != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
	got = nil
	if err := l.Totals(t.Context(), "2026-11-22", "2026-11-22", collect); err != nil || len(got) != 1 {
		t.Errorf("one day: %v, %v", got, err)
	}
}

// Books that do not fit their journal are not guessed at.
func TestABookWithoutItsJournalIsRefused(t *testing.T) {
	store := newMemory()
	l := opened(t, store, nil, Settings{})
	use(t, l, 3)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	behind, ahead := store.Snapshot(), newMemory()
	last, err := behind.LastSegment()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(behind.WriteBooks(maps.All(map[string][]byte{replayRow: {1}})), behind.Drop(t.Context(), last)); err != nil {
		t.Fatal(err)
	}
	if err := ahead.WriteBooks(maps.All(map[string][]byte{replayRow: {5}})); err != nil {
		t.Fatal(err)
	}
	for what, store := range map[string]*testutil.Memory{"the journal has lost its beginning": behind, "the journal has lost its end": ahead} {
		if _, err := Open(t.Context(), Options{Store: store}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
