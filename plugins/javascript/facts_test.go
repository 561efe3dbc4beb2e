package javascript_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// answers are what an abi.Answer is called in the tables.
var answers = map[abi.Answer]string{abi.Given: "verdict", abi.NoVerdict: "pass", abi.Failed: "failed"}

// inAuthenticate is a script with this body of authenticate.
func inAuthenticate(body string) string {
	return "export function authenticate(request) {\n" + body + "\n}"
}

func everyField() *abi.Authentication {
	key := &abi.Identity{
		KeyID: "k1", Name: "ci", Team: "core", DefaultModel: "coding", Expires: now.Add(time.Hour), Models: []string{"coding", "claude-*"},
		Labels: []abi.Label{{Name: "env", Value: "prod"}, {Name: "note", Value: "a=b"}}, Limits: abi.Limits{abi.RequestsPerMinute: 60},
	}
	return &abi.Authentication{
		Request: &abi.Request{
			ID: []byte("req_1"), Method: []byte("POST"), Path: []byte("/v1/chat/completions"), Format: "openai", Operation: "chat",
			ClientAddress: []byte("::1"), Model: []byte("gpt"), Stream: true, Headers: headers{"x-team": "blué", "x-secret": "s"},
		},
		Credential: []byte("sk-1"), Digest: abi.Digest{1}, Shape: abi.CredentialForeign, Identities: store{{1}: key},
	}
}

func TestScriptsRead(t *testing.T) {
	h := newHost(t)
	facts := []struct{ name, expression, want string }{
		{"the id", `request.id`, `req_1`},
		{"the method", `request.method`, `POST`},
		{"the path", `request.path`, `/v1/chat/completions`},
		{"the format", `request.format`, `openai`},
		{"the operation", `request.operation`, `chat`},
		{"the client's address", `request.clientAddress`, `::1`},
		{"the model", `request.model`, `gpt`},
		{"whether it is a stream", `request.stream`, `true`},
		{"a header", `request.headers["x-team"]`, `blué`},
		{"a header, whatever its case", `request.headers["X-Team"]`, `blué`},
		{"a header that is not there", `request.headers["x-absent"]`, `undefined`},
		{"whether a header is there", `"x-team" in request.headers && !("x-absent" in request.headers)`, `true`},
		{"the credential", `request.credential`, `sk-1`},
		{"the credential's shape", `request.shape`, `foreign`},
		{"nobody was allowed yet", `request.allowed`, `undefined`},
		{"a stored key's id", `request.lookup().keyId`, `k1`},
		{"its name, team and default model", `[(k => [k.name, k.team, k.defaultModel])(request.lookup())].join()`, `ci,core,coding`},
		{"its state", `request.lookup().state`, `active`},
		{"its end", `request.lookup().expires - sallyport.now()`, `3600000`},
		{"that it has not ended", `request.lookup().expired`, `false`},
		{"its models", `request.lookup().models`, `["coding","claude-*"]`},
		{"its labels", `request.lookup().labels`, `{"env":"prod","note":"a=b"}`},
		{"its limits", `request.lookup().limits.rpm`, `60`},
		{"a field of another hook", `request.usage`, `undefined`},
		{"no credential where the request is copied", `"credential" in {...request}`, `false`},
		{"the request as JSON", `JSON.parse(JSON.stringify(request)).model`, `gpt`},
		{"the time", `sallyport.now() === Date.now() && new Date().toISOString()`, `2026-11-21T12:00:00.000Z`},
		{"random bytes", `sallyport.random(16).length`, `16`},
		{"random numbers", `Math.random() >= 0 && Math.random() < 1`, `true`},
		{"dollars", `sallyport.usd("0.25") + sallyport.usd("3") + sallyport.usd("-1.000000001")`, `2249999999`},
		{"the cost of a row", `sallyport.cost({input: 11n, output: 9n}, {input: 270_000_000n, output: 1_100_000_000n})`, `12870`},
		{"a digest", `sallyport.digest("abc")[0]`, `186`},
		{"the same digest of bytes", `sallyport.digest(new Uint8Array([97, 98, 99]))[31]`, `173`},
		{"base64 and regular expressions", `atob("c2FsbHk=").replace(/l+/u, "L")`, `saLy`},
		{"what promises come to", `await (async () => "later")()`, `later`},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			set := h.mustLoad(t, "export async function authenticate(request) { console.log("+f.expression+"); }", "")
			h.log.take()
			if answer := set.Authenticate(everyField()); answer != abi.NoVerdict {
				t.Errorf("the answer is %q: %s", answers[answer], h.log.last())
			}
			if said := h.log.take(); !slices.Equal(said, []string{f.want}) {
				t.Errorf("it logged %q, want %q", said, f.want)
			}
		})
	}
}

func TestVerdictsOfAuthenticate(t *testing.T) {
	h := newHost(t)
	facts := []struct {
		name, body string
		want       abi.Authentication // what the verdict set
	}{
		{"the stored key", `return sallyport.allow(request.lookup());`, abi.Authentication{Policy: "rule", Identity: &abi.Identity{KeyID: "k1"}}},
		{"a denial", `return sallyport.deny(403, "Not today.");`, abi.Authentication{Policy: "rule", Status: 403, Message: "Not today."}},
		{"a denial with a code", `return sallyport.deny(429, "Slow.", "slow_down");`,
			abi.Authentication{Policy: "rule", Status: 429, Message: "Slow.", Code: "slow_down"}},
		{"a denial by a promise", `return Promise.resolve(sallyport.deny(401, "Later."));`,
			abi.Authentication{Policy: "rule", Status: 401, Message: "Later."}},
		{"one of several verdicts", `const no = sallyport.deny(403), yes = sallyport.allowAs({id: "u"}); return yes;`,
			abi.Authentication{Policy: "rule", Identity: &abi.Identity{KeyID: "policy:rule/u", Name: "u"}}},
		{"an identity with everything", `return sallyport.allowAs({
			id: "u1", name: "Ann", team: "core", defaultModel: "coding", models: ["coding", "claude-*"], labels: {env: "prod", note: "a=b"},
			limits: {rpm: 60, concurrent: 2}, expires: 1_800_000_000_000,
			budgets: [{amount: 5_000_000_000n}, {amount: sallyport.usd("50"), per: "month", timezone: "Europe/Berlin"}]});`,
			abi.Authentication{Policy: "rule", Identity: &abi.Identity{
				KeyID: "policy:rule/u1", Name: "Ann", Team: "core", DefaultModel: "coding", Models: []string{"coding", "claude-*"},
				Labels:  []abi.Label{{Name: "env", Value: "prod"}, {Name: "note", Value: "a=b"}},
				Limits:  abi.Limits{abi.RequestsPerMinute: 60, abi.Concurrent: 2},
				Expires: time.UnixMilli(1_800_000_000_000),
				Budgets: []abi.Budget{{Amount: 5_000_000_000}, {Amount: 50_000_000_000, Period: abi.PerMonth}},
			}}},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			set := h.mustLoad(t, inAuthenticate(f.body), "")
			a := everyField()
			if answer := set.Authenticate(a); answer != abi.Given {
				t.Fatalf("the answer is %q: %s", answers[answer], h.log.last())
			}
			if a.Policy != f.want.Policy || a.Status != f.want.Status || a.Message != f.want.Message || a.Code != f.want.Code {
				t.Errorf("it set %d %q %q by %q", a.Status, a.Message, a.Code, a.Policy)
			}
			checkIdentity(t, a.Identity, f.want.Identity)
		})
	}
}

// checkIdentity compares what a script can set of an identity; of a stored key its id.
func checkIdentity(t *testing.T, got, want *abi.Identity) {
	t.Helper()
	switch {
	case got == nil || want == nil:
		if got != want {
			t.Errorf("the identity is %+v, want %+v", got, want)
		}
		return
	case got.KeyID != want.KeyID:
		t.Errorf("the identity is %q, want %q", got.KeyID, want.KeyID)
	}
	if !strings.HasPrefix(want.KeyID, "policy:") {
		return
	}
	if len(got.Budgets) == 2 && got.Budgets[1].Zone() != "Europe/Berlin" {
		t.Errorf("the second budget is of %q", got.Budgets[1].Zone())
	}
	for i := range got.Budgets { // locations are compared by their names above
		got.Budgets[i].Location = nil
	}
	if !got.Expires.Equal(want.Expires) {
		t.Errorf("it ends at %v, want %v", got.Expires, want.Expires)
	}
	got.Expires, want.Expires = time.Time{}, time.Time{}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the identity is\n\t%+v, want\n\t%+v", got, want)
	}
}

// A script that does something else than it means fails: it neither passes nor lets in.
func TestMistakes(t *testing.T) {
	h := newHost(t)
	facts := []struct{ name, body, log, stack string }{
		{"an exception", "\n  return nothing.at.all;", "ERROR ReferenceError: nothing is not defined, at authenticate (script.js:3:10)", "at authenticate (script.js:3:10)"},
		{"deep in a function", "const f = (x) => x.y.z;\nreturn f({});", "at f (script.js:2:", "at authenticate (script.js:3:"},
		{"a text that is thrown", `throw "just so";`, "ERROR just so", "just so"},
		{"an error whose text is another error", `throw {toString() { throw 1; }};`, "ERROR an error that has no text", ""},
		{"its own word", `return sallyport.fail("failed on purpose");`, "ERROR failed on purpose", ""},
		{"a forgotten return", `sallyport.deny(403, "no");`, "is there a `return` missing?", ""},
		{"a value that is no verdict", `return true;`, "something that is no verdict", ""},
		{"null", `return null;`, "something that is no verdict", ""},
		{"a verdict of another hook", `return sallyport.choose(0);`, "sallyport.choose() is no verdict of this hook", ""},
		{"a promise that never settles", `return new Promise(() => {});`, "stays pending", ""},
		{"a promise that was refused", `return Promise.reject(new Error("refused"));`, "ERROR refused, at authenticate (script.js:2:", ""},
		{"a status that is none", `return sallyport.deny(200);`, "ERROR setting deny.status: out of range", ""},
		{"a status that is no number", `return sallyport.deny("403");`, "ERROR TypeError: setting deny.status", ""},
		{"a message that is no text", `return sallyport.deny(403, 5);`, "setting deny.message", ""},
		{"a header without a grant", `return request.headers["x-secret"];`, "ERROR request.headers.x-secret: not granted", "script.js:2:"},
		{"a key that is none", `return sallyport.allow({keyId: "k1"});`, "allow takes a key that request.lookup() found", ""},
		{"a member that an identity does not have", `return sallyport.allowAs({id: "u", limit: {rpm: 1}});`, "there is no limit", ""},
		{"a limit that is none", `return sallyport.allowAs({id: "u", limits: {rpmm: 1}});`, "there is no rpmm", ""},
		{"a limit that is no whole number", `return sallyport.allowAs({id: "u", limits: {rpm: 0.5}});`, "must be a whole number", ""},
		{"money that is a Number", `return sallyport.allowAs({id: "u", budgets: [{amount: 5}]});`, "must be a BigInt", ""},
		{"money of more than 64 bits", `return sallyport.allowAs({id: "u", budgets: [{amount: 2n ** 64n}]});`, "does not fit into 64 bits", ""},
		{"a budget without an amount", `return sallyport.allowAs({id: "u", budgets: [{per: "day"}]});`, "a budget has no amount", ""},
		{"a period that is none", `return sallyport.allowAs({id: "u", budgets: [{amount: 1n, per: "year"}]});`, "day, week, month or total", ""},
		{"a time zone that is none", `return sallyport.allowAs({id: "u", budgets: [{amount: 1n, timezone: "Mars/Base"}]});`,
			"ERROR setting allow.budget_timezone", ""},
		{"an identity without an id", `return sallyport.allowAs({name: "u"});`, "", "bad_verdict"},
		{"dollars in a Number", `sallyport.usd(0.25);`, `as usd("0.25")`, ""},
		{"dollars with too many decimals", `sallyport.usd("0.0000000001");`, "up to 9 decimals", ""},
		{"dollars that are no number", `sallyport.usd("1,5");`, "up to 9 decimals", ""},
		{"too many dollars", `sallyport.usd("99999999999");`, "up to 9 decimals", ""},
		{"a field that is set", `request.model = "other";`, "TypeError", "script.js:2:"},
		{"a level that is none", `sallyport.log("loud", "x");`, "debug, info, warn or error", ""},
		{"state without its grant", `sallyport.kv.get("a");`, "ERROR kv_get: not granted", ""},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			set := h.mustLoad(t, inAuthenticate(f.body), "")
			h.log.take()
			if answer := set.Authenticate(everyField()); answer != abi.Failed {
				t.Fatalf("the answer is %q", answers[answer])
			}
			if said := strings.Join(h.log.take(), "\n"); !strings.Contains(said, f.log) {
				t.Errorf("it logged %q, want %q", said, f.log)
			}
			if failure := h.log.last(); !strings.Contains(failure, f.stack) {
				t.Errorf("the record of the failure is %q, want %q", failure, f.stack)
			}
		})
	}
}

// What is kept of one call must not speak of another: the host's answers are about the request that runs.
func TestKeysOfEarlierCallsAreRefused(t *testing.T) {
	h := newHost(t)
	set := h.mustLoad(t, `let kept;
		export function authenticate(request) {
			if (!kept) { kept = request.lookup(); return sallyport.pass(); }
			request.lookup();
			return sallyport.allow(kept);
		}`, "")
	if answer := set.Authenticate(everyField()); answer != abi.NoVerdict {
		t.Fatalf("the first answer is %q", answers[answer])
	}
	if answer := set.Authenticate(everyField()); answer != abi.Failed || !strings.Contains(h.log.last(), "an object of an earlier call") {
		t.Errorf("the second answer is %q", answers[answer])
	}
}

func TestVeto(t *testing.T) {
	h := newHost(t)
	set, err := h.Load(t.Context(), twice(engine(t), `export function authenticate(request) {
		return request.allowed ? sallyport.deny(403, "Not " + request.allowed.keyId + ".") : sallyport.allowAs({id: "u"});
	}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	a := everyField()
	if answer := set.Authenticate(a); answer != abi.Given || a.Status != 403 || a.Message != "Not policy:rule/u." {
		t.Errorf("the answer is %q: %d %q", answers[answer], a.Status, a.Message)
	}
}

func newChoice() *abi.StepChoice {
	return &abi.StepChoice{
		Request: newRequest(), Identity: &abi.Identity{KeyID: "k1"}, Chain: "coding", Attempt: 2, LastError: abi.NotSent, LastStep: 0,
		Steps: []abi.Step{{Model: "a", Provider: "x", Priority: 1, Weight: 50}, {Model: "b", Provider: "y", Priority: 2}},
		Tries: []int64{1, 0},
	}
}

// newStates is newChoice with everything that is known of how steps do.
func newStates() *abi.StepChoice {
	c := newChoice()
	c.LastError, c.Strategy, c.Affinity, c.Sticks = abi.ContextLength, "sticky", 1<<64-1, true
	c.Steps[1].Context, c.Steps[1].Price = 128_000, &abi.PriceRow{abi.Input: 270_000_000}
	c.States = []abi.StepState{{Health: abi.StepParked, Cooldown: 1500 * time.Millisecond},
		{Available: true, Health: 99, Latency: 42 * time.Microsecond, Active: 3}}
	return c
}

func TestStates(t *testing.T) {
	h := newHost(t)
	set := h.mustLoad(t, `export function chooseStep(choice) {
		console.log(choice.strategy, choice.affinity, choice.lastError);
		for (const s of choice.steps) console.log(s.available, s.health, s.cooldown, s.latency, s.active, s.inputPrice, s.outputPrice, s.context);
		return choice.attempt > 2 ? sallyport.stop("enough") : sallyport.choose(choice.steps.find((s) => s.available), choice.model);
	}`, "")
	h.log.take()
	c := newStates()
	if answer := set.ChooseStep(c); answers[answer] != "verdict" || c.Step != 1 || c.Reason != "gpt" {
		t.Errorf("the answer is %q: step %d, reason %q; %s", answers[answer], c.Step, c.Reason, h.log.last())
	}
	want := "sticky 9007199254740991 contextLength\nfalse parked 1500 undefined 0 undefined undefined undefined\n" +
		"true unknown 0 42 3 270000000 0 128000"
	if said := strings.Join(h.log.take(), "\n"); said != want {
		t.Errorf("it logged\n%s\nwant\n%s", said, want)
	}
	c = newChoice()
	c.Attempt, c.Sticks = 3, false
	if answer := set.ChooseStep(c); answers[answer] != "verdict" || !c.Stop || c.Reason != "enough" {
		t.Errorf("the answer is %q: stop %t, reason %q; %s", answers[answer], c.Stop, c.Reason, h.log.last())
	}
	if said := strings.Join(h.log.take(), "\n"); !strings.HasPrefix(said, "undefined undefined notSent\nfalse healthy 0 ") {
		t.Errorf("it logged %q", said)
	}
}

func TestChooseStep(t *testing.T) {
	h := newHost(t)
	facts := []struct {
		name, body, answer string
		step               int
		stop               bool
		log                string
	}{
		{"a step", `return sallyport.choose(choice.steps[1]);`, "verdict", 1, false, ""},
		{"a step itself", `return choice.steps.find((s) => s.tries === 0);`, "verdict", 1, false, ""},
		{"an index", `return sallyport.choose(1);`, "verdict", 1, false, ""},
		{"a stop", `return sallyport.stop();`, "verdict", 0, true, ""},
		{"no opinion", ``, "pass", 0, false, ""},
		{"a step too far", `return sallyport.choose(choice.steps.length);`, "failed", 0, false, "ERROR setting chosen_step"},
		{"a reason of two lines", `return sallyport.choose(1, "a\nb");`, "failed", 0, false, "ERROR setting choice.reason"},
		{"a reason that is no text", `return sallyport.stop(1);`, "failed", 0, false, "setting choice.reason: it must be a text"},
		{"a number alone", `return 1;`, "failed", 0, false, "no verdict"},
		{"everything that it is told", `console.log(choice.identity.keyId, choice.chain, choice.attempt, choice.lastError, choice.lastStep, choice.model);
			for (const s of choice.steps) console.log(s.index, s.model, s.provider, s.priority, s.weight, s.tries);`,
			"pass", 0, false, "k1 coding 2 notSent 0 gpt\n0 a x 1 50 1\n1 b y 2 0 0"},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			set := h.mustLoad(t, "export function chooseStep(choice) {"+f.body+"}", "")
			h.log.take()
			c := newChoice()
			if answer := set.ChooseStep(c); answers[answer] != f.answer || c.Step != f.step || c.Stop != f.stop {
				t.Errorf("the answer is %q: step %d, stop %t; %s", answers[answer], c.Step, c.Stop, h.log.last())
			}
			if said := strings.Join(h.log.take(), "\n"); !strings.Contains(said, f.log) {
				t.Errorf("it logged %q, want %q", said, f.log)
			}
		})
	}
}

func TestPriceResponse(t *testing.T) {
	h := newHost(t)
	facts := []struct {
		name, body, answer string
		cost               abi.NanoUSD
		output             abi.NanoUSD // its part of the breakdown
		log                string
	}{
		{"a cost", `return sallyport.charge(5n);`, "verdict", 5, 0, ""},
		{"a cost itself", `return pricing.cost;`, "verdict", 12_870, 0, ""},
		{"the row's cost with a markup", `return sallyport.charge(pricing.cost * 11n / 10n, pricing.breakdown);`, "verdict", 14_157, 9900, ""},
		{"the cost of other prices", `return sallyport.cost(pricing.usage, {...pricing.price, output: 0n});`, "verdict", 2970, 0, ""},
		{"a Number", `return sallyport.charge(5);`, "failed", 0, 0, "must be a BigInt"},
		{"a negative cost", `return sallyport.charge(-1n);`, "failed", 0, 0, "ERROR setting cost: out of range"},
		{"a dimension that is none", `return sallyport.charge(5n, {outputs: 5n});`, "failed", 0, 0, "breakdown.outputs: there is no such dimension"},
		{"everything that it is told", `console.log(pricing.phase, pricing.provider, pricing.providerModel, pricing.usage.input, pricing.price.output);`,
			"pass", 0, 0, "final acme gpt-4 11 1100000000"},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			set := h.mustLoad(t, "export function priceResponse(pricing) {"+f.body+"}", "")
			h.log.take()
			p := &abi.Pricing{
				Request: newRequest(), Identity: &abi.Identity{}, Phase: abi.Final, Provider: "acme", Model: "gpt-4",
				Usage: abi.Usage{abi.Input: 11, abi.Output: 9}, Price: &abi.PriceRow{abi.Input: 270_000_000, abi.Output: 1_100_000_000},
			}
			if answer := set.PriceResponse(p); answers[answer] != f.answer || p.Cost != f.cost || p.Breakdown[abi.Output] != f.output {
				t.Errorf("the answer is %q: %d, %v; %s", answers[answer], p.Cost, p.Breakdown, h.log.last())
			}
			if said := strings.Join(h.log.take(), "\n"); !strings.Contains(said, f.log) {
				t.Errorf("it logged %q, want %q", said, f.log)
			}
		})
	}
	set := h.mustLoad(t, "export const priceResponse = (pricing) => pricing.cost;", "")
	if answer := set.PriceResponse(&abi.Pricing{Request: newRequest()}); answer != abi.NoVerdict {
		t.Errorf("without a price the answer is %q", answers[answer])
	}
}

// The names of dimensions and limits are those of the contract, in camel case.
func TestNamesAreTheContracts(t *testing.T) {
	h := newHost(t)
	set := h.mustLoad(t, `
		export const authenticate = (request) => console.log(Object.keys(request.lookup().limits).join());
		export const priceResponse = (pricing) => console.log(Object.keys(pricing.usage).join());`, "")
	set.Authenticate(everyField())
	set.PriceResponse(&abi.Pricing{Request: newRequest()})
	var limits, dimensions []string
	for l := range abi.NumLimits {
		limits = append(limits, camel(l.String()))
	}
	for d := range abi.NumDimensions {
		dimensions = append(dimensions, camel(d.String()))
	}
	if said := h.log.take(); !slices.Equal(said, []string{strings.Join(limits, ","), strings.Join(dimensions, ",")}) {
		t.Errorf("they are %q", said)
	}
}

func camel(name string) string {
	words := strings.Split(name, "_")
	for i, word := range words[1:] {
		words[i+1] = strings.ToUpper(word[:1]) + word[1:]
	}
	return strings.Join(words, "")
}
