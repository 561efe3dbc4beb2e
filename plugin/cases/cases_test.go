package cases

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// The golden cases of the contract are cases like all others.
func TestGoldenCases(t *testing.T) {
	for file, hook := range map[string]abi.Hook{
		"authenticate.json": abi.Authenticate, "host.json": abi.Authenticate, "state.json": abi.Authenticate, "choose_step.json": abi.ChooseStep, "price_response.json": abi.PriceResponse,
	} {
		text, err := os.ReadFile(filepath.Join("../../abi/testdata/conformance", file))
		if err != nil {
			t.Fatal(err)
		}
		if all, err := Read(file, text, hook); err != nil || len(all) == 0 {
			t.Errorf("%d cases, %v", len(all), err)
		}
	}
}

func TestWhatIsRefused(t *testing.T) {
	for _, test := range []struct{ name, yaml, want string }{
		{"no list", "name: x", "cases.yaml:1: must be array, not object"},
		{"no name", "- {hook: authenticate, want: {answer: pass}}", `[0]: lacks "name"`},
		{"an unknown member", "- {name: a, hook: authenticate, wish: {}, want: {answer: pass}}", `[0]: has no member "wish"`},
		{"no hook", "- {name: a, want: {answer: pass}}", "[0]: names no hook"},
		{"twice the same name", "- {name: a, hook: authenticate, want: {answer: pass}}\n- {name: a, hook: authenticate, want: {answer: pass}}", `cases.yaml:2: [1]: there is another case of the name "a"`},
		{"nothing wanted", "- {name: a, hook: authenticate, want: {}}", "want says neither an answer nor a verdict"},
		{"a pass with a verdict", "- {name: a, hook: authenticate, want: {answer: pass, status: 403}}", "want has a verdict, and the answer pass"},
		{"a failure that is none", "- {name: a, hook: authenticate, want: {answer: pass, failure: trap}}", "want has a failure, and not the answer failed"},
		{"a veto elsewhere", "- {name: a, hook: price_response, veto: true, want: {answer: pass}}", "a veto is asked for at authenticate only"},
		{"no steps", "- {name: a, hook: choose_step, want: {step: 1}}", "a choice needs steps"},
		{"members of another hook", "- {name: a, hook: authenticate, phase: final, want: {cost: 5}}", "phase, provider, provider_model, usage, price: only at price_response"},
		{"an identity without a veto", "- {name: a, hook: authenticate, identity: {key_id: k}, want: {answer: pass}}", "identity: at authenticate only with a veto"},
		{"an unknown dimension", "- {name: a, hook: price_response, usage: {inputs: 1}, want: {cost: 1}}", `[0].usage: has no member "inputs"`},
		{"too many dimensions", "- {name: a, hook: price_response, usage: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20], want: {cost: 1}}", "dimensions"},
		{"no time", "- {name: a, hook: authenticate, now: noon, want: {answer: pass}}", "[0].now: must be a date-time"},
		{"a header in capitals", "- {name: a, hook: authenticate, request: {headers: {X-Team: a}}, want: {answer: pass}}", `[0].request.headers: has no member "X-Team"`},
		{"half a window", "- {name: a, hook: authenticate, state: {w: {used: 1}}, want: {answer: pass}}", `[0].state.w: with "used" needs "window_ms"`},
		{"a cost without end", "- {name: a, hook: price_response, want: {cost: 99999999999999999999}}", "[0].want.cost: must be at most 9223372036854775807"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Read("cases.yaml", []byte(test.yaml), abi.NumHooks); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// Words stand for the numbers of the contract, and what is left out is what most requests have.
func TestWords(t *testing.T) {
	all, err := Read("cases.yaml", []byte(`
- name: words
  hook: authenticate
  credential: x
  keys: {x: {key_id: k, state: revoked, expires: 2026-11-21T12:00:00Z, limits: {rpm: 5}, labels: [a=b=c], budgets: [{nano_usd: 7, per: week, timezone: Europe/Berlin}]}}
  want: {answer: pass}
- {name: shape, hook: authenticate, credential: x, shape: mistyped, want: {answer: pass}}
- {name: choice, hook: choose_step, last_error: bad_credential, attempt: 2, last_step: 0, steps: [{model: a, provider: p, price: {input: 3}, tries: 2}], want: {step: 0, answer: verdict}}
- {name: price, hook: price_response, phase: final, usage: {output: 5, image_output: 6}, price: [1, 2], want: {cost: 1}}
`), abi.NumHooks)
	if err != nil {
		t.Fatal(err)
	}
	words, shape, choice, price := all[0].Authentication(), all[1].Authentication(), all[2].StepChoice(), all[3].Pricing()
	key, ok := all[0].Lookup(&words.Digest)
	if !ok || key.State != abi.KeyRevoked || !key.Expires.Equal(DefaultNow.Time()) || key.Limits[abi.RequestsPerMinute] != 5 ||
		key.Labels[0] != (abi.Label{Name: "a", Value: "b=c"}) || key.Budgets[0].Period != abi.PerWeek || key.Budgets[0].Zone() != "Europe/Berlin" {
		t.Errorf("the key is %+v", key)
	}
	if words.Shape != abi.CredentialForeign || shape.Shape != abi.CredentialMistyped {
		t.Errorf("the shapes are %d and %d", words.Shape, shape.Shape)
	}
	if choice.LastError != abi.BadCredential || choice.LastStep != 0 || choice.Tries[0] != 2 || choice.Steps[0].Price[abi.Input] != 3 {
		t.Errorf("the choice is %+v", choice)
	}
	if price.Phase != abi.Final || price.Usage[abi.Output] != 5 || price.Usage[abi.ImageOutput] != 6 || price.Price[abi.Output] != 2 {
		t.Errorf("the price is %+v", price)
	}
	if all[3].Want.Answer != Verdict {
		t.Errorf("a cost is the answer %s", all[3].Want.Answer)
	}
}

// The schema knows every name that the contract has.
func TestSchemaNamesAll(t *testing.T) {
	schema := strings.NewReplacer("|", `"`, "^(", `"`, ")$", `"`).Replace(string(schemaText)) // a pattern is a list of names
	for d := range abi.NumDimensions {
		if !strings.Contains(schema, `"`+d.String()+`"`) {
			t.Errorf("it lacks the dimension %s", d)
		}
	}
	for l := range abi.NumLimits {
		if !strings.Contains(schema, `"`+l.String()+`"`) {
			t.Errorf("it lacks the limit %s", l)
		}
	}
	for c := range abi.NumErrorClasses {
		if !strings.Contains(schema, `"`+c.String()+`"`) {
			t.Errorf("it lacks the error class %s", c)
		}
	}
	for h := range abi.NumStepHealths {
		if !strings.Contains(schema, `"`+h.String()+`"`) {
			t.Errorf("it lacks the health %s", h)
		}
	}
	for h := range abi.NumHooks {
		if !strings.Contains(schema, `"`+h.String()+`"`) {
			t.Errorf("it lacks the hook %s", h)
		}
	}
}

// A case says how steps do, or leaves it out.
func TestStates(t *testing.T) {
	all, err := Read("cases.yaml", []byte(`
- name: states
  hook: choose_step
  strategy: sticky
  affinity: 5
  last_error: content_policy
  steps:
  - {model: a, health: parked, available: false, cooldown: 1500, latency: 42, active: 3, context: 128000}
  - {model: b, tries: 1}
  - {model: c, tries: 1, available: true, health: 6}
  - {model: d}
  want: {reason: sticky}
`), abi.NumHooks)
	if err != nil {
		t.Fatal(err)
	}
	s := all[0].StepChoice()
	if n, ok := s.AffinityNumber(); n != 5 || !ok || s.Strategy != "sticky" || s.LastError != abi.ContentPolicy || s.Steps[0].Context != 128_000 {
		t.Errorf("the choice is %+v", s)
	}
	want := []abi.StepState{
		{Health: abi.StepParked, Cooldown: 1500 * time.Millisecond, Latency: 42 * time.Microsecond, Active: 3},
		{}, {Available: true, Health: abi.StepFull}, {Available: true},
	}
	if !slices.Equal(s.States, want) {
		t.Errorf("the states are %+v", s.States)
	}
	if all[0].Want.Answer != Verdict {
		t.Errorf("a reason is the answer %s", all[0].Want.Answer)
	}
}

func TestJudge(t *testing.T) {
	message, used := "Not today.", int64(3)
	ann := &Identity{KeyID: "policy:p/ann", Name: "Ann", Models: []string{"a"}}
	for _, test := range []struct {
		name string
		want Want
		got  Outcome
		text string // the differences; none: it is fine
	}{
		{"a pass", Want{Answer: Pass}, Outcome{Answer: Pass, Log: []string{"x"}}, ""},
		{"another answer", Want{Answer: Pass}, Outcome{Answer: Verdict, Status: 403, Code: "policy_denied", Message: "No.", Log: []string{"WARN late"}},
			"answer: got a verdict that denies with 403 policy_denied \"No.\", want pass\nit logged:\n  WARN late"},
		{"a failure nobody wanted", Want{Answer: Verdict, Status: 403}, Outcome{Answer: Failed, Failure: "trap: unreachable"},
			"answer: got failed, want verdict\nfailure: trap: unreachable"},
		{"a failure", Want{Answer: Failed, Failure: "unreach"}, Outcome{Answer: Failed, Failure: "trap: unreachable"}, ""},
		{"another failure", Want{Answer: Failed, Failure: "fuel"}, Outcome{Answer: Failed, Failure: "trap: unreachable"},
			"failure: got trap: unreachable\n  want one with \"fuel\""},
		{"a message that nobody asked for", Want{Answer: Verdict, Status: 403}, Outcome{Answer: Verdict, Status: 403, Message: "No."}, ""},
		{"another message", Want{Answer: Verdict, Status: 403, Message: &message}, Outcome{Answer: Verdict, Status: 401, Message: "No."},
			"status: got 401, want 403\nmessage: got \"No.\", want \"Not today.\""},
		{"a name that nobody asked for", Want{Answer: Verdict, Identity: &Identity{KeyID: "k", Models: []string{"a"}}},
			Outcome{Answer: Verdict, Identity: &Identity{KeyID: "k", Name: "n", Models: []string{"a"}}}, ""},
		{"an identity that may more", Want{Answer: Verdict, Identity: &Identity{KeyID: "k"}}, Outcome{Answer: Verdict, Identity: ann},
			"identity.key_id: got \"policy:p/ann\", want \"k\"\nidentity.models: got [\"a\"], want none"},
		{"nobody", Want{Answer: Verdict, Identity: ann}, Outcome{Answer: Verdict, Status: 401},
			"identity: got none, want {\"key_id\":\"policy:p/ann\",\"name\":\"Ann\",\"models\":[\"a\"]}\nstatus: got 401, want 0"},
		{"another step", Want{Answer: Verdict, Step: 1}, Outcome{Answer: Verdict, Step: 0, Stop: true}, "step: got 0, want 1\nstop: got true, want false"},
		{"another reason", Want{Answer: Verdict, Step: 1, Reason: &message}, Outcome{Answer: Verdict, Step: 1, Reason: "cost"},
			"reason: got \"cost\", want \"Not today.\""},
		{"a reason that nobody asked for", Want{Answer: Verdict, Step: 1}, Outcome{Answer: Verdict, Step: 1, Reason: "cost"}, ""},
		{"another cost", Want{Answer: Verdict, Cost: 12_870, Breakdown: &Amounts{2970, 9900}},
			Outcome{Answer: Verdict, Cost: 12_871, Breakdown: Amounts{2971, 9900}},
			"cost: got 12871 nano-dollars ($0.000012871), want 12870 ($0.00001287)\nbreakdown.input: got 2971, want 2970"},
		{"another log", Want{Answer: Pass, Log: []string{"a", "b", "c"}}, Outcome{Answer: Pass, Log: []string{"a", "x"}},
			"log:\n       a\n  got  x\n  want b\n  want c"},
		{"a log too long", Want{Answer: Pass, LogBegins: []string{"a"}}, Outcome{Answer: Pass, Log: []string{"ab", "x"}}, "log_begins:\n       ab\n  got  x"},
		{"no line at all", Want{Answer: Pass, Log: []string{}}, Outcome{Answer: Pass, Log: []string{"x"}}, "log:\n  got  x"},
		{"a window", Want{Answer: Pass, Windows: []string{"w", "v"}}, Outcome{Answer: Pass, State: State{"w": {Used: &used, Window: 1000}}},
			"state \"v\": got nothing, want a window"},
		{"metrics", Want{Answer: Pass, Metrics: map[string]int64{"seen": 1}}, Outcome{Answer: Pass}, "metrics: got null, want {\"seen\":1}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := Case{Want: test.want}
			if got := strings.Join(c.Judge(&test.got), "\n"); got != test.text {
				t.Errorf("got\n%s\nwant\n%s", got, test.text)
			}
		})
	}
}

// Whatever reads can be asked and judged.
func FuzzRead(f *testing.F) {
	f.Add("- {name: a, hook: authenticate, credential: x, keys: {x: {key_id: k, labels: [a=b]}}, want: {status: 403}}", uint8(0))
	f.Add("- {name: a, hook: choose_step, steps: [{model: a, price: [1]}], want: {step: 1}}", uint8(1))
	f.Add("- {name: a, affinity: 1, steps: [{health: open, available: false, cooldown: 1000000000000}], want: {reason: x}}", uint8(1))
	f.Add("- {name: a, usage: {input: 5}, state: {n: 1, w: {used: 2, window_ms: 5}, b: {base64: /w==}}, want: {answer: pass, state: {}}}", uint8(2))
	f.Fuzz(func(t *testing.T, text string, hook uint8) {
		all, err := Read("cases.yaml", []byte(text), abi.Hook(hook))
		if err != nil {
			return
		}
		for i := range all {
			c := &all[i]
			got := &Outcome{}
			switch abi.Hook(c.Hook) {
			case abi.Authenticate:
				a := c.Authentication()
				a.Identity, _ = c.Lookup(&a.Digest)
				got.Authenticated(a)
			case abi.ChooseStep:
				got.Chose(c.StepChoice())
			default:
				got.Priced(c.Pricing())
			}
			got.State = c.State
			_ = c.Judge(got)
		}
	})
}
