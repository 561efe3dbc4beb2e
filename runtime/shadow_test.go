package runtime_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// compared is a ShadowObserver that notes what it is told.
type compared struct {
	mu   sync.Mutex
	told []string
}

func (c *compared) ShadowDone(policy string, hook abi.Hook, result runtime.ShadowResult) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, fmt.Sprint(policy, " ", hook, " ", result))
}

func (c *compared) take() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := strings.Join(c.told, ", ")
	c.told = nil
	return all
}

func TestShadowsAreComparedAndChangeNothing(t *testing.T) {
	guests := authenticators()
	const veto = "veto "
	for _, test := range []struct {
		active, shadow string
		answer         abi.Answer
		allowed        string
		result         string
	}{
		{"allow", "allow", abi.Given, "policy:active/me", "same"},
		{"allow", "deny", abi.Given, "policy:active/me", "different"},
		{"allow", "pass", abi.Given, "policy:active/me", "passed"},
		{"allow", "trap", abi.Given, "policy:active/me", "failed"},
		{"allow", "none", abi.Given, "policy:active/me", "failed"},
		{"deny", "deny", abi.Given, "", "same"},
		{"deny", "allow", abi.Given, "", "different"},
		{"pass", "pass", abi.NoVerdict, "", "same"},
		{"pass", "allow", abi.NoVerdict, "", "different"},
		{"trap", "allow", abi.Failed, "", "different"},
		{"trap", "pass", abi.Failed, "", "passed"},
		{"allow", "veto pass", abi.Given, "policy:active/me", "same"},
		{"allow", "veto deny", abi.Given, "policy:active/me", "different"},
		{"allow", "veto deny others", abi.Given, "policy:active/me", "different"},
		{"allow", "veto allow", abi.Given, "policy:active/me", "failed"},
		{"deny", "veto deny", abi.Given, "", ""},
		{"pass", "veto deny", abi.NoVerdict, "", ""},
	} {
		t.Run(test.active+", "+test.shadow, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen compared
				word, isVeto := strings.CutPrefix(test.shadow, veto)
				set := load(t, runtime.Options{Shadows: &seen}, // the shadow stands first: its place does not matter
					runtime.Policy{Name: "shadow", Wasm: guests[word], Veto: isVeto, Shadow: true},
					runtime.Policy{Name: "active", Wasm: guests[test.active]})
				a := abi.Authentication{Request: &abi.Request{ID: []byte("req_1")}}
				if answer := set.Authenticate(&a); answer != test.answer || keyID(a.Identity) != test.allowed {
					t.Errorf("answer %d, allowed %q", answer, keyID(a.Identity))
				}
				synctest.Wait()
				want := ""
				if test.result != "" {
					want = "shadow authenticate " + test.result
				}
				if told := seen.take(); told != want {
					t.Errorf("told %q, want %q", told, want)
				}
			})
		})
	}
}

// A shadow veto also sees who was allowed when an active one has said no.
func TestAShadowVetoAfterAVeto(t *testing.T) {
	guests := authenticators()
	for shadow, want := range map[string]string{"deny": "same", "pass": "passed", "deny others": "different"} {
		synctest.Test(t, func(t *testing.T) {
			var seen compared
			set := load(t, runtime.Options{Shadows: &seen},
				runtime.Policy{Name: "active", Wasm: guests["allow"]},
				runtime.Policy{Name: "veto", Veto: true, Wasm: guests["deny"]},
				runtime.Policy{Name: "shadow", Veto: true, Shadow: true, Wasm: guests[shadow]})
			set.Authenticate(&abi.Authentication{Request: &abi.Request{}})
			synctest.Wait()
			if told := seen.take(); told != "shadow authenticate "+want {
				t.Errorf("%s: told %q", shadow, told)
			}
		})
	}
}

func TestShadowsOfOtherHooks(t *testing.T) {
	step := func(n int64) []byte {
		return guest(abi.ChooseStep, func(g *w.Guest) []byte { return w.Code(g.SetInt(abi.FieldChosenStep, 0, n), w.Verdict) })
	}
	price := func(n int64) []byte {
		return guest(abi.PriceResponse, func(g *w.Guest) []byte { return w.Code(g.SetInt(abi.FieldCost, 0, n), w.Verdict) })
	}
	synctest.Test(t, func(t *testing.T) {
		var seen compared
		set := load(t, runtime.Options{Shadows: &seen},
			runtime.Policy{Name: "chooses", Wasm: step(1)}, runtime.Policy{Name: "prices", Wasm: price(7)},
			runtime.Policy{Name: "a", Shadow: true, Wasm: step(1)}, runtime.Policy{Name: "b", Shadow: true, Wasm: step(0)},
			runtime.Policy{Name: "c", Shadow: true, Wasm: price(7)}, runtime.Policy{Name: "d", Shadow: true, Wasm: price(8)})
		ask := func(call func(), want ...string) {
			call()
			synctest.Wait()
			told := seen.take()
			for _, line := range want {
				if !strings.Contains(told, line) {
					t.Errorf("told %q, want %q", told, line)
				}
			}
		}
		c, p := choice(), &abi.Pricing{Price: &abi.PriceRow{}}
		ask(func() { set.ChooseStep(c) }, "a choose_step same", "b choose_step different")
		ask(func() { set.PriceResponse(p) }, "c price_response same", "d price_response different")
		if c.Policy != "chooses" || c.Step != 1 || p.Policy != "prices" || p.Cost != 7 {
			t.Errorf("step %d by %q, cost %d by %q", c.Step, c.Policy, p.Cost, p.Policy)
		}
	})
}

// What belongs to the request is gone when a shadow policy is asked: it reads copies.
func TestShadowsReadCopies(t *testing.T) {
	wasm := guest(abi.ChooseStep, func(g *w.Guest) []byte {
		header := g.Host("get_named", w.I32Const(int32(abi.FieldRequestHeaders)), g.Text("x-team"), w.I32Const(0), w.I32Const(64))
		path := g.Host("get", w.I32Const(int32(abi.FieldRequestPath)), w.I32Const(0), w.I32Const(8), w.I32Const(64))
		is := func(at uint32, c byte) []byte {
			return w.Code(w.I32Const(0), w.I32Load8U(at), w.I32Const(int32(c)), w.I32Eq, w.I32Eqz, w.If(w.Unreachable))
		}
		return w.Code(header, w.Drop, path, w.Drop, is(0, 'r'), is(8, '/'), w.Pass)
	})
	synctest.Test(t, func(t *testing.T) {
		var seen compared
		held := make(chan struct{})
		set := load(t, runtime.Options{Shadows: &seen, Observer: holder{held}},
			runtime.Policy{Name: "shadow", Shadow: true, Wasm: wasm, Grants: runtime.Grants{Inputs: []string{"request.headers.x-team"}}})
		for range 3 {
			c := choice()
			set.ChooseStep(c)
			clear(c.Request.Path)
			clear(c.Request.Headers.(header)["x-team"])
		}
		close(held)
		synctest.Wait()
		if told := seen.take(); strings.Count(told, "same") != 3 {
			t.Errorf("told %q", told)
		}
	})
}

// holder is an Observer that holds up whoever tells it.
type holder struct{ until chan struct{} }

func (h holder) HookDone(string, abi.Hook, time.Duration, runtime.Failure) { <-h.until }
func (h holder) PolicyOut(string, abi.Hook, time.Duration)                 {}

// A shadow policy that does not keep up is not asked, and nobody waits for it.
func TestAShadowThatDoesNotKeepUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen compared
		held := make(chan struct{})
		set := load(t, runtime.Options{Shadows: &seen, Observer: holder{held}}, runtime.Policy{Name: "shadow", Shadow: true, Wasm: passes(abi.PriceResponse)})
		for range 100 {
			set.PriceResponse(&abi.Pricing{})
		}
		if missed := strings.Count(seen.take(), "missed"); missed < 30 || missed > 40 {
			t.Errorf("%d of 100 were missed", missed)
		}
		close(held)
		synctest.Wait()
		if same := strings.Count(seen.take(), "same"); same < 60 {
			t.Errorf("%d were compared", same)
		}
	})
}

func TestDifferencesOfShadowsAreLoggedOnceInAWhile(t *testing.T) {
	guests := authenticators()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		set := load(t, runtime.Options{Log: slog.New(slog.NewTextHandler(&log, nil))},
			runtime.Policy{Name: "active", Wasm: guests["allow"]}, runtime.Policy{Name: "shadow", Shadow: true, Wasm: guests["deny"]})
		ask := func(times int) {
			for range times {
				set.Authenticate(&abi.Authentication{Request: &abi.Request{ID: []byte("req_7")}})
			}
			synctest.Wait()
		}
		ask(5)
		testutil.Pass(2 * time.Second)
		ask(1)
		set.Close()
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 || !strings.Contains(lines[0], `would="denies with 403  \"not you\"" decided="allows \"policy:active/me\""`) ||
			!strings.Contains(lines[0], "request_id=req_7") || !strings.Contains(lines[1], "not_logged=4") {
			t.Errorf("logged %q", lines)
		}
	})
}

// A set, and a runtime, can be closed while questions wait.
func TestClosingWithShadows(t *testing.T) {
	r := newRuntime(t, runtime.Options{})
	policies := []runtime.Policy{{Name: "shadow", Shadow: true, Wasm: passes(abi.PriceResponse)}}
	first, err := r.Load(t.Context(), policies)
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Load(t.Context(), policies)
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		first.PriceResponse(&abi.Pricing{})
		second.PriceResponse(&abi.Pricing{})
	}
	first.Close()
	first.Close()
	second.PriceResponse(&abi.Pricing{})
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	second.Close()
}

func TestShadowsAreAskedByManyAtOnce(t *testing.T) {
	var seen compared
	set := load(t, runtime.Options{Shadows: &seen}, runtime.Policy{Name: "shadow", Shadow: true, Wasm: authenticator(), Grants: runtime.Grants{Identities: true}})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				set.Authenticate(authentication())
			}
		})
	}
	all.Wait()
	set.Close()
	if told := seen.take(); strings.Contains(told, "failed") || !strings.Contains(told, "different") {
		t.Errorf("told %.200q", told)
	}
}

// A shadow policy costs a request the copy of its question, and no garbage.
func TestShadowsDoNotAllocate(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector allocates") // make check runs short tests under it
	}
	set := load(t, runtime.Options{}, runtime.Policy{Name: "shadow", Shadow: true, Wasm: passes(abi.ChooseStep)})
	c := choice()
	ask := func() { set.ChooseStep(c) }
	for range 200 {
		ask()
	}
	if n := testing.AllocsPerRun(200, ask); n > 0.1 {
		t.Errorf("%v allocations a question", n)
	}
}

func BenchmarkShadow(b *testing.B) {
	active := runtime.Policy{Name: "active", Wasm: reader(), Grants: runtime.Grants{Inputs: []string{"request.headers.x-team"}}}
	shadow := active
	shadow.Name, shadow.Shadow = "shadow", true
	for name, policies := range map[string][]runtime.Policy{"none": {active}, "one": {active, shadow}} {
		b.Run(name, func(b *testing.B) {
			set, c := load(b, runtime.Options{}, policies...), choice()
			b.ReportAllocs()
			for b.Loop() {
				set.ChooseStep(c)
			}
		})
	}
}

// An identity that a shadow policy made up is the same if all but the policy's name is.
func TestIdentitiesOfShadows(t *testing.T) {
	allow := func(name string) []byte {
		return guest(abi.Authenticate, func(g *w.Guest) []byte {
			return w.Code(g.Set(abi.FieldAllowID, 0, "me"), g.Set(abi.FieldAllowName, 0, name), g.Set(abi.FieldAllowModels, 0, "m"), w.Verdict)
		})
	}
	for name, want := range map[string]string{"me": "same", "you": "different"} {
		synctest.Test(t, func(t *testing.T) {
			var seen compared
			set := load(t, runtime.Options{Shadows: &seen}, runtime.Policy{Name: "a", Wasm: allow("me")},
				runtime.Policy{Name: "b", Wasm: allow(name), Shadow: true})
			set.Authenticate(&abi.Authentication{})
			synctest.Wait()
			if told := seen.take(); told != "b authenticate "+want {
				t.Errorf("%s: told %q", name, told)
			}
		})
	}
}
