package runtime_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// A guest that traps in its second call, and otherwise charges what it counted, shows whether an instance is used
// again: only a new one counts from 1.
func TestATrappedInstanceIsNotUsedAgain(t *testing.T) {
	for _, test := range []struct {
		name   string
		second []byte // what the guest does in its second call
		third  abi.NanoUSD
	}{
		{"after a trap", w.Unreachable, 1},
		{"after an unknown code", w.Code(w.I32Const(9), w.Return), 1},
		{"out of fuel", w.Loop(w.Br(0)), 1},
		{"an error leaves it in use", w.Code(w.Error, w.Return), 3},
		{"a bad verdict leaves it in use", w.Code(w.Verdict, w.Return), 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := w.NewGuest()
			calls := g.Global(0)
			g.Hook("price_response",
				w.GlobalGet(calls), w.I64Const(1), w.I64Add, w.GlobalSet(calls),
				w.GlobalGet(calls), w.I64Const(2), w.I64Eq, w.If(test.second),
				g.Host("set_i64", w.I32Const(int32(abi.FieldCost)), w.I32Const(0), w.GlobalGet(calls)), w.Drop, w.Verdict)
			synctest.Test(t, func(t *testing.T) {
				set := load(t, runtime.Options{}, runtime.Policy{Name: "p", Wasm: g.Bytes()})
				var p abi.Pricing
				set.PriceResponse(&p)
				if answer := set.PriceResponse(&p); answer != abi.Failed {
					t.Errorf("the second call answered %d", answer)
				}
				synctest.Wait() // until there is a new instance
				if set.PriceResponse(&p); p.Cost != test.third {
					t.Errorf("the third call is the instance's %d., want %d.", p.Cost, test.third)
				}
			})
		})
	}
}

// Host functions are ours. If one breaks, the guest's call fails, and nothing else.
func TestAPanicInAHostFunctionFailsTheCall(t *testing.T) {
	told := make(failures, 1)
	set := load(t, runtime.Options{Observer: told, Functions: now(func() { panic("ours") })},
		runtime.Policy{Name: "p", Wasm: asksTheTime(1)})
	if got := ask(set, told); got != runtime.Trap {
		t.Errorf("failed by %s", got)
	}
}

// With this much fuel the guest would spin for days if stopping it did not take the fuel away.
func TestAGuestThatIsStoppedStops(t *testing.T) {
	var m w.Module
	exit := m.Import(abi.ModuleWASI, "proc_exit", []w.Type{w.I32}, nil)
	m.Hook("price_response", w.I32Const(0), w.Call(exit), w.Loop(w.Br(0)), w.Pass)
	told := make(failures, 1)
	set := load(t, runtime.Options{Observer: told}, runtime.Policy{Name: "p", Wasm: m.Bytes(), Limits: runtime.Limits{Fuel: 1 << 50}})
	if got := ask(set, told); got != runtime.Exited {
		t.Errorf("failed by %s", got)
	}
}

// A guest that counts how often it can call the host charges what it counted.
func TestHostCallsAreCapped(t *testing.T) {
	g := w.NewGuest()
	calls := g.Global(0)
	g.Hook("price_response",
		w.I64Const(0), w.GlobalSet(calls),
		g.SetInt(abi.FieldCostBreakdown, 0, 0), // the first of them
		w.Loop(w.GlobalGet(calls), w.I64Const(1), w.I64Add, w.GlobalSet(calls),
			g.Host("set_i64", w.I32Const(int32(abi.FieldCost)), w.I32Const(0), w.GlobalGet(calls)), w.I32Eqz, w.BrIf(0)),
		w.Verdict)
	set := load(t, runtime.Options{}, runtime.Policy{Name: "p", Wasm: g.Bytes()})
	for range 2 {
		var p abi.Pricing
		if set.PriceResponse(&p); p.Cost != 9_999 {
			t.Errorf("%d calls were served after the first, want 9999", p.Cost)
		}
	}
}

func TestFailuresAreLoggedOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		set := load(t, runtime.Options{Log: slog.New(slog.NewTextHandler(&out, nil))}, runtime.Policy{Name: "p",
			Wasm: guest(abi.PriceResponse, func(*w.Guest) []byte { return w.Error })})
		fail := func() { set.PriceResponse(&abi.Pricing{Request: &abi.Request{ID: []byte("req_1")}}) }
		for range 100 {
			fail()
		}
		if n := strings.Count(out.String(), "a policy failed"); n != 1 {
			t.Errorf("%d lines in the first second", n)
		}
		for _, word := range []string{"policy=p", "hook=price_response", "reason=guest_error", "request_id=req_1"} {
			if !strings.Contains(out.String(), word) {
				t.Errorf("the log lacks %s: %s", word, out.String())
			}
		}
		out.Reset()
		sleep(time.Second)
		fail()
		if !strings.Contains(out.String(), "not_logged=4") { // the others were not asked any more
			t.Errorf("a second later: %q", out.String())
		}
	})
}

func TestTheLogShowsTheGuestsStack(t *testing.T) {
	var out bytes.Buffer
	set := load(t, runtime.Options{Log: slog.New(slog.NewTextHandler(&out, nil))}, runtime.Policy{Name: "p",
		Wasm: guest(abi.PriceResponse, func(*w.Guest) []byte { return w.Unreachable })})
	set.PriceResponse(&abi.Pricing{})
	if !strings.Contains(out.String(), "unreachable") || !strings.Contains(out.String(), "price_response") {
		t.Errorf("logged %s", out.String())
	}
}
