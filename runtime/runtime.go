// Package runtime compiles policies, keeps their instances in pools, bounds every call and asks them in order. Its
// one job is to turn untrusted WebAssembly into verdicts that are safe to act on: whatever a guest does, the caller
// gets an answer in time, and an answer that was checked.
//
// It is the sole owner of wazero and imports abi and runtime/fuel; hostfuncs, hostfuncs/extism and cmd/sallyport import
// it. It knows nothing of HTTP, of storage or of what the host functions mean.
package runtime

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os/exec"
	"sync"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/prune"
)

// Options are what a Runtime needs from outside. The zero value works: no disk cache, no host functions, no log.
type Options struct {
	CacheDir  string           // compiled code is kept here between starts; "" keeps it in memory only
	Functions []Function       // what guests may import from abi.ModulePolicy
	Portable  *Portable        // what guests may import from ModuleExtism; nil: such guests are refused
	Log       *slog.Logger     // failures and the guests' own log lines; nil discards them
	Observer  Observer         // told of every hook call; nil for none
	Shadows   ShadowObserver   // told how shadow policies compare; nil for none
	Tracer    Tracer           // given what policies decide, and why; nil for none
	Now       func() time.Time // the clock that guests see; nil means time.Now
	Random    func([]byte)     // fills with random bytes for guests; nil means crypto/rand

	// Compiler makes the command of a process that calls CompileChild, and nothing else, by exec.CommandContext with
	// this context. Modules are then compiled there, within CompileLimits, and come here through CacheDir, which has
	// to be given. The process gets an environment of its own. nil: they are compiled in this process, and nothing
	// bounds what that takes.
	Compiler      func(ctx context.Context) *exec.Cmd
	CompileLimits CompileLimits
	CacheLimits   prune.Limits // of CacheDir, where one process is to remove what nobody needs: after each Load; the zero value: none

	// Unmetered has guests run as they were built, so that the stack of one that traps names lines of its source where the
	// module knows them. No fuel bounds them: what a guest does is ended after limits.time, recursion when the stack is full.
	// It is for tools that look into a failure, never for serving requests.
	Unmetered bool
}

// Observer is told how policies fare. It is called on the request path, by many goroutines at once, and must not
// block.
type Observer interface {
	// HookDone tells how long a policy took at a hook and whether it failed.
	HookDone(policy string, hook abi.Hook, took time.Duration, failure Failure)
	// PolicyOut tells that a policy which kept failing at a hook is not asked there for this long, or, with a pause
	// of 0, that it is asked again.
	PolicyOut(policy string, hook abi.Hook, pause time.Duration)
}

// Function implements one function of abi.ModulePolicy. Its type is the one that abi.Functions states; parameters
// come on the stack in their order, and results replace them from the front. It may be called by many guests at
// once, each with a Call of its own.
type Function struct {
	Name string
	Call func(c *Call, stack []uint64)
}

// Runtime holds what all sets of policies share: the compiled modules, the pools of instances and the compiler's
// cache. Its methods may be called by several goroutines.
type Runtime struct {
	cache     cache
	functions map[string]hostFunction // implemented or stubbed, by their names in abi.ModulePolicy
	wasi      map[string]hostFunction
	portable  map[string]hostFunction // nil: there is no portable tier
	session   func() Session          // makes one for an instance of a guest of the portable tier
	log       *slog.Logger
	observer  Observer
	shadowed  ShadowObserver
	tracer    Tracer
	now       func() time.Time
	random    func([]byte)
	epoch     time.Time // what elapsed counts from
	zones     zones
	watchdog  *watchdog
	compiler  *compiler // nil: modules are compiled in this process
	unmetered bool

	loading sync.Mutex      // held while a set is made, which may take as long as compiling does
	closing context.Context // ends at Close: a set that is being made is given up
	giveUp  context.CancelFunc

	mu      sync.Mutex // guards what follows; held for moments only
	closed  bool
	modules map[moduleKey]*module
	pools   map[poolKey]*pool
	shadows map[*shadow]struct{} // that run
}

// ErrClosed is what Load answers after Close.
var ErrClosed = errors.New("the policy runtime is closed")

// New makes a Runtime. It fails if a function is not in the contract or the cache's folder cannot be used.
func New(ctx context.Context, o Options) (*Runtime, error) {
	r := &Runtime{
		wasi:     wasiFunctions(),
		log:      o.Log,
		observer: o.Observer,
		now:      o.Now,
		random:   o.Random,
		epoch:    time.Now(),
		modules:  map[moduleKey]*module{},
		pools:    map[poolKey]*pool{},
		shadows:  map[*shadow]struct{}{},
		shadowed: o.Shadows,
		tracer:   o.Tracer,

		unmetered: o.Unmetered,
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.observer == nil {
		r.observer = unobserved{}
	}
	if r.shadowed == nil {
		r.shadowed = unobserved{}
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.random == nil {
		r.random = func(b []byte) { _, _ = rand.Read(b) } // never fails: crypto/rand ends the process instead
	}
	if o.Portable != nil {
		r.portable, r.session = portableFunctions(o.Portable), o.Portable.NewSession
	}
	var err error
	if r.functions, err = policyFunctions(o.Functions, o.Tracer != nil); err != nil {
		return nil, err
	}
	if r.compiler, err = newCompiler(o); err != nil {
		return nil, err
	}
	if r.cache, err = newCache(o); err != nil {
		return nil, err
	}
	r.closing, r.giveUp = context.WithCancel(context.WithoutCancel(ctx))
	r.watchdog = newWatchdog(r.elapsed)
	return r, nil
}

// Close closes every pool and module, also those of sets that are still open: their hooks fail from then on.
func (r *Runtime) Close(ctx context.Context) error {
	if !r.beginClosing() {
		return nil
	}
	r.loading.Lock()
	defer r.loading.Unlock()
	r.stopAllShadows()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pools {
		p.close()
	}
	var errs []error
	for _, m := range r.modules {
		errs = append(errs, m.close(ctx))
	}
	clear(r.pools)
	clear(r.modules)
	r.watchdog.close()
	return errors.Join(errs...)
}

// beginClosing has a Load that runs give up. It answers false if the runtime was closed before.
func (r *Runtime) beginClosing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.closed = true
	r.giveUp()
	return true
}

// elapsed is the runtime's own clock: monotonic, and half the price of time.Now, which reads the wall clock too.
func (r *Runtime) elapsed() time.Duration { return time.Since(r.epoch) }

// unobserved is the Observer of those who gave none.
type unobserved struct{}

func (unobserved) HookDone(string, abi.Hook, time.Duration, Failure) {}
func (unobserved) PolicyOut(string, abi.Hook, time.Duration)         {}
func (unobserved) ShadowDone(string, abi.Hook, ShadowResult)         {}

var (
	_ Observer       = unobserved{}
	_ ShadowObserver = unobserved{}
)
