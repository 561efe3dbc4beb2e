package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/internal/demo"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
	"github.com/sallyport-dev/sallyport/plugin/project"
	"github.com/sallyport-dev/sallyport/plugins"
	"github.com/sallyport-dev/sallyport/runtime"
)

// command runs a command line of this program.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := newRoot()
	if found, _, err := root.Find([]string{"plugin"}); err != nil || found == root {
		root.AddCommand(newPlugin())
	}
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func mustCommand(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t, args...)
	if err != nil {
		t.Fatalf("sallyport %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// newProject makes a project. That of AssemblyScript gets the SDK's own compiler, in place of what npm install brings.
func newProject(t *testing.T, lang string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "guest-pass")
	mustCommand(t, "plugin", "init", "--lang", lang, dir)
	if lang == "assemblyscript" {
		modules, err := filepath.Abs("../../sdk/assemblyscript/node_modules")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(modules); err == nil {
			if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// buildOrSkip builds a project and returns its line for policies.yaml. Without the toolchain the test is skipped, unless
// SALLYPORT_TOOLCHAINS=all says that there is every one.
func buildOrSkip(t *testing.T, dir string) (line string) {
	t.Helper()
	out, err := command(t, "plugin", "build", dir)
	missing := errors.Is(err, project.ErrToolchain) || errors.Is(err, plugins.ErrNotBuilt)
	switch {
	case missing && os.Getenv("SALLYPORT_TOOLCHAINS") != "all":
		t.Skip(err)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	}
	_, line, found := strings.Cut(out, "under policies:\n")
	if !found {
		t.Fatalf("it prints no line:\n%s", out)
	}
	return strings.TrimSpace(line)
}

// From nothing to a policy that decides live requests: init, build, the line that build prints, serve.
func TestFromInitToALiveDecision(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the whole program: -short")
	}
	provider := httptest.NewServer(demo.Handler(demo.Options{}))
	t.Cleanup(provider.Close)
	binary := buildBinary(t)
	for _, lang := range project.Languages() {
		t.Run(lang, func(t *testing.T) {
			dir := newProject(t, lang)
			line := buildOrSkip(t, dir)
			out := mustCommand(t, "plugin", "test", dir)
			if !strings.Contains(out, "3 cases, 0 failed") {
				t.Errorf("the cases:\n%s", out)
			}
			url := serveWith(t, binary, provider.URL, line)
			if status := chat(t, url, ""); status != http.StatusOK {
				t.Errorf("without a key the answer is %d: the policy did not let the request in", status)
			}
			if status := chat(t, url, "some-key"); status != http.StatusUnauthorized {
				t.Errorf("with an unknown key the answer is %d", status)
			}
		})
	}
}

func buildBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sallyport")
	if text, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return path
}

// serveWith runs a gateway with one policy more than the built-in one, and returns where it serves.
func serveWith(t *testing.T, binary, provider, line string) (url string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policies.yaml")
	text := fmt.Sprintf(`version: 1
listen: 127.0.0.1:0
data: ./data
admin: {listen: "127.0.0.1:0"}
providers: [{name: demo, format: openai, base_url: "%s/v1"}]
models: [{alias: llama, provider: demo, model: demo-chat-1, price: {input: 0, output: 0}}]
policies:
  - {name: default, wasm: "builtin:default", grants: {identities: read}}
  %s
`, provider, line)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var log testutil.Log
	c := exec.CommandContext(ctx, binary, "serve", "--config", file)
	c.Stdout, c.Stderr = &log, &log
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = c.Wait() // it was interrupted
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", log.String())
		}
	})
	return "http://" + waitForAddress(t, &log)
}

// waitForAddress waits until a gateway says where it serves.
func waitForAddress(t *testing.T, log *testutil.Log) string {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); <-tick.C {
		if _, rest, found := strings.Cut(log.String(), "msg=serving address="); found {
			address, _, _ := strings.Cut(rest, " ")
			return address
		}
	}
	t.Fatalf("the gateway does not serve:\n%s", log.String())
	return ""
}

func chat(t *testing.T, url, key string) (status int) {
	t.Helper()
	body := strings.NewReader(`{"model": "llama", "messages": [{"role": "user", "content": "hi"}]}`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/v1/chat/completions", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

// pluginFile writes a module with this manifest.
func pluginFile(t *testing.T, text string, body ...[]byte) string {
	t.Helper()
	g := w.NewGuest()
	g.Hook("authenticate", body...)
	wasm, err := manifest.Embed(g.Bytes(), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "plugin.wasm")
	if err := os.WriteFile(file, wasm, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// manifestText is a manifest that asks for all that the test guest's imports need.
const manifestText = `{"name": "hours", "version": "1.2.0", "abi": 1, "description": "Nobody works at night", "author": "Team A", "licence": "MIT",
  "grants": [{"identities": "read", "reason": "knows keys"}, {"kv": "own", "reason": "counts"}, {"input": "request.headers.x-team", "reason": "teams differ"}],
  "config_schema": {"type": "object", "required": ["tz"], "properties": {"tz": {"type": "string", "description": "whose clock counts"}}},
  "tests": [{"name": "at night", "hook": "authenticate", "want": {"answer": "pass"}}]}`

func TestPluginTest(t *testing.T) {
	file := pluginFile(t, manifestText, w.Pass)
	more := filepath.Join(t.TempDir(), "more.yaml")
	if err := os.WriteFile(more, []byte("- {name: in the morning, hook: authenticate, want: {status: 403}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := command(t, "plugin", "test", file, "--cases", more)
	want := `ok    authenticate: at night
FAIL  authenticate: in the morning
      answer: got pass, want verdict
2 cases, 1 failed
`
	if out != want || err == nil || !strings.HasSuffix(err.Error(), "plugin.wasm: 1 of 2 cases failed") {
		t.Errorf("%v\n%s", err, out)
	}
	if out = mustCommand(t, "plugin", "test", "--json", file); out != `[{"name":"at night","hook":"authenticate","ok":true,"answer":"pass"}]`+"\n" {
		t.Error(out)
	}
	if _, err = command(t, "plugin", "test", pluginFile(t, `{"name": "a", "version": "1.0.0", "abi": 1}`, w.Pass)); err == nil || !strings.Contains(err.Error(), "there are no cases") {
		t.Errorf("without cases: %v", err)
	}
}

func TestPluginBench(t *testing.T) {
	out := mustCommand(t, "plugin", "bench", "--time", "1ms", pluginFile(t, manifestText, w.Pass))
	if lines := strings.Split(out, "\n"); len(lines) != 3 || !strings.HasPrefix(lines[1], "authenticate  at night  pass") {
		t.Error(out)
	}
}

func TestPluginInspect(t *testing.T) {
	out := mustCommand(t, "plugin", "inspect", pluginFile(t, manifestText, w.Pass))
	for _, words := range []string{
		"hours 1.2.0\nNobody works at night\n", "sha256      ", "the fast tier", "hooks       authenticate\n", "author      Team A",
		`to look up which stored key a credential is, with its limits and models: "knows keys"`,
		`to see the request's header x-team: "teams differ"`, "tz          string, required: whose clock counts",
		"self-test   1 cases", "grants: {identities: read, kv: own, inputs: [request.headers.x-team]}",
	} {
		if !strings.Contains(out, words) {
			t.Errorf("it lacks %q:\n%s", words, out)
		}
	}
	if out = mustCommand(t, "plugin", "inspect", "--json", pluginFile(t, manifestText, w.Pass)); !strings.Contains(out, `"tier":"fast"`) {
		t.Error(out)
	}
}

func TestPluginValidate(t *testing.T) {
	good := pluginFile(t, manifestText, w.Pass)
	folder := t.TempDir()
	with := func(name, text string) string {
		file := filepath.Join(folder, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, test := range []struct {
		name, file, with, want string
	}{
		{"fine", good, with("good.yaml", "tz: UTC"), ""},
		{"no configuration", good, "", `lacks "tz"; --with names one`},
		{"a configuration that does not fit", good, with("bad.yaml", "# mine\ntz: 5\n"), "bad.yaml:2: tz: must be string, not number"},
		{"a self-test that fails", pluginFile(t, manifestText, w.Error), with("good.yaml", "tz: UTC"), `its self-test "at night" failed: answer: got failed, want pass`},
		{"a hook that is not there", pluginFile(t, `{"name": "a", "version": "1.0.0", "abi": 1, "hooks": ["choose_step"]}`, w.Pass), "", "names the hook choose_step, which it does not export"},
		{"no module", with("no.wasm", "hello"), "", "is no WebAssembly module"},
	} {
		t.Run(test.name, func(t *testing.T) {
			args := []string{"plugin", "validate", test.file}
			if test.with != "" {
				args = append(args, "--with", test.with)
			}
			out, err := command(t, args...)
			if test.want == "" && (err != nil || !strings.Contains(out, "is fine: asked at authenticate; 1 cases")) ||
				test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %s\n%s", err, test.want, out)
			}
		})
	}
}

// What a manifest asks for and the file does not give is a problem of the configuration, with its line.
func TestManifestsAtLoad(t *testing.T) {
	wasm, err := os.ReadFile(pluginFile(t, manifestText, w.Pass))
	if err != nil {
		t.Fatal(err)
	}
	check := func(p config.Policy) string {
		p.Name = "hours"
		c := &config.Snapshot{File: "policies.yaml", Policies: []config.Policy{{Name: "plain"}, p}}
		err := checkManifests(c, []runtime.Policy{
			{Name: "plain", Wasm: w.NewGuest().Bytes()},
			{Name: "hours", Wasm: wasm, Config: p.Config, Grants: runtime.Grants(p.Grants)},
		})
		if err == nil {
			return ""
		}
		return err.Error()
	}
	all := config.Grants{Identities: true, KV: true, Inputs: []string{"request.headers.x-team"}}
	if got := check(config.Policy{Line: 7, Config: []byte(`{"tz": "UTC"}`), Grants: all}); got != "" {
		t.Errorf("with everything: %s", got)
	}
	got := check(config.Policy{Line: 7, Config: []byte(`{"tz": 1}`), Grants: config.Grants{KV: true}})
	want := `policies.yaml:7: policies[1]: policy "hours" asks for the grant identities: read, with the reason "knows keys": to give it, add identities: read to grants
policies.yaml:7: policies[1]: policy "hours" asks for the input request.headers.x-team, with the reason "teams differ": to give it, add request.headers.x-team to grants.inputs
policies.yaml:7: policies[1].config.tz: must be string, not number`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	got = check(config.Policy{Path: "/p/hours.wasm", Config: []byte(`{"tz": "UTC"}`)})
	if !strings.Contains(got, "policies.yaml: policy_dir: policy") || !strings.Contains(got, "it has to stand under policies, and not in policy_dir alone: - {name: hours, wasm: /p/hours.wasm") {
		t.Errorf("from policy_dir:\n%s", got)
	}
}

func TestSelfTestsAtLoad(t *testing.T) {
	module := func(body ...[]byte) runtime.Policy {
		wasm, err := os.ReadFile(pluginFile(t, manifestText, body...))
		if err != nil {
			t.Fatal(err)
		}
		return runtime.Policy{Name: "mine", Wasm: wasm}
	}
	s := &selfTests{}
	good, bad := module(w.Pass), module(w.Error)
	for range 2 {
		if err := s.run(t.Context(), []runtime.Policy{good, {Name: "plain", Wasm: w.NewGuest().Bytes()}}); err != nil {
			t.Error(err)
		}
		if err := s.run(t.Context(), []runtime.Policy{good, bad}); err == nil || !strings.Contains(err.Error(), `policy "mine": its self-test "at night" failed`) {
			t.Errorf("got %v", err)
		}
	}
	if len(s.passed) != 1 {
		t.Errorf("%d passed", len(s.passed))
	}
}

// The commands of the README do what it says.
func TestPluginReadme(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a Go guest: -short")
	}
	readme, err := os.ReadFile("../../plugin/README.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	var ran []string
	for line := range strings.Lines(string(readme)) {
		if words := strings.Fields(line); strings.HasPrefix(line, "    sallyport plugin ") {
			mustCommand(t, words[1:]...)
			ran = append(ran, words[2])
		}
	}
	if got := strings.Join(ran, " "); got != "init build test bench inspect validate" {
		t.Errorf("it shows %s", got)
	}
}

// A manifest and a case of the README are right.
func TestPluginReadmeBlocks(t *testing.T) {
	readme, err := os.ReadFile("../../plugin/README.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(heading string) []byte {
		_, rest, _ := strings.Cut(string(readme), "\n## "+heading+"\n")
		_, rest, _ = strings.Cut(rest, "```yaml\n")
		text, _, _ := strings.Cut(rest, "```")
		return []byte(text)
	}
	if all, err := cases.Read("README.md", block("Cases"), abi.NumHooks); err != nil || len(all) != 2 {
		t.Errorf("%d cases, %v", len(all), err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, project.ManifestFile), block("The manifest"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := project.ReadManifest(dir); err != nil {
		t.Error(err)
	}
}
