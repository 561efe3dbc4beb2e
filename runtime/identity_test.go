package runtime_test

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// packed is a list of numbers as a guest writes it whole.
func packed(list ...int64) string {
	var b []byte
	for _, n := range list {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	return string(b)
}

// What a policy may say of an identity of its own beyond its name. want is nil where that is no verdict.
func TestOwnIdentities(t *testing.T) {
	const limits, amount = abi.FieldAllowLimits, abi.FieldAllowBudgetAmount
	const period, zone = abi.FieldAllowBudgetPeriod, abi.FieldAllowBudgetTimezone
	const fallback, labels = abi.FieldAllowDefaultModel, abi.FieldAllowLabels
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	label := func(n int) string { return "x=" + strings.Repeat("y", n-2) }
	own := func(i abi.Identity) *abi.Identity {
		i.KeyID, i.Name = "policy:p/x", "x"
		return &i
	}
	for _, test := range []struct {
		name string
		set  func(g *w.Guest) []byte
		want *abi.Identity
	}{
		{"limits, one by one", func(g *w.Guest) []byte {
			return w.Code(g.SetInt(limits, int32(abi.RequestsPerMinute), 60), g.SetInt(limits, int32(abi.MaxOutputTokens), 1e15))
		}, own(abi.Identity{Limits: abi.Limits{abi.RequestsPerMinute: 60, abi.MaxOutputTokens: 1e15}})},
		{"limits, whole", func(g *w.Guest) []byte { return g.Set(limits, abi.AllIndexes, packed(60, 0, 7)) },
			own(abi.Identity{Limits: abi.Limits{abi.RequestsPerMinute: 60, abi.RequestsPerDay: 7}})},
		{"a limit above the most", func(g *w.Guest) []byte { return g.SetInt(limits, 0, 1e15+1) }, nil},
		{"a limit below zero", func(g *w.Guest) []byte { return g.SetInt(limits, 0, -1) }, nil},
		{"a limit that this host does not know", func(g *w.Guest) []byte { return g.SetInt(limits, int32(abi.NumLimits), 1) }, nil},
		{"limit -2", func(g *w.Guest) []byte { return g.SetInt(limits, -2, 1) }, nil},
		{"a refused limit, then a good one", func(g *w.Guest) []byte {
			return w.Code(g.SetInt(limits, 0, -1), g.SetInt(limits, 1, 1))
		}, nil},
		{"a limit as text", func(g *w.Guest) []byte { return g.Set(limits, 0, packed(1)) }, nil},

		{"a budget by its amount alone", func(g *w.Guest) []byte { return g.SetInt(amount, 0, 5e9) },
			own(abi.Identity{Budgets: []abi.Budget{{Amount: 5e9}}})},
		{"a budget of nothing", func(g *w.Guest) []byte { return g.SetInt(amount, 0, 0) },
			own(abi.Identity{Budgets: []abi.Budget{{}}})},
		{"two budgets in full, the amounts last", func(g *w.Guest) []byte {
			return w.Code(g.Set(zone, 1, "Europe/Berlin"), g.SetInt(period, 1, int64(abi.PerMonth)), g.SetInt(period, 0, int64(abi.InTotal)),
				g.Set(amount, abi.AllIndexes, packed(1e18, 2)))
		}, own(abi.Identity{Budgets: []abi.Budget{{Amount: 1e18, Period: abi.InTotal}, {Amount: 2, Period: abi.PerMonth, Location: berlin}}})},
		{"budgets of the same day in two zones", func(g *w.Guest) []byte {
			return w.Code(g.SetInt(amount, 0, 1), g.SetInt(amount, 1, 2), g.Set(zone, 1, "Europe/Berlin"))
		}, own(abi.Identity{Budgets: []abi.Budget{{Amount: 1}, {Amount: 2, Location: berlin}}})},
		{"two budgets of one period and zone", func(g *w.Guest) []byte {
			return w.Code(g.SetInt(amount, 0, 1), g.SetInt(amount, 1, 2), g.Set(zone, 1, "UTC"))
		}, nil},
		{"an amount above the most", func(g *w.Guest) []byte { return g.SetInt(amount, 0, 1e18+1) }, nil},
		{"an amount below zero", func(g *w.Guest) []byte { return g.SetInt(amount, 0, -1) }, nil},
		{"a gap in the amounts", func(g *w.Guest) []byte { return g.SetInt(amount, 1, 1) }, nil},
		{"a gap between amounts of different periods", func(g *w.Guest) []byte {
			return w.Code(g.SetInt(amount, 1, 1), g.SetInt(period, 1, 1))
		}, nil},
		{"nine amounts", func(g *w.Guest) []byte { return g.Set(amount, abi.AllIndexes, packed(1, 2, 3, 4, 5, 6, 7, 8, 9)) }, nil},
		{"a period without an amount", func(g *w.Guest) []byte { return g.SetInt(period, 0, 0) }, nil},
		{"a zone without an amount", func(g *w.Guest) []byte {
			return w.Code(g.SetInt(amount, 0, 1), g.Set(zone, 1, "Europe/Berlin"))
		}, nil},
		{"period 4", func(g *w.Guest) []byte { return w.Code(g.SetInt(amount, 0, 1), g.SetInt(period, 0, 4)) }, nil},
		{"period -1", func(g *w.Guest) []byte { return w.Code(g.SetInt(amount, 0, 1), g.SetInt(period, 0, -1)) }, nil},
		{"the period of a ninth budget", func(g *w.Guest) []byte { return w.Code(g.SetInt(amount, 0, 1), g.SetInt(period, 8, 0)) }, nil},
		{"the zone of a ninth budget", func(g *w.Guest) []byte { return w.Code(g.SetInt(amount, 0, 1), g.Set(zone, 8, "UTC")) }, nil},
		{"an unknown zone", func(g *w.Guest) []byte { return w.Code(g.SetInt(amount, 0, 1), g.Set(zone, 0, "Europe/Atlantis")) }, nil},
		{"the zone of this machine", func(g *w.Guest) []byte { return w.Code(g.SetInt(amount, 0, 1), g.Set(zone, 0, "Local")) }, nil},
		{"no zone", func(g *w.Guest) []byte { return w.Code(g.SetInt(amount, 0, 1), g.Set(zone, 0, "")) }, nil},
		{"a zone that is a path", func(g *w.Guest) []byte {
			return w.Code(g.SetInt(amount, 0, 1), g.Set(zone, 0, "../../../etc/localtime"))
		}, nil},

		{"a default model", func(g *w.Guest) []byte { return g.Set(fallback, 0, "coding") }, own(abi.Identity{DefaultModel: "coding"})},
		{"a default model of 257 bytes", func(g *w.Guest) []byte { return g.Set(fallback, 0, strings.Repeat("x", 257)) }, nil},
		{"a default model with a line break", func(g *w.Guest) []byte { return g.Set(fallback, 0, "x\n") }, nil},

		{"labels", func(g *w.Guest) []byte {
			return w.Code(g.Set(labels, 0, "tier=gold"), g.Set(labels, 1, "a==b"), g.Set(labels, 2, "c="))
		},
			own(abi.Identity{Labels: []abi.Label{{Name: "tier", Value: "gold"}, {Name: "a", Value: "=b"}, {Name: "c"}}})},
		{"a label of 128 bytes", func(g *w.Guest) []byte { return g.Set(labels, 0, label(128)) },
			own(abi.Identity{Labels: []abi.Label{{Name: "x", Value: label(128)[2:]}}})},
		{"a label of 129 bytes", func(g *w.Guest) []byte { return g.Set(labels, 0, label(129)) }, nil},
		{"a label without a value", func(g *w.Guest) []byte { return g.Set(labels, 0, "tier") }, nil},
		{"a label without a name", func(g *w.Guest) []byte { return g.Set(labels, 0, "=gold") }, nil},
		{"a label that is not printable", func(g *w.Guest) []byte { return g.Set(labels, 0, "a=\x00") }, nil},
		{"a gap in the labels", func(g *w.Guest) []byte { return g.Set(labels, 1, "a=b") }, nil},
		{"seventeen labels", func(g *w.Guest) []byte {
			var all []byte
			for i := range int32(17) {
				all = w.Code(all, g.Set(labels, i, fmt.Sprintf("l%d=", i)))
			}
			return all
		}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			told := make(failures, 1)
			set := load(t, runtime.Options{Observer: told}, runtime.Policy{Name: "p",
				Wasm: guest(abi.Authenticate, func(g *w.Guest) []byte { return w.Code(g.Set(abi.FieldAllowID, 0, "x"), test.set(g), w.Verdict) })})
			var a abi.Authentication
			answer := set.Authenticate(&a)
			if (answer == abi.Failed) != (test.want == nil) || (<-told == runtime.BadVerdict) != (test.want == nil) {
				t.Errorf("answer %d", answer)
			}
			if !reflect.DeepEqual(a.Identity, test.want) {
				t.Errorf("got %+v, want %+v", a.Identity, test.want)
			}
		})
	}
}

// An answer that is asked for twice says nothing of the first time.
func TestAnAuthenticationIsAskedAgain(t *testing.T) {
	set := load(t, runtime.Options{}, runtime.Policy{Name: "p", Wasm: passes(abi.Authenticate)})
	a := abi.Authentication{Policy: "x", Status: 403, Message: "x", Code: "x", Identity: &abi.Identity{}, Vetoed: &abi.Identity{}}
	if answer := set.Authenticate(&a); answer != abi.NoVerdict || !reflect.DeepEqual(a, abi.Authentication{}) {
		t.Errorf("answer %d: %+v", answer, a)
	}
}

// A stored identity has what its row says: a policy cannot add to it.
func TestAStoredIdentityIsNotDescribed(t *testing.T) {
	for _, f := range abi.Fields() {
		if !f.Output || !strings.HasPrefix(f.Name, "allow.") || f.ID == abi.FieldAllowHandle {
			continue
		}
		t.Run(f.Name, func(t *testing.T) {
			set := load(t, runtime.Options{}, runtime.Policy{Name: "p", Grants: runtime.Grants{Identities: true},
				Wasm: guest(abi.Authenticate, func(g *w.Guest) []byte {
					value := g.Set(f.ID, 0, "a=b")
					switch {
					case f.ID == abi.FieldAllowBudgetTimezone:
						value = g.Set(f.ID, 0, "UTC")
					case f.Kind == abi.Int || f.Kind == abi.IntList:
						value = g.SetInt(f.ID, 0, 1)
					}
					return w.Code(lookUp(g), w.Drop, g.SetInt(abi.FieldAllowHandle, 0, 1), value, w.Verdict)
				})})
			if answer := set.Authenticate(authentication()); answer != abi.Failed {
				t.Errorf("answer %d", answer)
			}
		})
	}
}

// Whatever a guest sets in whatever order, what is allowed is what the limits of the contract allow.
func TestOwnIdentitiesStayInRange(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "Asia/Kolkata", "Nowhere/At_all"}
	r := newRuntime(t, runtime.Options{})
	rapid.Check(t, func(t *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) [3]int64 {
			return [3]int64{rapid.Int64Range(0, 3).Draw(t, "list"), rapid.Int64Range(-1, 9).Draw(t, "index"), rapid.Int64Range(-1, 4).Draw(t, "value")}
		}), 0, 12).Draw(t, "steps")
		wasm := guest(abi.Authenticate, func(g *w.Guest) []byte {
			body := g.Set(abi.FieldAllowID, 0, "x")
			for _, s := range steps {
				fields := []abi.FieldID{abi.FieldAllowLimits, abi.FieldAllowBudgetAmount, abi.FieldAllowBudgetPeriod}
				if s[0] == 3 {
					body = w.Code(body, g.Set(abi.FieldAllowBudgetTimezone, int32(s[1]), zones[(s[2]+1)%4]))
					continue
				}
				body = w.Code(body, g.SetInt(fields[s[0]], int32(s[1]), s[2]))
			}
			return w.Code(body, w.Verdict)
		})
		set, err := r.Load(t.Context(), []runtime.Policy{{Name: "p", Wasm: wasm}})
		if err != nil {
			t.Fatal(err)
		}
		defer set.Close()
		var a abi.Authentication
		if got, want := set.Authenticate(&a), modelOf(steps); (got == abi.Given) != want {
			t.Fatalf("answer %d, but in range is %t", got, want)
		}
		if a.Identity == nil {
			return
		}
		for _, s := range steps { // all were taken, so the last of each element stands
			last := s
			for _, other := range steps {
				if other[0] == s[0] && other[1] == s[1] {
					last = other
				}
			}
			if s[0] == 0 && a.Identity.Limits[s[1]] != last[2] || s[0] == 1 && a.Identity.Budgets[s[1]].Amount != abi.NanoUSD(last[2]) {
				t.Fatalf("%+v does not hold %v", a.Identity, last)
			}
		}
	})
}

// modelOf says whether steps of (list, index, value) make a verdict.
func modelOf(steps [][3]int64) bool {
	amounts, highest := int64(0), int64(-1)
	budgets := map[int64][2]int64{} // period and zone
	for _, s := range steps {
		list, index, value := s[0], s[1], s[2]
		b := budgets[index]
		switch {
		case index < 0 || list != 3 && value < 0 || list != 0 && index > 7:
			return false
		case list == 1 && index > amounts, list == 2 && value >= int64(abi.NumPeriods), list == 3 && (value+1)%4 == 3:
			return false
		case list == 1:
			amounts = max(amounts, index+1)
		case list == 2:
			b[0], highest = value, max(highest, index)
		case list == 3:
			b[1], highest = (value+1)%4, max(highest, index)
		}
		budgets[index] = b
	}
	seen := map[[2]int64]bool{}
	for i := range amounts {
		if seen[budgets[i]] {
			return false
		}
		seen[budgets[i]] = true
	}
	return highest < amounts
}
