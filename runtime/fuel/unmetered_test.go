package fuel_test

import (
	"bytes"
	"testing"

	"github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// A module that is not metered keeps its code and what is known of its source, byte for byte, and exports fuel all the same.
func TestUnmetered(t *testing.T) {
	code := wasmtest.Code(wasmtest.Loop(wasmtest.I32Const(123456), wasmtest.Drop), wasmtest.I32Const(0))
	var m wasmtest.Module
	m.Hook("authenticate", code)
	m.Custom(".debug_line", []byte("where it stands"))
	bin := m.Bytes()
	plain, err := fuel.Unmetered(bin, fuel.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	for _, kept := range [][]byte{code, []byte(".debug_line"), []byte("where it stands"), []byte(fuel.Export)} {
		if !bytes.Contains(plain.Binary, kept) {
			t.Errorf("%q is not there", kept)
		}
	}
	metered, err := fuel.Instrument(bin, 0, fuel.DefaultLimits())
	if err != nil || bytes.Contains(metered.Binary, code) || bytes.Contains(metered.Binary, []byte(".debug_line")) {
		t.Errorf("the metered one is not another: %v", err)
	}
	if _, err := fuel.Unmetered(plain.Binary, fuel.DefaultLimits()); err == nil {
		t.Error("the reserved name was taken")
	}
	if _, err := fuel.Unmetered(bin[:len(bin)-1], fuel.DefaultLimits()); err == nil {
		t.Error("a truncated module was taken")
	}
}
