package kv

import (
	"fmt"
	"iter"
	"time"
)

// Bounds of what is done under the lock at a time.
const (
	groupRows  = 256
	groupBytes = 256 << 10
	sweepStep  = 256 // entries
	sweepSteps = 16  // of each flush's sweep
)

// keep is the goroutine of a namespace: it writes what has changed, and sweeps what has expired.
func (n *Namespace) keep() {
	tick := time.NewTicker(n.opts.interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n.sweepAll()
			n.report(n.flush())
		case <-n.stop:
			n.report(n.flush())
			return
		}
	}
}

// group is what is written at once.
type group struct {
	entries []*entry
	ends    []int  // where each one's row ends in buf
	removed []bool // it has no row
	buf     []byte
}

// rows ranges over the group's rows.
func (g *group) rows() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		start := 0
		for i, e := range g.entries {
			row := g.buf[start:g.ends[i]:g.ends[i]]
			if start = g.ends[i]; g.removed[i] {
				row = nil
			}
			if !yield(e.row, row) {
				return
			}
		}
	}
}

// flush writes the rows of all entries that are dirty as it begins. Only one runs at a time.
func (n *Namespace) flush() error {
	n.mu.Lock()
	left := n.dirty.len
	n.mu.Unlock()
	for left > 0 {
		n.mu.Lock()
		n.seal(left)
		n.mu.Unlock()
		if left -= len(n.group.entries); len(n.group.entries) == 0 {
			break // some that were dirty are gone for good
		}
		err := n.opts.Store.Write(n.group.rows())
		n.mu.Lock()
		n.settle(err)
		n.mu.Unlock()
		if err != nil {
			return fmt.Errorf("writing what a policy remembers: %w", err)
		}
	}
	return nil
}

// seal takes the entries that have been dirty for the longest, up to most, and encodes them.
func (n *Namespace) seal(most int) {
	g := &n.group
	clear(g.entries)
	g.entries, g.ends, g.removed, g.buf = g.entries[:0], g.ends[:0], g.removed[:0], g.buf[:0]
	for len(g.entries) < min(most, groupRows) && len(g.buf) < groupBytes {
		e := n.dirty.first
		if e == nil {
			break
		}
		n.dirty.remove(e)
		e.flight = true
		if e.kind != gone {
			g.buf = e.appendRow(g.buf)
		}
		g.entries = append(g.entries, e)
		g.ends = append(g.ends, len(g.buf))
		g.removed = append(g.removed, e.kind == gone)
	}
}

// settle notes what became of the group. After an error any of it may have been written.
func (n *Namespace) settle(err error) {
	n.counts.Failing = err != nil
	if err != nil {
		n.counts.Failures++
	}
	for i, e := range n.group.entries {
		e.flight = false
		switch removed := n.group.removed[i]; {
		case err != nil:
			e.stored = e.stored || !removed
			n.soil(e)
		case !removed:
			e.stored = true
		case e.kind == gone:
			n.dirty.remove(e)
			delete(n.entries, e.name)
		default:
			e.stored = false
		}
	}
	n.evict(len(n.group.entries) + evictions)
}

// report tells when writing begins to fail, and when it works again.
func (n *Namespace) report(err error) {
	switch {
	case err != nil && !n.failing:
		n.log.Error("what a policy remembers stays in memory: it cannot be written", "error", err)
	case err == nil && n.failing:
		n.log.Info("what a policy remembers is written again")
	}
	n.failing = err != nil
}

// sweepAll sweeps a part of the namespace, in steps between which callers get their turn.
func (n *Namespace) sweepAll() {
	for range sweepSteps {
		n.mu.Lock()
		n.sweep(n.now())
		ended := n.swept == ""
		n.mu.Unlock()
		if ended {
			return
		}
	}
}

// sweep looks at the entries behind those that the last one looked at, and removes what has expired.
func (n *Namespace) sweep(now int64) {
	looked, at := 0, n.swept
	n.swept = ""
	n.order.walk(at, func(e *entry) bool {
		if looked == sweepStep {
			n.swept = e.name
			return false
		}
		looked++
		if e.over(now) {
			n.ripe = append(n.ripe, e)
		}
		return true
	})
	for i, e := range n.ripe {
		n.remove(e)
		n.ripe[i] = nil
	}
	n.ripe = n.ripe[:0]
}
