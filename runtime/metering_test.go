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

// exchange asks each hook of the built-in policy as one exchange does. Each answers whether there was a verdict.
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
	e.choice.LastStep = -1
	e.choice.Steps = []abi.Step{{Priority: 1, Weight: 50}, {Priority: 1, Weight: 50}, {Priority: 2}}
	e.choice.Tries = []int64{0, 0, 0}
	e.pricing.Price = &abi.PriceRow{abi.Input: 270_000_000, abi.Output: 1_100_000_000}
	e.pricing.Usage = abi.Usage{abi.Input: 1234, abi.Output: 567}
	return e
}

func (e *exchange) hooks() map[string]func() bool {
	return map[string]func() bool{
		"authenticate":   func() bool { return e.set.Authenticate(e.who) == abi.Given },
		"choose_step":    func() bool { return e.set.ChooseStep(e.choice) == abi.Given },
		"price_response": func() bool { return e.set.PriceResponse(e.pricing) == abi.Given },
	}
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
	unmetered, metered := newExchange(set).hooks(), newExchange(load(b, runtime.Options{}, policy)).hooks()
	for _, hook := range []string{"authenticate", "choose_step", "price_response"} {
		b.Run(hook, func(b *testing.B) {
			const turn = 200 // calls, so that reading the clock does not count
			timed := func(ask func() bool) time.Duration {
				began := time.Now()
				for range turn {
					if !ask() {
						b.Fatal("no verdict")
					}
				}
				return time.Since(began)
			}
			var without, with time.Duration
			for b.Loop() {
				without += timed(unmetered[hook])
				with += timed(metered[hook])
			}
			calls := float64(b.N * turn)
			b.ReportMetric(0, "ns/op") // of both together, which says nothing
			b.ReportMetric(float64(without)/calls, "ns/unmetered")
			b.ReportMetric(float64(with)/calls, "ns/metered")
			b.ReportMetric(float64(with)/float64(without), "times")
		})
	}
}
