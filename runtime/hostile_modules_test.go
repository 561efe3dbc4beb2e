package runtime_test

import (
	"slices"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// with assembles a module that serves price_response, and whatever build adds.
func with(build func(m *w.Module)) []byte {
	return module(func(m *w.Module) {
		build(m)
		m.Hook("price_response", w.Pass)
	})
}

// misfits do not come up.
func misfits() []hostile {
	coming := func(export string, body ...[]byte) []byte {
		return with(func(m *w.Module) {
			f := m.Func("", nil, nil, nil, body...)
			if export == "" {
				m.Start(f)
				return
			}
			m.Export(export, w.Func, f)
		})
	}
	spin := w.Loop(w.Br(0))
	return []hostile{
		{name: "traps in its start section", wasm: coming("", w.Unreachable), refused: "instantiating"},
		{name: "spins in its start section", wasm: coming("", spin), refused: "instantiating"},
		{name: "traps in _initialize", wasm: coming("_initialize", w.Unreachable), refused: "running _initialize: trap"},
		{name: "spins in _initialize", wasm: coming("_initialize", spin), refused: "running _initialize: fuel"},
		{name: "floods the host in _initialize", refused: "running _initialize: fuel", wasm: func() []byte {
			g := w.NewGuest()
			g.Func("_initialize", nil, nil, nil, w.Loop(g.Host("now"), w.Drop, w.Br(0)))
			g.Hook("price_response", w.Pass)
			return g.Bytes()
		}()},
		{name: "prints from its first function to its last", refused: "the guest printed: x",
			wasm: printing("_initialize", 2, strings.Repeat("x", 60_000), 3, w.Unreachable)},
		{name: "refuses every configuration", refused: "refused its configuration", wasm: func() []byte {
			g := w.NewGuest()
			g.Hook("configure", w.I32Const(-1))
			g.Hook("price_response", w.Pass)
			return g.Bytes()
		}()},
		{name: "begins with more memory than it may have", wasm: with(func(m *w.Module) { m.Memory(1 << 16) }), refused: "limits.memory is 16777216"},
		{name: "has data outside its memory", wasm: with(func(m *w.Module) { m.Memory(1); m.Data(1<<16-1, []byte("xy")) }), refused: "instantiating"},
		{name: "has data at the end of 32 bits", wasm: with(func(m *w.Module) { m.Memory(1); m.Data(-1, []byte("x")) }), refused: "instantiating"},
	}
}

// oddModules are refused for what they are, before anything of them is compiled. The last ones are odd, and no harm.
func oddModules() []hostile {
	code := func(body ...[]byte) []byte { return with(func(m *w.Module) { m.Func("", nil, nil, nil, body...) }) }
	checking := []hostile{
		{name: "is a shell script", wasm: []byte("#!/bin/sh\nrm -rf /\n"), refused: "no WebAssembly module"},
		{name: "is a component", wasm: []byte("\x00asm\x0d\x00\x01\x00"), refused: "no WebAssembly module"},
		{name: "is too large", wasm: with(func(m *w.Module) { m.Custom("x", make([]byte, 17<<20)) }), refused: "over the limit"},
		{name: "has a function that is too large", wasm: code(slices.Repeat([]byte{0x01}, 200<<10)), refused: "over the limit"},
		{name: "has a million locals", wasm: with(func(m *w.Module) {
			m.Func("", nil, nil, slices.Repeat([]w.Type{w.I64}, 2000))
		}), refused: "over the limit"},
		{name: "nests ten thousand blocks", wasm: code(slices.Repeat([]byte{0x02, 0x40}, 10_000), slices.Repeat(w.End, 10_000)), refused: "over the limit"},
		{name: "has a switch of a hundred thousand cases", wasm: code(w.I32Const(0), w.BrTable(make([]uint32, 150_000)...)), refused: "over the limit"},
		{name: "has a thousand parameters", wasm: with(func(m *w.Module) { m.Func("", slices.Repeat([]w.Type{w.I32}, 1000), nil, nil) }), refused: "over the limit"},
		{name: "has a huge table", wasm: with(func(m *w.Module) { m.Table(10_000_000) }), refused: "over the limit"},
		{name: "shares its memory", wasm: with(func(m *w.Module) { m.MemoryOfType(3, 1, 2) }), refused: "unsupported feature"},
		{name: "has 64-bit memory", wasm: with(func(m *w.Module) { m.MemoryOfType(4, 1) }), refused: "unsupported feature"},
		{name: "has two memories", wasm: with(func(m *w.Module) { m.MemoryOfType(0, 1); m.MemoryOfType(0, 1) }), refused: "unsupported feature"},
		{name: "makes tail calls", wasm: code([]byte{0x12, 0x00}), refused: "unsupported feature"},
		{name: "throws", wasm: code([]byte{0x08, 0x00}), refused: "unsupported feature"},
		{name: "waits for another thread", wasm: code(w.I32Const(0), []byte{0xfe, 0x03, 0x00}), refused: "unsupported feature"},
		{name: "refills its fuel", wasm: code(w.I64Const(1<<62), w.GlobalSet(0)), refused: "malformed module"},
		{name: "brings fuel of its own", wasm: with(func(m *w.Module) { m.Export("sallyport:fuel", w.Global, m.Global(1<<62)) }), refused: "reserved name"},
		{name: "imports a file system", wasm: with(func(m *w.Module) { m.Import("env", "open", nil, nil) }), refused: "imports env.open"},
		{name: "imports an older WASI", wasm: with(func(m *w.Module) { m.Import("wasi_unstable", "fd_read", nil, nil) }), refused: "imports wasi_unstable.fd_read"},
		{name: "imports another's memory", wasm: with(func(m *w.Module) { m.ImportMemory(abi.ModulePolicy, "memory", 1) }), refused: "only functions are served"},
		{name: "lies about the type of an import", wasm: with(func(m *w.Module) {
			m.Import(abi.ModulePolicy, "set", nil, []w.Type{w.I64})
		}), refused: "but it is"},
		{name: "lies about the type of a hook", wasm: module(func(m *w.Module) {
			m.Func("authenticate", []w.Type{w.I64}, []w.Type{w.I32}, nil, w.Pass)
		}), refused: "but it must be"},
		{name: "does not typecheck", wasm: code(w.I64Const(1), w.I32Eqz, w.Drop), refused: "compiling the module"},
	}
	return append(checking,
		hostile{name: "is full of custom sections", want: failing(runtime.NoFailure), wasm: with(func(m *w.Module) {
			for range 5000 {
				m.Custom("sallyport", []byte("{}"))
			}
		})},
		hostile{name: "has a table entry outside its table", want: failing(runtime.NoFailure), wasm: with(func(m *w.Module) {
			f := m.Func("", nil, nil, nil)
			m.Table(1, f, f) // wazero leaves the table empty, where the specification has it trap
		})},
		hostile{name: "wants everything of WASI", want: failing(runtime.NoFailure), wasm: everyFile()},
		hostile{name: "makes a host function its hook", want: failing(runtime.BadReturn), wasm: module(func(m *w.Module) {
			m.Export("price_response", w.Func, m.Import(abi.ModulePolicy, "later", nil, []w.Type{w.I32}))
		})},
	)
}

// everyFile tries to open, list, remove, connect and kill. Each answers that there is no such thing.
func everyFile() []byte {
	var m w.Module
	var body []byte
	names := []string{"path_open", "path_unlink_file", "fd_readdir", "sock_accept", "sock_send", "proc_raise", "fd_read", "path_symlink"}
	for _, name := range names {
		f := m.Import(abi.ModuleWASI, name, nil, []w.Type{w.I32})
		body = w.Code(body, w.Call(f), w.I32Const(52), w.I32Eq, w.I32Eqz, w.If(w.Unreachable))
	}
	m.Hook("price_response", body, w.Pass)
	return m.Bytes()
}
