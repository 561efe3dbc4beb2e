package runtime_test

import (
	"math"
	"slices"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs/extism"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// portableGuest is a guest of the portable tier that is being assembled.
type portableGuest struct {
	w.Module
	functions map[string]w.Index
}

// portable assembles a guest with one hook, which has four i64 locals. The first 64 KiB of its memory but one are a's.
func portable(hook abi.Hook, body func(g *portableGuest) []byte) []byte {
	g := &portableGuest{functions: map[string]w.Index{}}
	types := func(list []abi.Type) (out []w.Type) {
		for _, t := range list {
			out = append(out, map[abi.Type]w.Type{abi.I32: w.I32, abi.I64: w.I64}[t])
		}
		return out
	}
	for _, f := range extism.New().Functions {
		g.functions[f.Name] = g.Import(runtime.ModuleExtism, f.Name, types(f.Params), types(f.Results))
	}
	g.Memory(2)
	g.Func(hook.String(), nil, []w.Type{w.I32}, []w.Type{w.I64, w.I64, w.I64, w.I64}, body(g))
	return g.Bytes()
}

// call calls a function of the host and leaves its result.
func (g *portableGuest) call(function string, args ...[]byte) []byte {
	return w.Code(slices.Concat(args...), w.Call(g.functions[function]))
}

// alloc allocates a block and keeps its handle in a local.
func (g *portableGuest) alloc(local uint32, length int64) []byte {
	return w.Code(g.call("alloc", w.I64Const(length)), w.LocalSet(local))
}

// put allocates a block for text, byte by byte.
func (g *portableGuest) put(local uint32, text string) []byte {
	code := g.alloc(local, int64(len(text)))
	for i := range len(text) {
		code = w.Code(code, g.call("store_u8", w.LocalGet(local), w.I64Const(int64(i)), w.I64Add, w.I32Const(int32(text[i]))))
	}
	return code
}

// answer makes text the output.
func (g *portableGuest) answer(text string) []byte {
	return w.Code(g.put(0, text), g.call("output_set", w.LocalGet(0), w.I64Const(int64(len(text)))))
}

// portables are the hostile guests of the portable tier.
func portables() []hostile {
	return slices.Concat(portableFlooders(), corrupters(), portableLiars())
}

// portableFlooders use up what the host does for them.
func portableFlooders() []hostile {
	num, get := w.I64Const, w.LocalGet
	forever := func(first, again func(g *portableGuest) []byte) []byte {
		return portable(abi.PriceResponse, func(g *portableGuest) []byte { return w.Code(first(g), w.Loop(again(g), w.Br(0)), w.Pass) })
	}
	nothing := func(*portableGuest) []byte { return nil }
	block := func(size int64) func(g *portableGuest) []byte {
		return func(g *portableGuest) []byte { return g.alloc(0, size) }
	}
	all := []hostile{
		{name: "allocates a byte at a time", wasm: forever(nothing, func(g *portableGuest) []byte { return g.alloc(0, 1) })},
		{name: "allocates a mebibyte at a time", wasm: forever(nothing, func(g *portableGuest) []byte { return g.alloc(0, 1<<20) })},
		{name: "allocates and frees", wasm: forever(nothing, func(g *portableGuest) []byte {
			return w.Code(g.alloc(0, 1<<20), g.call("free", get(0)))
		})},
		{name: "allocates and resets", wasm: forever(nothing, func(g *portableGuest) []byte {
			return w.Code(g.alloc(0, 1<<20), g.call("reset"))
		})},
		{name: "allocates more than there is", wasm: forever(nothing, func(g *portableGuest) []byte {
			return w.Code(g.alloc(0, -1), g.alloc(0, math.MinInt64), g.alloc(0, 1<<32))
		})},
		{name: "loads without end", wasm: forever(block(8), func(g *portableGuest) []byte { return w.Code(g.call("load_u8", get(0)), w.Drop) })},
		{name: "stores without end", wasm: forever(block(8), func(g *portableGuest) []byte { return g.call("store_u64", get(0), num(-1)) })},
		{name: "asks for its input without end", wasm: forever(nothing, func(g *portableGuest) []byte { return w.Code(g.call("input_length"), w.Drop) })},
		{name: "logs a mebibyte without end", wasm: forever(block(1<<20-64), func(g *portableGuest) []byte { return g.call("log_error", get(0)) })},
		{name: "complains without end", wasm: forever(block(1<<20-64), func(g *portableGuest) []byte { return g.call("error_set", get(0)) })},
		{name: "looks a name of a mebibyte up", wasm: forever(block(1<<20-64), func(g *portableGuest) []byte {
			return w.Code(g.call("config_get", get(0)), w.Drop)
		})},
		{name: "sets a variable without end", wasm: forever(nothing, func(g *portableGuest) []byte {
			return w.Code(g.alloc(0, 8), g.alloc(1, 60_000), g.call("var_set", get(0), get(1)))
		})},
	}
	for i := range all {
		all[i].want = failing(runtime.OutOfFuel)
	}
	return all
}

// corrupters go for the memory that they share with the host, and for what it keeps there, and then have it read some.
func corrupters() []hostile {
	num, get := w.I64Const, w.LocalGet
	const past32, most = 1 << 32, -1 // the latter as an unsigned number
	then := func(body func(g *portableGuest) []byte) []byte {
		return portable(abi.PriceResponse, func(g *portableGuest) []byte {
			return w.Code(g.put(0, "12345678"), body(g), g.call("log_info", get(0)), w.Pass)
		})
	}
	all := []hostile{
		{name: "writes below all blocks", wasm: then(func(g *portableGuest) []byte { return g.call("store_u64", num(9), num(most)) })},
		{name: "writes to offset 0", wasm: then(func(g *portableGuest) []byte { return g.call("store_u64", num(0), num(most)) })},
		{name: "writes over a block's end", wasm: then(func(g *portableGuest) []byte { return g.call("store_u64", get(0), num(1), w.I64Add, num(most)) })},
		{name: "writes past 32 bits", wasm: then(func(g *portableGuest) []byte { return g.call("store_u64", get(0), num(past32), w.I64Add, num(most)) })},
		{name: "writes at the end of 64 bits", wasm: then(func(g *portableGuest) []byte { return g.call("store_u64", num(-7), num(most)) })},
		{name: "writes a byte at the end of 64 bits", wasm: then(func(g *portableGuest) []byte { return g.call("store_u8", num(most), w.I32Const(1)) })},
		{name: "loads past the end", wasm: then(func(g *portableGuest) []byte { return w.Code(g.call("load_u64", get(0), num(1), w.I64Add), w.Drop) })},
		{name: "loads at the end of 64 bits", wasm: then(func(g *portableGuest) []byte { return w.Code(g.call("load_u64", num(-4)), w.Drop) })},
		{name: "loads what was never allocated", wasm: then(func(g *portableGuest) []byte { return w.Code(g.call("load_u8", num(1<<19)), w.Drop) })},
		{name: "reads past its input", wasm: then(func(g *portableGuest) []byte { return w.Code(g.call("input_load_u64", g.call("input_length")), w.Drop) })},
		{name: "reads its input from the end of 64 bits", wasm: then(func(g *portableGuest) []byte { return w.Code(g.call("input_load_u64", num(-4)), w.Drop) })},
		{name: "reads an input that it freed", wasm: then(func(g *portableGuest) []byte {
			return w.Code(g.call("free", g.call("input_offset")), g.call("input_load_u8", num(0)), w.Drop)
		})},
		{name: "reads an input that it reset", wasm: then(func(g *portableGuest) []byte {
			return w.Code(g.call("input_length"), w.Drop, g.call("reset"), g.call("input_load_u8", num(0)), w.Drop)
		})},
		{name: "makes all memory its input", wasm: then(func(g *portableGuest) []byte { return g.call("input_set", num(0), num(most)) })},
		{name: "makes all memory its output", wasm: then(func(g *portableGuest) []byte { return g.call("output_set", num(0), num(most)) })},
		{name: "has an output whose end wraps around", wasm: then(func(g *portableGuest) []byte { return g.call("output_set", get(0), num(-64)) })},
		{name: "has an output where there is no memory", wasm: then(func(g *portableGuest) []byte { return g.call("output_set", num(1<<40), num(8)) })},
		{name: "keeps more in variables than there is room", wasm: then(func(g *portableGuest) []byte {
			return w.Code(g.alloc(1, 8), g.alloc(2, 1<<16), g.call("var_set", get(1), get(2)))
		})},
	}
	for i := range all {
		all[i].want = failing(runtime.Trap)
	}
	return append(all,
		hostile{name: "frees a block twice", want: failing(runtime.NoFailure), wasm: then(func(g *portableGuest) []byte {
			return w.Code(g.alloc(1, 100), g.call("free", get(0)), g.call("free", get(0)), g.alloc(2, 8), g.call("free", get(0)))
		})},
		hostile{name: "forges handles", want: failing(runtime.NoFailure), wasm: then(forgesHandles)},
	)
}

// forgesHandles passes handles that are none to everything that takes one.
func forgesHandles(g *portableGuest) (code []byte) {
	for _, handle := range []int64{0, 1, 9, 63, 65, 77, 1 << 20, math.MaxUint32, 1 << 32, 1<<32 | 64, math.MaxInt64, math.MinInt64, -1, -8} {
		h := w.I64Const(handle)
		for _, function := range []string{"length", "length_unsafe", "config_get", "var_get"} {
			code = w.Code(code, g.call(function, h), w.Drop)
		}
		code = w.Code(code, g.call("free", h), g.call("log_debug", h), g.call("var_set", h, h), g.call("error_set", h))
	}
	return w.Code(code, g.call("error_set", w.I64Const(0)))
}

// portableLiars answer what is no answer.
func portableLiars() []hostile {
	says := func(hook abi.Hook, message string) []byte {
		return portable(hook, func(g *portableGuest) []byte { return w.Code(g.answer(message), w.Verdict) })
	}
	const authenticate, choose, price = abi.Authenticate, abi.ChooseStep, abi.PriceResponse
	all := []hostile{
		{name: "answers no JSON", wasm: says(price, "the cost is 5")},
		{name: "answers half a message", wasm: says(price, `{"verdict":"price","cost":"5"`)},
		{name: "answers two messages", wasm: says(price, `{"verdict":"price","cost":"5"}{"verdict":"price","cost":"6"}`)},
		{name: "answers a message 500 deep", wasm: says(price, strings.Repeat(`{"breakdown":`, 500))},
		{name: "answers NaN", wasm: says(price, `{"verdict":"price","cost":NaN}`)},
		{name: "answers a float", wasm: says(price, `{"verdict":"price","cost":"0.5"}`)},
		{name: "answers a cost of less than nothing", wasm: says(price, `{"verdict":"price","cost":"-5"}`)},
		{name: "answers a cost past 64 bits", wasm: says(price, `{"verdict":"price","cost":"99999999999999999999"}`)},
		{name: "answers a header in its message", wasm: says(authenticate, `{"verdict":"deny","status":403,"message":"x\r\nset-cookie: a=b"}`)},
		{name: "answers bytes that are no UTF-8", wasm: says(authenticate, "{\"verdict\":\"deny\",\"status\":403,\"message\":\"\xc3\x28\"}")},
		{name: "answers a status of success", wasm: says(authenticate, `{"verdict":"deny","status":200}`)},
		{name: "answers a name of another policy", wasm: says(authenticate, `{"verdict":"allow","identity":{"id":"x\u0000policy:other/y"}}`)},
		{name: "answers that a step is tried that is not there", wasm: says(choose, `{"verdict":"step","step":2}`)},
		{name: "answers that nothing is tried at the first attempt", wasm: says(choose, `{"verdict":"stop"}`)},
		{name: "answers another hook's verdict", wasm: says(price, `{"verdict":"deny","status":403}`)},
		{name: "answers nothing", wasm: portable(price, func(*portableGuest) []byte { return w.Verdict })},
		{name: "answers and takes it back", wasm: portable(price, func(g *portableGuest) []byte {
			return w.Code(g.answer(`{"verdict":"price","cost":"5"}`), g.call("reset"), w.Verdict)
		})},
		{name: "answers 65 KiB", wasm: portable(price, func(g *portableGuest) []byte {
			return w.Code(g.alloc(0, 65<<10), g.call("output_set", w.LocalGet(0), w.I64Const(65<<10)), w.Verdict)
		})},
		{name: "leaves its message to the next call", wasm: portableRemembers(), want: []runtime.Failure{runtime.NoFailure, runtime.BadVerdict}},
	}
	for i := range all {
		if all[i].want == nil {
			all[i].want = failing(runtime.BadVerdict)
		}
	}
	return append(all,
		hostile{name: "complains of a mebibyte", want: failing(runtime.GuestError), wasm: portable(price, func(g *portableGuest) []byte {
			return w.Code(g.alloc(0, 1<<20-64), g.call("error_set", w.LocalGet(0)), w.Verdict)
		})},
		hostile{name: "fails by a number of its own", want: failing(runtime.GuestError), wasm: portable(price, func(*portableGuest) []byte { return w.I32Const(-7) })},
	)
}

// portableRemembers answers and passes in its first call, and names the same output again in all others.
func portableRemembers() []byte {
	const message = `{"verdict":"price","cost":"5"}`
	return portable(abi.PriceResponse, func(g *portableGuest) []byte {
		calls, handle := g.Global(0), g.Global(0)
		return w.Code(w.GlobalGet(calls), w.I64Const(1), w.I64Add, w.GlobalSet(calls),
			w.GlobalGet(calls), w.I64Const(1), w.I64Eq, w.If(g.answer(message), w.LocalGet(0), w.GlobalSet(handle), w.Pass, w.Return),
			g.alloc(1, int64(len(message))), g.call("output_set", w.GlobalGet(handle), w.I64Const(int64(len(message)))), w.Verdict)
	})
}
