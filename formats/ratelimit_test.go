package formats

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestSetRateLimits(t *testing.T) {
	now := time.Date(2026, 1, 31, 23, 59, 58, 100, time.FixedZone("", 3600))
	requests := RateLimit{Limit: 60, Remaining: 59, Reset: time.Second}
	tokens := RateLimit{Limit: 150000, Remaining: 149984, Reset: 6 * time.Minute}
	input := RateLimit{Limit: 100, Remaining: -3, Reset: 1500 * time.Millisecond}
	output := RateLimit{Limit: 200, Remaining: 200}
	tests := []struct {
		name   string
		format Format
		limits RateLimits
		want   string
	}{
		{"no limits", OpenAI, RateLimits{}, ""},
		{"no limits there either", Anthropic, RateLimits{}, ""},
		{"openai", OpenAI, RateLimits{Requests: requests, Tokens: tokens},
			"RateLimit-Limit: 60|RateLimit-Remaining: 59|RateLimit-Reset: 1|" +
				"x-ratelimit-limit-requests: 60|x-ratelimit-remaining-requests: 59|x-ratelimit-reset-requests: 1s|" +
				"x-ratelimit-limit-tokens: 150000|x-ratelimit-remaining-tokens: 149984|x-ratelimit-reset-tokens: 6m0s"},
		{"gemini, the tightest of the tokens", Gemini, RateLimits{Tokens: tokens, InputTokens: input, OutputTokens: output},
			"RateLimit-Limit: 100|RateLimit-Remaining: 0|RateLimit-Reset: 2|" +
				"x-ratelimit-limit-tokens: 100|x-ratelimit-remaining-tokens: 0|x-ratelimit-reset-tokens: 1.5s"},
		{"openai, only of output", OpenAI, RateLimits{OutputTokens: output},
			"RateLimit-Limit: 200|RateLimit-Remaining: 200|RateLimit-Reset: 0|" +
				"x-ratelimit-limit-tokens: 200|x-ratelimit-remaining-tokens: 200|x-ratelimit-reset-tokens: 0s"},
		{"anthropic", Anthropic, RateLimits{Requests: requests, Tokens: tokens, InputTokens: input, OutputTokens: output},
			"RateLimit-Limit: 60|RateLimit-Remaining: 59|RateLimit-Reset: 1|" +
				"anthropic-ratelimit-requests-limit: 60|anthropic-ratelimit-requests-remaining: 59|anthropic-ratelimit-requests-reset: 2026-01-31T22:59:59Z|" +
				"anthropic-ratelimit-tokens-limit: 150000|anthropic-ratelimit-tokens-remaining: 149984|anthropic-ratelimit-tokens-reset: 2026-01-31T23:05:58Z|" +
				"anthropic-ratelimit-input-tokens-limit: 100|anthropic-ratelimit-input-tokens-remaining: 0|anthropic-ratelimit-input-tokens-reset: 2026-01-31T23:00:00Z|" +
				"anthropic-ratelimit-output-tokens-limit: 200|anthropic-ratelimit-output-tokens-remaining: 200|anthropic-ratelimit-output-tokens-reset: 2026-01-31T22:59:58Z"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			SetRateLimits(test.format, &test.limits, now, nil, func(name string, value []byte) { got = append(got, name+": "+string(value)) })
			if strings.Join(got, "|") != test.want {
				t.Errorf("\n got %s\nwant %s", strings.Join(got, "|"), test.want)
			}
		})
	}
}

// TestAppendDuration holds our durations against the standard library's.
func TestAppendDuration(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ms := rapid.OneOf(rapid.Int64Range(0, 2000), rapid.Int64Range(0, 100*24*3600*1000)).Draw(t, "ms")
		d := time.Duration(ms) * time.Millisecond
		if got := string(appendDuration(nil, d)); got != d.String() {
			t.Fatalf("%s, want %s", got, d)
		}
	})
}

func TestRateLimitsAllocateNothing(t *testing.T) {
	limits := RateLimits{
		Requests: RateLimit{Limit: 1 << 62, Remaining: 1 << 62, Reset: 1<<53 + 1}, Tokens: RateLimit{Limit: 1, Reset: time.Nanosecond},
		InputTokens: RateLimit{Limit: 1}, OutputTokens: RateLimit{Limit: 1},
	}
	now, buf, total := time.Unix(1767225600, 0), make([]byte, 0, 32), 0
	set := func(_ string, value []byte) { total += len(value) }
	allocs := testing.AllocsPerRun(100, func() {
		for f := range NumFormats {
			SetRateLimits(f, &limits, now, buf, set)
		}
	})
	if allocs != 0 || total == 0 {
		t.Errorf("%v allocations, %d bytes", allocs, total)
	}
}

func BenchmarkSetRateLimits(b *testing.B) {
	limit := RateLimit{Limit: 150000, Remaining: 149984, Reset: 90 * time.Second}
	limits := RateLimits{Requests: limit, Tokens: limit}
	now, buf := time.Unix(1767225600, 0), make([]byte, 0, 32)
	for f := range NumFormats {
		b.Run(f.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				SetRateLimits(f, &limits, now, buf, func(string, []byte) {})
			}
		})
	}
}
