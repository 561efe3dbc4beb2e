package javascript_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// Whatever a script does, its call ends soon with a failure that says what happened, and the next policy's calls are served.
func TestHostileScripts(t *testing.T) {
	facts := []struct{ name, body, reason string }{
		{"an endless loop", `for (;;);`, "fuel"},
		{"an endless loop that catches everything", `for (;;) try { for (;;); } catch {}`, "fuel"},
		{"an array without end", `const a = []; for (;;) a.push(a.length);`, "fuel"},
		{"an array that doubles", `let a = [1]; for (;;) a = a.concat(a);`, "fuel|out of memory"},
		{"a text that doubles", `let s = "x"; for (;;) s += s;`, "fuel|out of memory|string too long"},
		{"a text that doubles and is read", `let s = "xy"; for (;;) { s += s; s.charCodeAt(s.length / 2); }`, "fuel|out of memory"},
		{"a large array", `return new Array(1e9).fill(0);`, "fuel|out of memory"},
		{"a large buffer", `return new Uint8Array(1e9);`, "fuel|out of memory"},
		{"memory until there is none", `const a = []; for (;;) a.push(new Uint8Array(1e6));`, "fuel|out of memory"},
		{"memory until there is none, and on", `const a = []; for (;;) try { a.push(new Uint8Array(1e6)); } catch {}`, "fuel"},
		{"a catastrophic regular expression", `return /^(a+)+$/.test("a".repeat(40) + "b");`, "fuel"},
		{"one of another kind", `return /(x+x+)+y/.test("x".repeat(60));`, "fuel"},
		{"deep recursion", `const f = () => 1 + f(); return f();`, "Maximum call stack size exceeded"},
		{"deep recursion that catches itself", `const f = () => { try { return f(); } catch { return f(); } }; return f();`, "fuel"},
		{"mutual recursion", `const f = (n) => g(n + 1), g = (n) => f(n + 1); return f(0);`, "Maximum call stack size exceeded"},
		{"recursion through the engine", `const f = () => [1].map(f); return f();`, "Maximum call stack size exceeded"},
		{"recursion through accessors", `const o = {get x() { return this.x; }}; return o.x;`, "Maximum call stack size exceeded"},
		{"recursion through toString", `const o = {toString() { return "" + o; }}; return "" + o;`, "Maximum call stack size exceeded"},
		{"a nested proxy", `let p = {}; for (let i = 0; i < 5000; i++) p = new Proxy(p, {}); return p.x;`, "Maximum call stack size exceeded|fuel"},
		{"JSON that nests", `return JSON.parse("[".repeat(50000));`, "Maximum call stack size exceeded|fuel|SyntaxError"},
		{"an object that nests, as JSON", `let o = {}; for (let i = 0; i < 20000; i++) o = {o}; return JSON.stringify(o);`,
			"Maximum call stack size exceeded|fuel"},
		{"JSON that explodes", `let o = [1]; for (let i = 0; i < 40; i++) o = [o, o]; return JSON.stringify(o);`, "fuel|out of memory"},
		{"source text that nests", `return eval("(".repeat(50000));`, "Maximum call stack size exceeded|fuel"},
		{"source text without end", `let s = "1"; for (;;) { s += "+1"; eval(s); }`, "fuel"},
		{"promises without end", `const f = () => Promise.resolve().then(f); return f();`, "fuel"},
		{"promises without end, left behind", `const f = () => Promise.resolve().then(f); f();`, "fuel"},
		{"awaiting without end", `return (async () => { for (;;) await null; })();`, "fuel"},
		{"a generator without end", `return [...(function* () { for (;;) yield 1; })()];`, "fuel|out of memory"},
		{"sorting by chance", `const a = Array.from({length: 1e5}, () => 1); for (;;) a.sort(() => Math.random() - 0.5);`, "fuel"},
		{"a BigInt that explodes", `let n = 3n; for (;;) n = n * n;`, "fuel|out of memory|BigInt is too large"},
		{"a BigInt as text", `return (3n ** 100000n).toString().length;`, "fuel"},
		{"a flood of log lines", `for (;;) console.log("x");`, "fuel"},
		{"a flood of headers", `for (;;) request.headers["x-team"];`, "fuel"},
		{"a flood of look-ups", `for (;;) request.lookup();`, "quota"},
		{"no prototype left", `Object.setPrototypeOf(Error.prototype, null); delete Error.prototype.toString; throw new Error("x");`, ""},
		{"an error that prepares its stack", `Error.prepareStackTrace = () => { throw 1; }; null.x;`, ""},
		{"an error with an endless stack", `Object.defineProperty(TypeError.prototype, "name", {get() { for (;;); }}); null.x;`, "fuel"},
		{"a verdict with an endless member", `return sallyport.allowAs({get id() { for (;;); }});`, "fuel"},
		{"an identity that changes while it is read", `const who = {id: "u", get name() { delete who.models; return "n"; }, models: ["m"]};
			return sallyport.deny(who);`, ""},
		{"a proxy as an identity", `return sallyport.allowAs(new Proxy({}, {ownKeys() { throw new Error("no keys"); }}));`, "no keys"},
		{"a getter on another object", `const get = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(request.lookup()), "keyId").get;
			return get.call({});`, "not an object of the gateway"},
	}
	h := newHost(t)
	good := h.mustLoad(t, inAuthenticate(`return sallyport.allowAs({id: "u"});`), "")
	worst := time.Duration(0)
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			set := h.mustLoad(t, inAuthenticate(f.body), "")
			begun := time.Now()
			answer := set.Authenticate(everyField())
			worst = max(worst, time.Since(begun))
			failure := h.log.last()
			if answer != abi.Failed || !matches(failure, f.reason) {
				t.Errorf("the answer is %q: %s, want %s", answers[answer], failure, f.reason)
			}
			if answer := good.Authenticate(everyField()); answer != abi.Given {
				t.Errorf("then a good one's answer is %q", answers[answer])
			}
		})
	}
	t.Logf("the longest call took %s", worst)
}

// matches reports whether a failure is one of those that are named.
func matches(failure, reasons string) bool {
	for reason := range strings.SplitSeq(reasons, "|") {
		if strings.Contains(failure, reason) {
			return true
		}
	}
	return false
}

// An instance that failed serves again: what an exception left behind is not met by the next call.
func TestInstancesSurviveExceptions(t *testing.T) {
	h := newHost(t)
	set := h.mustLoad(t, inAuthenticate(`
		const f = () => { Promise.resolve().then(() => console.log("late")); return 1 + f(); };
		if (request.model === "fail") return f();
		return sallyport.allowAs({id: "u"});`), "")
	for range 3 { // more in a row would take the policy out
		if answer := set.Authenticate(&abi.Authentication{Request: &abi.Request{Model: []byte("fail")}}); answer != abi.Failed {
			t.Fatalf("the answer is %q", answers[answer])
		}
		h.log.take()
		if answer := set.Authenticate(&abi.Authentication{Request: &abi.Request{}}); answer != abi.Given {
			t.Fatalf("the next answer is %q: %s", answers[answer], h.log.last())
		}
		if said := h.log.take(); len(said) > 0 {
			t.Fatalf("the next call logged %q", said)
		}
	}
}

// What scripts leave to the collector is collected, within the budget of a call and the memory that a policy has by default.
func TestInstancesDoNotLeak(t *testing.T) {
	if testing.Short() {
		t.Skip("it asks long: -short")
	}
	for _, config := range []string{"", `{"fresh_state": true}`} {
		h := newHost(t)
		set := h.mustLoad(t, inAuthenticate(`
			const a = {text: request.headers["x-team"].repeat(20)}, b = {a, limits: request.lookup().limits};
			a.b = b;
			return sallyport.deny(403, "no " + JSON.stringify(b.limits).length);`), config)
		for i := range 20_000 {
			if answer := set.Authenticate(everyField()); answer != abi.Given {
				t.Fatalf("after %d calls the answer is %q: %s", i, answers[answer], h.log.last())
			}
		}
		if failure := h.log.last(); failure != "" {
			t.Errorf("with %q: %s", config, failure)
		}
	}
}

// A smaller memory is enough for a small script, and too small a one is an error that says so.
func TestMemoryLimits(t *testing.T) {
	h := newHost(t)
	for memory, want := range map[int64]string{2 << 20: "", 320 << 10: "limits.memory", 512 << 10: "memory"} {
		set, err := h.Load(t.Context(), []runtime.Policy{{
			Name: "rule", Wasm: engine(t), Script: []byte(inAuthenticate("")), Limits: runtime.Limits{Memory: memory, Time: patience},
		}})
		if err == nil {
			t.Cleanup(set.Close)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("with %d bytes: %v, want %q", memory, err, want)
		}
	}
}
