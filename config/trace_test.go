package config

import "testing"

func TestTrace(t *testing.T) {
	for text, want := range map[string]Trace{
		"":                                          {0, 256 << 20},
		"trace: {mode: off}":                        {0, 256 << 20},
		"trace: {mode: all, max_size: 1GiB}":        {1_000_000, 1 << 30},
		"trace: {mode: sampled}":                    {10_000, 256 << 20},
		"trace: {mode: sampled, share: 100%}":       {1_000_000, 256 << 20},
		"trace: {share: 0.0001%, mode: sampled}":    {1, 256 << 20},
		"trace: {mode: sampled, share: \"12.5 %\"}": {125_000, 256 << 20},
	} {
		s, err := Load(write(t, t.TempDir(), "p.yaml", "version: 1\n"+text), environment())
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if s.Trace != want {
			t.Errorf("%s: %+v", text, s.Trace)
		}
	}
	for text, want := range map[string]string{
		"trace: {}":                             "p.yaml:2: trace.mode: is missing",
		"trace: {mode: on}":                     "p.yaml:2: trace.mode: must be one of off, sampled, all",
		"trace: {mode: all, share: 1%}":         "p.yaml:2: trace.share: is of mode: sampled",
		"trace: {mode: sampled, share: 0%}":     shareProblem,
		"trace: {mode: sampled, share: 1}":      shareProblem,
		"trace: {mode: sampled, share: 100.1%}": shareProblem,
		"trace: {mode: sampled, share: -1%}":    shareProblem,
		"trace: {mode: sampled, share: 300%}":   shareProblem,
		"trace: {mode: sampled, share: .%}":     shareProblem,
		"trace: {mode: sampled, share: 1.-1%}":  shareProblem,
		"trace: {mode: off, max_size: 1MiB}":    "p.yaml:2: trace.max_size: must be a size from 8MiB to 1024GiB, such as 512KiB or 32MiB",
	} {
		if got := problemsOf(t, "version: 1\n"+text); got != want {
			t.Errorf("%s gave %q", text, got)
		}
	}
}

const shareProblem = "p.yaml:2: trace.share: must be a percentage from 0.0001% to 100%, such as 1%"

func TestModeAndPercent(t *testing.T) {
	const head = "version: 1\npolicies: [{name: w, wasm: 'builtin:default'"
	for text, want := range map[string]Policy{
		"":                                       {},
		", mode: active":                         {},
		", mode: shadow":                         {Shadow: true},
		", percent: 5":                           {Percent: 5},
		", mode: shadow, percent: 100":           {Shadow: true, Percent: 100},
		", veto: true, mode: shadow, percent: 1": {Veto: true, Shadow: true, Percent: 1},
	} {
		s, err := Load(write(t, t.TempDir(), "p.yaml", head+text+"}]"), environment())
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if p := s.Policies[0]; p.Shadow != want.Shadow || p.Percent != want.Percent || p.Veto != want.Veto {
			t.Errorf("%s: %+v", text, p)
		}
	}
	for text, want := range map[string]string{
		", mode: beside": "p.yaml:2: policies[0].mode: must be one of active, shadow",
		", percent: 0":   "p.yaml:2: policies[0].percent: must be a whole number from 1 to 100",
		", percent: 101": "p.yaml:2: policies[0].percent: must be a whole number from 1 to 100",
		", percent: 5%":  "p.yaml:2: policies[0].percent: must be a whole number from 1 to 100",
	} {
		if got := problemsOf(t, head+text+"}]"); got != want {
			t.Errorf("%s gave %q", text, got)
		}
	}
}
