package runtime

import (
	"errors"
	goruntime "runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// poolKey says which policies share a pool: those of successive sets whose every byte is the same. The name and
// the grants are part of it because an instance remembers: what a policy with a grant read may still lie in the
// memory of its instances, and must not be found by one without.
type poolKey struct {
	policy string
	module moduleKey
	config digest
	script digest
	grants string
}

// pool keeps the instances of one policy. Each instance belongs to one slot for its life, so handing out and giving
// back are one atomic operation each, on a cache line that the other slots do not share.
type pool struct {
	runtime *Runtime
	key     poolKey
	module  *module
	config  []byte
	script  []byte
	users   int    // sets that hold it; guarded by Runtime.mu
	limits  Limits // of the set that was made last; guarded by Runtime.loading
	reports reporter

	breakers [abi.NumHooks]breaker

	slots   []slot
	served  []abi.Hook // hooks: of the module's, those that this policy answers; set before the pool is used
	tickets sync.Pool  // *int: the slot where a processor found an instance last
	waiters atomic.Int32
	freed   chan struct{} // wakes waiters; a token says "look again", not "there is one"
	growing atomic.Bool   // one more instance is being made because all were in use
	pending atomic.Int32  // instances that are being made

	mu     sync.Mutex // guards closed and additions to making
	closed bool
	making sync.WaitGroup
}

// slot is the place of one instance.
type slot struct {
	idle  atomic.Pointer[instance] // nil while the instance is in use
	taken atomic.Bool              // an instance belongs here: idle, in use, or being made
	_     [48]byte                 // to the end of the cache line
}

// Why no instance was handed out.
var (
	errBusy        = errors.New("all instances stayed in use")
	errUnavailable = errors.New("no instance could be made")
)

// poolSize bounds the instances of a policy. A guest's code is never preempted, so more than one per processor
// only helps while some of them wait inside host functions or are being replaced.
func poolSize() int { return max(4, 2*goruntime.GOMAXPROCS(0)) }

// newPool makes a pool with one instance in it, so that a policy that cannot come up is noticed now.
func newPool(r *Runtime, key poolKey, m *module, policy *Policy) (*pool, error) {
	size := poolSize()
	p := &pool{runtime: r, key: key, module: m, slots: make([]slot, size), freed: make(chan struct{}, size)}
	p.config, p.script = slices.Clone(policy.Config), slices.Clone(policy.Script)
	p.reports = reporter{log: r.log, policy: key.policy}
	for h := range p.breakers {
		b := &p.breakers[h]
		b.policy, b.hook, b.log, b.observer = key.policy, abi.Hook(h), r.log, r.observer
	}
	first, err := p.newInstance(0)
	if err != nil {
		return nil, err
	}
	p.served = first.served
	p.slots[0].taken.Store(true)
	p.slots[0].idle.Store(first)
	return p, nil
}

// newLimits is told what limits the policy has in a set that is being made. If they are other ones, the operator has
// changed something, perhaps because the policy kept failing.
func (p *pool) newLimits(l Limits) {
	if p.limits == l {
		return
	}
	p.limits = l
	p.askAgain()
}

// askAgain ends all pauses.
func (p *pool) askAgain() {
	for h := range p.breakers {
		p.breakers[h].restart()
	}
}

// take hands out an idle instance, or nil. It begins where this processor found one last: there its caches still
// hold what the call will touch, and there it does not meet other processors. sync.Pool is how Go says "this
// processor's"; a ticket that the collector takes costs nothing but that.
func (p *pool) take() *instance {
	ticket, _ := p.tickets.Get().(*int)
	if ticket == nil {
		ticket = new(int)
	}
	in := p.takeFrom(ticket)
	p.tickets.Put(ticket)
	return in
}

func (p *pool) takeFrom(ticket *int) *instance {
	for range p.slots {
		if s := &p.slots[*ticket]; s.idle.Load() != nil {
			if in := s.idle.Swap(nil); in != nil {
				return in
			}
		}
		if *ticket++; *ticket == len(p.slots) {
			*ticket = 0
		}
	}
	return nil
}

// patience is how long a call waits at most for an instance that is being made. A Go guest takes some 20 ms to come
// up, several times that where processors are scarce, and its init fuel bounds it; to refuse everybody for that time
// would punish them for one call's trap.
const patience = 5 * time.Second

// await hands out an instance when all are in use: one that comes back within wait, or one that is made meanwhile,
// off the request path, whichever is first. The wait is counted in the watchdog's steps, as the calls that are waited
// for are: while the whole process stands still, nobody is to blame.
func (p *pool) await(wait time.Duration) (*instance, *failedCall) {
	p.waiters.Add(1)
	defer p.waiters.Add(-1)
	p.grow()
	clock := &p.runtime.watchdog.clock
	over := clock.Load() + int64(wait)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for waited := wait; ; {
		if in := p.take(); in != nil {
			return in, nil
		}
		if p.empty() {
			return nil, &failedCall{failure: Unavailable, cause: errUnavailable}
		}
		select {
		case <-p.freed:
		case <-timer.C:
			if p.pending.Load() == 0 && clock.Load() >= over || waited >= patience {
				return nil, &failedCall{failure: Busy, cause: errBusy}
			}
			waited += wait
			timer.Reset(wait)
		}
	}
}

// empty reports whether there is no instance and none being made.
func (p *pool) empty() bool {
	for i := range p.slots {
		if p.slots[i].taken.Load() {
			return false
		}
	}
	return true
}

// give takes an instance back.
func (p *pool) give(in *instance) {
	p.slots[in.slot].idle.Store(in)
	p.wake()
}

func (p *pool) wake() {
	if p.waiters.Load() > 0 {
		select {
		case p.freed <- struct{}{}:
		default: // full: every waiter will look again anyway
		}
	}
}

// discard closes an instance that must not be used again, and has another made in its place.
func (p *pool) discard(in *instance) {
	in.close()
	p.refill(in.slot, func() {})
}

// grow has one more instance made, unless one is already on its way or every slot is taken.
func (p *pool) grow() {
	if !p.growing.CompareAndSwap(false, true) {
		return
	}
	for i := range p.slots {
		if p.slots[i].taken.CompareAndSwap(false, true) {
			p.refill(i, func() { p.growing.Store(false) })
			return
		}
	}
	p.growing.Store(false)
}

// refill makes an instance for a slot that is taken, in the background, and calls done when it is there or has
// failed.
func (p *pool) refill(slot int, done func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		p.vacate(slot)
		done()
		return
	}
	p.pending.Add(1)
	p.making.Go(func() {
		defer p.pending.Add(-1)
		in, err := p.newInstance(slot)
		done()
		if err != nil {
			p.reports.report("init", "", &failedCall{failure: Unavailable, cause: err})
			p.vacate(slot)
			return
		}
		p.give(in)
	})
}

// vacate frees a slot that has no instance. All waiters are woken: if it was the last, waiting is in vain.
func (p *pool) vacate(slot int) {
	p.slots[slot].taken.Store(false)
	for range p.waiters.Load() {
		p.wake()
	}
}

// close waits until every instance is back, which fuel makes a matter of milliseconds, and closes them.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.making.Wait()
	p.waiters.Add(1)
	defer p.waiters.Add(-1)
	for {
		for in := p.take(); in != nil; in = p.take() {
			in.close()
			p.vacate(in.slot)
		}
		if p.empty() {
			break
		}
		<-p.freed
	}
	p.askAgain() // who watches must not go on telling that it is out
}

// alive counts the instances that exist or are being made.
func (p *pool) alive() (n int) {
	for i := range p.slots {
		if p.slots[i].taken.Load() {
			n++
		}
	}
	return n
}
