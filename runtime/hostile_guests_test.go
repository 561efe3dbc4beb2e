package runtime_test

import (
	"math"
	"slices"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// failing is how a guest ends that ends the same way each time.
func failing(f runtime.Failure) []runtime.Failure { return []runtime.Failure{f} }

// spinners use up processor time and memory.
func spinners() []hostile {
	forever := func(body ...[]byte) []byte {
		return priced(func(*w.Guest) []byte { return w.Code(w.Loop(slices.Concat(body...), w.Br(0)), w.Pass) })
	}
	at := w.I32Const
	all := []hostile{
		{name: "spins", wasm: forever()},
		{name: "spins in nested loops", wasm: forever(w.Loop(w.Loop(w.I32Const(0), w.BrIf(0)), w.I32Const(0), w.BrIf(0)))},
		{name: "spins through a switch", wasm: forever(w.Block(w.Block(w.Block(at(64), w.I32Load(0), w.BrTable(0, 1, 2)))))},
		{name: "calls itself twice, 2^50 times", wasm: exponential()},
		{name: "recurses without end", wasm: endless(0)},
		{name: "recurses without end, with a thousand locals", wasm: endless(1000)},
		{name: "recurses mutually", wasm: mutual()},
		{name: "recurses through a table", wasm: indirect()},
		{name: "divides", wasm: forever(w.I64Const(math.MaxInt64), w.I64Const(3), w.I64DivU, w.Drop)},
		{name: "chases pointers", wasm: chase()},
		{name: "fills memory", wasm: forever(at(0), at(7), at(1<<16), w.MemoryFill)},
		{name: "copies memory", wasm: forever(at(1<<15), at(0), at(1<<15), w.MemoryCopy)},
		{name: "grows memory page by page", wasm: forever(at(1), w.MemoryGrow, w.Drop)},
		{name: "grows memory to the limit and fills it", wasm: forever(at(255), w.MemoryGrow, w.Drop, at(0), at(7), at(256<<16), w.MemoryFill)},
		{name: "asks for more memory than there is", wasm: forever(at(-1), w.MemoryGrow, w.Drop)},
	}
	for i := range all {
		all[i].want = failing(runtime.OutOfFuel)
	}
	return append(all, hostile{name: "grows memory in each call", want: failing(runtime.NoFailure),
		wasm: priced(func(*w.Guest) []byte { return w.Code(at(255), w.MemoryGrow, w.Drop, w.Pass) })})
}

// exponential has no loop, which is what wazero's own interruption watches.
func exponential() []byte {
	g := w.NewGuest()
	var call w.Index
	for i := range 50 {
		body := []byte{}
		if i > 0 {
			body = w.Code(w.Call(call), w.Call(call))
		}
		call = g.Func("", nil, nil, nil, body)
	}
	g.Hook("price_response", w.Call(call), w.Pass)
	return g.Bytes()
}

// firstOwn is the index of a guest's first function of its own.
func firstOwn() w.Index { return w.Index(len(abi.Functions())) }

func endless(locals int) []byte {
	g := w.NewGuest()
	g.Func("", nil, nil, slices.Repeat([]w.Type{w.I64}, locals), w.Call(firstOwn()))
	g.Hook("price_response", w.Call(firstOwn()), w.Pass)
	return g.Bytes()
}

func mutual() []byte {
	g := w.NewGuest()
	g.Func("", nil, nil, nil, w.Call(firstOwn()+1))
	g.Func("", nil, nil, nil, w.Call(firstOwn()))
	g.Hook("price_response", w.Call(firstOwn()), w.Pass)
	return g.Bytes()
}

func indirect() []byte {
	g := w.NewGuest()
	g.Table(2, firstOwn())
	g.Func("", nil, nil, nil, w.I32Const(0), g.CallIndirect())
	g.Hook("price_response", w.Call(firstOwn()), w.Pass)
	return g.Bytes()
}

// chase follows a chain of pointers that jumps all over 8 MiB.
func chase() []byte {
	g := w.NewGuest()
	const size, stride, mask = 1 << 23, 4096*509 + 64, 1<<23 - 1
	g.Func("_initialize", nil, nil, []w.Type{w.I32},
		w.I32Const(size>>16), w.MemoryGrow, w.Drop,
		w.Loop(
			w.LocalGet(0), w.LocalGet(0), w.I32Const(stride), w.I32Add, w.I32Const(mask), w.I32And, w.I32Store(0),
			w.LocalGet(0), w.I32Const(stride), w.I32Add, w.I32Const(mask), w.I32And, w.LocalSet(0),
			w.LocalGet(0), w.BrIf(0)))
	g.Func("price_response", nil, []w.Type{w.I32}, []w.Type{w.I32},
		w.Loop(w.LocalGet(0), w.I32Load(0), w.LocalSet(0), w.Br(0)), w.Pass)
	return g.Bytes()
}

// flooders use up what the host does for them.
func flooders() []hostile {
	at := w.I32Const
	forever := func(body func(g *w.Guest) []byte) []byte {
		return priced(func(g *w.Guest) []byte { return w.Code(w.Loop(body(g), w.Br(0)), w.Pass) })
	}
	big := func(field abi.FieldID) []byte { // sets a text as long as the memory, again and again
		return guest(abi.Authenticate, func(g *w.Guest) []byte {
			return w.Code(at(254), w.MemoryGrow, w.Drop, at(0), at('a'), at(255<<16), w.MemoryFill,
				w.Loop(g.Host("set", at(int32(field)), at(0), at(0), at(255<<16)), w.Drop, w.Br(0)), w.Pass)
		})
	}
	all := []hostile{
		{name: "floods the host", wasm: forever(func(g *w.Guest) []byte { return w.Code(g.Host("now"), w.Drop) })},
		{name: "floods the log", wasm: forever(func(g *w.Guest) []byte { return g.Log(abi.LogError, strings.Repeat("x", 2000)) })},
		{name: "prints gigabytes of empty lines", wasm: emptyLines(1)},
		{name: "prints gigabytes to standard error", wasm: emptyLines(2)},
		{name: "drains the random source", wasm: forever(func(g *w.Guest) []byte { return w.Code(g.Host("random", at(0), at(4096)), w.Drop) })},
		{name: "reads a field without end", wasm: forever(func(g *w.Guest) []byte {
			return w.Code(g.Host("get", at(int32(abi.FieldModel)), at(0), at(0), at(1<<15)), w.Drop)
		})},
		{name: "guesses credentials", wasm: guest(abi.Authenticate, func(g *w.Guest) []byte {
			return w.Code(w.Loop(g.Host("random", at(0), at(32)), w.Drop, g.Host("identity_lookup", at(0), at(32)), w.Drop, w.Br(0)), w.Pass)
		})},
		{name: "guesses time zones", wasm: guest(abi.Authenticate, func(g *w.Guest) []byte {
			return w.Code(w.Loop(g.Set(abi.FieldAllowBudgetTimezone, 0, "Europe/Atlantis"), w.Br(0)), w.Pass)
		})},
		{name: "sleeps for an hour, again and again", wasm: sleeper()},
	}
	for _, f := range abi.Fields() {
		if f.Output && f.Hooks.Has(abi.Authenticate) {
			all = append(all, hostile{name: "sets 16 MiB to " + f.Name, wasm: big(f.ID)})
		}
	}
	for i := range all {
		all[i].want = failing(runtime.OutOfFuel)
	}
	return all
}

// emptyLines hands the host the same 15 MiB of line ends 64 times in each call.
func emptyLines(stream int32) []byte {
	var m w.Module
	write := m.Import(abi.ModuleWASI, "fd_write", []w.Type{w.I32, w.I32, w.I32, w.I32}, []w.Type{w.I32})
	m.Memory(1)
	var vectors []byte
	for range 64 {
		vectors = append(vectors, 0, 0, 1, 0, 0, 0, 0xf0, 0) // 15 MiB, from the second page on
	}
	m.Data(0, vectors)
	at := w.I32Const
	m.Hook("price_response", at(254), w.MemoryGrow, w.Drop, at(1<<16), at('\n'), at(0xf0<<16), w.MemoryFill,
		w.Loop(at(stream), at(0), at(64), at(1024), w.Call(write), w.Drop, w.Br(0)), w.Pass)
	return m.Bytes()
}

func sleeper() []byte {
	var m w.Module
	poll := m.Import(abi.ModuleWASI, "poll_oneoff", []w.Type{w.I32, w.I32, w.I32, w.I32}, []w.Type{w.I32})
	m.Memory(1)
	at := w.I32Const
	m.Hook("price_response", w.Loop(at(0), at(128), at(1), at(64), w.Call(poll), w.Drop, w.Br(0)), w.Pass)
	return m.Bytes()
}

// liars answer what is no answer.
func liars() []hostile {
	const cost, breakdown, step = abi.FieldCost, abi.FieldCostBreakdown, abi.FieldChosenStep
	const id, message, status = abi.FieldAllowID, abi.FieldDenyMessage, abi.FieldDenyStatus
	type body = func(g *w.Guest) []byte
	verdict := func(hook abi.Hook, b body) []byte {
		return guest(hook, func(g *w.Guest) []byte { return w.Code(b(g), w.Verdict) })
	}
	deny := func(b body) []byte {
		return verdict(abi.Authenticate, func(g *w.Guest) []byte { return w.Code(g.SetInt(status, 0, 403), b(g)) })
	}
	own := func(b body) []byte {
		return verdict(abi.Authenticate, func(g *w.Guest) []byte { return w.Code(g.Set(id, 0, "x"), b(g)) })
	}
	price := func(b body) []byte { return verdict(abi.PriceResponse, b) }
	choose := func(b body) []byte { return verdict(abi.ChooseStep, b) }
	all := []hostile{
		{name: "sets nothing", wasm: price(func(*w.Guest) []byte { return nil })},
		{name: "charges less than nothing", wasm: price(func(g *w.Guest) []byte { return g.SetInt(cost, 0, -1) })},
		{name: "charges all there is", wasm: price(func(g *w.Guest) []byte { return g.SetInt(cost, 0, math.MaxInt64) })},
		{name: "breaks down more than the cost", wasm: price(func(g *w.Guest) []byte {
			return w.Code(g.SetInt(cost, 0, 1), g.SetInt(breakdown, 0, int64(abi.MaxCost)), g.SetInt(breakdown, 1, int64(abi.MaxCost)))
		})},
		{name: "chooses a step that is not there", wasm: choose(func(g *w.Guest) []byte { return g.SetInt(step, 0, 2) })},
		{name: "stops before the first attempt", wasm: choose(func(g *w.Guest) []byte { return g.SetInt(abi.FieldStop, 0, 1) })},
		{name: "smuggles a header", wasm: deny(func(g *w.Guest) []byte { return g.Set(message, 0, "x\r\nset-cookie: a=b") })},
		{name: "says too much", wasm: deny(func(g *w.Guest) []byte { return g.Set(message, 0, strings.Repeat("x", 60_000)) })},
		{name: "answers broken UTF-8", wasm: deny(func(g *w.Guest) []byte { return g.Set(message, 0, "x\xff") })},
		{name: "denies with a good status", wasm: verdict(abi.Authenticate, func(g *w.Guest) []byte { return g.SetInt(status, 0, 200) })},
		{name: "allows and denies", wasm: deny(func(g *w.Guest) []byte { return g.Set(id, 0, "x") })},
		{name: "allows whom no lookup found", wasm: verdict(abi.Authenticate, func(g *w.Guest) []byte {
			return g.SetInt(abi.FieldAllowHandle, 0, 1)
		})},
		{name: "allows by a forged handle", wasm: verdict(abi.Authenticate, func(g *w.Guest) []byte {
			return w.Code(lookUp(g), w.Drop, g.SetInt(abi.FieldAllowHandle, 0, 1<<40))
		})},
		{name: "names itself after another", wasm: own(func(g *w.Guest) []byte { return g.Set(id, 0, "x\x00policy:other/y") })},
		{name: "allows a thousand models", wasm: own(func(g *w.Guest) []byte {
			return w.Code(bulk(100, func(i int32) []byte { return g.Set(abi.FieldAllowModels, i, "m") }))
		})},
		{name: "has nine budgets", wasm: own(func(g *w.Guest) []byte {
			return bulk(9, func(i int32) []byte { return g.SetInt(abi.FieldAllowBudgetAmount, i, 1) })
		})},
		{name: "points past its memory", wasm: own(func(g *w.Guest) []byte {
			return w.Code(g.Host("set", w.I32Const(int32(abi.FieldAllowName)), w.I32Const(0), w.I32Const(-8), w.I32Const(16)), w.Drop)
		})},
		{name: "writes an input", wasm: own(func(g *w.Guest) []byte {
			return w.Code(g.Set(abi.FieldIdentityTeam, 0, "admin"), g.Set(abi.FieldAllowName, 0, "\n"))
		})},
		{name: "leaves its answer to the next call", wasm: remembers(), want: []runtime.Failure{runtime.NoFailure, runtime.BadVerdict}},
	}
	for i := range all {
		if all[i].want == nil {
			all[i].want = failing(runtime.BadVerdict)
		}
	}
	return append(all,
		hostile{name: "returns 3", want: failing(runtime.BadReturn), wasm: priced(func(*w.Guest) []byte { return w.I32Const(3) })},
		hostile{name: "returns the least number", want: failing(runtime.BadReturn), wasm: priced(func(*w.Guest) []byte { return w.I32Const(math.MinInt32) })},
		hostile{name: "says that it failed", want: failing(runtime.GuestError), wasm: priced(func(*w.Guest) []byte { return w.Error })},
		hostile{name: "forges pointers and lengths", want: failing(runtime.NoFailure), wasm: forger()},
	)
}

// bulk joins the code for 0 to n-1.
func bulk(n int32, code func(i int32) []byte) (all []byte) {
	for i := range n {
		all = w.Code(all, code(i))
	}
	return all
}

// remembers sets a cost and passes in its first call, and gives a verdict without setting one in all others.
func remembers() []byte {
	g := w.NewGuest()
	calls := g.Global(0)
	g.Hook("price_response",
		w.GlobalGet(calls), w.I64Const(1), w.I64Add, w.GlobalSet(calls),
		w.GlobalGet(calls), w.I64Const(1), w.I64Eq, w.If(g.SetInt(abi.FieldCost, 0, 5), w.Pass, w.Return),
		w.Verdict)
	return g.Bytes()
}

// forger calls every function with pointers and lengths from all corners, and passes: it got codes, and nothing else.
func forger() []byte {
	corners := []int32{0, 1, -1, math.MinInt32, math.MaxInt32, 1<<16 - 1, 1 << 16, -8}
	return priced(func(g *w.Guest) []byte {
		var body []byte
		for _, f := range abi.Functions() {
			for i, a := range corners {
				var args [][]byte
				for n, t := range f.Params {
					v := corners[(i+n*(i%3))%len(corners)]
					if n == 0 {
						v = a
					}
					if t == abi.I64 {
						args = append(args, w.I64Const(int64(v)<<31))
					} else {
						args = append(args, w.I32Const(v))
					}
				}
				body = w.Code(body, g.Host(f.Name, args...), w.Drop)
			}
		}
		return w.Code(body, w.Pass)
	})
}

// breakers trap, in all ways and at all times.
func breakers() []hostile {
	at := w.I32Const
	traps := func(code ...[]byte) []byte {
		return priced(func(*w.Guest) []byte { return w.Code(slices.Concat(code...), w.Pass) })
	}
	nobody := w.NewGuest()
	nobody.Table(4)
	nobody.Hook("price_response", at(2), nobody.CallIndirect(), w.Pass)
	all := []hostile{
		{name: "traps", wasm: traps(w.Unreachable)},
		{name: "reads past its memory", wasm: traps(at(-1), w.I32Load(0), w.Drop)},
		{name: "writes past its memory", wasm: traps(at(1<<16-2), at(0), w.I32Store(0))},
		{name: "reads past 32 bits", wasm: traps(at(-1), w.I32Load(math.MaxUint32), w.Drop)},
		{name: "fills past its memory", wasm: traps(at(1<<16-1), at(0), at(2), w.MemoryFill)},
		{name: "divides by zero", wasm: traps(at(1), at(0), w.I32DivS, w.Drop)},
		{name: "overflows a division", wasm: traps(at(math.MinInt32), at(-1), w.I32DivS, w.Drop)},
		{name: "calls nobody", wasm: nobody.Bytes()},
		{name: "meets a bug of the host", wasm: priced(func(g *w.Guest) []byte { return w.Code(g.Host("random", at(0), at(13)), w.Drop, w.Pass) })},
		{name: "answers and then traps", wasm: priced(func(g *w.Guest) []byte { return w.Code(g.SetInt(abi.FieldCost, 0, 1), w.Unreachable) })},
		{name: "traps in every third call", wasm: everyThird(), want: []runtime.Failure{runtime.NoFailure, runtime.NoFailure, runtime.Trap, runtime.NoFailure}},
		{name: "exits with 0 as if all were well", wasm: exits(0), want: failing(runtime.Exited)},
		{name: "exits with 1", wasm: exits(1), want: failing(runtime.Exited)},
	}
	for i := range all {
		if all[i].want == nil {
			all[i].want = failing(runtime.Trap)
		}
	}
	return all
}

// everyThird traps in every third call of an instance.
func everyThird() []byte {
	g := w.NewGuest()
	calls := g.Global(0)
	g.Hook("price_response",
		w.GlobalGet(calls), w.I64Const(1), w.I64Add, w.GlobalSet(calls),
		w.GlobalGet(calls), w.I64Const(3), w.I64RemU, w.I64Eqz, w.If(w.Unreachable), w.Pass)
	return g.Bytes()
}

func exits(code int32) []byte {
	var m w.Module
	exit := m.Import(abi.ModuleWASI, "proc_exit", []w.Type{w.I32}, nil)
	m.Hook("price_response", w.I32Const(code), w.Call(exit), w.Pass)
	return m.Bytes()
}
