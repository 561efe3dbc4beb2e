package hostfuncs_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// host is what a test calls the functions through, while a guest runs.
type host struct {
	c         *runtime.Call
	functions map[string]func(*runtime.Call, []uint64)
}

// call calls a function as a guest would. An i32 result is sign-extended.
func (h host) call(function string, args ...int64) int64 {
	stack := make([]uint64, max(1, len(args)))
	for i, a := range args {
		stack[i] = uint64(a)
	}
	h.functions[function](h.c, stack)
	if slices.ContainsFunc(abi.Functions(), func(f abi.Function) bool { return f.Name == function && f.Results[0] == abi.I64 }) {
		return int64(stack[0])
	}
	return int64(int32(uint32(stack[0])))
}

// put puts a text where args of the tests say it is.
func (h host) put(ptr uint32, text string) { h.c.Write(ptr, []byte(text)) }

func (h host) memory(ptr, length uint32) string {
	b, _ := h.c.Read(ptr, length)
	return string(b)
}

// read reads a field of kind Bytes, or an element of a list of them, or says with which code that failed.
func (h host) read(field abi.FieldID, index int64) (string, abi.Code) {
	n := h.call("get", int64(field), index, 0, 1<<10)
	if n < 0 {
		return "", abi.Code(n)
	}
	return h.memory(0, uint32(n)), abi.OK
}

// asked is what the guests of these tests are asked.
type asked struct {
	authentication *abi.Authentication
	choice         *abi.StepChoice
	pricing        *abi.Pricing
}

func (a asked) of(set *runtime.Set, hook abi.Hook) abi.Answer {
	switch hook {
	case abi.Authenticate:
		return set.Authenticate(a.authentication)
	case abi.ChooseStep:
		return set.ChooseStep(a.choice)
	default:
		return set.PriceResponse(a.pricing)
	}
}

// in makes a policy that calls inside while each of its hooks runs, and passes.
func in(t testing.TB, p runtime.Policy, o runtime.Options, inside func(h host)) *runtime.Set {
	t.Helper()
	return load(t, passing(p), o, inside)
}

// passing gives a policy a guest for load, which passes at each hook.
func passing(p runtime.Policy) runtime.Policy {
	g := wasmtest.NewGuest()
	for hook := range abi.NumHooks {
		g.Hook(hook.String(), g.Host("now"), wasmtest.Drop, wasmtest.Pass)
	}
	p.Wasm = g.Bytes()
	return p
}

// load makes a set of one policy, whose guest gets to the test by calling now: the one function of the contract
// that the test serves itself.
func load(t testing.TB, p runtime.Policy, o runtime.Options, inside func(h host)) *runtime.Set {
	t.Helper()
	return loadWith(t, hostfuncs.Options{}, p, o, inside)
}

// loadWith is load, with what the functions need from outside.
func loadWith(t testing.TB, outside hostfuncs.Options, p runtime.Policy, o runtime.Options, inside func(h host)) *runtime.Set {
	t.Helper()
	h := host{functions: map[string]func(*runtime.Call, []uint64){}}
	for _, f := range hostfuncs.Functions(outside) {
		h.functions[f.Name] = f.Call
	}
	o.Functions = []runtime.Function{{Name: "now", Call: func(c *runtime.Call, _ []uint64) {
		h.c = c
		inside(h)
	}}}
	r, err := runtime.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	p.Name = cmp.Or(p.Name, "p")
	p.Limits.Time = cmp.Or(p.Limits.Time, time.Minute) // these tests run on busy machines
	set, err := r.Load(t.Context(), []runtime.Policy{p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		set.Close()
		if err := r.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return set
}

type headers map[string][]byte

func (h headers) Header(name string) ([]byte, bool) { v, ok := h[name]; return v, ok }

type directory map[abi.Digest]*abi.Identity

func (d directory) Lookup(digest *abi.Digest) (*abi.Identity, bool) {
	i, ok := d[*digest]
	return i, ok
}

// full is a question at each hook in which every field has a value.
func full() asked {
	request := &abi.Request{
		ID: []byte("req_1"), Method: []byte("POST"), Path: []byte("/v1/chat/completions"), Format: "openai", Operation: "chat",
		ClientAddress: []byte("192.0.2.1"), Model: []byte("coding"), Stream: true,
		Headers: headers{"x-team": []byte("red"), "cookie": []byte("secret")},
	}
	identity := &abi.Identity{KeyID: "key_1", Name: "ci", Team: "research", State: abi.KeyDisabled,
		Expires: time.UnixMilli(1_800_000_000_000), Models: []string{"coding", "claude-*"},
		DefaultModel: "coding", Labels: []abi.Label{{Name: "tier", Value: "gold"}, {Name: "cost=centre"}},
		Limits: abi.Limits{abi.RequestsPerMinute: 60, abi.Concurrent: 8}}
	digest := abi.Digest([]byte("0123456789abcdef0123456789abcdef"))
	return asked{
		&abi.Authentication{Request: request, Credential: []byte("sk-1"), Digest: digest, Shape: abi.CredentialForeign,
			Identities: directory{digest: identity}},
		&abi.StepChoice{Request: request, Identity: identity, Chain: "coding", Attempt: 2, LastError: abi.Transient, LastStep: 1,
			Steps: []abi.Step{
				{Model: "a", Provider: "A", Priority: 1, Weight: 50, Context: 128_000, Price: &abi.PriceRow{abi.Input: 270, abi.Output: 1100}},
				{Model: "b", Provider: "B", Priority: 2, Weight: 7}},
			States: []abi.StepState{{Available: true, Latency: 420 * time.Millisecond, Active: 3},
				{Health: abi.StepParked, Cooldown: 1500*time.Millisecond + 1}},
			Tries: []int64{0, 3}, Strategy: "sticky", Affinity: 1<<63 | 5<<11 | 2047, Sticks: true},
		&abi.Pricing{Request: request, Identity: identity, Phase: abi.Final, Provider: "claude", Model: "claude-sonnet",
			Usage: abi.Usage{abi.Input: 10, abi.Output: 20}, Price: &abi.PriceRow{abi.Input: 300, abi.Requests: 9}},
	}
}

// everyGrant is every grant that these tests' fields need.
var everyGrant = runtime.Grants{Identities: true, KV: true, Inputs: []string{"credential", "request.headers.X-Team", "request.headers.x-none"}}

// at says at which hook a field is read, and which element.
type at struct {
	field abi.FieldID
	hook  abi.Hook
	index int64
}

// inputs are all input fields, as full has them: as a text, or as a number.
var inputs = []struct {
	at
	text   string
	number int64
}{
	{at{abi.FieldRequestID, abi.Authenticate, 0}, "req_1", 0},
	{at{abi.FieldRequestMethod, abi.Authenticate, 0}, "POST", 0},
	{at{abi.FieldRequestPath, abi.ChooseStep, 0}, "/v1/chat/completions", 0},
	{at{abi.FieldRequestFormat, abi.Authenticate, 0}, "openai", 0},
	{at{abi.FieldRequestOperation, abi.PriceResponse, 0}, "chat", 0},
	{at{abi.FieldRequestClientAddress, abi.Authenticate, 0}, "192.0.2.1", 0},
	{at{abi.FieldRequestModel, abi.Authenticate, 0}, "coding", 0},
	{at{abi.FieldRequestStream, abi.Authenticate, 0}, "", 1},
	{at{abi.FieldCredential, abi.Authenticate, 0}, "sk-1", 0},
	{at{abi.FieldCredentialDigest, abi.Authenticate, 0}, "0123456789abcdef0123456789abcdef", 0},
	{at{abi.FieldCredentialShape, abi.Authenticate, 0}, "", 1},
	{at{abi.FieldIdentityKeyID, abi.ChooseStep, 0}, "key_1", 0},
	{at{abi.FieldIdentityName, abi.PriceResponse, 0}, "ci", 0},
	{at{abi.FieldIdentityTeam, abi.ChooseStep, 0}, "research", 0},
	{at{abi.FieldIdentityState, abi.ChooseStep, 0}, "", 1},
	{at{abi.FieldIdentityExpires, abi.ChooseStep, 0}, "", 1_800_000_000_000},
	{at{abi.FieldIdentityModels, abi.ChooseStep, 1}, "claude-*", 0},
	{at{abi.FieldIdentityLabels, abi.ChooseStep, 0}, "tier=gold", 0},
	{at{abi.FieldIdentityLabels, abi.PriceResponse, 1}, "cost=centre=", 0},
	{at{abi.FieldIdentityLimits, abi.ChooseStep, int64(abi.Concurrent)}, "", 8},
	{at{abi.FieldIdentityDefaultModel, abi.ChooseStep, 0}, "coding", 0},
	{at{abi.FieldChain, abi.ChooseStep, 0}, "coding", 0},
	{at{abi.FieldStepCount, abi.ChooseStep, 0}, "", 2},
	{at{abi.FieldAttempt, abi.ChooseStep, 0}, "", 2},
	{at{abi.FieldLastError, abi.ChooseStep, 0}, "", 2},
	{at{abi.FieldLastStep, abi.ChooseStep, 0}, "", 1},
	{at{abi.FieldStepModel, abi.ChooseStep, 1}, "b", 0},
	{at{abi.FieldStepProvider, abi.ChooseStep, 0}, "A", 0},
	{at{abi.FieldStepPriority, abi.ChooseStep, 1}, "", 2},
	{at{abi.FieldStepWeight, abi.ChooseStep, 0}, "", 50},
	{at{abi.FieldStepTries, abi.ChooseStep, 1}, "", 3},
	{at{abi.FieldStepAvailable, abi.ChooseStep, 0}, "", 1},
	{at{abi.FieldStepHealth, abi.ChooseStep, 1}, "", 3},
	{at{abi.FieldStepCooldown, abi.ChooseStep, 1}, "", 1501},
	{at{abi.FieldStepLatency, abi.ChooseStep, 0}, "", 420_000},
	{at{abi.FieldStepActive, abi.ChooseStep, 0}, "", 3},
	{at{abi.FieldStepPriceInput, abi.ChooseStep, 0}, "", 270},
	{at{abi.FieldStepPriceOutput, abi.ChooseStep, 1}, "", -1},
	{at{abi.FieldStepContext, abi.ChooseStep, 0}, "", 128_000},
	{at{abi.FieldStrategy, abi.ChooseStep, 0}, "sticky", 0},
	{at{abi.FieldAffinity, abi.ChooseStep, 0}, "", 1<<52 | 5},
	{at{abi.FieldPricePhase, abi.PriceResponse, 0}, "", 2},
	{at{abi.FieldProvider, abi.PriceResponse, 0}, "claude", 0},
	{at{abi.FieldModel, abi.PriceResponse, 0}, "claude-sonnet", 0},
	{at{abi.FieldUsage, abi.PriceResponse, int64(abi.Output)}, "", 20},
	{at{abi.FieldPrice, abi.PriceResponse, int64(abi.Requests)}, "", 9},
}

func TestInputs(t *testing.T) {
	tested := map[abi.FieldID]bool{abi.FieldRequestHeaders: true} // by name: below
	for _, test := range inputs {
		tested[test.field] = true
		set := in(t, runtime.Policy{Grants: everyGrant}, runtime.Options{}, func(h host) {
			want, number := test.text, h.call("get_i64", int64(test.field), test.index)
			if want == "" { // a number reads as 8 bytes, too
				want = string(binary.LittleEndian.AppendUint64(nil, uint64(test.number)))
				if number != test.number {
					t.Errorf("field %d: %d, want %d", test.field, number, test.number)
				}
			} else if number != abi.NoValue {
				t.Errorf("field %d, a text, has the number %d", test.field, number)
			}
			if got, code := h.read(test.field, test.index); got != want || code != abi.OK {
				t.Errorf("field %d: %q, code %d, want %q", test.field, got, code, want)
			}
		})
		full().of(set, test.hook)
	}
	for _, f := range abi.Fields() {
		if !f.Output && !tested[f.ID] {
			t.Errorf("%s is not tested", f.Name)
		}
	}
}

func TestInputsWithoutAValue(t *testing.T) {
	for hook := range abi.NumHooks {
		absent := map[abi.FieldID]bool{} // what an empty question has no value for
		for _, f := range abi.Fields() {
			absent[f.ID] = !f.Output && f.Hooks.Has(hook) && f.Kind != abi.Named
		}
		for _, f := range []abi.FieldID{abi.FieldRequestStream, abi.FieldCredentialShape, abi.FieldStepCount,
			abi.FieldAttempt, abi.FieldLastError, abi.FieldPricePhase, abi.FieldUsage} {
			absent[f] = false // numbers that are never absent
		}
		set := in(t, runtime.Policy{Grants: everyGrant}, runtime.Options{}, func(h host) {
			for field, is := range absent {
				if !is {
					continue
				}
				if _, code := h.read(field, 0); code != abi.Absent {
					t.Errorf("%s: field %d answers code %d", hook, field, code)
				}
				if n := h.call("get_i64", int64(field), 0); n != abi.NoValue {
					t.Errorf("%s: field %d answers %d", hook, field, n)
				}
			}
		})
		asked{&abi.Authentication{Request: &abi.Request{}}, &abi.StepChoice{Request: &abi.Request{}, LastStep: -1},
			&abi.Pricing{Request: &abi.Request{}}}.of(set, hook)
	}
}

// What is read whole is what is read one by one: every list of steps, with the states of the question and without any.
func TestListsOfSteps(t *testing.T) {
	for name, states := range map[string][]abi.StepState{"known": full().choice.States, "unknown": nil, "too few": full().choice.States[:1]} {
		var available string
		set := in(t, runtime.Policy{}, runtime.Options{}, func(h host) {
			for _, f := range abi.Fields() {
				if f.Kind != abi.IntList || f.Hooks != 1<<abi.ChooseStep {
					continue
				}
				packed, code := h.read(f.ID, int64(abi.AllIndexes))
				if code != abi.OK || len(packed) != 16 {
					t.Fatalf("%s: %s answers %q, code %d", name, f.Name, packed, code)
				}
				for i := range int64(2) {
					if one := h.call("get_i64", int64(f.ID), i); one != int64(binary.LittleEndian.Uint64([]byte(packed[8*i:]))) {
						t.Errorf("%s: %s of step %d is %d, packed %q", name, f.Name, i, one, packed)
					}
				}
				if f.ID == abi.FieldStepAvailable {
					available = string([]byte{packed[0], packed[8]})
				}
			}
		})
		q := full()
		q.choice.States = states
		q.of(set, abi.ChooseStep)
		if available != "\x01\x00" { // step 1 was tried
			t.Errorf("%s: available are %q", name, available)
		}
	}
}

func TestFieldsBelongToTheirHooks(t *testing.T) {
	for hook := range abi.NumHooks {
		set := in(t, runtime.Policy{Grants: everyGrant}, runtime.Options{}, func(h host) {
			for _, f := range abi.Fields() {
				var code int64
				if f.Output {
					code = h.call("set", int64(f.ID), 0, 0, 0)
				} else {
					code = h.call("get", int64(f.ID), 0, 0, 0)
				}
				if (code == int64(abi.WrongHook)) == f.Hooks.Has(hook) {
					t.Errorf("%s at %s: %d", f.Name, hook, code)
				}
			}
		})
		full().of(set, hook)
	}
}

func TestTheCredentialNeedsItsGrant(t *testing.T) {
	full().of(in(t, runtime.Policy{}, runtime.Options{}, func(h host) {
		if text, code := h.read(abi.FieldCredential, 0); code != abi.NotGranted {
			t.Errorf("it reads %q, code %d", text, code)
		}
	}), abi.Authenticate)
}

func TestWhatDoesNotFitIsNotWritten(t *testing.T) {
	full().of(in(t, runtime.Policy{Grants: everyGrant, Config: []byte("{}")}, runtime.Options{}, func(h host) {
		for _, test := range []struct {
			function string
			args     []int64 // before buf and cap
			length   int64
		}{
			{"get", []int64{int64(abi.FieldRequestPath), 0}, int64(len("/v1/chat/completions"))},
			{"get", []int64{int64(abi.FieldRequestFormat), 0}, int64(len("openai"))},
			{"get", []int64{int64(abi.FieldRequestStream), 0}, 8},
			{"get", []int64{int64(abi.FieldIdentityLabels), 0}, int64(len("tier=gold"))},
			{"get", []int64{int64(abi.FieldStepTries), int64(abi.AllIndexes)}, 16},
			{"get_named", []int64{int64(abi.FieldRequestHeaders), 100, 6}, int64(len("red"))},
			{"config", nil, 2},
		} {
			const untouched = "????????????????????????????????"
			h.put(0, untouched)
			h.put(100, "x-team")
			if n := h.call(test.function, append(test.args, 0, test.length-1)...); n != test.length || h.memory(0, 32) != untouched {
				t.Errorf("%s%v answers %d and writes %q", test.function, test.args, n, h.memory(0, 32))
			}
			if n := h.call(test.function, append(test.args, 0, test.length)...); n != test.length || h.memory(0, 32) == untouched {
				t.Errorf("%s%v answers %d and writes nothing", test.function, test.args, n)
			}
			if rest := h.memory(uint32(test.length), 1); rest != "?" {
				t.Errorf("%s%v writes on to %q", test.function, test.args, rest)
			}
		}
	}), abi.ChooseStep)
}

func TestListsAreReadWhole(t *testing.T) {
	for _, test := range []struct {
		field abi.FieldID
		hook  abi.Hook
		want  []int64
	}{
		{abi.FieldStepPriority, abi.ChooseStep, []int64{1, 2}},
		{abi.FieldStepWeight, abi.ChooseStep, []int64{50, 7}},
		{abi.FieldStepTries, abi.ChooseStep, []int64{0, 3}},
		{abi.FieldIdentityLimits, abi.PriceResponse, []int64{60, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0}},
		{abi.FieldUsage, abi.PriceResponse, []int64{10, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		{abi.FieldPrice, abi.PriceResponse, []int64{300, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0}},
	} {
		set := in(t, runtime.Policy{}, runtime.Options{}, func(h host) {
			got, code := h.read(test.field, int64(abi.AllIndexes))
			var want []byte
			for _, n := range test.want {
				want = binary.LittleEndian.AppendUint64(want, uint64(n))
			}
			if got != string(want) || code != abi.OK {
				t.Errorf("field %d: %x, code %d, want %x", test.field, got, code, want)
			}
			if _, code := h.read(test.field, int64(len(test.want))); code != abi.Absent {
				t.Errorf("field %d: past the end it answers %d", test.field, code)
			}
		})
		full().of(set, test.hook)
	}
}

func TestHeadersNeedTheirGrant(t *testing.T) {
	set := in(t, runtime.Policy{Grants: everyGrant}, runtime.Options{}, func(h host) {
		for _, test := range []struct {
			name string
			want int64
		}{
			{"x-team", 3},
			{"x-none", int64(abi.Absent)},
			{"cookie", int64(abi.NotGranted)},
			{"X-Team", int64(abi.NotGranted)}, // names are lower-case
			{"", int64(abi.NotGranted)},
		} {
			h.put(100, test.name)
			got := h.call("get_named", int64(abi.FieldRequestHeaders), 100, int64(len(test.name)), 0, 64)
			if got != test.want {
				t.Errorf("%q answers %d, want %d", test.name, got, test.want)
			}
		}
	})
	full().of(set, abi.ChooseStep)
}

func TestIdentityLookup(t *testing.T) {
	known, unknown := "0123456789abcdef0123456789abcdef", strings.Repeat("?", 32)
	lookup := func(h host, digest string) int64 {
		h.put(0, digest)
		return h.call("identity_lookup", 0, int64(len(digest)))
	}
	granted := runtime.Policy{Grants: runtime.Grants{Identities: true}}
	t.Run("it shows the identity", func(t *testing.T) {
		full().of(in(t, granted, runtime.Options{}, func(h host) {
			if _, code := h.read(abi.FieldIdentityName, 0); code != abi.Absent {
				t.Errorf("before a lookup the name answers %d", code)
			}
			if handle := lookup(h, known); handle != 1 {
				t.Errorf("handle %d", handle)
			}
			if handle := lookup(h, unknown); handle != int64(abi.NotFound) {
				t.Errorf("an unknown digest answers %d", handle)
			}
			if name, _ := h.read(abi.FieldIdentityName, 0); name != "ci" {
				t.Errorf("after a lookup the name is %q", name)
			}
		}), abi.Authenticate)
	})
	for _, test := range []struct {
		name   string
		policy runtime.Policy
		hook   abi.Hook
		digest string
		want   abi.Code
	}{
		{"not without a grant", runtime.Policy{}, abi.Authenticate, known, abi.NotGranted},
		{"not at another hook", granted, abi.ChooseStep, known, abi.WrongHook},
		{"a digest too short", granted, abi.Authenticate, known[1:], abi.BadArgument},
		{"a digest too long", granted, abi.Authenticate, known + "0", abi.BadArgument},
	} {
		t.Run(test.name, func(t *testing.T) {
			full().of(in(t, test.policy, runtime.Options{}, func(h host) {
				if got := lookup(h, test.digest); got != int64(test.want) {
					t.Errorf("answers %d, want %d", got, test.want)
				}
			}), test.hook)
		})
	}
	t.Run("sixteen in a call", func(t *testing.T) {
		set := in(t, granted, runtime.Options{}, func(h host) {
			for n := range int64(16) {
				if handle := lookup(h, known); handle != n+1 {
					t.Errorf("lookup %d answers %d", n, handle)
				}
			}
			if got := lookup(h, known); got != int64(abi.OverQuota) {
				t.Errorf("the 17th answers %d", got)
			}
		})
		full().of(set, abi.Authenticate)
		full().of(set, abi.Authenticate) // the cap is of a call
	})
	t.Run("sixteen in a call, also in vain", func(t *testing.T) {
		set := in(t, granted, runtime.Options{}, func(h host) {
			for n := range 16 {
				if got := lookup(h, unknown); got != int64(abi.NotFound) {
					t.Errorf("lookup %d answers %d", n, got)
				}
			}
			if got := lookup(h, known); got != int64(abi.OverQuota) {
				t.Errorf("the 17th answers %d", got)
			}
		})
		full().of(set, abi.Authenticate)
		full().of(set, abi.Authenticate)
	})
}

func TestOtherFunctions(t *testing.T) {
	var log bytes.Buffer
	o := runtime.Options{
		Now:    func() time.Time { return time.UnixMilli(1_700_000_000_123) },
		Random: func(b []byte) { copy(b, bytes.Repeat([]byte("?"), len(b))) },
		Log:    slog.New(slog.NewTextHandler(&log, nil)),
	}
	full().of(in(t, runtime.Policy{Config: []byte(`{"tz":"UTC"}`)}, o, func(h host) {
		if ms := h.call("now"); ms != 1_700_000_000_123 {
			t.Errorf("now %d", ms)
		}
		h.put(0, "....")
		if code := h.call("random", 1, 2); code != 0 || h.memory(0, 4) != ".??." {
			t.Errorf("random %d: %q", code, h.memory(0, 4))
		}
		if n := h.call("config", 0, 12); n != 12 || h.memory(0, 12) != `{"tz":"UTC"}` {
			t.Errorf("config %d: %q", n, h.memory(0, 12))
		}
		h.put(0, "hello")
		if code := h.call("log", 1, 0, 5); code != 0 || !strings.Contains(log.String(), "policy=p hook=choose_step line=hello") {
			t.Errorf("log %d: %s", code, log.String())
		}
	}), abi.ChooseStep)
	full().of(in(t, runtime.Policy{}, o, func(h host) {
		if n := h.call("config", 0, 12); n != int64(abi.Absent) {
			t.Errorf("no configuration answers %d", n)
		}
	}), abi.ChooseStep)
}
