package config

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/prices"
)

// environment returns a look-up of variables, given as name and value in turn.
func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

// write puts a file into a folder of the test and returns its path.
func write(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// mustLoad loads a text that is right.
func mustLoad(t *testing.T, text string, env ...string) *Snapshot {
	t.Helper()
	s, err := Load(write(t, t.TempDir(), "policies.yaml", text), environment(env...))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const whole = `
version: 1
listen: ":9000"
prefix: /llm
data: state
policy_dir: plugins
public_models: true
max_body: 1MiB
admin: {listen: "127.0.0.1:9001", token: "${TOKEN}"}
providers:
  - {name: deepseek, format: openai, base_url: "https://API.deepseek.com/v1/", api_key: "${DEEPSEEK}"}
  - name: azure
    format: openai
    base_url: https://me.openai.azure.com:8443/openai/deployments/{model}
    auth_header: api-key
    query: {api-version: 2026-01-01, x: "a b"}
    headers: {x-team: core}
    include_usage: false
    api_key: abc
  - {name: claude, format: anthropic, base_url: "http://[::1]"}
models:
  - {alias: deepseek, provider: deepseek, model: deepseek-v4-flash, context: 128000, price: {input: 0.27, output: 1.10, cache_read: 0.07}}
  - {alias: gpt, provider: azure, model: "gpt <5>", context: 200000, price: none}
  - {alias: sonnet, provider: claude, model: claude-sonnet-4-5, price: none}
chains:
  - name: coding
    strategy: weighted
    timeouts: {connect: 1s, gap: 1m30s}
    steps: [{model: deepseek, priority: 1, weight: 50}, {model: gpt, priority: 2}]
teams: [{name: research}]
keys:
  - {name: ci, key: "${CI}", team: research, models: [coding, "claude-*"], expires: 2027-01-01}
  - {name: open, key: 0123456789abcdef, expires: 2027-01-01T02:00:00+02:00}
policies:
  - {name: default, wasm: "builtin:default", hooks: [authenticate, choose_step], grants: {identities: read}}
  - name: hours
    wasm: ./plugins/hours.wasm
    hooks: [authenticate]
    veto: true
    config: {tz: "${TZ}", days: [1, 2.50, null], deep: {on: true, from: 2026-01-01}}
    limits: {fuel: 10000000, time: 100ms, memory: 16MiB}
    grants: {kv: own, inputs: [credential, request.headers.x-team]}
`

func TestLoadWhole(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, "policies.yaml", whole)
	for _, name := range []string{"hours.wasm", "b.wasm", "a.wasm", ".hidden.wasm", "x.tmp.wasm", "~y.wasm", "notes.txt"} {
		write(t, dir, "plugins/"+name, "")
	}
	secret := strings.Repeat("s", 16)
	got, err := Load(file, environment("TOKEN", secret, "DEEPSEEK", "sk-1", "CI", "ci-"+secret, "TZ", `Europe/"Berlin"`))
	if err != nil {
		t.Fatal(err)
	}
	deepseek := &Provider{
		Name: "deepseek", Format: formats.OpenAI, TLS: true, Host: "API.deepseek.com:443", HostHeader: "API.deepseek.com",
		Path: "/v1", Credentials: []string{"sk-1"}, AuthHeader: "Authorization", IncludeUsage: true,
		MaxConnections: 16384,
	}
	azure := &Provider{
		Name: "azure", Format: formats.OpenAI, TLS: true, Host: "me.openai.azure.com:8443", HostHeader: "me.openai.azure.com:8443",
		Path: "/openai/deployments/{model}", AuthHeader: "Api-Key", Query: "api-version=2026-01-01&x=a+b",
		Headers: []Header{{"X-Team", "core"}}, Credentials: []string{"abc"}, MaxConnections: 16384,
	}
	claude := &Provider{
		Name: "claude", Format: formats.Anthropic, Host: "[::1]:80", HostHeader: "[::1]", AuthHeader: "X-Api-Key", IncludeUsage: true,
		AllowPrivate: true, MaxConnections: 16384,
	}
	terms := prices.Terms{Entries: make([]prices.Entry, 1)}
	terms.Entries[0].Set(abi.Input, 270_000_000)
	terms.Entries[0].Set(abi.Output, 1_100_000_000)
	terms.Entries[0].Set(abi.CacheRead, 70_000_000)
	tariff, err := prices.New(terms, "policies.yaml")
	must(t, err)
	price := tariff.Row(time.Now(), 0)
	first := Step{
		Alias: "deepseek", Provider: deepseek, Model: "deepseek-v4-flash", ModelJSON: []byte(`"deepseek-v4-flash"`), Tariff: tariff,
		Context: 128000, Patience: patience(false),
	}
	second := Step{
		Alias: "gpt", Provider: azure, Model: "gpt <5>", ModelJSON: []byte(`"gpt <5>"`), Context: 200000, Patience: patience(false),
	}
	third := Step{
		Alias: "sonnet", Provider: claude, Model: "claude-sonnet-4-5", ModelJSON: []byte(`"claude-sonnet-4-5"`), Patience: patience(false),
	}
	stated := Timeouts{Connect: time.Second, Gap: 90 * time.Second}
	inChain := func(s Step) Step {
		s.Patience = patience(false, stated)
		return s
	}
	alias := func(s Step, context int, price *abi.PriceRow) *Chain {
		return &Chain{
			Name: s.Alias, Alias: true, Format: s.Provider.Format, Steps: []Step{s}, Context: context,
			Choices:  []abi.Step{{Model: s.Alias, Provider: s.Provider.Name, Priority: 1, Weight: 1, Price: price, Context: int64(context)}},
			Strategy: Weighted, Total: 15 * time.Minute, Failure: Failure{Retries: 1, LargerContext: true},
		}
	}
	newYear := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	want := &Snapshot{
		File: file, Listen: ":9000", Prefix: "/llm", Data: filepath.Join(dir, "state"), PolicyDir: filepath.Join(dir, "plugins"),
		PublicModels: true, MaxBody: 1 << 20, Admin: Admin{"127.0.0.1:9001", secret},
		Providers: []*Provider{deepseek, azure, claude},
		Chains: map[string]*Chain{
			"deepseek": alias(first, 128000, price), "gpt": alias(second, 200000, nil), "sonnet": alias(third, 0, nil),
			"coding": {
				Name: "coding", Format: formats.OpenAI, Steps: []Step{inChain(first), inChain(second)}, Context: 200000,
				Choices: []abi.Step{
					{Model: "deepseek", Provider: "deepseek", Priority: 1, Weight: 50, Price: price, Context: 128000},
					{Model: "gpt", Provider: "azure", Priority: 2, Weight: 1, Context: 200000},
				},
				Strategy: Weighted, Total: 15 * time.Minute, Failure: Failure{Retries: 1, LargerContext: true}, stated: stated,
			},
		},
		Names: []string{"coding", "deepseek", "gpt", "sonnet"},
		Teams: []abi.Team{{Name: "research"}},
		Keys: []Key{
			{Name: "ci", Secret: "ci-" + secret, Team: "research", Models: []string{"coding", "claude-*"}, Expires: newYear},
			{Name: "open", Secret: "0123456789abcdef", Expires: newYear},
		},
		Policies: []Policy{
			{Name: "default", Builtin: "default", Hooks: []abi.Hook{abi.Authenticate, abi.ChooseStep}, Grants: Grants{Identities: true}, Line: 35},
			{
				Name: "hours", Path: filepath.Join(dir, "plugins/hours.wasm"), Hooks: []abi.Hook{abi.Authenticate}, Veto: true,
				Config: json.RawMessage(`{"tz":"Europe/\"Berlin\"","days":[1,2.50,null],"deep":{"on":true,"from":"2026-01-01"}}`),
				Limits: Limits{10_000_000, 100 * time.Millisecond, 16 << 20},
				Grants: Grants{KV: true, Inputs: []string{"credential", "request.headers.x-team"}}, Line: 36,
			},
			{Name: "a", Path: filepath.Join(dir, "plugins/a.wasm")},
			{Name: "b", Path: filepath.Join(dir, "plugins/b.wasm")},
		},
	}
	want.Ledger, want.Alerts, want.RequestLog, want.Disk = defaultLedger(), defaultAlerts(), defaultRequestLog(), defaultDisk()
	want.Drain, want.Idempotency, want.Trace = defaultDrain(), defaultIdempotency(), defaultTrace()
	want.Lines = map[string]int{}
	for _, part := range []string{"", ".tz", ".days", ".days[0]", ".days[1]", ".days[2]", ".deep", ".deep.from", ".deep.on"} {
		want.Lines["policies[1].config"+part] = 40
	}
	for i := range got.Keys { // the zone of a time is not part of its meaning
		got.Keys[i].Expires = got.Keys[i].Expires.UTC()
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %s\nwant %s", dump(got), dump(want))
	}
	paths := []string{file, want.PolicyDir, want.Policies[1].Path, want.Policies[2].Path, want.Policies[3].Path, filepath.Join(dir, "plugins.lock")}
	if got := got.Paths(); !slices.Equal(got, paths) {
		t.Errorf("Paths() = %q, want %q", got, paths)
	}
}

func dump(s *Snapshot) string {
	text, _ := json.MarshalIndent(s, "", " ")
	return string(text)
}

func TestLoadDefaults(t *testing.T) {
	s := mustLoad(t, "version: 1")
	dir := filepath.Dir(s.File)
	want := &Snapshot{
		File: s.File, Listen: "127.0.0.1:8080", Data: filepath.Join(dir, "data"), MaxBody: 32 << 20,
		Admin: Admin{Listen: "127.0.0.1:8081"}, Chains: map[string]*Chain{}, Lines: map[string]int{},
		Ledger: Ledger{
			Durability: Process, Estimate: Learned, AssumedOutput: 4096, Unpriced: RefuseUnpriced, OnFailure: RefuseRequests,
			Crash: BookReservation, Ambiguous: BookInput, ClientGone: BookRelayed, Retention: 400 * 24 * time.Hour,
		},
		Alerts:     Alerts{At: []int{80, 100}},
		RequestLog: RequestLog{30 * 24 * time.Hour, 4 << 30},
		Disk:       Disk{512 << 20, 256 << 20, 64 << 20},
		Drain:      Drain{0, 30 * time.Second},

		Idempotency: Idempotency{24 * time.Hour, false, 1 << 20},
		Trace:       Trace{0, 256 << 20},
		Policies: []Policy{{
			Name: "default", Builtin: "default", Hooks: []abi.Hook{abi.Authenticate, abi.ChooseStep, abi.PriceResponse},
			Grants: Grants{Identities: true},
		}},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got  %s\nwant %s", dump(s), dump(want))
	}
}

// A file that lists no policies on purpose gets none; one that has no policies section gets the built-in one.
func TestLoadWithoutPolicies(t *testing.T) {
	if s := mustLoad(t, "{version: 1, policies: []}"); len(s.Policies) != 0 {
		t.Errorf("policies: [] gave %v", s.Policies)
	}
}

func TestLoadPolicyDirThatIsMadeLater(t *testing.T) {
	s := mustLoad(t, "{version: 1, policy_dir: later}")
	if s.PolicyDir != filepath.Join(filepath.Dir(s.File), "later") || len(s.Policies) != 1 {
		t.Errorf("got %s", dump(s))
	}
}

func TestExample(t *testing.T) {
	var asked []string
	s, err := Load("../policies.example.yaml", func(name string) (string, bool) {
		asked = append(asked, name)
		return strings.Repeat(name, 4), true
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Providers) != 5 || len(s.Names) != 6 || len(s.Keys) != 1 || len(s.Policies) < 1 {
		t.Errorf("got %s", dump(s))
	}
	if !reflect.DeepEqual(
		[]any{s.Ledger, s.Alerts, s.RequestLog, s.Disk, s.Drain, s.Idempotency, s.Trace},
		[]any{defaultLedger(), defaultAlerts(), defaultRequestLog(), defaultDisk(), defaultDrain(), defaultIdempotency(), defaultTrace()}) {
		t.Errorf("the example says that these are the defaults: %s", dump(s))
	}
	// The commented policy must be right as well: it is what people will copy.
	text, err := os.ReadFile("../policies.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "policies/office-hours.wasm", "")
	write(t, dir, "policies/rule.js", "")
	write(t, dir, "plugins/.keep", "")
	const comment = "\n# - name: office-hours"
	head, tail, found := strings.Cut(string(text), comment)
	if !found {
		t.Fatalf("no %q", comment)
	}
	file := write(t, dir, "policies.yaml", head+strings.ReplaceAll(comment+tail, "\n#", "\n "))
	s, err = Load(file, func(name string) (string, bool) { return strings.Repeat(name, 4), true })
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.Policies); n != 5 || !s.Policies[2].Shadow || s.Policies[3].Percent != 5 || s.Policies[1].Name != "office-hours" || !s.Policies[1].Veto || !s.Policies[1].Grants.KV ||
		!strings.HasSuffix(s.Policies[4].Path, "rule.js") {
		t.Errorf("policies are %+v", s.Policies)
	}
	if !slices.Contains(asked, "OPENAI_API_KEY") {
		t.Errorf("variables asked for: %q", asked)
	}
}

func TestLoadMissingFile(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"), environment())
	var problems Problems
	if !errors.Is(err, fs.ErrNotExist) || errors.As(err, &problems) {
		t.Errorf("got %v", err)
	}
}

func TestFind(t *testing.T) {
	t.Chdir(t.TempDir())
	if got, err := Find("elsewhere.yaml"); got != "elsewhere.yaml" || err != nil {
		t.Errorf("an explicit file gave %q, %v", got, err)
	}
	if _, err := os.Stat("/etc/sallyport/policies.yaml"); err != nil {
		if _, err := Find(""); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("nothing there gave %v", err)
		}
	}
	write(t, ".", "policies.yaml", "")
	if got, err := Find(""); got != "policies.yaml" || err != nil {
		t.Errorf("a file here gave %q, %v", got, err)
	}
}
