package sallyport

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/host"
)

// fixed is a host that answers everything alike, and allocates nothing.
type fixed struct {
	text   string
	list   []int64
	number int64
	code   int32 // of everything that sets or looks up

	reads int
	set   []int64
}

func (h *fixed) Get(_ abi.Field, index int32, buf []byte) int32 {
	if index > 2 {
		return int32(Absent)
	}
	return h.GetNamed(0, "", buf)
}

func (h *fixed) GetNamed(_ abi.Field, _ string, buf []byte) int32 {
	h.reads++
	if len(h.text) <= len(buf) {
		copy(buf, h.text)
	}
	return int32(len(h.text))
}

func (h *fixed) GetInts(_ abi.Field, buf []int64) int32 {
	h.reads++
	if len(h.list) <= len(buf) {
		copy(buf, h.list)
	}
	return int32(8 * len(h.list))
}

func (h *fixed) SetInts(_ abi.Field, values []int64) int32 {
	h.set = append(h.set[:0], values...)
	return h.code
}

func (h *fixed) GetInt(abi.Field) int64                   { return h.number }
func (h *fixed) Set(abi.Field, int32, string) int32       { return h.code }
func (h *fixed) SetElement(abi.Field, int32, int64) int32 { return h.code }
func (h *fixed) IdentityLookup([]byte) int32              { return h.code }
func (h *fixed) Log(int32, string) int32                  { return 0 }
func (h *fixed) Now() int64                               { return 0 }
func (h *fixed) Random([]byte) int32                      { return h.code }
func (h *fixed) Config(buf []byte) int32                  { return h.GetNamed(0, "", buf) }
func (h *fixed) Script(buf []byte) int32                  { return h.GetNamed(0, "", buf) }
func (h *fixed) Digest([]byte, *[32]byte) int32           { return h.code }
func (h *fixed) Metric(string, int64) int32               { return h.code }

func (h *fixed) KVGet(_ string, buf []byte) int32         { return h.GetNamed(0, "", buf) }
func (h *fixed) KVVersion(string) int64                   { return h.number }
func (h *fixed) KVSet(string, []byte, int64) int32        { return h.code }
func (h *fixed) KVDelete(string) int32                    { return h.code }
func (h *fixed) KVCAS(string, int64, []byte, int64) int64 { return h.number }
func (h *fixed) KVList(_ string, _, buf []byte) int32     { return h.GetNamed(0, "", buf) }
func (h *fixed) KVIncr(_ string, _, _, _, _ int64, value *int64) int32 {
	*value = h.number
	return h.code
}
func (h *fixed) KVWindowAdd(_ string, _, _, _ int64, out *[2]int64) int32 {
	out[0] = h.number
	return h.code
}

func (h *fixed) ask(export func() int32) (code int32) { return host.Serve(h, export) }
func (h *fixed) pricing(f func(*Pricing) Verdict) int32 {
	return h.ask(func() int32 { return PriceResponse(f) })
}

func TestSlicesStayValidUntilTheHookReturns(t *testing.T) {
	h := &fixed{}
	h.ask(func() int32 {
		return Authenticate(func(a *Authentication) Verdict {
			var all [][]byte
			for i := range 50 {
				h.text = strings.Repeat(string(rune('a'+i%26)), 1+i*40) // beyond every size of the buffer
				all = append(all, a.Model())
			}
			for i, got := range all {
				if want := strings.Repeat(string(rune('a'+i%26)), 1+i*40); string(got) != want {
					t.Fatalf("slice %d has become %.20q", i, got)
				}
				if cap(got) != len(got) {
					t.Fatalf("appending to slice %d writes to the next", i)
				}
			}
			return Pass
		})
	})
}

func TestBuffersGrowOnce(t *testing.T) {
	h := &fixed{text: strings.Repeat("x", 5000)}
	read := func() int32 {
		return Authenticate(func(a *Authentication) Verdict {
			if len(a.Model()) != 5000 || len(a.Path()) != 5000 {
				t.Error("a text was not read whole")
			}
			return Pass
		})
	}
	h.ask(read)
	h.ask(read)
	h.reads = 0
	if h.ask(read); h.reads != 2 {
		t.Errorf("two texts took %d reads", h.reads)
	}
}

// A policy outlives hosts that know fewer dimensions than it, and more.
func TestDimensionsOfAnotherHost(t *testing.T) {
	for _, known := range []int{1, NumDimensions - 1, NumDimensions, NumDimensions + 2, 1000} {
		h := &fixed{list: slices.Repeat([]int64{1_000_000}, known)}
		h.pricing(func(p *Pricing) Verdict {
			usage, price := p.Usage(), p.Price()
			if len(usage) != max(known, NumDimensions) || len(price) != len(usage) {
				t.Fatalf("of %d dimensions there are %d and %d", known, len(usage), len(price))
			}
			breakdown := make([]NanoUSD, NumDimensions)
			cost := Cost(usage, price, breakdown)
			if want := NanoUSD(known) * 1_000_000; cost != want {
				t.Errorf("with %d dimensions the cost is %d, want %d", known, cost, want)
			}
			return p.Charge(cost, breakdown)
		})
		if len(h.set) != min(known, NumDimensions) {
			t.Errorf("a host of %d dimensions is told %d", known, len(h.set))
		}
	}
}

// A host that knows no limits at all leaves them at none.
func TestLimitsOfAnotherHost(t *testing.T) {
	for _, known := range []int{0, 1, NumLimits, NumLimits + 2} {
		h := &fixed{list: slices.Repeat([]int64{60}, known)}
		h.ask(func() int32 {
			return ChooseStep(func(c *StepChoice) Verdict {
				limits := c.Identity().Limits()
				if len(limits) != max(known, NumLimits) || known > 0 && limits[0] != 60 || known <= 1 && limits[Concurrent] != 0 {
					t.Errorf("of %d limits there are %v", known, limits)
				}
				return Pass
			})
		})
	}
}

func TestNoPrice(t *testing.T) {
	(&fixed{}).pricing(func(p *Pricing) Verdict {
		if price := p.Price(); price != nil {
			t.Errorf("the price is %v, want nil", price)
		}
		return Pass
	})
}

// Whatever output the host refuses, the policy fails rather than giving half an answer.
func TestRefusedOutputsFail(t *testing.T) {
	verdicts := map[string]func() Verdict{
		"Allow":         func() Verdict { return new(Authentication).Allow(StoredKey{handle: 1}) },
		"AllowAs":       func() Verdict { return new(Authentication).AllowAs(PolicyIdentity{ID: "x"}) },
		"AllowAs empty": func() Verdict { return new(Authentication).AllowAs(PolicyIdentity{}) },
		"Deny":          func() Verdict { return new(Authentication).Deny(401, "") },
		"DenyWithCode":  func() Verdict { return new(Authentication).DenyWithCode(401, "a", "") },
		"Choose":        func() Verdict { return new(StepChoice).Choose(0) },
		"Stop":          func() Verdict { return new(StepChoice).Stop() },
		"Charge":        func() Verdict { return new(Pricing).Charge(1, []NanoUSD{1}) },
	}
	for name, verdict := range verdicts {
		for code, want := range map[int32]int32{int32(BadArgument): abi.ReturnError, 0: abi.ReturnVerdict} {
			if got := (&fixed{code: code}).ask(func() int32 { return int32(verdict()) }); got != want {
				t.Errorf("%s after code %d returns %d, want %d", name, code, got, want)
			}
		}
	}
}

func TestErrorsNameTheFieldAndTheCode(t *testing.T) {
	h := &fixed{text: "digest", code: int32(NotGranted)}
	h.ask(func() int32 {
		_, found, err := new(Authentication).Lookup()
		if found || !errors.Is(err, NotGranted) {
			t.Errorf("found %t, %v", found, err)
		}
		if want := "identity_lookup: policies.yaml does not grant this policy the field or the function"; err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
		return 0
	})
	if got := Code(-99).Error(); !strings.Contains(got, "does not know") {
		t.Errorf("a code of the future: %q", got)
	}
}

func TestHooksAllocateNothing(t *testing.T) {
	h := &fixed{text: "some text", list: []int64{1, 0, 3, 0, 0, 0, 0, 0, 0, 10}, number: 1}
	var breakdown [NumDimensions]NanoUSD // would escape to a native host's interface, as it does not to an import
	hooks := map[string]func() int32{
		"authenticate": func() int32 {
			return Authenticate(func(a *Authentication) Verdict {
				if a.Shape() == CredentialNone || a.Stream() && string(a.Model()) == "gpt" {
					return Pass
				}
				key, _, _ := a.Lookup()
				for range key.Models() {
					_ = key.Expired()
				}
				for range key.Labels() {
					_ = key.Limits()[Concurrent]
				}
				_, _ = a.Header("x-team")
				return a.Deny(403, "no")
			})
		},
		"choose_step": func() int32 {
			return ChooseStep(func(c *StepChoice) Verdict {
				return c.Choose(len(c.Priorities()) + len(c.Weights()) + len(c.Tries()))
			})
		},
		"price_response": func() int32 {
			return PriceResponse(func(p *Pricing) Verdict {
				return p.Charge(Cost(p.Usage(), p.Price(), breakdown[:]), breakdown[:])
			})
		},
	}
	for name, hook := range hooks {
		if n := testing.AllocsPerRun(100, func() { h.ask(hook) }); n != 0 {
			t.Errorf("%s allocates %v times, want 0", name, n)
		}
	}
}

func TestConfigure(t *testing.T) {
	var got string
	apply := func(config []byte) error {
		got = string(config)
		if got == "bad" {
			return errors.New("it is bad")
		}
		return nil
	}
	for config, want := range map[string]int32{`{"a":1}`: 0, "bad": abi.ReturnError} {
		if code := (&fixed{text: config}).ask(func() int32 { return Configure(apply) }); code != want || got != config {
			t.Errorf("%s: returned %d after %q, want %d", config, code, got, want)
		}
	}
}
