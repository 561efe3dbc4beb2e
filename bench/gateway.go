package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/state"
)

// gateway is a Sallyport, with its defaults, and with everything on that a request can meet: three hooks answered by
// WebAssembly, a budget of the key and of its team, limits of both, records, metrics.
type gateway struct {
	*process
	admin   string
	setup   *setup
	args    []string
	answers int64 // that the load tools got of it
	cutOff  int64 // requests that may have been under way when a load tool stopped
	checked bool  // its accounts have been compared with that
}

// setup is what one gateway differs in from another.
type setup struct {
	name    string
	binary  string // "": the shelf's
	keys    int    // in the data folder, beside the one of the configuration
	idle    int    // policies that are never asked, because one before them answers
	passing int    // policies that are asked at each hook, and pass
}

const gatewayConfig = `version: 1
listen: {{.Address}}
data: {{.Data}}
policy_dir: {{.Data}}/none
admin: {listen: "{{.Admin}}", token: "` + adminToken + `"}
providers:
  - {name: bench, format: openai, base_url: "http://{{.Upstream}}/v1", api_key: the-providers-own-key}
models:
  - {alias: one, provider: bench, model: bench, price: {input: 0.27, output: 1.10}}
  - {alias: two, provider: bench, model: bench-2, price: {input: 0.27, output: 1.10}}
chains:
  - {name: bench, strategy: weighted, steps: [{model: one, priority: 1}, {model: two, priority: 2}]}
teams:
  - {name: bench, budget: {usd: 100000000, per: month}, rpm: 100000000, tpm: 1000000000000}
keys:
  - {name: bench, key: "` + benchKey + `", team: bench, budget: {usd: 10000000, per: day}, rpm: 100000000, tpm: 1000000000000, concurrent: 100000}
policies:
{{- range .Passing}}
  - {name: {{.}}, wasm: {{$.Pass}}, grants: {}}
{{- end}}
  - {name: default, wasm: "builtin:default", grants: {identities: read}}
{{- range .Idle}}
  - {name: {{.}}, wasm: "builtin:default", grants: {identities: read}}
{{- end}}
`

// gateway starts a Sallyport.
func (s *shelf) startGateway(set *setup) (*gateway, error) {
	data, err := s.dataFolder(set.keys)
	if err != nil {
		return nil, err
	}
	if err := makeKeys(data, set.keys); err != nil {
		return nil, fmt.Errorf("making %d keys: %w", set.keys, err)
	}
	g := &gateway{setup: set}
	pass := filepath.Join(data, "pass.wasm")
	if err := os.WriteFile(pass, passingPolicy(), 0o600); err != nil {
		return nil, err
	}
	file := filepath.Join(data, "policies.yaml")
	g.args = []string{"serve", "--config", file, "--log-level", "warn"}
	if set.binary == "" {
		set.binary = s.gateway
	}
	g.process, err = s.start(set.name, set.binary, func(address string) ([]string, error) {
		if g.admin, err = freeAddress(); err != nil {
			return nil, err
		}
		return g.args, fill(file, gatewayConfig, map[string]any{
			"Address": address, "Admin": g.admin, "Data": data, "Upstream": s.upstream.address, "Pass": pass,
			"Passing": names("passing", set.passing), "Idle": names("idle", set.idle),
		})
	})
	return g, err
}

// restart ends a gateway and starts it again with the same configuration.
func (s *shelf) restart(g *gateway) error {
	if err := s.end(g.process); err != nil {
		return err
	}
	p, err := start(g.name, g.address, g.setup.binary, g.args...)
	if err == nil {
		g.process = p
		s.add(p)
	}
	return err
}

// dataFolder makes the folder of a gateway's data, in memory if many keys are to be made in it: each of them is synced.
func (s *shelf) dataFolder(keys int) (string, error) {
	const memory = "/dev/shm"
	if keys == 0 || !exists(memory) {
		return os.MkdirTemp(s.folder, "data-")
	}
	folder, err := os.MkdirTemp(memory, "sallyport-bench-")
	if err == nil {
		s.inMemory = append(s.inMemory, folder)
	}
	return folder, err
}

func names(what string, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("%s-%d", what, i+1))
	}
	return all
}

// makeKeys fills a data folder with keys. They belong to no team, so that the number of keys is all that differs.
func makeKeys(data string, n int) (err error) {
	if n == 0 {
		return nil
	}
	st, err := state.Open(data, state.Options{Ballast: -1})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	pepper, err := st.Pepper()
	if err != nil {
		return err
	}
	hasher, err := identity.NewHasher(pepper)
	if err != nil {
		return err
	}
	for i := range n {
		digest := hasher.Digest(fmt.Appendf(nil, secretFormat, i))
		key := identity.Key{ID: fmt.Sprintf("key_%016x", i), Name: fmt.Sprintf("key-%d", i), Created: time.Now()}
		key.Limits[abi.RequestsPerMinute] = 100_000_000
		if err := st.CreateKey(context.Background(), key, &digest); err != nil {
			return err
		}
	}
	return nil
}

// counts is what a gateway says that it did.
type counts struct {
	Hooks                    map[string]int64
	Records, Dropped, Ledger int64
}

// counts asks the gateway's metrics and has its ledger verified.
func (g *gateway) counts() (*counts, error) {
	text, err := g.ask(http.MethodGet, "/metrics")
	if err != nil {
		return nil, err
	}
	c := &counts{Hooks: map[string]int64{}}
	for line := range strings.Lines(string(text)) {
		name, rest, _ := strings.Cut(line, "{")
		value, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
		if err != nil {
			continue // a comment
		}
		switch {
		case name == "sallyport_hook_duration_seconds_count":
			_, hook, _ := strings.Cut(rest, `hook="`)
			hook, _, _ = strings.Cut(hook, `"`)
			c.Hooks[hook] += int64(value)
		case name == "ai_gateway_requests_total":
			c.Records += int64(value)
		case strings.HasPrefix(line, "sallyport_request_log_dropped_total "):
			c.Dropped = int64(value)
		}
	}
	var v struct {
		Entries int64 `json:"entries"`
		OK      bool  `json:"ok"`
	}
	text, err = g.ask(http.MethodPost, "/admin/v1/ledger/verify")
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err == nil && !v.OK {
		err = fmt.Errorf("the ledger does not add up: %s", text)
	}
	c.Ledger = v.Entries
	return c, err
}

// ask asks the admin listener.
func (g *gateway) ask(method, path string) ([]byte, error) {
	r, err := http.NewRequest(method, "http://"+g.admin+path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %d: %s", path, resp.StatusCode, text)
	}
	return text, err
}
