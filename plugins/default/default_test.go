package main

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
	"github.com/sallyport-dev/sallyport/sdk/go/hosttest"
)

func TestAuthenticate(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	keys := map[string]hosttest.Identity{
		"good":     {KeyID: "k1"},
		"disabled": {KeyID: "k2", State: sallyport.KeyDisabled},
		"revoked":  {KeyID: "k3", State: sallyport.KeyRevoked},
		"unknown":  {KeyID: "k4", State: 99},
		"ends now": {KeyID: "k5", Expires: now},
		"ends":     {KeyID: "k6", Expires: now.Add(time.Millisecond)},
	}
	facts := []struct {
		name       string
		credential string
		shape      sallyport.CredentialShape
		key        string // allowed
		message    string // denied
		code       string
	}{
		{name: "no credential: pass"},
		{name: "a stored key", credential: "good", key: "k1"},
		{name: "a stored key of a foreign form", credential: "good", shape: sallyport.CredentialForeign, key: "k1"},
		{name: "a stored key, however it is spelt", credential: "good", shape: sallyport.CredentialMistyped, key: "k1"},
		{name: "a key that is in order still", credential: "ends", key: "k6"},
		{name: "expired this moment", credential: "ends now", message: "The key expired at 2026-11-21T12:00:00Z.", code: "key_expired"},
		{name: "disabled", credential: "disabled", message: "The key is disabled.", code: "key_disabled"},
		{name: "revoked", credential: "revoked", message: "The key is revoked.", code: "key_revoked"},
		{name: "a state of the future", credential: "unknown", message: "The key is not active."},
		{name: "foreign and not stored: pass", credential: "sk-other"},
		{name: "generated and not stored: pass", credential: "x", shape: sallyport.CredentialGenerated},
		{name: "mistyped", credential: "y", shape: sallyport.CredentialMistyped, message: "The key is mistyped: its checksum does not fit."},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			got := hosttest.Authentication{
				Setting:    hosttest.Setting{Identities: true, Now: now},
				Credential: f.credential,
				Shape:      f.shape,
				Keys:       keys,
			}.Ask(authenticate)
			key := ""
			if got.Identity != nil {
				key = got.Identity.KeyID
			}
			passes := f.key == "" && f.message == ""
			if key != f.key || got.Message != f.message || got.Code != f.code || got.Passed != passes || got.Failed != "" {
				t.Errorf("got %+v", got)
			}
			if got.Status != statusOf(f.message, f.code) {
				t.Errorf("status is %d", got.Status)
			}
		})
	}
}

// statusOf is the status of a denial, 0 for none: a disabled key is known, and may not; the others are no keys.
func statusOf(message, code string) int {
	switch {
	case message == "":
		return 0
	case code == "key_disabled":
		return 403
	}
	return 401
}

func TestAuthenticateFailsWithoutItsGrant(t *testing.T) {
	got := hosttest.Authentication{Credential: "good"}.Ask(authenticate)
	if got.Failed == "" || len(got.Log) != 1 {
		t.Errorf("got %+v, want a failure and a line of log that says why", got)
	}
}

// Random numbers for choices: the lowest, the middle and the highest.
func always(n uint64) func([]byte) {
	return func(b []byte) { binary.BigEndian.PutUint64(b, n) }
}

const (
	lowest  = 0
	middle  = 1 << 63
	highest = ^uint64(0)
)

const stop = -1

func TestChooseStep(t *testing.T) {
	step := func(priority, weight, tries int64) hosttest.Step {
		return hosttest.Step{Priority: priority, Weight: weight, Tries: tries}
	}
	type steps []hosttest.Step
	facts := []struct {
		name   string
		steps  steps
		random uint64
		want   int
	}{
		{"the only step", steps{step(1, 1, 0)}, highest, 0},
		{"the only step, of no weight", steps{step(1, 0, 0)}, lowest, 0},
		{"lowest priority, wherever it stands", steps{step(2, 9, 0), step(1, 1, 0), step(3, 9, 0)}, highest, 1},
		{"priorities may be negative", steps{step(0, 1, 0), step(-1, 1, 0)}, lowest, 1},
		{"by weight, low", steps{step(1, 1, 0), step(1, 1, 0)}, lowest, 0},
		{"by weight, at the border", steps{step(1, 1, 0), step(1, 1, 0)}, middle, 1},
		{"by weight, below the border", steps{step(1, 1, 0), step(1, 1, 0)}, middle - 1, 0},
		{"by weight, high", steps{step(1, 1, 0), step(1, 1, 0)}, highest, 1},
		{"weight 0 is not picked", steps{step(1, 0, 0), step(1, 1, 0), step(1, 0, 0)}, lowest, 1},
		{"weight 0 is not picked at the end", steps{step(1, 0, 0), step(1, 1, 0), step(1, 0, 0)}, highest, 1},
		{"weight 0 alike if all are 0, low", steps{step(1, 0, 0), step(1, 0, 0)}, lowest, 0},
		{"weight 0 alike if all are 0, high", steps{step(1, 0, 0), step(1, 0, 0)}, highest, 1},
		{"weight 0 before a higher priority", steps{step(1, 1, 1), step(1, 0, 0), step(2, 5, 0)}, lowest, 1},
		{"the rest of the priority", steps{step(1, 1, 1), step(1, 1, 0), step(2, 1, 0)}, lowest, 1},
		{"the next priority", steps{step(1, 1, 1), step(1, 1, 2), step(2, 1, 0)}, lowest, 2},
		{"all tried", steps{step(1, 1, 1), step(2, 1, 1)}, lowest, stop},
		{"weights that overflow a sum", steps{step(1, 1<<62, 0), step(1, 1<<62, 0), step(1, 1<<62, 0)}, highest, 2},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			c := hosttest.StepChoice{Setting: hosttest.Setting{Random: always(f.random)}, Steps: f.steps, Attempt: 1}
			for _, s := range f.steps {
				c.Attempt += int(s.Tries)
			}
			check(t, c.Ask(chooseStep), f.want)
		})
	}
}

func check(t *testing.T, got hosttest.StepChosen, want int) {
	t.Helper()
	chosen := got.Step
	if got.Stop {
		chosen = stop
	}
	if chosen != want || got.Passed || got.Failed != "" {
		t.Errorf("got %+v, want %d", got, want)
	}
}

func TestChooseStepAfterAnError(t *testing.T) {
	facts := []struct {
		last sallyport.ErrorClass
		want int
	}{
		{sallyport.NotSent, 1},
		{sallyport.Transient, 1},
		{sallyport.Ambiguous, 1},
		{sallyport.BadCredential, 1},
		{sallyport.Rejected, stop},
	}
	for _, f := range facts {
		check(t, hosttest.StepChoice{
			Steps:     []hosttest.Step{{Priority: 1, Weight: 1, Tries: 1}, {Priority: 2, Weight: 1}},
			Attempt:   2,
			LastError: f.last,
		}.Ask(chooseStep), f.want)
	}
}

// Whatever the chain, every step is tried once, never a later priority before an earlier one, and then nothing more.
func TestChooseStepWalksEveryChain(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		c := hosttest.StepChoice{
			Setting: hosttest.Setting{Random: func(b []byte) { binary.BigEndian.PutUint64(b, random.Uint64()) }},
			Steps:   make([]hosttest.Step, 1+random.IntN(8)),
		}
		for i := range c.Steps {
			c.Steps[i].Priority, c.Steps[i].Weight = random.Int64N(3), random.Int64N(3)
		}
		before := int64(-1)
		for c.Attempt = 1; c.Attempt <= len(c.Steps); c.Attempt++ {
			got := c.Ask(chooseStep)
			if got.Failed != "" || got.Stop {
				t.Fatalf("%+v: got %+v", c.Steps, got)
			}
			step := &c.Steps[got.Step]
			if step.Tries > 0 || step.Priority < before {
				t.Fatalf("%+v: chose %d after priority %d", c.Steps, got.Step, before)
			}
			before = step.Priority
			step.Tries++
			c.LastError, c.LastStep = sallyport.Transient, got.Step
		}
		if got := c.Ask(chooseStep); !got.Stop {
			t.Fatalf("%+v: got %+v, want a stop", c.Steps, got)
		}
	}
}

// Over many choices each step gets its share, to five standard deviations.
func TestChooseStepByWeight(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	c := hosttest.StepChoice{
		Setting: hosttest.Setting{Random: func(b []byte) { binary.BigEndian.PutUint64(b, random.Uint64()) }},
		Steps:   []hosttest.Step{{Weight: 50}, {Weight: 30}, {Weight: 20}, {Weight: 0}},
	}
	const rounds = 20_000
	var chosen [4]int
	for range rounds {
		chosen[c.Ask(chooseStep).Step]++
	}
	for i, s := range c.Steps {
		want := int(s.Weight) * rounds / 100
		if chosen[i] < want-350 || chosen[i] > want+350 || s.Weight == 0 && chosen[i] > 0 {
			t.Errorf("step %d of weight %d was chosen %d times in %d", i, s.Weight, chosen[i], rounds)
		}
	}
}

func TestPriceResponse(t *testing.T) {
	const usd = sallyport.NanoUSD(1e9)
	row := []sallyport.NanoUSD{sallyport.Input: usd * 27 / 100, sallyport.Output: usd * 11 / 10, sallyport.CacheRead: usd * 7 / 100}
	facts := []struct {
		name  string
		price []sallyport.NanoUSD
		usage []int64
		want  sallyport.NanoUSD
	}{
		{"nothing used", row, nil, 0},
		{"a chat", row, []int64{11, 9}, 2970 + 9900},
		{"a free model", []sallyport.NanoUSD{}, []int64{11, 9}, 0},
		{"every dimension counts", row, []int64{sallyport.Input: 1e6, sallyport.Output: 1e6, sallyport.CacheRead: 1e6}, usd * 144 / 100},
	}
	for _, f := range facts {
		for _, phase := range []sallyport.PricePhase{sallyport.Estimate, sallyport.Final} {
			got := hosttest.Pricing{Phase: phase, Price: f.price, Usage: f.usage}.Ask(priceResponse)
			var sum sallyport.NanoUSD
			for _, part := range got.Breakdown {
				sum += part
			}
			if got.Cost != f.want || sum != f.want || got.Passed || got.Failed != "" {
				t.Errorf("%s: got %+v, want %d", f.name, got, f.want)
			}
		}
	}
	if got := (hosttest.Pricing{Usage: []int64{1}}).Ask(priceResponse); !got.Passed {
		t.Errorf("a model without a price: got %+v, want a pass", got)
	}
}
