package formats

import (
	"strings"
	"testing"
)

func TestFindRoute(t *testing.T) {
	tests := []struct {
		request   string
		match     Match
		format    Format
		operation Operation
		model     string
		framing   Framing // of the answer to a body with "stream": true
	}{
		{"POST /openai/v1/chat/completions", Found, OpenAI, Chat, "", SSE},
		{"POST /v1/chat/completions", Found, OpenAI, Chat, "", SSE},
		{"POST /v1/completions", Found, OpenAI, Completions, "", SSE},
		{"POST /openai/v1/responses", Found, OpenAI, Responses, "", SSE},
		{"POST /v1/embeddings", Found, OpenAI, Embeddings, "", Whole},
		{"GET /v1/models", Found, OpenAI, ListModels, "", Whole},
		{"GET /openai/v1/models/coding", Found, OpenAI, GetModel, "coding", Whole},
		{"GET /v1/models/meta-llama/Llama-3.1-8B", Found, OpenAI, GetModel, "meta-llama/Llama-3.1-8B", Whole},
		{"GET /v1/models/llama3:8b", Found, OpenAI, GetModel, "llama3:8b", Whole},
		{"GET /v1/models/a//b", NotFound, 0, 0, "", Whole},
		{"GET /v1/models/a/../b", NotFound, 0, 0, "", Whole},
		{"GET /v1/models/", NotFound, 0, 0, "", Whole},
		{"GET /v1/models/a%2Fb", NotFound, 0, 0, "", Whole},
		{"GET /v1/models/" + strings.Repeat("x", MaxModel+1), NotFound, 0, 0, "", Whole},
		{"GET /v1/chat/completions", WrongMethod, OpenAI, Chat, "", SSE},
		{"POST /v1/models", WrongMethod, OpenAI, ListModels, "", Whole},
		{"post /v1/chat/completions", WrongMethod, OpenAI, Chat, "", SSE},
		{"POST /v1/chat/completions/", NotFound, 0, 0, "", Whole},
		{"POST /v1/Chat/completions", NotFound, 0, 0, "", Whole},
		{"POST /chat/completions", NotFound, 0, 0, "", Whole},
		{"POST /openai/v1", NotFound, 0, 0, "", Whole},
		{"POST /openai/v1beta/models/x:generateContent", NotFound, 0, 0, "", Whole},

		{"POST /anthropic/v1/messages", Found, Anthropic, Messages, "", SSE},
		{"POST /v1/messages", Found, Anthropic, Messages, "", SSE},
		{"POST /anthropic/v1/messages/count_tokens", Found, Anthropic, CountTokens, "", Whole},
		{"POST /v1/messages/count_tokens", Found, Anthropic, CountTokens, "", Whole},
		{"POST /v1/messages/batches", NotFound, 0, 0, "", Whole},
		{"POST /openai/v1/messages", NotFound, 0, 0, "", Whole},
		{"POST /anthropic/v1/chat/completions", NotFound, 0, 0, "", Whole},
		{"GET /anthropic/v1/models", Found, Anthropic, ListModels, "", Whole},
		{"GET /anthropic/v1/models/sonnet", Found, Anthropic, GetModel, "sonnet", Whole},
		{"GET /anthropic/v1/models/a/b", NotFound, 0, 0, "", Whole},

		{"POST /gemini/v1beta/models/flash:generateContent", Found, Gemini, Generate, "flash", Whole},
		{"POST /v1beta/models/flash:generateContent", Found, Gemini, Generate, "flash", Whole},
		{"POST /v1beta/models/flash:streamGenerateContent", Found, Gemini, Generate, "flash", JSONArray},
		{"POST /v1beta/models/flash:streamGenerateContent?alt=sse", Found, Gemini, Generate, "flash", SSE},
		{"POST /v1beta/models/flash:generateContent?alt=sse", Found, Gemini, Generate, "flash", Whole},
		{"POST /v1beta/models/flash:countTokens", Found, Gemini, CountTokens, "flash", Whole},
		{"POST /v1beta/models/flash:embedContent", Found, Gemini, Embed, "flash", Whole},
		{"POST /v1beta/models/flash:batchEmbedContents", Found, Gemini, BatchEmbed, "flash", Whole},
		{"POST /v1beta/models/llama3:8b:generateContent", Found, Gemini, Generate, "llama3:8b", Whole},
		{"GET /v1beta/models", Found, Gemini, ListModels, "", Whole},
		{"GET /gemini/v1beta/models/flash", Found, Gemini, GetModel, "flash", Whole},
		{"GET /v1beta/models/flash:generateContent", WrongMethod, Gemini, Generate, "flash", Whole},
		{"POST /v1beta/models/flash:predict", WrongMethod, Gemini, GetModel, "flash:predict", Whole},
		{"POST /v1beta/models/:generateContent", NotFound, 0, 0, "", Whole},
		{"POST /v1beta/models/a/b:generateContent", NotFound, 0, 0, "", Whole},
		{"POST /v1beta/models/a%2fb:generateContent", NotFound, 0, 0, "", Whole},
		{"POST /v1beta/models/flâsh:generateContent", NotFound, 0, 0, "", Whole},
		{"POST /v1/models/flash:generateContent", WrongMethod, OpenAI, GetModel, "flash:generateContent", Whole},
	}
	for _, test := range tests {
		method, path, _ := strings.Cut(test.request, " ")
		path, sse := strings.CutSuffix(path, "?alt=sse")
		r, match := FindRoute([]byte(method), []byte(path), sse)
		if match != test.match {
			t.Errorf("%s: match %d, want %d", test.request, match, test.match)
			continue
		}
		if match == NotFound {
			continue
		}
		if r.Format != test.format || r.Operation != test.operation || string(r.Model) != test.model {
			t.Errorf("%s: %v %v %q, want %v %v %q", test.request, r.Format, r.Operation, r.Model, test.format, test.operation, test.model)
		}
		if got := r.AnswerFraming(true); got != test.framing {
			t.Errorf("%s: framing %d, want %d", test.request, got, test.framing)
		}
		if wrong := r.Method != method; wrong != (match == WrongMethod) {
			t.Errorf("%s: answered %d, but its method is %s", test.request, match, r.Method)
		}
	}
}

func TestAppendUpstreamPath(t *testing.T) {
	tests := []struct{ path, base, model, want string }{
		{"/v1/chat/completions", "/v1", "gpt-5", "/v1/chat/completions"},
		{"/openai/v1/responses", "", "gpt-5", "/responses"},
		{"/v1/embeddings", "/openai/deployments/{model}", "my deploy/é", "/openai/deployments/my%20deploy%2F%C3%A9/embeddings"},
		{"/v1/messages", "", "claude", "/v1/messages"},
		{"/anthropic/v1/messages/count_tokens", "/proxy", "claude", "/proxy/v1/messages/count_tokens"},
		{"/v1beta/models/alias:streamGenerateContent", "", "gemini-2.5-pro", "/v1beta/models/gemini-2.5-pro:streamGenerateContent"},
		{"/gemini/v1beta/models/alias:countTokens", "/g", "a/b?c", "/g/v1beta/models/a%2Fb%3Fc:countTokens"},
	}
	for _, test := range tests {
		r, match := FindRoute([]byte("POST"), []byte(test.path), false)
		if match != Found {
			t.Fatalf("%s: not found", test.path)
		}
		if got := string(AppendUpstreamPath(nil, &r, test.base, test.model)); got != test.want {
			t.Errorf("%s at %q: %s, want %s", test.path, test.base, got, test.want)
		}
	}
}

func TestFormatOf(t *testing.T) {
	tests := []struct {
		path string
		want Format
	}{
		{"/", OpenAI}, {"/v1/files", OpenAI}, {"/openai/v1/files", OpenAI}, {"/anthropics", OpenAI}, {"/v1/messagesx", OpenAI},
		{"/anthropic/v1/files", Anthropic}, {"/v1/messages/batches", Anthropic}, {"/anthropic", Anthropic},
		{"/gemini/v1/x", Gemini}, {"/v1beta/files", Gemini}, {"/v1beta", Gemini},
	}
	for _, test := range tests {
		if got := FormatOf([]byte(test.path)); got != test.want {
			t.Errorf("FormatOf(%s) = %v, want %v", test.path, got, test.want)
		}
	}
}

func TestRoutingAllocatesNothing(t *testing.T) {
	dst := make([]byte, 0, 256)
	method, path := []byte("POST"), []byte("/gemini/v1beta/models/flash:streamGenerateContent")
	allocs := testing.AllocsPerRun(100, func() {
		r, match := FindRoute(method, path, true)
		if match != Found {
			t.Fatal("not found")
		}
		dst = AppendUpstreamPath(dst[:0], &r, "/base", "gemini-2.5-flash")
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkFindRoute(b *testing.B) {
	method, path := []byte("POST"), []byte("/openai/v1/chat/completions")
	b.ReportAllocs()
	for b.Loop() {
		if _, match := FindRoute(method, path, false); match != Found {
			b.Fatal("not found")
		}
	}
}
