package gateway

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
)

// What a provider is sent, for each format and each setting of a provider: golden requests.
func TestUpstreamRequests(t *testing.T) {
	facts := []struct {
		name     string
		format   formats.Format
		provider func(*config.Provider)
		path     string
		body     string
		headers  []string // of the client, beside content type and user agent
		want     string   // HOST stands for the provider's address
	}{
		{"azure", formats.OpenAI, func(p *config.Provider) {
			p.Path, p.AuthHeader, p.Query = "/openai/deployments/{model}", "Api-Key", "api-version=2026-01-01"
			p.Headers = []config.Header{{Name: "X-Team", Value: "core"}, {Name: "User-Agent", Value: "ours"}}
		}, "/openai/v1/chat/completions?x=1", `{"model":"m0"}`, nil,
			"POST /openai/deployments/real-0/chat/completions?x=1&api-version=2026-01-01 HTTP/1.1\r\nHost: HOST\r\nApi-Key: provider-secret\r\n" +
				"X-Team: core\r\nUser-Agent: ours\r\nAccept-Encoding: identity\r\nContent-Type: application/json\r\nContent-Length: 18\r\n\r\n" + `{"model":"real-0"}`},
		{"no credential", formats.OpenAI, func(p *config.Provider) { p.Path, p.Credentials = "/v1", nil },
			"/v1/embeddings", `{"model":"m0","input":"a"}`, []string{"X-Unknown", "stays behind", "Traceparent", "00-1-2-03"},
			"POST /v1/embeddings HTTP/1.1\r\nHost: HOST\r\nAccept-Encoding: identity\r\nContent-Type: application/json\r\nUser-Agent: c\r\nTraceparent: 00-1-2-03\r\nContent-Length: 30\r\n\r\n" + `{"model":"real-0","input":"a"}`},
		{"usage is asked for", formats.OpenAI, func(p *config.Provider) { p.Path = "/v1" },
			"/v1/chat/completions", `{"model":"m0","stream":true}`, nil,
			"POST /v1/chat/completions HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer provider-secret\r\nAccept-Encoding: identity\r\nContent-Type: application/json\r\nUser-Agent: c\r\nContent-Length: 72\r\n\r\n" +
				`{"model":"real-0","stream_options":{"include_usage":true},"stream":true}`},
		{"usage is not asked for where that is off", formats.OpenAI, func(p *config.Provider) { p.Path, p.IncludeUsage = "/v1", false },
			"/v1/chat/completions", `{"model":"m0","stream":true}`, nil,
			"POST /v1/chat/completions HTTP/1.1\r\nHost: HOST\r\nAuthorization: Bearer provider-secret\r\nAccept-Encoding: identity\r\nContent-Type: application/json\r\nUser-Agent: c\r\nContent-Length: 32\r\n\r\n" +
				`{"model":"real-0","stream":true}`},
		{"anthropic", formats.Anthropic, func(p *config.Provider) { p.AuthHeader = "X-Api-Key" },
			"/anthropic/v1/messages?beta=true", `{"max_tokens":5,"model":"m0"}`, []string{"Anthropic-Version", "2023-06-01", "Anthropic-Beta", "b"},
			"POST /v1/messages?beta=true HTTP/1.1\r\nHost: HOST\r\nX-Api-Key: provider-secret\r\nAccept-Encoding: identity\r\nContent-Type: application/json\r\nUser-Agent: c\r\nAnthropic-Version: 2023-06-01\r\nAnthropic-Beta: b\r\nContent-Length: 33\r\n\r\n" +
				`{"max_tokens":5,"model":"real-0"}`},
		{"gemini, key in the query", formats.Gemini, func(p *config.Provider) { p.AuthHeader = "X-Goog-Api-Key" },
			"/gemini/v1beta/models/m0:streamGenerateContent?key=" + testKey + "&alt=sse", `{"contents":[]}`, []string{"Authorization", ""},
			"POST /v1beta/models/real-0:streamGenerateContent?alt=sse HTTP/1.1\r\nHost: HOST\r\nX-Goog-Api-Key: provider-secret\r\nAccept-Encoding: identity\r\nContent-Type: application/json\r\nUser-Agent: c\r\nContent-Length: 15\r\n\r\n" +
				`{"contents":[]}`},
		{"gemini batch", formats.Gemini, func(p *config.Provider) { p.AuthHeader = "X-Goog-Api-Key" },
			"/v1beta/models/m0:batchEmbedContents", `{"requests":[{"model":"models/m0","content":{}},{"content":{},"model":"models/m0"}]}`, []string{"Authorization", "", "X-Goog-Api-Key", testKey},
			"POST /v1beta/models/real-0:batchEmbedContents HTTP/1.1\r\nHost: HOST\r\nX-Goog-Api-Key: provider-secret\r\nAccept-Encoding: identity\r\nContent-Type: application/json\r\nUser-Agent: c\r\nContent-Length: 92\r\n\r\n" +
				`{"requests":[{"model":"models/real-0","content":{}},{"content":{},"model":"models/real-0"}]}`},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			var got string
			url := rawProvider(t, func(_ int, request []byte, c net.Conn) {
				got = string(request)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
			})
			h := newHouse(t, f.format, url)
			f.provider(h.config.Providers[0])
			h.gateway.Swap(NewSnapshot(h.config, h.policies, h.ids, newTracker(), h.gateway.current.Load(), nil))
			_ = text(t, h.post(f.path, f.body, append(f.headers, "User-Agent", "c")...).Body)
			want := strings.Replace(f.want, "HOST", h.config.Providers[0].HostHeader, 1)
			if got != want {
				t.Errorf("provider got\n%q\nwant\n%q", got, want)
			}
			if len(h.gateway.watcher.watched) != 0 {
				t.Error("a client is watched that waits for nothing")
			}
		})
	}
}
