// Package conformance_test holds every SDK to the golden cases in abi/testdata/conformance: a guest of each does what the
// cases ask for, on the gateway's own runtime and host functions. So do the guests that earlier versions left behind.
//
// There is no code beside the tests, and nothing imports them.
package conformance_test

import (
	"context"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/runtime"
)

// now is the time of every case.
var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// lines keeps what guests log, with the level in front unless it is info.
type lines struct {
	sync.Mutex
	all []string
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lines) WithGroup(string) slog.Handler            { return l }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "line" {
			return true
		}
		line := a.Value.String()
		if r.Level != slog.LevelInfo {
			line = r.Level.String() + " " + line
		}
		l.Lock()
		defer l.Unlock()
		l.all = append(l.all, line)
		return false
	})
	return nil
}

// take returns what was logged, and forgets it.
func (l *lines) take() []string {
	l.Lock()
	defer l.Unlock()
	defer func() { l.all = nil }()
	return slices.Clone(l.all)
}

// host is the gateway's own host with a guest in it, three times: as the cases usually have it, without any grant, and
// followed by itself with a veto.
type host struct {
	log                           lines
	seen                          *seen
	outside                       outside
	granted, ungranted, withVetos *runtime.Set
}

// patience is limits.time here: how fast a machine is that does other things too is not what is tested.
const patience = 10 * time.Second

func newRuntime(t testing.TB, log slog.Handler, functions []runtime.Function) *runtime.Runtime {
	t.Helper()
	r, err := runtime.New(t.Context(), runtime.Options{
		CacheDir:  filepath.Join(scratch, "compiled"),
		Functions: functions,
		Log:       slog.New(log),
		Now:       func() time.Time { return now },
		Random: func(b []byte) {
			for i := range b {
				b[i] = byte(i + 1)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.Background()) })
	return r
}

func newHost(t testing.TB, wasm []byte) *host {
	t.Helper()
	h := &host{seen: newSeen()}
	r := newRuntime(t, &h.log, h.seen.watch(h.outside.options()))
	load := func(policies ...runtime.Policy) *runtime.Set {
		for i := range policies {
			policies[i].Wasm, policies[i].Config, policies[i].Script = wasm, []byte(`{"conformance": true}`), []byte("decide()")
			// The Go guest collects garbage in some calls, beside which it does more than a policy would.
			policies[i].Limits = runtime.Limits{Fuel: 50_000_000, Time: patience}
		}
		set, err := r.Load(t.Context(), policies)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(set.Close)
		return set
	}
	grants := runtime.Grants{Identities: true, KV: true, Inputs: []string{"credential", "request.headers.x-team", "request.headers.x-absent"}}
	h.granted = load(runtime.Policy{Name: "guest", Grants: grants})
	h.ungranted = load(runtime.Policy{Name: "guest"})
	h.withVetos = load(runtime.Policy{Name: "guest", Grants: grants},
		runtime.Policy{Name: "veto", Veto: true, Hooks: []abi.Hook{abi.Authenticate}, Grants: grants})
	return h
}

// ask asks a case's question and returns everything that came of it.
func (h *host) ask(c *golden) want {
	set := h.granted
	switch {
	case c.Ungranted:
		set = h.ungranted
	case c.Veto:
		set = h.withVetos
	}
	h.log.take()
	var got want
	var answer abi.Answer
	switch c.hook {
	case abi.Authenticate:
		a := &abi.Authentication{
			Request: c.asked(), Credential: []byte(c.Credential), Digest: digestOf(c.Credential), Shape: c.Shape, Identities: c,
		}
		answer = set.Authenticate(a)
		got = want{Identity: encode(a.Identity), Status: a.Status, Code: a.Code, Message: a.Message}
	case abi.ChooseStep:
		s := c.choice()
		answer = set.ChooseStep(s)
		got = want{Step: s.Step, Stop: s.Stop, Reason: s.Reason}
	default:
		p := &abi.Pricing{
			Request: c.asked(), Identity: c.Identity.decode(), Phase: c.Phase, Provider: c.Provider, Model: c.ProviderModel,
			Usage: c.Usage, Price: c.Price,
		}
		answer = set.PriceResponse(p)
		got = want{Cost: int64(p.Cost)}
		for _, part := range p.Breakdown {
			got.Breakdown = append(got.Breakdown, int64(part))
		}
	}
	got.Log, got.Answer = h.log.take(), map[abi.Answer]string{abi.Given: "verdict", abi.NoVerdict: "pass", abi.Failed: "failed"}[answer]
	return got
}

func (c *golden) choice() *abi.StepChoice {
	s := &abi.StepChoice{
		Request: c.asked(), Identity: c.Identity.decode(), Chain: c.Chain, Attempt: max(c.Attempt, 1), LastError: c.LastError,
		LastStep: c.LastStep, Strategy: c.Strategy,
	}
	if c.Affinity != nil {
		s.Affinity, s.Sticks = uint64(*c.Affinity)<<11, true
	}
	if s.Attempt == 1 {
		s.LastStep = -1
	}
	for _, step := range c.Steps {
		s.Steps = append(s.Steps, abi.Step{
			Model: step.Model, Provider: step.Provider, Priority: step.Priority, Weight: step.Weight, Context: step.Context, Price: step.Price,
		})
		s.Tries = append(s.Tries, step.Tries)
		state := abi.StepState{
			Available: step.Tries == 0, Health: step.Health, Cooldown: time.Duration(step.Cooldown) * time.Millisecond,
			Latency: time.Duration(step.Latency) * time.Microsecond, Active: step.Active,
		}
		if step.Available != nil {
			state.Available = *step.Available
		}
		s.States = append(s.States, state)
	}
	return s
}

// check compares what came of a case with what it wants.
func (c *golden) check(t *testing.T, got want) {
	t.Helper()
	if c.Want.Log != nil && !slices.Equal(got.Log, c.Want.Log) {
		t.Errorf("it logged\n\t%s\nwant\n\t%s", strings.Join(got.Log, "\n\t"), strings.Join(c.Want.Log, "\n\t"))
	}
	if begins := c.Want.LogBegins; begins != nil && !slices.EqualFunc(got.Log, begins, strings.HasPrefix) {
		t.Errorf("it logged\n\t%s\nwant lines that begin with\n\t%s", strings.Join(got.Log, "\n\t"), strings.Join(begins, "\n\t"))
	}
	expected := c.Want
	got.Log, expected.Log, expected.LogBegins = nil, nil, nil
	expected.State, expected.Windows, expected.Metrics = nil, nil, nil // checkState's part
	if expected.Breakdown == nil {
		got.Breakdown = nil
	} else {
		expected.Breakdown = append(slices.Clone(expected.Breakdown), make([]int64, len(got.Breakdown)-len(expected.Breakdown))...)
	}
	if expected.Identity != nil && expected.Identity.Name == "" && got.Identity != nil && got.Identity.Name == "" {
		got.Identity.Name = expected.Identity.Name
	}
	if !reflect.DeepEqual(got, expected) {
		t.Errorf("got %+v %+v\nwant %+v %+v", got, got.Identity, expected, expected.Identity)
	}
}

func run(t *testing.T, wasm []byte, version int) {
	h := newHost(t, wasm)
	for _, c := range readCases(t) {
		if c.Since > version {
			continue
		}
		t.Run(c.hook.String()+"/"+c.Name, func(t *testing.T) {
			h.outside.begin(t, &c)
			c.check(t, h.ask(&c))
			h.outside.checkState(t, &c)
		})
	}
	if version == thisVersion {
		h.seen.complain(t)
	}
}

// thisVersion is the folder that guests of this version would be kept in.
const thisVersion = 2

func TestSDKs(t *testing.T) {
	for _, sdk := range sdks {
		t.Run(sdk, func(t *testing.T) {
			if sdk == "go" && testing.Short() {
				t.Skip("compiling a Go guest takes long: -short")
			}
			run(t, build(t, sdk), thisVersion)
		})
	}
}

// A guest that was compiled with an earlier version of the contract keeps its answers.
func TestKeptGuests(t *testing.T) {
	kept, err := filepath.Glob(filepath.Join(testdata, "guests", "v*", "*.wasm"))
	if err != nil || len(kept) == 0 {
		t.Fatalf("there are no kept guests: %v", err)
	}
	for _, path := range kept {
		folder := filepath.Base(filepath.Dir(path))
		t.Run(folder+"/"+filepath.Base(path), func(t *testing.T) {
			version, err := strconv.Atoi(strings.TrimPrefix(folder, "v"))
			if err != nil {
				t.Fatal(err)
			}
			wasm, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(wasm) > 200<<10 {
				t.Errorf("it has %d bytes: too many to keep", len(wasm))
			}
			run(t, wasm, version)
		})
	}
}

func TestConfigurationIsRefused(t *testing.T) {
	for _, sdk := range sdks {
		t.Run(sdk, func(t *testing.T) {
			if sdk == "go" && testing.Short() {
				t.Skip("compiling a Go guest takes long: -short")
			}
			wasm := build(t, sdk)
			_, err := newRuntime(t, slog.DiscardHandler, hostfuncs.Functions(hostfuncs.Options{})).Load(t.Context(), []runtime.Policy{{Name: "guest", Wasm: wasm, Config: []byte(`{"refuse":true}`)}})
			if err == nil || !strings.Contains(err.Error(), "refused on purpose") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// An instance lives for many calls: what they leave behind is collected, within the budget of one of them and the memory
// that a policy has by default.
func TestInstancesDoNotLeak(t *testing.T) {
	long := &golden{Task: "headers", Request: request{Headers: map[string]string{"x-team": "0123456789"}}, HeadersTimes: 500}
	for _, sdk := range sdks {
		t.Run(sdk, func(t *testing.T) {
			if testing.Short() {
				t.Skip("it asks long: -short")
			}
			seen := newSeen()
			r := newRuntime(t, slog.DiscardHandler, seen.watch(hostfuncs.Options{}))
			set, err := r.Load(t.Context(), []runtime.Policy{{
				Name: "guest", Wasm: build(t, sdk), Limits: runtime.Limits{Time: patience},
				Grants: runtime.Grants{Inputs: []string{"request.headers.x-team", "request.headers.x-absent"}},
			}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(set.Close)
			instances := seen.calls("config") // each asks once, as it comes up
			for i := range 20_000 {           // some 100 MB of garbage in 16 MiB of memory
				a := &abi.Authentication{Request: long.asked()}
				if answer := set.Authenticate(a); answer != abi.NoVerdict {
					t.Fatalf("call %d: answer %d", i, answer)
				}
			}
			if more := seen.calls("config") - instances; more > 0 {
				t.Errorf("the instance was replaced %d times", more)
			}
		})
	}
}

// Every cost that an SDK computes is the core's own, which the host's tests hold to math/big.
func FuzzCost(f *testing.F) {
	var hosts []*host
	for _, sdk := range []string{"c", "rust", "assemblyscript"} {
		wasm := kept(f, sdk)
		if missingTool(sdk) == "" {
			wasm = build(f, sdk)
		}
		hosts = append(hosts, newHost(f, wasm))
	}
	f.Add([]byte{})
	f.Add(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 1<<63-1), 1<<63-1))
	f.Fuzz(func(t *testing.T, b []byte) {
		c := &golden{hook: abi.PriceResponse, Task: "price", Price: &abi.PriceRow{}}
		for d := 0; d < int(abi.NumDimensions) && len(b) >= 16; d, b = d+1, b[16:] {
			c.Usage[d] = int64(binary.LittleEndian.Uint64(b))
			c.Price[d] = abi.NanoUSD(binary.LittleEndian.Uint64(b[8:]))
		}
		cost, parts := c.Price.Cost(&c.Usage)
		for _, h := range hosts {
			got := h.ask(c)
			if got.Answer != "verdict" || got.Cost != int64(cost) {
				t.Fatalf("%v at %v: got %s %d, want %d", c.Usage, c.Price, got.Answer, got.Cost, cost)
			}
			for d, part := range parts {
				if got.Breakdown[d] != int64(part) {
					t.Fatalf("%v at %v: the breakdown is %v, want %v", c.Usage, c.Price, got.Breakdown, parts)
				}
			}
		}
	})
}

func kept(t testing.TB, sdk string) []byte {
	t.Helper()
	wasm, err := os.ReadFile(filepath.Join(testdata, "guests", "v1", sdk+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}
