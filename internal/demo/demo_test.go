package demo

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/formats"
)

// ask sends one request to a provider and returns the answer.
func ask(t *testing.T, o Options, path, body string) (int, string, error) {
	t.Helper()
	s := httptest.NewServer(Handler(o))
	defer s.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer k")
	r.Header.Set("X-Api-Key", "k")
	r.Header.Set("X-Goog-Api-Key", "k")
	r.Header.Set("Anthropic-Version", "2023-06-01")
	resp, err := s.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// requests is one request of every kind, with what its answer must hold.
var requests = []struct{ path, body, want string }{
	{"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, "You said: hi. I am m"},
	{"/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"a":{"type":"string"}},"required":["a"]}}}]}`, `"arguments":"{\"a\":\"Berlin\"}"`},
	{"/v1/completions", `{"model":"m","prompt":"hi"}`, "You said: hi"},
	{"/v1/responses", `{"model":"m","input":"hi"}`, "You said: hi"},
	{"/v1/embeddings", `{"model":"m","input":["a","b"]}`, `"index":1`},
	{"/v1/messages", `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`, "You said: hi"},
	{"/v1/messages/count_tokens", `{"model":"m","messages":[{"role":"user","content":"hello"}]}`, `{"input_tokens":2}`},
	{"/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"text":"hi"}]}]}`, "You said: hi. I am m"},
	{"/v1beta/models/m:countTokens", `{"contents":[{"parts":[{"text":"hello"}]}]}`, `{"totalTokens":2}`},
	{"/v1beta/models/m:embedContent", `{"content":{"parts":[{"text":"hi"}]}}`, `"values":[`},
	{"/v1beta/models/m:batchEmbedContents", `{"requests":[{"content":{"parts":[{"text":"hi"}]}}]}`, `"embeddings":[`},
}

func TestAnswersAreTheSameEveryTime(t *testing.T) {
	for _, r := range requests {
		status, first, err := ask(t, Options{}, r.path, r.body)
		if err != nil || status != 200 || !strings.Contains(first, r.want) {
			t.Errorf("%s: %d %s, %v; want %s", r.path, status, first, err, r.want)
		}
		if _, second, _ := ask(t, Options{}, r.path, r.body); second != first {
			t.Errorf("%s: a second answer differs", r.path)
		}
	}
}

func TestCredentialAndErrors(t *testing.T) {
	for _, r := range requests {
		if status, _, _ := ask(t, Options{Credential: "k"}, r.path, r.body); status != 200 {
			t.Errorf("%s with the credential: %d", r.path, status)
		}
		if status, body, _ := ask(t, Options{Credential: "other"}, r.path, r.body); status != 401 || !strings.Contains(body, `"error"`) {
			t.Errorf("%s with another credential: %d %s", r.path, status, body)
		}
		wanting := strings.NewReplacer(`"model":"m"`, `"model":"demo-error-429"`, "/m:", "/demo-error-429:")
		if status, _, _ := ask(t, Options{}, wanting.Replace(r.path), wanting.Replace(r.body)); status != 429 {
			t.Errorf("%s asked for 429: %d", r.path, status)
		}
	}
}

// The streams are what the gateway takes for complete, with usage; a cut one is not.
func TestStreams(t *testing.T) {
	for _, s := range []struct{ path, body string }{
		{"/v1/chat/completions", `{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}`},
		{"/v1/completions", `{"model":"m","stream":true,"stream_options":{"include_usage":true},"prompt":"hi"}`},
		{"/v1/responses", `{"model":"m","stream":true,"input":"hi"}`},
		{"/v1/messages", `{"model":"m","stream":true,"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`},
		{"/v1beta/models/m:streamGenerateContent?alt=sse", `{"contents":[{"parts":[{"text":"hi"}]}]}`},
		{"/v1beta/models/m:streamGenerateContent", `{"contents":[{"parts":[{"text":"hi"}]}]}`},
	} {
		for _, model := range []string{"m", cutModel} {
			wanting := strings.NewReplacer(`"model":"m"`, `"model":"`+model+`"`, "/m:", "/"+model+":")
			_, text, err := ask(t, Options{}, wanting.Replace(s.path), wanting.Replace(s.body))
			meter := read(s.path, text)
			if whole := model == "m"; meter.Complete() != whole || whole && !meter.UsageSeen || (err == nil) != whole {
				t.Errorf("%s of %s: complete %v, usage %v, %v", s.path, model, meter.Complete(), meter.Usage, err)
			}
		}
	}
}

// read reads a stream as the gateway does.
func read(path, text string) *formats.Meter {
	bare, query, _ := strings.Cut(path, "?")
	route, _ := formats.FindRoute([]byte("POST"), []byte(bare), query == "alt=sse")
	var meter formats.Meter
	var splitter formats.Splitter
	meter.Reset(&route, true)
	splitter.Reset(route.AnswerFraming(true))
	for rest := []byte(text); ; {
		n, data, ok := splitter.Next(rest)
		if !ok {
			return &meter
		}
		if data != nil {
			meter.Event(data)
		}
		rest = rest[n:]
	}
}
