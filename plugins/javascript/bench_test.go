package javascript_test

import (
	"strconv"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
)

// typical is a policy of the usual size: it reads some fields and decides.
const typical = `
const teams = new Map([["blue", 403], ["red", 200]]);
export function authenticate(request) {
  const status = teams.get(request.headers["x-team"]);
  if (status >= 400) return sallyport.deny(status, "The team " + request.headers["x-team"] + " may not use " + request.model + ".");
  const key = request.lookup();
  return key && key.state === "active" && !key.expired ? sallyport.allow(key) : sallyport.pass();
}
export function chooseStep(choice) {
  const left = choice.steps.filter((s) => s.tries === 0).sort((a, b) => a.priority - b.priority || b.weight - a.weight);
  return left.length ? sallyport.choose(left[0]) : sallyport.pass();
}
export function priceResponse(pricing) {
  return pricing.cost === undefined ? sallyport.pass() : sallyport.charge(pricing.cost * 12n / 10n);
}
`

func newRequest() *abi.Request {
	return &abi.Request{ID: []byte("req_1"), Method: []byte("POST"), Model: []byte("gpt"), Format: "openai", Headers: headers{"x-team": "red"}}
}

func BenchmarkScript(b *testing.B) {
	for _, mode := range []struct{ name, config string }{{"kept state", ""}, {"fresh state", `{"fresh_state": true}`}} {
		set := newHost(b).mustLoad(b, typical, mode.config)
		key := &abi.Identity{KeyID: "good"}
		who := &abi.Authentication{Request: newRequest(), Digest: abi.Digest{1}, Shape: abi.CredentialGenerated, Identities: store{{1}: key}}
		choice := &abi.StepChoice{
			Request: newRequest(), Identity: key, Chain: "coding", Attempt: 1, LastStep: -1, Tries: []int64{0, 0, 0},
			Steps: []abi.Step{{Priority: 2, Weight: 50}, {Priority: 1, Weight: 50}, {Priority: 2}},
		}
		pricing := &abi.Pricing{
			Request: newRequest(), Identity: key, Phase: abi.Final, Price: &abi.PriceRow{270_000_000, 1_100_000_000}, Usage: abi.Usage{1234, 567},
		}
		asks := []struct {
			hook string
			ask  func() abi.Answer
		}{
			{"authenticate", func() abi.Answer { return set.Authenticate(who) }},
			{"chooseStep", func() abi.Answer { return set.ChooseStep(choice) }},
			{"priceResponse", func() abi.Answer { return set.PriceResponse(pricing) }},
		}
		for _, a := range asks {
			b.Run(mode.name+"/"+a.hook, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if answer := a.ask(); answer != abi.Given {
						b.Fatalf("the answer is %d", answer)
					}
				}
			})
		}
	}
}

// BenchmarkInstance is what one more policy in JavaScript takes, when the engine is compiled already.
func BenchmarkInstance(b *testing.B) {
	h := newHost(b)
	h.mustLoad(b, typical, "")
	n := 0
	for b.Loop() {
		set, err := h.load(b, typical+"//"+strconv.Itoa(n), "")
		if err != nil {
			b.Fatal(err)
		}
		set.Close()
		n++
	}
}
