package extism_test

import (
	goruntime "runtime"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs/extism"
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

// timed is a hook of a guest that is timed.
type timed struct {
	name string
	wasm func(t testing.TB) []byte
	q    question
}

func hooks() []timed {
	of := func(pdk string) func(t testing.TB) []byte { return func(t testing.TB) []byte { return build(t, pdk) } }
	return []timed{
		{"assembled", func(testing.TB) []byte { return reads() }, withTeam("red")},
		{"assemblyscript", of("assemblyscript"), withTeam("red")},
		{"go", of("go"), withTeam("red")},
		{"go with encoding/json", of("go"), full()[abi.ChooseStep]},
	}
}

// asking returns what asks a guest once on our host, as it is used by the gateway.
func asking(t testing.TB, wasm []byte, q question) (ask func()) {
	t.Helper()
	set := loadWith(t, runtime.Policy{Wasm: wasm, Grants: everyGrant}, runtime.Options{Portable: extism.New()})
	return func() {
		if q.ask(set) != abi.Given {
			t.Fatal("there was no verdict")
		}
	}
}

// BenchmarkHook asks the same of the same guests on our host and on Extism's own.
func BenchmarkHook(b *testing.B) {
	for _, h := range hooks() {
		b.Run(h.name+"/sallyport", func(b *testing.B) {
			ask := asking(b, h.wasm(b), h.q)
			b.ReportAllocs()
			for b.Loop() {
				ask()
			}
		})
		b.Run(h.name+"/go-sdk", func(b *testing.B) {
			host, message := loadStock(b, h.wasm(b), nil), messageOf(b, runtime.Policy{Grants: everyGrant}, h.q)
			b.ReportAllocs()
			for b.Loop() {
				if code, _, err := host.plugin.Call(h.q.hook().String(), message); code != 0 || err != nil {
					b.Fatal(code, err)
				}
			}
		})
	}
}

// What a call of a guest leaves for the collector is the identity that it made up, and little else.
func TestHooksLeaveLittleGarbage(t *testing.T) {
	for _, h := range hooks() {
		t.Run(h.name, func(t *testing.T) {
			const warm, calls, bound = 3000, 1000, 2 << 10
			ask := asking(t, h.wasm(t), h.q)
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
