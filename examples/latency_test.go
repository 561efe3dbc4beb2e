package examples_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/plugin/host"
	"github.com/sallyport-dev/sallyport/plugin/project"
	"github.com/sallyport-dev/sallyport/runtime"
)

// Whatever language it is written in, the policy passes the same cases.
func TestLatencyFirst(t *testing.T) {
	if _, err := project.ReadManifest("latency-first"); err != nil {
		t.Error(err)
	}
	for name, folder := range map[string]string{"rust": "latency-first", "c": "latency-first/c"} {
		t.Run(name, func(t *testing.T) {
			p := documented(t, "latency-first")
			p.Wasm, p.Grants.KV = build(t, folder), true
			askCases(t, p, "latency-first/cases.yaml")
		})
	}
}

// Without its grant it cannot remember, and says so; the policies behind it decide then.
func TestLatencyFirstNeedsItsGrant(t *testing.T) {
	for name, folder := range map[string]string{"rust": "latency-first", "c": "latency-first/c"} {
		t.Run(name, func(t *testing.T) {
			set := load(t, folder, "latency-first")
			c := &abi.StepChoice{Request: &abi.Request{}, Steps: make([]abi.Step, 2), Attempt: 1, LastStep: -1}
			if answer := set.ChooseStep(c); answer != abi.Failed {
				t.Errorf("answer %d", answer)
			}
		})
	}
}

// The Rust example's own tests run natively.
func TestLatencyFirstNatively(t *testing.T) {
	build(t, "latency-first") // skips without the toolchain
	run(t, "make", "-C", "latency-first", "test")
}

// askCases asks a policy the cases of a file.
func askCases(t *testing.T, p runtime.Policy, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all, err := cases.Read(file, text, abi.NumHooks)
	if err != nil {
		t.Fatal(err)
	}
	h, err := host.Open(t.Context(), host.Options{Policy: p, CacheDir: compiled})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := h.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	results, err := h.Run(t.Context(), all)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		if len(r.Differences) > 0 {
			t.Errorf("%s:\n%s", r.Case.Name, strings.Join(r.Differences, "\n"))
		}
	}
}
