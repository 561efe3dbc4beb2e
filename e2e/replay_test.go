//go:build e2e

package e2e

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// recording is one answer that a real provider once gave, and where there is one the request that it gave it to.
type recording struct {
	name        string
	path        string // of the gateway
	provider    string // of replayConfig
	model       string // that the client asks for; everything after it is the model at the provider
	request     string
	status      int
	contentType string
	body        string
	requestID   string
}

// fixtures is the folder of the recordings.
func fixtures(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SALLYPORT_FIXTURES")
	if dir == "" {
		t.Skip("SALLYPORT_FIXTURES is not set: no recorded provider traffic")
	}
	return dir
}

// cassette is the part of a recording by go-vcr that is replayed.
type cassette struct {
	Interactions []struct {
		Request struct {
			Body string `yaml:"body"`
			URL  string `yaml:"url"`
		} `yaml:"request"`
		Response struct {
			Body    string              `yaml:"body"`
			Headers map[string][]string `yaml:"headers"`
			Code    int                 `yaml:"code"`
		} `yaml:"response"`
	} `yaml:"interactions"`
}

// cassettes reads the recordings that come with their requests.
func cassettes(t *testing.T) (all []recording) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(fixtures(t), "openai-recorded", "*.yaml"))
	must(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(t, err)
		var c cassette
		must(t, yaml.Unmarshal(text, &c))
		for _, i := range c.Interactions {
			r := recording{
				name: filepath.Base(file), provider: "openai", request: i.Request.Body, status: i.Response.Code, body: i.Response.Body,
				contentType: http.Header(i.Response.Headers).Get("Content-Type"), requestID: http.Header(i.Response.Headers).Get("X-Request-Id"),
			}
			_, tail, _ := strings.Cut(i.Request.URL, "/v1/")
			if _, deployment, azure := strings.Cut(i.Request.URL, "/deployments/"); azure {
				r.provider = "azure"
				_, tail, _ = strings.Cut(deployment, "/")
			}
			r.path = "/v1/" + tail
			all = append(all, r)
		}
	}
	return all
}

// contracts reads the recordings that are answers only, and makes up requests for them.
func contracts(t *testing.T) (all []recording) {
	t.Helper()
	const chat = `{"messages":[{"role":"user","content":"Hello"}], "model" : "MODEL"%s}`
	for _, kind := range []struct{ folder, files, path, request string }{
		{"openai", "chat_*.json", "/v1/chat/completions", chat},
		{"openai", "chat_*.txt", "/v1/chat/completions", chat},
		{"openai", "responses.json", "/openai/v1/responses", `{"model":"MODEL","input":"Hello"%s}`},
		{"openai", "responses_stream.txt", "/v1/responses", `{"model":"MODEL","input":"Hello"%s}`},
		{"anthropic", "messages*", "/anthropic/v1/messages", `{"model":"MODEL","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]%s}`},
		{"gemini", "chat_*", "/v1/chat/completions", chat}, // of its API that is like OpenAI's
	} {
		files, err := filepath.Glob(filepath.Join(fixtures(t), "contract", kind.folder, kind.files))
		must(t, err)
		for _, file := range files {
			body, err := os.ReadFile(file)
			must(t, err)
			r := recording{
				name: kind.folder + "/" + filepath.Base(file), path: kind.path, provider: kind.folder, status: http.StatusOK,
				contentType: "application/json", body: string(body), requestID: "req_recorded",
			}
			more := ""
			if strings.HasSuffix(file, ".txt") {
				r.contentType = "text/event-stream"
				more = `,"stream":true`
			}
			r.request = strings.Replace(strings.Replace(kind.request, "%s", more, 1), "MODEL", "gpt-5-nano", 1)
			all = append(all, r)
		}
	}
	return all
}

// replayer answers with the recording that is due, and keeps what it was asked.
type replayer struct {
	*httptest.Server
	due  chan recording
	seen chan seen
}

func newReplayer(t *testing.T) *replayer {
	p := &replayer{due: make(chan recording, 1), seen: make(chan seen, 1)}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		p.seen <- seen{r.URL.Path, r.URL.RawQuery, r.Header.Clone(), string(body)}
		due := <-p.due
		w.Header().Set("Content-Type", due.contentType)
		w.Header().Set("X-Request-Id", due.requestID)
		w.Header().Set("Openai-Organization", "not-for-clients")
		w.WriteHeader(due.status)
		for line := range strings.Lines(due.body) {
			_, _ = io.WriteString(w, line) // the test finds out
			_ = http.NewResponseController(w).Flush()
		}
	}))
	t.Cleanup(p.Close)
	return p
}

const replayConfig = `
providers:
  - {name: openai, format: openai, base_url: "{{.Provider}}/v1", api_key: "${E2E_PROVIDER_KEY}"}
  - {name: gemini, format: openai, base_url: "{{.Provider}}/v1beta/openai", api_key: "${E2E_PROVIDER_KEY}"}
  - {name: anthropic, format: anthropic, base_url: "{{.Provider}}", api_key: "${E2E_PROVIDER_KEY}"}
  - name: azure
    format: openai
    base_url: "{{.Provider}}/openai/deployments/{model}"
    auth_header: api-key
    query: {api-version: 2024-12-01-preview}
    headers: {x-team: core}
    api_key: "${E2E_PROVIDER_KEY}"
models: [{{.Models}}]
keys:
  - {name: file, key: "${E2E_CLIENT_KEY}"}
`

// TestRecordings sends every recorded request through the gateway and holds both directions against the recording:
// upstream gets the client's bytes with nothing but the model changed, the client gets the provider's bytes.
func TestRecordings(t *testing.T) {
	all := append(cassettes(t), contracts(t)...)
	p := newReplayer(t)
	models := map[string]bool{}
	for i := range all {
		all[i].model = modelOf(t, all[i].request)
		models[aliasLine(&all[i])] = true
	}
	g := start(t, replayConfig, map[string]string{
		"Provider": p.URL, "Models": strings.Join(slices.Sorted(maps.Keys(models)), ", "),
	})
	for _, r := range all {
		t.Run(r.name, func(t *testing.T) { replay(t, g, p, &r) })
	}
	if len(all) < 30 {
		t.Errorf("only %d recordings", len(all))
	}
}

// modelOf returns the model that a recorded request names.
func modelOf(t *testing.T, request string) string {
	t.Helper()
	var named struct {
		Model string `yaml:"model"`
	}
	must(t, yaml.Unmarshal([]byte(request), &named)) // JSON is YAML
	return named.Model
}

// alias is what the client sends in place of the model: one per provider.
func alias(r *recording) string { return r.provider + "-" + r.model }

func aliasLine(r *recording) string {
	return `{alias: "` + alias(r) + `", provider: ` + r.provider + `, model: "` + r.model + `"}`
}

func replay(t *testing.T, g *gateway, p *replayer, r *recording) {
	quoted := func(model string) string { return `"` + model + `"` }
	p.due <- *r
	got := g.ask(clientKey, r.path, strings.Replace(r.request, quoted(r.model), quoted(alias(r)), 1))
	select {
	case up := <-p.seen:
		checkUpstream(t, r, &up)
	default:
		<-p.due
		t.Fatalf("the provider was not asked; the client got %s", got)
	}
	if got.status != r.status || got.body != r.body {
		t.Errorf("got %d and %d bytes, want %d and %d bytes: %s", got.status, len(got.body), r.status, len(r.body), firstDifference(got.body, r.body))
	}
	if h := got.header; h.Get("Content-Type") != r.contentType || h.Get("X-Request-Id") != r.requestID || got.id() == "" || h.Get("Openai-Organization") != "" {
		t.Errorf("headers %v", h)
	}
}

// checkUpstream holds what the provider got against the recorded request.
func checkUpstream(t *testing.T, r *recording, up *seen) {
	t.Helper()
	want := r.request
	if strings.Contains(want, `"stream"`) && !strings.Contains(want, "include_usage") && (strings.Contains(r.path, "completions")) {
		if !strings.Contains(up.body, `"include_usage":true`) {
			t.Errorf("usage was not asked for: %s", up.body)
		}
		up.body = withoutUsageOption(up.body)
	}
	if up.body != want {
		t.Errorf("the provider got\n%s\nwant\n%s", up.body, want)
	}
	credential := map[string]string{"azure": up.header.Get("Api-Key"), "anthropic": up.header.Get("X-Api-Key")}[r.provider]
	if credential == "" {
		credential = strings.TrimPrefix(up.header.Get("Authorization"), "Bearer ")
	}
	if credential != providerKey {
		t.Errorf("the provider got the credential %q", credential)
	}
	for name, values := range up.header {
		if slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, clientKey) }) {
			t.Errorf("the client's key went upstream in %s", name)
		}
	}
	if r.provider == "azure" && (up.query != "api-version=2024-12-01-preview" || up.header.Get("X-Team") != "core" || up.path != "/openai/deployments/"+r.model+"/chat/completions") {
		t.Errorf("azure got %s?%s %v", up.path, up.query, up.header)
	}
}

// withoutUsageOption takes out the one thing that the gateway adds to a body.
func withoutUsageOption(body string) string {
	const option = `"stream_options":{"include_usage":true}`
	for _, written := range []string{"," + option, option + ",", option} {
		if before, after, found := strings.Cut(body, written); found {
			return before + after
		}
	}
	return body
}

func firstDifference(got, want string) string {
	n := 0
	for n < len(got) && n < len(want) && got[n] == want[n] {
		n++
	}
	var b bytes.Buffer
	for _, s := range []string{got, want} {
		b.WriteString("…" + s[n:min(len(s), n+80)] + " ")
	}
	return b.String()
}
