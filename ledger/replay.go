package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// replaying brings the balances up to the end of the journal.
type replaying struct {
	*Ledger
	upTo  map[Account]uint64      // the segment that an account's row is up to
	known map[int64]uint64        // the same of the usage of a day
	open  map[string]*Reservation // by request id and attempt
	order []*Reservation          // of open, as they came; those that were settled meanwhile are nil
	at    map[*Reservation]int    // their places in order
}

// replay reads the rows and the journal behind them, and settles what a crash left open.
func (l *Ledger) replay(ctx context.Context) error {
	from, err := l.readReplay()
	if err != nil {
		return err
	}
	last, err := l.store.LastSegment()
	if err != nil {
		return fmt.Errorf("finding the end of the journal: %w", err)
	}
	if from > last+1 {
		return fmt.Errorf("%w: the books are up to segment %d, and the journal ends with %d", ErrCorrupt, from-1, last)
	}
	l.begin(last + 1)
	l.books.replay, l.books.written, l.books.checked = from, from-1, last
	p := &replaying{
		Ledger: l, upTo: map[Account]uint64{}, known: map[int64]uint64{},
		open: map[string]*Reservation{}, at: map[*Reservation]int{},
	}
	next := from
	err = l.store.Segments(ctx, from, func(number uint64, segment []byte) error {
		if number != next {
			return fmt.Errorf("%w: the books are up to segment %d, and the journal goes on with %d", ErrCorrupt, next-1, number)
		}
		next++
		return readAll(segment, func(ev *event) error { return p.apply(number, ev) }, func(m *moved) error { return p.move(number, m) })
	})
	if err != nil {
		return fmt.Errorf("replaying the journal: %w", err)
	}
	p.settleOpen()
	return nil
}

// readReplay reads where a restart has to begin, and what the ratios were.
func (l *Ledger) readReplay() (from uint64, err error) {
	row, ok, err := l.store.ReadBook(replayRow)
	if err != nil {
		return 0, fmt.Errorf("reading the ledger's place: %w", err)
	}
	if !ok {
		return 1, nil
	}
	d := decoder{buf: row}
	from = d.uint()
	if err := d.end(); err != nil || from == 0 {
		return 0, fmt.Errorf("%w: the row of its place", ErrCorrupt)
	}
	row, ok, err = l.store.ReadBook(ratiosRow)
	if err != nil {
		return 0, fmt.Errorf("reading the learned ratios: %w", err)
	}
	if ok {
		l.ratios.parse(row)
	}
	return from, nil
}

// apply takes one event into account.
func (p *replaying) apply(number uint64, ev *event) error {
	name := fmt.Sprintf("%s/%d", ev.ID, ev.Attempt)
	if ev.kind == reservationEvent {
		if p.open[name] == nil { // else it was repeated
			return p.reopen(name, ev)
		}
		return nil
	}
	if r := p.open[name]; r != nil {
		p.order[p.at[r]] = nil
		delete(p.open, name)
		delete(p.at, r)
	}
	for _, s := range ev.shares {
		a, err := p.account(s.account)
		if err != nil {
			return err
		}
		if number > p.upTo[s.account] {
			if w := a.find(&s); w != nil {
				w.settled += ev.Cost
				p.accounts.touch(a)
			}
		}
	}
	p.applyUsage(number, &ev.Entry)
	return nil
}

// move takes rates into account.
func (p *replaying) move(number uint64, m *moved) error {
	a, err := p.account(m.Account)
	if err != nil {
		return err
	}
	if number <= p.upTo[m.Account] {
		return nil
	}
	for i, r := range m.rates {
		if m.mask&(1<<i) != 0 {
			a.rates[i] = r
		}
	}
	p.accounts.touch(a)
	return nil
}

// account finds an account, and notes what its row is up to. Nothing is forgotten while the journal is replayed.
func (p *replaying) account(name Account) (*account, error) {
	if a := p.accounts.resident[name]; a != nil {
		return a, nil
	}
	a, upTo, err := p.load(name)
	if err != nil {
		return nil, err
	}
	p.upTo[name] = upTo
	p.accounts.keep(a)
	return a, nil
}

// find returns the account's window that a share names. One that is unknown is begun; one that is older than the
// present one of its budget is over, and nil.
func (a *account) find(s *share) *window {
	for i, w := range a.windows {
		if w.period != s.period || w.zone != s.zone {
			continue
		}
		switch {
		case w.start == s.start:
			return w
		case w.start > s.start:
			return nil
		}
		a.windows[i] = a.open(s)
		return a.windows[i]
	}
	w := a.open(s)
	a.addWindow(w)
	return w
}

// open begins the window of a share.
func (a *account) open(s *share) *window {
	w := a.newWindow()
	w.period, w.zone, w.start = s.period, s.zone, s.start
	if zone, err := time.LoadLocation(s.zone); err == nil {
		_, w.end = bounds(s.period, time.Unix(s.start, 0), zone)
	} else if s.period != abi.InTotal {
		w.end = s.start // a zone that this machine does not know any more: the period is taken for over
	}
	return w
}

// reopen takes a reservation up again.
func (p *replaying) reopen(name string, ev *event) error {
	r := &Reservation{Entry: ev.Entry, held: true}
	for _, s := range ev.shares {
		a, err := p.account(s.account)
		if err != nil {
			return err
		}
		w := a.find(&s)
		if w == nil {
			w = a.open(&s) // over: it only has to be settled somewhere
		}
		r.windows = append(r.windows, w)
	}
	p.open[name], p.at[r] = r, len(p.order)
	p.order = append(p.order, r)
	return nil
}

// applyUsage adds a settled attempt to the sums of usage, unless the store has it.
func (p *replaying) applyUsage(number uint64, e *Entry) {
	day := e.Time.Unix() / secondsPerDay
	upTo, known := p.known[day]
	if !known {
		upTo = p.store.UsageUpTo(dayName(day))
		p.known[day] = upTo
	}
	if number > upTo {
		p.addUsage(e)
	}
}

// settleOpen books what the settings say for the attempts that a crash left open. Their providers may have billed
// them, and nobody knows what.
func (p *replaying) settleOpen() {
	p.mu.Lock() // what is booked may be written before this ends
	defer p.mu.Unlock()
	booking, crashed := p.settings.Load().Crash, 0
	for _, r := range p.order {
		if r == nil {
			continue
		}
		for _, w := range r.windows {
			w.reserved += r.Reserved
		}
		p.Ledger.open.push(r)
		p.Ledger.open.count++
		p.Ledger.open.reserved += r.Reserved
		s := Settlement{Basis: Crashed, Cost: r.Reserved}
		switch booking {
		case BookInput:
			s.Cost = r.Input
		case BookNothing:
			s.Cost = 0
		}
		r.settle(s, p.now())
		p.book(r)
		crashed++
	}
	if crashed > 0 {
		p.log.Warn("attempts were open when the gateway ended: they are booked without knowing what they came to",
			"attempts", crashed)
	}
}
