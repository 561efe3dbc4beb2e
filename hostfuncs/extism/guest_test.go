package extism_test

import (
	"encoding/binary"
	"slices"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs/extism"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
)

// guest is a guest of the portable tier that is being assembled.
type guest struct {
	w.Module
	functions map[string]w.Index
	free      int32 // where memory is not used yet
	shown     int32 // numbers that were kept to be shown
}

// What the guests' memory is used for.
const (
	showAt = 8 << 10 // numbers that show puts out
	textAt = 16 << 10
)

func newGuest() *guest {
	g := &guest{functions: map[string]w.Index{}, free: textAt}
	for _, f := range extism.New().Functions {
		g.functions[f.Name] = g.Import("extism:host/env", f.Name, types(f.Params), types(f.Results))
	}
	g.Memory(4)
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

// call calls a function of the host and leaves its result.
func (g *guest) call(function string, args ...[]byte) []byte {
	return append(slices.Concat(args...), w.Call(g.functions[function])...)
}

// hook adds a hook with i64 locals.
func (g *guest) hook(hook abi.Hook, locals int, body ...[]byte) *guest {
	g.Func(hook.String(), nil, []w.Type{w.I32}, slices.Repeat([]w.Type{w.I64}, locals), body...)
	return g
}

// put allocates a block that holds text, and keeps its handle in a local.
func (g *guest) put(local uint32, text string) []byte {
	code := w.Code(g.call("alloc", w.I64Const(int64(len(text)))), w.LocalSet(local))
	for at := 0; at < len(text); {
		where := w.Code(w.LocalGet(local), w.I64Const(int64(at)), w.I64Add)
		if rest := text[at:]; len(rest) >= 8 {
			code = w.Code(code, g.call("store_u64", where, w.I64Const(int64(binary.LittleEndian.Uint64([]byte(rest))))))
			at += 8
		} else {
			code = w.Code(code, g.call("store_u8", where, w.I32Const(int32(rest[0]))))
			at++
		}
	}
	return code
}

// answer puts text out, by way of a local.
func (g *guest) answer(local uint32, text string) []byte {
	return w.Code(g.put(local, text), g.call("output_set", w.LocalGet(local), w.I64Const(int64(len(text)))))
}

// keep keeps a number to be shown: an i64 that code leaves.
func (g *guest) keep(code ...[]byte) []byte {
	g.shown++
	return w.Code(w.I32Const(showAt+8*(g.shown-1)), slices.Concat(code...), w.I64Store(0))
}

// keepBool keeps whether an i64 that code leaves is 0.
func (g *guest) keepBool(code ...[]byte) []byte {
	return g.keep(slices.Concat(code...), w.I64Eqz, w.I64ExtendU)
}

// keepText keeps what a block holds of which the handle is in a local: its length, and its bytes as far as they are
// whole words.
func (g *guest) keepText(local uint32, words int) []byte {
	code := g.keep(g.call("length", w.LocalGet(local)))
	for i := range words {
		code = w.Code(code, g.keep(g.call("load_u64", w.LocalGet(local), w.I64Const(int64(8*i)), w.I64Add)))
	}
	return code
}

// show puts out all numbers that were kept, by way of a local.
func (g *guest) show(local uint32) []byte {
	code := w.Code(g.call("alloc", w.I64Const(int64(8*g.shown))), w.LocalSet(local))
	for i := range g.shown {
		code = w.Code(code, g.call("store_u64", w.LocalGet(local), w.I64Const(int64(8*i)), w.I64Add,
			w.I32Const(showAt+8*i), w.I64Load(0)))
	}
	return w.Code(code, g.call("output_set", w.LocalGet(local), w.I64Const(int64(8*g.shown))))
}

// withHook adds a hook with a few locals and returns the module.
func (g *guest) withHook(hook abi.Hook, body func(g *guest) []byte) []byte {
	return g.hook(hook, 6, body(g)).Bytes()
}
