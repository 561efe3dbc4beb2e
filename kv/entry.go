package kv

import "time"

// kind says what an entry is.
type kind uint8

const (
	gone    kind = iota // removed; the entry stays until its row is removed too
	plain               // bytes
	counter             // a number, read as decimal text
	sliding             // a window
)

// What counters and windows count as in the quota, beside their keys.
const (
	counterSize = 8
	windowSize  = 160
)

// small is the longest value that always stays in memory: to do without it would save less than its entry takes.
// Every number that could become a counter is among them.
const small = 32

// entry is a key and what belongs to it. There is one of each key, also while its row is written. Everything in it is
// guarded by its namespace's mutex, but for the names, which never change.
type entry struct {
	row  string // the key of its row
	name string // the key; the end of row
	kind kind

	stored bool // there may be a row
	flight bool // its row is being written
	size   int  // bytes of the value, also while that is not in memory

	version uint64 // changes with every change that a caller makes, and never comes back
	expires int64  // Unix nanoseconds; 0: never

	value  []byte // nil and size > 0: to be read from the row
	number int64
	window *window

	links [numQueues]links
}

// weight is what the entry counts as in the quota.
func (e *entry) weight() int64 {
	switch e.kind {
	case counter:
		return int64(len(e.name)) + counterSize
	case sliding:
		return int64(len(e.name)) + windowSize
	}
	return int64(len(e.name) + e.size)
}

// cold reports whether the value has to be read from the row.
func (e *entry) cold() bool { return e.kind == plain && e.value == nil && e.size > 0 }

// fill makes the entry a value. The bytes are copied, into the room of the old ones if they fit well.
func (e *entry) fill(v []byte) {
	if c := cap(e.value); c < len(v) || c > 2*len(v)+small {
		e.value = make([]byte, 0, len(v))
	}
	e.kind, e.value, e.size = plain, append(e.value[:0], v...), len(v)
	e.number, e.window = 0, nil
}

// count makes the entry a counter.
func (e *entry) count(number int64) {
	e.kind, e.number = counter, number
	e.value, e.size, e.window = nil, 0, nil
}

// until is when something that lives for ttl from now on expires; 0 is never.
func until(now int64, ttl time.Duration) int64 {
	if ttl == 0 {
		return 0
	}
	if end := now + int64(ttl); end > now {
		return end
	}
	return 0 // in more years than there are nanoseconds for
}

// A namespace has two queues of entries.
const (
	dirtyQueue = iota // changed since their rows were written, the longest ago first
	warmQueue         // with a value in memory that is larger than small, the one used the longest ago first
	numQueues
)

// links are an entry's place in a queue.
type links struct {
	prev, next *entry
	in         bool
}

// queue is a list of entries that links them by themselves, so that entering and leaving it costs no memory.
type queue struct {
	number      int // which of the entries' links
	first, last *entry
	len         int
}

func (q *queue) has(e *entry) bool { return e.links[q.number].in }

// push puts an entry at the end that is not in the queue.
func (q *queue) push(e *entry) {
	e.links[q.number] = links{prev: q.last, in: true}
	if q.last == nil {
		q.first = e
	} else {
		q.last.links[q.number].next = e
	}
	q.last = e
	q.len++
}

// remove takes an entry out, if it is in the queue.
func (q *queue) remove(e *entry) {
	l := e.links[q.number]
	if !l.in {
		return
	}
	if l.prev == nil {
		q.first = l.next
	} else {
		l.prev.links[q.number].next = l.next
	}
	if l.next == nil {
		q.last = l.prev
	} else {
		l.next.links[q.number].prev = l.prev
	}
	e.links[q.number] = links{}
	q.len--
}

// after returns the entry behind e.
func (q *queue) after(e *entry) *entry { return e.links[q.number].next }
