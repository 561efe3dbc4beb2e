package javascript_test

import (
	"context"
	"math"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// initFuel is what an instance may use to come up: that of runtime, which SPEC.md promises.
const initFuel = 100_000_000

// bare is the guest on a host that has a script and nothing else: every read is absent.
type bare struct {
	api.Module
	fuel api.MutableGlobal
}

func newBare(t *testing.T, script, config string) *bare {
	t.Helper()
	metered, err := fuel.Instrument(engine(t), math.MaxInt32, fuel.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	t.Cleanup(func() { _ = r.Close(ctx) })
	modules := map[string]wazero.HostModuleBuilder{}
	for _, i := range metered.Imports {
		if modules[i.Module] == nil {
			modules[i.Module] = r.NewHostModuleBuilder(i.Module)
		}
		modules[i.Module].NewFunctionBuilder().WithGoModuleFunction(absent(i, script, config), []api.ValueType(i.Func.Params),
			[]api.ValueType(i.Func.Results)).Export(i.Name)
	}
	for _, m := range modules {
		if _, err := m.Instantiate(ctx); err != nil {
			t.Fatal(err)
		}
	}
	m, err := r.Instantiate(ctx, metered.Binary)
	if err != nil {
		t.Fatal(err)
	}
	global, ok := m.ExportedGlobal(fuel.Export).(api.MutableGlobal)
	if !ok {
		t.Fatal("the module has no fuel")
	}
	return &bare{m, global}
}

// absent serves an import of a host that has a script and a configuration.
func absent(i fuel.ImportType, script, config string) api.GoModuleFunc {
	texts := map[string]string{"script": script, "config": config}
	return func(_ context.Context, m api.Module, stack []uint64) {
		text := texts[i.Name]
		switch {
		case text != "":
			if len(text) <= int(uint32(stack[1])) {
				m.Memory().WriteString(uint32(stack[0]), text)
			}
			stack[0] = uint64(len(text))
		case i.Module == abi.ModuleWASI:
			stack[0] = 0
		case len(i.Func.Results) > 0 && i.Func.Results == fuel.I64:
			stack[0] = math.MaxInt64 + 1 // abi.NoValue
		case len(i.Func.Results) > 0:
			code := int32(abi.Absent)
			stack[0] = uint64(uint32(code))
		}
	}
}

// use calls an export and returns what it answered and the fuel that it took.
func (b *bare) use(t *testing.T, export string) (answer int32, units int64) {
	t.Helper()
	b.fuel.Set(math.MaxInt32)
	results, err := b.ExportedFunction(export).Call(context.Background())
	if err != nil {
		t.Fatalf("%s: %v", export, err)
	}
	if len(results) > 0 {
		answer = int32(uint32(results[0]))
	}
	return answer, math.MaxInt32 - int64(b.fuel.Get())
}

// Coming up and a usual call take a small part of their budgets.
func TestFuel(t *testing.T) {
	for _, config := range []string{`{"tag": "a"}`, `{"fresh_state": true}`} {
		b := newBare(t, typical, config)
		b.use(t, abi.ExportInitialize)
		before := b.Memory().Size()
		answer, units := b.use(t, abi.ExportConfigure)
		t.Logf("with %s: configure %d units; memory %d KiB before, %d KiB after", config, units, before>>10, b.Memory().Size()>>10)
		if answer != abi.ReturnVerdict || units > initFuel/5 {
			t.Errorf("configure returned %d and took %d units", answer, units)
		}
		for _, hook := range []string{"authenticate", "choose_step", "price_response"} {
			_, units := b.use(t, hook)
			t.Logf("with %s: %s %d units", config, hook, units)
			if units > runtime.DefaultFuel/20 {
				t.Errorf("%s took %d units", hook, units)
			}
		}
	}
}

// The module has all hooks; which of them the script has, it says by the export hooks, a bit for each by its number.
func TestHooksOfTheScript(t *testing.T) {
	facts := []struct {
		script string
		want   int32
	}{
		{`export function authenticate() {}`, 1 << abi.Authenticate},
		{`export const priceResponse = () => 1n, chooseStep = () => {};`, 1<<abi.ChooseStep | 1<<abi.PriceResponse},
		{typical, 1<<abi.Authenticate | 1<<abi.ChooseStep | 1<<abi.PriceResponse},
	}
	for _, f := range facts {
		b := newBare(t, f.script, "{}")
		b.use(t, abi.ExportInitialize)
		b.use(t, abi.ExportConfigure)
		if got, _ := b.use(t, "hooks"); got != f.want {
			t.Errorf("%.40q: the hooks are %b, want %b", f.script, got, f.want)
		}
	}
}
