package gateway

import (
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watchInterval is how often the watcher looks. A client that left is noticed within twice that.
const watchInterval = 50 * time.Millisecond

// watcher notices clients that leave while their request waits or streams. fasthttp says nothing of it, and a peek
// misses an end behind pipelined bytes; one poll over all waiting sockets costs about 0.1 µs each.
type watcher struct {
	mu        sync.Mutex
	watched   []*watch
	dismissed bool          // whoever comes now is gone
	polled    []unix.PollFd // of the last look; used by run alone
	stop      chan struct{}
}

// watch is one client's entry. It belongs to an exchange and is used again with it.
type watch struct {
	fd    int
	index int    // in watched; -1 while not watched
	gone  func() // called once, with the watcher's lock held
}

func newWatcher() *watcher { return &watcher{stop: make(chan struct{})} }

// add begins to watch w. It must be removed before its socket can be closed, since its descriptor may then be
// another connection's.
func (w *watcher) add(e *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dismissed {
		e.gone()
		return
	}
	e.index = len(w.watched)
	w.watched = append(w.watched, e)
}

// remove ends the watch. When it returns, gone has been called or never will be.
func (w *watcher) remove(e *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop(e)
}

// drop takes e out of the list, if it is there.
func (w *watcher) drop(e *watch) {
	if e.index < 0 {
		return
	}
	last := len(w.watched) - 1
	w.watched[e.index] = w.watched[last]
	w.watched[e.index].index = e.index
	w.watched[last] = nil
	w.watched = w.watched[:last]
	e.index = -1
}

// run looks until close.
func (w *watcher) run() {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
			w.look()
		}
	}
}

func (w *watcher) close() { close(w.stop) }

// dismiss treats every client as gone, those that are yet to be watched too.
func (w *watcher) dismiss() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dismissed = true
	for len(w.watched) > 0 {
		e := w.watched[len(w.watched)-1]
		w.drop(e)
		e.gone()
	}
}

// look polls every watched socket once. It holds the lock meanwhile, 92 µs for 1,000 sockets: that is what makes
// a descriptor's owner certain.
func (w *watcher) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.watched) == 0 {
		return
	}
	w.polled = w.polled[:0]
	for _, e := range w.watched {
		w.polled = append(w.polled, unix.PollFd{Fd: int32(e.fd), Events: unix.POLLRDHUP}) //nolint:gosec // a descriptor fits
	}
	n, err := unix.Poll(w.polled, 0)
	if err != nil || n == 0 {
		return // interrupted, or nobody left: the next look is near
	}
	for i, p := range slices.Backward(w.polled) { // because drop fills the hole from the end
		if p.Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0 {
			e := w.watched[i]
			w.drop(e)
			e.gone()
		}
	}
}
