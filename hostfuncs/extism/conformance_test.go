package extism_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// pair is a guest on both hosts.
type pair struct {
	here  *ours
	there *theirs
}

func loadPair(t testing.TB, wasm []byte, config map[string]string) pair {
	t.Helper()
	given, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return pair{load(t, runtime.Policy{Wasm: wasm, Config: given, Grants: everyGrant}), loadStock(t, wasm, config)}
}

// ask asks both the same.
func (p pair) ask(t testing.TB, q question) (here, there outcome) {
	t.Helper()
	message := messageOf(t, runtime.Policy{Grants: everyGrant}, q)
	_, here = p.here.ask(q)
	return here, p.there.call(q.hook().String(), message)
}

// compare asks both the same, twice, and wants the same to come of it.
func (p pair) compare(t testing.TB, q question) (here outcome) {
	t.Helper()
	for range 2 {
		var there outcome
		here, there = p.ask(t, q)
		if here.ended != there.ended || !here.ended && (here.output != there.output || here.complaint != there.complaint) ||
			!slices.Equal(here.logs, there.logs) {
			t.Errorf("here  %v (%s)\nthere %v", here, p.here.cause, there)
		}
	}
	return here
}

// pricing is a question, the smallest.
func pricing() question {
	return question{pricing: &abi.Pricing{Request: &abi.Request{ID: []byte("req_1")}, Phase: abi.Final, Model: "m"}}
}

// Every function does for a good guest what it does on Extism's own host. What differs on purpose is in the test below.
func TestEveryFunctionDoesWhatExtismDoes(t *testing.T) {
	num := w.I64Const
	get, set := w.LocalGet, w.LocalSet
	for _, test := range []struct {
		name string
		body func(g *guest) []byte
	}{
		{"the input by words", func(g *guest) []byte {
			return w.Code(g.keep(g.call("input_length")), g.keep(g.call("input_load_u64", num(0))), g.keep(g.call("input_load_u64", num(8))))
		}},
		{"the input by bytes", func(g *guest) []byte {
			return w.Code(g.keep(g.call("input_load_u8", num(0)), w.I64ExtendU), g.keep(g.call("input_load_u8", num(7)), w.I64ExtendU))
		}},
		{"the input as a block", func(g *guest) []byte {
			return w.Code(g.call("input_offset"), set(1), g.keepText(1, 4))
		}},
		{"an input that was freed", func(g *guest) []byte {
			return w.Code(g.call("free", g.call("input_offset")), g.keep(g.call("input_length")))
		}},
		{"an input of the guest's own", func(g *guest) []byte {
			return w.Code(g.put(1, "12345678abc"), g.call("input_set", get(1), num(11)),
				g.keep(g.call("input_length")), g.keep(g.call("input_load_u8", num(0)), w.I64ExtendU), g.keep(g.call("input_load_u8", num(10)), w.I64ExtendU))
		}},
		{"memory", func(g *guest) []byte {
			return w.Code(g.put(1, "some text, longer than a word"), g.keepText(1, 3),
				g.keep(g.call("load_u8", get(1), num(28), w.I64Add), w.I64ExtendU), g.keep(g.call("length_unsafe", get(1))))
		}},
		{"memory of no bytes", func(g *guest) []byte {
			return w.Code(g.keep(g.call("alloc", num(0))), g.keep(g.call("length", num(0))), g.keep(g.call("length_unsafe", num(0))))
		}},
		{"memory that was freed", func(g *guest) []byte {
			return w.Code(g.put(1, "12345678"), g.call("free", get(1)), g.keep(g.call("length", get(1))), g.call("free", get(1)),
				g.put(2, "abcdefgh"), g.keepText(2, 1))
		}},
		{"handles that are none", func(g *guest) []byte {
			return w.Code(g.put(1, "12345678"), g.keep(g.call("length", get(1), num(1), w.I64Add)), g.keep(g.call("length", num(1<<40))),
				g.call("free", num(1)), g.call("free", num(0)), g.keepText(1, 1))
		}},
		{"a reset", func(g *guest) []byte {
			return w.Code(g.put(1, "12345678"), g.call("error_set", get(1)), g.call("output_set", get(1), num(8)), g.call("reset"),
				g.keep(g.call("length", get(1))), g.keep(g.call("input_length")), g.keep(g.call("error_get")), g.keep(g.call("output_length")))
		}},
		{"an output that is set twice", func(g *guest) []byte {
			return w.Code(g.answer(1, "first"), g.keep(g.call("output_length")), g.keepBool(g.call("output_offset")))
		}},
		{"an error", func(g *guest) []byte {
			return w.Code(g.put(1, "it did not work"), g.call("error_set", get(1)), g.keepBool(g.call("error_get")))
		}},
		{"an error that is taken back", func(g *guest) []byte {
			return w.Code(g.put(1, "it did not work"), g.call("error_set", get(1)), g.call("error_set", num(0)), g.keep(g.call("error_get")))
		}},
		{"an error that was freed", func(g *guest) []byte {
			return w.Code(g.put(1, "it did not work"), g.call("error_set", get(1)), g.call("free", get(1)))
		}},
		{"the configuration", func(g *guest) []byte {
			return w.Code(g.put(1, "zone"), g.call("config_get", get(1)), set(2), g.keepText(2, 1), g.keep(g.call("length", get(1))),
				g.put(3, "none"), g.keep(g.call("config_get", get(3))), g.keep(g.call("config_get", num(0))))
		}},
		{"variables", func(g *guest) []byte {
			return w.Code(g.put(1, "name"), g.put(2, "12345678"), g.call("var_set", get(1), get(2)),
				g.keep(g.call("length", get(1))), g.keep(g.call("length", get(2))), // both were freed
				g.put(1, "name"), g.call("var_get", get(1)), set(3), g.keepText(3, 1), g.keep(g.call("length", get(1))),
				g.put(1, "name"), g.call("var_set", get(1), num(0)),
				g.put(1, "name"), g.keep(g.call("var_get", get(1))))
		}},
		{"the log", func(g *guest) []byte {
			var code []byte
			for _, level := range []string{"trace", "debug", "info", "warn", "error"} {
				code = w.Code(code, g.put(1, "said at "+level), g.call("log_"+level, get(1)), g.keep(g.call("length", get(1))))
			}
			return w.Code(code, g.keep(g.call("get_log_level"), w.I64ExtendU), g.call("log_info", num(0)))
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newGuest()
			body := test.body(g)
			wasm := g.hook(abi.PriceResponse, 6, body, g.show(0), w.Verdict).Bytes()
			loadPair(t, wasm, map[string]string{"zone": "Europe/Berlin"}).compare(t, pricing())
		})
	}
}

// sequence is a random program over five blocks, in locals 1 to 5.
func sequence(t *rapid.T, g *guest) []byte {
	const blocks = 5
	var size [blocks + 1]int64 // 0: not allocated, and the local is 0
	lines := 0
	var code []byte
	do := func(more ...[]byte) { code = w.Code(code, slices.Concat(more...)) }
	for range rapid.IntRange(1, 40).Draw(t, "steps") {
		b := rapid.Uint32Range(1, blocks).Draw(t, "block")
		handle := w.LocalGet(b)
		at := func(width int64) []byte {
			return w.Code(handle, w.I64Const(rapid.Int64Range(0, size[b]-width).Draw(t, "at")), w.I64Add)
		}
		switch op := rapid.SampledFrom([]string{"alloc", "free", "length", "u8", "u64", "log", "var"}).Draw(t, "op"); {
		case op == "alloc" && size[b] == 0:
			size[b] = rapid.Int64Range(1, 300).Draw(t, "size")
			do(g.call("alloc", w.I64Const(size[b])), w.LocalSet(b), g.keepBool(handle))
			for i := int64(0); i < size[b]; i++ { // what was freed before is not cleared, here or there
				do(g.call("store_u8", handle, w.I64Const(i), w.I64Add, w.I32Const(int32(i%251))))
			}
		case size[b] == 0 || op == "free" || op == "length":
			do(g.keep(g.call("length", handle)))
			if op == "free" {
				do(g.call("free", handle), g.keep(g.call("length", handle)), w.I64Const(0), w.LocalSet(b))
				size[b] = 0
			}
		case op == "u64" && size[b] >= 8:
			do(g.call("store_u64", at(8), w.I64Const(rapid.Int64().Draw(t, "value"))), g.keep(g.call("load_u64", at(8))))
		case op == "log" && lines < 16: // more are not logged here
			lines++
			do(g.put(0, "a line"), g.call("log_info", w.LocalGet(0)))
		case op == "var":
			do(g.put(0, "v"), g.call("var_set", w.LocalGet(0), handle), g.put(0, "v"), g.call("var_get", w.LocalGet(0)), w.LocalSet(b), g.keepText(b, 0))
		default:
			do(g.call("store_u8", at(1), w.I32Const(rapid.Int32().Draw(t, "value"))), g.keep(g.call("load_u8", at(1)), w.I64ExtendU))
		}
	}
	return code
}

// Whatever a good guest does with its memory, it finds there what it finds on Extism's own host.
func TestMemoryIsAsOnExtism(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles two modules for each of a hundred programs")
	}
	rapid.Check(t, func(r *rapid.T) {
		g := newGuest()
		body := sequence(r, g)
		loadPair(t, g.hook(abi.PriceResponse, 6, body, g.show(0), w.Verdict).Bytes(), nil).compare(t, pricing())
		if t.Failed() {
			r.Fatal("see above")
		}
	})
}

// What differs from Extism's own host, all of it on purpose.
func TestWhatDiffersFromExtism(t *testing.T) {
	get, num := w.LocalGet, w.I64Const
	for _, test := range []struct {
		name string
		body func(g *guest) []byte
		here func(o outcome) bool
	}{
		{"variables last for a call, so that no identity's reach another's",
			func(g *guest) []byte {
				return w.Code(g.put(1, "name"), g.call("var_get", get(1)), w.LocalSet(2), g.keepText(2, 0),
					g.put(1, "name"), g.put(2, "12345678"), g.call("var_set", get(1), get(2)))
			},
			func(o outcome) bool { return !o.ended && o.output == strings.Repeat("\x00", 8) }},
		{"a request over HTTP answers nothing",
			func(g *guest) []byte {
				request := g.Import("extism:host/env", "http_request", []w.Type{w.I64, w.I64}, []w.Type{w.I64})
				status := g.Import("extism:host/env", "http_status_code", nil, []w.Type{w.I32})
				return w.Code(g.put(1, `{"url":"http://192.0.2.1"}`), g.keep(get(1), num(0), w.Call(request)),
					g.keep(w.Call(status), w.I64ExtendU))
			},
			func(o outcome) bool { return !o.ended && o.output == strings.Repeat("\x00", 16) }},
		{"reading what was never allocated ends the call",
			func(g *guest) []byte { return g.keep(g.call("load_u64", num(64_000))) },
			func(o outcome) bool { return o.ended }},
		{"reading past the input ends the call",
			func(g *guest) []byte { return g.keep(g.call("input_load_u64", num(4000))) },
			func(o outcome) bool { return o.ended }},
		{"an output outside of the memory ends the call",
			func(g *guest) []byte { return g.call("output_set", num(64_000), num(8)) },
			func(o outcome) bool { return o.ended }},
		{"what the guest makes its input is that also for words",
			func(g *guest) []byte {
				return w.Code(g.put(1, "12345678"), g.call("input_set", get(1), num(8)), g.keep(g.call("input_load_u64", num(0))))
			},
			func(o outcome) bool { return o.output == "12345678" }},
		{"handles have 64 bits",
			func(g *guest) []byte {
				return w.Code(g.put(1, "12345678"), g.keep(g.call("load_u64", get(1), num(1<<32), w.I64Add)))
			},
			func(o outcome) bool { return o.ended }},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newGuest()
			body := test.body(g)
			p := loadPair(t, g.hook(abi.PriceResponse, 6, body, g.show(0), w.Verdict).Bytes(), nil)
			differs := false
			for range 2 { // some show in the second call
				here, there := p.ask(t, pricing())
				if !test.here(here) {
					t.Errorf("here  %v (%s)\nthere %v", here, p.here.cause, there)
				}
				differs = differs || here.ended != there.ended || here.output != there.output
			}
			if !differs {
				t.Error("there is no difference any more")
			}
		})
	}
}
