package kv

import (
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// MaxWindow is the longest window that WindowAdd takes.
const MaxWindow = 366 * 24 * time.Hour

// parts is into how many parts a window is cut. The one that is going on and as many before it are counted in full.
const parts = 16

// window counts units over a time that slides in steps of a part. A unit counts from when it is added until the whole
// of its part is one window old: never for less than the window, and for a sixteenth longer at most. So no stretch of
// time as long as the window ever has more than the limit, whatever the pattern. The usual ways promise less: GCRA lets
// twice the limit through in one window after a rest, and two weighted counters guess where in the older one the units
// were. A list of every unit would be exact to both sides, and as long as the limit is high.
type window struct {
	part   int64            // length of a part in nanoseconds
	last   int64            // the latest part, counted from 1970
	used   int64            // sum of counts
	counts [parts + 1]int64 // by age: the latest part first
}

// partOf is the length of a part of a window, rounded up so that all parts cover it.
func partOf(length time.Duration) int64 { return (int64(length) + parts - 1) / parts }

// slide brings the window up to now. It reports whether that moved units to another time.
func (w *window) slide(now int64) (moved bool) {
	current := now / w.part
	switch steps := current - w.last; {
	case steps > 0:
		k := min(steps, parts+1)
		for _, n := range w.counts[parts+1-k:] {
			w.used -= n
		}
		copy(w.counts[k:], w.counts[:])
		clear(w.counts[:k])
		w.last = current
	case steps < -parts:
		// The clock was put back by more than the window. As if no time had passed, units go on to count for one
		// window, not until the clock comes here again. The clock may stand later in its part now than it did, so
		// they are taken for one part newer.
		w.last = current + 1
		return true
	}
	// Less far back is mostly another caller's clock, read before the latest one was. Then it is the latest part's time.
	return false
}

// recut changes the length of the parts, when a policy changes the window's. Each part's units are taken for as new as
// they can be.
func (w *window) recut(part, now int64) {
	old := *w
	*w = window{part: part, last: now / part}
	for age, n := range old.counts {
		end := min((old.last-int64(age)+1)*old.part-1, now)
		if age := w.last - end/part; age <= parts {
			w.counts[age] += n
			w.used += n
		}
	}
}

// ends is when nothing is used any more, if nothing is added.
func (w *window) ends() int64 {
	for age, n := range w.counts {
		if n > 0 {
			return w.leaves(age)
		}
	}
	return 0
}

// leaves is when the units of an age stop counting.
func (w *window) leaves(age int) int64 { return (w.last - int64(age) + parts + 1) * w.part }

// frees is when as many units as that will have stopped counting.
func (w *window) frees(units int64) int64 {
	for age := parts; age >= 0; age-- {
		if units -= w.counts[age]; units <= 0 {
			return w.leaves(age)
		}
	}
	return w.ends()
}

// add lets units in if there is room for them, and says how long it takes until none counts any more, or until there is
// room.
func (w *window) add(units, limit, now int64) (allowed bool, reset time.Duration) {
	switch {
	case units > limit:
		return false, since(now, w.ends())
	case units > 0 && units-limit+w.used > 0:
		return false, since(now, w.frees(units-limit+w.used))
	}
	w.counts[0] += units
	w.used += units
	return true, since(now, w.ends())
}

// since is how long it is from now to then, which may be over.
func since(now, then int64) time.Duration { return time.Duration(max(0, then-now)) }

// WindowAdd adds units to a sliding window, if with them no more than limit were added within any time as long as
// length; else it adds nothing. Units may count for up to a sixteenth of length longer than that. used is how many
// count now. reset is, if they were added, how long it takes until nothing counts any more; if not, how long until
// as many would be let in, or for more than limit, until nothing counts any more.
//
// No units ask only, and are always let in. A window is one key with one length; a call with another length changes it.
// The code is BadArgument for negative units or limits, for a length that is not above 0 and at most MaxWindow, and for
// a key that is empty, too long, or holds something else; OverQuota; or Unavailable after Close.
func (n *Namespace) WindowAdd(key []byte, units, limit int64, length time.Duration) (allowed bool, used int64, reset time.Duration, code abi.Code) {
	if units < 0 || limit < 0 || length <= 0 || length > MaxWindow {
		return false, 0, 0, abi.BadArgument
	}
	now, part := n.now(), partOf(length)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed && units > 0 {
		return false, 0, 0, abi.Unavailable
	}
	e := n.unexpired(n.entries[string(key)], now)
	switch {
	case e == nil && (units == 0 || units > limit):
		return units == 0, 0, 0, abi.OK
	case e == nil:
		if e, code = n.create(key, windowSize, now); code != abi.OK {
			return false, 0, 0, code
		}
		e.kind, e.window = sliding, &window{part: part, last: now / part}
	case e.kind != sliding:
		return false, 0, 0, abi.BadArgument
	}
	w := e.window
	moved := w.part != part
	if moved {
		w.recut(part, now)
	}
	moved = w.slide(now) || moved
	allowed, reset = w.add(units, limit, now)
	e.expires = max(w.ends(), 1) // 0 would be never
	switch {
	case allowed && units > 0:
		n.touch(e)
	case moved && !n.closed:
		n.soil(e)
	}
	return allowed, w.used, reset, abi.OK
}
