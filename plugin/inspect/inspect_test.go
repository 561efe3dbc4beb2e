package inspect

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
)

func look(t *testing.T, wasm []byte) *Report {
	t.Helper()
	r, err := Module(wasm)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(t *testing.T, r *Report) string {
	t.Helper()
	var b strings.Builder
	if err := r.Write(&b, "./plugins/x.wasm"); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestModule(t *testing.T) {
	var m w.Module
	m.Import(abi.ModulePolicy, "get", nil, nil)
	m.Import(abi.ModulePolicy, "kv_get", nil, nil)
	m.Import(abi.ModulePolicy, "future", nil, nil)
	m.Import(abi.ModuleWASI, "fd_write", nil, nil)
	m.Memory(2)
	m.Hook("choose_step", w.Pass)
	m.Hook("authenticate", w.Pass)
	m.Func("configure", nil, []w.Type{w.I32}, nil, w.I32Const(0))
	wasm := m.Bytes()
	r := look(t, wasm)
	if r.Tier != Fast || !slices.Equal(r.Hooks, []string{"authenticate", "choose_step"}) || !r.Configure || r.Memory.Initial != 128<<10 ||
		!slices.Equal(r.Newer, []string{"future"}) || !slices.Equal(r.Needs, []string{"kv: own"}) || len(r.Problems) > 0 || r.Size != len(wasm) {
		t.Errorf("%+v", r)
	}
	got := text(t, r)
	for _, words := range []string{
		"x, without a manifest", `answers "not supported" to future`, "What it imports needs: kv: own", "It reads one, and does not say which.",
		"memory      128 KiB to begin with",
	} {
		if !strings.Contains(got, words) {
			t.Errorf("it lacks %q:\n%s", words, got)
		}
	}
	if encoded, err := json.Marshal(r); err != nil || !strings.Contains(string(encoded), `"hooks":["authenticate","choose_step"]`) {
		t.Errorf("%s, %v", encoded, err)
	}
}

func TestTiers(t *testing.T) {
	for want, modules := range map[string][]string{
		Fast: {abi.ModulePolicy}, Portable: {"extism:host/env", abi.ModuleWASI}, Mixed: {abi.ModulePolicy, "extism:host/env"}, NoTier: {abi.ModuleWASI},
	} {
		var m w.Module
		for _, module := range modules {
			m.Import(module, "f", nil, nil)
		}
		m.Hook("authenticate", w.Pass)
		if r := look(t, m.Bytes()); r.Tier != want || len(r.Problems) > 0 {
			t.Errorf("%v: %s, %v", modules, r.Tier, r.Problems)
		}
	}
}

func TestProblems(t *testing.T) {
	var plain w.Module
	plain.Func("run", nil, nil, nil)
	var foreign w.Module
	foreign.Import("env", "abort", nil, nil)
	foreign.Hook("authenticate", w.Pass)
	guest := w.NewGuest()
	guest.Hook("authenticate", w.Pass)
	with := func(text string) []byte {
		wasm, err := manifest.Embed(guest.Bytes(), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return wasm
	}
	for _, test := range []struct {
		name string
		wasm []byte
		want string
	}{
		{"no hook", plain.Bytes(), "exports no hook"},
		{"a module that nobody serves", foreign.Bytes(), `imports from "env", which no gateway serves`},
		{"a manifest that is not right", with(`{"name": "a"}`), `lacks "abi", "version"`},
		{"a hook that is not there", with(`{"name": "a", "version": "1.0.0", "abi": 1, "hooks": ["choose_step"]}`), "names the hook choose_step, which it does not export"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := look(t, test.wasm)
			if !strings.Contains(strings.Join(r.Problems, "\n"), test.want) || !strings.Contains(text(t, r), "\nProblems\n") {
				t.Errorf("%q", r.Problems)
			}
		})
	}
	if _, err := Module([]byte("hello")); !errors.Is(err, manifest.ErrNoModule) {
		t.Errorf("no module: %v", err)
	}
	if _, err := Module(plain.Bytes()[:20]); err == nil {
		t.Error("half a module is none")
	}
}

// What a module says of itself cannot steer the terminal that it is shown on.
func TestTextIsPrintable(t *testing.T) {
	var m w.Module
	m.Import(abi.ModulePolicy, "get\x1b[2J\nfine", nil, nil)
	m.Hook("authenticate", w.Pass)
	wasm, err := manifest.Embed(m.Bytes(), []byte(`{"name": "a", "version": "1.0.0", "abi": 1,
	  "config_schema": {"properties": {"a\u001b": {"description": "b\u001b\nc", "type": "string"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := text(t, look(t, wasm)); strings.Contains(got, "\x1b") || strings.Contains(got, "\nfine") || strings.Contains(got, "\nc") {
		t.Errorf("%q", got)
	}
}

func FuzzModule(f *testing.F) {
	guest := w.NewGuest()
	guest.Hook("authenticate", w.Pass)
	wasm, err := manifest.Embed(guest.Bytes(), []byte(`{"name": "a", "version": "1.0.0", "abi": 1, "grants": [{"kv": "own", "reason": "x"}]}`))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(wasm)
	f.Add(guest.Bytes())
	f.Fuzz(func(t *testing.T, wasm []byte) {
		r, err := Module(wasm)
		if err != nil {
			return
		}
		var b strings.Builder
		if err := r.Write(&b, "x.wasm"); err != nil {
			t.Fatal(err)
		}
	})
}
