//go:build e2e

package e2e

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/internal/demo"
)

// slowDelay is the time between two events of the slow provider: a stream of it takes seconds.
const slowDelay = 200 * time.Millisecond

// upstream is the demo provider, once at full speed and once slow under /slow, and what it saw.
type upstream struct {
	*httptest.Server
	gone chan time.Time // when it found that its caller had left

	mu   sync.Mutex
	seen []seen
}

// seen is one request as the provider got it.
type seen struct {
	path, query string
	header      http.Header
	body        string
}

func newUpstream(t *testing.T) *upstream {
	u := &upstream{gone: make(chan time.Time, 100)}
	options := demo.Options{
		Credential: providerKey,
		Saw:        u.saw,
		Gone:       func(*http.Request) { u.gone <- time.Now() },
	}
	mux := http.NewServeMux()
	mux.Handle("/", demo.Handler(options))
	options.Delay = slowDelay
	mux.Handle("/slow/", http.StripPrefix("/slow", demo.Handler(options)))
	u.Server = httptest.NewServer(mux)
	t.Cleanup(u.Close)
	return u
}

func (u *upstream) saw(r *http.Request, body []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.seen = append(u.seen, seen{r.URL.Path, r.URL.RawQuery, r.Header.Clone(), string(body)})
}

// take returns what was seen since it was last asked.
func (u *upstream) take() []seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := slices.Clone(u.seen)
	u.seen = nil
	return all
}

// demoConfig routes every format to the demo provider. The aliases that misbehave are models that the provider
// misbehaves for.
const demoConfig = `
providers:
  - {name: openai, format: openai, base_url: "{{.Provider}}/v1", api_key: "${E2E_PROVIDER_KEY}"}
  - {name: claude, format: anthropic, base_url: "{{.Provider}}", api_key: "${E2E_PROVIDER_KEY}"}
  - {name: google, format: gemini, base_url: "{{.Provider}}", api_key: "${E2E_PROVIDER_KEY}"}
  - {name: slow-openai, format: openai, base_url: "{{.Provider}}/slow/v1", api_key: "${E2E_PROVIDER_KEY}"}
  - {name: slow-claude, format: anthropic, base_url: "{{.Provider}}/slow", api_key: "${E2E_PROVIDER_KEY}"}
  - {name: slow-google, format: gemini, base_url: "{{.Provider}}/slow", api_key: "${E2E_PROVIDER_KEY}"}
  - {name: stranger, format: openai, base_url: "{{.Provider}}/v1", api_key: another-key}
models:
  - {alias: chat, provider: openai, model: demo-chat-1, context: 128000, price: {input: 0.27, output: 1.10}}
  - {alias: embedding, provider: openai, model: demo-embedding-1, price: {input: 0.02, output: 0}}
  - {alias: limited, provider: openai, model: demo-error-429}
  - {alias: cut, provider: openai, model: demo-cut}
  - {alias: slow, provider: slow-openai, model: demo-chat-1}
  - {alias: stranger, provider: stranger, model: demo-chat-1}
  - {alias: claude, provider: claude, model: demo-claude-1, price: {input: 3, output: 15}}
  - {alias: claude-limited, provider: claude, model: demo-error-429}
  - {alias: claude-cut, provider: claude, model: demo-cut}
  - {alias: claude-slow, provider: slow-claude, model: demo-claude-1}
  - {alias: gemini, provider: google, model: demo-gemini-1, price: {input: 0.30, output: 2.50}}
  - {alias: gemini-limited, provider: google, model: demo-error-429}
  - {alias: gemini-cut, provider: google, model: demo-cut}
  - {alias: gemini-slow, provider: slow-google, model: demo-gemini-1}
chains:
  - {name: team, steps: [{model: limited, priority: 1}, {model: chat, priority: 2}]}
keys:
  - {name: file, key: "${E2E_CLIENT_KEY}"}
`

// startDemo starts a gateway in front of the demo provider.
func startDemo(t *testing.T) (*gateway, *upstream) {
	t.Helper()
	u := newUpstream(t)
	return start(t, demoConfig, map[string]string{"Provider": u.URL}), u
}
