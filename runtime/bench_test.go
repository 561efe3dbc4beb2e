package runtime_test

import (
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// authenticator does what the built-in one does: it reads a digest, looks it up, looks at the state and allows.
func authenticator() []byte {
	g := w.NewGuest()
	g.Hook("authenticate", lookUp(g), w.Drop,
		g.Host("get_i64", w.I32Const(int32(abi.FieldIdentityState)), w.I32Const(0)), w.Drop,
		g.SetInt(abi.FieldAllowHandle, 0, 1), w.Verdict)
	return g.Bytes()
}

// authentication is one that authenticator allows.
func authentication() *abi.Authentication {
	digest := abi.Digest{1}
	return &abi.Authentication{Request: &abi.Request{}, Digest: digest, Identities: stored{digest, &abi.Identity{KeyID: "key_1"}}}
}

// hotCalls are the calls that must not allocate.
func hotCalls(t testing.TB) map[string]func() abi.Answer {
	empty := load(t, runtime.Options{}, runtime.Policy{Name: "empty", Wasm: passes(abi.PriceResponse)})
	auth := load(t, runtime.Options{}, runtime.Policy{Name: "auth", Wasm: authenticator(), Grants: runtime.Grants{Identities: true}})
	reads := load(t, runtime.Options{}, runtime.Policy{Name: "reads", Wasm: reader(), Grants: runtime.Grants{Inputs: []string{"request.headers.x-team"}}})
	a, p, c := authentication(), &abi.Pricing{}, choice()
	return map[string]func() abi.Answer{
		"empty":        func() abi.Answer { return empty.PriceResponse(p) },
		"authenticate": func() abi.Answer { return auth.Authenticate(a) },
		"read all":     func() abi.Answer { return reads.ChooseStep(c) },
	}
}

// reader reads a field of each kind, in each way.
func reader() []byte {
	g := w.NewGuest()
	get := func(field abi.FieldID, index int32) []byte {
		return w.Code(g.Host("get", w.I32Const(int32(field)), w.I32Const(index), w.I32Const(0), w.I32Const(512)), w.I32Const(1), w.I32LtS, w.If(w.Unreachable))
	}
	g.Hook("choose_step",
		get(abi.FieldRequestPath, 0), get(abi.FieldRequestFormat, 0), get(abi.FieldIdentityModels, 1),
		get(abi.FieldIdentityLabels, 0), get(abi.FieldIdentityLimits, abi.AllIndexes), get(abi.FieldAttempt, 0), get(abi.FieldStepModel, 1), get(abi.FieldStepWeight, abi.AllIndexes),
		g.Host("get_named", w.I32Const(int32(abi.FieldRequestHeaders)), g.Text("x-team"), w.I32Const(0), w.I32Const(64)), w.I32Const(1), w.I32LtS, w.If(w.Unreachable),
		g.Host("now"), w.Drop, g.Host("random", w.I32Const(0), w.I32Const(8)), w.Drop,
		g.SetInt(abi.FieldChosenStep, 0, 1), w.Verdict)
	return g.Bytes()
}

type header map[string][]byte

func (h header) Header(name string) ([]byte, bool) { v, ok := h[name]; return v, ok }

func choice() *abi.StepChoice {
	return &abi.StepChoice{
		Request:  &abi.Request{Path: []byte("/v1/chat/completions"), Format: "openai", Headers: header{"x-team": []byte("r")}},
		Identity: &abi.Identity{Models: []string{"a", "b"}, Labels: []abi.Label{{Name: "tier", Value: "gold"}}},
		Steps:    []abi.Step{{Model: "a"}, {Model: "b", Weight: 7}},
		Tries:    []int64{0, 0},
		Attempt:  1,
	}
}

func TestHookCallsDoNotAllocate(t *testing.T) {
	want := map[string]abi.Answer{"empty": abi.NoVerdict, "authenticate": abi.Given, "read all": abi.Given}
	for name, call := range hotCalls(t) {
		var answer abi.Answer
		if n := testing.AllocsPerRun(100, func() { answer = call() }); n != 0 {
			t.Errorf("%s: %v allocations a call", name, n)
		}
		if answer != want[name] {
			t.Errorf("%s: answer %d", name, answer)
		}
	}
}

func BenchmarkHook(b *testing.B) {
	for name, call := range hotCalls(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				call()
			}
		})
	}
}

func BenchmarkHookParallel(b *testing.B) {
	set := load(b, runtime.Options{}, runtime.Policy{Name: "p", Wasm: passes(abi.PriceResponse)})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var p abi.Pricing
		for pb.Next() {
			set.PriceResponse(&p)
		}
	})
}
