package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain makes the test's program compile policies, as the real one does: who compiles is this very program once more,
// and without the command it would run all tests again, each of which would compile.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == compileCommand {
		main()
		return
	}
	os.Exit(m.Run())
}

const benchConfig = `
version: 1
data: ./data
providers:
  - {name: openai, format: openai, base_url: "https://provider.invalid/v1", api_key: provider-key}
  - {name: claude, format: anthropic, base_url: "https://provider.invalid", api_key: provider-key}
  - {name: google, format: gemini, base_url: "https://provider.invalid", api_key: provider-key}
models:
  - {alias: chat, provider: openai, model: m-1, price: {input: 1, output: 2}}
  - {alias: claude, provider: claude, model: m-2, price: {input: 1, output: 2}}
  - {alias: gemini, provider: google, model: m-3, price: {input: 1, output: 2}}
policies:
  - {name: default, wasm: "builtin:default", grants: {identities: read}}
`

// The user's providers are not asked, and nothing is written beside the configuration.
func TestBench(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles policies")
	}
	file := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(file, []byte(benchConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, model := range []string{"chat", "claude", "gemini"} {
		flags := &benchFlags{config: file, model: model, long: 100 * time.Millisecond, connections: 2, size: 100, asJSON: true}
		var out, log bytes.Buffer
		if err := runBench(t.Context(), flags, &out, &log); err != nil {
			t.Fatalf("%s: %v\n%s", model, err, log.String())
		}
		var r benchReport
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatal(err)
		}
		if r.Model != model || r.Direct.Requests == 0 || r.Through.Requests == 0 || r.Direct.P50 <= 0 || r.Through.P50 <= 0 {
			t.Errorf("%s: %+v", model, r)
		}
		calls := map[string]int64{}
		for _, h := range r.Hooks {
			calls[h.Hook] += h.Calls
		}
		if n := int64(r.Through.Requests); calls["authenticate"] != n || calls["price_response"] < n {
			t.Errorf("%s: %d requests, and hooks were called %v", model, n, calls)
		}
		out.Reset()
		if err := r.write(&out, false); err != nil || !strings.Contains(out.String(), "ADDED") || !strings.Contains(out.String(), "authenticate") {
			t.Errorf("%v:\n%s", err, out.String())
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); len(left) != 1 {
		t.Errorf("beside the configuration there is %q", left)
	}
}

func TestBenchRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(file, []byte(benchConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, flags := range map[string]*benchFlags{
		"no connections": {config: file, long: time.Second},
		"no time":        {config: file, connections: 1},
		"another model":  {config: file, model: "other", long: time.Second, connections: 1},
	} {
		if err := runBench(t.Context(), flags, new(bytes.Buffer), new(bytes.Buffer)); err == nil {
			t.Errorf("%s: it was measured", name)
		}
	}
}
