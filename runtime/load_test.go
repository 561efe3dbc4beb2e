package runtime_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// passes is a module that serves one hook and passes.
func passes(hook abi.Hook) []byte { return guest(hook, func(*w.Guest) []byte { return w.Pass }) }

// module assembles a guest that is not a usual one.
func module(build func(m *w.Module)) []byte {
	m := &w.Module{}
	build(m)
	return m.Bytes()
}

func TestLoadRefuses(t *testing.T) {
	pass := func(m *w.Module) { m.Hook("authenticate", w.Pass) }
	good := passes(abi.Authenticate)
	for _, test := range []struct {
		name   string
		policy runtime.Policy
		says   []string
	}{
		{"bytes that are no module", runtime.Policy{Wasm: []byte("#!/bin/sh")}, []string{"checking the module"}},
		{"no bytes", runtime.Policy{}, []string{"checking the module"}},
		{"a truncated module", runtime.Policy{Wasm: good[:len(good)-3]}, []string{"checking the module"}},
		{"an import from elsewhere", runtime.Policy{Wasm: module(func(m *w.Module) {
			m.Import("env", "open", nil, nil)
			m.Import("wasi_unstable", "fd_read", nil, nil)
			pass(m)
		})}, []string{"imports env.open", "imports wasi_unstable.fd_read"}},
		{"the portable tier", runtime.Policy{Wasm: module(func(m *w.Module) {
			m.Import("extism:host/env", "input_length", nil, []w.Type{w.I64})
			pass(m)
		})}, []string{"but only sallyport:policy/1 and wasi_snapshot_preview1 are served"}},
		{"an import of another type", runtime.Policy{Wasm: module(func(m *w.Module) {
			m.Import(abi.ModulePolicy, "now", nil, []w.Type{w.I32})
			pass(m)
		})}, []string{"imports sallyport:policy/1.now as () -> (i32), but it is () -> (i64)"}},
		{"an unknown import of two types", runtime.Policy{Wasm: module(func(m *w.Module) {
			m.Import(abi.ModulePolicy, "later", nil, []w.Type{w.I32})
			m.Import(abi.ModulePolicy, "later", nil, []w.Type{w.I64})
			pass(m)
		})}, []string{"imports sallyport:policy/1.later twice"}},
		{"an imported memory", runtime.Policy{Wasm: module(func(m *w.Module) {
			m.ImportMemory(abi.ModulePolicy, "memory", 1)
			pass(m)
		})}, []string{"as a memory, but only functions are served"}},
		{"a hook of another type", runtime.Policy{Wasm: module(func(m *w.Module) {
			m.Func("authenticate", []w.Type{w.I32}, []w.Type{w.I32}, nil, w.Pass)
		})}, []string{"exports authenticate as (i32) -> (i32), but it must be () -> (i32)"}},
		{"a hook that is no function", runtime.Policy{Wasm: module(func(m *w.Module) {
			m.Export("authenticate", w.Global, m.Global(0))
		})}, []string{"exports authenticate as a global"}},
		{"an _initialize of another type", runtime.Policy{Wasm: module(func(m *w.Module) {
			pass(m)
			m.Hook("_initialize", w.Pass)
		})}, []string{"exports _initialize as () -> (i32)"}},
		{"no hook", runtime.Policy{Wasm: module(func(m *w.Module) { m.Hook("other", w.Pass) })},
			[]string{"exports no hook", "authenticate, choose_step, price_response"}},
		{"a command", runtime.Policy{Wasm: module(func(m *w.Module) { m.Func("_start", nil, nil, nil) })},
			[]string{"build it as a reactor"}},
		{"a command with a hook", runtime.Policy{Wasm: module(func(m *w.Module) { m.Func("_start", nil, nil, nil); pass(m) })},
			[]string{"is a command", "build it as a reactor"}},
		{"a hook that its script does not serve", runtime.Policy{Hooks: []abi.Hook{abi.ChooseStep}, Wasm: module(func(m *w.Module) {
			pass(m)
			m.Hook("choose_step", w.Pass)
			m.Hook("hooks", w.I32Const(1<<abi.Authenticate))
		})}, []string{"bound to the hook choose_step, but does not serve it"}},
		{"a script that serves nothing", runtime.Policy{Wasm: module(func(m *w.Module) { pass(m); m.Hook("hooks", w.I32Const(0)) })},
			[]string{"serves none of the hooks"}},
		{"hooks of another type", runtime.Policy{Wasm: module(func(m *w.Module) { pass(m); m.Func("hooks", nil, nil, nil) })},
			[]string{"exports hooks as"}},
		{"a hook that it does not export", runtime.Policy{Wasm: good, Hooks: []abi.Hook{abi.ChooseStep, abi.Authenticate}},
			[]string{"bound to the hook choose_step, but does not serve it"}},
		{"a veto elsewhere", runtime.Policy{Wasm: passes(abi.ChooseStep), Veto: true}, []string{"veto works at the hook authenticate only"}},
		{"too much memory", runtime.Policy{Wasm: module(func(m *w.Module) { m.Memory(257); pass(m) })},
			[]string{"needs 16842752 bytes of memory", "limits.memory is 16777216"}},
		{"limits below zero", runtime.Policy{Wasm: good, Limits: runtime.Limits{Fuel: -1, Time: -1, Memory: 1}},
			[]string{"limits.fuel", "limits.time", "limits.memory"}},
		{"a grant of nothing", runtime.Policy{Wasm: good, Grants: runtime.Grants{Inputs: []string{"request.path", "request.headers"}}},
			[]string{`"request.path" is not an input that needs a grant`, `"request.headers" is not`}},
		{"a slash in the name", runtime.Policy{Name: "a/b", Wasm: good}, []string{"without a slash"}},
		{"a start section that traps", runtime.Policy{Wasm: module(func(m *w.Module) {
			pass(m)
			m.Start(m.Func("", nil, nil, nil, w.Unreachable))
		})}, []string{"instantiating", "unreachable"}},
		{"a start section that spins", runtime.Policy{Wasm: module(func(m *w.Module) {
			pass(m)
			m.Start(m.Func("", nil, nil, nil, w.Loop(w.Br(0))))
		})}, []string{"instantiating", "unreachable"}},
		{"a start section that exits", runtime.Policy{Wasm: module(func(m *w.Module) {
			exit := m.Import(abi.ModuleWASI, "proc_exit", []w.Type{w.I32}, nil)
			pass(m)
			m.Start(m.Func("", nil, nil, nil, w.I32Const(0), w.Call(exit)))
		})}, []string{"proc_exit(0)"}},
		{"an _initialize that spins", runtime.Policy{Wasm: module(func(m *w.Module) {
			pass(m)
			m.Func("_initialize", nil, nil, nil, w.Loop(w.Br(0)))
		})}, []string{"running _initialize: fuel"}},
		{"a configuration that is refused", runtime.Policy{Wasm: func() []byte {
			g := w.NewGuest()
			g.Hook("authenticate", w.Pass)
			g.Hook("configure", g.Log(abi.LogError, "no tz"), w.I32Const(7))
			return g.Bytes()
		}()}, []string{"refused its configuration", "returned 7", `"no tz"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.policy.Name == "" {
				test.policy.Name = "p"
			}
			set, err := newRuntime(t, runtime.Options{}).Load(t.Context(), []runtime.Policy{test.policy})
			if err == nil {
				set.Close()
				t.Fatal("it was loaded")
			}
			for _, text := range test.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
		})
	}
}

func TestLoadReportsAllProblems(t *testing.T) {
	good := passes(abi.Authenticate)
	_, err := newRuntime(t, runtime.Options{}).Load(t.Context(), []runtime.Policy{
		{Name: "a", Wasm: good, Limits: runtime.Limits{Fuel: -1, Time: -1}},
		{Name: "b", Wasm: good},
		{Name: "b", Wasm: good},
		{Name: "c", Wasm: []byte("junk")},
	})
	if err == nil {
		t.Fatal("it was loaded")
	}
	lines := strings.Split(err.Error(), "\n")
	starts := []string{`policy "a": limits.fuel`, `policy "a": limits.time`, `policy "b": there is another`, `policy "c": checking`}
	if len(lines) != len(starts) {
		t.Fatalf("%d problems: %v", len(lines), err)
	}
	for i, start := range starts {
		if !strings.HasPrefix(lines[i], start) {
			t.Errorf("problem %d is %q, want %q…", i, lines[i], start)
		}
	}
}

func TestANewerGuestLoads(t *testing.T) {
	var m w.Module
	later := m.Import(abi.ModulePolicy, "later", []w.Type{w.I32}, []w.Type{w.I32})
	later64 := m.Import(abi.ModulePolicy, "later_i64", nil, []w.Type{w.I64})
	wasi := m.Import(abi.ModuleWASI, "sock_accept", []w.Type{w.I32, w.I32, w.I32}, []w.Type{w.I32})
	m.Hook("authenticate",
		w.I32Const(1), w.Call(later), w.I32Const(int32(abi.NotSupported)), w.I32Eq, w.I32Eqz, w.If(w.Unreachable),
		w.Call(later64), w.I64Const(abi.NoValue), w.I64Eq, w.I32Eqz, w.If(w.Unreachable),
		w.I32Const(0), w.I32Const(0), w.I32Const(0), w.Call(wasi), w.I32Const(52), w.I32Eq, w.I32Eqz, w.If(w.Unreachable),
		w.Pass)
	set := load(t, runtime.Options{}, runtime.Policy{Name: "p", Wasm: m.Bytes()})
	if answer := set.Authenticate(&abi.Authentication{}); answer != abi.NoVerdict {
		t.Errorf("answer %d: a stub did not answer as the contract says", answer)
	}
	stubbed := strings.Join(set.Policies()[0].Stubbed, " ")
	if stubbed != "sallyport:policy/1.later sallyport:policy/1.later_i64 wasi_snapshot_preview1.sock_accept" {
		t.Errorf("stubbed %q", stubbed)
	}
}

func TestAGuestWithoutAMemory(t *testing.T) {
	var m w.Module
	get := m.Import(abi.ModulePolicy, "get", []w.Type{w.I32, w.I32, w.I32, w.I32}, []w.Type{w.I32})
	m.Hook("price_response",
		w.I32Const(int32(abi.FieldModel)), w.I32Const(0), w.I32Const(0), w.I32Const(64), w.Call(get),
		w.I32Const(int32(abi.BadArgument)), w.I32Eq, w.I32Eqz, w.If(w.Unreachable), w.Pass)
	set := load(t, runtime.Options{}, runtime.Policy{Name: "p", Wasm: m.Bytes()})
	if answer := set.PriceResponse(&abi.Pricing{Model: "m"}); answer != abi.NoVerdict {
		t.Errorf("answer %d", answer)
	}
}

func TestFunctionsThatAreNotServedAnswerSo(t *testing.T) {
	g := w.NewGuest()
	g.Hook("authenticate",
		g.Host("now"), w.I64Const(abi.NoValue), w.I64Eq, w.I32Eqz, w.If(w.Unreachable),
		g.Host("config", w.I32Const(0), w.I32Const(0)), w.I32Const(int32(abi.NotSupported)), w.I32Eq, w.I32Eqz, w.If(w.Unreachable),
		w.Pass)
	set := load(t, runtime.Options{Functions: []runtime.Function{}}, runtime.Policy{Name: "p", Wasm: g.Bytes()})
	if answer := set.Authenticate(&abi.Authentication{}); answer != abi.NoVerdict {
		t.Errorf("answer %d", answer)
	}
}

func TestNewRefusesAFunctionOutsideTheContract(t *testing.T) {
	_, err := runtime.New(t.Context(), runtime.Options{Functions: []runtime.Function{{Name: "system"}}})
	if err == nil || !strings.Contains(err.Error(), `"system" is not in the contract`) {
		t.Errorf("error %v", err)
	}
}

func TestPoliciesAreDescribed(t *testing.T) {
	wasm := passes(abi.Authenticate)
	set := load(t, runtime.Options{}, runtime.Policy{Name: "p", Wasm: wasm, Veto: true, Grants: runtime.Grants{Inputs: []string{"credential"}}})
	info := set.Policies()[0]
	want := runtime.Limits{Fuel: runtime.DefaultFuel, Time: runtime.DefaultTime, Memory: runtime.DefaultMemory}
	if info.Name != "p" || info.Size != len(wasm) || len(info.Digest) != 64 || !info.Veto || info.Limits != want ||
		len(info.Hooks) != 1 || len(info.Grants.Inputs) != 1 || info.Instances != 1 {
		t.Errorf("described as %+v", info)
	}
}

func TestCompiledCodeIsKeptOnDisk(t *testing.T) {
	dir := t.TempDir()
	load(t, runtime.Options{CacheDir: dir}, runtime.Policy{Name: "p", Wasm: passes(abi.Authenticate)})
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*"))
	if len(files) == 0 {
		t.Error("the cache's folder is empty")
	}
	blocked := filepath.Join(dir, "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := runtime.New(t.Context(), runtime.Options{CacheDir: blocked}); err == nil {
		t.Error("a file was taken for the cache's folder")
	}
}

func TestLoadStopsWhenItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newRuntime(t, runtime.Options{}).Load(ctx, []runtime.Policy{{Name: "p", Wasm: passes(abi.Authenticate)}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestAClosedRuntimeLoadsNothing(t *testing.T) {
	r := newRuntime(t, runtime.Options{})
	set, err := r.Load(t.Context(), []runtime.Policy{{Name: "p", Wasm: passes(abi.Authenticate)}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := r.Load(t.Context(), nil); !errors.Is(err, runtime.ErrClosed) {
		t.Errorf("error %v", err)
	}
	if answer := set.Authenticate(&abi.Authentication{}); answer != abi.Failed {
		t.Errorf("a set of a closed runtime answered %d", answer)
	}
	set.Close()
}

func TestGuestsLog(t *testing.T) {
	for _, test := range []struct {
		name string
		body func(g *w.Guest) []byte
		want []string // messages
	}{
		{"a line", func(g *w.Guest) []byte { return g.Log(abi.LogInfo, "hello") }, []string{"hello"}},
		{"levels", func(g *w.Guest) []byte {
			return w.Code(g.Log(abi.LogDebug, "not shown"), g.Log(abi.LogError, "shown"), g.Log(4, "no level"), g.Log(-1, "no level"))
		}, []string{"shown"}},
		{"a forged line", func(g *w.Guest) []byte { return g.Log(abi.LogInfo, "x\nlevel=ERROR \x1b[2J\xff ü\u202e") },
			[]string{`x\nlevel=ERROR \x1b[2J\xff ü\u202e`}},
		{"a long line", func(g *w.Guest) []byte { return g.Log(abi.LogInfo, strings.Repeat("x", 3000)) },
			[]string{strings.Repeat("x", 1024)}},
		{"too many lines", func(g *w.Guest) []byte { return bytes.Repeat(g.Log(abi.LogInfo, "x"), 20) },
			strings.Split(strings.Repeat("x", 16), "")},
	} {
		t.Run(test.name, func(t *testing.T) {
			var lines messages
			set := load(t, runtime.Options{Log: slog.New(&lines)}, runtime.Policy{Name: "p",
				Wasm: guest(abi.PriceResponse, func(g *w.Guest) []byte { return w.Code(test.body(g), w.Pass) })})
			for range 2 { // the caps are of a call
				lines = nil
				set.PriceResponse(&abi.Pricing{})
				if got := strings.Join(lines, "|"); got != strings.Join(test.want, "|") {
					t.Errorf("logged %q, want %q", got, test.want)
				}
			}
		})
	}
}

// messages is a log handler that keeps the guests' lines, and the messages of others.
type messages []string

func (*messages) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (m *messages) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "line" {
			line = a.Value.String()
		}
		if a.Key == "said" && a.Value.String() != "" {
			line += ": " + a.Value.String()
		}
		return true
	})
	*m = append(*m, line)
	return nil
}
func (m *messages) WithAttrs([]slog.Attr) slog.Handler { return m }
func (m *messages) WithGroup(string) slog.Handler      { return m }

// clock is a fixed time for guests.
func clock() time.Time { return time.UnixMilli(1_700_000_000_123).Add(456 * time.Microsecond) }
