package runtime_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// grower grows by pages in its second call, and charges how often its instance was called.
func grower(initially, pages int32) []byte {
	g := w.NewGuest()
	calls := g.Global(0)
	g.Func("_initialize", nil, nil, nil, w.I32Const(initially), w.MemoryGrow, w.Drop)
	g.Hook("price_response",
		w.GlobalGet(calls), w.I64Const(1), w.I64Add, w.GlobalSet(calls),
		w.GlobalGet(calls), w.I64Const(2), w.I64Eq, w.If(w.I32Const(pages), w.MemoryGrow, w.Drop),
		g.Host("set_i64", w.I32Const(int32(abi.FieldCost)), w.I32Const(0), w.GlobalGet(calls)), w.Drop, w.Verdict)
	return g.Bytes()
}

func TestAnInstanceThatGrewTooMuchIsReplaced(t *testing.T) {
	const half = 128 // pages of the 16 MiB that a policy has
	for _, test := range []struct {
		name             string
		initially, pages int32
		third            abi.NanoUSD // how often the instance of the third call has been called then
	}{
		{"by half of its memory", 0, half, 3},
		{"by more", 0, half + 1, 1},
		{"not counting what it took to come up", half + 50, 50, 3},
		{"in vain", half, half, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				set := load(t, runtime.Options{Log: slog.New(slog.NewTextHandler(&log, nil))},
					runtime.Policy{Name: "p", Wasm: grower(test.initially, test.pages)})
				var p abi.Pricing
				for range 3 {
					if answer := set.PriceResponse(&p); answer != abi.Given {
						t.Errorf("answer %d: growing is no failure", answer)
					}
					synctest.Wait() // until there is a new instance
				}
				if p.Cost != test.third {
					t.Errorf("the third call is the instance's %d., want %d.", p.Cost, test.third)
				}
				if replaced := strings.Contains(log.String(), "policy=p hook=price_response bytes=8454144"); replaced != (test.third == 1) {
					t.Errorf("logged %q", log.String())
				}
			})
		})
	}
}

// A memory that grows page by page keeps what it holds, what is new is zero, and it ends at the limit.
func TestAMemoryGrowsToItsLimit(t *testing.T) {
	const most = 24 // pages
	g := w.NewGuest()
	mark, refused := w.I64Const(0x5a11), w.I32Const(-1)
	g.Hook("price_response",
		w.I32Const(4096), mark, w.I64Store(0),
		w.Loop(w.I32Const(1), w.MemoryGrow, refused, w.I32Eq, w.I32Eqz, w.BrIf(0)), // as often as it can
		w.I32Const(4096), w.I64Load(0), mark, w.I64Eq, w.I32Eqz, w.If(w.Unreachable),
		w.I32Const(most<<16-8), w.I64Load(0), w.I64Eqz, w.I32Eqz, w.If(w.Unreachable),
		w.I32Const(most<<16-8), mark, w.I64Store(0),
		g.SetInt(abi.FieldCost, 0, 7), w.Verdict)
	policy := runtime.Policy{Name: "p", Wasm: g.Bytes(), Limits: runtime.Limits{Memory: most << 16}}
	var p abi.Pricing
	if answer := load(t, runtime.Options{}, policy).PriceResponse(&p); answer != abi.Given || p.Cost != 7 {
		t.Errorf("answer %d, cost %d", answer, p.Cost)
	}
	bad := runtime.Policy{Name: "p", Limits: runtime.Limits{Memory: most << 16},
		Wasm: priced(func(*w.Guest) []byte {
			return w.Code(w.I32Const(most), w.MemoryGrow, w.Drop, w.I32Const(most<<16), w.I64Load(0), w.Drop, w.Pass)
		})}
	if answer := load(t, runtime.Options{}, bad).PriceResponse(&p); answer != abi.Failed {
		t.Errorf("answer %d: it read behind its limit", answer)
	}
}
