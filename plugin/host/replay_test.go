package host

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/plugin/trace"
	"github.com/sallyport-dev/sallyport/runtime"
)

// traced asks a policy cases, and returns the decisions as a trace holds them.
func traced(t *testing.T, policy runtime.Policy, yaml string) (all []*runtime.Decision) {
	t.Helper()
	dir := t.TempDir()
	writer := trace.NewWriter(dir, trace.Settings{Share: 1_000_000, MaxSize: 1 << 30}, slog.New(slog.DiscardHandler))
	h, err := Open(t.Context(), Options{Policy: policy, Tracer: writer})
	if err != nil {
		t.Fatal(err)
	}
	questions := readCases(t, yaml)
	for i := range questions {
		if _, err := h.Ask(t.Context(), &questions[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Close(t.Context()); err != nil {
		t.Error(err)
	}
	writer.Close()
	reader, err := trace.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for {
		d, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if d.Policy == defaultName {
			all = append(all, d)
		}
	}
}

func openReplay(t *testing.T, policy runtime.Policy) *Replay {
	t.Helper()
	r, err := OpenReplay(t.Context(), Options{Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func replay(t *testing.T, r *Replay, d *runtime.Decision) *Replayed {
	t.Helper()
	got, err := r.Ask(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// asksTheHost prices by everything that the host can tell it: what is stored, a counter, a window, the keys, the time, random
// numbers and a header. Each moves the cost, so that nothing can be wrong without being seen.
func asksTheHost(key string) []byte {
	g := w.NewGuest()
	const at = 512
	call := func(name string, args ...[]byte) []byte { return w.Code(g.Host(name, args...), w.Drop) }
	lowByte := func(offset uint32) []byte { return w.Code(w.I32Const(0), w.I32Load8U(offset), w.I64ExtendU) }
	sum := func(parts ...[]byte) []byte {
		code := w.I64Const(0)
		for _, p := range parts {
			code = w.Code(code, w.I64Const(5), w.I64Shl, p, w.I64Add)
		}
		return code
	}
	g.Hook("price_response",
		call("kv_get", g.Text(key), w.I32Const(0), w.I32Const(8)),
		call("kv_incr", g.Text("count"), w.I64Const(3), w.I64Const(0), w.I64Const(1000), w.I64Const(0), w.I32Const(8)),
		call("kv_window_add", g.Text("window"), w.I64Const(2), w.I64Const(100), w.I64Const(60_000), w.I32Const(16)),
		call("kv_list", g.Text(""), g.Text(""), w.I32Const(32), w.I32Const(200)),
		call("random", w.I32Const(at), w.I32Const(2)),
		call("get_named", w.I32Const(int32(abi.FieldRequestHeaders)), g.Text("x-tier"), w.I32Const(at+8), w.I32Const(8)),
		w.I32Const(at+32), g.Host("now"), w.I64Store(0),
		g.Host("set_i64", w.I32Const(int32(abi.FieldCost)), w.I32Const(0),
			sum(lowByte(0), lowByte(8), lowByte(16), lowByte(36), lowByte(at+1), lowByte(at+8), lowByte(at+32))), w.Drop,
		w.Verdict)
	return g.Bytes()
}

var everyGrant = runtime.Grants{Identities: true, KV: true, Inputs: []string{"request.headers.x-tier", "credential"}}

const pricingCases = `
- {name: a, hook: price_response, now: 1795262400003, state: {tier: "7", count: 5, b: x}, request: {headers: {x-tier: gold}}, want: {answer: verdict}}
- {name: b, hook: price_response, now: 1795262400006, state: {tier: "8", window: {used: 4, window_ms: 60000}}, want: {answer: verdict}}
- {name: c, hook: price_response, want: {answer: verdict}}
`

// The same policy decides the same by a trace, without the state, the time and the random numbers of then.
func TestAReplayOfTheSamePolicy(t *testing.T) {
	policy := runtime.Policy{Wasm: asksTheHost("tier"), Grants: everyGrant}
	all := traced(t, policy, pricingCases)
	if len(all) != 3 {
		t.Fatalf("%d decisions", len(all))
	}
	costs := map[abi.NanoUSD]bool{}
	r := openReplay(t, policy)
	for _, d := range all {
		costs[d.Pricing.Cost] = true
		if got := replay(t, r, d); len(got.Differences)+len(got.Missing) != 0 {
			t.Errorf("%q, missing %q\n%+v", got.Differences, got.Missing, d.Calls)
		}
	}
	if len(costs) != 3 || len(all[0].Calls) < 6 {
		t.Errorf("the costs are %v, the calls %+v", costs, all[0].Calls)
	}
}

// What a policy asks that nobody asked then is told, and answered from an empty store.
func TestAReplayOfAnotherPolicy(t *testing.T) {
	all := traced(t, runtime.Policy{Wasm: asksTheHost("tier"), Grants: everyGrant}, pricingCases)
	r := openReplay(t, runtime.Policy{Wasm: asksTheHost("level"), Grants: everyGrant})
	got := replay(t, r, all[0])
	if len(got.Differences) != 1 || !strings.HasPrefix(got.Differences[0], "cost: ") || strings.Join(got.Missing, ", ") != `kv_get of "level"` {
		t.Errorf("%q, missing %q", got.Differences, got.Missing)
	}
}

func TestAReplayOfAuthentication(t *testing.T) {
	g := w.NewGuest()
	digest := g.Host("get", w.I32Const(int32(abi.FieldCredentialDigest)), w.I32Const(0), w.I32Const(0), w.I32Const(32))
	raw := g.Host("get", w.I32Const(int32(abi.FieldCredential)), w.I32Const(0), w.I32Const(64), w.I32Const(64))
	g.Hook("authenticate", digest, w.Drop, raw, w.Drop,
		g.Host("identity_lookup", w.I32Const(0), w.I32Const(32)), w.I32Const(1), w.I32LtS,
		w.If(g.SetInt(abi.FieldDenyStatus, 0, 401), w.Verdict, w.Return),
		g.SetInt(abi.FieldAllowHandle, 0, 1), w.Verdict)
	policy := runtime.Policy{Wasm: g.Bytes(), Grants: everyGrant}
	all := traced(t, policy, `
- {name: known, hook: authenticate, credential: 0123456789abcdef, keys: {0123456789abcdef: {key_id: k, models: [m], limits: {rpm: 3}}}, want: {identity: {key_id: k}}}
- {name: unknown, hook: authenticate, credential: fedcba9876543210, want: {status: 401}}
`)
	r := openReplay(t, policy)
	for i, d := range all {
		got := replay(t, r, d)
		if len(got.Differences) != 0 || strings.Join(got.Missing, ", ") != "the credential, which no trace holds" {
			t.Errorf("%d: %q, missing %q", i, got.Differences, got.Missing)
		}
	}
	if was := outcomeOf(all[0]); was.Identity == nil || was.Identity.KeyID != "k" || outcomeOf(all[1]).Status != 401 {
		t.Errorf("%+v", was)
	}
	stranger := *all[0]
	stranger.Calls = nil
	if got := replay(t, r, &stranger); len(got.Differences) == 0 || got.Missing[0] != "the identity of a credential" {
		t.Errorf("%q, missing %q", got.Differences, got.Missing)
	}
}

func TestAReplayOfAVeto(t *testing.T) {
	veto := func(key byte) []byte {
		g := w.NewGuest()
		g.Hook("authenticate", g.Host("get", w.I32Const(int32(abi.FieldIdentityKeyID)), w.I32Const(0), w.I32Const(0), w.I32Const(64)), w.Drop,
			w.I32Const(0), w.I32Load8U(0), w.I32Const(int32(key)), w.I32Eq, w.If(g.SetInt(abi.FieldDenyStatus, 0, 403), w.Verdict, w.Return), w.Pass)
		return g.Bytes()
	}
	all := traced(t, runtime.Policy{Wasm: veto('a')}, `
- {name: let through, hook: authenticate, veto: true, identity: {key_id: b}, want: {identity: {key_id: b}}}
- {name: denied, hook: authenticate, veto: true, identity: {key_id: a}, want: {status: 403}}
`)
	if len(all) != 2 || all[0].Identity.KeyID != "b" || !all[1].Veto {
		t.Fatalf("%+v", all)
	}
	same, other := openReplay(t, runtime.Policy{Wasm: veto('a')}), openReplay(t, runtime.Policy{Wasm: veto('b')})
	for i, d := range all {
		if got := replay(t, same, d); len(got.Differences)+len(got.Missing) != 0 {
			t.Errorf("%d: %q, missing %q", i, got.Differences, got.Missing)
		}
		if got := replay(t, other, d); len(got.Differences) == 0 {
			t.Errorf("%d: no differences, though it denies the other one", i)
		}
	}
}

// However often a policy fails, each failure is asked about and told.
func TestAReplayOfFailures(t *testing.T) {
	passes := traced(t, runtime.Policy{Wasm: guestThat("price_response", w.Pass)}, "- {name: a, hook: price_response, want: {answer: pass}}")
	r := openReplay(t, runtime.Policy{Wasm: guestThat("price_response", w.Unreachable)})
	for range 8 {
		got := replay(t, r, passes[0])
		if got.Is.Answer != cases.Failed || !strings.HasPrefix(got.Is.Failure, "trap: wasm error: unreachable") || len(got.Differences) == 0 {
			t.Fatalf("%+v", got.Is)
		}
	}
	failed := traced(t, runtime.Policy{Wasm: guestThat("price_response", w.Unreachable)}, "- {name: a, hook: price_response, want: {answer: failed}}")
	if got := replay(t, r, failed[0]); len(got.Differences) != 0 || !strings.HasPrefix(got.Was.Failure, "trap: ") {
		t.Errorf("%q, %+v", got.Differences, got.Was)
	}
}

func guestThat(hook string, body ...[]byte) []byte {
	g := w.NewGuest()
	g.Hook(hook, body...)
	return g.Bytes()
}

// A guest that spins is ended also where no fuel bounds it.
func TestExplainEndsWhatSpins(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as a call may")
	}
	passes := traced(t, runtime.Policy{Wasm: guestThat("price_response", w.Pass)}, "- {name: a, hook: price_response, want: {answer: pass}}")
	r := openReplay(t, runtime.Policy{Wasm: guestThat("price_response", w.Loop(w.Br(0)), w.Pass)})
	why, err := r.Explain(t.Context(), passes[0])
	if err != nil || !strings.Contains(why, "deadline exceeded") {
		t.Errorf("%q, %v", why, err)
	}
}

// Of a C guest with debugging information, a failure names the line of the source.
func TestExplainNamesLinesOfTheSource(t *testing.T) {
	if _, err := exec.LookPath("clang"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	source := filepath.Join(dir, "rule.c")
	text := "__attribute__((noinline)) static int check(volatile int *p) {\n\tif (*p == 0)\n\t\t__builtin_trap();\n\treturn *p;\n}\n" +
		"__attribute__((export_name(\"price_response\"))) int price_response(void) {\n\tvolatile int n = 0;\n\treturn check(&n);\n}\n"
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(dir, "rule.wasm")
	build := exec.CommandContext(t.Context(), "clang", "--target=wasm32", "-g", "-O1", "-nostdlib", "-Wl,--no-entry", "-o", module, source)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wasm, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	passes := traced(t, runtime.Policy{Wasm: guestThat("price_response", w.Pass)}, "- {name: a, hook: price_response, want: {answer: pass}}")
	r := openReplay(t, runtime.Policy{Wasm: wasm})
	got := replay(t, r, passes[0])
	if !strings.Contains(got.Is.Failure, "check") || strings.Contains(got.Is.Failure, "rule.c") {
		t.Errorf("metered: %s", got.Is.Failure)
	}
	why, err := r.Explain(t.Context(), passes[0])
	if err != nil || !strings.Contains(why, "rule.c:3:") || !strings.Contains(why, "rule.c:8:") {
		t.Errorf("%v: %s", err, why)
	}
}
