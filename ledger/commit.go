package ledger

import (
	"time"
)

// batch is events on their way into the journal: one segment.
type batch struct {
	number uint64
	buf    []byte
	done   chan struct{} // closed when it has ended; nil while nobody waits for that: most are written by who filled them
	err    error         // why it failed; set before it ends
	ended  bool          // it is written, or has failed
}

const (
	emptyBatch = 1                    // bytes of a batch without events: the version
	fullBatch  = 512 << 10            // bytes after which the next one is begun
	lazyWrite  = 5 * time.Millisecond // how long settlements wait for a reservation to be written with
	retryWrite = 100 * time.Millisecond
)

// segment is the number of the segment that the next event goes to.
func (l *Ledger) segment() uint64 { return l.batches[len(l.batches)-1].number }

// write adds the reservation's event to the journal's next segment. The mutex is held.
func (l *Ledger) write(r *Reservation) *batch {
	b := l.batches[len(l.batches)-1]
	r.segment, r.position = b.number, l.journal
	l.extend(b, r.appendEvent(b.buf))
	if r.State == StateSettled && !l.armed { // nobody waits for it
		l.armed = true
		l.lazy.Reset(lazyWrite)
	}
	return b
}

// extend takes an event that was appended into the batch that is being filled. The mutex is held.
func (l *Ledger) extend(b *batch, longer []byte) {
	l.journal += int64(len(longer) - len(b.buf))
	if b.buf = longer; len(b.buf) >= fullBatch {
		l.begin(b.number + 1)
	}
}

// journalRates writes where the rates stand that have moved since the last time: that is what a crash may not lose of
// them. Rows are for that too dear. While the journal cannot be written they wait, each account once.
func (l *Ledger) journalRates() {
	for more := true; more; {
		var some []*account
		l.mu.Lock()
		if l.failing {
			l.mu.Unlock()
			return
		}
		some, more = l.accounts.takeMoved(flushChunk)
		for _, a := range some {
			b := l.batches[len(l.batches)-1]
			l.extend(b, a.appendRates(b.buf))
		}
		l.mu.Unlock()
		if len(some) > 0 {
			l.rouse()
		}
	}
}

// begin begins the batch that events go to from now on.
func (l *Ledger) begin(number uint64) {
	buf := l.spare
	l.spare = nil
	l.batches = append(l.batches, &batch{number: number, buf: append(buf[:0], segmentVersion)})
}

// rouseLazily wakes the committer for settlements, if no reservation has taken them along meanwhile: to wake a goroutine for
// nothing costs more than the settlements did.
func (l *Ledger) rouseLazily() {
	l.mu.Lock()
	l.armed = false
	left := !l.writing && len(l.batches[0].buf) > emptyBatch
	l.mu.Unlock()
	if left {
		l.rouse()
	}
}

// rouse wakes the committer.
func (l *Ledger) rouse() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// commit writes what nobody is waiting for, and what came in while somebody else wrote. It ends after the books are
// closed, which need it to the last.
func (l *Ledger) commit() {
	for closing := false; !closing; {
		select {
		case <-l.wake:
		case <-l.booked:
			closing = true
		}
		for l.take() {
			if _, err := l.writeFirst(); err != nil && !l.pause() {
				return
			}
		}
	}
}

// pause waits before a write is tried again. It returns false if there is to be no other try: the ledger is closing.
func (l *Ledger) pause() bool {
	select {
	case <-time.After(retryWrite):
		return true
	case <-l.booked:
		return false
	}
}

// take takes the right to write, if there is something to write and nobody else is at it.
func (l *Ledger) take() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writing || len(l.batches[0].buf) == emptyBatch {
		return false
	}
	l.writing = true
	return true
}

// writeFirst writes the first batch, gives the right to write back, and reports whether there is more to write. If it
// fails, all who wait for a reservation are turned away; what is settled meanwhile is kept for another try.
func (l *Ledger) writeFirst() (more bool, err error) {
	l.mu.Lock()
	b := l.batches[0]
	if len(l.batches) == 1 {
		l.begin(b.number + 1)
	}
	l.mu.Unlock()

	err = l.store.Append(b.number, b.buf, l.settings.Load().Sync)

	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing = false
	l.tell(err)
	if err != nil {
		l.turnAway(err)
		return true, err
	}
	l.counters.segments.Add(1)
	l.batches = append(l.batches[:0], l.batches[1:]...)
	if cap(b.buf) <= fullBatch {
		l.spare = b.buf
	}
	b.end(nil)
	return len(l.batches[0].buf) > emptyBatch, nil
}

// turnAway tells all who wait that the write failed. What comes from now on gets a batch that has not failed yet.
func (l *Ledger) turnAway(err error) {
	for _, b := range l.batches {
		b.end(err)
	}
	last := len(l.batches) - 1
	if b := l.batches[last]; len(b.buf) > emptyBatch {
		l.begin(b.number + 1)
	} else {
		l.batches[last] = &batch{number: b.number, buf: b.buf}
	}
}

// tell notes whether the store works, and says so when that changes.
func (l *Ledger) tell(err error) {
	if err != nil {
		l.counters.failures.Add(1)
	}
	switch failing := err != nil; {
	case failing && !l.failing:
		l.log.Error("the ledger cannot be written: nothing is reserved until it can", "error", err)
	case !failing && l.failing:
		l.log.Info("the ledger is written again")
	}
	l.failing = err != nil
}

// end tells those who wait for the batch.
func (b *batch) end(err error) {
	if !b.ended {
		b.ended, b.err = true, err
		if b.done != nil {
			close(b.done)
		}
	}
}

// wait returns what is closed when the batch has ended. The mutex is held.
func (b *batch) wait() <-chan struct{} {
	if b.done == nil {
		b.done = make(chan struct{})
		if b.ended {
			close(b.done)
		}
	}
	return b.done
}
