package host

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/runtime"
)

func open(t *testing.T, policy runtime.Policy) *Host {
	t.Helper()
	h, err := Open(t.Context(), Options{Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return h
}

func readCases(t *testing.T, yaml string) []cases.Case {
	t.Helper()
	all, err := cases.Read("cases.yaml", []byte(yaml), abi.NumHooks)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// goldenFiles are the golden cases of the contract by the hook that they are about.
var goldenFiles = map[string]abi.Hook{
	"authenticate.json": abi.Authenticate, "host.json": abi.Authenticate, "state.json": abi.Authenticate, "choose_step.json": abi.ChooseStep,
	"price_response.json": abi.PriceResponse,
}

// The golden cases run here as they do for every SDK: a guest of the C SDK does what their tasks ask for.
func TestGoldenCases(t *testing.T) {
	kept, err := os.ReadFile("../../abi/testdata/guests/v1/c.wasm")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("the kept guest", func(t *testing.T) { runGolden(t, kept, 1) })
	t.Run("today's guest", func(t *testing.T) {
		for _, tool := range []string{"clang", "wasm-ld"} {
			if _, err := exec.LookPath(tool); err != nil && os.Getenv("SALLYPORT_TOOLCHAINS") != "all" {
				t.Skip(err)
			}
		}
		out := t.TempDir()
		if text, err := exec.CommandContext(t.Context(), "make", "-C", "../../sdk/conformance", "c", "OUT="+out).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		wasm, err := os.ReadFile(filepath.Join(out, "c.wasm"))
		if err != nil {
			t.Fatal(err)
		}
		runGolden(t, wasm, 1000)
	})
}

func runGolden(t *testing.T, wasm []byte, version int) {
	h := open(t, runtime.Policy{
		Name: "guest", Wasm: wasm, Script: []byte("decide()"), Config: []byte(`{"conformance": true}`), Limits: runtime.Limits{Fuel: 50_000_000},
		Grants: runtime.Grants{Identities: true, KV: true, Inputs: []string{"credential", "request.headers.x-team", "request.headers.x-absent"}},
	})
	for file, hook := range goldenFiles {
		text, err := os.ReadFile(filepath.Join("../../abi/testdata/conformance", file))
		if err != nil {
			t.Fatal(err)
		}
		all, err := cases.Read(file, text, hook)
		if err != nil {
			t.Fatal(err)
		}
		all = slices.DeleteFunc(all, func(c cases.Case) bool { return c.Since > version })
		results, err := h.Run(t.Context(), all)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if len(r.Differences) > 0 {
				t.Errorf("%s: %s:\n%s", file, r.Case.Name, strings.Join(r.Differences, "\n"))
			}
		}
	}
}

// run asks the cases and returns what each differs by, by name.
func run(t *testing.T, h *Host, all []cases.Case) map[string]string {
	t.Helper()
	results, err := h.Run(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	different := map[string]string{}
	for _, r := range results {
		different[r.Case.Name] = strings.Join(r.Differences, "\n")
	}
	return different
}

// remembers is a policy with a value, a counter and a window.
func remembers() []byte {
	g := w.NewGuest()
	g.Hook("price_response",
		g.Host("kv_set", g.Text("greeting"), g.Text("hello"), w.I64Const(0)), w.Drop,
		g.Host("kv_incr", g.Text("count"), w.I64Const(3), w.I64Const(0), w.I64Const(100), w.I64Const(0), w.I32Const(0)), w.Drop,
		g.Host("kv_window_add", g.Text("window"), w.I64Const(2), w.I64Const(5), w.I64Const(60_000), w.I32Const(0)), w.Drop,
		g.Host("kv_delete", g.Text("old")), w.Drop,
		w.Pass)
	return g.Bytes()
}

func TestState(t *testing.T) {
	h := open(t, runtime.Policy{Wasm: remembers(), Grants: runtime.Grants{KV: true}})
	different := run(t, h, readCases(t, `
- name: from nothing
  hook: price_response
  want: {answer: pass, state: {greeting: hello, count: 3, window: {used: 2, window_ms: 60000}}}
- name: from something
  hook: price_response
  state: {count: 4, old: x, other: {base64: /w==, ttl_ms: 1000}, window: {used: 4, window_ms: 60000}}
  want: {answer: pass, state: {greeting: hello, count: 7, other: {base64: /w==}, window: {used: 4, window_ms: 60000}}}
- name: wrong in each way
  hook: price_response
  want: {answer: pass, state: {greeting: hello, count: 4, more: 1}}
`))
	if different["from nothing"] != "" || different["from something"] != "" {
		t.Errorf("%s\n%s", different["from nothing"], different["from something"])
	}
	for _, word := range []string{
		`state "count": got "3", want "4"`, `state "more": got nothing, want "1"`, `state "window": got 2 used in a window of 1m0s, want nothing`,
	} {
		if !strings.Contains(different["wrong in each way"], word) {
			t.Errorf("%s\nlacks %s", different["wrong in each way"], word)
		}
	}
}

func TestVeto(t *testing.T) {
	g := w.NewGuest()
	g.Hook("authenticate", g.SetInt(abi.FieldDenyStatus, 0, 403), w.Verdict)
	h := open(t, runtime.Policy{Wasm: g.Bytes()})
	different := run(t, h, readCases(t, `
- name: denied
  hook: authenticate
  veto: true
  identity: {key_id: k1}
  want: {status: 403}
- name: not denied
  hook: authenticate
  veto: true
  identity: {key_id: k1}
  want: {identity: {key_id: k1}}
`))
	if different["denied"] != "" || !strings.Contains(different["not denied"], "status: got 403, want 0") {
		t.Errorf("%q", different)
	}
}

func TestFailuresNameTheGuestsFunctions(t *testing.T) {
	var m w.Module
	inner := m.Func("", nil, nil, nil, w.Unreachable)
	m.Func("price_response", nil, []w.Type{w.I32}, nil, w.Code(w.Call(inner), w.Verdict))
	const called = "divide_the_bill"
	names := append([]byte{1, byte(inner), byte(len(called))}, called...) // one function's name
	m.Custom("name", append([]byte{1, byte(len(names))}, names...))
	h := open(t, runtime.Policy{Wasm: m.Bytes()})
	different := run(t, h, readCases(t, "- {name: traps, hook: price_response, want: {cost: 1}}"))
	for _, word := range []string{"answer: got failed, want verdict", "trap: ", "at .divide_the_bill()"} {
		if !strings.Contains(different["traps"], word) {
			t.Errorf("%s\nlacks %s", different["traps"], word)
		}
	}
}

// burns is a policy that counts down from n.
func burns(n int32) []byte {
	var m w.Module
	m.Func("price_response", nil, []w.Type{w.I32}, []w.Type{w.I32}, w.Code(w.I32Const(n), w.LocalSet(0),
		w.Loop(w.LocalGet(0), w.I32Const(-1), w.I32Add, w.LocalSet(0), w.LocalGet(0), w.BrIf(0)), w.Pass))
	return m.Bytes()
}

func TestFuel(t *testing.T) {
	h := open(t, runtime.Policy{Wasm: burns(1000)})
	all := readCases(t, `
- {name: enough, hook: price_response, want: {answer: pass, fuel: 10000}}
- {name: too little, hook: price_response, want: {answer: pass, fuel: 5000}}
- {name: enough again, hook: price_response, want: {answer: pass, fuel: 10000}}
`)
	different := run(t, h, all)
	if different["enough"]+different["enough again"] != "" || !strings.Contains(different["too little"], "more than the 5000 units") {
		t.Errorf("%q", different)
	}
	f, err := h.Bench(t.Context(), &all[0], 1)
	if err != nil {
		t.Fatal(err)
	}
	if f.Answer != cases.Pass || f.Calls < 1 || f.Fuel < 5_000 || f.Fuel > 10_000 {
		t.Errorf("%+v", f)
	}
}

func TestAPolicyThatDoesNotLoadHasFailed(t *testing.T) {
	g := w.NewGuest()
	g.Hook("price_response", w.Pass)
	g.Func("configure", nil, []w.Type{w.I32}, nil, w.Code(g.Log(3, "tz is missing"), w.Error))
	h := open(t, runtime.Policy{Wasm: g.Bytes()})
	different := run(t, h, readCases(t, `
- {name: refused, hook: price_response, config: {a: 1}, want: {answer: failed, failure: tz is missing}}
- {name: not expected, hook: price_response, want: {answer: pass}}
`))
	if different["refused"] != "" || !strings.Contains(different["not expected"], "got failed, want pass") {
		t.Errorf("%q", different)
	}
}

// readsEverything logs which inputs of its hook have no value.
func readsEverything() []byte {
	g := w.NewGuest()
	for hook := range abi.NumHooks {
		var body [][]byte
		for _, f := range abi.Fields() {
			if f.Output || !f.Hooks.Has(hook) {
				continue
			}
			read := g.Host("get", w.I32Const(int32(f.ID)), w.I32Const(0), w.I32Const(0), w.I32Const(0))
			if f.Kind == abi.Named {
				read = g.Host("get_named", w.I32Const(int32(f.ID)), g.Text("x-team"), w.I32Const(0), w.I32Const(0))
			}
			body = append(body, read, w.I32Const(1), w.I32LtS, w.If(g.Log(1, f.Name)))
		}
		g.Hook(hook.String(), append(body, w.Pass)...)
	}
	return g.Bytes()
}

// A case can give a value to every input that the contract has.
func TestEveryInput(t *testing.T) {
	h := open(t, runtime.Policy{Wasm: readsEverything(), Grants: runtime.Grants{Inputs: []string{"credential", "request.headers.x-team"}}})
	const everywhere = `
  request:
    {id: i, method: POST, path: /p, format: openai, operation: chat, client_address: "::1", model: m, stream: true, headers: {x-team: a}}
  identity: {key_id: k, name: n, team: t, expires: 1, models: [m], labels: [a=b], limits: {rpm: 1}, default_model: m}
`
	different := run(t, h, readCases(t, `
- name: authenticate
  hook: authenticate`+everywhere+`
  veto: true
  credential: c
  want: {identity: {key_id: k, name: n, team: t, expires: 1, models: [m], labels: [a=b], limits: {rpm: 1}, default_model: m}, log: []}
- name: choose_step
  hook: choose_step`+everywhere+`
  chain: c
  attempt: 2
  last_step: 0
  strategy: sticky
  affinity: 7
  steps: [{model: a, provider: p}]
  want: {answer: pass, log: []}
- name: price_response
  hook: price_response`+everywhere+`
  phase: final
  provider: p
  provider_model: m
  price: [1]
  want: {answer: pass, log: []}
- name: a request without anything
  hook: price_response
  want: {answer: pass, log: []}
`))
	for name, difference := range different {
		if (difference == "") == (name == "a request without anything") {
			t.Errorf("%s: %s", name, difference)
		}
	}
}
