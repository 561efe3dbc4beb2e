package extism_test

import (
	goruntime "runtime"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs/extism"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// reads is a guest that reads its input by words, as PDKs do, and answers. It does nothing else, so it shows what the tier
// itself costs.
func reads() []byte {
	return newGuest().withHook(abi.Authenticate, func(g *guest) []byte {
		return w.Code(g.call("input_length"), w.LocalSet(1),
			w.Loop(g.call("input_load_u64", w.LocalGet(2)), w.Drop,
				w.LocalGet(2), w.I64Const(8), w.I64Add, w.LocalSet(2), w.LocalGet(2), w.LocalGet(1), w.I64Eq, w.I32Eqz, w.BrIf(0)),
			g.answer(0, `{"verdict":"allow","identity":{"id":"team-red","team":"red"}}`), w.Verdict)
	})
}

// timed is a hook of a guest that is timed. It is granted one header, and its manifest names what else it reads.
type timed struct {
	name   string
	wasm   func(t testing.TB) []byte
	q      question
	inputs []string
}

// hooks are those of guests of stock PDKs and, for each question, of an assembled one that does nothing but read and answer:
// what others take beyond that they spend by themselves.
func hooks() []timed {
	of := func(pdk string) func(t testing.TB) []byte { return func(t testing.TB) []byte { return build(t, pdk) } }
	assembled := func(wasm []byte) func(t testing.TB) []byte { return func(testing.TB) []byte { return wasm } }
	team, choice, price := withTeam("red"), full()[abi.ChooseStep], full()[abi.PriceResponse]
	few, steps, money := []string{}, []string{"attempt", "step.provider"}, []string{"usage", "price"}
	return []timed{
		{"authenticate/assembled", assembled(reads()), team, few},
		{"authenticate/assemblyscript", of("assemblyscript"), team, few},
		{"authenticate/go", of("go"), team, few},
		{"choose_step/assembled", assembled(readsChoice()), choice, steps},
		{"choose_step/assemblyscript", of("assemblyscript"), choice, steps},
		{"choose_step/go with encoding|json", of("go"), choice, steps},
		{"price_response/assemblyscript", of("assemblyscript"), price, money},
		{"price_response/go with encoding|json", of("go"), price, money},
	}
}

// policy is what a gateway loads, by its manifest and an operator who grants what it asks for.
func (h timed) policy(t testing.TB) runtime.Policy {
	t.Helper()
	return runtime.Policy{Wasm: h.wasm(t), Grants: runtime.Grants{Inputs: []string{"request.headers.x-team"}}, Inputs: h.inputs}
}

// asking returns what asks a guest once on our host, as it is used by the gateway.
func asking(t testing.TB, h timed) (ask func() abi.Answer) {
	t.Helper()
	set := loadWith(t, h.policy(t), runtime.Options{Portable: extism.New()})
	if answer := h.q.ask(set); answer != abi.Given {
		t.Fatalf("answer %d, want a verdict", answer)
	}
	return func() abi.Answer { return h.q.ask(set) }
}

// BenchmarkHook asks the same of the same guests on our host and on Extism's own.
func BenchmarkHook(b *testing.B) {
	for _, h := range hooks() {
		b.Run(h.name+"/sallyport", func(b *testing.B) {
			ask := asking(b, h)
			for range warm {
				ask()
			}
			testutil.Measure(b, few, func() { ask() })
		})
		b.Run(h.name+"/go-sdk", func(b *testing.B) {
			host, message := loadStock(b, h.wasm(b), nil), messageOf(b, h.policy(b), h.q)
			testutil.Measure(b, few, func() {
				if code, _, err := host.plugin.Call(h.q.hook().String(), message); code != 0 || err != nil {
					b.Fatal(code, err)
				}
			})
		})
	}
}

const (
	warm = 5000 // calls that bring the heap of a Go guest to its size
	few  = 10   // calls that are timed together: some take long
)

// What a call of a guest leaves for the collector is the identity that it made up, and little else.
func TestHooksLeaveLittleGarbage(t *testing.T) {
	for _, h := range hooks() {
		t.Run(h.name, func(t *testing.T) {
			const calls, bound = 1000, 2 << 10
			ask := asking(t, h)
			for range warm { // a Go guest's heap grows to its size
				ask()
			}
			var before, after goruntime.MemStats
			goruntime.ReadMemStats(&before)
			for range calls {
				ask()
			}
			goruntime.ReadMemStats(&after)
			if each := (after.TotalAlloc - before.TotalAlloc) / calls; each > bound {
				t.Errorf("%d bytes a call", each)
			} else {
				t.Logf("%d bytes a call", each)
			}
		})
	}
}

// A hook that chooses a step, or prices, leaves none at all.
func TestHooksLeaveNoGarbage(t *testing.T) {
	for _, test := range []struct {
		hook    abi.Hook
		message string
	}{
		{abi.ChooseStep, `{"verdict":"step","step":1}`},
		{abi.PriceResponse, `{"verdict":"price","cost":"12\u0033","breakdown":{"input":"100"}}`},
	} {
		wasm := newGuest().withHook(test.hook, func(g *guest) []byte {
			return w.Code(g.keep(g.call("input_load_u64", w.I64Const(8))), g.answer(0, test.message), w.Verdict)
		})
		set, q := loadWith(t, runtime.Policy{Wasm: wasm, Grants: everyGrant}, runtime.Options{Portable: extism.New()}), full()[test.hook]
		var answer abi.Answer
		if n := testing.AllocsPerRun(100, func() { answer = q.ask(set) }); n != 0 || answer != abi.Given {
			t.Errorf("%s: %v allocations a call, answer %d", test.hook, n, answer)
		}
	}
}
