//go:build wasm

// Command conformance is the Go SDK's guest of the golden cases in abi/testdata/conformance: it does the task that the
// request's model names, and logs what it reads. The README beside the cases says what the tasks are.
//
// It imports the SDK, and internal/host for the answers that the SDK keeps from policies. The test in sdk/conformance
// compiles it.
package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/host"
)

//go:wasmimport sallyport:policy/1 future
func future() int32

//go:wasmexport authenticate
func authenticate() int32 { return sallyport.Authenticate(who) }

//go:wasmexport choose_step
func chooseStep() int32 { return sallyport.ChooseStep(which) }

//go:wasmexport price_response
func priceResponse() int32 { return sallyport.PriceResponse(howMuch) }

//go:wasmexport configure
func configure() int32 {
	return sallyport.Configure(func(config []byte) error {
		if string(config) == `{"refuse":true}` {
			return errors.New("refused on purpose")
		}
		return nil
	})
}

func main() {}

// say logs a name and a value.
func say[T string | []byte](name string, value T) {
	sallyport.Log(sallyport.LogInfo, name+"="+string(value))
}

func sayInt(name string, n int64)   { say(name, strconv.FormatInt(n, 10)) }
func sayBool(name string, b bool)   { say(name, strconv.FormatBool(b)) }
func sayCode(name string, n int32)  { sayInt(name, int64(n)) }
func list[T ~int64](all []T) string { return strings.Join(texts(all), ",") }

func texts[T ~int64](all []T) []string {
	var out []string
	for _, n := range all {
		out = append(out, strconv.FormatInt(int64(n), 10))
	}
	return out
}

func who(a *sallyport.Authentication) sallyport.Verdict {
	switch string(a.Model()) {
	case "request":
		sayRequest(a)
	case "headers":
		return headers(a)
	case "credential":
		return credential(a)
	case "lookup":
		return lookup(a)
	case "veto":
		if allowed, ok := a.Allowed(); ok {
			sayIdentity(allowed)
			return a.DenyWithCode(403, "vetoed", "Not this one.")
		}
		return a.AllowAs(own)
	case "own":
		return a.AllowAs(own)
	case "own-least":
		return a.AllowAs(sallyport.PolicyIdentity{ID: "least"})
	case "own-wrong":
		return a.AllowAs(sallyport.PolicyIdentity{ID: "wrong", Budgets: []sallyport.Budget{{Timezone: "Mars/Base"}}})
	case "deny":
		return a.Deny(403, "Not today.")
	case "deny-bare":
		return a.Deny(401, "")
	case "deny-code":
		return a.DenyWithCode(429, "slow_down", "One at a time.")
	case "deny-wrong":
		return a.Deny(200, "fine")
	case "fail":
		return sallyport.Fail(errors.New("failed on purpose"))
	case "world":
		return world()
	case "flood":
		for i := range int64(20) {
			sayInt("line", i)
		}
	case "codes":
		codes()
	default:
		return outside(string(a.Model()))
	}
	return sallyport.Pass
}

// own is an identity with everything that a policy can say of one.
var own = sallyport.PolicyIdentity{
	ID: "u1", Name: "Ann", Team: "core", Models: []string{"coding", "claude-*"}, DefaultModel: "coding",
	Expires: time.UnixMilli(1_800_000_000_000),
	Labels:  []sallyport.Label{{Name: "env", Value: "prod"}, {Name: "note", Value: "a=b"}},
	Limits:  sallyport.Limits{sallyport.RequestsPerMinute: 60, sallyport.Concurrent: 2},
	Budgets: []sallyport.Budget{{Amount: 5_000_000_000}, {Amount: 50_000_000_000, Period: sallyport.PerMonth, Timezone: "Europe/Berlin"}},
}

func sayRequest(a *sallyport.Authentication) {
	say("id", a.ID())
	say("method", a.Method())
	say("path", a.Path())
	say("format", a.Format())
	say("operation", a.Operation())
	say("client_address", a.ClientAddress())
	say("model", a.Model())
	sayBool("stream", a.Stream())
}

func sayIdentity(i sallyport.Identity) {
	say("key_id", i.KeyID())
	say("name", i.Name())
	say("team", i.Team())
	sayInt("state", int64(i.State()))
	if expires := i.Expires(); expires.IsZero() {
		say("expires", "never")
	} else {
		sayInt("expires", expires.UnixMilli())
	}
	sayBool("expired", i.Expired())
	var models, labels []string
	for m := range i.Models() {
		models = append(models, string(m))
	}
	for name, value := range i.Labels() {
		labels = append(labels, string(name)+" is "+string(value))
	}
	say("models", strings.Join(models, ","))
	say("labels", strings.Join(labels, ","))
	say("limits", list(i.Limits()))
	say("default_model", i.DefaultModel())
}

func headers(a *sallyport.Authentication) sallyport.Verdict {
	team, err := a.Header("x-team")
	if err != nil {
		return sallyport.Fail(err)
	}
	absent, err := a.Header("x-absent")
	if err != nil {
		return sallyport.Fail(err)
	}
	sayInt("x-team bytes", int64(len(team)))
	say("x-team", team[:min(len(team), 20)])
	say("x-absent", absent)
	return sallyport.Pass
}

func credential(a *sallyport.Authentication) sallyport.Verdict {
	sayInt("shape", int64(a.Shape()))
	value, err := a.Credential()
	if err != nil {
		return sallyport.Fail(err)
	}
	say("credential", value)
	return sallyport.Pass
}

func lookup(a *sallyport.Authentication) sallyport.Verdict {
	key, found, err := a.Lookup()
	switch {
	case err != nil:
		return sallyport.Fail(err)
	case !found:
		say("found", "nothing")
		return sallyport.Pass
	}
	sayIdentity(key.Identity)
	return a.Allow(key)
}

func world() sallyport.Verdict {
	for level, line := range []string{"debug", "info", "warn", "error"} {
		sallyport.Log(sallyport.Level(level), line)
	}
	sayInt("now", sallyport.Now().UnixMilli())
	random, err := sallyport.RandomUint64()
	if err != nil {
		return sallyport.Fail(err)
	}
	say("random", strconv.FormatUint(random, 10))
	config := make([]byte, 64)
	say("config", config[:host.Config(config)])
	return sallyport.Pass
}

// codes provokes each code of the contract.
func codes() {
	buf := make([]byte, 64)
	sayCode("length", host.Get(abi.FieldRequestID, 0, nil))
	sayCode("unknown field", host.Get(9999, 0, buf))
	sayBool("no value", host.GetInt(9999) == abi.NoValue)
	sayCode("absent", host.Get(abi.FieldIdentityTeam, 0, buf))
	sayCode("not granted", host.GetNamed(abi.FieldRequestHeaders, "x-secret", buf))
	sayCode("bad argument", host.Get(abi.FieldRequestID, 5, buf))
	sayCode("wrong hook", host.Get(abi.FieldChain, 0, buf))
	sayCode("not found", host.IdentityLookup(buf[:abi.DigestSize]))
	digest := buf[:host.Get(abi.FieldCredentialDigest, 0, buf)]
	for range 16 {
		host.IdentityLookup(digest)
	}
	sayCode("over quota", host.IdentityLookup(digest))
	sayCode("not supported", future())
}

func which(c *sallyport.StepChoice) sallyport.Verdict {
	switch string(c.Request.Model()) {
	case "choice":
		sayChoice(c)
		return c.Choose(c.Len() - 1)
	case "states":
		sayStates(c)
		return c.ChooseWithReason(0, "first of all")
	case "choose-wrong":
		return c.Choose(c.Len())
	case "reason-wrong":
		return c.ChooseWithReason(0, "caf\u00e9")
	case "stop-reason":
		return c.StopWithReason("enough")
	case "stop":
		return c.Stop()
	case "fail":
		return sallyport.Fail(errors.New("failed on purpose"))
	}
	return sallyport.Pass
}

func sayChoice(c *sallyport.StepChoice) {
	say("key_id", c.Identity().KeyID())
	say("chain", c.Chain())
	sayInt("steps", int64(c.Len()))
	sayInt("attempt", int64(c.Attempt()))
	sayInt("last_error", int64(c.LastError()))
	if last, ok := c.LastStep(); ok {
		sayInt("last_step", int64(last))
	} else {
		say("last_step", "none")
	}
	for i := range c.Len() {
		say("step", string(c.Model(i))+" of "+string(c.Provider(i)))
	}
	say("priorities", list(c.Priorities()))
	say("weights", list(c.Weights()))
	say("tries", list(c.Tries()))
}

func sayStates(c *sallyport.StepChoice) {
	say("strategy", c.Strategy())
	if affinity, ok := c.Affinity(); ok {
		sayInt("affinity", affinity)
	} else {
		say("affinity", "none")
	}
	say("available", list(c.Available()))
	say("health", list(c.Health()))
	say("cooldowns", list(c.Cooldowns()))
	say("latencies", list(c.Latencies()))
	say("active", list(c.Active()))
	say("input_prices", list(c.InputPrices()))
	say("output_prices", list(c.OutputPrices()))
	say("contexts", list(c.Contexts()))
}

func howMuch(p *sallyport.Pricing) sallyport.Verdict {
	switch string(p.Model()) {
	case "price":
		return price(p)
	case "charge":
		return p.Charge(5, nil)
	case "charge-wrong":
		return p.Charge(-1, nil)
	case "fail":
		return sallyport.Fail(errors.New("failed on purpose"))
	}
	return sallyport.Pass
}

func price(p *sallyport.Pricing) sallyport.Verdict {
	say("key_id", p.Identity().KeyID())
	sayInt("phase", int64(p.Phase()))
	say("provider", p.Provider())
	say("provider_model", p.ProviderModel())
	usage, price := p.Usage(), p.Price()
	say("usage", list(usage))
	if price == nil {
		say("price", "none")
		return sallyport.Pass
	}
	say("price", list(price))
	breakdown := make([]sallyport.NanoUSD, len(usage))
	return p.Charge(sallyport.Cost(usage, price, breakdown), breakdown)
}
