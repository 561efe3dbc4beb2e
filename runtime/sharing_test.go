package runtime

import (
	"testing"

	"github.com/sallyport-dev/sallyport/internal/wasmtest"
)

func TestReloadShares(t *testing.T) {
	guest := func() []byte {
		g := wasmtest.NewGuest()
		g.Hook("authenticate", wasmtest.Pass)
		return g.Bytes()
	}
	base := func() Policy { return Policy{Name: "p", Wasm: guest()} }
	for _, test := range []struct {
		name   string
		change func(p *Policy)
		module bool // shared
		pool   bool // shared
	}{
		{"nothing changed", func(*Policy) {}, true, true},
		{"other fuel", func(p *Policy) { p.Limits.Fuel = 5 }, true, true},
		{"a veto now", func(p *Policy) { p.Veto = true }, true, true},
		{"another configuration", func(p *Policy) { p.Config = []byte("{}") }, true, false},
		{"another name", func(p *Policy) { p.Name = "q" }, true, false},
		{"a grant more", func(p *Policy) { p.Grants.Inputs = []string{"credential"} }, true, false},
		{"another memory limit", func(p *Policy) { p.Limits.Memory = 1 << 20 }, false, false},
		{"another module", func(p *Policy) {
			g := wasmtest.NewGuest()
			g.Hook("authenticate", wasmtest.Error)
			p.Wasm = g.Bytes()
		}, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := New(t.Context(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			changed := base()
			test.change(&changed)
			old, err := r.Load(t.Context(), []Policy{base()})
			if err != nil {
				t.Fatal(err)
			}
			next, err := r.Load(t.Context(), []Policy{changed})
			if err != nil {
				t.Fatal(err)
			}
			a, b := old.policies[0].pool, next.policies[0].pool
			if got := a == b; got != test.pool {
				t.Errorf("pool shared: %t", got)
			}
			if got := a.module == b.module; got != test.module {
				t.Errorf("module shared: %t", got)
			}
			old.Close()
			old.Close() // twice does nothing more
			if in := b.take(); in == nil {
				t.Error("closing the old set took the instances of the new one")
			} else {
				b.give(in)
			}
			next.Close()
			if len(r.pools)+len(r.modules) > 0 || a.alive()+b.alive() > 0 {
				t.Errorf("left over: %d pools, %d modules, %d instances", len(r.pools), len(r.modules), a.alive()+b.alive())
			}
			if err := r.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAFailedLoadLeavesNothing(t *testing.T) {
	r, err := New(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	g := wasmtest.NewGuest()
	g.Hook("authenticate", wasmtest.Pass)
	g.Hook("configure", wasmtest.I32Const(1))
	refusing := g.Bytes()
	g = wasmtest.NewGuest()
	g.Hook("authenticate", wasmtest.Pass)
	_, err = r.Load(t.Context(), []Policy{{Name: "good", Wasm: g.Bytes()}, {Name: "bad", Wasm: refusing}, {Name: "worse", Wasm: g.Bytes(), Limits: Limits{Memory: 1 << 30}, Veto: true, Hooks: nil, Config: []byte("x"), Grants: Grants{Inputs: []string{"no"}}}})
	if err == nil {
		t.Fatal("it was loaded")
	}
	if len(r.pools)+len(r.modules) > 0 {
		t.Errorf("left over: %d pools, %d modules", len(r.pools), len(r.modules))
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
