package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
	"github.com/sallyport-dev/sallyport/plugin/trace"
	"github.com/sallyport-dev/sallyport/runtime"
)

// writeTrace writes decisions of a policy that always chose the first of two steps, and one that priced.
func writeTrace(t *testing.T, decisions int) (data string) {
	t.Helper()
	data = t.TempDir()
	writer := trace.NewWriter(filepath.Join(data, trace.Folder), trace.Settings{Share: 1_000_000, MaxSize: 1 << 30}, slog.New(slog.DiscardHandler))
	identity := &abi.Identity{KeyID: "key_1"}
	for n := range decisions {
		request := &abi.Request{ID: fmt.Appendf(nil, "req_%d", n), Model: []byte("coding")}
		writer.Trace(&runtime.Decision{
			Time: cases.DefaultNow.Time().Add(time.Duration(n) * time.Second), Policy: "chooser", Hook: abi.ChooseStep, Request: request, Identity: identity, Answer: abi.Given,
			StepChoice: &abi.StepChoice{Request: request, Identity: identity, Chain: "coding", Steps: make([]abi.Step, 2), Attempt: int64(n%2 + 1), LastStep: -1},
		})
	}
	request := &abi.Request{ID: []byte("req_p")}
	writer.Trace(&runtime.Decision{
		Time: cases.DefaultNow.Time(), Policy: "pricer", Hook: abi.PriceResponse, Request: request, Answer: abi.Given,
		Pricing: &abi.Pricing{Request: request, Phase: abi.Final, Cost: 5},
	})
	writer.Close()
	return data
}

// chooser chooses a step, or the other one if this is not the first attempt; by what it remembers if it is to remember.
func chooser(t *testing.T, first, later int64, remembers bool) (file string) {
	t.Helper()
	g := w.NewGuest()
	var code []byte
	if remembers {
		code = w.Code(g.Host("kv_get", g.Text("last"), w.I32Const(0), w.I32Const(0)), w.Drop)
	}
	g.Hook("choose_step", code, g.Host("get_i64", w.I32Const(int32(abi.FieldAttempt)), w.I32Const(0)), w.I64Const(1), w.I64Eq,
		w.If(g.SetInt(abi.FieldChosenStep, 0, first), w.Verdict, w.Return), g.SetInt(abi.FieldChosenStep, 0, later), w.Verdict)
	return writeModule(t, g.Bytes())
}

func writeModule(t *testing.T, wasm []byte) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "rule.wasm")
	if err := os.WriteFile(file, wasm, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestReplaySaysWhatWouldHaveBeenDecided(t *testing.T) {
	data := writeTrace(t, 10)
	out := mustCommand(t, "plugin", "replay", data, chooser(t, 0, 0, false))
	if !strings.Contains(out, `Decisions of the policy "chooser"`) || !strings.Contains(out, "choose_step         10    10          0       0") || strings.Contains(out, "req_") {
		t.Errorf("the same policy:\n%s", out)
	}
	out = mustCommand(t, "plugin", "replay", data, chooser(t, 0, 1, false), "--show", "2")
	for _, want := range []string{"choose_step         10     5          5       0", "req_1  choose_step  2026-", "  was  step 0\n  is   step 1\n       step: is 1, was 0\n", "3 more differ"} {
		if !strings.Contains(out, want) {
			t.Errorf("another policy: no %q in\n%s", want, out)
		}
	}
}

func TestReplayTellsWhatIsNotInTheTrace(t *testing.T) {
	data := writeTrace(t, 4)
	g := w.NewGuest()
	g.Hook("choose_step", g.Host("get_named", w.I32Const(int32(abi.FieldRequestHeaders)), g.Text("x-tier"), w.I32Const(0), w.I32Const(8)), w.Drop, w.Pass)
	if out := mustCommand(t, "plugin", "replay", data, writeModule(t, g.Bytes())); strings.Contains(out, "Not in the trace") {
		t.Errorf("a header that is not granted:\n%s", out)
	}
	file := chooser(t, 0, 0, true)
	wasm, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	asking, err := manifest.Embed(wasm, []byte(`{"name": "rule", "version": "1.0.0", "abi": 1, "grants": [{"kv": "own", "reason": "to remember"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if out := mustCommand(t, "plugin", "replay", data, writeModule(t, asking)); !strings.Contains(out, `kv_get of "last" (4 decisions)`) {
		t.Errorf("state:\n%s", out)
	}
}

func TestReplayNamesTheFunctionsOfAFailure(t *testing.T) {
	out := mustCommand(t, "plugin", "replay", writeTrace(t, 2), writeModule(t, guestOf("choose_step", w.Unreachable)))
	if !strings.Contains(out, "choose_step          2     0          0       2") || !strings.Contains(out, "  is   failed\n       trap: wasm error: unreachable") ||
		!strings.Contains(out, "at .$") {
		t.Error(out)
	}
}

func guestOf(hook string, body ...[]byte) []byte {
	g := w.NewGuest()
	g.Hook(hook, body...)
	return g.Bytes()
}

func TestReplayFindsOutWhoseDecisionsAreMeant(t *testing.T) {
	data := writeTrace(t, 2)
	g := w.NewGuest()
	g.Hook("choose_step", w.Pass)
	g.Hook("price_response", w.Pass)
	both := writeModule(t, g.Bytes())
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "those of chooser, pricer: --policy says whose"},
		{[]string{"--policy", "x"}, "--policy x: the decisions are those of chooser, pricer"},
		{[]string{"--hook", "authenticate"}, "--hook authenticate: the plugin serves choose_step, price_response"},
	} {
		_, err := command(t, append([]string{"plugin", "replay", data, both}, test.args...)...)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v: %v", test.args, err)
		}
	}
	var result struct {
		Policy string
		Total  replayCount
	}
	out := mustCommand(t, "plugin", "replay", data, both, "--json", "--policy", "pricer")
	if err := json.Unmarshal([]byte(out), &result); err != nil || result.Policy != "pricer" || result.Total != (replayCount{1, 0, 1, 0}) {
		t.Errorf("%v: %s", err, out)
	}
	out = mustCommand(t, "plugin", "replay", data, both, "--json", "--hook", "choose_step")
	if err := json.Unmarshal([]byte(out), &result); err != nil || result.Policy != "chooser" {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := command(t, "plugin", "replay", data, writeModule(t, guestOf("authenticate", w.Pass))); err == nil || !strings.Contains(err.Error(), "no decision was made") {
		t.Error(err)
	}
	if _, err := command(t, "plugin", "replay", t.TempDir(), both); err == nil || !strings.Contains(err.Error(), "there is no trace") {
		t.Error(err)
	}
}

func TestAPluginOfTheFastTierRunsOnNoOtherHost(t *testing.T) {
	file := writeModule(t, guestOf("price_response", w.Pass))
	questions := filepath.Join(t.TempDir(), "cases.yaml")
	if err := os.WriteFile(questions, []byte("- {name: a, hook: price_response, phase: final, want: {answer: pass}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := mustCommand(t, "plugin", "test", file, "--cases", questions); !strings.Contains(out, "1 cases, 0 failed") {
		t.Error(out)
	}
	_, err := command(t, "plugin", "test", file, "--cases", questions, "--host", "extism")
	if err == nil || !strings.Contains(err.Error(), "is no plugin of the portable tier alone: it imports config, digest, get from sallyport:policy/1, which no other host serves") {
		t.Error(err)
	}
	if _, err := command(t, "plugin", "test", file, "--cases", questions, "--host", "x"); err == nil || !strings.Contains(err.Error(), "use sallyport or extism") {
		t.Error(err)
	}
}
