package hosttest_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
	"github.com/sallyport-dev/sallyport/sdk/go/hosttest"
)

// authenticating makes the export of a policy that decides like this.
func authenticating(decide func(*sallyport.Authentication) sallyport.Verdict) func() int32 {
	return func() int32 { return sallyport.Authenticate(decide) }
}

func choosing(decide func(*sallyport.StepChoice) sallyport.Verdict) func() int32 {
	return func() int32 { return sallyport.ChooseStep(decide) }
}

func pricing(decide func(*sallyport.Pricing) sallyport.Verdict) func() int32 {
	return func() int32 { return sallyport.PriceResponse(decide) }
}

func TestEveryFieldOfARequestIsRead(t *testing.T) {
	want := hosttest.Request{
		ID: "req_1", Method: "POST", Path: "/v1/chat/completions", Format: "openai", Operation: "chat",
		ClientAddress: "::1", Model: "coding", Stream: true,
	}
	var got hosttest.Request
	hosttest.Authentication{Request: want}.Ask(authenticating(func(a *sallyport.Authentication) sallyport.Verdict {
		got = hosttest.Request{
			ID: string(a.ID()), Method: string(a.Method()), Path: string(a.Path()), Format: string(a.Format()),
			Operation: string(a.Operation()), ClientAddress: string(a.ClientAddress()), Model: string(a.Model()), Stream: a.Stream(),
		}
		return sallyport.Pass
	}))
	if got.ID != want.ID || got.Method != want.Method || got.Path != want.Path || got.Format != want.Format ||
		got.Operation != want.Operation || got.ClientAddress != want.ClientAddress || got.Model != want.Model || !got.Stream {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEveryFieldOfAnIdentityIsRead(t *testing.T) {
	who := hosttest.Identity{
		KeyID: "k1", Name: "ci", Team: "research", State: sallyport.KeyDisabled, Models: []string{"coding", "claude-*"},
		Expires: time.UnixMilli(1_800_000_000_123), DefaultModel: "coding",
		Labels: []sallyport.Label{{Name: "env", Value: "a=b"}, {Name: "cost", Value: ""}},
		Limits: sallyport.Limits{sallyport.RequestsPerMinute: 60, sallyport.MaxOutputTokens: 8192},
	}
	hosttest.Pricing{Identity: who}.Ask(pricing(func(p *sallyport.Pricing) sallyport.Verdict {
		i := p.Identity()
		var models []string
		for m := range i.Models() {
			models = append(models, string(m))
		}
		var labels []sallyport.Label
		for name, value := range i.Labels() {
			labels = append(labels, sallyport.Label{Name: string(name), Value: string(value)})
		}
		if string(i.DefaultModel()) != "coding" || !slices.Equal(labels, who.Labels) || !slices.Equal(i.Limits(), who.Limits[:]) {
			t.Errorf("got %s %s %v", i.DefaultModel(), labels, i.Limits())
		}
		if string(i.KeyID()) != "k1" || string(i.Name()) != "ci" || string(i.Team()) != "research" ||
			i.State() != sallyport.KeyDisabled || !i.Expires().Equal(who.Expires) || !slices.Equal(models, who.Models) {
			t.Errorf("got %s %s %s %d %s %s", i.KeyID(), i.Name(), i.Team(), i.State(), i.Expires(), models)
		}
		return sallyport.Pass
	}))
}

func TestGrants(t *testing.T) {
	var credential, header, lookup error
	var value string
	export := authenticating(func(a *sallyport.Authentication) sallyport.Verdict {
		var b []byte
		_, credential = a.Credential()
		b, header = a.Header("x-team")
		value = string(b)
		_, _, lookup = a.Lookup()
		return sallyport.Pass
	})
	question := hosttest.Authentication{
		Request:    hosttest.Request{Headers: map[string]string{"x-team": "core"}},
		Credential: "secret",
	}
	question.Ask(export)
	for name, err := range map[string]error{"credential": credential, "header": header, "lookup": lookup} {
		if !errors.Is(err, sallyport.NotGranted) {
			t.Errorf("%s without a grant: %v", name, err)
		}
	}
	question.Setting = hosttest.Setting{Identities: true, Inputs: []string{"credential", "request.headers.x-team"}}
	question.Ask(export)
	if err := errors.Join(credential, header, lookup); err != nil || value != "core" {
		t.Errorf("with the grants: %q, %v", value, err)
	}
}

func TestAuthenticate(t *testing.T) {
	key := hosttest.Identity{KeyID: "k1", Name: "ci"}
	allowStored := func(a *sallyport.Authentication) sallyport.Verdict {
		stored, _, _ := a.Lookup()
		return a.Allow(stored)
	}
	facts := []struct {
		name     string
		decide   func(*sallyport.Authentication) sallyport.Verdict
		allowed  *hosttest.Identity // by another policy
		identity string
		status   int
		failed   string
	}{
		{name: "a stored key", decide: allowStored, identity: "k1"},
		{name: "an identity of its own", identity: "guest", decide: func(a *sallyport.Authentication) sallyport.Verdict {
			return a.AllowAs(sallyport.PolicyIdentity{ID: "guest", Team: "core", Models: []string{"a", "b*"}})
		}},
		{name: "a denial", status: 403, decide: func(a *sallyport.Authentication) sallyport.Verdict { return a.Deny(403, "no") }},
		{name: "a status out of range", failed: "the policy failed", decide: func(a *sallyport.Authentication) sallyport.Verdict {
			return a.Deny(200, "fine")
		}},
		{name: "a message with control characters", failed: "the policy failed", decide: func(a *sallyport.Authentication) sallyport.Verdict {
			return a.Deny(403, "a\nb")
		}},
		{name: "a refusal that is overlooked", failed: "the policy set deny.status out of range, and ignored the code it got",
			decide: func(a *sallyport.Authentication) sallyport.Verdict {
				a.Deny(200, "")
				return a.AllowAs(sallyport.PolicyIdentity{ID: "x"})
			}},
		{name: "a refusal that is mended", status: 403, decide: func(a *sallyport.Authentication) sallyport.Verdict {
			a.Deny(200, "")
			return a.Deny(403, "")
		}},
		{name: "both", failed: "the policy both allowed and denied", decide: func(a *sallyport.Authentication) sallyport.Verdict {
			a.Deny(401, "")
			return a.AllowAs(sallyport.PolicyIdentity{ID: "x"})
		}},
		{name: "neither", failed: "the policy neither allowed nor denied", decide: func(*sallyport.Authentication) sallyport.Verdict { return 0 }},
		{name: "a return value of its own", failed: "the hook returned neither a verdict, an error nor a pass",
			decide: func(*sallyport.Authentication) sallyport.Verdict { return 7 }},
		{name: "a veto", status: 403, allowed: &key, decide: func(a *sallyport.Authentication) sallyport.Verdict {
			if who, ok := a.Allowed(); !ok || string(who.KeyID()) != "k1" {
				t.Error("the veto does not see whom it is about")
			}
			return a.Deny(403, "")
		}},
		{name: "a veto that allows", allowed: &key, failed: "the policy allowed, but was asked for a veto: it may deny or pass", decide: allowStored},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			got := hosttest.Authentication{
				Setting:    hosttest.Setting{Identities: true},
				Credential: "c",
				Keys:       map[string]hosttest.Identity{"c": key},
				Allowed:    f.allowed,
			}.Ask(authenticating(f.decide))
			identity := ""
			if got.Identity != nil {
				identity = got.Identity.KeyID
			}
			if identity != f.identity || got.Status != f.status || got.Failed != f.failed || got.Passed {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// whole is an identity with everything that a policy can say of one.
var whole = sallyport.PolicyIdentity{
	ID: "u1", Name: "Ann", Team: "core", Models: []string{"coding", "claude-*"}, DefaultModel: "coding",
	Expires: time.UnixMilli(1_800_000_000_000),
	Labels:  []sallyport.Label{{Name: "env", Value: "prod"}, {Name: "note", Value: "a=b"}},
	Limits:  sallyport.Limits{sallyport.RequestsPerMinute: 60, sallyport.Concurrent: 2},
	Budgets: []sallyport.Budget{{Amount: 5e9}, {Amount: 50e9, Period: sallyport.PerMonth, Timezone: "Europe/Berlin"}},
}

func TestAllowAs(t *testing.T) {
	got := hosttest.Authentication{}.Ask(authenticating(func(a *sallyport.Authentication) sallyport.Verdict { return a.AllowAs(whole) }))
	if got.Failed != "" || got.Identity == nil {
		t.Fatalf("got %+v", got)
	}
	i := got.Identity
	if i.KeyID != "u1" || i.Name != "Ann" || i.Team != "core" || i.DefaultModel != "coding" || !i.Expires.Equal(whole.Expires) ||
		!slices.Equal(i.Models, whole.Models) || !slices.Equal(i.Labels, whole.Labels) || i.Limits != whole.Limits {
		t.Errorf("got %+v", i)
	}
	budgets := slices.Clone(whole.Budgets)
	budgets[0].Timezone = "UTC"
	if !slices.Equal(i.Budgets, budgets) {
		t.Errorf("the budgets are %+v", i.Budgets)
	}
}

func TestAllowAsOutOfRange(t *testing.T) {
	facts := []struct {
		name  string
		spoil func(*sallyport.PolicyIdentity)
	}{
		{"no id", func(i *sallyport.PolicyIdentity) { i.ID = "" }},
		{"a model without a name", func(i *sallyport.PolicyIdentity) { i.Models = []string{""} }},
		{"a label without a name", func(i *sallyport.PolicyIdentity) { i.Labels = []sallyport.Label{{Value: "x"}} }},
		{"17 labels", func(i *sallyport.PolicyIdentity) { i.Labels = slices.Repeat(i.Labels[:1], 17) }},
		{"a limit below 0", func(i *sallyport.PolicyIdentity) { i.Limits[sallyport.Concurrent] = -1 }},
		{"a limit over the most", func(i *sallyport.PolicyIdentity) { i.Limits[sallyport.TokensPerDay] = 1e15 + 1 }},
		{"a budget below 0", func(i *sallyport.PolicyIdentity) { i.Budgets = []sallyport.Budget{{Amount: -1}} }},
		{"a budget over the most", func(i *sallyport.PolicyIdentity) { i.Budgets = []sallyport.Budget{{Amount: 1e18 + 1}} }},
		{"a period that is none", func(i *sallyport.PolicyIdentity) { i.Budgets = []sallyport.Budget{{Period: 4}} }},
		{"a time zone that is none", func(i *sallyport.PolicyIdentity) { i.Budgets = []sallyport.Budget{{Timezone: "Mars/Base"}} }},
		{"the machine's time zone", func(i *sallyport.PolicyIdentity) { i.Budgets = []sallyport.Budget{{Timezone: "Local"}} }},
		{"two budgets alike", func(i *sallyport.PolicyIdentity) { i.Budgets = slices.Repeat(i.Budgets[:1], 2) }},
		{"9 budgets", func(i *sallyport.PolicyIdentity) { i.Budgets = slices.Repeat(i.Budgets[:1], 9) }},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			who := whole
			f.spoil(&who)
			got := hosttest.Authentication{}.Ask(authenticating(func(a *sallyport.Authentication) sallyport.Verdict { return a.AllowAs(who) }))
			if got.Failed == "" {
				t.Errorf("got %+v, want a failure", got.Identity)
			}
		})
	}
}

func TestDenyWithCode(t *testing.T) {
	for code, denied := range map[string]bool{"quota_2": true, "": false, "Quota": false, "a b": false, strings.Repeat("x", 65): false} {
		got := hosttest.Authentication{}.Ask(authenticating(func(a *sallyport.Authentication) sallyport.Verdict {
			return a.DenyWithCode(429, code, "Not now.")
		}))
		if denied != (got.Failed == "") || denied && (got.Status != 429 || got.Code != code || got.Message != "Not now.") {
			t.Errorf("%q: got %+v", code, got)
		}
	}
}

func TestStepStates(t *testing.T) {
	affinity := int64(7)
	c := hosttest.StepChoice{
		Strategy: "sticky", Affinity: &affinity,
		Steps: []hosttest.Step{{Context: 128_000, Price: []sallyport.NanoUSD{270}}, {Tries: 1}},
		States: []hosttest.StepState{{Available: true, Latency: 42 * time.Microsecond, Active: 3},
			{Health: sallyport.StepOpen, Cooldown: time.Millisecond + 1}},
	}
	c.Ask(choosing(func(c *sallyport.StepChoice) sallyport.Verdict {
		if n, ok := c.Affinity(); n != 7 || !ok || string(c.Strategy()) != "sticky" || !slices.Equal(c.Health(), []sallyport.StepHealth{0, sallyport.StepOpen}) {
			t.Errorf("affinity %d %t, strategy %s, health %v", n, ok, c.Strategy(), c.Health())
		}
		if !slices.Equal(c.InputPrices(), []sallyport.NanoUSD{270, -1}) || !slices.Equal(c.OutputPrices(), []sallyport.NanoUSD{0, -1}) {
			t.Errorf("prices %v %v", c.InputPrices(), c.OutputPrices())
		}
		got := [][]int64{c.Available(), c.Cooldowns(), c.Latencies(), c.Active(), c.Contexts()}
		want := [][]int64{{1, 0}, {0, 2}, {42, 0}, {3, 0}, {128_000, 0}}
		for i := range want {
			if !slices.Equal(got[i], want[i]) {
				t.Errorf("list %d is %v, want %v", i, got[i], want[i])
			}
		}
		return sallyport.Pass
	}))
	c.States, c.Affinity = nil, nil
	c.Ask(choosing(func(c *sallyport.StepChoice) sallyport.Verdict {
		if _, ok := c.Affinity(); ok || !slices.Equal(c.Available(), []int64{1, 0}) {
			t.Errorf("without states: affinity %t, available %v", ok, c.Available())
		}
		return sallyport.Pass
	}))
}

func TestChooseStep(t *testing.T) {
	facts := []struct {
		name    string
		attempt int
		decide  func(*sallyport.StepChoice) sallyport.Verdict
		step    int
		stop    bool
		fails   bool
		reason  string
	}{
		{name: "a step", step: 1, decide: func(c *sallyport.StepChoice) sallyport.Verdict { return c.Choose(1) }},
		{name: "a step that is none", fails: true, decide: func(c *sallyport.StepChoice) sallyport.Verdict { return c.Choose(2) }},
		{name: "stop at once", fails: true, decide: func(c *sallyport.StepChoice) sallyport.Verdict { return c.Stop() }},
		{name: "stop later", attempt: 2, stop: true, decide: func(c *sallyport.StepChoice) sallyport.Verdict { return c.Stop() }},
		{name: "a reason", attempt: 3, step: 1, reason: "latency", decide: func(c *sallyport.StepChoice) sallyport.Verdict {
			return c.ChooseWithReason(1, "latency")
		}},
		{name: "a reason to stop", attempt: 2, stop: true, reason: "enough", decide: func(c *sallyport.StepChoice) sallyport.Verdict {
			return c.StopWithReason("enough")
		}},
		{name: "a reason in other letters", fails: true, decide: func(c *sallyport.StepChoice) sallyport.Verdict {
			return c.ChooseWithReason(1, "caf\u00e9")
		}},
		{name: "a reason too long", fails: true, decide: func(c *sallyport.StepChoice) sallyport.Verdict {
			return c.ChooseWithReason(1, strings.Repeat("x", 65))
		}},
		{name: "a reason for a step that is none", fails: true, decide: func(c *sallyport.StepChoice) sallyport.Verdict {
			return c.ChooseWithReason(2, "x")
		}},
		{name: "what it sees", attempt: 3, step: 1, decide: func(c *sallyport.StepChoice) sallyport.Verdict {
			last, ok := c.LastStep()
			if string(c.Chain()) == "coding" && c.Len() == 2 && c.Attempt() == 3 && c.LastError() == sallyport.Transient && last == 1 && ok &&
				string(c.Model(1)) == "b" && string(c.Provider(0)) == "p" && slices.Equal(c.Priorities(), []int64{1, 2}) &&
				slices.Equal(c.Weights(), []int64{0, 3}) && slices.Equal(c.Tries(), []int64{2, 0}) {
				return c.Choose(1)
			}
			return sallyport.Pass
		}},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			got := hosttest.StepChoice{
				Chain: "coding", Attempt: f.attempt, LastError: sallyport.Transient, LastStep: 1,
				Steps: []hosttest.Step{{Model: "a", Provider: "p", Priority: 1, Tries: 2}, {Model: "b", Priority: 2, Weight: 3}},
			}.Ask(choosing(f.decide))
			if got.Step != f.step || got.Stop != f.stop || got.Reason != f.reason || (got.Failed != "") != f.fails || got.Passed {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestPriceResponse(t *testing.T) {
	facts := []struct {
		name      string
		cost      sallyport.NanoUSD
		breakdown []sallyport.NanoUSD
		fails     bool
	}{
		{"a cost", 5, nil, false},
		{"with a breakdown", 5, []sallyport.NanoUSD{2, 3}, false},
		{"with a breakdown of some of it", 5, []sallyport.NanoUSD{2}, false},
		{"with a breakdown of more", 5, []sallyport.NanoUSD{2, 4}, true},
		{"below 0", -1, nil, true},
		{"the most", sallyport.MaxCost, nil, false},
		{"more than that", sallyport.MaxCost + 1, nil, true},
	}
	for _, f := range facts {
		got := hosttest.Pricing{}.Ask(pricing(func(p *sallyport.Pricing) sallyport.Verdict { return p.Charge(f.cost, f.breakdown) }))
		if (got.Failed != "") != f.fails || !f.fails && (got.Cost != f.cost || !slices.Equal(got.Breakdown, f.breakdown)) {
			t.Errorf("%s: got %+v", f.name, got)
		}
	}
}

func TestConfigureAndLog(t *testing.T) {
	refuse := func() int32 {
		return sallyport.Configure(func(config []byte) error { return errors.New("cannot use " + string(config)) })
	}
	got := hosttest.Setting{Config: `{"tz":"Mars"}`}.Configure(refuse)
	if got.Failed == "" || !slices.Equal(got.Log, []string{`cannot use {"tz":"Mars"}`}) {
		t.Errorf("got %+v", got)
	}
	chatty := func() int32 {
		return sallyport.Configure(func([]byte) error {
			for range 20 {
				sallyport.Log(sallyport.LogInfo, strings.Repeat("x", 10))
			}
			return nil
		})
	}
	if got := (hosttest.Setting{}).Configure(chatty); got.Failed != "" || len(got.Log) != 16 {
		t.Errorf("got %d lines, %q", len(got.Log), got.Failed)
	}
}

// Tests of one policy may run at once, though an instance serves one call at a time.
func TestQuestionsAtOnce(t *testing.T) {
	echo := authenticating(func(a *sallyport.Authentication) sallyport.Verdict { return a.Deny(401, string(a.Model())) })
	var wg sync.WaitGroup
	for model := range strings.FieldsSeq(strings.Repeat("a bb ccc dddd ", 25)) {
		wg.Go(func() {
			got := hosttest.Authentication{Request: hosttest.Request{Model: model}}.Ask(echo)
			if got.Message != model {
				t.Errorf("got %q, want %q", got.Message, model)
			}
		})
	}
	wg.Wait()
}
