package extism_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs/extism"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// inside asks a question of a guest that calls the test while its hook runs, and returns a verdict.
func inside(t testing.TB, policy runtime.Policy, q question, call func(c *runtime.Call)) (abi.Answer, *spy) {
	t.Helper()
	s := &spy{}
	policy.Wasm = calling(q.hook())
	return q.ask(loadWith(t, policy, runtime.Options{Portable: tellingOf(call), Observer: s})), s
}

// calling is a guest that calls tellingOf's function, and returns a verdict.
func calling(hook abi.Hook) []byte {
	return newGuest().withHook(hook, func(g *guest) []byte { return w.Code(g.call("get_log_level"), w.Drop, w.Verdict) })
}

// tellingOf is the portable tier with a function that calls the test.
func tellingOf(call func(c *runtime.Call)) *runtime.Portable {
	p := extism.New()
	for i, f := range p.Functions {
		if f.Name == "get_log_level" {
			p.Functions[i].Call = func(c *runtime.Call, _ []uint64) { call(c) }
		}
	}
	return p
}

// asker asks a guest that calls the test while its hook runs, as often as the test likes: a policy that fails too often to
// be asked is given a fresh start.
func asker(f *testing.F, hook abi.Hook, call func(c *runtime.Call)) (ask func(q question) abi.Answer) {
	f.Helper()
	s := &spy{}
	r, err := runtime.New(f.Context(), runtime.Options{Portable: tellingOf(call), Observer: s})
	if err != nil {
		f.Fatal(err)
	}
	policy := runtime.Policy{Name: "p", Wasm: calling(hook), Grants: everyGrant, Config: []byte(`{"":"x"}`), Limits: runtime.Limits{Time: time.Minute}}
	set, err := r.Load(f.Context(), []runtime.Policy{policy})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() {
		set.Close()
		if err := r.Close(context.WithoutCancel(f.Context())); err != nil {
			f.Error(err)
		}
	})
	return func(q question) abi.Answer {
		answer := q.ask(set)
		for s.failure == runtime.TakenOut {
			policy.Limits.Time++ // other limits are how an operator has it asked again
			again, err := r.Load(context.Background(), []runtime.Policy{policy})
			if err != nil {
				panic(err)
			}
			set.Close()
			set = again
			answer = q.ask(set)
		}
		return answer
	}
}

// messageOf is the message that a question is asked by.
func messageOf(t testing.TB, policy runtime.Policy, q question) (message []byte) {
	t.Helper()
	inside(t, policy, q, func(c *runtime.Call) { message = extism.Question(c) })
	return append(message, bytes.Repeat([]byte(" "), -len(message)&7)...)
}

type headers map[string][]byte

func (h headers) Header(name string) ([]byte, bool) { v, ok := h[name]; return v, ok }

type directory map[abi.Digest]*abi.Identity

func (d directory) Lookup(digest *abi.Digest) (*abi.Identity, bool) {
	i, ok := d[*digest]
	return i, ok
}

// everyGrant is every grant that the fields of these questions need.
var everyGrant = runtime.Grants{Identities: true, Inputs: []string{"credential", "request.headers.x-team", "request.headers.x-none"}}

// full is a question at each hook in which every field has a value.
func full() [abi.NumHooks]question {
	request := &abi.Request{
		ID: []byte("req_1"), Method: []byte("POST"), Path: []byte("/v1/chat/completions"), Format: "openai", Operation: "chat",
		ClientAddress: []byte("192.0.2.1"), Model: []byte("coding"), Stream: true,
		Headers: headers{"x-team": []byte("red"), "cookie": []byte("secret")},
	}
	identity := &abi.Identity{KeyID: "key_1", Name: "ci", Team: "research", State: abi.KeyDisabled,
		Expires: time.UnixMilli(1_800_000_000_000), Models: []string{"coding", "claude-*"},
		DefaultModel: "coding", Labels: []abi.Label{{Name: "tier", Value: "gold"}, {Name: "cost", Value: `a "b"`}},
		Limits: abi.Limits{abi.RequestsPerMinute: 60, abi.Concurrent: 8}}
	digest := abi.Digest([]byte("0123456789abcdef0123456789abcdef"))
	return [abi.NumHooks]question{
		{authentication: &abi.Authentication{Request: request, Credential: []byte("sk-1"), Digest: digest, Shape: abi.CredentialForeign,
			Identities: directory{digest: identity}}},
		{choice: &abi.StepChoice{Request: request, Identity: identity, Chain: "coding", Attempt: 2, LastError: abi.Transient, LastStep: 1,
			Steps: []abi.Step{
				{Model: "a", Provider: "A", Priority: 1, Weight: 50, Context: 128_000},
				{Model: "b", Provider: "B", Priority: 2, Weight: 7, Price: &abi.PriceRow{abi.Input: 270_000_000}}},
			States: []abi.StepState{{Health: abi.StepParked, Cooldown: 1500 * time.Millisecond, Latency: 420 * time.Millisecond, Active: 3},
				{Available: true}},
			Tries: []int64{0, 3}, Strategy: "sticky", Affinity: 1<<64 - 1, Sticks: true}},
		{pricing: &abi.Pricing{Request: request, Identity: identity, Phase: abi.Final, Provider: "claude", Model: "claude-sonnet",
			Usage: abi.Usage{abi.Input: 10, abi.Output: 20}, Price: &abi.PriceRow{abi.Input: 270_000_000, abi.Requests: 9_007_199_254_740_993}}},
	}
}

const (
	askedRequest = `"request":{"id":"req_1","method":"POST","path":"/v1/chat/completions","format":"openai","operation":"chat",` +
		`"client_address":"192.0.2.1","model":"coding","stream":true,"headers":{"x-team":"red"}}`
	askedIdentity = `"identity":{"key_id":"key_1","name":"ci","team":"research","state":"disabled","expires":1800000000000,` +
		`"models":["coding","claude-*"],"labels":["tier=gold","cost=a \"b\""],"limits":{"rpm":60,"concurrent":8},"default_model":"coding"}`
	askedDigest = `"digest":"3031323334353637383961626364656630313233343536373839616263646566"`
)

func TestQuestions(t *testing.T) {
	for hook, want := range [abi.NumHooks]string{
		`{"abi":1,"hook":"authenticate",` + askedRequest + `,"credential":{"value":"sk-1",` + askedDigest + `,"shape":"foreign"},` + askedIdentity + `}`,
		`{"abi":1,"hook":"choose_step",` + askedRequest + `,` + askedIdentity + `,"chain":"coding","attempt":2,"last_error":"transient","last_step":1,` +
			`"strategy":"sticky","affinity":9007199254740991,` +
			`"steps":[{"model":"a","provider":"A","priority":1,"weight":50,"tries":0,"available":false,"health":"parked","cooldown":1500,` +
			`"latency":420000,"active":3,"context":128000},{"model":"b","provider":"B","priority":2,"weight":7,"tries":3,"available":true,` +
			`"health":"healthy","cooldown":0,"latency":0,"active":0,"context":0,"price_input":"270000000","price_output":"0"}]}`,
		`{"abi":1,"hook":"price_response",` + askedRequest + `,` + askedIdentity + `,"phase":"final","provider":"claude","model":"claude-sonnet",` +
			`"usage":{"input":10,"output":20},"price":{"input":"270000000","requests":"9007199254740993"}}`,
	} {
		got := messageOf(t, runtime.Policy{Grants: everyGrant}, full()[hook])
		if len(got)%8 != 0 || strings.TrimRight(string(got), " ") != want {
			t.Errorf("%s: %d bytes\n%s, want\n%s", abi.Hook(hook), len(got), got, want)
		}
	}
}

func TestQuestionsWithLessInThem(t *testing.T) {
	request := &abi.Request{}
	all := full()
	vetoed := *all[abi.Authenticate].authentication
	for _, test := range []struct {
		name   string
		policy runtime.Policy
		q      question
		want   string
	}{
		{"without a grant", runtime.Policy{}, question{authentication: &vetoed},
			`{"abi":1,"hook":"authenticate",` + strings.Replace(askedRequest, `{"x-team":"red"}`, `{}`, 1) + `,"credential":{` + askedDigest + `,"shape":"foreign"}}`},
		{"nobody", runtime.Policy{Grants: everyGrant}, question{authentication: &abi.Authentication{Request: request}},
			`{"abi":1,"hook":"authenticate","request":{"stream":false},"credential":{"shape":"none"},"identity":null}`},
		{"somebody unknown", runtime.Policy{Grants: everyGrant}, question{authentication: &abi.Authentication{Request: request, Digest: abi.Digest{1},
			Identities: directory{}}},
			`{"abi":1,"hook":"authenticate","request":{"stream":false},"credential":{"digest":"01` + strings.Repeat("00", 31) + `","shape":"none"},"identity":null}`},
		{"the first attempt", runtime.Policy{}, question{choice: &abi.StepChoice{Request: request, LastStep: -1, Attempt: 1, Steps: []abi.Step{{}}}},
			`{"abi":1,"hook":"choose_step","request":{"stream":false},"identity":null,"chain":"","attempt":1,"last_error":"none",` +
				`"steps":[{"model":"","provider":"","priority":0,"weight":0,"available":true,"health":"healthy","cooldown":0,"latency":0,` +
				`"active":0,"context":0}]}`},
		{"no price", runtime.Policy{}, question{pricing: &abi.Pricing{Request: request, Phase: abi.Estimate}},
			`{"abi":1,"hook":"price_response","request":{"stream":false},"identity":null,"phase":"estimate","provider":"","model":"","usage":{},"price":null}`},
		{"what is not UTF-8", runtime.Policy{}, question{pricing: &abi.Pricing{Request: &abi.Request{Model: []byte("a\xffb\"\\\n\x7fé")}, Phase: abi.Final}},
			`{"abi":1,"hook":"price_response","request":{"model":"a` + "\ufffd" + `b\"\\\u000a` + "\x7f" + `é","stream":false},"identity":null,"phase":"final",` +
				`"provider":"","model":"","usage":{},"price":null}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := strings.TrimRight(string(messageOf(t, test.policy, test.q)), " "); got != test.want {
				t.Errorf("%s, want\n%s", got, test.want)
			}
		})
	}
}

// A veto sees whom the verdict allowed, without a grant.
func TestTheQuestionOfAVeto(t *testing.T) {
	var message []byte
	allows := newGuest().withHook(abi.Authenticate, func(g *guest) []byte {
		return w.Code(g.answer(0, `{"verdict":"allow","identity":{"id":"x"}}`), w.Verdict)
	})
	looks := newGuest().withHook(abi.Authenticate, func(g *guest) []byte { return w.Code(g.call("get_log_level"), w.Drop, w.Pass) })
	p := extism.New()
	for i, f := range p.Functions {
		if f.Name == "get_log_level" {
			p.Functions[i].Call = func(c *runtime.Call, _ []uint64) { message = extism.Question(c) }
		}
	}
	r, err := runtime.New(t.Context(), runtime.Options{Portable: p})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close(t.Context())
	long := runtime.Limits{Time: time.Minute} // this runs on busy machines
	set, err := r.Load(t.Context(), []runtime.Policy{{Name: "allows", Wasm: allows, Limits: long}, {Name: "looks", Wasm: looks, Veto: true, Limits: long}})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	if answer := set.Authenticate(&abi.Authentication{Request: &abi.Request{}}); answer != abi.Given {
		t.Errorf("answer %d", answer)
	}
	if want := `"veto":true,"identity":{"key_id":"policy:allows/x","name":"x","state":"active"`; !strings.Contains(string(message), want) {
		t.Errorf("asked by %s, without %s", message, want)
	}
}

// paths says where the fields stand whose place is not that of their name, or none. The rest of a path is of the test's
// values.
var paths = map[string]string{
	"request.headers": "request.headers.x-team",
	"credential":      "credential.value",
	"step.count":      "steps.1", // it is how many there are
	"step.model":      "steps.0.model", "step.provider": "steps.0.provider", "step.priority": "steps.0.priority",
	"step.weight": "steps.0.weight", "step.tries": "steps.0.tries",
	"step.available": "steps.0.available", "step.health": "steps.0.health", "step.cooldown": "steps.0.cooldown",
	"step.latency": "steps.0.latency", "step.active": "steps.0.active", "step.context": "steps.0.context",
	"step.price_input": "steps.1.price_input", "step.price_output": "steps.1.price_output",
	"price.phase": "phase",
}

// Every input of the contract is in the message, at its name.
func TestEveryInputIsAsked(t *testing.T) {
	for hook, q := range full() {
		var message any
		if err := json.Unmarshal(messageOf(t, runtime.Policy{Grants: everyGrant}, q), &message); err != nil {
			t.Fatal(err)
		}
		for _, f := range abi.Fields() {
			if f.Output || !f.Hooks.Has(abi.Hook(hook)) {
				continue
			}
			path := f.Name
			if other, ok := paths[path]; ok {
				path = other
			}
			if !reaches(message, strings.Split(path, ".")) {
				t.Errorf("%s: %s is not at %s", abi.Hook(hook), f.Name, path)
			}
		}
	}
}

func reaches(v any, path []string) bool {
	if len(path) == 0 {
		return v != nil
	}
	switch v := v.(type) {
	case map[string]any:
		return reaches(v[path[0]], path[1:])
	case []any:
		var i int
		_, err := fmt.Sscan(path[0], &i)
		return err == nil && i < len(v) && reaches(v[i], path[1:])
	default:
		return false
	}
}

// FuzzQuestion puts any bytes where a client's stand. What a JSON reader finds is them, as far as they are UTF-8.
func FuzzQuestion(f *testing.F) {
	f.Add([]byte("coding"), []byte("red"))
	f.Add([]byte("\xff\xfe\""), []byte("\\\r\n\x00"))
	f.Add([]byte("\xed\xa0\x80"), []byte("\u2028𝄞"))
	var message []byte
	ask := asker(f, abi.PriceResponse, func(c *runtime.Call) { message = extism.Question(c) })
	f.Fuzz(func(t *testing.T, model, header []byte) {
		ask(question{pricing: &abi.Pricing{Request: &abi.Request{Model: model, Headers: headers{"x-team": header}}, Phase: abi.Final}})
		var read struct {
			Request struct {
				Model   string
				Headers map[string]string
			}
		}
		if err := json.Unmarshal(message, &read); err != nil {
			t.Fatalf("%v: %q", err, message)
		}
		if want := strings.ToValidUTF8(string(model), ""); strings.ReplaceAll(read.Request.Model, "\ufffd", "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Errorf("the model %q is asked as %q", model, read.Request.Model)
		}
		if want := strings.ToValidUTF8(string(header), ""); strings.ReplaceAll(read.Request.Headers["x-team"], "\ufffd", "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Errorf("the header %q is asked as %q", header, read.Request.Headers["x-team"])
		}
	})
}
