package runtime

import (
	"sync"
	"sync/atomic"
	"time"
)

// watchEvery is how often the watchdog looks while calls run. It counts longStep at most for the time since it looked
// last: if it was more, the whole process stood still (a container that has used up its share of the processor stands
// still for a tenth of a second), and no call is to blame for that.
const (
	watchEvery = 5 * time.Millisecond
	longStep   = 2 * watchEvery
)

// watchdog marks the calls whose time is over. A guest cannot be stopped from outside, so a mark is all there is: the
// host function that the guest calls next sees it and ends the call. One watchdog reads the clock for all instances;
// each of thousands of host calls would otherwise do it by itself.
type watchdog struct {
	elapsed func() time.Duration
	last    time.Duration // when it looked last; its own
	clock   atomic.Int64  // what calls are timed by: the sum of its steps
	quit    chan struct{}
	ended   sync.WaitGroup

	// parked says that the watchdog sleeps because no call can be running. A call first sets its deadline and then
	// looks whether it must wake the watchdog; the watchdog first says that it parks and then looks once more for
	// deadlines. So one of them sees the other.
	parked atomic.Bool
	wake   chan struct{}

	mu        sync.Mutex // guards instances; never held on the request path
	instances map[*instance]struct{}
}

// newWatchdog makes a watchdog on a clock and starts it.
func newWatchdog(elapsed func() time.Duration) *watchdog {
	w := &watchdog{
		elapsed:   elapsed,
		quit:      make(chan struct{}),
		wake:      make(chan struct{}, 1),
		instances: map[*instance]struct{}{},
	}
	w.ended.Go(w.run)
	return w
}

func (w *watchdog) run() {
	timer := time.NewTimer(watchEvery)
	defer timer.Stop()
	for {
		w.step()
		if !w.mark() && !w.park() {
			return
		}
		timer.Reset(watchEvery)
		select {
		case <-timer.C:
		case <-w.quit:
			return
		}
	}
}

// step moves the clock on.
func (w *watchdog) step() {
	now := w.elapsed()
	w.clock.Add(int64(min(now-w.last, longStep)))
	w.last = now
}

// begin has the call of an instance that begins now marked when it takes longer than limit: never before, and up to
// longStep and watchEvery after that.
func (w *watchdog) begin(in *instance, limit time.Duration) {
	in.deadline.Store(w.clock.Load() + int64(limit+longStep)) // the clock's next step counts time from before the call
	if w.parked.Load() {
		select {
		case w.wake <- struct{}{}:
		default: // woken already
		}
	}
}

// mark marks every call whose time is over, and reports whether there may be others that run.
func (w *watchdog) mark() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, watching := w.clock.Load(), false
	for in := range w.instances {
		// The deadline stays when a call ends, which spares every call a write. A mark names the deadline that it is
		// for, so a late one never meets the call after.
		deadline := in.deadline.Load()
		if now > deadline {
			in.overdue.Store(deadline)
		} else {
			watching = true
		}
	}
	return watching
}

// park sleeps until a call begins. It answers false when the watchdog is to end.
func (w *watchdog) park() bool {
	w.parked.Store(true)
	defer w.parked.Store(false)
	if w.mark() {
		return true // a call began meanwhile
	}
	select {
	case <-w.wake:
		return true
	case <-w.quit:
		return false
	}
}

// add has an instance watched until remove.
func (w *watchdog) add(in *instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.instances[in] = struct{}{}
}

func (w *watchdog) remove(in *instance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.instances, in)
}

// close ends the watchdog. Nothing is marked from then on.
func (w *watchdog) close() {
	close(w.quit)
	w.ended.Wait()
}
