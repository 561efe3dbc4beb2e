package runtime_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// now replaces the host function of this name.
func now(call func()) []runtime.Function {
	return []runtime.Function{{Name: "now", Call: func(_ *runtime.Call, stack []uint64) {
		call()
		stack[0] = 0
	}}}
}

// sleep passes the time of a synctest bubble, which is free.
func sleep(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // only called in bubbles

// asksTheTime calls the function that now replaces, n times, and passes.
func asksTheTime(n int) []byte {
	return guest(abi.PriceResponse, func(g *w.Guest) []byte {
		var body []byte
		for range n {
			body = w.Code(body, g.Host("now"), w.Drop)
		}
		return w.Code(body, w.Pass)
	})
}

// ask asks a set once and returns how it failed.
func ask(set *runtime.Set, told failures) runtime.Failure {
	set.PriceResponse(&abi.Pricing{})
	return <-told
}

func TestACallPastItsTimeEndsAtTheNextHostCall(t *testing.T) {
	for _, test := range []struct {
		name  string
		takes time.Duration // each of two host calls
		want  runtime.Failure
	}{
		{"in time", runtime.DefaultTime / 2, runtime.NoFailure},
		{"too late", runtime.DefaultTime + 20*time.Millisecond, runtime.TimedOut},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls int
				told := make(failures, 1)
				set := load(t, runtime.Options{Observer: told, Functions: now(func() { calls++; sleep(test.takes) })},
					runtime.Policy{Name: "p", Wasm: asksTheTime(3)})
				for range 2 { // the second call shows that the first left nothing behind
					sleep(time.Minute) // the watchdog sleeps, too
					if got := ask(set, told); got != test.want {
						t.Errorf("failed by %s, want %s", got, test.want)
					}
					synctest.Wait()
				}
				if test.want == runtime.TimedOut && calls != 2 {
					t.Errorf("%d host calls were served, want one in each call", calls)
				}
			})
		})
	}
}

func TestCallsWaitForAnInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		told := make(failures, 100)
		var inside atomic.Int32
		set := load(t, runtime.Options{Observer: told, Functions: now(func() { inside.Add(1); <-release })},
			runtime.Policy{Name: "p", Wasm: asksTheTime(1)})
		ask := func() { set.PriceResponse(&abi.Pricing{}) }
		bound := 0
		for { // occupy instances, each made when the one before is in use, until there are no more
			go ask()
			synctest.Wait()
			if int(inside.Load()) == bound {
				break
			}
			bound++
		}
		if alive := set.Policies()[0].Instances; alive != bound || bound < 4 {
			t.Errorf("%d instances alive, %d in use", alive, bound)
		}
		sleep(runtime.DefaultTime)
		synctest.Wait()
		if got := <-told; got != runtime.Busy {
			t.Errorf("who waited too long failed by %s", got)
		}
		go ask()
		synctest.Wait()
		release <- struct{}{} // one is free, and the waiter has it
		synctest.Wait()
		if got := <-told; got != runtime.TimedOut && got != runtime.NoFailure {
			t.Errorf("the freed call failed by %s", got)
		}
		if int(inside.Load()) != bound+1 {
			t.Errorf("the waiter did not get the freed instance")
		}
		close(release)
		synctest.Wait()
	})
}

func TestClosingASetWaitsForItsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release, closed := make(chan struct{}), false
		told := make(failures, 2)
		set := load(t, runtime.Options{Observer: told, Functions: now(func() { <-release })}, runtime.Policy{Name: "p", Wasm: asksTheTime(1)})
		go set.PriceResponse(&abi.Pricing{})
		synctest.Wait()
		go func() { set.Close(); closed = true }()
		synctest.Wait()
		if closed {
			t.Fatal("closed under a running call")
		}
		close(release)
		synctest.Wait()
		if got := <-told; !closed || got != runtime.NoFailure {
			t.Errorf("closed %t, the call failed by %s", closed, got)
		}
		if got := ask(set, told); got != runtime.Unavailable {
			t.Errorf("asked after Close it failed by %s", got)
		}
	})
}

func TestAPolicyThatCannotComeUpAgainIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := false
		told := make(failures, 1)
		g := w.NewGuest()
		g.Hook("configure", g.Host("now"), w.I64Eqz, w.I32Eqz) // 0 only while now answers 0
		g.Hook("price_response", w.Unreachable)
		fn := []runtime.Function{{Name: "now", Call: func(_ *runtime.Call, stack []uint64) {
			stack[0] = 0
			if broken {
				stack[0] = 1
			}
		}}}
		set := load(t, runtime.Options{Observer: told, Functions: fn}, runtime.Policy{Name: "p", Wasm: g.Bytes()})
		broken = true
		for _, want := range []runtime.Failure{runtime.Trap, runtime.Unavailable, runtime.Unavailable} {
			if got := ask(set, told); got != want {
				t.Errorf("failed by %s, want %s", got, want)
			}
			synctest.Wait()
		}
		broken = false
		if got := ask(set, told); got != runtime.Trap {
			t.Errorf("once it can come up again it failed by %s: it was not tried", got)
		}
		synctest.Wait()
	})
}

// counting passes where its instance is not in use by another call at the same time, and traps in every seventh.
func counting() []byte {
	g := w.NewGuest()
	calls, busy := g.Global(0), g.Global(0)
	g.Hook("price_response",
		w.GlobalGet(busy), w.I64Eqz, w.I32Eqz, w.If(w.I32Const(77), w.Return),
		w.I64Const(1), w.GlobalSet(busy),
		g.Host("now"), w.Drop,
		w.GlobalGet(calls), w.I64Const(1), w.I64Add, w.GlobalSet(calls),
		w.GlobalGet(calls), w.I64Const(7), w.I64RemU, w.I64Eqz, w.If(w.Unreachable),
		w.I64Const(0), w.GlobalSet(busy),
		w.Pass)
	return g.Bytes()
}

// count counts failures by kind.
type count [runtime.NumFailures]atomic.Int64

func (c *count) HookDone(_ string, _ abi.Hook, _ time.Duration, f runtime.Failure) { c[f].Add(1) }
func (c *count) PolicyOut(string, abi.Hook, time.Duration)                         {}

func TestHammer(t *testing.T) {
	var seen count
	r := newRuntime(t, runtime.Options{Observer: &seen})
	policies := []runtime.Policy{{Name: "p", Wasm: counting()}}
	var current atomic.Pointer[runtime.Set]
	var pinned sync.RWMutex // a set is closed when nobody asks it any more
	first, err := r.Load(t.Context(), policies)
	if err != nil {
		t.Fatal(err)
	}
	current.Store(first)
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 500 {
				pinned.RLock()
				current.Load().PriceResponse(&abi.Pricing{})
				pinned.RUnlock()
			}
		})
	}
	for i := range 20 {
		policies[0].Config = []byte{byte(i % 3)} // some reloads share the pool, some replace it
		next, err := r.Load(t.Context(), policies)
		if err != nil {
			t.Fatal(err)
		}
		old := current.Swap(next)
		pinned.Lock()
		pinned.Unlock() //nolint:staticcheck // waits for those who may still ask the old set
		old.Close()
	}
	callers.Wait()
	current.Load().Close()
	if n := seen[runtime.BadReturn].Load(); n > 0 {
		t.Errorf("%d calls met another in their instance", n)
	}
	if n := seen[runtime.Unavailable].Load(); n > 0 {
		t.Errorf("%d calls met a closed pool", n)
	}
	if seen[runtime.NoFailure].Load() == 0 || seen[runtime.Trap].Load() == 0 {
		t.Error("the hammer hit nothing")
	}
}
