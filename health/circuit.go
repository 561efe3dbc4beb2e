package health

import "time"

// When a circuit opens, and for how long.
const (
	failuresInRow = 3
	windowLeast   = 20                     // attempts in the window before their share of failures counts
	openFirst     = int64(5 * time.Second) // doubles with each probe that fails
	openMost      = int64(5 * time.Minute) // with its jitter
	openJitter    = 0.1                    // either way
	probeMost     = int64(5 * time.Minute) // a probe that has not ended by then is given up
	windowBucket  = int64(time.Second)
	windowBuckets = 30
)

// circuit opens when attempts fail, and lets one attempt at a time find out whether they still do. The zero value is
// closed.
type circuit struct {
	open        bool
	until       int64 // when a probe may begin
	length      int64 // how long it was opened for, without jitter
	era         uint32
	probe       uint32 // which probe is under way; 0: none
	probes      uint32 // how many there were
	probeBy     int64  // when it is given up
	consecutive int
	window      window
}

// ticket is what an attempt keeps of a circuit, so that its end counts for the era that it began in. What began before
// the circuit opened says nothing of whether it should stay open.
type ticket struct{ era, probe uint32 }

// look says how it stands: Healthy, Open or Probing; how long it stays open; and whether an attempt may begin.
func (c *circuit) look(now int64) (State, int64, bool) {
	switch {
	case !c.open:
		return Healthy, 0, true
	case now < c.until:
		return Open, c.until - now, false
	default:
		return Probing, 0, c.probe == 0 || now >= c.probeBy
	}
}

// enter begins an attempt. Where a probe is due, the attempt is it.
func (c *circuit) enter(now int64) ticket {
	t := ticket{era: c.era}
	if state, _, may := c.look(now); state == Probing && may {
		c.probes++
		if c.probes == 0 { // 0 means none
			c.probes++
		}
		c.probe, c.probeBy = c.probes, now+probeMost
		t.probe = c.probe
	}
	return t
}

// leave makes room for another probe, if the attempt is the one.
func (c *circuit) leave(t ticket) {
	if t.probe != 0 && t.probe == c.probe {
		c.probe = 0
	}
}

// succeed ends an attempt that went well. One that was let through while the circuit was open closes it, be it the
// probe or one that was forced.
func (c *circuit) succeed(t ticket, now int64) {
	c.leave(t)
	switch {
	case t.era != c.era:
	case c.open:
		c.reset()
	default:
		c.consecutive = 0
		c.window.add(now, false)
	}
}

// fail ends an attempt that failed. While the circuit is open only probes count: attempts that are forced must not
// lengthen it. The cause is what opened the circuit, "" if it did not.
func (c *circuit) fail(t ticket, now int64, random func() float64) (cause string) {
	c.leave(t)
	switch {
	case t.era != c.era:
	case c.open:
		if t.probe != 0 {
			c.shut(now, random)
			return causeProbe
		}
	default:
		c.consecutive++
		c.window.add(now, true)
		requests, failures := c.window.sum(now)
		if c.consecutive >= failuresInRow {
			c.shut(now, random)
			return causeRow
		}
		if requests >= windowLeast && 2*failures >= requests {
			c.shut(now, random)
			return causeShare
		}
	}
	return ""
}

// shut opens the circuit, for twice as long as the time before if that was no success.
func (c *circuit) shut(now int64, random func() float64) {
	c.length = longer(c.length, openFirst, openMost)
	jittered := int64(float64(c.length) * (1 - openJitter + 2*openJitter*random()))
	c.open, c.until = true, now+min(jittered, openMost)
	c.era++
	c.probe = 0
}

// reset closes the circuit as if nothing had been.
func (c *circuit) reset() {
	*c = circuit{era: c.era + 1, probes: c.probes}
}

// longer doubles a length up to a bound.
func longer(length, first, most int64) int64 {
	if length == 0 {
		return first
	}
	return min(2*length, most)
}

// window counts attempts of the last 30 seconds, in buckets of a second. The zero value is empty.
type window struct {
	last     int64 // the bucket of the newest attempt
	requests [windowBuckets]uint32
	failures [windowBuckets]uint32
}

func (w *window) add(now int64, failed bool) {
	w.roll(now)
	i := w.last % windowBuckets
	w.requests[i]++
	if failed {
		w.failures[i]++
	}
}

// roll empties the buckets that time has passed over. A clock that went back counts for the newest bucket.
func (w *window) roll(now int64) {
	bucket := max(now/windowBucket, w.last)
	for n := min(bucket-w.last, windowBuckets); n > 0; n-- {
		i := (bucket - n + 1) % windowBuckets
		w.requests[i], w.failures[i] = 0, 0
	}
	w.last = bucket
}

func (w *window) sum(now int64) (requests, failures uint64) {
	w.roll(now)
	for i := range windowBuckets {
		requests += uint64(w.requests[i])
		failures += uint64(w.failures[i])
	}
	return requests, failures
}
