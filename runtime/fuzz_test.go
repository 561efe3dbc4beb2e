package runtime_test

import (
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// FuzzLoad loads whatever bytes as a policy. Either that is refused, or the policy can be asked and its time is
// bounded: the fuzzing engine reports a call that hangs.
func FuzzLoad(f *testing.F) {
	for _, h := range corpus() {
		if len(h.wasm) < 4<<10 {
			f.Add(h.wasm)
		}
	}
	for _, wasm := range authenticators() {
		f.Add(wasm)
	}
	f.Add(counting())
	f.Add(reader())
	f.Fuzz(func(t *testing.T, wasm []byte) {
		set, err := newRuntime(t, runtime.Options{}).Load(t.Context(), []runtime.Policy{{Name: "p", Wasm: wasm}})
		if err != nil {
			return
		}
		defer set.Close()
		set.Authenticate(authentication())
		set.ChooseStep(choice())
		set.PriceResponse(&abi.Pricing{})
	})
}
