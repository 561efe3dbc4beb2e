package runtime_test

import (
	"fmt"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// everywhere gives a verdict at every hook: it denies, chooses the second step, and charges.
func everywhere() []byte {
	g := w.NewGuest()
	g.Hook("authenticate", g.SetInt(abi.FieldDenyStatus, 0, 403), w.Verdict)
	g.Hook("choose_step", g.SetInt(abi.FieldChosenStep, 0, 1), w.Verdict)
	g.Hook("price_response", g.SetInt(abi.FieldCost, 0, 1), w.Verdict)
	return g.Bytes()
}

// key returns a caller with a stored key.
func key(n int) (digest abi.Digest, identity *abi.Identity) {
	digest[0], digest[1], digest[31] = byte(n), byte(n>>8), 1
	return digest, &abi.Identity{KeyID: fmt.Sprint("key_", n)}
}

func TestAShareOfTheCallers(t *testing.T) {
	const callers = 2000
	for _, percent := range []int{1, 5, 50, 99, 100} {
		set := load(t, runtime.Options{}, runtime.Policy{Name: "p", Wasm: everywhere(), Percent: percent})
		asked := 0
		for n := range callers {
			digest, identity := key(n)
			var answers []abi.Answer
			for range 2 {
				answers = append(answers, set.Authenticate(&abi.Authentication{Digest: digest, Identities: stored{digest, identity}}),
					set.ChooseStep(&abi.StepChoice{Identity: identity, Steps: make([]abi.Step, 2)}),
					set.PriceResponse(&abi.Pricing{Identity: identity}))
			}
			for _, answer := range answers {
				if answer != answers[0] {
					t.Fatalf("%d percent: the hooks do not agree about %s: %v", percent, identity.KeyID, answers)
				}
			}
			if answers[0] == abi.Given {
				asked++
			}
		}
		if want := callers * percent / 100; asked < want-callers/20 || asked > want+callers/20 || percent == 100 && asked != callers || asked == 0 {
			t.Errorf("%d percent: asked about %d of %d callers", percent, asked, callers)
		}
	}
}

func TestALargerShareHasTheSmallerOneInIt(t *testing.T) {
	r := newRuntime(t, runtime.Options{})
	asked := func(name string, percent, n int) bool {
		set, err := r.Load(t.Context(), []runtime.Policy{{Name: name, Wasm: everywhere(), Percent: percent}})
		if err != nil {
			t.Fatal(err)
		}
		defer set.Close()
		_, identity := key(n)
		return set.PriceResponse(&abi.Pricing{Identity: identity}) == abi.Given
	}
	others := 0
	for n := range 300 {
		if asked("p", 20, n) && !asked("p", 40, n) {
			t.Errorf("caller %d belongs to 20 percent, but not to 40", n)
		}
		if asked("p", 50, n) != asked("q", 50, n) {
			others++
		}
	}
	if others < 50 {
		t.Errorf("two policies share their callers: %d of 300 differ", others)
	}
}

// Where nobody is known, the address stands for the caller; a credential of no stored key stands for itself.
func TestSharesOfUnknownCallers(t *testing.T) {
	set := load(t, runtime.Options{}, runtime.Policy{Name: "p", Wasm: everywhere(), Percent: 50})
	both := func(ask func(n int) abi.Answer) {
		t.Helper()
		seen := map[abi.Answer]int{}
		for n := range 64 {
			if first := ask(n); first != ask(n) {
				t.Error("the same caller was on both sides")
			} else {
				seen[first]++
			}
		}
		if seen[abi.Given] < 8 || seen[abi.NoVerdict] < 8 {
			t.Errorf("answers %v", seen)
		}
	}
	both(func(n int) abi.Answer {
		return set.Authenticate(&abi.Authentication{Request: &abi.Request{ClientAddress: fmt.Appendf(nil, "10.0.0.%d", n)}})
	})
	both(func(n int) abi.Answer {
		digest, _ := key(n)
		return set.Authenticate(&abi.Authentication{Digest: digest})
	})
}

// A veto knows whom it is asked about: who has several credentials cannot choose a side.
func TestAShareOfAVeto(t *testing.T) {
	allow := guest(abi.Authenticate, func(g *w.Guest) []byte { return w.Code(g.Set(abi.FieldAllowID, 0, "me"), w.Verdict) })
	for _, shadow := range []bool{false, true} {
		var seen compared
		set := load(t, runtime.Options{Shadows: &seen}, runtime.Policy{Name: "a", Wasm: allow},
			runtime.Policy{Name: "veto", Veto: true, Wasm: everywhere(), Percent: 50, Shadow: shadow})
		first := map[bool]int{}
		for n := range 20 {
			digest, _ := key(n)
			a := abi.Authentication{Digest: digest}
			set.Authenticate(&a)
			first[a.Identity != nil]++
		}
		if len(first) != 1 {
			t.Errorf("one identity was on both sides: %v", first)
		}
	}
}

func TestSharesAreChecked(t *testing.T) {
	for _, percent := range []int{-1, 101} {
		if _, err := newRuntime(t, runtime.Options{}).Load(t.Context(), []runtime.Policy{{Name: "p", Wasm: everywhere(), Percent: percent}}); err == nil {
			t.Errorf("a share of %d was taken", percent)
		}
	}
}
