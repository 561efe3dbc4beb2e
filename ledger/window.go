package ledger

import (
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// window is one period of one budget of an account: what was spent in it, and what is reserved. A reservation holds
// on to the window that it was made in and is settled there, also when the next one has begun.
type window struct {
	account  *account
	period   abi.Period
	zone     string
	start    int64 // Unix seconds; 0 with InTotal
	end      int64 // Unix seconds of the next one's start; 0: never
	settled  abi.NanoUSD
	reserved abi.NanoUSD // the sum of the open reservations; not stored: it follows from the journal
	limit    abi.NanoUSD // of the budget, as it was last asked for
	alerted  uint8       // the highest share of limit that was told of, in percent

	checked   abi.NanoUSD // settled, at the last check; check's own
	checkable bool        // checked has been set
}

// bounds returns the start of the period that holds now, and of the next one, in a time zone. A midnight that
// daylight saving skips is the first moment after it.
func bounds(period abi.Period, now time.Time, zone *time.Location) (start, end int64) {
	if period == abi.InTotal {
		return 0, 0
	}
	if zone == nil {
		zone = time.UTC
	}
	year, month, day := now.In(zone).Date()
	var from, to time.Time
	switch period {
	case abi.PerMonth:
		from, to = midnight(year, month, 1, zone), midnight(year, month+1, 1, zone)
	case abi.PerWeek:
		day -= (int(now.In(zone).Weekday()) + 6) % 7 // days since Monday
		from, to = midnight(year, month, day, zone), midnight(year, month, day+7, zone)
	default:
		from, to = midnight(year, month, day, zone), midnight(year, month, day+1, zone)
	}
	return from.Unix(), to.Unix()
}

// midnight returns the first moment of a day. Where clocks are put forward at midnight, time.Date may answer with an
// hour of the day before.
func midnight(year int, month time.Month, day int, zone *time.Location) time.Time {
	t := time.Date(year, month, day, 0, 0, 0, 0, zone)
	if wanted := time.Date(year, month, day, 12, 0, 0, 0, zone); t.Day() != wanted.Day() {
		_, end := t.ZoneBounds()
		return end
	}
	return t
}

// window returns the account's present window of a budget. Time only goes forward: a clock that was put back does not
// reopen a period that is over, nor does it give a fresh one. begun says that the window was begun just now.
func (a *account) window(b *abi.Budget, now time.Time) (w *window, begun bool) {
	for i, w := range a.windows {
		if w.period != b.Period || w.zone != b.Zone() {
			continue
		}
		if w.end != 0 && now.Unix() >= w.end {
			next := a.newWindow()
			next.period, next.zone = w.period, w.zone
			next.start, next.end = bounds(b.Period, now, b.Location)
			a.windows[i] = next
			w, begun = next, true
		}
		if b.Amount > w.limit {
			w.alerted = 0 // what was a large share of the old budget need not be one of the new
		}
		w.limit = b.Amount
		return w, begun
	}
	w = a.newWindow()
	w.period, w.zone, w.limit = b.Period, b.Zone(), b.Amount
	w.start, w.end = bounds(b.Period, now, b.Location)
	a.addWindow(w)
	return w, true
}

// present finds the account's present window of a budget without beginning one; nil if there is none.
func (a *account) present(b *abi.Budget, now time.Time) *window {
	for _, w := range a.windows {
		if w.period == b.Period && w.zone == b.Zone() && (w.end == 0 || now.Unix() < w.end) {
			return w
		}
	}
	return nil
}

// fits reports whether amount can be reserved beside what is spent and reserved already.
func (w *window) fits(amount, limit abi.NanoUSD) bool {
	return amount <= limit-w.settled-w.reserved || amount == 0 && w.settled <= limit
}
