package runtime_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// switched is a policy that fails at price_response while broken, and passes at choose_step. calls counts how often
// price_response was asked.
type switched struct {
	broken atomic.Bool
	calls  atomic.Int64
	wait   chan struct{} // if not nil, price_response waits for it
}

func (s *switched) load(t *testing.T, o runtime.Options, policy runtime.Policy) *runtime.Set {
	t.Helper()
	o.Functions = []runtime.Function{{Name: "now", Call: func(_ *runtime.Call, stack []uint64) {
		s.calls.Add(1)
		if s.wait != nil {
			<-s.wait
		}
		stack[0] = 0
		if s.broken.Load() {
			stack[0] = 1
		}
	}}}
	return load(t, o, switchedPolicy(policy))
}

func switchedPolicy(policy runtime.Policy) runtime.Policy {
	g := w.NewGuest()
	g.Hook("price_response", g.Host("now"), w.I64Eqz, w.If(w.Pass, w.Return), w.Error)
	g.Hook("choose_step", w.Pass)
	policy.Name, policy.Wasm = "p", g.Bytes()
	return policy
}

// outages is an Observer that notes what it is told.
type outages struct {
	mu   sync.Mutex
	told []string
	last runtime.Failure
}

func (o *outages) HookDone(_ string, _ abi.Hook, _ time.Duration, failure runtime.Failure) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = failure
}

func (o *outages) PolicyOut(policy string, hook abi.Hook, pause time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told = append(o.told, fmt.Sprint(policy, " ", hook, " ", pause))
}

func (o *outages) failure() runtime.Failure {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last
}

func TestAPolicyThatKeepsFailingIsTakenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s, seen := &switched{}, &outages{}
		set := s.load(t, runtime.Options{Log: slog.New(slog.NewTextHandler(&log, nil)), Observer: seen}, runtime.Policy{})
		ask := func() abi.Answer {
			return set.PriceResponse(&abi.Pricing{Request: &abi.Request{ID: []byte("req_1")}})
		}
		s.broken.Store(true)
		for range 4 {
			ask()
		}
		s.broken.Store(false)
		ask() // between failures, one good call makes all good
		s.broken.Store(true)
		for range 5 {
			if ask(); seen.failure() != runtime.GuestError {
				t.Fatalf("failed by %s before five failures in a row", seen.failure())
			}
		}
		asked := s.calls.Load()
		for range 100 {
			if answer := ask(); answer != abi.Failed || seen.failure() != runtime.TakenOut {
				t.Fatalf("answer %d, failed by %s", answer, seen.failure())
			}
		}
		if s.calls.Load() != asked {
			t.Error("the guest was asked while it was out")
		}
		if answer := set.ChooseStep(choice()); answer != abi.NoVerdict {
			t.Errorf("at the hook where it does not fail the answer is %d", answer)
		}
		// One call finds out, then the pause doubles, up to a minute.
		pauses := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60}
		for _, seconds := range pauses[:len(pauses)-1] {
			sleep(seconds*time.Second - 1)
			if ask(); s.calls.Load() != asked {
				t.Fatalf("the guest was asked before %d s", seconds)
			}
			sleep(1)
			ask()
			ask()
			if asked++; s.calls.Load() != asked {
				t.Fatalf("after %d s the guest was asked %d times, want once", seconds, s.calls.Load()-asked+1)
			}
		}
		s.broken.Store(false)
		sleep(time.Minute)
		for range 2 {
			if answer := ask(); answer != abi.NoVerdict {
				t.Errorf("once it works again the answer is %d", answer)
			}
		}
		s.broken.Store(true)
		for range 5 {
			ask()
		}
		want := "p price_response 1s|p price_response 2s|p price_response 4s|p price_response 8s|p price_response 16s|" +
			"p price_response 32s|p price_response 1m0s|p price_response 1m0s|p price_response 0s|p price_response 1s"
		if got := strings.Join(seen.told, "|"); got != want {
			t.Errorf("told %s", got)
		}
		if out, back := strings.Count(log.String(), "keeps failing"), strings.Count(log.String(), "works again"); out != 9 || back != 1 {
			t.Errorf("%d lines that it is out and %d that it is back:\n%s", out, back, log.String())
		}
		for _, word := range []string{"pause=1s failures=5 reason=guest_error", "request_id=req_1"} {
			if !strings.Contains(log.String(), word) {
				t.Errorf("the log lacks %s", word)
			}
		}
	})
}

// One call alone finds out whether the policy works again, however many come at that moment.
func TestASingleCallFindsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, seen := &switched{}, &outages{}
		set := s.load(t, runtime.Options{Observer: seen}, runtime.Policy{})
		s.broken.Store(true)
		for range 5 {
			set.PriceResponse(&abi.Pricing{})
		}
		s.broken.Store(false)
		s.wait = make(chan struct{})
		asked := s.calls.Load()
		sleep(time.Second)
		for range 50 {
			go set.PriceResponse(&abi.Pricing{})
		}
		synctest.Wait()
		if n := s.calls.Load() - asked; n != 1 {
			t.Errorf("%d calls were let through", n)
		}
		close(s.wait)
		synctest.Wait()
		if answer := set.PriceResponse(&abi.Pricing{}); answer != abi.NoVerdict {
			t.Errorf("answer %d", answer)
		}
	})
}

// Calls that were under way when a policy was taken out fail too, and leave it out for no longer.
func TestFailuresUnderWayCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, seen := &switched{}, &outages{}
		set := s.load(t, runtime.Options{Observer: seen}, runtime.Policy{})
		s.broken.Store(true)
		for range 4 {
			set.PriceResponse(&abi.Pricing{})
		}
		s.wait = make(chan struct{})
		for range 4 {
			go set.PriceResponse(&abi.Pricing{})
		}
		synctest.Wait()
		close(s.wait)
		synctest.Wait()
		if got := strings.Join(seen.told, "|"); got != "p price_response 1s" || s.calls.Load() != 8 {
			t.Errorf("after %d calls told %s", s.calls.Load(), got)
		}
	})
}

// That there is much to do is no failure of the policy.
func TestABusyPolicyIsNotTakenOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, seen := &switched{wait: make(chan struct{})}, &outages{}
		set := s.load(t, runtime.Options{Observer: seen}, runtime.Policy{})
		for range 200 {
			go set.PriceResponse(&abi.Pricing{})
		}
		sleep(time.Second)
		synctest.Wait()
		if seen.failure() != runtime.Busy {
			t.Errorf("failed by %s", seen.failure())
		}
		close(s.wait)
		synctest.Wait()
		if len(seen.told) > 0 || set.PriceResponse(&abi.Pricing{}) != abi.NoVerdict {
			t.Errorf("told %v", seen.told)
		}
	})
}

// A reload that changes nothing about the policy leaves it out. New limits give it a fresh start.
func TestAReloadAndAPolicyThatIsOut(t *testing.T) {
	for _, test := range []struct {
		name   string
		limits runtime.Limits
		want   runtime.Failure
		told   int
	}{
		{"nothing changed", runtime.Limits{}, runtime.TakenOut, 1},
		{"more fuel", runtime.Limits{Fuel: 2 * runtime.DefaultFuel}, runtime.GuestError, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			seen := &outages{}
			fails := runtime.Policy{Name: "p", Wasm: guest(abi.PriceResponse, func(*w.Guest) []byte { return w.Error })}
			r := newRuntime(t, runtime.Options{Observer: seen})
			old, err := r.Load(t.Context(), []runtime.Policy{fails})
			if err != nil {
				t.Fatal(err)
			}
			for range 5 {
				old.PriceResponse(&abi.Pricing{})
			}
			fails.Limits = test.limits
			next, err := r.Load(t.Context(), []runtime.Policy{fails})
			if err != nil {
				t.Fatal(err)
			}
			old.Close()
			defer next.Close()
			if next.PriceResponse(&abi.Pricing{}); seen.failure() != test.want || len(seen.told) != test.told {
				t.Errorf("failed by %s, told %v", seen.failure(), seen.told)
			}
		})
	}
}

// Under many callers, a policy that fails and recovers ends up being asked.
func TestBreakerHammer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &switched{}
		set := s.load(t, runtime.Options{}, runtime.Policy{})
		for range 20 {
			s.broken.Store(true)
			var callers sync.WaitGroup
			for range 8 {
				callers.Go(func() {
					for range 50 {
						set.PriceResponse(&abi.Pricing{})
						sleep(100 * time.Millisecond)
					}
				})
			}
			sleep(2 * time.Second)
			s.broken.Store(false)
			callers.Wait()
			sleep(time.Minute)
			if answer := set.PriceResponse(&abi.Pricing{}); answer != abi.NoVerdict {
				t.Fatalf("answer %d", answer)
			}
		}
	})
}
