package health

import "time"

// How long nobody asks after a 429 and after a refused credential.
const (
	parkFirst   = int64(time.Second)
	parkMost    = int64(time.Minute)
	parkTold    = int64(5 * time.Minute) // the most that a provider may tell
	refuseFirst = int64(time.Minute)
	refuseMost  = int64(15 * time.Minute)
)

// pause is a time in which something is not asked. The zero value is none.
type pause struct {
	until  int64
	length int64  // the last one that we chose ourselves; the next is twice as long
	era    uint32 // counts pauses, so that an attempt can tell whether one began after it did
}

// left is how much of it is left.
func (p *pause) left(now int64) int64 {
	if p.until == 0 { // also where the clock stands before its start
		return 0
	}
	return max(p.until-now, 0)
}

// begin begins a pause of a length of our own. Many attempts that were under way together and end alike are one reason
// for one pause: those that end during it change nothing, and those that end after it do not make the next one longer.
func (p *pause) begin(era uint32, now, first, most int64) {
	if p.left(now) > 0 {
		return
	}
	if p.length == 0 || era == p.era {
		p.length = longer(p.length, first, most)
	}
	p.until = now + p.length
	p.era++
}

// extend begins a pause of a length that was told. A shorter one does not end a longer one.
func (p *pause) extend(now, length int64) {
	p.until = max(p.until, now+length)
	p.era++
}

// succeed ends it all, if the attempt that succeeded began after the last pause did.
func (p *pause) succeed(era uint32) {
	if era == p.era {
		p.until, p.length = 0, 0
	}
}

// reset ends it by hand.
func (p *pause) reset() { *p = pause{era: p.era + 1} }
