package extism_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs/extism"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// A policy that names what it reads gets that, what it is granted, and nothing else.
func TestAMessageHasTheInputsThatAreNamed(t *testing.T) {
	const head = `{"abi":1,"hook":"`
	for _, test := range []struct {
		hook   abi.Hook
		inputs []string
		want   string
	}{
		{abi.ChooseStep, []string{}, head + `choose_step","request":{"headers":{"x-team":"red"}}}`},
		{abi.ChooseStep, []string{"request.model", "attempt"}, head + `choose_step","request":{"model":"coding","headers":{"x-team":"red"}},"attempt":2}`},
		{abi.ChooseStep, []string{"step.count"}, head + `choose_step","request":{"headers":{"x-team":"red"}},"steps":[{},{}]}`},
		{abi.ChooseStep, []string{"identity.team", "request.stream"},
			head + `choose_step","request":{"stream":true,"headers":{"x-team":"red"}},"identity":{"team":"research"}}`},
		{abi.PriceResponse, []string{"usage"}, head + `price_response","request":{"headers":{"x-team":"red"}},"usage":{`},
		{abi.PriceResponse, []string{"price.phase", "model"}, head + `price_response","request":{"headers":{"x-team":"red"}},"phase":"final","model":"`},
		{abi.Authenticate, []string{"credential.shape"},
			head + `authenticate","request":{"headers":{"x-team":"red"}},"credential":{"value":"`},
	} {
		message := string(messageOf(t, runtime.Policy{Grants: everyGrant, Inputs: test.inputs}, full()[test.hook]))
		if !strings.HasPrefix(strings.TrimRight(message, " "), test.want) || !json.Valid([]byte(message)) {
			t.Errorf("%v:\ngot  %s\nwant %s", test.inputs, message, test.want)
		}
	}
}

// Each field by itself adds something to the message of a hook that has it, and all together are what there is without a list.
func TestEveryInputCanBeNamed(t *testing.T) {
	for hook := range abi.NumHooks {
		q := full()[hook]
		none := messageOf(t, runtime.Policy{Grants: everyGrant, Inputs: []string{}}, q)
		var names []string
		for _, f := range abi.Fields() {
			if f.Output || f.Grant || !f.Hooks.Has(hook) {
				continue
			}
			names = append(names, f.Name)
			got := messageOf(t, runtime.Policy{Grants: everyGrant, Inputs: []string{f.Name}}, q)
			if members(t, got) <= members(t, none) {
				t.Errorf("%s: naming %s adds nothing: %s", hook, f.Name, got)
			}
		}
		if all, want := messageOf(t, runtime.Policy{Grants: everyGrant, Inputs: names}, q), messageOf(t, runtime.Policy{Grants: everyGrant}, q); string(all) != string(want) {
			t.Errorf("%s:\nall  %s\nwant %s", hook, all, want)
		}
	}
}

// members counts the members of a JSON text, at all depths, with the elements of its lists.
func members(t *testing.T, text []byte) int {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	var count func(v any) int
	count = func(v any) (n int) {
		switch v := v.(type) {
		case map[string]any:
			for part := range maps.Values(v) {
				n += 1 + count(part)
			}
		case []any:
			for part := range slices.Values(v) {
				n += 1 + count(part)
			}
		}
		return n
	}
	return count(value)
}

func TestAnInputThatThereIsNot(t *testing.T) {
	r, err := runtime.New(t.Context(), runtime.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	for _, name := range []string{"request.colour", "cost", ""} {
		if _, err := r.Load(t.Context(), []runtime.Policy{{Name: "p", Wasm: calling(abi.ChooseStep), Inputs: []string{name}}}); err == nil || !strings.Contains(err.Error(), "there is no field") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// BenchmarkInputs shows what a shorter message is worth to a guest that reads it.
func BenchmarkInputs(b *testing.B) {
	for name, inputs := range map[string][]string{"all": nil, "two": {"request.model", "attempt"}} {
		b.Run(name, func(b *testing.B) {
			policy := runtime.Policy{Wasm: readsChoice(), Grants: everyGrant, Inputs: inputs}
			set, q := loadWith(b, policy, runtime.Options{Portable: extism.New()}), full()[abi.ChooseStep]
			b.ReportAllocs()
			for b.Loop() {
				if q.ask(set) != abi.Given {
					b.Fatal("there was no verdict")
				}
			}
		})
	}
}

// readsChoice is a guest that reads its message by words, as PDKs do, and chooses.
func readsChoice() []byte {
	return newGuest().withHook(abi.ChooseStep, func(g *guest) []byte {
		return w.Code(g.call("input_length"), w.LocalSet(1),
			w.Loop(g.call("input_load_u64", w.LocalGet(2)), w.Drop,
				w.LocalGet(2), w.I64Const(8), w.I64Add, w.LocalSet(2), w.LocalGet(2), w.LocalGet(1), w.I64Eq, w.I32Eqz, w.BrIf(0)),
			g.answer(0, `{"verdict":"step","step":1}`), w.Verdict)
	})
}
