package runtime

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// When a policy is taken out, and for how long.
const (
	breakAfter = 5 // failures one after the other
	firstPause = time.Second
	longPause  = time.Minute
)

// breaker takes a policy that keeps failing at a hook out: it is not asked there, as if it had failed, for a while
// that doubles each time. After it a single call finds out whether the policy works again.
type breaker struct {
	policy   string
	hook     abi.Hook
	log      *slog.Logger
	observer Observer

	// Read by every call, written when something changes: the time on the runtime's clock until which the policy is
	// out, 0 if it is not, and how often it has failed since it last worked.
	until    atomic.Int64
	failures atomic.Int64

	mu    sync.Mutex // guards pause and changes of until, except for who takes the probe
	pause time.Duration
}

// turn says what a call may do.
type turn uint8

const (
	refused turn = iota // the policy is out
	ordinary
	probe // it is out, and this call finds out whether it works again
)

// admit is asked before each call.
func (b *breaker) admit(now time.Duration) turn {
	until := b.until.Load()
	switch {
	case until == 0:
		return ordinary
	case int64(now) < until:
		return refused
	case b.until.CompareAndSwap(until, int64(now+longPause)): // whoever moves it on is the only one
		return probe
	default:
		return refused
	}
}

// done is told how a call ended. Only failures of the policy itself count: that all its instances are in use says
// how much there is to do.
func (b *breaker) done(t turn, now time.Duration, request string, failed *failedCall) {
	switch {
	case failed == nil && t == ordinary:
		if b.failures.Load() != 0 {
			b.failures.Store(0)
		}
	case failed == nil:
		b.takeBack()
	case failed.failure == Busy && t == probe:
		b.until.Store(int64(now)) // nothing was found out: the next call is the probe
	case failed.failure != Busy && (b.failures.Add(1) >= breakAfter || t == probe):
		b.takeOut(t, now, request, failed)
	}
}

// takeOut takes the policy out, or leaves it out for longer. Calls that were under way when it was taken out come
// too late to say anything new.
func (b *breaker) takeOut(t turn, now time.Duration, request string, failed *failedCall) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t != probe && b.until.Load() != 0 {
		return
	}
	b.pause = min(max(2*b.pause, firstPause), longPause)
	b.until.Store(int64(now + b.pause))
	b.log.Error("a policy keeps failing and is not asked for a while", "policy", b.policy, "hook", b.hook.String(),
		"pause", b.pause, "failures", b.failures.Load(), "reason", failed.failure.String(),
		"cause", onOneLine(failed.cause.Error()), "request_id", request)
	b.observer.PolicyOut(b.policy, b.hook, b.pause)
}

// takeBack ends the pause: the probe went well.
func (b *breaker) takeBack() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reset()
	b.log.Info("a policy works again and is asked as before", "policy", b.policy, "hook", b.hook.String())
	b.observer.PolicyOut(b.policy, b.hook, 0)
}

// reset forgets all failures.
func (b *breaker) reset() {
	b.pause = 0
	b.failures.Store(0)
	b.until.Store(0)
}

// restart gives the policy a fresh start.
func (b *breaker) restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.until.Load() != 0 {
		b.observer.PolicyOut(b.policy, b.hook, 0)
	}
	b.reset()
}
