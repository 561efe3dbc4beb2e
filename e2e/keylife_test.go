//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/wasmtest"
)

// effective is how soon a change of a key has to be felt.
func effective() time.Duration { return soon(time.Second) }

const lifeConfig = tillConfig + `  - {alias: other, provider: till, model: till, price: none}
teams:
  - {name: declared, budget: {usd: 1, per: day}}
keys:
  - {name: file, key: "${E2E_CLIENT_KEY}", team: declared, default_model: till, budget: {usd: 1, per: month}}
`

// api sends a request to the admin API and returns status and answer.
func (g *gateway) api(method, path, body string) (int, string) {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, g.admin+"/admin/v1"+path, strings.NewReader(body))
	must(g.t, err)
	r.Header.Set("Authorization", "Bearer "+adminToken)
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	must(g.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(g.t, err)
	return resp.StatusCode, string(text)
}

// mustAPI is api for what has to work; it returns the answer's members.
func (g *gateway) mustAPI(method, path, body string) (members map[string]any) {
	g.t.Helper()
	status, answer := g.api(method, path, body)
	if status/100 != 2 || json.Unmarshal([]byte(answer), &members) != nil {
		g.t.Fatalf("%s %s %s: %d %s", method, path, body, status, answer)
	}
	return members
}

// member is a member that is a text.
func member(members map[string]any, name string) string {
	s, _ := members[name].(string)
	return s
}

// life is a gateway whose keys are made and changed.
type life struct {
	*gateway
	number int64
}

func startLife(t *testing.T) *life {
	p := newTill(t)
	return &life{start(t, lifeConfig, map[string]string{"Provider": p.URL}), firstNumber}
}

// use sends one small request.
func (l *life) use(secret string) *answer {
	l.t.Helper()
	l.number++
	a, err := l.place(http.DefaultClient, secret, &order{User: "someone", Number: l.number, MaxTokens: 50})
	must(l.t, err)
	return a
}

// within does something, and wants a key to be answered so soon after it.
func (l *life) within(what, secret string, status int, code string, do func()) {
	l.t.Helper()
	do()
	done := time.Now()
	l.until(what+" is felt", func() bool {
		a := l.use(secret)
		return a.status == status && strings.Contains(a.body, code)
	})
	if took := time.Since(done); took > effective() {
		l.t.Errorf("%s is felt after %v", what, took)
	}
}

// TestProofKeyLife takes a key through its life by the command line and one by the API, with the gateway running.
func TestProofKeyLife(t *testing.T) {
	l := startLife(t)
	l.mustCommand("team", "create", "--name", "house", "--budget", "1/total")
	command := func(args ...string) func() { return func() { l.t.Helper(); l.mustCommand(args...) } }
	api := func(path string) func() { return func() { l.t.Helper(); l.mustAPI(http.MethodPost, path, "") } }

	byCommand := l.createKey("--name", "by command", "--team", "house", "--label", "env=test", "--rpm", "100000", "--budget", "0.5/day@Europe/Berlin")
	made := l.mustAPI(http.MethodPost, "/keys", `{"name":"by api","team":"house","labels":{"env":"test"},"limits":{"rpm":100000},"budgets":[{"usd":"0.5","per":"day","timezone":"Europe/Berlin"}]}`)
	byAPI := issued{member(made, "id"), member(made, "key")}
	for _, key := range []struct {
		name                    string
		k                       issued
		disable, enable, revoke func()
	}{
		{"by command", byCommand, command("key", "disable", "by command"), command("key", "enable", "by command"), command("key", "revoke", "by command")},
		{"by api", byAPI, api("/keys/" + byAPI.ID + "/disable"), api("/keys/" + byAPI.ID + "/enable"), api("/keys/" + byAPI.ID + "/revoke")},
	} {
		if a := l.use(key.k.Secret); a.status != http.StatusOK {
			t.Fatalf("%s: %s", key.name, a)
		}
		shown := l.mustCommand("key", "show", key.name)
		for _, want := range []string{key.k.ID, "active", "house", "env=test", "rpm 100,000", "$0.50/day@Europe/Berlin"} {
			if !strings.Contains(shown, want) {
				t.Errorf("key show does not say %q:\n%s", want, shown)
			}
		}
		if strings.Contains(shown, key.k.Secret) || strings.Contains(fmt.Sprint(l.mustAPI(http.MethodGet, "/keys/"+key.k.ID, "")), key.k.Secret) {
			t.Error("the secret is shown a second time")
		}
		l.within(key.name+" disabled", key.k.Secret, http.StatusForbidden, "key_disabled", key.disable)
		l.within(key.name+" enabled", key.k.Secret, http.StatusOK, "", key.enable)
		l.within("its team disabled", key.k.Secret, http.StatusForbidden, "team_disabled", command("team", "disable", "house"))
		l.within("its team enabled", key.k.Secret, http.StatusOK, "", api("/teams/house/enable"))
		l.within(key.name+" revoked", key.k.Secret, http.StatusUnauthorized, "key_revoked", key.revoke)
		if out, err := l.command("key", "enable", key.name); err == nil {
			t.Errorf("a revoked key is enabled: %s", out)
		}
	}
	l.mustCommand("team", "revoke", "house")
	if out, err := l.command("key", "create", "--name", "late", "--team", "house"); err == nil {
		t.Errorf("a key of a revoked team is made: %s", out)
	}
}

// TestProofKeyChanges: models, default model, limits and budgets of a key are felt as they are changed.
func TestProofKeyChanges(t *testing.T) {
	l := startLife(t)
	k := l.createKey("--name", "changing")
	ask := func(body string) *answer { return l.ask(k.Secret, chatPath, body) }
	const nameless = `{"max_tokens":50,"messages":[]}`
	if a := ask(nameless); a.status != http.StatusBadRequest || !strings.Contains(a.body, "model_missing") {
		t.Errorf("no model and no default: %s", a)
	}
	l.within("a narrower list of models", k.Secret, http.StatusForbidden, "model_not_allowed", func() { l.mustCommand("key", "update", "changing", "--model", "other") })
	l.within("the list taken away", k.Secret, http.StatusOK, "", func() { l.mustAPI(http.MethodPatch, "/keys/"+k.ID, `{"models":null}`) })
	l.mustCommand("key", "update", "changing", "--default-model", "till")
	if a := ask(nameless); a.status != http.StatusOK {
		t.Errorf("with a default model: %s", a)
	}
	if out, err := l.command("key", "update", "changing", "--default-model", "tilll"); err == nil || !strings.Contains(out, `did you mean "till"`) {
		t.Errorf("a default model that is not there: %v %s", err, out)
	}
	l.within("a limit", k.Secret, http.StatusTooManyRequests, "rate_limit_exceeded", func() { l.mustCommand("key", "update", "changing", "--rpd", "1") })
	l.within("the limit taken away", k.Secret, http.StatusOK, "", func() { l.mustCommand("key", "update", "changing", "--rpd", "0") })
	l.within("a budget", k.Secret, http.StatusTooManyRequests, "insufficient_quota", func() { l.mustAPI(http.MethodPatch, "/keys/"+k.ID, `{"budgets":[{"usd":"0.00001","per":"total"}]}`) })
	l.within("a larger budget", k.Secret, http.StatusOK, "", func() { l.mustCommand("key", "update", "changing", "--budget", "1/total") })
	if a := ask(hello("other")); a.status != http.StatusForbidden || !strings.Contains(a.body, "model_unpriced") {
		t.Errorf("a model without a price on a budget: %s", a)
	}
	l.within("an expiry", k.Secret, http.StatusUnauthorized, "key_expired", func() {
		l.mustAPI(http.MethodPatch, "/keys/"+k.ID, `{"expires":"`+time.Now().UTC().Format(time.RFC3339)+`"}`)
	})
	l.within("the expiry taken away", k.Secret, http.StatusOK, "", func() { l.mustCommand("key", "update", "changing", "--expires", "never") })
}

// TestProofRotation: a new secret works at once, the old one until the grace ends, and the one before not at all.
func TestProofRotation(t *testing.T) {
	l := startLife(t)
	first := l.createKey("--name", "rotating")
	rotate := func(args ...string) issued {
		var k issued
		must(t, json.Unmarshal([]byte(l.mustCommand(append([]string{"key", "rotate", "rotating", "--json"}, args...)...)), &k))
		return k
	}
	began := time.Now()
	const grace = 2 * time.Second
	second := rotate("--grace", grace.String())
	rotated := time.Now() // between both the grace began
	if second.ID != first.ID || second.Secret == first.Secret {
		t.Errorf("%+v is rotated to %+v", first, second)
	}
	for _, k := range []issued{second, first} {
		if a := l.use(k.Secret); a.status != http.StatusOK && (k == second || time.Since(began) < grace) {
			t.Errorf("in the time of grace: %s", a)
		}
	}
	l.until("the grace is over", func() bool { return l.use(first.Secret).status == http.StatusUnauthorized })
	if least, most := time.Since(began), time.Since(rotated); least < grace || most > grace+effective() {
		t.Errorf("a grace of %v took %v to %v", grace, most, least)
	}
	made := l.mustAPI(http.MethodPost, "/keys/rotating/rotate", `{"grace":"1h"}`)
	third := issued{member(made, "id"), member(made, "key")}
	for secret, want := range map[string]int{first.Secret: 401, second.Secret: 200, third.Secret: 200} {
		if a := l.use(secret); a.status != want {
			t.Errorf("after two rotations: %s, want %d", a, want)
		}
	}
	fourth := rotate("--grace", "0")
	for secret, want := range map[string]int{second.Secret: 401, third.Secret: 401, fourth.Secret: 200} {
		if a := l.use(secret); a.status != want {
			t.Errorf("after a rotation without grace: %s, want %d", a, want)
		}
	}
	l.mustCommand("key", "revoke", "rotating")
	l.until("it is revoked", func() bool { return l.use(fourth.Secret).status == http.StatusUnauthorized })
}

// TestProofFileKeys: what the file declares works, counts, and can only be changed there.
func TestProofFileKeys(t *testing.T) {
	l := startLife(t)
	if a := l.ask(clientKey, chatPath, `{"max_tokens":50,"messages":[]}`); a.status != http.StatusOK {
		t.Errorf("without a model: %s", a)
	}
	l.settled()
	if shown := l.mustCommand("key", "show", "file"); !strings.Contains(shown, "in the configuration file") || !strings.Contains(shown, "declared") {
		t.Errorf("key show prints\n%s", shown)
	}
	if balances := l.balance("team/declared"); balances.Spent == 0 {
		t.Errorf("the team's balance is %+v", balances)
	}
	for _, args := range []string{"key update file --rpm 5", "key rotate file", "key disable file", "key revoke file", "team update declared --rpm 5", "team disable declared"} {
		if out, err := l.command(strings.Fields(args)...); err == nil || !strings.Contains(out, "declared in the configuration file") {
			t.Errorf("%s: %v: %s", args, err, out)
		}
	}
	l.within("the team disabled in the file", clientKey, http.StatusForbidden, "team_disabled", func() {
		l.edit("{name: declared,", "{name: declared, disabled: true,")
		l.until("it is taken over", func() bool { return strings.Contains(l.log.String(), "configuration changed") })
	})
}

// visitors is a policy that lets everybody in whom nobody else knows, under one name, with limits and budgets that
// stand nowhere else.
func visitors(set func(g *wasmtest.Guest) []byte) []byte {
	g := wasmtest.NewGuest()
	g.Hook(abi.Authenticate.String(), g.Set(abi.FieldAllowID, 0, "visitor"), set(g), wasmtest.Verdict)
	return g.Bytes()
}

// TestProofPolicyIdentity: an identity that a policy makes up is held to the limits and budgets that the policy gives
// it, like any stored key.
func TestProofPolicyIdentity(t *testing.T) {
	l := startLife(t)
	enter := func(name string, module []byte) (leave func()) {
		l.drop(name, module)
		l.until("visitors are let in", func() bool { return l.ask("a-visitor-s-key", "/v1/models", "").status == http.StatusOK })
		return func() {
			must(t, os.Remove(filepath.Join(l.folder, "plugins", name)))
			l.until("visitors are shut out", func() bool { return l.ask("a-visitor-s-key", "/v1/models", "").status == http.StatusUnauthorized })
		}
	}
	const few = 5
	leave := enter("limited.wasm", visitors(func(g *wasmtest.Guest) []byte { return g.SetInt(abi.FieldAllowLimits, int32(abi.RequestsPerDay), few) }))
	for n := range few + 1 {
		a := l.use("a-visitor-s-key")
		if over := n == few; over != (a.status == http.StatusTooManyRequests && strings.Contains(a.body, "rate_limit_exceeded") && a.header.Get("Retry-After") != "") ||
			!over && (a.status != http.StatusOK || a.header.Get("RateLimit-Remaining") != fmt.Sprint(few-1-n)) {
			t.Errorf("request %d of %d: %s %v", n+1, few, a, a.header)
		}
	}
	leave()

	bytes := int64(len((&order{User: "someone", Number: firstNumber, MaxTokens: 50}).body()))
	each := tillCost((bytes+1)/2, 50)
	leave = enter("budgeted.wasm", visitors(func(g *wasmtest.Guest) []byte {
		return wasmtest.Code(g.SetInt(abi.FieldAllowBudgetAmount, 0, int64(3*each)), g.SetInt(abi.FieldAllowBudgetPeriod, 0, int64(abi.InTotal)))
	}))
	var spent abi.NanoUSD
	for served := 0; ; served++ {
		a := l.use("a-visitor-s-key")
		if fits := 3*each-spent >= each; fits != (a.status == http.StatusOK) || !fits && !strings.Contains(a.body, "insufficient_quota") {
			t.Errorf("with %d of %d spent: %s", spent, 3*each, a)
		}
		if a.status != http.StatusOK {
			break
		}
		spent += visitorCost(t, a.body)
	}
	leave()
	l.settled()
	if sum := costs(l.export(), byKey)["policy:budgeted/visitor"]; sum != spent || spent > 3*each {
		t.Errorf("the visitor has spent %d, the ledger says %d; the budget is %d", spent, sum, 3*each)
	}
	if out := l.mustCommand("usage", "--by", "key", "--json"); !strings.Contains(out, `"policy:budgeted/visitor"`) {
		t.Errorf("the usage does not name the visitor: %s", out)
	}
	l.verify()
}

// visitorCost is what an answer of the till cost, by its usage.
func visitorCost(t *testing.T, body string) abi.NanoUSD {
	var a struct {
		Usage struct {
			Input  int64 `json:"prompt_tokens"`
			Output int64 `json:"completion_tokens"`
		} `json:"usage"`
	}
	must(t, json.Unmarshal([]byte(body), &a))
	return tillCost(a.Usage.Input, a.Usage.Output)
}
