package prices

import (
	"cmp"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// The pages on which the providers publish their prices.
const (
	openAI     = "https://openai.com/api/pricing"
	anthropic  = "https://platform.claude.com/docs/en/about-claude/pricing"
	google     = "https://ai.google.dev/gemini-api/docs/pricing"
	deepSeek   = "https://api-docs.deepseek.com/quick_start/pricing-details-usd"
	mistral    = "https://mistral.ai/pricing"
	xAI        = "https://docs.x.ai/docs/models"
	groq       = "https://groq.com/pricing"
	cohere     = "https://cohere.com/pricing"
	perplexity = "https://docs.perplexity.ai/getting-started/pricing"
)

// TestPublishedPrices checks what models cost against figures that were worked out by hand from what their providers
// publish: the prices behind each line, in dollars per million.
func TestPublishedPrices(t *testing.T) {
	c, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	facts := []struct {
		source, host, model, at string
		usage                   abi.Usage
		want                    abi.NanoUSD
	}{
		{openAI, "api.openai.com", "gpt-4o", "", abi.Usage{abi.Input: 1000, abi.Output: 500, abi.CacheRead: 2048}, 10_060_000},                                // 2.50, 10, cached 1.25
		{openAI, "api.openai.com", "gpt-4o-mini-2024-07-18", "", abi.Usage{abi.Input: 17, abi.Output: 4}, 4_950},                                              // 0.15, 0.60
		{openAI, "api.openai.com", "gpt-4.1", "", abi.Usage{abi.Input: 123456, abi.Output: 789, abi.CacheRead: 1}, 253_224_500},                               // 2, 8, cached 0.50
		{openAI, "api.openai.com", "gpt-4.1-mini", "", abi.Usage{abi.Input: 3, abi.Output: 7}, 12_400},                                                        // 0.40, 1.60
		{openAI, "api.openai.com", "gpt-5", "", abi.Usage{abi.Input: 39, abi.CacheRead: 2048, abi.Output: 24, abi.Reasoning: 100}, 1_544_750},                 // 1.25, 10, cached 0.125
		{openAI, "api.openai.com", "gpt-5-mini", "", abi.Usage{abi.Input: 1, abi.Output: 1}, 2_250},                                                           // 0.25, 2
		{openAI, "api.openai.com", "gpt-5-nano", "", abi.Usage{abi.Input: 1, abi.CacheRead: 1}, 55},                                                           // 0.05, cached 0.005
		{openAI, "api.openai.com", "gpt-5.4", "", abi.Usage{abi.Input: 272_000, abi.Output: 1000}, 695_000_000},                                               // 2.50, 15
		{openAI, "api.openai.com", "gpt-5.4", "", abi.Usage{abi.Input: 272_001, abi.Output: 1000}, 1_382_505_000},                                             // above 272k: 5, 22.50
		{openAI, "api.openai.com", "o3", "2025-06-09T23:59:59Z", abi.Usage{abi.Input: 1000, abi.Output: 1000}, 50_000_000},                                    // 10, 40
		{openAI, "api.openai.com", "o3", "2025-06-10T00:00:00Z", abi.Usage{abi.Input: 1000, abi.Output: 1000}, 10_000_000},                                    // 2, 8
		{openAI, "api.openai.com", "text-embedding-3-small", "", abi.Usage{abi.Input: 7}, 140},                                                                // 0.02
		{anthropic, "api.anthropic.com", "claude-opus-5", "", abi.Usage{abi.Input: 13, abi.CacheWrite1h: 20, abi.Output: 11, abi.Reasoning: 33}, 1_365_000},   // 5, 1h 10, 25
		{anthropic, "api.anthropic.com", "claude-opus-4-1-20250805", "", abi.Usage{100, 100, 100, 100, 100}, 14_025_000},                                      // 15, 75, read 1.50, 5m 18.75, 1h 30
		{anthropic, "api.anthropic.com", "claude-sonnet-4-5-20250929", "", abi.Usage{abi.Input: 150_000, abi.CacheRead: 50_000, abi.Output: 1}, 465_015_000},  // 3, read 0.30, 15
		{anthropic, "api.anthropic.com", "claude-sonnet-4-5-20250929", "", abi.Usage{abi.Input: 150_000, abi.CacheRead: 50_001, abi.Output: 1}, 930_023_100},  // above 200k: 6, read 0.60, 22.50
		{anthropic, "api.anthropic.com", "claude-haiku-4-5", "", abi.Usage{abi.Input: 3, abi.CacheRead: 9511, abi.CacheWrite1h: 1956}, 4_866_100},             // 1, read 0.10, 1h 2
		{anthropic, "api.anthropic.com", "claude-3-haiku-20240307", "", abi.Usage{10, 10, 10, 10, 10}, 23_300},                                                // 0.25, 1.25, read 0.03, 5m 0.30, 1h 0.50
		{anthropic, "api.anthropic.com", "claude-sonnet-5", "2026-08-31T23:59:59Z", abi.Usage{abi.Input: 2390, abi.Output: 121}, 5_990_000},                   // 2, 10
		{anthropic, "api.anthropic.com", "claude-sonnet-5", "2026-09-01T00:00:00Z", abi.Usage{abi.Input: 2390, abi.Output: 121}, 8_985_000},                   // 3, 15
		{google, "generativelanguage.googleapis.com", "gemini-2.5-pro", "", abi.Usage{abi.Input: 200_000, abi.Output: 10, abi.Reasoning: 20}, 250_300_000},    // 1.25, 10
		{google, "generativelanguage.googleapis.com", "gemini-2.5-pro", "", abi.Usage{abi.Input: 100_001, abi.CacheRead: 100_000}, 275_002_500},               // above 200k: 2.50, cached 0.25
		{google, "generativelanguage.googleapis.com", "gemini-2.5-flash", "", abi.Usage{abi.Input: 70, abi.AudioInput: 144, abi.Reasoning: 58}, 310_000},      // 0.30, audio 1, 2.50
		{google, "generativelanguage.googleapis.com", "gemini-2.5-flash-lite", "", abi.Usage{abi.Input: 8, abi.AudioInput: 5, abi.Output: 8}, 5_500},          // 0.10, audio 0.30, 0.40
		{deepSeek, "api.deepseek.com", "deepseek-chat", "2026-07-01T00:29:59Z", abi.Usage{abi.Input: 1000, abi.Output: 1000, abi.CacheRead: 1000}, 720_000},   // by night: 0.135, 0.55, cached 0.035
		{deepSeek, "api.deepseek.com", "deepseek-chat", "2026-07-01T00:30:00Z", abi.Usage{abi.Input: 1000, abi.Output: 1000, abi.CacheRead: 1000}, 1_440_000}, // 0.27, 1.10, cached 0.07
		{deepSeek, "api.deepseek.com", "deepseek-reasoner", "2026-07-01T16:29:59Z", abi.Usage{abi.Input: 1, abi.Output: 1, abi.Reasoning: 100}, 221_740},      // 0.55, 2.19
		{deepSeek, "api.deepseek.com", "deepseek-reasoner", "2026-07-01T16:30:00Z", abi.Usage{abi.Input: 1, abi.Output: 1, abi.Reasoning: 100}, 55_685},       // by night: 0.135, 0.55
		{mistral, "api.mistral.ai", "codestral-2508", "", abi.Usage{abi.Input: 333, abi.Output: 333}, 399_600},                                                // 0.30, 0.90
		{mistral, "api.mistral.ai", "mistral-large-2512", "", abi.Usage{abi.Input: 12, abi.Output: 34}, 57_000},                                               // 0.50, 1.50
		{xAI, "api.x.ai", "grok-4", "", abi.Usage{abi.Input: 1234, abi.CacheRead: 567, abi.Output: 89}, 5_462_250},                                            // 3, 15, cached 0.75
		{xAI, "api.x.ai", "grok-code-fast-1", "", abi.Usage{abi.Input: 10, abi.CacheRead: 10, abi.Output: 10}, 17_200},                                        // 0.20, 1.50, cached 0.02
		{groq, "api.groq.com", "llama-3.3-70b-versatile", "", abi.Usage{abi.Input: 99, abi.Output: 101}, 138_200},                                             // 0.59, 0.79
		{groq, "api.groq.com", "openai/gpt-oss-120b", "", abi.Usage{abi.Input: 79, abi.Output: 12, abi.Reasoning: 25}, 34_050},                                // 0.15, 0.60
		{cohere, "api.cohere.com", "command-a-03-2025", "", abi.Usage{abi.Input: 40, abi.Output: 60}, 700_000},                                                // 2.50, 10
		{cohere, "api.cohere.ai", "command-r7b-12-2024", "", abi.Usage{abi.Input: 3, abi.Output: 1}, 263},                                                     // 0.0375, 0.15: 262.5
		{perplexity, "api.perplexity.ai", "sonar-pro", "", abi.Usage{abi.Input: 10, abi.Output: 10, abi.Requests: 1}, 14_180_000},                             // 3, 15, at most 14 for 1,000 requests

		// Tokens that cost more than text.
		{google, "generativelanguage.googleapis.com", "gemini-2.5-flash", "", abi.Usage{abi.CacheRead: 100, abi.CacheReadAudio: 50, abi.AudioInput: 1}, 9_000},   // cached 0.03, cached audio 0.10, audio 1
		{google, "generativelanguage.googleapis.com", "gemini-2.5-flash-image", "", abi.Usage{abi.Input: 10, abi.Output: 14, abi.ImageOutput: 1290}, 38_738_000}, // 0.30, 2.50, images 30
		{google, "generativelanguage.googleapis.com", "gemini-3-pro-image-preview", "", abi.Usage{abi.Reasoning: 100, abi.ImageOutput: 1120}, 135_600_000},       // 12, images 120
	}
	for _, f := range facts {
		tariff, ok := c.Find(Query{Name: "p", Host: f.host, Model: f.model})
		if !ok {
			t.Errorf("%s of %s is not found", f.model, f.host)
			continue
		}
		at, err := time.Parse(time.RFC3339, cmp.Or(f.at, "2026-11-20T12:00:00Z"))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := tariff.Row(at, f.usage.InputTokens()).Cost(&f.usage); got != f.want {
			t.Errorf("%s at %s costs %d nano-dollars for %v, want %d by %s", f.model, at, got, f.usage, f.want, f.source)
		}
	}
}
