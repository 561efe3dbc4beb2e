package extism_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	stock "github.com/extism/go-sdk"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/hostfuncs/extism"
	"github.com/sallyport-dev/sallyport/runtime"
)

// outcome is what came of a call, as far as a host can see.
type outcome struct {
	output    string
	complaint string
	logs      []string // "level: text"
	ended     bool     // the guest did not return
}

// question asks a hook. Exactly one of the pointers is set.
type question struct {
	authentication *abi.Authentication
	choice         *abi.StepChoice
	pricing        *abi.Pricing
}

func (q question) hook() abi.Hook {
	switch {
	case q.authentication != nil:
		return abi.Authenticate
	case q.choice != nil:
		return abi.ChooseStep
	default:
		return abi.PriceResponse
	}
}

func (q question) ask(set *runtime.Set) abi.Answer {
	switch {
	case q.authentication != nil:
		return set.Authenticate(q.authentication)
	case q.choice != nil:
		return set.ChooseStep(q.choice)
	default:
		return set.PriceResponse(q.pricing)
	}
}

// spy is a runtime.Observer and a slog.Handler that remember, and looks at what guests answer.
type spy struct {
	mu      sync.Mutex
	failure runtime.Failure
	cause   string
	logs    []string
	output  []byte
	says    string
}

func (s *spy) HookDone(_ string, _ abi.Hook, _ time.Duration, failure runtime.Failure) {
	s.failure = failure
}
func (s *spy) PolicyOut(string, abi.Hook, time.Duration) {}

func (s *spy) Enabled(context.Context, slog.Level) bool { return true }
func (s *spy) WithAttrs([]slog.Attr) slog.Handler       { return s }
func (s *spy) WithGroup(string) slog.Handler            { return s }
func (s *spy) Handle(_ context.Context, r slog.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Attrs(func(a slog.Attr) bool {
		switch {
		case r.Message == "a policy says" && a.Key == "line":
			s.logs = append(s.logs, strings.ToLower(r.Level.String())+": "+a.Value.String())
		case r.Message == "a policy failed" && a.Key == "cause":
			s.cause = a.Value.String()
		}
		return true
	})
	return nil
}

// portable is the portable tier with the spy looking on.
func (s *spy) portable() *runtime.Portable {
	p := extism.New()
	for i, f := range p.Functions {
		p.Functions[i].Call = func(c *runtime.Call, stack []uint64) {
			f.Call(c, stack)
			s.output, s.says = extism.Output(c.Session()), c.Session().Complaint()
		}
	}
	return p
}

// ours is a policy on our host.
type ours struct {
	*spy
	set *runtime.Set
}

func load(t testing.TB, policy runtime.Policy) *ours {
	t.Helper()
	s := &spy{}
	return &ours{s, loadWith(t, policy, runtime.Options{Portable: s.portable(), Observer: s, Log: slog.New(s)})}
}

func loadWith(t testing.TB, policy runtime.Policy, o runtime.Options) *runtime.Set {
	t.Helper()
	o.Functions = hostfuncs.Functions(hostfuncs.Options{})
	r, err := runtime.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	policy.Name = "p"
	if policy.Limits.Time == 0 {
		policy.Limits.Time = time.Minute // these tests run on busy machines
	}
	set, err := r.Load(t.Context(), []runtime.Policy{policy})
	if err != nil {
		_ = r.Close(context.WithoutCancel(t.Context()))
		t.Fatal(err)
	}
	t.Cleanup(func() {
		set.Close()
		if err := r.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return set
}

// ask asks and says what came of it.
func (o *ours) ask(q question) (abi.Answer, outcome) {
	o.logs, o.output, o.says, o.cause, o.failure = nil, nil, "", "", runtime.NoFailure
	answer := q.ask(o.set)
	ended := o.failure == runtime.Trap || o.failure == runtime.OutOfFuel || o.failure == runtime.Exited
	return answer, outcome{string(o.output), o.says, slices.Clone(o.logs), ended}
}

// theirs is a policy on Extism's own host.
type theirs struct {
	plugin *stock.Plugin
	logs   []string
}

func loadStock(t testing.TB, wasm []byte, config map[string]string) *theirs {
	t.Helper()
	stock.SetLogLevel(stock.LogLevelOff) // it has things to say that go to standard error
	ctx := context.WithoutCancel(t.Context())
	plugin, err := stock.NewPlugin(ctx, stock.Manifest{
		Wasm:   []stock.Wasm{stock.WasmData{Data: wasm}},
		Memory: &stock.ManifestMemory{MaxPages: 256, MaxHttpResponseBytes: -1, MaxVarBytes: -1},
		Config: config,
	}, stock.PluginConfig{EnableWasi: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plugin.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	stock.SetLogLevel(stock.LogLevelTrace)
	host := &theirs{plugin: plugin}
	plugin.SetLogger(func(level stock.LogLevel, text string) {
		name := strings.ToLower(level.String())
		if name == "trace" {
			name = "debug" // which we log them as
		}
		host.logs = append(host.logs, name+": "+text)
	})
	return host
}

// call calls an export and says what came of it.
func (h *theirs) call(export string, input []byte) outcome {
	h.logs = nil
	_, output, err := h.plugin.Call(export, input)
	out := outcome{output: string(output), complaint: h.plugin.GetError()}
	out.ended = err != nil && err.Error() != out.complaint
	for _, line := range h.logs {
		if !strings.HasPrefix(line, "debug: Calling ") && !strings.HasPrefix(line, "debug: Initializing ") {
			out.logs = append(out.logs, line)
		}
	}
	return out
}

func (o outcome) String() string {
	return fmt.Sprintf("output %q, complaint %q, logs %q, ended %t", o.output, o.complaint, o.logs, o.ended)
}
