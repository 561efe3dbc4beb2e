package config

import (
	"strings"
	"testing"
	"time"
)

// chainsHead is a file up to its chains.
const chainsHead = `version: 1
providers:
  - {name: p, format: openai, base_url: "https://x/v1", timeouts: {gap: 7s, total: 1m}}
  - {name: q, format: openai, base_url: "https://y/v1"}
models:
  - {alias: a, provider: p, model: gpt-4o, context: 1000, timeouts: {first_byte: 8s}}
  - {alias: b, provider: q, model: o3}
  - {alias: c, provider: q, model: o3, reasoning: false}
`

func loadText(t *testing.T, text string) *Snapshot {
	t.Helper()
	s, err := Load(write(t, t.TempDir(), "p.yaml", text), environment())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTimeoutsOfTheNearestCount(t *testing.T) {
	s := loadText(t, chainsHead+`chains:
  - name: chain
    timeouts: {gap: 9s, first_content: 10s}
    steps: [{model: a, timeouts: {gap: 11s}, concurrent: 3}, {model: b}, {model: c}]
`)
	facts := []struct {
		what      string
		got, want time.Duration
	}{
		{"an alias: its own", s.Chains["a"].Steps[0].Patience.Streamed.FirstByte, 8 * time.Second},
		{"an alias: its provider's", s.Chains["a"].Steps[0].Patience.Streamed.Gap, 7 * time.Second},
		{"an alias: all of it", s.Chains["a"].Total, time.Minute},
		{"a step's own", s.Chains["chain"].Steps[0].Patience.Whole.Gap, 11 * time.Second},
		{"the chain's before the alias's and the provider's", s.Chains["chain"].Steps[1].Patience.Whole.Gap, 9 * time.Second},
		{"the alias's in a chain", s.Chains["chain"].Steps[0].Patience.Streamed.FirstByte, 8 * time.Second},
		{"the chain's first content", s.Chains["chain"].Steps[2].Patience.Streamed.FirstContent, 10 * time.Second},
		{"a chain's total: its most patient step's", s.Chains["chain"].Total, 15 * time.Minute},
		{"connect, where nobody says", s.Chains["chain"].Steps[0].Patience.Whole.Connect, 3 * time.Second},
		{"a model that thinks, streamed", s.Chains["b"].Steps[0].Patience.Streamed.FirstContent, 5 * time.Minute},
		{"one that is said not to", s.Chains["c"].Steps[0].Patience.Streamed.FirstContent, time.Minute},
		{"and not streamed", s.Chains["c"].Steps[0].Patience.Whole.FirstByte, 5 * time.Minute},
	}
	for _, f := range facts {
		if f.got != f.want {
			t.Errorf("%s: %v, want %v", f.what, f.got, f.want)
		}
	}
	if n := s.Chains["chain"].Steps[0].Concurrent; n != 3 {
		t.Errorf("concurrent is %d", n)
	}
}

func TestChainsTakeFailuresAsTheySay(t *testing.T) {
	s := loadText(t, chainsHead+`chains:
  - {name: plain, steps: [{model: a}]}
  - name: told
    commit: complete
    strategy: sticky
    sticky: {by: header, header: x-session}
    retries: 0
    on_ambiguous: same
    on_context_length: pass
    on_model_not_found: next
    routing_summary: true
    steps: [{model: a}]
  - {name: stuck, strategy: sticky, steps: [{model: a}]}
`)
	if got, want := s.Chains["plain"].Failure, (Failure{Retries: 1, LargerContext: true}); got != want {
		t.Errorf("a chain that says nothing: %+v", got)
	}
	told := s.Chains["told"]
	want := Failure{Commit: Complete, OnAmbiguous: AmbiguousSame, OnModelNotFound: true, Summary: true}
	if told.Failure != want || told.Strategy != Sticky || told.Affinity != ByHeader || told.AffinityHeader != "X-Session" {
		t.Errorf("a chain that says all: %+v", told)
	}
	if a := s.Chains["stuck"].Affinity; a != ByKey {
		t.Errorf("sticky without more goes by %v", a)
	}
}

func TestProblemsOfChains(t *testing.T) {
	facts := []struct{ chain, want string }{
		{"commit: now", `commit: must be one of first_content, complete`},
		{"on_ambiguous: repeat", `on_ambiguous: must be one of next, fail, same`},
		{"on_context_length: fail", `on_context_length: must be one of next, pass`},
		{"sticky: {by: key}", `sticky: belongs to the strategy sticky`},
		{"strategy: sticky, sticky: {by: header}", `sticky: must name the header`},
		{"strategy: sticky, sticky: {by: key, header: x-a}", `sticky: names a header, but does not go by it`},
		{"strategy: sticky, sticky: {by: header, header: 'a b'}", `sticky.header: must be the name of a header`},
		{"timeouts: {first_content: 0s}", `timeouts.first_content: must be a time span from 1ms`},
		{"steps: [{model: a, concurrent: 0}]", `steps[0].concurrent: must be a whole number from 1`},
	}
	for _, f := range facts {
		steps := ", steps: [{model: a}]"
		if strings.Contains(f.chain, "steps:") {
			steps = ""
		}
		got := problemsOf(t, chainsHead+"chains: [{name: x, "+f.chain+steps+"}]")
		if !strings.Contains(got, "chains[0]."+f.want) || strings.Contains(got, "\n") {
			t.Errorf("%s gave %q", f.chain, got)
		}
	}
}

func TestReasoningModelsAreGuessed(t *testing.T) {
	for model, want := range map[string]bool{
		"o1": true, "o3-mini": true, "openai/o4-mini": true, "gpt-5": true, "gpt-5.1-codex": true, "deepseek-reasoner": true,
		"deepseek-r1": true, "qwq-32b": true, "gemini-2.5-pro": true, "claude-3-7-sonnet-thinking": true, "magistral-medium": true,
		"gpt-4o": false, "gpt-4.1": false, "deepseek-chat": false, "llama3.2": false, "gemini-2.0-flash": false, "foo-o1ly": false,
	} {
		if got := reasons(model); got != want {
			t.Errorf("%s: %v", model, got)
		}
	}
}
