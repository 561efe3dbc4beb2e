package gateway

import (
	"errors"
	"sync/atomic"
)

// maxRoom bounds what all exchanges together hold of answers that no client has seen yet, beyond what each keeps
// anyway.
const maxRoom = 512 << 20

var errNoRoom = errors.New("too much is held of unfinished answers already")

// room is one exchange's share of the memory for answers that are held back.
type room struct {
	all   *atomic.Int64 // taken by all exchanges
	taken int64
}

// take makes sure that the exchange may hold n bytes; false if there is no room for them.
func (r *room) take(n int) bool {
	more := int64(n) - keptBuffer - r.taken
	if more <= 0 {
		return true
	}
	if r.all.Add(more) > maxRoom {
		r.all.Add(-more)
		return false
	}
	r.taken += more
	return true
}

// leave gives back what was taken.
func (r *room) leave() {
	if r.taken > 0 {
		r.all.Add(-r.taken)
		r.taken = 0
	}
}
