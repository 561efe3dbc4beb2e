package stock

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs/extism"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/plugin/host"
	"github.com/sallyport-dev/sallyport/runtime"
)

// portable is a guest of the portable tier that is being assembled. Its hooks have two locals.
type portable struct {
	w.Module
	functions map[string]w.Index
}

func newPortable() *portable {
	g := &portable{functions: map[string]w.Index{}}
	for _, f := range extism.New().Functions {
		g.functions[f.Name] = g.Import(runtime.ModuleExtism, f.Name, types(f.Params), types(f.Results))
	}
	g.Memory(1)
	return g
}

func types(list []abi.Type) []w.Type {
	out := make([]w.Type, len(list))
	for i, t := range list {
		out[i] = w.I32
		if t == abi.I64 {
			out[i] = w.I64
		}
	}
	return out
}

func (g *portable) call(function string, args ...[]byte) []byte {
	return append(slices.Concat(args...), w.Call(g.functions[function])...)
}

// put puts a text into a block, whose handle is in local 0.
func (g *portable) put(text string) []byte {
	code := w.Code(g.call("alloc", w.I64Const(int64(len(text)))), w.LocalSet(0))
	for i := range len(text) {
		code = w.Code(code, g.call("store_u8", w.LocalGet(0), w.I64Const(int64(i)), w.I64Add, w.I32Const(int32(text[i]))))
	}
	return code
}

func (g *portable) answer(text string) []byte {
	return w.Code(g.put(text), g.call("output_set", w.LocalGet(0), w.I64Const(int64(len(text)))))
}

func (g *portable) hook(name string, body ...[]byte) *portable {
	g.Func(name, nil, []w.Type{w.I32}, []w.Type{w.I64, w.I64}, body...)
	return g
}

// ask asks cases on Extism's host and on ours, and returns what they differ in from what the cases want.
func ask(t *testing.T, wasm []byte, config, yaml string) (theirs, ours map[string]string) {
	t.Helper()
	all, err := cases.Read("cases.yaml", []byte(yaml), abi.NumHooks)
	if err != nil {
		t.Fatal(err)
	}
	policy := runtime.Policy{Wasm: wasm, Config: []byte(config)}
	e, err := Open(t.Context(), policy, []string{"choose_step", "price_response"})
	if err != nil {
		t.Fatal(err)
	}
	h, err := host.Open(t.Context(), host.Options{Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]map[string]string, 2)
	for i, examination := range []interface {
		Run(ctx context.Context, all []cases.Case) ([]host.Result, error)
		Close(ctx context.Context) error
	}{e, h} {
		results, err := examination.Run(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = map[string]string{}
		for _, r := range results {
			out[i][r.Case.Name] = strings.Join(r.Differences, "\n")
		}
		if err := examination.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	return out[0], out[1]
}

// rule serves two hooks: at one it answers by its input, at the other it does what the length of its input says.
func rule() []byte {
	g := newPortable()
	letter := func(at int64, c byte) []byte {
		return w.Code(g.call("input_load_u8", w.I64Const(at)), w.I32Const(int32(c)), w.I32Eq)
	}
	const hookAt = int64(len(`{"abi":1,"hook":"`))
	g.hook("choose_step", letter(hookAt, 'c'), w.I32Eqz, w.If(w.Unreachable),
		g.put("chosen"), g.call("log_warn", w.LocalGet(0)), g.answer(`{"verdict":"step","step":1}`), w.Verdict)
	const modelAt = hookAt + int64(len(`price_response","request":{"model":"`))
	g.hook("price_response",
		letter(modelAt, 'e'), w.If(g.put("it did not work"), g.call("error_set", w.LocalGet(0)), w.Error, w.Return),
		letter(modelAt, 't'), w.If(w.Unreachable),
		letter(modelAt, 'n'), w.If(g.answer("nonsense"), w.Verdict, w.Return),
		letter(modelAt, 'z'), w.If(
			g.put("zone"), g.call("config_get", w.LocalGet(0)), w.LocalSet(1), g.call("log_info", w.LocalGet(1)), g.answer(`{"verdict":"pass"}`), w.Verdict, w.Return),
		g.answer(`{"verdict":"price","cost":"12"}`), w.Verdict)
	return g.Bytes()
}

// What comes of a portable plugin's cases is the same on both hosts.
func TestTheHostsAgree(t *testing.T) {
	theirs, ours := ask(t, rule(), `{"zone":"Europe/Berlin"}`, `
- {name: step, hook: choose_step, steps: [{model: a, provider: p}, {model: b, provider: p}], want: {step: 1, log: [WARN chosen], fuel: 1000000}}
- {name: price, hook: price_response, phase: final, request: {model: m}, want: {cost: 12, log: []}}
- {name: zone, hook: price_response, phase: final, request: {model: z}, want: {answer: pass, log: [Europe/Berlin]}}
- {name: error, hook: price_response, phase: final, request: {model: e}, want: {answer: failed, failure: it did not work}}
- {name: trap, hook: price_response, phase: final, request: {model: t}, want: {answer: failed, failure: unreachable}}
- {name: nonsense, hook: price_response, phase: final, request: {model: n}, want: {answer: failed, failure: where an object should}}
- {name: after all, hook: price_response, phase: final, request: {model: m}, want: {cost: 12}}
- {name: a wrong wish, hook: price_response, phase: final, request: {model: m}, want: {cost: 13}}
`)
	for name := range ours {
		if (theirs[name] == "") != (ours[name] == "") {
			t.Errorf("%s:\nthere %s\nhere  %s", name, theirs[name], ours[name])
		}
		if (theirs[name] != "") != (name == "a wrong wish") {
			t.Errorf("%s: %s", name, theirs[name])
		}
	}
}

// A plugin without the portable tier's imports, or with others, does not run there, and that is said.
func TestAPluginThatDoesNotRunThere(t *testing.T) {
	g := w.NewGuest()
	g.Hook("price_response", w.Pass)
	theirs, ours := ask(t, g.Bytes(), "", `[{name: fast, hook: price_response, phase: final, want: {answer: pass}}]`)
	if ours["fast"] != "" || !strings.Contains(theirs["fast"], "Extism's host") {
		t.Errorf("%q, %q", theirs["fast"], ours["fast"])
	}
}

// The time of a case is the plugin's, by way of WASI.
func TestTheTimeOfACase(t *testing.T) {
	g := newPortable()
	clock := g.Import(abi.ModuleWASI, "clock_time_get", []w.Type{w.I32, w.I64, w.I32}, []w.Type{w.I32})
	g.hook("price_response", w.I32Const(0), w.I64Const(0), w.I32Const(64), w.Call(clock), w.Drop,
		w.I32Const(64), w.I64Load(0), w.I64Const(1_795_262_401_000_000_000), w.I64Eq, w.If(g.answer(`{"verdict":"price","cost":"1"}`), w.Verdict, w.Return),
		g.answer(`{"verdict":"pass"}`), w.Verdict)
	theirs, ours := ask(t, g.Bytes(), "", fmt.Sprintf(`
- {name: then, hook: price_response, phase: final, now: %d, want: {cost: 1}}
- {name: another time, hook: price_response, phase: final, want: {answer: pass}}
`, 1_795_262_401_000))
	if theirs["then"]+theirs["another time"]+ours["then"] != "" {
		t.Errorf("%q, %q", theirs, ours)
	}
}
