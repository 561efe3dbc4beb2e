package examples_test

import (
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
)

// headers are the headers of a request.
type headers map[string]string

func (h headers) Header(name string) ([]byte, bool) {
	value, ok := h[name]
	return []byte(value), ok
}

func TestTierRouting(t *testing.T) {
	set := loadAsDocumented(t, "tier-routing")
	steps := []abi.Step{{Model: "a", Provider: "cheap"}, {Model: "b", Provider: "fast"}}
	facts := []struct {
		name, tier string
		steps      []abi.Step
		tries      []int64
		last       abi.ErrorClass
		answer     abi.Answer
		step       int
		stop       bool
	}{
		{"gold is fast", "gold", steps, []int64{0, 0}, abi.NoError, abi.Given, 1, false},
		{"gold falls back", "gold", steps, []int64{0, 1}, abi.Transient, abi.Given, 0, false},
		{"free is cheap", "free", steps, []int64{0, 0}, abi.NoError, abi.Given, 0, false},
		{"free has nothing else", "free", steps, []int64{1, 0}, abi.Transient, abi.Given, 0, true},
		{"without a tier", "", steps, []int64{0, 0}, abi.NoError, abi.Given, 0, false},
		{"rejected for good", "gold", steps, []int64{0, 1}, abi.Rejected, abi.Given, 0, true},
		{"a chain of others", "gold", []abi.Step{{Provider: "local"}}, []int64{0}, abi.NoError, abi.NoVerdict, 0, false},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			c := &abi.StepChoice{
				Request: &abi.Request{Headers: headers{"x-tier": f.tier}}, Steps: f.steps, Tries: f.tries, Attempt: 1, LastError: f.last, LastStep: -1,
			}
			for _, tries := range f.tries {
				c.Attempt += tries
			}
			if answer := set.ChooseStep(c); answer != f.answer || c.Step != f.step || c.Stop != f.stop {
				t.Errorf("answer %d, step %d, stop %t", answer, c.Step, c.Stop)
			}
		})
	}
}

// The Rust example's own tests run natively.
func TestTierRoutingNatively(t *testing.T) {
	build(t, "tier-routing") // skips without the toolchain
	run(t, "make", "-C", "tier-routing", "test")
}
