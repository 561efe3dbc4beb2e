package javascript_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// twice is a script as a policy and, after it, as one with a veto.
func twice(wasm []byte, script string) []runtime.Policy {
	limits := runtime.Limits{Time: patience}
	return []runtime.Policy{
		{Name: "rule", Wasm: wasm, Script: []byte(script), Limits: limits},
		{Name: "veto", Wasm: wasm, Script: []byte(script), Limits: limits, Veto: true, Hooks: []abi.Hook{abi.Authenticate}},
	}
}

// The script's globals live as long as the instance, unless the policy asks for a fresh state: then nothing that a script does
// is there in the next call, whatever it is done to.
func TestState(t *testing.T) {
	const script = `
		let calls = 0;
		const seen = new Map();
		export function authenticate(request) {
			calls++;
			seen.set(calls, new Uint8Array(100_000));
			Array.prototype.calls = (Array.prototype.calls ?? 0) + 1;
			globalThis.calls = (globalThis.calls ?? 0) + 1;
			console.log(calls, seen.size, [].calls, globalThis.calls, sallyport.config?.tag);
			if (request.model === "fail") throw new Error("on purpose");
		}`
	facts := []struct{ name, config, model, first, third string }{
		{"kept", `{"tag": "a"}`, "", "1 1 1 1 a", "3 3 3 3 a"},
		{"fresh", `{"tag": "a", "fresh_state": true}`, "", "1 1 1 1 a", "1 1 1 1 a"},
		{"fresh after failures too", `{"fresh_state": true}`, "fail", "1 1 1 1 undefined", "1 1 1 1 undefined"},
		{"fresh only where it is true", `{"fresh_state": false}`, "", "1 1 1 1 undefined", "3 3 3 3 undefined"},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			h := newHost(t)
			set := h.mustLoad(t, script, f.config)
			for _, want := range []string{f.first, "", f.third} {
				set.Authenticate(&abi.Authentication{Request: &abi.Request{Model: []byte(f.model)}})
				if said := h.log.take(); want != "" && (len(said) == 0 || said[0] != want) {
					t.Errorf("it logged %q, want %q; %s", said, want, h.log.last())
				}
			}
		})
	}
}

// A fresh state takes no more memory the more calls there were: what a call took is taken again by the next.
func TestFreshStateDoesNotGrow(t *testing.T) {
	h := newHost(t)
	set := h.mustLoad(t, inAuthenticate(`globalThis.kept = new Uint8Array(3_000_000);`), `{"fresh_state": true}`)
	for range 10 {
		if answer := set.Authenticate(&abi.Authentication{Request: &abi.Request{}}); answer != abi.NoVerdict {
			t.Fatalf("the answer is %q: %s", answers[answer], h.log.last())
		}
	}
	if failure := h.log.last(); failure != "" {
		t.Error(failure)
	}
}

// A script that cannot be a policy is not loaded, and the error says why and where.
func TestLoading(t *testing.T) {
	h := newHost(t)
	facts := []struct{ name, script, config, want string }{
		{"a good one", `export function authenticate() {}`, "", ""},
		{"one that configures itself", `let c; export function configure(config) { c = config; } export const authenticate = () => {};`, `{"a": 1}`, ""},
		{"one that waits at its top", `const n = await Promise.resolve(1); export const chooseStep = () => {};`, "", ""},
		{"no syntax", "export function authenticate() {\n  return = 5;\n}", "", "SyntaxError: unexpected token in expression: '=', at script.js:2:"},
		{"an exception at its top", "\nnull.x;\nexport function authenticate() {}", "", "script.js:2:"},
		{"no hook", `function authenticate() {}`, "", "exports no hook: a policy exports at least one of authenticate, chooseStep, priceResponse"},
		{"a hook by its name elsewhere", `export function choose_step() {}; export function authenticate() {}`, "", "exports choose_step, which is called chooseStep"},
		{"a hook that is no function", `export const authenticate = 5;`, "", "authenticate is exported, but it is no function"},
		{"a refusal", `export const authenticate = () => {}; export function configure(config) { if (config.refuse) throw new Error("refused on purpose"); }`,
			`{"refuse": true}`, "refused on purpose"},
		{"an import", `import fs from "fs"; export const authenticate = () => {};`, "", "could not load module"},
		{"no end", `for (;;); export const authenticate = () => {};`, "", "fuel"},
		{"too much memory", `const a = []; for (;;) a.push(new Uint8Array(100_000)); export const authenticate = () => {};`, "", "out of memory"},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			_, err := h.load(t, f.script, f.config)
			if f.want == "" && err != nil || f.want != "" && (err == nil || !strings.Contains(err.Error(), f.want)) {
				t.Errorf("got %v, want %q", err, f.want)
			}
		})
	}
	_, err := h.Load(t.Context(), []runtime.Policy{{Name: "rule", Wasm: engine(t)}})
	if err == nil || !strings.Contains(err.Error(), "reading the script") {
		t.Errorf("without a script: %v", err)
	}
}

// A hook that the script does not export is passed, and the module imports nothing that this host does not serve.
func TestHooks(t *testing.T) {
	h := newHost(t)
	set := h.mustLoad(t, `export function authenticate() { return sallyport.deny(403); }`, "")
	if answer := set.ChooseStep(newChoice()); answer != abi.NoVerdict {
		t.Errorf("at a hook that it does not export the answer is %q", answers[answer])
	}
	if stubbed := set.Policies()[0].Stubbed; len(stubbed) > 0 {
		t.Errorf("the host does not serve %v", stubbed)
	}
}

// The same sources make the same module, and it is small.
func TestBuildIsReproducible(t *testing.T) {
	wasm := engine(t)
	if len(wasm) > 1_000_000 {
		t.Errorf("it has %d bytes", len(wasm))
	}
	if testing.Short() {
		t.Skip("building it again takes long: -short")
	}
	again := filepath.Join(t.TempDir(), "again.wasm")
	if text, err := exec.CommandContext(t.Context(), "./build.sh", again).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	second, err := os.ReadFile(again)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(wasm, second) {
		t.Error("the same sources made another module")
	}
}
