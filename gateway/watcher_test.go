package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// A client that leaves is noticed at the next look, and one that stays is not.
func TestWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatcher()
		go w.run()
		defer w.close()
		stays, held, stayed := watchPair(t, w)
		defer func() { _ = unix.Close(held) }()
		leaves, peer, left := watchPair(t, w)
		<-time.After(10*watchInterval + watchInterval/2)
		if len(left) > 0 || len(stayed) > 0 {
			t.Error("a client was gone before it left")
		}
		began := time.Now()
		if err := unix.Close(peer); err != nil {
			t.Error(err)
		}
		<-left
		if took := time.Since(began); took > watchInterval {
			t.Errorf("noticed after %s", took)
		}
		<-time.After(10 * watchInterval)
		if len(left) > 0 || len(stayed) > 0 {
			t.Error("it was told of a client that stays, or twice of the one that left")
		}
		w.remove(leaves)
		if w.remove(stays); len(w.watched) > 0 {
			t.Errorf("%d are still watched", len(w.watched))
		}
	})
}

// watchPair watches one end of a pair of sockets. The other one is the client's; gone has an element when it has left.
func watchPair(t *testing.T, w *watcher) (e *watch, client int, gone chan struct{}) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(pair[0]) })
	gone = make(chan struct{}, 10)
	e = &watch{fd: pair[0], gone: func() { gone <- struct{}{} }}
	w.add(e)
	return e, pair[1], gone
}
