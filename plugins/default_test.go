package plugins

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	stock "github.com/extism/go-sdk"
	"pgregory.net/rapid"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// now is the time that guests see.
var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// loadDefault loads the built-in policy as the gateway does, from the bytes that are embedded.
func loadDefault(t testing.TB) *runtime.Set {
	t.Helper()
	wasm, err := Builtin("default")
	if err != nil {
		t.Fatal(err)
	}
	r, err := runtime.New(t.Context(), runtime.Options{
		CacheDir:  compiled,
		Functions: hostfuncs.Functions(hostfuncs.Options{}),
		Now:       func() time.Time { return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	set, err := r.Load(t.Context(), []runtime.Policy{{
		Name:   "default",
		Wasm:   wasm,
		Grants: runtime.Grants{Identities: true},
		Limits: runtime.Limits{Time: 10 * time.Second}, // how fast a machine is that does other things too is not what is tested
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set
}

// store is a store of keys in memory.
type store map[abi.Digest]*abi.Identity

func (s store) Lookup(digest *abi.Digest) (*abi.Identity, bool) {
	identity, ok := s[*digest]
	return identity, ok
}

func TestDefaultServesEveryHook(t *testing.T) {
	info := loadDefault(t).Policies()[0]
	if len(info.Hooks) != int(abi.NumHooks) {
		t.Errorf("it is asked at %v only", info.Hooks)
	}
	for _, function := range info.Stubbed { // of WASI some are: Go's runtime imports more than it needs
		if strings.HasPrefix(function, abi.ModulePolicy) {
			t.Errorf("the host does not serve %s", function)
		}
	}
}

func TestDefaultAuthenticate(t *testing.T) {
	set := loadDefault(t)
	keys := store{
		{1}: {KeyID: "good"},
		{2}: {KeyID: "off", State: abi.KeyDisabled},
		{3}: {KeyID: "gone", State: abi.KeyRevoked},
		{4}: {KeyID: "late", Expires: now},
		{5}: {KeyID: "timely", Expires: now.Add(time.Hour)},
	}
	facts := []struct {
		name    string
		digest  abi.Digest
		shape   abi.CredentialShape
		key     string
		message string
		code    string
	}{
		{name: "no credential"},
		{"a key", abi.Digest{1}, abi.CredentialGenerated, "good", "", ""},
		{"a key that ends later", abi.Digest{5}, abi.CredentialForeign, "timely", "", ""},
		{"disabled", abi.Digest{2}, abi.CredentialGenerated, "", "The key is disabled.", "key_disabled"},
		{"revoked", abi.Digest{3}, abi.CredentialGenerated, "", "The key is revoked.", "key_revoked"},
		{"expired", abi.Digest{4}, abi.CredentialGenerated, "", "The key expired at 2026-11-21T12:00:00Z.", "key_expired"},
		{"unknown", abi.Digest{6}, abi.CredentialGenerated, "", "", ""},
		{"mistyped", abi.Digest{7}, abi.CredentialMistyped, "", "The key is mistyped: its checksum does not fit.", ""},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			a := &abi.Authentication{Request: &abi.Request{}, Digest: f.digest, Shape: f.shape, Identities: keys}
			answer, key := set.Authenticate(a), ""
			if a.Identity != nil {
				key = a.Identity.KeyID
			}
			if passes := f.key == "" && f.message == ""; passes != (answer == abi.NoVerdict) || answer == abi.Failed {
				t.Fatalf("the answer is %d", answer)
			}
			status := 0
			switch {
			case f.code == "key_disabled":
				status = 403 // the key is known, and may not
			case f.message != "":
				status = 401
			}
			if key != f.key || a.Code != f.code || a.Message != f.message || a.Status != status {
				t.Errorf("got key %q, status %d, message %q", key, a.Status, a.Message)
			}
		})
	}
}

func TestDefaultChooseStep(t *testing.T) {
	set := loadDefault(t)
	steps := []abi.Step{{Model: "a", Priority: 2, Weight: 1}, {Model: "b", Priority: 1, Weight: 0}, {Model: "c", Priority: 1, Weight: 3}}
	facts := []struct {
		name    string
		tries   []int64
		attempt int64
		last    abi.ErrorClass
		step    int
		stop    bool
	}{
		{"the weighted one first", []int64{0, 0, 0}, 1, abi.NoError, 2, false},
		{"then the spare", []int64{0, 0, 1}, 2, abi.Transient, 1, false},
		{"then the next priority", []int64{0, 1, 1}, 3, abi.Ambiguous, 0, false},
		{"then nothing", []int64{1, 1, 1}, 4, abi.NotSent, 0, true},
		{"nothing after a rejection", []int64{0, 0, 1}, 2, abi.Rejected, 0, true},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			c := &abi.StepChoice{Request: &abi.Request{}, Steps: steps, Tries: f.tries, Attempt: f.attempt, LastError: f.last, LastStep: -1}
			if answer := set.ChooseStep(c); answer != abi.Given || c.Step != f.step || c.Stop != f.stop {
				t.Errorf("answer %d, step %d, stop %t", answer, c.Step, c.Stop)
			}
		})
	}
}

// The guest and the core, which prices by itself when no policy does, agree to the nano-dollar.
func TestDefaultPricesAsTheCoreDoes(t *testing.T) {
	set := loadDefault(t)
	rapid.Check(t, func(t *rapid.T) {
		p := &abi.Pricing{Request: &abi.Request{}, Phase: abi.Final, Price: &abi.PriceRow{}}
		for d := range abi.NumDimensions {
			p.Price[d] = abi.NanoUSD(rapid.Int64Range(0, 200_000_000_000).Draw(t, "price"))
			p.Usage[d] = rapid.Int64Range(0, 4_000_000).Draw(t, "units")
		}
		cost, breakdown := p.Price.Cost(&p.Usage)
		if answer := set.PriceResponse(p); answer != abi.Given || p.Cost != cost || p.Breakdown != breakdown {
			t.Fatalf("answer %d: %d %v, want %d %v", answer, p.Cost, p.Breakdown, cost, breakdown)
		}
	})
	extreme := &abi.Pricing{Request: &abi.Request{}, Price: &abi.PriceRow{math.MaxInt64, 1}, Usage: abi.Usage{math.MaxInt64, 1}}
	if answer := set.PriceResponse(extreme); answer != abi.Given || extreme.Cost != abi.MaxCost {
		t.Errorf("answer %d, cost %d, want the largest cost there is", answer, extreme.Cost)
	}
	if answer := set.PriceResponse(&abi.Pricing{Request: &abi.Request{}}); answer != abi.NoVerdict {
		t.Errorf("without a price: answer %d, want a pass", answer)
	}
}

// question is one exchange's worth of questions: each hook once, the price twice.
type question struct {
	set     *runtime.Set
	who     abi.Authentication
	choice  abi.StepChoice
	pricing abi.Pricing
}

func newQuestion(t testing.TB) *question {
	request := &abi.Request{ID: []byte("req_1"), Model: []byte("gpt"), Format: "openai"}
	key := &abi.Identity{KeyID: "good", Name: "ci", Expires: now.Add(time.Hour)}
	row := &abi.PriceRow{abi.Input: 270_000_000, abi.Output: 1_100_000_000}
	return &question{
		set: loadDefault(t),
		who: abi.Authentication{Request: request, Digest: abi.Digest{1}, Shape: abi.CredentialGenerated, Identities: store{{1}: key}},
		choice: abi.StepChoice{
			Request: request, Identity: key, Chain: "coding", Attempt: 1, LastStep: -1, Tries: []int64{0, 0, 0},
			Steps: []abi.Step{{Priority: 1, Weight: 50}, {Priority: 1, Weight: 50}, {Priority: 2}},
		},
		pricing: abi.Pricing{Request: request, Identity: key, Phase: abi.Final, Price: row, Usage: abi.Usage{abi.Input: 1234, abi.Output: 567}},
	}
}

var strategies = []string{"weighted", "latency", "cost", "sticky"}

// strategic is a choice between two steps of which everything is known.
func (q *question) strategic(strategy string) *abi.StepChoice {
	row := &abi.PriceRow{abi.Input: 270_000_000, abi.Output: 1_100_000_000}
	return &abi.StepChoice{
		Request: q.choice.Request, Identity: q.choice.Identity, Chain: "coding", Attempt: 1, LastStep: -1, Tries: []int64{0, 0},
		Steps: []abi.Step{
			{Model: "claude-sonnet", Provider: "claude", Priority: 1, Weight: 50, Price: &abi.PriceRow{}},
			{Model: "deepseek", Provider: "deepseek", Priority: 1, Weight: 50, Price: row},
		},
		States: []abi.StepState{
			{Available: true, Latency: 300 * time.Millisecond}, {Available: true, Latency: 400 * time.Millisecond, Active: 1},
		},
		Strategy: strategy, Affinity: 1 << 63, Sticks: true,
	}
}

func TestDefaultStrategies(t *testing.T) {
	q := newQuestion(t)
	for _, strategy := range strategies {
		c := q.strategic(strategy)
		for range 20 {
			if answer := q.set.ChooseStep(c); answer != abi.Given || c.Reason != strategy || c.Stop {
				t.Fatalf("%s: answer %d, step %d, reason %q", strategy, answer, c.Step, c.Reason)
			}
			if c.Step != 0 && (strategy == "latency" || strategy == "cost") {
				t.Fatalf("%s: step %d", strategy, c.Step)
			}
		}
		c.States[0] = abi.StepState{Health: abi.StepParked, Cooldown: time.Second}
		c.Attempt, c.LastStep, c.LastError, c.Tries = 2, 0, abi.RateLimited, []int64{1, 0}
		if answer := q.set.ChooseStep(c); answer != abi.Given || c.Step != 1 || c.Reason != "failover" {
			t.Errorf("%s: answer %d, step %d, reason %q after a 429", strategy, answer, c.Step, c.Reason)
		}
		if n := testing.AllocsPerRun(100, func() { q.set.ChooseStep(c) }); n != 0 {
			t.Errorf("%s: it allocates %v times in the host, want 0", strategy, n)
		}
	}
}

func (q *question) ask() bool {
	return q.set.Authenticate(&q.who) == abi.Given && q.set.ChooseStep(&q.choice) == abi.Given && q.set.PriceResponse(&q.pricing) == abi.Given
}

func TestDefaultAllocatesNothingInTheHost(t *testing.T) {
	q := newQuestion(t)
	if n := testing.AllocsPerRun(1000, func() {
		if !q.ask() {
			t.Fatal("a hook gave no verdict")
		}
	}); n != 0 {
		t.Errorf("the three hooks allocate %v times in the host, want 0", n)
	}
}

func BenchmarkDefault(b *testing.B) {
	q := newQuestion(b)
	b.Run("authenticate", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			q.set.Authenticate(&q.who)
		}
	})
	b.Run("choose_step", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			q.set.ChooseStep(&q.choice)
		}
	})
	for _, strategy := range strategies {
		b.Run("choose_step/"+strategy, func(b *testing.B) {
			c := q.strategic(strategy)
			b.ReportAllocs()
			for b.Loop() {
				q.set.ChooseStep(c)
			}
		})
	}
	b.Run("price_response", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			q.set.PriceResponse(&q.pricing)
		}
	})
}

// ofSteps is what a request comes to whose chain has so many steps; a plain alias is a chain of one.
func (q *question) ofSteps(count int) *question {
	c, price := q.strategic("weighted"), q.pricing
	c.Steps, c.States, c.Tries = c.Steps[:count], c.States[:count], c.Tries[:count]
	return &question{set: q.set, who: q.who, choice: *c, pricing: price}
}

// BenchmarkThreeHooks is what the built-in policy costs a request that one attempt answers, estimate aside: each hook once.
// Beside it stands what Extism's own host takes to call three hooks that do nothing, before any of its messages is read.
func BenchmarkThreeHooks(b *testing.B) {
	q := newQuestion(b)
	for name, steps := range map[string]int{"alias": 1, "chain of two": 2} {
		b.Run(name, func(b *testing.B) {
			q := q.ofSteps(steps)
			if !q.ask() {
				b.Fatal("a hook gave no verdict")
			}
			testutil.Measure(b, 100, func() { q.ask() })
		})
	}
	b.Run("stock go-sdk, empty", func(b *testing.B) {
		plugin := loadStock(b)
		testutil.Measure(b, 100, func() {
			for h := range abi.NumHooks {
				if code, _, err := plugin.Call(h.String(), nil); code != abi.ReturnPass || err != nil {
					b.Fatal(code, err)
				}
			}
		})
	})
}

// loadStock loads a guest of three empty hooks with Extism's own host.
func loadStock(b *testing.B) *stock.Plugin {
	b.Helper()
	m := &w.Module{}
	for h := range abi.NumHooks {
		m.Hook(h.String(), w.I32Const(abi.ReturnPass))
	}
	manifest := stock.Manifest{Wasm: []stock.Wasm{stock.WasmData{Data: m.Bytes()}}}
	plugin, err := stock.NewPlugin(b.Context(), manifest, stock.PluginConfig{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = plugin.Close(context.Background()) })
	return plugin
}
