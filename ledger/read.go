package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Export calls f for every attempt that began from from on and before to (zero: no bound): the settled ones in the
// order in which they were settled, then those that are open. The Entry is f's only during the call.
func (l *Ledger) Export(ctx context.Context, from, to time.Time, f func(*Entry) error) error {
	if err := l.sync(ctx); err != nil {
		return err
	}
	within := func(t time.Time) bool { return !t.Before(from) && (to.IsZero() || t.Before(to)) }
	open := map[string]Entry{}
	var order []string
	err := l.store.Segments(ctx, 0, func(_ uint64, segment []byte) error {
		return readSegment(segment, func(ev *event) error {
			name := fmt.Sprintf("%s/%d", ev.ID, ev.Attempt)
			if ev.kind == settlementEvent {
				delete(open, name)
				if within(ev.Time) {
					return f(&ev.Entry)
				}
				return nil
			}
			if _, repeated := open[name]; !repeated && within(ev.Time) {
				open[name] = ev.Entry
				order = append(order, name)
			}
			if len(order) > 2*len(open)+1024 {
				order = compact(order, open)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, name := range compact(order, open) {
		entry := open[name]
		if err := f(&entry); err != nil {
			return err
		}
	}
	return nil
}

// compact keeps of the names those that are still open.
func compact(order []string, open map[string]Entry) []string {
	kept := order[:0]
	for _, name := range order {
		if _, ok := open[name]; ok {
			kept = append(kept, name)
		}
	}
	return kept
}

// sync waits until what was settled before the call is in the journal, if it can be written at all.
func (l *Ledger) sync(ctx context.Context) error {
	l.mu.Lock()
	last := l.unwritten()
	l.mu.Unlock()
	if err := l.await(ctx, last); err != nil && !errors.Is(err, ErrUnavailable) {
		return err
	}
	return nil
}

// Balances returns where the budgets of levels stand now. Budgets that nothing was spent of stand at zero.
func (l *Ledger) Balances(levels []Level) ([]Balance, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	var all []Balance
	for i := range levels {
		if len(levels[i].Budgets) == 0 {
			continue
		}
		a, err := l.pin(levels[i].Account)
		if err != nil {
			return nil, err
		}
		for j := range levels[i].Budgets {
			all = append(all, a.balance(&levels[i].Budgets[j], now))
		}
		a.pins--
	}
	return all, nil
}

func (a *account) balance(b *abi.Budget, now time.Time) Balance {
	balance := Balance{Account: a.Account, Period: b.Period, Zone: b.Zone(), Limit: b.Amount}
	start, end := bounds(b.Period, now, b.Location)
	if w := a.present(b, now); w != nil {
		start, end = w.start, w.end
		balance.Spent, balance.Reserved = w.settled, w.reserved
	}
	if b.Period != abi.InTotal {
		balance.Start, balance.End = time.Unix(start, 0).UTC(), time.Unix(end, 0).UTC()
	}
	return balance
}

// Verify compares the journal with the balances: every settlement belongs to one reservation, and what was settled in
// the present window of each budget is what its row says. It may run beside everything else.
func (l *Ledger) Verify(ctx context.Context) (Verification, error) {
	if err := l.flush(ctx); err != nil && !errors.Is(err, ErrUnavailable) {
		return Verification{}, err
	}
	v := verifying{upTo: map[Account]uint64{}, windows: map[share]*audited{}, open: map[string]bool{}}
	l.busy.Lock()
	v.covered = l.books.written
	l.busy.Unlock()
	if err := l.store.ScanBooks(ctx, accountRows, accountRows, v.row); err != nil {
		return Verification{}, fmt.Errorf("reading the balances: %w", err)
	}
	last, err := l.store.LastSegment()
	if err != nil {
		return Verification{}, fmt.Errorf("finding the end of the journal: %w", err)
	}
	v.cut = last > 0 // unless the first one is still there
	err = l.store.Segments(ctx, 0, func(number uint64, segment []byte) error {
		if number > last {
			return errEnough
		}
		if v.Segments++; v.Segments == 1 {
			v.cut = number > 1
		}
		return readSegment(segment, func(ev *event) error { v.event(number, ev); return nil })
	})
	if err != nil && !errors.Is(err, errEnough) {
		return Verification{}, fmt.Errorf("reading the journal: %w", err)
	}
	v.compare()
	return v.Verification, nil
}

// verifying is the state of one Verify.
type verifying struct {
	Verification
	covered uint64             // the segment that all rows are up to at least
	upTo    map[Account]uint64 // where a row says that it is up to
	windows map[share]*audited // the present one of each budget, named without its start
	open    map[string]bool
	cut     bool      // the journal's beginning was dropped
	since   time.Time // of the oldest settlement; a reservation may be older than what is dropped: it was repeated
}

// audited is a window as its row has it and as the journal has it.
type audited struct {
	start        int64
	row, journal abi.NanoUSD
}

// maxProblems is how many problems are told.
const maxProblems = 100

func (v *verifying) problem(format string, args ...any) {
	if len(v.Problems) < maxProblems {
		v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
	}
}

func (v *verifying) row(key string, value []byte) error {
	kind, id, _ := strings.Cut(strings.TrimPrefix(key, accountRows), "/")
	name := Account{ID: id}
	for name.Kind = range numKinds {
		if name.Kind.String() == kind {
			break
		}
	}
	a, upTo, err := parseAccount(name, value)
	if err != nil {
		v.problem("%v", err)
		return nil
	}
	v.upTo[name] = upTo
	for _, w := range a.windows {
		v.windows[share{account: name, period: w.period, zone: w.zone}] = &audited{start: w.start, row: w.settled}
	}
	return nil
}

func (v *verifying) event(number uint64, ev *event) {
	name := fmt.Sprintf("%s/%d", ev.ID, ev.Attempt)
	if ev.kind == reservationEvent {
		v.open[name] = true
		v.Open = int64(len(v.open))
		return
	}
	v.Entries++
	if v.since.IsZero() {
		v.since = ev.Settled
	}
	if !v.open[name] && !v.cut {
		v.problem("attempt %d of %s was settled without being reserved, or twice", ev.Attempt, ev.ID)
	}
	delete(v.open, name)
	v.Open = int64(len(v.open))
	for _, s := range ev.shares {
		if number <= max(v.covered, v.upTo[s.account]) {
			v.audit(s, ev.Cost)
		}
	}
}

// audit counts a settlement that a row has to have. Where there is no row, or one of an earlier window, nothing was kept.
func (v *verifying) audit(s share, cost abi.NanoUSD) {
	start := s.start
	s.start = 0
	w := v.windows[s]
	if w == nil || w.start < start {
		w = &audited{start: start}
		v.windows[s] = w
	}
	if w.start == start { // else it is over
		w.journal += cost
	}
}

// compare holds the sums against the rows. A window that began before the oldest settlement of a journal whose beginning
// was dropped can only be compared as at least.
func (v *verifying) compare() {
	for s, w := range v.windows {
		v.Windows++
		partial := v.cut && (v.since.IsZero() || w.start <= v.since.Unix())
		if partial {
			v.Partial++
		}
		if w.row != w.journal && (!partial || w.row < w.journal) {
			v.problem("%s, per %s (%s) from %s: the balance says %s, the journal %s", s.account, s.period, s.zone,
				time.Unix(w.start, 0).UTC().Format(time.RFC3339), w.row, w.journal)
		}
	}
}
