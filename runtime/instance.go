package runtime

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// instance is one instance of a guest. It serves one call at a time, and is itself the context of its calls: what a
// host function gets from wazero is the instance, behind one type assertion.
type instance struct {
	// Context is never cancelled. Fuel and the deadline end a call; wazero's own way makes every loop slower and
	// does not stop recursion.
	context.Context

	pool  *pool
	slot  int // its place in the pool
	mod   api.Module
	fuel  api.MutableGlobal
	hooks [abi.NumHooks]api.Function
	stack [1]uint64 // a hook takes nothing and returns an i32

	deadline atomic.Int64 // of the call that runs or ran last, on the watchdog's clock
	overdue  atomic.Int64 // the deadline that the watchdog found to be over
	stopped  *failedCall  // why a host function ended the call; nil if none did
	served   []abi.Hook   // of the module's hooks
	settled  uint32       // size of the memory when the instance had come up
	call     Call
}

// overQuotaFuel is what a host call costs beyond the call's cap, so that a guest that ignores the code is soon out
// of fuel.
const overQuotaFuel = 1000

// newInstance makes an instance and brings it up: start section, _initialize, configure.
func (p *pool) newInstance(slot int) (*instance, error) {
	in := &instance{Context: withMemory(), pool: p, slot: slot}
	in.call = Call{Policy: p.key.policy, Hook: abi.NumHooks, in: in, grants: &grants{}, config: p.config, script: p.script, log: p.runtime.log}
	if p.module.portable {
		in.call.session = p.runtime.session()
	}
	p.runtime.watchdog.add(in)
	p.runtime.watchdog.begin(in, initTime)
	ctx, release := in.context(initTime)
	mod, err := p.module.instantiate(ctx)
	release()
	if err != nil {
		in.close()
		return nil, in.startFailed(err)
	}
	in.attach(mod)
	for h := range abi.NumHooks {
		in.hooks[h] = mod.ExportedFunction(h.String())
	}
	err = in.bringUp()
	in.call.end()
	if err != nil {
		in.close()
		return nil, err
	}
	if in.call.memory != nil {
		in.settled = in.call.memory.Size()
	}
	return in, nil
}

// grown is by how many bytes the memory has grown since the instance came up.
func (in *instance) grown() uint32 {
	if in.call.memory == nil {
		return 0
	}
	return in.call.memory.Size() - in.settled // also right for 4 GiB, whose size wazero gives as 0
}

// outgrew reports whether the memory has grown by more than half of what the policy may have. Memory never shrinks,
// so one request that needed much would otherwise cost that much for as long as the instance lives.
func (in *instance) outgrew() bool { return int64(in.grown()) > in.pool.key.module.memory/2 }

// startFailed explains an instantiation that failed, most likely in the start section.
func (in *instance) startFailed(err error) error {
	said := in.call.takeSaid()
	in.call.end()
	if in.stopped != nil {
		err = in.stopped
	}
	return in.explain("instantiating", err, said)
}

// explain says what an instance was about when it failed to come up, and what the guest printed about it.
func (in *instance) explain(doing string, err error, said string) error {
	if said == "" {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return fmt.Errorf("%s: %w: the guest printed: %s", doing, err, onOneLine(said))
}

// attach finds the memory and the fuel. A host function that the start section calls comes before instantiate has
// returned, so this runs then already.
func (in *instance) attach(mod api.Module) {
	in.mod = mod
	in.fuel = mod.ExportedGlobal(fuel.Export).(api.MutableGlobal) //nolint:errcheck // fuel.Instrument appended it
	if in.pool.module.hasMemory {
		in.call.memory = mod.Memory()
	}
}

func (in *instance) bringUp() error {
	if in.stopped != nil {
		return in.explain("running the start section", in.stopped, in.call.takeSaid())
	}
	if f := in.mod.ExportedFunction(abi.ExportInitialize); f != nil {
		if _, err := in.run(f, initFuel); err != nil {
			return in.explain("running "+abi.ExportInitialize, err, in.call.takeSaid())
		}
	}
	if f := in.mod.ExportedFunction(abi.ExportConfigure); f != nil {
		code, err := in.run(f, initFuel)
		if err != nil {
			return in.explain("running "+abi.ExportConfigure, err, in.call.takeSaid())
		}
		if code != 0 {
			return in.refusedConfiguration(code)
		}
	}
	return in.readServed()
}

// readServed asks a module that runs scripts which of its hooks this one serves. Others serve what they export.
func (in *instance) readServed() error {
	in.served = in.pool.module.hooks
	f := in.mod.ExportedFunction(abi.ExportHooks)
	if f == nil {
		return nil
	}
	mask, err := in.run(f, initFuel)
	if err != nil {
		return in.explain("running "+abi.ExportHooks, err, in.call.takeSaid())
	}
	in.served = nil
	for _, h := range in.pool.module.hooks {
		if mask&(1<<h) != 0 {
			in.served = append(in.served, h)
		}
	}
	if len(in.served) == 0 {
		return errors.New("serves none of the hooks")
	}
	return nil
}

func (in *instance) refusedConfiguration(code int32) error {
	complaint := in.call.complaint()
	in.call.end() // an unfinished line is the reason as well as a finished one
	if complaint != "" {
		return fmt.Errorf("the policy refused its configuration: configure returned %d and said %q", code, complaint)
	}
	if in.call.lastLine == "" {
		return fmt.Errorf("the policy refused its configuration: configure returned %d", code)
	}
	return fmt.Errorf("the policy refused its configuration: configure returned %d after logging %q", code, in.call.lastLine)
}

// run calls a function of the guest with a budget of fuel, and tells how it failed. The deadline is set.
func (in *instance) run(f api.Function, budget int64) (int32, *failedCall) {
	in.stopped = nil
	in.stack[0] = 0
	in.fuel.Set(uint64(budget))
	ctx, release := in.context(time.Duration(in.deadline.Load() - in.pool.runtime.watchdog.clock.Load()))
	err := f.CallWithStack(ctx, in.stack[:])
	release()
	switch {
	case in.stopped != nil:
		return 0, in.stopped
	case err == nil:
		return int32(in.stack[0]), nil
	case int64(in.fuel.Get()) < 0:
		return 0, &failedCall{failure: OutOfFuel, cause: err}
	default:
		return 0, &failedCall{failure: Trap, cause: err}
	}
}

// context is what a call is made with: the instance itself. Where no fuel bounds the call, time does, and release has to be
// called behind it.
func (in *instance) context(left time.Duration) (ctx context.Context, release func()) {
	if !in.pool.runtime.unmetered {
		return in, func() {}
	}
	if in.fuel != nil {
		in.fuel.Set(math.MaxInt64)
	}
	timed, cancel := context.WithTimeout(context.Background(), left)
	return &bounded{timed, in}, cancel
}

// bounded is the context of a call that time bounds. wazero looks at it from another goroutine, also when the call is over,
// so it is a new one for each.
type bounded struct {
	context.Context
	in *instance
}

// instanceOf finds the instance of a call.
func instanceOf(ctx context.Context) *instance {
	if in, ok := ctx.(*instance); ok {
		return in
	}
	return ctx.(*bounded).in //nolint:errcheck // guests are called with nothing else
}

// ask runs a hook and settles its verdict. It reports whether there was a verdict; without one and without a
// failure, the policy passed.
func (in *instance) ask(p *binding, q question) (bool, *failedCall) {
	in.pool.runtime.watchdog.begin(in, p.limits.Time)
	in.call.begin(p, q)
	code, failed := in.run(in.hooks[q.hook], p.limits.Fuel)
	verdict := false
	if failed == nil {
		verdict, failed = in.judge(code)
	}
	if failed != nil {
		failed.said = in.call.takeSaid()
	}
	if q.recording != nil {
		q.recording.fuel = max(p.limits.Fuel-max(int64(in.fuel.Get()), 0), 0)
	}
	in.call.end()
	return verdict, failed
}

// judge turns what a hook returned into a verdict, a pass or a failure. A guest of the portable tier that complains has
// failed, whatever it returned: that is how its other hosts take it.
func (in *instance) judge(code int32) (verdict bool, failed *failedCall) {
	complaint := in.call.complaint()
	switch {
	case complaint != "" || code == abi.ReturnError:
		return false, failedByItself(complaint)
	case code == abi.ReturnPass:
		return false, nil
	case code == abi.ReturnVerdict:
		return in.readVerdict()
	case in.call.session != nil: // its PDK chooses what stands for failure
		return false, failedByItself(fmt.Sprintf("the hook returned %d", code))
	default:
		return false, &failedCall{failure: BadReturn, cause: fmt.Errorf("the hook returned %d, which is neither verdict, error nor pass", code)}
	}
}

// readVerdict settles the verdict of a hook that says that it gave one.
func (in *instance) readVerdict() (verdict bool, failed *failedCall) {
	pass, err := in.call.readAnswer()
	if err == nil && !pass {
		err = in.call.settle()
	}
	if err != nil {
		return false, &failedCall{failure: BadVerdict, cause: err}
	}
	return !pass, nil
}

// admit counts a host call. It answers false if the call may not go on; then the guest is on its way out.
func (in *instance) admit(mod api.Module) bool {
	if !in.onTime(mod) {
		return false
	}
	in.call.hostCalls++
	if in.call.hostCalls > maxHostCalls {
		in.charge(overQuotaFuel)
		return false
	}
	return true
}

// onTime answers false if the guest is on its way out, or from now on is, because it is past its time.
func (in *instance) onTime(mod api.Module) bool {
	if in.mod == nil {
		in.attach(mod)
	}
	if in.stopped != nil {
		return false
	}
	if deadline := in.deadline.Load(); in.overdue.Load() == deadline {
		late := longStep + time.Duration(in.pool.runtime.watchdog.clock.Load()-deadline)
		in.stop(TimedOut, fmt.Errorf("the call was %s past its time when it called the host", late))
		return false
	}
	return true
}

// charge takes fuel for what a host function does. What is below zero ends the guest at its next step.
func (in *instance) charge(units int64) {
	in.fuel.Set(uint64(max(int64(in.fuel.Get())-units, -1)))
}

// stop ends the guest's call: without fuel it traps at the next point where it is charged. That leaves wazero's
// state in order, and needs no panic.
func (in *instance) stop(failure Failure, cause error) {
	if in.stopped == nil {
		in.stopped = &failedCall{failure: failure, cause: cause}
	}
	in.fuel.Set(math.MaxUint64) // -1: below zero is empty
}

// close frees the instance. Nothing of ours is open in it, so closing cannot fail in a way that matters.
func (in *instance) close() {
	in.pool.runtime.watchdog.remove(in)
	if in.mod != nil {
		_ = in.mod.Close(context.Background())
	}
}

// instanceConfig is how every guest is instantiated: without a name, so that there may be many, and with none of
// the exports run that a command would have.
func instanceConfig() wazero.ModuleConfig {
	return wazero.NewModuleConfig().WithName("").WithStartFunctions()
}

var _ context.Context = (*instance)(nil)
