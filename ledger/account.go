package ledger

import (
	"fmt"

	"github.com/sallyport-dev/sallyport/abi"
)

// account is what is counted of one level, in memory. Everything in it is guarded by the ledger's mutex.
type account struct {
	Account
	windows    []*window // the present window of each budget, and of budgets that are no longer asked for
	own        window    // the first of them that there was: most accounts never have another one
	list       [1]*window
	rates      [numRates]arrival
	concurrent int64

	pins   int      // admissions that hold it
	moved  bool     // its rates have moved since the journal last had them
	dirty  bool     // changed since its row was last encoded
	flight bool     // its row is encoded and not written yet
	next   *account // the next dirty one
	newer  *account // the one that came into memory after it
}

// newWindow makes a window of the account.
func (a *account) newWindow() *window {
	if a.own.account != nil { // somebody may hold on to it though it is over
		return &window{account: a}
	}
	a.own.account = a
	return &a.own
}

// addWindow takes in one more window.
func (a *account) addWindow(w *window) {
	if a.windows == nil {
		a.windows = a.list[:0]
	}
	a.windows = append(a.windows, w)
}

// spare reports whether the account can be forgotten: its row says all there is to know.
func (a *account) spare() bool { return a.pins == 0 && !a.moved && !a.dirty && !a.flight }

// accounts are those in memory.
type accounts struct {
	resident map[Account]*account
	most     int
	moved    []*account // those whose rates have moved
	dirty    int        // accounts that are
	first    *account   // of those that are dirty, the one that has been so for the longest
	last     *account
	oldest   *account // in memory, by when it came there or was last looked at
	newest   *account
	epoch    uint64 // counts forgotten accounts, so that what was read before one was forgotten is not believed
}

// touch notes that an account has changed.
func (t *accounts) touch(a *account) {
	if a.dirty {
		return
	}
	a.dirty = true
	t.dirty++
	if t.last == nil {
		t.first = a
	} else {
		t.last.next = a
	}
	t.last = a
}

// move notes that rates of an account have moved.
func (t *accounts) move(a *account) {
	if !a.moved {
		a.moved = true
		t.moved = append(t.moved, a)
	}
	t.touch(a)
}

// takeMoved takes some of the accounts whose rates have moved, and reports whether there are more.
func (t *accounts) takeMoved(most int) (some []*account, more bool) {
	n := min(most, len(t.moved))
	some = t.moved[:n]
	for _, a := range some {
		a.moved = false
	}
	if t.moved = t.moved[n:]; len(t.moved) == 0 {
		t.moved = nil
	}
	return some, len(t.moved) > 0
}

// clean takes the account that has been dirty for the longest, of which there is one.
func (t *accounts) clean() *account {
	a := t.first
	if t.first = a.next; t.first == nil {
		t.last = nil
	}
	t.dirty--
	a.next, a.dirty, a.flight = nil, false, true
	return a
}

// evictions is how many accounts are looked at, at most, when there are too many and one is added.
const evictions = 8

// add takes an account in. When there are too many, the oldest that can be spared makes room. Nobody asks which of them was
// used lately: to read one back costs little more than to keep count, and each that is looked at is far from the
// processor.
func (t *accounts) add(a *account) {
	for looked := 0; len(t.resident) >= t.most && looked < evictions; looked++ {
		if old := t.dequeue(); old.spare() {
			delete(t.resident, old.Account)
			t.epoch++
		} else {
			t.enqueue(old)
		}
	}
	t.keep(a)
}

// keep takes an account in, however many there are.
func (t *accounts) keep(a *account) {
	t.resident[a.Account] = a
	t.enqueue(a)
}

// enqueue makes an account the newest.
func (t *accounts) enqueue(a *account) {
	if t.newest == nil {
		t.oldest = a
	} else {
		t.newest.newer = a
	}
	t.newest = a
}

// dequeue takes out the oldest account, of which there is one.
func (t *accounts) dequeue() *account {
	a := t.oldest
	if t.oldest = a.newer; t.oldest == nil {
		t.newest = nil
	}
	a.newer = nil
	return a
}

// Rows of accounts.
//
//	key    "account/" and the account's name
//	value  1 byte version | segment that it is up to | rates: arrivals | windows, each: period, zone, start, end,
//	       settled, limit, alerted
const (
	accountRows       = "account/"
	accountRowVersion = 1
)

func (a *account) row() string { return accountRows + a.Kind.String() + "/" + a.ID }

// encode returns the account's row as of the end of a segment.
func (a *account) encode(segment uint64) []byte {
	e := encoder{buf: make([]byte, 0, 64+48*len(a.windows))}
	e.byte(accountRowVersion)
	e.uint(segment)
	e.uint(uint64(len(a.rates)))
	for _, r := range a.rates {
		e.int(int64(r))
	}
	e.uint(uint64(len(a.windows)))
	for _, w := range a.windows {
		e.byte(byte(w.period))
		e.text(w.zone)
		e.int(w.start)
		e.int(w.end)
		e.int(int64(w.settled))
		e.int(int64(w.limit))
		e.byte(w.alerted)
	}
	return e.buf
}

// parseAccount reads a row, and the segment that it is up to.
func parseAccount(name Account, row []byte) (a *account, segment uint64, err error) {
	a = &account{Account: name}
	d := decoder{buf: row}
	if version := d.byte(); version != accountRowVersion {
		return nil, 0, fmt.Errorf("%w: %s: version %d of its row, this program knows %d", ErrCorrupt, name, version, accountRowVersion)
	}
	segment = d.uint()
	for i := range d.count(len(row)) {
		if r := arrival(d.int()); i < len(a.rates) {
			a.rates[i] = r
		}
	}
	for range d.count(len(row)) {
		w := a.newWindow()
		w.period, w.zone = abi.Period(d.byte()), d.text()
		w.start, w.end = d.int(), d.int()
		w.settled, w.limit = abi.NanoUSD(d.int()), abi.NanoUSD(d.int())
		w.alerted = d.byte()
		a.addWindow(w)
	}
	if err := d.end(); err != nil {
		return nil, 0, fmt.Errorf("%w: row of %s: %w", ErrCorrupt, name, err)
	}
	return a, segment, nil
}

// pin finds an account, reads it from its row if it is not in memory, and holds it there until unpin. The mutex is
// held on entry and on return, but not while a row is read.
func (l *Ledger) pin(name Account) (*account, error) {
	for {
		if a, ok := l.accounts.resident[name]; ok {
			a.pins++
			return a, nil
		}
		epoch := l.accounts.epoch
		l.mu.Unlock()
		a, _, err := l.load(name)
		l.mu.Lock()
		if err != nil {
			return nil, err
		}
		if _, ok := l.accounts.resident[name]; !ok && epoch == l.accounts.epoch {
			l.accounts.add(a)
		}
	}
}

// load reads an account's row, and the segment that it is up to; one without a row has used nothing.
func (l *Ledger) load(name Account) (a *account, segment uint64, err error) {
	a = &account{Account: name}
	row, ok, err := l.store.ReadBook(a.row())
	if err != nil {
		return nil, 0, fmt.Errorf("reading the account %s: %w", name, err)
	}
	if !ok {
		return a, 0, nil
	}
	return parseAccount(name, row)
}
