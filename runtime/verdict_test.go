package runtime_test

import (
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// stored is a directory of one key.
type stored struct {
	digest   abi.Digest
	identity *abi.Identity
}

func (s stored) Lookup(d *abi.Digest) (*abi.Identity, bool) { return s.identity, *d == s.digest }

// lookUp looks the request's digest up and leaves the handle.
func lookUp(g *w.Guest) []byte {
	return w.Code(
		g.Host("get", w.I32Const(int32(abi.FieldCredentialDigest)), w.I32Const(0), w.I32Const(0), w.I32Const(32)), w.Drop,
		g.Host("identity_lookup", w.I32Const(0), w.I32Const(32)),
	)
}

func TestAuthenticationVerdicts(t *testing.T) {
	key := &abi.Identity{KeyID: "key_1", Name: "ci"}
	bad := abi.Authentication{Policy: "p"}
	deny := func(status int, message string) abi.Authentication {
		return abi.Authentication{Policy: "p", Status: status, Message: message}
	}
	own := func(i abi.Identity) abi.Authentication { return abi.Authentication{Policy: "p", Identity: &i} }
	const handle, id, name, team = abi.FieldAllowHandle, abi.FieldAllowID, abi.FieldAllowName, abi.FieldAllowTeam
	const models, expires, status, message, code = abi.FieldAllowModels, abi.FieldAllowExpires, abi.FieldDenyStatus, abi.FieldDenyMessage, abi.FieldDenyCode
	long := func(n int) string { return strings.Repeat("x", n) }
	type outputs = func(g *w.Guest) []byte
	for _, test := range []struct {
		name string
		set  outputs
		want abi.Authentication // bad: no verdict
	}{
		{"nothing", func(*w.Guest) []byte { return nil }, bad},
		{"a stored identity", func(g *w.Guest) []byte {
			return w.Code(lookUp(g), w.Drop, g.SetInt(handle, 0, 1))
		}, own(*key)},
		{"a handle that no lookup gave", func(g *w.Guest) []byte { return g.SetInt(handle, 0, 1) }, bad},
		{"a handle beyond those given", func(g *w.Guest) []byte { return w.Code(lookUp(g), w.Drop, g.SetInt(handle, 0, 2)) }, bad},
		{"handle 0", func(g *w.Guest) []byte { return w.Code(lookUp(g), w.Drop, g.SetInt(handle, 0, 0)) }, bad},
		{"a stored identity, described", func(g *w.Guest) []byte {
			return w.Code(lookUp(g), w.Drop, g.SetInt(handle, 0, 1), g.Set(team, 0, "x"))
		}, bad},
		{"a stored identity and an own", func(g *w.Guest) []byte {
			return w.Code(lookUp(g), w.Drop, g.SetInt(handle, 0, 1), g.Set(id, 0, "x"))
		}, bad},

		{"an own identity, named by its id", func(g *w.Guest) []byte { return g.Set(id, 0, "x") },
			own(abi.Identity{KeyID: "policy:p/x", Name: "x"})},
		{"an own identity in full", func(g *w.Guest) []byte {
			return w.Code(g.Set(id, 0, "x"), g.Set(name, 0, "Xaver"), g.Set(team, 0, "t"), g.SetInt(expires, 0, 1000),
				g.Set(models, 0, "a"), g.Set(models, 1, "b"), g.Set(models, 0, "claude-*"))
		}, own(abi.Identity{KeyID: "policy:p/x", Name: "Xaver", Team: "t",
			Expires: time.Unix(1, 0).UTC(), Models: []string{"claude-*", "b"}})},
		{"an id of 128 bytes", func(g *w.Guest) []byte { return g.Set(id, 0, long(128)) },
			own(abi.Identity{KeyID: "policy:p/" + long(128), Name: long(128)})},
		{"an id of 129 bytes", func(g *w.Guest) []byte { return g.Set(id, 0, long(129)) }, bad},
		{"an empty id", func(g *w.Guest) []byte { return g.Set(id, 0, "") }, bad},
		{"an id with a line break", func(g *w.Guest) []byte { return g.Set(id, 0, "x\ny") }, bad},
		{"an id that is not UTF-8", func(g *w.Guest) []byte { return g.Set(id, 0, "x\xff") }, bad},
		{"a description without an id", func(g *w.Guest) []byte { return g.Set(name, 0, "x") }, bad},
		{"a name that is too long", func(g *w.Guest) []byte { return w.Code(g.Set(id, 0, "x"), g.Set(name, 0, long(129))) }, bad},
		{"a good value after a refused one", func(g *w.Guest) []byte {
			return w.Code(g.Set(id, 0, long(129)), g.Set(id, 0, "x"))
		}, own(abi.Identity{KeyID: "policy:p/x", Name: "x"})},
		{"a refused restriction, ignored", func(g *w.Guest) []byte { return w.Code(g.Set(id, 0, "x"), g.Set(models, 0, "")) }, bad},
		{"a restriction refused by its pointer", func(g *w.Guest) []byte {
			return w.Code(g.Set(id, 0, "x"),
				g.Host("set", w.I32Const(int32(models)), w.I32Const(0), w.I32Const(-1), w.I32Const(9)), w.Drop)
		}, bad},
		{"a gap in the models", func(g *w.Guest) []byte { return w.Code(g.Set(id, 0, "x"), g.Set(models, 1, "a")) }, bad},
		{"a negative model", func(g *w.Guest) []byte { return w.Code(g.Set(id, 0, "x"), g.Set(models, -1, "a")) }, bad},
		{"a star inside a model", func(g *w.Guest) []byte { return w.Code(g.Set(id, 0, "x"), g.Set(models, 0, "a*b")) }, bad},
		{"an expiry before 1970", func(g *w.Guest) []byte { return w.Code(g.Set(id, 0, "x"), g.SetInt(expires, 0, -1)) }, bad},
		{"an expiry after 9999", func(g *w.Guest) []byte { return w.Code(g.Set(id, 0, "x"), g.SetInt(expires, 0, 1<<62)) }, bad},

		{"a denial with a code", func(g *w.Guest) []byte {
			return w.Code(g.SetInt(status, 0, 403), g.Set(message, 0, "x"), g.Set(code, 0, "out_of_hours_2"))
		},
			abi.Authentication{Policy: "p", Status: 403, Message: "x", Code: "out_of_hours_2"}},
		{"a code of 65 bytes", func(g *w.Guest) []byte { return w.Code(g.SetInt(status, 0, 403), g.Set(code, 0, long(65))) }, bad},
		{"an empty code", func(g *w.Guest) []byte { return w.Code(g.SetInt(status, 0, 403), g.Set(code, 0, "")) }, bad},
		{"a code in capitals", func(g *w.Guest) []byte { return w.Code(g.SetInt(status, 0, 403), g.Set(code, 0, "No")) }, bad},
		{"a code with a dash", func(g *w.Guest) []byte { return w.Code(g.SetInt(status, 0, 403), g.Set(code, 0, "a-b")) }, bad},
		{"a code without a denial", func(g *w.Guest) []byte { return g.Set(code, 0, "x") }, bad},
		{"a denial", func(g *w.Guest) []byte { return w.Code(g.SetInt(status, 0, 429), g.Set(message, 0, "slow, müde")) },
			deny(429, "slow, müde")},
		{"a denial without words", func(g *w.Guest) []byte { return g.SetInt(status, 0, 401) },
			deny(401, "The credential was not accepted.")},
		{"a 503", func(g *w.Guest) []byte { return w.Code(g.SetInt(status, 0, 503), g.Set(message, 0, "x")) }, deny(503, "x")},
		{"a 200", func(g *w.Guest) []byte { return g.SetInt(status, 0, 200) }, bad},
		{"a 500", func(g *w.Guest) []byte { return g.SetInt(status, 0, 500) }, bad},
		{"a status beyond 32 bits", func(g *w.Guest) []byte { return g.SetInt(status, 0, 1<<32+401) }, bad},
		{"words without a denial", func(g *w.Guest) []byte { return g.Set(message, 0, "x") }, bad},
		{"513 bytes of words", func(g *w.Guest) []byte { return w.Code(g.SetInt(status, 0, 401), g.Set(message, 0, long(513))) }, bad},
		{"a header smuggled in", func(g *w.Guest) []byte {
			return w.Code(g.SetInt(status, 0, 401), g.Set(message, 0, "x\r\nset-cookie: y"))
		}, bad},
		{"allowed and denied", func(g *w.Guest) []byte { return w.Code(g.Set(id, 0, "x"), g.SetInt(status, 0, 401)) }, bad},
		{"an output of another hook", func(g *w.Guest) []byte { return g.SetInt(abi.FieldCost, 0, 1) }, bad},
	} {
		t.Run(test.name, func(t *testing.T) {
			told := make(failures, 1)
			set := load(t, runtime.Options{Observer: told}, runtime.Policy{
				Name: "p", Grants: runtime.Grants{Identities: true},
				Wasm: guest(abi.Authenticate, func(g *w.Guest) []byte { return w.Code(test.set(g), w.Verdict) }),
			})
			digest := abi.Digest{1, 2, 3}
			got := abi.Authentication{Digest: digest, Identities: stored{digest, key}, Request: &abi.Request{}}
			answer := set.Authenticate(&got)
			failed := test.want.Identity == nil && test.want.Status == 0
			if failed != (answer == abi.Failed) || failed != (<-told == runtime.BadVerdict) {
				t.Errorf("answer %d", answer)
			}
			got.Request, got.Digest, got.Identities = nil, abi.Digest{}, nil
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v with %+v, want %+v with %+v", got, got.Identity, test.want, test.want.Identity)
			}
		})
	}
}

func TestStepVerdicts(t *testing.T) {
	const step, stop = abi.FieldChosenStep, abi.FieldStop
	for _, test := range []struct {
		name    string
		attempt int64
		set     func(g *w.Guest) []byte
		answer  abi.Answer
		step    int
		stop    bool
	}{
		{"the last step", 1, func(g *w.Guest) []byte { return g.SetInt(step, 0, 2) }, abi.Given, 2, false},
		{"past the last step", 1, func(g *w.Guest) []byte { return g.SetInt(step, 0, 3) }, abi.Failed, 0, false},
		{"a negative step", 1, func(g *w.Guest) []byte { return g.SetInt(step, 0, -1) }, abi.Failed, 0, false},
		{"stop", 2, func(g *w.Guest) []byte { return g.SetInt(stop, 0, 1) }, abi.Given, 0, true},
		{"stop at the first attempt", 1, func(g *w.Guest) []byte { return g.SetInt(stop, 0, 1) }, abi.Failed, 0, false},
		{"stop 2", 2, func(g *w.Guest) []byte { return g.SetInt(stop, 0, 2) }, abi.Failed, 0, false},
		{"do not stop", 2, func(g *w.Guest) []byte { return w.Code(g.SetInt(stop, 0, 0), g.SetInt(step, 0, 1)) }, abi.Given, 1, false},
		{"do not stop, alone", 2, func(g *w.Guest) []byte { return g.SetInt(stop, 0, 0) }, abi.Failed, 0, false},
		{"both", 2, func(g *w.Guest) []byte { return w.Code(g.SetInt(stop, 0, 1), g.SetInt(step, 0, 1)) }, abi.Failed, 0, false},
		{"neither", 1, func(*w.Guest) []byte { return nil }, abi.Failed, 0, false},
		{"a step as text", 1, func(g *w.Guest) []byte { return g.Set(step, 0, "\x01\x00\x00\x00\x00\x00\x00\x00") }, abi.Failed, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := load(t, runtime.Options{}, runtime.Policy{Name: "p",
				Wasm: guest(abi.ChooseStep, func(g *w.Guest) []byte { return w.Code(test.set(g), w.Verdict) })})
			c := abi.StepChoice{Steps: make([]abi.Step, 3), Attempt: test.attempt}
			if got := set.ChooseStep(&c); got != test.answer || c.Step != test.step || c.Stop != test.stop {
				t.Errorf("answer %d, step %d, stop %t", got, c.Step, c.Stop)
			}
		})
	}
}

func TestReasons(t *testing.T) {
	const step, reason = abi.FieldChosenStep, abi.FieldChoiceReason
	for _, test := range []struct {
		name, reason string
		more         func(g *w.Guest) []byte
		answer       abi.Answer
	}{
		{"a step", "latency", func(g *w.Guest) []byte { return g.SetInt(step, 0, 1) }, abi.Given},
		{"a stop", "out of time", func(g *w.Guest) []byte { return g.SetInt(abi.FieldStop, 0, 1) }, abi.Given},
		{"no step", "latency", func(*w.Guest) []byte { return nil }, abi.Failed},
		{"the longest", strings.Repeat("~", 64), func(g *w.Guest) []byte { return g.SetInt(step, 0, 1) }, abi.Given},
		{"too long", strings.Repeat("~", 65), func(g *w.Guest) []byte { return g.SetInt(step, 0, 1) }, abi.Failed},
		{"another line", "a\nb", func(g *w.Guest) []byte { return g.SetInt(step, 0, 1) }, abi.Failed},
		{"not ASCII", "caf\u00e9", func(g *w.Guest) []byte { return g.SetInt(step, 0, 1) }, abi.Failed},
		{"delete", "\x7f", func(g *w.Guest) []byte { return g.SetInt(step, 0, 1) }, abi.Failed},
		{"mended", "\x7f", func(g *w.Guest) []byte { return w.Code(g.Set(reason, 0, ""), g.SetInt(step, 0, 1)) }, abi.Given},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := load(t, runtime.Options{}, runtime.Policy{Name: "p", Wasm: guest(abi.ChooseStep, func(g *w.Guest) []byte {
				return w.Code(g.Set(reason, 0, test.reason), test.more(g), w.Verdict)
			})})
			want := test.reason
			if test.answer == abi.Failed || test.name == "mended" {
				want = ""
			}
			c := abi.StepChoice{Steps: make([]abi.Step, 3), Attempt: 2}
			for range 2 { // an instance keeps its last reason
				if got := set.ChooseStep(&c); got != test.answer || c.Reason != want {
					t.Errorf("answer %d, reason %q", got, c.Reason)
				}
			}
		})
	}
}

// An instance that gives one reason and then another is heard both times.
func TestReasonsChange(t *testing.T) {
	var reason string
	set := load(t, runtime.Options{Functions: []runtime.Function{{Name: "now", Call: func(c *runtime.Call, _ []uint64) {
		c.SetText(abi.FieldChoiceReason, 0, []byte(reason))
		c.SetInt(abi.FieldChosenStep, 0, 1)
	}}}}, runtime.Policy{Name: "p", Wasm: guest(abi.ChooseStep, func(g *w.Guest) []byte { return w.Code(g.Host("now"), w.Drop, w.Verdict) })})
	for _, reason = range []string{"latency", "cost", "cost", "", "latency"} {
		c := abi.StepChoice{Steps: make([]abi.Step, 2), Attempt: 1}
		if answer := set.ChooseStep(&c); answer != abi.Given || c.Reason != reason {
			t.Errorf("answer %d, reason %q, want %q", answer, c.Reason, reason)
		}
	}
}

// A verdict without a reason leaves none that another policy gave before.
func TestNoReasonIsAReason(t *testing.T) {
	set := load(t, runtime.Options{}, runtime.Policy{Name: "p", Wasm: guest(abi.ChooseStep, func(g *w.Guest) []byte {
		return w.Code(g.SetInt(abi.FieldChosenStep, 0, 1), w.Verdict)
	})})
	c := abi.StepChoice{Steps: make([]abi.Step, 2), Attempt: 1, Reason: "latency"}
	if answer := set.ChooseStep(&c); answer != abi.Given || c.Reason != "" {
		t.Errorf("answer %d, reason %q", answer, c.Reason)
	}
}

func TestPriceVerdicts(t *testing.T) {
	const cost, breakdown = abi.FieldCost, abi.FieldCostBreakdown
	packed := func(portions ...uint64) string {
		var b []byte
		for _, p := range portions {
			b = binary.LittleEndian.AppendUint64(b, p)
		}
		return string(b)
	}
	most := int64(abi.MaxCost)
	for _, test := range []struct {
		name   string
		set    func(g *w.Guest) []byte
		answer abi.Answer
		cost   abi.NanoUSD
		output abi.NanoUSD // portion
	}{
		{"free", func(g *w.Guest) []byte { return g.SetInt(cost, 0, 0) }, abi.Given, 0, 0},
		{"the most", func(g *w.Guest) []byte { return g.SetInt(cost, 0, most) }, abi.Given, abi.MaxCost, 0},
		{"too much", func(g *w.Guest) []byte { return g.SetInt(cost, 0, most+1) }, abi.Failed, 0, 0},
		{"negative", func(g *w.Guest) []byte { return g.SetInt(cost, 0, -1) }, abi.Failed, 0, 0},
		{"nothing", func(*w.Guest) []byte { return nil }, abi.Failed, 0, 0},
		{"a portion", func(g *w.Guest) []byte { return w.Code(g.SetInt(cost, 0, 9), g.SetInt(breakdown, 1, 7)) }, abi.Given, 9, 7},
		{"portions, packed", func(g *w.Guest) []byte {
			return w.Code(g.SetInt(cost, 0, 9), g.Set(breakdown, abi.AllIndexes, packed(4, 5)))
		}, abi.Given, 9, 5},
		{"more than the whole", func(g *w.Guest) []byte {
			return w.Code(g.SetInt(cost, 0, 8), g.Set(breakdown, abi.AllIndexes, packed(4, 5)))
		}, abi.Failed, 0, 0},
		{"a negative portion", func(g *w.Guest) []byte { return w.Code(g.SetInt(cost, 0, 9), g.SetInt(breakdown, 1, -1)) }, abi.Failed, 0, 0},
		{"a portion of no dimension", func(g *w.Guest) []byte {
			return w.Code(g.SetInt(cost, 0, 9), g.SetInt(breakdown, int32(abi.NumDimensions), 0))
		}, abi.Failed, 0, 0},
		{"half a portion", func(g *w.Guest) []byte { return w.Code(g.SetInt(cost, 0, 9), g.Set(breakdown, abi.AllIndexes, "1234")) }, abi.Failed, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			told := make(failures, 1)
			set := load(t, runtime.Options{Observer: told}, runtime.Policy{Name: "p",
				Wasm: guest(abi.PriceResponse, func(g *w.Guest) []byte { return w.Code(test.set(g), w.Verdict) })})
			var p abi.Pricing
			if got := set.PriceResponse(&p); got != test.answer || p.Cost != test.cost || p.Breakdown[abi.Output] != test.output {
				t.Errorf("answer %d, cost %d, output %d", got, p.Cost, p.Breakdown[abi.Output])
			}
			if failure := <-told; (failure == runtime.BadVerdict) != (test.answer == abi.Failed) {
				t.Errorf("failed by %s", failure)
			}
		})
	}
}
