package runtime_test

import (
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// load makes a set and closes it, and its runtime, at the end of the test.
func load(t testing.TB, o runtime.Options, policies ...runtime.Policy) *runtime.Set {
	t.Helper()
	set, err := newRuntime(t, o).Load(t.Context(), policies)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(set.Close)
	return set
}

func newRuntime(t testing.TB, o runtime.Options) *runtime.Runtime {
	t.Helper()
	if o.Functions == nil {
		o.Functions = hostfuncs.Functions(hostfuncs.Options{})
	}
	r, err := runtime.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
	return r
}

// guest assembles a policy with one hook.
func guest(hook abi.Hook, body func(g *w.Guest) []byte) []byte {
	g := w.NewGuest()
	g.Hook(hook.String(), body(g))
	return g.Bytes()
}

// failures counts what an Observer is told.
type failures chan runtime.Failure

func (f failures) HookDone(_ string, _ abi.Hook, _ time.Duration, failure runtime.Failure) {
	f <- failure
}

func (f failures) PolicyOut(string, abi.Hook, time.Duration) {}

// What the policies of the tables do, by the word that stands there.
func authenticators() map[string][]byte {
	at := func(body func(g *w.Guest) []byte) []byte { return guest(abi.Authenticate, body) }
	return map[string][]byte{
		"pass":  at(func(*w.Guest) []byte { return w.Pass }),
		"error": at(func(*w.Guest) []byte { return w.Error }),
		"trap":  at(func(*w.Guest) []byte { return w.Unreachable }),
		"none":  at(func(*w.Guest) []byte { return w.Verdict }),
		"allow": at(func(g *w.Guest) []byte { return w.Code(g.Set(abi.FieldAllowID, 0, "me"), w.Verdict) }),
		"deny": at(func(g *w.Guest) []byte {
			return w.Code(g.SetInt(abi.FieldDenyStatus, 0, 403), g.Set(abi.FieldDenyMessage, 0, "not you"), w.Verdict)
		}),
		// It denies unless the identity that was allowed is "policy:0…".
		"deny others": at(func(g *w.Guest) []byte {
			keyID := g.Host("get", w.I32Const(int32(abi.FieldIdentityKeyID)), w.I32Const(0), w.I32Const(0), w.I32Const(64))
			return w.Code(keyID, w.Drop, w.I32Const(0), w.I32Load8U(uint32(len("policy:"))), w.I32Const('0'), w.I32Eq, w.If(w.Pass, w.Return),
				g.SetInt(abi.FieldDenyStatus, 0, 403), w.Verdict)
		}),
		// It looks a key up before, which must not hide whom the verdict allowed.
		"look up, deny others": at(func(g *w.Guest) []byte {
			keyID := g.Host("get", w.I32Const(int32(abi.FieldIdentityKeyID)), w.I32Const(0), w.I32Const(0), w.I32Const(64))
			return w.Code(lookUp(g), w.I32Const(1), w.I32Eq, w.I32Eqz, w.If(w.Unreachable),
				keyID, w.Drop, w.I32Const(0), w.I32Load8U(uint32(len("policy:"))), w.I32Const('0'), w.I32Eq, w.If(w.Pass, w.Return),
				g.SetInt(abi.FieldDenyStatus, 0, 403), w.Verdict)
		}),
		// It sets a denial, and passes all the same.
		"set and pass": at(func(g *w.Guest) []byte { return w.Code(g.SetInt(abi.FieldDenyStatus, 0, 403), w.Pass) }),
	}
}

func TestAuthenticateOrder(t *testing.T) {
	guests := authenticators()
	const veto = "veto "
	for _, test := range []struct {
		name     string
		policies []string
		answer   abi.Answer
		policy   string // which decided
		status   int
		allowed  string // key id
	}{
		{"no policies, no verdict", nil, abi.NoVerdict, "", 0, ""},
		{"all pass, no verdict", []string{"pass", "pass"}, abi.NoVerdict, "", 0, ""},
		{"the first verdict decides", []string{"allow", "deny"}, abi.Given, "0 allow", 0, "policy:0 allow/me"},
		{"a denial is a verdict", []string{"deny", "allow"}, abi.Given, "0 deny", 403, ""},
		{"after a pass the next is asked", []string{"pass", "allow"}, abi.Given, "1 allow", 0, "policy:1 allow/me"},
		{"what a passing policy set is forgotten", []string{"set and pass", "allow"}, abi.Given, "1 allow", 0, "policy:1 allow/me"},
		{"what a passing policy set is no verdict", []string{"set and pass"}, abi.NoVerdict, "", 0, ""},
		{"a trap denies", []string{"trap", "allow"}, abi.Failed, "0 trap", 0, ""},
		{"an error denies", []string{"pass", "error", "allow"}, abi.Failed, "1 error", 0, ""},
		{"an empty verdict denies", []string{"none", "allow"}, abi.Failed, "0 none", 0, ""},
		{"who is not asked cannot fail", []string{"allow", "trap"}, abi.Given, "0 allow", 0, "policy:0 allow/me"},
		{"a veto that passes lets through", []string{"allow", "veto pass"}, abi.Given, "0 allow", 0, "policy:0 allow/me"},
		{"a veto denies", []string{"allow", "veto deny"}, abi.Given, "1 deny", 403, ""},
		{"a veto is asked after the verdict wherever it stands", []string{"veto deny", "allow"}, abi.Given, "0 deny", 403, ""},
		{"every veto is asked", []string{"allow", "veto pass", "veto deny"}, abi.Given, "2 deny", 403, ""},
		{"a veto that fails denies", []string{"allow", "veto trap"}, abi.Failed, "1 trap", 0, ""},
		{"a veto cannot allow", []string{"allow", "veto allow"}, abi.Failed, "1 allow", 0, ""},
		{"a veto sees whom the verdict allows", []string{"allow", "veto deny others"}, abi.Given, "0 allow", 0, "policy:0 allow/me"},
		{"a veto sees that it is another", []string{"pass", "allow", "veto deny others"}, abi.Given, "2 deny others", 403, ""},
		{"a veto that looks up sees it still", []string{"allow", "veto look up, deny others"}, abi.Given, "0 allow", 0, "policy:0 allow/me"},
		{"a veto is not asked without a verdict", []string{"pass", "veto deny"}, abi.NoVerdict, "", 0, ""},
		{"a veto is not asked after a denial", []string{"deny", "veto trap"}, abi.Given, "0 deny", 403, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var policies []runtime.Policy
			for i, word := range test.policies {
				p := runtime.Policy{Grants: runtime.Grants{Identities: true}}
				if len(word) > len(veto) && word[:len(veto)] == veto {
					p.Veto, word = true, word[len(veto):]
				}
				p.Name, p.Wasm = string(rune('0'+i))+" "+word, guests[word]
				policies = append(policies, p)
			}
			digest := abi.Digest{1}
			a := abi.Authentication{Request: &abi.Request{}, Digest: digest, Identities: stored{digest, &abi.Identity{KeyID: "key_1"}}}
			answer := load(t, runtime.Options{}, policies...).Authenticate(&a)
			if answer != test.answer || a.Policy != test.policy || a.Status != test.status {
				t.Errorf("answer %d by %q with status %d, want %d by %q with %d",
					answer, a.Policy, a.Status, test.answer, test.policy, test.status)
			}
			if got := keyID(a.Identity); got != test.allowed {
				t.Errorf("allowed %q, want %q", got, test.allowed)
			}
		})
	}
}

// Whom a veto refused is told, for the record; who was denied without having been allowed is nobody known.
func TestAVetoTellsWhomItRefused(t *testing.T) {
	guests := authenticators()
	for _, test := range []struct {
		first, then string
		vetoed      string
	}{
		{"allow", "deny", "policy:first/me"},
		{"allow", "trap", "policy:first/me"},
		{"allow", "pass", ""},
		{"deny", "deny", ""},
	} {
		a := abi.Authentication{Request: &abi.Request{}}
		load(t, runtime.Options{}, runtime.Policy{Name: "first", Wasm: guests[test.first]},
			runtime.Policy{Name: "then", Veto: true, Wasm: guests[test.then]}).Authenticate(&a)
		if got := keyID(a.Vetoed); got != test.vetoed {
			t.Errorf("%s, then %s: refused %q, want %q", test.first, test.then, got, test.vetoed)
		}
	}
}

func keyID(i *abi.Identity) string {
	if i == nil {
		return ""
	}
	return i.KeyID
}

func TestOtherHooksFallThrough(t *testing.T) {
	chooser := func(end []byte) []byte {
		return guest(abi.ChooseStep, func(g *w.Guest) []byte { return w.Code(g.SetInt(abi.FieldChosenStep, 0, 1), end) })
	}
	guests := map[string][]byte{
		"pass":   chooser(w.Pass),
		"trap":   chooser(w.Unreachable),
		"choose": chooser(w.Verdict),
		"other":  guest(abi.PriceResponse, func(*w.Guest) []byte { return w.Unreachable }),
	}
	for _, test := range []struct {
		name     string
		policies []string
		answer   abi.Answer
		policy   string
	}{
		{"a failure counts as a pass", []string{"trap", "choose"}, abi.Given, "choose"},
		{"a failure is told if nobody answers", []string{"trap", "pass"}, abi.Failed, ""},
		{"all pass", []string{"pass"}, abi.NoVerdict, ""},
		{"only who exports the hook is asked", []string{"other", "choose"}, abi.Given, "choose"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var policies []runtime.Policy
			for _, word := range test.policies {
				policies = append(policies, runtime.Policy{Name: word, Wasm: guests[word]})
			}
			c := abi.StepChoice{Steps: make([]abi.Step, 2)}
			answer := load(t, runtime.Options{}, policies...).ChooseStep(&c)
			if answer != test.answer || c.Policy != test.policy {
				t.Errorf("answer %d by %q, want %d by %q", answer, c.Policy, test.answer, test.policy)
			}
		})
	}
}

func TestHooksOfThePolicyRestrictThoseOfTheModule(t *testing.T) {
	g := w.NewGuest()
	g.Hook("authenticate", w.Unreachable)
	g.Hook("choose_step", w.Pass)
	set := load(t, runtime.Options{}, runtime.Policy{Name: "p", Wasm: g.Bytes(), Hooks: []abi.Hook{abi.ChooseStep}})
	if answer := set.Authenticate(&abi.Authentication{}); answer != abi.NoVerdict {
		t.Errorf("authenticate answered %d: the policy was asked where it is not bound", answer)
	}
}
