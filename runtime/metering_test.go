package runtime_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// builtIn builds the built-in policy as the build does.
func builtIn(t testing.TB) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "default.wasm")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, ".")
	build.Dir = filepath.Join("..", "plugins", "default")
	build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the built-in policy: %v\n%s", err, text)
	}
	wasm, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// exchange asks each hook of the built-in policy as one exchange does: a stored key, two steps to choose from by weight and
// one to fall back on, two dimensions of usage.
type exchange struct {
	set     *runtime.Set
	who     *abi.Authentication
	choice  *abi.StepChoice
	pricing *abi.Pricing
}

func newExchange(set *runtime.Set) *exchange {
	e := &exchange{set: set, who: authentication(), choice: choice(), pricing: pricing()}
	e.who.Shape = abi.CredentialGenerated
	e.choice.Identity = &abi.Identity{KeyID: "key_1"}
	e.choice.LastStep, e.choice.Strategy = -1, "weighted"
	e.choice.Steps = []abi.Step{{Priority: 1, Weight: 50}, {Priority: 1, Weight: 50}, {Priority: 2}}
	e.choice.Tries = []int64{0, 0, 0}
	e.pricing.Price = &abi.PriceRow{abi.Input: 270_000_000, abi.Output: 1_100_000_000}
	e.pricing.Usage = abi.Usage{abi.Input: 1234, abi.Output: 567}
	return e
}

// ask asks one hook, and reports whether there was a verdict.
func (e *exchange) ask(hook abi.Hook) bool {
	switch hook {
	case abi.Authenticate:
		return e.set.Authenticate(e.who) == abi.Given
	case abi.ChooseStep:
		return e.set.ChooseStep(e.choice) == abi.Given
	default:
		return e.set.PriceResponse(e.pricing) == abi.Given
	}
}

// turn is how many calls are timed together, so that reading the clock does not count.
const turn = 20

// timed collects the turns of one thing that is measured.
type timed struct{ least, sum time.Duration }

// take times a turn of a hook.
func (t *timed) take(b *testing.B, e *exchange, hook abi.Hook) {
	began := time.Now()
	for range turn {
		if !e.ask(hook) {
			b.Fatal("no verdict")
		}
	}
	took := time.Since(began)
	if t.sum += took; t.least == 0 || took < t.least {
		t.least = took
	}
}

// best is how long a call took in the best turn, in nanoseconds: what else the machine does is in the others.
func (t *timed) best() float64 { return float64(t.least) / turn }

// BenchmarkBuiltInHooks tells what one exchange spends in the built-in policy, host calls and fuel included, by what chain
// its model has.
func BenchmarkBuiltInHooks(b *testing.B) {
	for _, chain := range []struct {
		name  string
		steps []abi.Step
	}{
		{"one step", []abi.Step{{Priority: 1, Weight: 1}}},
		{"a step and a spare", []abi.Step{{Priority: 1, Weight: 1}, {Priority: 2, Weight: 1}}},
		{"two by weight and a spare", []abi.Step{{Priority: 1, Weight: 50}, {Priority: 1, Weight: 50}, {Priority: 2}}},
	} {
		b.Run(chain.name, func(b *testing.B) {
			e := newExchange(load(b, runtime.Options{}, runtime.Policy{Name: "default", Wasm: builtIn(b), Grants: runtime.Grants{Identities: true}}))
			e.choice.Steps, e.choice.Tries = chain.steps, e.choice.Tries[:len(chain.steps)]
			benchmarkExchange(b, e)
		})
	}
}

func benchmarkExchange(b *testing.B, e *exchange) {
	var all [abi.NumHooks]timed
	b.ReportAllocs()
	for b.Loop() {
		for hook := range abi.NumHooks {
			all[hook].take(b, e, hook)
		}
	}
	least, mean := 0.0, 0.0
	for hook := range abi.NumHooks {
		b.ReportMetric(all[hook].best(), "least-ns/"+hook.String())
		least += all[hook].best()
		mean += float64(all[hook].sum) / float64(b.N*turn)
	}
	b.ReportMetric(0, "ns/op") // of a turn
	b.ReportMetric(least, "least-ns/exchange")
	b.ReportMetric(mean, "mean-ns/exchange")
}

// BenchmarkMetering tells what fuel costs the built-in policy: the same hooks with and without, turn by turn in one
// run, so that what else the machine does is in both.
func BenchmarkMetering(b *testing.B) {
	wasm := builtIn(b)
	policy := runtime.Policy{Name: "default", Wasm: wasm, Grants: runtime.Grants{Identities: true}}
	free := newRuntime(b, runtime.Options{})
	if err := free.CompileUnmetered(b.Context(), wasm); err != nil {
		b.Fatal(err)
	}
	set, err := free.Load(b.Context(), []runtime.Policy{policy})
	if err != nil {
		b.Fatal(err)
	}
	defer set.Close()
	unmetered, metered := newExchange(set), newExchange(load(b, runtime.Options{}, policy))
	for hook := range abi.NumHooks {
		b.Run(hook.String(), func(b *testing.B) {
			var without, with timed
			for b.Loop() {
				without.take(b, unmetered, hook)
				with.take(b, metered, hook)
			}
			b.ReportMetric(0, "ns/op") // of both together, which says nothing
			b.ReportMetric(without.best(), "least-ns/unmetered")
			b.ReportMetric(with.best(), "least-ns/metered")
			b.ReportMetric(with.best()/without.best(), "times")
		})
	}
}
