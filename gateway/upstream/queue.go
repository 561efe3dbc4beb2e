package upstream

import (
	"context"
	"time"
)

// queue is who waits for a connection, first come, first served. The pool's lock guards it.
type queue struct {
	first, last *waiter
	length      int
}

// waiter is one place in the queue.
type waiter struct {
	served       chan *conn // gets one value: a connection, or nil for the turn to open one
	ahead, after *waiter
	queued       bool
}

// serve gives a connection, or with nil the turn to open one, to who waits longest. False if nobody does.
func (q *queue) serve(c *conn) bool {
	w := q.first
	if w == nil {
		return false
	}
	q.remove(w)
	w.served <- c
	return true
}

func (q *queue) add(w *waiter) {
	w.queued = true
	if w.ahead = q.last; w.ahead != nil {
		w.ahead.after = w
	} else {
		q.first = w
	}
	q.last = w
	q.length++
}

func (q *queue) remove(w *waiter) {
	if w.ahead != nil {
		w.ahead.after = w.after
	} else {
		q.first = w.after
	}
	if w.after != nil {
		w.after.ahead = w.ahead
	} else {
		q.last = w.ahead
	}
	w.queued = false
	q.length--
}

// wait queues for a connection. It returns one, or nil for the turn to open one.
func (p *Pool) wait(ctx context.Context) (*conn, error) {
	w := &waiter{served: make(chan *conn, 1)}
	p.mu.Lock()
	switch {
	case p.newest != nil || p.open < p.maxConns: // since the caller looked
		c := p.newest
		if c != nil {
			p.unlink(c)
		} else {
			p.open++
		}
		p.mu.Unlock()
		return p.fit(c), nil
	case p.queue.length >= p.maxQueue:
		p.mu.Unlock()
		return nil, ErrPoolFull
	}
	p.queue.add(w)
	p.mu.Unlock()
	patience := time.NewTimer(p.maxQueueTime)
	defer patience.Stop()
	select {
	case c := <-w.served:
		return p.fit(c), nil
	case <-ctx.Done():
		return nil, p.leave(w, ctx.Err())
	case <-patience.C:
		return nil, p.leave(w, ErrPoolFull)
	}
}

// leave gives up a place in the queue, and passes on what has been given to it in the meantime.
func (p *Pool) leave(w *waiter, why error) error {
	p.mu.Lock()
	if w.queued {
		p.queue.remove(w)
		p.mu.Unlock()
		return why
	}
	p.mu.Unlock()
	if c := <-w.served; c != nil {
		p.release(c, true)
	} else {
		p.pass()
	}
	return why
}

// fit returns a connection that was handed over if it is fit to be used; if not, its place is the caller's turn to
// open another.
func (p *Pool) fit(c *conn) *conn {
	if c == nil || c.clean(time.Now()) {
		return c
	}
	_ = c.Close()
	return nil
}
