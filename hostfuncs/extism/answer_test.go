package extism_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs/extism"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// answering is a guest that answers every call at a hook by a message.
func answering(hook abi.Hook, message string) []byte {
	return newGuest().withHook(hook, func(g *guest) []byte { return w.Code(g.answer(0, message), w.Verdict) })
}

// own is an identity that says everything.
const own = `{"id":"ann","name":"Ann \u00e9","team":"research","models":["coding","claude-*"],"expires":1800000000000,` +
	`"limits":{"rpm":60,"max_output_tokens":1000000000000000},"default_model":"coding","labels":["tier=gold"],` +
	`"budgets":[{"amount":"1000000000000000000","period":"month","timezone":"Europe/Berlin"},{"period":"day","amount":"0"}]}`

func TestVerdicts(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	ann := &abi.Identity{KeyID: "policy:p/ann", Name: "Ann é", Team: "research", Models: []string{"coding", "claude-*"},
		Expires: time.UnixMilli(1_800_000_000_000).UTC(), DefaultModel: "coding", Labels: []abi.Label{{Name: "tier", Value: "gold"}},
		Limits:  abi.Limits{abi.RequestsPerMinute: 60, abi.MaxOutputTokens: 1e15},
		Budgets: []abi.Budget{{Amount: 1e18, Period: abi.PerMonth, Location: berlin}, {}}}
	const authenticate, choose, price = abi.Authenticate, abi.ChooseStep, abi.PriceResponse
	for _, test := range []struct {
		hook    abi.Hook
		message string
		answer  abi.Answer
		want    string
	}{
		{authenticate, `{"verdict":"pass"}`, abi.NoVerdict, "<nil> 0"},
		{authenticate, " {\t\"verdict\" :\r\n\"pass\" } ", abi.NoVerdict, "<nil> 0"},
		{authenticate, `{"verdict":"\u0070a\u0073s"}`, abi.NoVerdict, "<nil> 0"},
		{authenticate, `{"verdict":"deny","status":403}`, abi.Given, "<nil> 403 A policy of this gateway refused the request."},
		{authenticate, `{"status":429,"code":"slow_down","message":"Not \"so\" fast, \uD834\uDD1E","verdict":"deny"}`, abi.Given,
			"<nil> 429 Not \"so\" fast, \U0001d11e slow_down"},
		{authenticate, `{"verdict":"allow","identity":` + own + `}`, abi.Given, describe(ann) + " 0"},
		{authenticate, `{"verdict":"allow","stored":true}`, abi.Given, describe(full()[authenticate].stored()) + " 0"},
		{choose, `{"verdict":"pass"}`, abi.NoVerdict, "0 false"},
		{choose, `{"verdict":"step","step":1}`, abi.Given, "1 false"},
		{choose, `{"step":0,"verdict":"step"}`, abi.Given, "0 false"},
		{choose, `{"verdict":"stop"}`, abi.Given, "0 true"},
		{choose, `{"verdict":"step","step":1,"reason":"latency"}`, abi.Given, "1 false latency"},
		{choose, `{"reason":"enough is enough","verdict":"stop"}`, abi.Given, "0 true enough is enough"},
		{price, `{"verdict":"pass"}`, abi.NoVerdict, "0 map[]"},
		{price, `{"verdict":"price","cost":"0"}`, abi.Given, "0 map[]"},
		{price, `{"verdict":"price","cost":"10000000000000"}`, abi.Given, "10000000000000 map[]"},
		{price, `{"verdict":"price","cost":"123","breakdown":{"output":"23","input":"100"}}`, abi.Given, "123 map[input:100 output:23]"},
		{price, `{"verdict":"price","cost":"123","breakdown":{}}`, abi.Given, "123 map[]"},
	} {
		o := load(t, runtime.Policy{Wasm: answering(test.hook, test.message), Grants: everyGrant})
		q := full()[test.hook]
		if answer, _ := o.ask(q); answer != test.answer || strings.TrimRight(q.verdict(), " ") != test.want {
			t.Errorf("%s: answer %d (%s), %s, want %s", test.message, answer, o.cause, q.verdict(), test.want)
		}
	}
}

// stored is who has the question's credential.
func (q question) stored() *abi.Identity {
	identity, _ := q.authentication.Identities.Lookup(&q.authentication.Digest)
	return identity
}

func describe(i *abi.Identity) string {
	if i == nil {
		return "<nil>"
	}
	return fmt.Sprintf("%+v", *i)
}

// verdict is what was decided of a question.
func (q question) verdict() string {
	switch q.hook() {
	case abi.Authenticate:
		a := q.authentication
		return fmt.Sprintf("%s %d %s %s", describe(a.Identity), a.Status, a.Message, a.Code)
	case abi.ChooseStep:
		return fmt.Sprintf("%d %t %s", q.choice.Step, q.choice.Stop, q.choice.Reason)
	default:
		breakdown := map[string]int64{}
		for d := range abi.NumDimensions {
			if n := q.pricing.Breakdown[d]; n != 0 {
				breakdown[d.String()] = int64(n)
			}
		}
		return fmt.Sprintf("%d %v", q.pricing.Cost, breakdown)
	}
}

func TestAnswersThatAreNoVerdict(t *testing.T) {
	const authenticate, choose, price = abi.Authenticate, abi.ChooseStep, abi.PriceResponse
	for _, test := range []struct {
		hook    abi.Hook
		message string
		says    string
	}{
		{price, "1.5", "'1' stands at byte 0, where an object should"},
		{price, "no JSON", "'n' stands at byte 0"},
		{price, "[]", "'[' stands at byte 0"},
		{price, "{}", "it has no verdict"},
		{price, "{", "the JSON ends too early"},
		{price, `{"verdict"`, "the JSON ends too early"},
		{price, `{"verdict":"pass"`, "the JSON ends too early"},
		{price, `{"verdict":"pas`, "the JSON ends too early"},
		{price, `{"verdict":"pass",}`, "where a string should"},
		{price, `{"verdict":"pass"}}`, "where the end should"},
		{price, `{"verdict":"pass"} {"verdict":"pass"}`, "where the end should"},
		{price, "{\"verdict\":\"pass\"}\x00", "where the end should"},
		{price, `{'verdict':'pass'}`, "where a string should"},
		{price, `{"verdict" "pass"}`, "where a colon should"},
		{price, `{"verdict":"pass" "cost":"1"}`, "where a comma or the object's end should"},
		{price, `{"verdict":null}`, "verdict: 'n' stands at byte 11, where a string should"},
		{price, `{"verdict":"allow"}`, `verdict: "allow" is none at the hook price_response`},
		{price, `{"verdict":"Price","cost":"1"}`, `verdict: "Price" is none`},
		{price, `{"Verdict":"pass"}`, `it has the member "Verdict", which is not known here`},
		{price, `{"verdict":"pass","reason":"none"}`, `it has the member "reason", which is not known here`},
		{price, `{"verdict":"pass","verdict":"pass"}`, `it has the member "verdict" twice`},
		{price, `{"verdict":"pass","\u0076erdict":"pass"}`, `it has the member "verdict" twice`},
		{price, `{"verdict":"pass","cost":"1"}`, "the verdict pass comes by itself"},
		{price, `{"verdict":"price"}`, "the verdict price comes with a cost"},
		{price, `{"verdict":"price","breakdown":{"input":"1"}}`, "the verdict price comes with a cost"},
		{price, `{"verdict":"price","cost":1}`, "cost: '1' stands at byte 26, where a string should"},
		{price, `{"verdict":"price","cost":NaN}`, "cost: 'N' stands at byte 26, where a string should"},
		{price, `{"verdict":"price","cost":"NaN"}`, `cost: "NaN" is not a whole number of 64 bits`},
		{price, `{"verdict":"price","cost":"1.0"}`, `cost: "1.0" is not a whole number`},
		{price, `{"verdict":"price","cost":"1e3"}`, `cost: "1e3" is not a whole number`},
		{price, `{"verdict":"price","cost":"+1"}`, `cost: "+1" is not a whole number`},
		{price, `{"verdict":"price","cost":"01"}`, `cost: "01" is not a whole number`},
		{price, `{"verdict":"price","cost":"0x1"}`, `cost: "0x1" is not a whole number`},
		{price, `{"verdict":"price","cost":"1_0"}`, `cost: "1_0" is not a whole number`},
		{price, `{"verdict":"price","cost":" 1"}`, `cost: " 1" is not a whole number`},
		{price, `{"verdict":"price","cost":""}`, `cost: "" is not a whole number`},
		{price, `{"verdict":"price","cost":"-"}`, `cost: "-" is not a whole number`},
		{price, `{"verdict":"price","cost":"-1"}`, "cost: not accepted as cost"},
		{price, `{"verdict":"price","cost":"10000000000001"}`, "cost: not accepted as cost: The cost in nano-dollars, 0 to 10,000 dollars."},
		{price, `{"verdict":"price","cost":"9223372036854775808"}`, `cost: "9223372036854775808" is not a whole number of 64 bits`},
		{price, `{"verdict":"price","cost":"1","breakdown":{"tokens":"1"}}`, `breakdown: it has the member "tokens", which is not known here`},
		{price, `{"verdict":"price","cost":"1","breakdown":{"input":"2"}}`, "breakdown adds up to 2, more than its cost of 1"},
		{price, `{"verdict":"price","cost":"1","breakdown":[1]}`, "breakdown: '[' stands at byte 42"},
		{price, `{"verdict":"pa\ss"}`, "an escape before byte 14 is none"},
		{price, `{"verdict":"\u00zz"}`, "is none"},
		{price, `{"verdict":"\u00`, "is none"},
		{price, `{"verdict":"\`, "the JSON ends too early"},
		{price, `{"verdict":"\ud834"}`, "is none"},
		{price, `{"verdict":"\udd1e\ud834"}`, "is none"},
		{price, `{"verdict":"\ud834\u0041"}`, "is none"},
		{price, "{\"verdict\":\"pa\nss\"}", "an escape for it should"},
		{price, "{\"verdict\":\"\\n\n\"}", "an escape for it should"},
		{price, "{\"verdict\":\"pass\xff\"}", "a string is not UTF-8"},
		{price, "{\"verdict\":\"\\n\xed\xa0\x80\"}", "a string is not UTF-8"},
		{price, strings.Repeat(`{"a":`, 5000), `it has the member "a", which is not known here`},
		{price, strings.Repeat("[", 30_000), "'[' stands at byte 0"},

		{choose, `{"verdict":"step"}`, "the verdict step comes with a step"},
		{choose, `{"verdict":"stop","step":1}`, "the verdict stop comes by itself"},
		{choose, `{"verdict":"pass","reason":"x"}`, "the verdict pass comes by itself"},
		{choose, `{"verdict":"step","step":1,"reason":"caf\u00e9"}`, "reason: not accepted as choice.reason: Why,"},
		{choose, `{"verdict":"step","step":1,"reason":5}`, `reason: '5' stands at byte`},
		{choose, `{"verdict":"step","step":2}`, "step: not accepted as chosen_step: Index of the step to try."},
		{choose, `{"verdict":"step","step":-1}`, "step: not accepted"},
		{choose, `{"verdict":"step","step":1.0}`, `step: "1.0" is not a whole number`},
		{choose, `{"verdict":"step","step":01}`, `step: "01" is not a whole number`},
		{choose, `{"verdict":"step","step":1e400}`, `step: "1e400" is not a whole number`},
		{choose, `{"verdict":"step","step":NaN}`, "step: 'N' stands at byte 25, where a number should"},
		{choose, `{"verdict":"step","step":"1"}`, `step: '"' stands at byte 25, where a number should`},
		{choose, `{"verdict":"step","step":99999999999999999999}`, "is not a whole number of 64 bits"},

		{authenticate, `{"verdict":"allow"}`, "the verdict allow comes with an identity, or with stored"},
		{authenticate, `{"verdict":"allow","stored":true,"identity":{"id":"x"}}`, "the verdict allow comes with an identity, or with stored"},
		{authenticate, `{"verdict":"allow","stored":false}`, "stored: 'f' stands at byte 28, where true should"},
		{authenticate, `{"verdict":"allow","stored":tru}`, "stored: 't' stands at byte 28, where true should"},
		{authenticate, `{"verdict":"allow","identity":{}}`, "the policy neither allowed nor denied"},
		{authenticate, `{"verdict":"allow","identity":{"name":"x"}}`, "without allow.id"},
		{authenticate, `{"verdict":"allow","identity":{"id":""}}`, "identity: id: not accepted as allow.id"},
		{authenticate, `{"verdict":"allow","identity":{"id":"x","admin":true}}`, `identity: it has the member "admin"`},
		{authenticate, `{"verdict":"allow","identity":{"id":"x","name":"x\r\nset-cookie: a"}}`, "identity: name: not accepted as allow.name"},
		{authenticate, `{"verdict":"allow","identity":{"id":"x","models":["a*b"]}}`, "identity: models: element 0: not accepted as allow.models"},
		{authenticate, `{"verdict":"allow","identity":{"id":"x","models":[` + strings.Repeat(`"m",`, 64) + `"m"]}}`, "models: element 64: not accepted"},
		{authenticate, `{"verdict":"allow","identity":{"id":"x","models":["m",]}}`, "models: element 1: ']' stands"},
		{authenticate, `{"verdict":"allow","identity":{"id":"x","models":["m" "m"]}}`, "where a comma or the array's end should"},
		{authenticate, `{"verdict":"allow","identity":{"id":"x","labels":["tier"]}}`, "labels: element 0: not accepted"},
		{authenticate, `{"verdict":"allow","identity":{"id":"x","limits":{"rps":1}}}`, `limits: it has the member "rps"`},
		{authenticate, `{"verdict":"allow","identity":{"id":"x","limits":{"rpm":-1}}}`, "limits: rpm: not accepted"},
		{authenticate, `{"verdict":"allow","identity":{"id":"x","budgets":[{"period":"day"}]}}`, "but not its amount"},
		{authenticate, `{"verdict":"allow","identity":{"id":"x","budgets":[{"amount":"1","period":"year"}]}}`, `budgets: element 0: period: "year" is no period`},
		{authenticate, `{"verdict":"allow","identity":{"id":"x","budgets":[{"amount":1}]}}`, "amount: '1' stands"},
		{authenticate, `{"verdict":"allow","identity":{"id":"x","budgets":[{"amount":"-1"}]}}`, "amount: not accepted"},
		{authenticate, `{"verdict":"allow","identity":{"id":"x","budgets":[{"amount":"1","timezone":"Mars"}]}}`, "timezone: not accepted"},
		{authenticate, `{"verdict":"deny"}`, "the verdict deny comes with a status"},
		{authenticate, `{"verdict":"deny","status":403,"stored":true}`, "the verdict deny comes with a status"},
		{authenticate, `{"verdict":"deny","status":200}`, "status: not accepted as deny.status: Deny with this HTTP status: 400 to 499, or 503."},
		{authenticate, `{"verdict":"deny","status":403,"message":"x\r\nset-cookie: a=b"}`, "message: not accepted as deny.message"},
		{authenticate, `{"verdict":"deny","status":403,"message":"` + strings.Repeat("x", 513) + `"}`, "message: not accepted as deny.message"},
		{authenticate, `{"verdict":"deny","status":403,"code":"No Code"}`, "code: not accepted as deny.code"},
	} {
		o := load(t, runtime.Policy{Wasm: answering(test.hook, test.message), Grants: everyGrant, Limits: runtime.Limits{Fuel: 1 << 30}})
		answer, _ := o.ask(full()[test.hook])
		if answer != abi.Failed || o.failure != runtime.BadVerdict || !strings.Contains(o.cause, test.says) {
			t.Errorf("%.200s: answer %d, failure %s, cause %q, want %q", test.message, answer, o.failure, o.cause, test.says)
		}
	}
}

func TestStoredNeedsAGrantAndSomebody(t *testing.T) {
	const message = `{"verdict":"allow","stored":true}`
	o := load(t, runtime.Policy{Wasm: answering(abi.Authenticate, message)})
	if answer, _ := o.ask(full()[abi.Authenticate]); answer != abi.Failed || !strings.Contains(o.cause, "needs the grant identities: read") {
		t.Errorf("without the grant: answer %d, cause %q", answer, o.cause)
	}
	o = load(t, runtime.Policy{Wasm: answering(abi.Authenticate, message), Grants: everyGrant})
	nobody := question{authentication: &abi.Authentication{Request: &abi.Request{}, Identities: directory{{}: {KeyID: "key_1"}}}}
	if answer, _ := o.ask(nobody); answer != abi.Failed || !strings.Contains(o.cause, "nobody who is stored has") {
		t.Errorf("without a credential: answer %d, cause %q", answer, o.cause)
	}
}

func TestAnAnswerThatIsTooLong(t *testing.T) {
	for _, length := range []int{extism.MaxAnswer, extism.MaxAnswer + 1} {
		g := newGuest()
		message := `{"verdict":"price","cost":"5"}`
		g.hook(abi.PriceResponse, 1, g.call("alloc", w.I64Const(int64(length))), w.LocalSet(0),
			w.Code(bytesAt(g, 0, message+strings.Repeat(" ", length-len(message)))),
			g.call("output_set", w.LocalGet(0), w.I64Const(int64(length))), w.Verdict)
		o := load(t, runtime.Policy{Wasm: g.Bytes(), Limits: runtime.Limits{Fuel: 1 << 30}})
		answer, _ := o.ask(pricing())
		switch {
		case length == extism.MaxAnswer && answer != abi.Given:
			t.Errorf("%d bytes: answer %d, cause %q", length, answer, o.cause)
		case length > extism.MaxAnswer && (answer != abi.Failed || !strings.Contains(o.cause, "more than the 65536 that are read")):
			t.Errorf("%d bytes: answer %d, cause %q", length, answer, o.cause)
		}
	}
}

// bytesAt stores a text that lies in the guest's memory, word by word in a loop.
func bytesAt(g *guest, local uint32, text string) []byte {
	text += strings.Repeat(" ", -len(text)&7)
	g.Data(textAt, []byte(text))
	at := g.Global(0)
	return w.Loop(
		g.call("store_u64", w.LocalGet(local), w.GlobalGet(at), w.I64Add, w.GlobalGet(at), i32Wrap, w.I64Load(textAt)),
		w.GlobalGet(at), w.I64Const(8), w.I64Add, w.GlobalSet(at),
		w.GlobalGet(at), w.I64Const(int64(len(text)/8*8)), w.I64Eq, w.I32Eqz, w.BrIf(0))
}

// i32Wrap makes an i32 of an i64.
var i32Wrap = []byte{0xa7}

// What a hook returns, with and without a complaint and an answer.
func TestWhatPortableGuestsReturn(t *testing.T) {
	const verdict = `{"verdict":"price","cost":"5"}`
	for _, test := range []struct {
		name    string
		answer  string
		error   string
		returns int32
		failure runtime.Failure
		cause   string
		want    abi.Answer
	}{
		{"a verdict", verdict, "", 0, runtime.NoFailure, "", abi.Given},
		{"a pass", "", "", 2, runtime.NoFailure, "", abi.NoVerdict},
		{"a pass after all", verdict, "", 2, runtime.NoFailure, "", abi.NoVerdict},
		{"no answer", "", "", 0, runtime.BadVerdict, "the policy set no cost", abi.Failed},
		{"an error", "", "the database is gone", 1, runtime.GuestError, "answered that it failed: the database is gone", abi.Failed},
		{"an error without words", verdict, "", 1, runtime.GuestError, "answered that it failed", abi.Failed},
		{"an error of another number", "", "no\nway", -1, runtime.GuestError, `answered that it failed: no\nway`, abi.Failed},
		{"another number alone", "", "", 7, runtime.GuestError, "answered that it failed: the hook returned 7", abi.Failed},
		{"an error and a verdict", verdict, "no", 0, runtime.GuestError, "answered that it failed: no", abi.Failed},
		{"an error and a pass", "", "no", 2, runtime.GuestError, "answered that it failed: no", abi.Failed},
	} {
		t.Run(test.name, func(t *testing.T) {
			wasm := newGuest().withHook(abi.PriceResponse, func(g *guest) []byte {
				var code []byte
				if test.answer != "" {
					code = g.answer(0, test.answer)
				}
				if test.error != "" {
					code = w.Code(code, g.put(1, test.error), g.call("error_set", w.LocalGet(1)))
				}
				return w.Code(code, w.I32Const(test.returns))
			})
			o := load(t, runtime.Policy{Wasm: wasm})
			for i := range 2 { // an instance goes on after it
				answer, _ := o.ask(pricing())
				logged := i > 0 || test.cause == "" && o.cause == "" || test.cause != "" && strings.Contains(o.cause, test.cause)
				if answer != test.want || o.failure != test.failure || !logged { // of several failures only the first is logged
					t.Errorf("answer %d, failure %s, cause %q", answer, o.failure, o.cause)
				}
			}
		})
	}
}

// A guest may speak both tiers, each call by one of them.
func TestMixedGuests(t *testing.T) {
	mixed := func(both bool) []byte {
		g := newGuest()
		set := g.Import(abi.ModulePolicy, "set_i64", []w.Type{w.I32, w.I32, w.I64}, []w.Type{w.I32})
		fast := w.Code(w.I32Const(int32(abi.FieldCost)), w.I32Const(0), w.I64Const(7), w.Call(set), w.Drop)
		code := fast
		if both {
			code = w.Code(fast, g.answer(0, `{"verdict":"price","cost":"5"}`))
		}
		g.hook(abi.PriceResponse, 1, code, w.Verdict)
		g.hook(abi.ChooseStep, 1, g.answer(0, `{"verdict":"step","step":1}`), w.Verdict)
		return g.Bytes()
	}
	o, all := load(t, runtime.Policy{Wasm: mixed(false)}), full()
	if answer, _ := o.ask(all[abi.PriceResponse]); answer != abi.Given || all[abi.PriceResponse].pricing.Cost != 7 {
		t.Errorf("by fields: answer %d, cost %d", answer, all[abi.PriceResponse].pricing.Cost)
	}
	if answer, _ := o.ask(all[abi.ChooseStep]); answer != abi.Given || all[abi.ChooseStep].choice.Step != 1 {
		t.Errorf("by a message: answer %d, step %d", answer, all[abi.ChooseStep].choice.Step)
	}
	o = load(t, runtime.Policy{Wasm: mixed(true)})
	if answer, _ := o.ask(pricing()); answer != abi.Failed || o.cause != "the policy both set cost and answered by a message" {
		t.Errorf("by both: answer %d, cause %q", answer, o.cause)
	}
}

// Each output of the contract can be said in a message.
func TestEveryOutputCanBeSaid(t *testing.T) {
	said := map[string]string{
		"allow.handle": "stored", "deny.status": "status", "deny.message": "message", "deny.code": "code",
		"chosen_step": "step", "stop": "verdict", "choice.reason": "reason", "cost": "cost", "cost.breakdown": "breakdown",
		"allow.budget_amount": "identity.budgets", "allow.budget_period": "identity.budgets", "allow.budget_timezone": "identity.budgets",
	}
	var identity map[string]any
	if err := json.Unmarshal([]byte(own), &identity); err != nil {
		t.Fatal(err)
	}
	for _, f := range abi.Fields() {
		if !f.Output || said[f.Name] != "" {
			continue
		}
		member, ok := strings.CutPrefix(f.Name, "allow.")
		if _, there := identity[member]; !ok || !there {
			t.Errorf("%s is not said by %v", f.Name, slices.Sorted(maps.Keys(identity)))
		}
	}
}

// FuzzAnswer reads any message. What is read as a verdict is JSON, and a JSON reader finds the same in it.
func FuzzAnswer(f *testing.F) {
	for _, message := range []string{
		`{"verdict":"pass"}`, `{"verdict":"price","cost":"5","breakdown":{"input":"5"}}`, `{"verdict":"step","step":1}`, `{"verdict":"stop"}`,
		`{"verdict":"step","step":1,"reason":"latency"}`, `{"verdict":"deny","status":403,"message":"no \u00e9\ud834\udd1e","code":"no"}`, `{"verdict":"allow","stored":true}`,
		`{"verdict":"allow","identity":` + own + `}`, `{"verdict":"price","cost":"-1e9"}`, "\xff", `{"a":{"a":[`,
	} {
		for hook := range abi.NumHooks {
			f.Add(uint8(hook), []byte(message))
		}
	}
	var message []byte
	var pass bool
	var err error
	var ask [abi.NumHooks]func(q question) abi.Answer
	for hook := range abi.NumHooks {
		ask[hook] = asker(f, hook, func(c *runtime.Call) { pass, err = extism.ReadAnswer(c, message) })
	}
	f.Fuzz(func(t *testing.T, hook uint8, given []byte) {
		if len(given) == 0 {
			t.Skip()
		}
		message = given
		q := full()[abi.Hook(hook)%abi.NumHooks]
		answer := ask[q.hook()](q)
		if err != nil {
			return
		}
		var read struct {
			Verdict string
			Status  int
			Step    int
			Cost    string
			Message string
			Reason  string
		}
		if err := json.Unmarshal(given, &read); err != nil {
			t.Fatalf("%q was read, but is no JSON: %v", given, err)
		}
		switch {
		case pass != (read.Verdict == "pass"):
			t.Errorf("%q is a pass: %t", given, pass)
		case answer != abi.Given:
		case read.Verdict == "step" && (q.choice.Step != read.Step || q.choice.Reason != read.Reason),
			read.Verdict == "price" && fmt.Sprint(int64(q.pricing.Cost)) != read.Cost && read.Cost != "-0",
			read.Verdict == "deny" && (q.authentication.Status != read.Status || read.Message != "" && q.authentication.Message != read.Message):
			t.Errorf("%q was read as %s", given, q.verdict())
		}
	})
}
