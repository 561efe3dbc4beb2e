package fuel_test

import (
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// work is a module with the two loads that metering is measured by: a plain loop and calls without one.
var work = guest{
	memory: []uint32{1, 1},
	functions: []function{
		{name: "empty", typ: fuel.FuncType{Results: fuel.I32}, code: "i32.const 0"},
		{name: "fib", typ: fuel.FuncType{Params: fuel.I32, Results: fuel.I32}, code: `
			local.get 0  i32.const 2  i32.lt_s
			if i32
			  local.get 0
			else
			  local.get 0  i32.const 1  i32.sub  call 1
			  local.get 0  i32.const 2  i32.sub  call 1
			  i32.add
			end`},
		{name: "loop", typ: fuel.FuncType{Params: fuel.I32, Results: fuel.I32}, locals: fuel.I32, code: `
			loop void
			  local.get 1  i32.const 5  i32.rotl  local.get 0  i32.xor  local.set 1
			  local.get 0  i32.const 1  i32.sub  local.tee 0  br_if 0
			end
			local.get 1`},
	},
}

// BenchmarkCall compares what a call takes unmetered, with fuel, and with wazero's own way of stopping a guest.
func BenchmarkCall(b *testing.B) {
	for _, load := range []struct {
		name, export string
		bin          func(testing.TB) []byte
		args         []uint64
	}{
		{"empty", "empty", func(testing.TB) []byte { return work.wasm() }, nil},
		{"fib30", "fib", func(testing.TB) []byte { return work.wasm() }, []uint64{30}},
		{"loop20M", "loop", func(testing.TB) []byte { return work.wasm() }, []uint64{20_000_000}},
		{"go-empty", "empty", goGuest, nil},
		{"go-json", "decode", goGuest, nil},
		{"go-fib20", "fib", goGuest, []uint64{20}},
	} {
		b.Run(load.name, func(b *testing.B) {
			bin := load.bin(b)
			b.Run("unmetered", func(b *testing.B) {
				benchmarkCall(b, wazero.NewRuntimeConfig(), bin, load.export, load.args)
			})
			b.Run("fuel", func(b *testing.B) {
				benchmarkCall(b, wazero.NewRuntimeConfig(), meter(b, bin, plenty), load.export, load.args)
			})
			b.Run("context", func(b *testing.B) {
				config := wazero.NewRuntimeConfig().WithCloseOnContextDone(true)
				benchmarkCall(b, config, bin, load.export, load.args)
			})
		})
	}
}

func benchmarkCall(b *testing.B, config wazero.RuntimeConfig, bin []byte, name string, args []uint64) {
	ctx := b.Context() // has a Done channel: what close-on-context-done is about
	mod := mustInstantiate(b, newRuntime(b, config), bin)
	f := mod.ExportedFunction(name)
	left, _ := mod.ExportedGlobal(fuel.Export).(api.MutableGlobal)
	stack := make([]uint64, max(1, len(args)))
	b.ReportAllocs()
	for b.Loop() {
		copy(stack, args)
		if left != nil {
			left.Set(10_000_000_000)
		}
		if err := f.CallWithStack(ctx, stack); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInstrument measures the rewriting of a Go guest.
func BenchmarkInstrument(b *testing.B) {
	bin := goGuest(b)
	var m *fuel.Module
	b.SetBytes(int64(len(bin)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if m, err = fuel.Instrument(bin, plenty, fuel.DefaultLimits()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(100*float64(len(m.Binary)-len(bin))/float64(len(bin)), "%growth")
}
