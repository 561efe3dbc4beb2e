//go:build e2e

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/wasmtest"
)

const chatPath = "/v1/chat/completions"

// drop puts a file into the policy folder, as a download does: under another name first.
func (g *gateway) drop(name string, content []byte) {
	g.t.Helper()
	part := filepath.Join(g.folder, "plugins", "."+name)
	must(g.t, os.WriteFile(part, content, 0o600))
	must(g.t, os.Rename(part, filepath.Join(g.folder, "plugins", name)))
}

// denyAll is a policy that lets nobody in.
func denyAll() []byte {
	g := wasmtest.NewGuest()
	g.Hook(abi.Authenticate.String(),
		g.SetInt(abi.FieldDenyStatus, 0, http.StatusForbidden), g.Set(abi.FieldDenyMessage, 0, "closed for the night"), wasmtest.Verdict)
	return g.Bytes()
}

// TestPolicyDroppedIn: a policy takes effect without a restart, and goes the same way. The built-in policy passes on
// credentials that it does not know, so the dropped one is asked about those.
func TestPolicyDroppedIn(t *testing.T) {
	g, _ := startDemo(t)
	stranger := func() *answer { return g.ask("somebody-elses-key", chatPath, hello("chat")) }
	if a := stranger(); a.status != http.StatusUnauthorized {
		t.Fatalf("before the policy: %s", a)
	}
	g.drop("night.wasm", denyAll())
	g.until("the policy denies", func() bool {
		a := stranger()
		return a.status == http.StatusForbidden && strings.Contains(a.body, "closed for the night")
	})
	if a := g.ask(clientKey, chatPath, hello("chat")); a.status != http.StatusOK {
		t.Errorf("a key that the built-in policy knows: %s", a)
	}
	g.drop("night.wasm", []byte("\x00asm and nothing more"))
	g.until("the broken version is refused", func() bool { return strings.Contains(g.log.String(), "configuration refused") })
	if a := stranger(); a.status != http.StatusForbidden {
		t.Errorf("the good version should go on: %s", a)
	}
	must(t, os.Remove(filepath.Join(g.folder, "plugins", "night.wasm")))
	g.until("the policy is gone", func() bool { return stranger().status == http.StatusUnauthorized })
}

// TestPolicyInC: the example in C, built by Debian's clang, takes effect where it is dropped. It lets callers of the
// gateway's own machine in without a key, for some models.
func TestPolicyInC(t *testing.T) {
	wasm := filepath.Join(t.TempDir(), "guest-pass.wasm")
	if out, err := exec.CommandContext(t.Context(), "make", "-C", "../examples/policy-c", "OUT="+wasm).CombinedOutput(); err != nil {
		t.Fatalf("building it, which takes clang and lld (`make deps-c`): %v\n%s", err, out)
	}
	module, err := os.ReadFile(wasm)
	must(t, err)
	u := newUpstream(t)
	config := strings.Replace(demoConfig, "models:", "models:\n  - {alias: demo-guest, provider: openai, model: demo-chat-1}", 1)
	g := start(t, config, map[string]string{"Provider": u.URL})
	guest := func(alias string) int { return g.ask("", chatPath, hello(alias)).status }
	if got := guest("demo-guest"); got != http.StatusUnauthorized {
		t.Fatalf("before the policy: %d", got)
	}
	g.drop("guest-pass.wasm", module)
	g.until("guests are let in", func() bool { return guest("demo-guest") == http.StatusOK })
	if got := guest("chat"); got != http.StatusForbidden {
		t.Errorf("a model that is not for guests: %d", got)
	}
	if a := g.ask("aigw_nobody-knows-this-key", chatPath, hello("demo-guest")); a.status != http.StatusUnauthorized {
		t.Errorf("a wrong key: %s", a)
	}
}

// TestPolicyInJavaScript: a script takes effect where it is dropped, without a toolchain, and its mistakes are told.
func TestPolicyInJavaScript(t *testing.T) {
	u := newUpstream(t)
	g := start(t, demoConfig, map[string]string{"Provider": u.URL})
	ask := func() int { return g.ask("", chatPath, hello("chat")).status }
	if got := ask(); got != http.StatusUnauthorized {
		t.Fatalf("before the policy: %d", got)
	}
	g.drop("closed.js", []byte(`export function authenticate(request) { return sallyport.deny(418, "closed, says " + request.model, "closed"); }`))
	g.until("the script answers", func() bool { return ask() == http.StatusTeapot })
	g.drop("closed.js", []byte(`export function authenticate(request) { return`))
	g.until("the mistake is told", func() bool { return strings.Contains(g.log.String(), "SyntaxError") })
	if got := ask(); got != http.StatusTeapot {
		t.Errorf("after a bad script: %d", got)
	}
}

// TestConfigurationChanges: a good change is taken over whole, a bad one changes nothing.
func TestConfigurationChanges(t *testing.T) {
	g, _ := startDemo(t)
	status := func(alias string) int { return g.ask(clientKey, chatPath, hello(alias)).status }
	if got := status("renamed"); got != http.StatusNotFound {
		t.Fatalf("before the change: %d", got)
	}
	g.edit("alias: slow,", "alias: renamed,")
	g.until("the new alias answers", func() bool { return status("renamed") == http.StatusOK })
	if got := status("slow"); got != http.StatusNotFound {
		t.Errorf("the old alias: %d", got)
	}
	g.edit("alias: renamed,", "alias: renamed, colour: red,")
	g.until("the problem is told", func() bool { return strings.Contains(g.log.String(), `unknown field \"colour\"`) })
	if got := status("renamed"); got != http.StatusOK {
		t.Errorf("after a bad change: %d", got)
	}
}

// issued is what `key create --json` prints, as far as it matters.
type issued struct {
	ID     string `json:"id"`
	Secret string `json:"key"`
}

func (g *gateway) createKey(args ...string) issued {
	g.t.Helper()
	var k issued
	out := g.mustCommand(append([]string{"key", "create", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &k); err != nil || k.ID == "" || k.Secret == "" {
		g.t.Fatalf("key create printed %s (%v)", out, err)
	}
	return k
}

// TestKeys: made while the gateway runs, used at once, kept through a kill, revoked within a second.
func TestKeys(t *testing.T) {
	g, u := startDemo(t)
	all := g.createKey("--name", "laptop")
	g.mustCommand("team", "create", "--name", "research")
	some := g.createKey("--name", "narrow", "--models", "chat,emb*", "--prefix", "sk-", "--team", "research")
	if !strings.HasPrefix(all.Secret, "aigw_") || !strings.HasPrefix(some.Secret, "sk-") {
		t.Errorf("keys %q and %q", all.Secret, some.Secret)
	}
	use := func(k issued, alias string) int { return g.ask(k.Secret, chatPath, hello(alias)).status }
	if use(all, "team") != 200 || use(some, "chat") != 200 || use(some, "team") != http.StatusForbidden {
		t.Errorf("used: %d, %d, %d", use(all, "team"), use(some, "chat"), use(some, "team"))
	}
	if models := g.ask(some.Secret, "/v1/models", "").body; strings.Contains(models, `"team"`) || !strings.Contains(models, `"embedding"`) {
		t.Errorf("the narrow key sees %s", models)
	}
	for _, s := range u.take() {
		if strings.Contains(s.header.Get("Authorization"), all.Secret) || s.header.Get("Authorization") != "Bearer "+providerKey {
			t.Errorf("the provider got %q", s.header.Get("Authorization"))
		}
	}
	list := g.mustCommand("key", "list")
	if !strings.Contains(list, "laptop") || !strings.Contains(list, "narrow") || strings.Contains(list, all.Secret) || strings.Contains(list, clientKey) {
		t.Errorf("key list printed\n%s", list)
	}

	g.stop(syscall.SIGKILL)
	if out := g.mustCommand("key", "list"); out == "" {
		t.Error("key list is silent while the gateway is down")
	}
	g.run()
	if use(all, "chat") != 200 {
		t.Error("the key is lost after a kill")
	}

	revoked := time.Now()
	g.mustCommand("key", "revoke", "laptop")
	g.until("the key is revoked", func() bool { return use(all, "chat") == http.StatusUnauthorized })
	took := time.Since(revoked)
	t.Logf("revoked, the command included, in %v", took.Round(time.Millisecond))
	if took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if a := g.ask(all.Secret, chatPath, hello("chat")); !strings.Contains(a.body, "The key is revoked.") {
		t.Errorf("the revoked key gets %s", a)
	}
	if use(some, "chat") != 200 {
		t.Error("the other key is gone too")
	}
	if out, err := g.command("key", "revoke", "nobody"); err == nil {
		t.Errorf("revoking a key that is not there: %s", out)
	}
}

// TestRecordAndMetrics: a request that needed two attempts shows up with both, its tokens and its cost.
func TestRecordAndMetrics(t *testing.T) {
	g, _ := startDemo(t)
	a := g.ask(clientKey, chatPath, hello("team"))
	if a.status != 200 || a.id() == "" {
		t.Fatalf("got %s", a)
	}
	var r struct {
		ID       string `json:"id"`
		Key      string `json:"key"`
		Chain    string `json:"chain"`
		Provider string `json:"provider"`
		Attempts []struct {
			Step   string `json:"step"`
			Status int    `json:"status"`
		} `json:"attempts"`
	}
	var out string
	g.until("the record is there", func() bool {
		var err error
		out, err = g.command("explain", a.id(), "--json")
		return err == nil
	})
	must(t, json.Unmarshal([]byte(out), &r))
	if r.ID != a.id() || r.Key != "file" || r.Chain != "team" || r.Provider != "openai" || len(r.Attempts) != 2 ||
		r.Attempts[0].Step != "limited" || r.Attempts[0].Status != 429 || r.Attempts[1].Step != "chat" {
		t.Errorf("the record is %s", out)
	}
	page := g.mustCommand("explain", a.id())
	for _, want := range []string{a.id(), "team", "limited", "429", "demo-chat-1", "default", "$0.00002777"} { // 1 × 0.27 + 25 × 1.10
		if !strings.Contains(page, want) {
			t.Errorf("explain does not mention %q:\n%s", want, page)
		}
	}
	metrics := g.metrics()
	for _, want := range []string{
		`ai_gateway_requests_total{`, `ai_gateway_requests_in_progress 0`, `ai_gateway_upstream_errors_total{`, `sallyport_hook_duration_seconds_count{`,
		`ai_gateway_input_tokens_total{client="file",model="team",provider="openai"} 1`,
		`ai_gateway_output_tokens_total{client="file",model="team",provider="openai"} 25`,
		`ai_gateway_cost_dollars_total{client="file",model="team",provider="openai"} 2.777e-05`,
		`ai_gateway_request_duration_seconds_count{`, `ai_gateway_active_clients 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s\n%s", want, grep(metrics, "ai_gateway"))
		}
	}
	if strings.Contains(metrics, clientKey) || strings.Contains(page+out, clientKey) {
		t.Error("the client's key is shown")
	}
	if out, err := g.command("explain", "req_00000000000000000000000000"); err == nil {
		t.Errorf("a request that never was: %s", out)
	}
}

func (g *gateway) metrics() string {
	g.t.Helper()
	resp, err := http.Get(g.admin + "/metrics")
	must(g.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(g.t, err)
	return string(body)
}

func grep(text, word string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) && !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// TestAdminIsGuarded: without the token the admin API gives nothing away, with it it does.
func TestAdminIsGuarded(t *testing.T) {
	g, _ := startDemo(t)
	for _, token := range []string{"", "Bearer wrong", "Bearer " + clientKey, adminToken, "Bearer " + adminToken} {
		r, err := http.NewRequest(http.MethodGet, g.admin+"/admin/v1/keys", nil)
		must(t, err)
		if token != "" {
			r.Header.Set("Authorization", token)
		}
		resp, err := http.DefaultClient.Do(r)
		must(t, err)
		resp.Body.Close()
		if want := map[bool]int{true: http.StatusOK, false: http.StatusUnauthorized}[token == "Bearer "+adminToken]; resp.StatusCode != want {
			t.Errorf("with %q: %d, want %d", token, resp.StatusCode, want)
		}
	}
}

// TestValidate: every problem is told in one go, with its line; a good file is summed up.
func TestValidate(t *testing.T) {
	g, _ := startDemo(t)
	if out := g.mustCommand("validate"); !strings.Contains(out, "chat") {
		t.Errorf("validate printed %s", out)
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	must(t, os.WriteFile(bad, []byte("version: 1\nlistn: x\nmodels:\n  - {alias: a, provider: b}\nkeys: [{name: k, key: '${NOT_SET}', rpm: 0}]\n"), 0o600))
	good := g.file
	g.file = bad
	defer func() { g.file = good }()
	out, err := g.command("validate")
	if err == nil {
		t.Error("a bad file is accepted")
	}
	for _, want := range []string{
		bad + `:2: unknown field "listn", did you mean "listen"?`, bad + ":4: models[0].model: is missing",
		bad + `:4: models[0].provider: there is no provider "b"`, bad + ":5: keys[0].key: the environment variable NOT_SET is not set",
		bad + ":5: keys[0].rpm: must not be 0: to refuse every request, ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
