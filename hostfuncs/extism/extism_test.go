package extism_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs/extism"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// shown asks a guest that shows numbers and returns them.
func shown(t *testing.T, policy runtime.Policy, body func(g *guest) []byte) []uint64 {
	t.Helper()
	g := newGuest()
	code := body(g)
	policy.Wasm = g.hook(abi.PriceResponse, 6, code, g.show(0), w.Verdict).Bytes()
	o := load(t, policy)
	_, out := o.ask(pricing())
	numbers := make([]uint64, 0, len(out.output)/8)
	for at := 0; at+8 <= len(out.output); at += 8 {
		numbers = append(numbers, binary.LittleEndian.Uint64([]byte(out.output[at:])))
	}
	if len(numbers) != int(g.shown) {
		t.Fatalf("%d numbers of %d: %s", len(numbers), g.shown, o.cause)
	}
	return numbers
}

func TestTheConfiguration(t *testing.T) {
	const config = `{"text":"a","escaped":"\u00e9\n","number":1.50,"yes":true,"none":null,"empty":"","object":{"a":[1]}}`
	for name, want := range map[string]string{
		"text": "a", "escaped": "é\n", "number": "1.50", "yes": "true", "none": "", "empty": "", "object": `{"a":[1]}`, "missing": "", "": "",
	} {
		got := shown(t, runtime.Policy{Config: []byte(config)}, func(g *guest) []byte {
			return w.Code(g.put(1, name), g.call("config_get", w.LocalGet(1)), w.LocalSet(2), g.keepText(2, 0),
				w.LocalGet(2), w.I64Eqz, w.I32Eqz, w.If(g.call("log_info", w.LocalGet(2))))
		})
		if got[0] != uint64(len(want)) {
			t.Errorf("%q has %d bytes, want %q", name, got[0], want)
		}
	}
	for _, none := range []string{"", "null", "[1]", `"text"`} {
		got := shown(t, runtime.Policy{Config: []byte(none)}, func(g *guest) []byte {
			return w.Code(g.put(1, "text"), g.keep(g.call("config_get", w.LocalGet(1))))
		})
		if got[0] != 0 {
			t.Errorf("of %q it has a member", none)
		}
	}
}

// A guest that refuses its configuration reads it as its input, and says why by an error.
func TestConfigure(t *testing.T) {
	g := newGuest()
	g.hook(abi.Authenticate, 0, w.Pass)
	g.Func(abi.ExportConfigure, nil, []w.Type{w.I32}, []w.Type{w.I64},
		g.call("input_load_u64", w.I64Const(0)), w.I64Const(int64(binary.LittleEndian.Uint64([]byte(`{"a":12}`)))), w.I64Eq,
		w.If(w.I32Const(0), w.Return),
		g.put(0, "a must be 12"), g.call("error_set", w.LocalGet(0)), w.I32Const(3))
	r, err := runtime.New(t.Context(), runtime.Options{Portable: extism.New()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(context.WithoutCancel(t.Context()))
	for config, says := range map[string]string{
		`{"a":12}`: "", `{"a":13}`: `configure returned 3 and said "a must be 12"`, `{}`: "8 bytes at 0 of its input of 8 bytes",
	} {
		set, err := r.Load(t.Context(), []runtime.Policy{{Name: "p", Wasm: g.Bytes(), Config: []byte(config)}})
		if err == nil {
			set.Close()
		}
		if config == `{}` {
			says = `configure returned 3` // blanks fill it up to a word
		}
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", config, err, says)
		}
	}
}

func TestTheLogLevel(t *testing.T) {
	for _, test := range []struct {
		least slog.Level
		want  int32
	}{
		{slog.LevelDebug, 0}, {slog.LevelInfo, 2}, {slog.LevelWarn, 3}, {slog.LevelError, 4}, {slog.LevelError + 1, math.MaxInt32},
	} {
		var got int32
		wasm := newGuest().withHook(abi.PriceResponse, func(g *guest) []byte { return w.Code(g.call("get_log_level"), w.Drop, w.Pass) })
		p := extism.New()
		for i, f := range p.Functions {
			p.Functions[i].Call = func(c *runtime.Call, stack []uint64) {
				f.Call(c, stack)
				got = int32(stack[0])
			}
		}
		log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: test.least}))
		pricing().ask(loadWith(t, runtime.Policy{Wasm: wasm}, runtime.Options{Portable: p, Log: log}))
		if got != test.want {
			t.Errorf("from %s on: %d, want %d", test.least, got, test.want)
		}
	}
}

// A mebibyte may be allocated in a call, what is freed at its end counts only once, and a handle finds nothing that is not
// its own before all of it was used.
func TestHowMuchMayBeAllocated(t *testing.T) {
	alloc := func(g *guest, local uint32, size int64) []byte {
		return w.Code(g.call("alloc", w.I64Const(size)), w.LocalSet(local))
	}
	get := w.LocalGet
	got := shown(t, runtime.Policy{Limits: runtime.Limits{Fuel: 1 << 30}}, func(g *guest) []byte {
		return w.Code(
			g.keep(g.call("alloc", w.I64Const(1<<20+1))), g.keep(g.call("alloc", w.I64Const(math.MaxInt64))), g.keep(g.call("alloc", w.I64Const(-1))),
			alloc(g, 1, 1<<19), alloc(g, 2, 1<<18), alloc(g, 3, 1<<17), g.keepText(1, 0), g.keepText(2, 0), g.keepText(3, 0),
			g.call("free", get(3)), g.call("free", get(1)),
			alloc(g, 4, 1<<18), g.keepText(4, 0), g.keepText(3, 0), // in the room of the third
			alloc(g, 5, 1<<18), g.keep(get(5)), // that of the first is not at the end
			g.call("free", get(2)), g.call("free", get(4)), alloc(g, 5, 1<<19), g.keepText(5, 0),
		)
	})
	want := []uint64{0, 0, 0, 1 << 19, 1 << 18, 1 << 17, 1 << 18, 1 << 18, 0, 1 << 19}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// What one call leaves in the memory, the next one does not find.
func TestNothingIsLeftForTheNextCall(t *testing.T) {
	g := newGuest()
	body := w.Code(g.call("alloc", w.I64Const(64)), w.LocalSet(1), g.keepText(1, 8), g.keep(g.call("error_get")), g.keep(g.call("output_length")),
		g.put(2, strings.Repeat("secret! ", 100)), g.put(3, "name"), g.call("var_set", w.LocalGet(3), w.LocalGet(2)),
		g.put(3, "name"), g.call("var_get", w.LocalGet(3)), w.LocalSet(2), g.keepText(2, 0),
		g.call("store_u64", w.LocalGet(1), w.I64Const(-1)))
	o := load(t, runtime.Policy{Wasm: g.hook(abi.PriceResponse, 6, body, g.show(0), w.Verdict).Bytes()})
	_, first := o.ask(pricing())
	for range 3 {
		if _, next := o.ask(pricing()); next.output != first.output || first.output == "" {
			t.Errorf("%q, at first %q", next.output, first.output)
		}
	}
}

// FuzzFunctions calls any functions with any arguments, one after the other. None may panic, or touch what is not the
// call's.
func FuzzFunctions(f *testing.F) {
	f.Add([]byte("\x00\x10\x00\x06\x40\x00\x09\x40\x10"))
	f.Add([]byte("\x00\xff\x01\x40\x01\x40\x0f\x40\xff\x10\x40\x00\x16\x40\x40\x15\x40\x00"))
	f.Add([]byte("\x0a\x00\x00\x0b\x00\x00\x0c\xff\xff\x0d\x08\x00\x0e\xf8\x00\x04\x00\x00\x0e\x00\x00"))
	functions := extism.New().Functions
	var steps []byte
	var panicked any
	ask := asker(f, abi.PriceResponse, func(c *runtime.Call) {
		defer func() { panicked = recover() }()
		stack := make([]uint64, 2)
		for rest := steps; len(rest) >= 3; rest = rest[3:] {
			stack[0], stack[1] = argument(rest[1]), argument(rest[2])
			functions[int(rest[0])%len(functions)].Call(c, stack)
		}
	})
	f.Fuzz(func(t *testing.T, given []byte) {
		steps = given
		if ask(pricing()); panicked != nil {
			t.Errorf("%x: %v", given, panicked)
		}
	})
}

// argument makes a number of a byte, near where something begins or ends.
func argument(b byte) uint64 {
	bases := [...]uint64{0, 64, 1 << 16, 1 << 20, 1 << 32, 1 << 63, math.MaxUint64, 128}
	return bases[b>>5] + uint64(b&31) - 8
}
