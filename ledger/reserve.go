package ledger

import (
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Reservation is what one attempt holds. The caller sets the entry's ID, Attempt, KeyID, Key, Team, Model, Provider,
// ProviderModel, Flags, Reserved and Input; the ledger the rest. It must stay where it is until it is settled; then
// it may be used for another attempt.
type Reservation struct {
	Entry

	windows    []*window
	unbooked   bool   // it passed while the ledger could not be written
	held       bool   // it is open
	segment    uint64 // the last one that has it
	position   int64  // bytes of the journal before that
	prev, next *Reservation
}

// Open reports whether the reservation was made and is not settled yet.
func (r *Reservation) Open() bool { return r.held || r.unbooked }

// Unbooked reports whether the attempt passed without being booked, because the ledger could not be written.
func (r *Reservation) Unbooked() bool { return r.unbooked }

// openList is the open reservations, ordered by the segment that has them last. It is a ring through its root.
type openList struct {
	root     Reservation
	count    int
	reserved abi.NanoUSD
}

func (o *openList) init() { o.root.prev, o.root.next = &o.root, &o.root }

func (o *openList) push(r *Reservation) {
	r.prev, r.next = o.root.prev, &o.root
	r.prev.next, r.next.prev = r, r
}

func (o *openList) unlink(r *Reservation) {
	r.prev.next, r.next.prev = r.next, r.prev
	r.prev, r.next = nil, nil
}

// first is the one that was journaled the longest ago; nil if there is none.
func (o *openList) first() *Reservation {
	if o.root.next == &o.root {
		return nil
	}
	return o.root.next
}

// Reserve holds r.Reserved on the budgets of all of the admission's levels, if all of them have room; else on none,
// and says which has none. When it returns nil twice, the reservation is in the journal: the attempt may leave, and
// has to be settled. The error is ErrUnavailable: nothing is held.
func (l *Ledger) Reserve(a *Admission, r *Reservation) (*Refusal, error) {
	now := l.now()
	r.Time, r.Settled = now, time.Time{}
	r.State, r.Basis, r.Cost, r.Usage = StateOpen, Pending, 0, abi.Usage{}
	r.unbooked = false

	l.mu.Lock()
	if l.closed || l.failing {
		defer l.mu.Unlock()
		return nil, l.unavailable(r)
	}
	if no := l.claim(a, r, now); no != nil {
		l.mu.Unlock()
		return no, nil
	}
	batch := l.hold(r)
	lead := !l.writing // who comes first writes for all: that saves waking another goroutine
	l.writing = true
	var others <-chan struct{} // tells when others have written the batch
	if !lead || batch != l.batches[0] {
		others = batch.wait()
	}
	l.mu.Unlock()

	if lead {
		if more, _ := l.writeFirst(); more { // an error is in the batch, too
			l.rouse()
		}
	}
	if others != nil {
		<-others
	}
	if batch.err == nil {
		return nil, nil
	}
	l.Settle(r, Settlement{Basis: Unbilled}) // as far as it was written: it is not known
	return nil, l.unavailable(r)
}

// unavailable is the answer while nothing can be booked. Where the operator chose that, the attempt passes all the
// same.
func (l *Ledger) unavailable(r *Reservation) error {
	if !l.settings.Load().Unbudgeted {
		return ErrUnavailable
	}
	r.unbooked = true
	l.counters.unbooked.Add(1)
	return nil
}

// claim finds the windows of all budgets and sees that each has room.
func (l *Ledger) claim(a *Admission, r *Reservation, now time.Time) *Refusal {
	r.windows = r.windows[:0]
	for i, account := range a.accounts {
		for j := range a.Levels[i].Budgets {
			b := &a.Levels[i].Budgets[j]
			w, begun := account.window(b, now)
			if begun {
				l.accounts.touch(account)
			}
			if !w.fits(r.Reserved, b.Amount) {
				return w.refuse(&a.Levels[i], b, r.Reserved, now)
			}
			r.windows = append(r.windows, w)
		}
	}
	return nil
}

// refuse says that a window has no room. Trying again makes sense when its budget begins anew.
func (w *window) refuse(level *Level, b *abi.Budget, wanted abi.NanoUSD, now time.Time) *Refusal {
	no := &Refusal{
		Level: *level, Limit: abi.NumLimits, Budget: *b, Spent: w.settled, Reserved: w.reserved, Wanted: wanted,
	}
	if w.end != 0 {
		no.Resets = time.Unix(w.end, 0).UTC()
		no.RetryAfter = no.Resets.Sub(now)
	}
	return no
}

// hold takes the reservation into the windows and the journal.
func (l *Ledger) hold(r *Reservation) *batch {
	for _, w := range r.windows {
		w.reserved += r.Reserved
	}
	r.held = true
	l.open.count++
	l.open.reserved += r.Reserved
	l.open.push(r)
	return l.write(r)
}

// Settlement is what an attempt came to.
type Settlement struct {
	Basis Basis
	Cost  abi.NanoUSD
	Usage abi.Usage
}

// Settle books the true cost in place of the reservation, once: on a reservation that is not open it does nothing. It
// does not wait for the journal. The cost is booked as it is, also above the reservation.
func (l *Ledger) Settle(r *Reservation, s Settlement) {
	if r.unbooked {
		r.unbooked = false
		return
	}
	now := l.now()
	l.mu.Lock()
	if !r.held {
		l.mu.Unlock()
		return
	}
	r.settle(s, now)
	alerts := l.book(r)
	l.mu.Unlock()
	for _, alert := range alerts {
		l.alert(alert)
	}
}

func (r *Reservation) settle(s Settlement, now time.Time) {
	r.State, r.Settled = StateSettled, now
	r.Basis, r.Cost, r.Usage = s.Basis, s.Cost, s.Usage
	if r.Cost > r.Reserved {
		r.Flags |= Overrun
	}
}

// book takes a reservation that was settled out of the open ones, and its cost into the windows, the sums of usage
// and the journal.
func (l *Ledger) book(r *Reservation) (alerts []Alert) {
	percent := l.settings.Load().Alerts
	for _, w := range r.windows {
		w.reserved -= r.Reserved
		w.settled += r.Cost
		l.accounts.touch(w.account)
		if alert, due := w.reached(percent, r.Settled); due {
			alerts = append(alerts, alert)
		}
	}
	r.held = false
	l.open.count--
	l.open.reserved -= r.Reserved
	l.open.unlink(r)
	l.addUsage(&r.Entry)
	l.count(r)
	l.write(r)
	return alerts
}

func (l *Ledger) count(r *Reservation) {
	l.counters.settled.Add(1)
	if r.Flags&Overrun != 0 {
		l.counters.overruns.Add(1)
	}
	if r.Flags&Unpriced != 0 {
		l.counters.unpriced.Add(1)
	}
	if r.Basis == Crashed {
		l.counters.crashed.Add(1)
	}
}
