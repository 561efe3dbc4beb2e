//go:build e2e

package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// TestCurl asks as a person at a terminal does: an answer, a stream that arrives, and errors in every dialect.
func TestCurl(t *testing.T) {
	g, _ := startDemo(t)
	const gemini = `{"contents":[{"parts":[{"text":"hi"}]}]}`
	claude := `{"model":"claude","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`
	bearer, foreign := "Authorization: Bearer "+clientKey, "Authorization: Bearer nobody"
	for _, fact := range []struct {
		name string
		args []string
		want []string
	}{
		{"chat", []string{"/v1/chat/completions", "-H", bearer, "-d", hello("chat")}, []string{" 200 ", "You said: hi", "x-sallyport-request-id: req_"}},
		{"long path", []string{"/openai/v1/chat/completions", "-H", bearer, "-d", hello("chat")}, []string{" 200 ", "You said: hi"}},
		{"other header", []string{"/v1/chat/completions", "-H", "X-Api-Key: " + clientKey, "-d", hello("chat")}, []string{" 200 "}},
		{"stream", []string{"/v1/chat/completions", "-N", "-H", bearer, "-d", strings.Replace(hello("chat"), "{", `{"stream": true, `, 1)}, []string{"text/event-stream", "data: [DONE]"}},
		{"claude", []string{"/anthropic/v1/messages", "-H", "x-api-key: " + clientKey, "-H", "anthropic-version: 2023-06-01", "-d", claude}, []string{" 200 ", `"type":"message"`}},
		{"gemini in the query", []string{"/v1beta/models/gemini:generateContent?key=" + clientKey, "-d", gemini}, []string{" 200 ", `"candidates"`}},
		{"gemini array", []string{"/v1beta/models/gemini:streamGenerateContent", "-H", "x-goog-api-key: " + clientKey, "-d", gemini}, []string{" 200 ", "\r\n[{", "}]"}},
		{"health", []string{"/v1/health"}, []string{" 200 "}},
		{"no key", []string{"/v1/models"}, []string{" 401 ", `"code":"invalid_api_key"`}},
		{"foreign key", []string{"/v1/chat/completions", "-H", foreign, "-d", hello("chat")}, []string{" 401 ", `{"error":`, `"code":"invalid_api_key"`}},
		{"two keys", []string{"/v1/chat/completions", "-H", bearer, "-H", "X-Api-Key: " + clientKey, "-d", hello("chat")}, []string{" 400 "}},
		{"not JSON", []string{"/v1/chat/completions", "-H", bearer, "-d", "{"}, []string{" 400 ", `"code":"invalid_json"`}},
		{"two models", []string{"/anthropic/v1/messages", "-H", bearer, "-d", `{"model":"claude","model":"claude"}`}, []string{" 400 ", `{"type":"error"`, "duplicate_field"}},
		{"no such path", []string{"/v1beta/nothing", "-H", bearer, "-d", "{}"}, []string{" 404 ", `{"error":{"code":404`}},
		{"chunked upload", []string{"/v1/chat/completions", "-H", bearer, "-H", "Transfer-Encoding: chunked", "-d", hello("chat")}, []string{" 200 "}},
	} {
		t.Run(fact.name, func(t *testing.T) {
			args := append([]string{"-sS", "-i", "--noproxy", "*", "-H", "Content-Type: application/json", g.url + fact.args[0]}, fact.args[1:]...)
			out, err := exec.CommandContext(t.Context(), "curl", args...).CombinedOutput()
			for _, want := range fact.want {
				if !strings.Contains(strings.ToLower(string(out)), strings.ToLower(want)) {
					t.Errorf("%v: no %q in\n%s", err, want, out)
				}
			}
			if strings.Contains(string(out), clientKey) || strings.Contains(string(out), providerKey) {
				t.Errorf("a credential came back:\n%s", out)
			}
		})
	}
}
