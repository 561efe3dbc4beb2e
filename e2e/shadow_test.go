//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestShadowTraceAndReplay: a policy that would let nobody in runs in the shadow: nobody is refused, the metrics and the log
// tell that it would have decided otherwise. The decision trace says so too, and what a policy would have decided.
func TestShadowTraceAndReplay(t *testing.T) {
	g, _ := startDemo(t)
	night := filepath.Join(g.folder, "night.wasm")
	must(t, os.WriteFile(night, denyAll(), 0o600))
	g.edit("keys:", "trace: {mode: all}\npolicies:\n  - {name: default, wasm: \"builtin:default\", grants: {identities: read}}\n"+
		"  - {name: night, wasm: ./night.wasm, mode: shadow}\nkeys:")
	g.until("the change is taken", func() bool { return strings.Contains(g.log.String(), "configuration changed") })
	for range 5 {
		if a := g.ask(clientKey, chatPath, hello("chat")); a.status != 200 {
			t.Fatalf("with a shadow policy: %s", a)
		}
	}
	g.until("the differences are counted", func() bool {
		return strings.Contains(g.metrics(), `sallyport_policy_shadow_total{hook="authenticate",policy="night",result="different"} 5`)
	})
	if !strings.Contains(g.log.String(), "a shadow policy would have decided otherwise") {
		t.Error("the log does not tell")
	}
	traced := g.traced(2 * 5) // by both policies
	if strings.Contains(traced, clientKey) || !strings.Contains(traced, `"policy":"default"`) {
		t.Errorf("%s", traced)
	}
	out, err := g.exec(t.Context(), "plugin", "replay", filepath.Join(g.folder, "data"), night, "--policy", "default").CombinedOutput()
	must(t, err)
	for _, want := range []string{"authenticate          5     0          5       0", `denies with 403  "closed for the night"`, "was  allows "} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// traced waits until so many decisions of authenticate are in the first file of the trace, and returns what that holds.
func (g *gateway) traced(decisions int) (lines string) {
	g.t.Helper()
	g.until("the decisions are written", func() bool {
		content, err := os.ReadFile(filepath.Join(g.folder, "data", "traces", "00000001.jsonl"))
		lines = string(content)
		return err == nil && strings.Count(lines, `"hook":"authenticate"`) >= decisions
	})
	return lines
}
