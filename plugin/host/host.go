// Package host asks a policy the questions of test cases: on the gateway's own runtime and host functions, with a clock,
// random numbers and a store that the case decides on. It is what `sallyport plugin test` runs, and the self-test when a
// gateway loads a policy.
//
// It imports abi, hostfuncs, hostfuncs/extism, kv, plugin/cases and runtime. cmd/sallyport imports it, and tests that run guests.
package host

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/hostfuncs/extism"
	"github.com/sallyport-dev/sallyport/kv"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/runtime"
)

// Options are the policy that is asked, and where.
type Options struct {
	Policy runtime.Policy // as policies.yaml would have it; its name is "policy" if it has none, its time limit is not used

	CacheDir string                              // of compiled modules; "": they are compiled each time
	Compiler func(ctx context.Context) *exec.Cmd // as runtime.Options has it

	// Watch is given the host's functions and returns those that guests get; nil: the same ones.
	Watch func([]runtime.Function) []runtime.Function

	Tracer    runtime.Tracer    // as runtime.Options has it
	Portable  *runtime.Portable // the portable tier; nil: the gateway's own
	Unmetered bool              // as runtime.Options has it
}

// Host asks one policy. Its methods must not be called by several goroutines at once.
type Host struct {
	policy  runtime.Policy
	runtime *runtime.Runtime
	kv      *kv.KV
	random  func([]byte)
	meter   meter
	log     *journal
	now     atomic.Pointer[time.Time] // what time it is in the case; the store looks at it by itself
	away    bool                      // nothing can be stored or read
	loaded  *runtime.Set              // what was asked last: its instances serve the next case too
	asVeto  bool                      // of a replay: loaded asks for a veto
}

// patience is how long a call may take, and wait for an instance: how fast a machine is that does other things too is not
// what is tested.
const patience = 10 * time.Second

const defaultName = "policy"

// Open makes a host. The policy is loaded by the first case, so that one may be about a configuration that it refuses.
func Open(ctx context.Context, o Options) (_ *Host, err error) {
	h := &Host{policy: o.Policy, log: &journal{}, random: count}
	h.setClock(cases.DefaultNow.Time())
	h.policy.Name = cmp.Or(h.policy.Name, defaultName)
	h.policy.Limits.Time = patience
	clock := func() time.Time { return *h.now.Load() }
	if h.kv, err = kv.Open(ctx, kv.Options{Store: memory{}, Clock: clock}); err != nil {
		return nil, fmt.Errorf("making a store for the policy: %w", err)
	}
	functions := hostfuncs.Functions(hostfuncs.Options{KV: h.namespace, Meter: &h.meter})
	if o.Watch != nil {
		functions = o.Watch(functions)
	}
	portable := o.Portable
	if portable == nil {
		portable = extism.New()
	}
	h.runtime, err = runtime.New(ctx, runtime.Options{
		CacheDir: o.CacheDir, Compiler: o.Compiler, Functions: functions, Portable: portable, Log: slog.New(h.log), Now: clock,
		Random: func(b []byte) { h.random(b) }, Tracer: o.Tracer, Unmetered: o.Unmetered,
	})
	if err != nil {
		return nil, errors.Join(err, h.kv.Close())
	}
	return h, nil
}

// setClock says what time it is from now on.
func (h *Host) setClock(now time.Time) { h.now.Store(&now) }

// count is what random numbers are here: 1, 2, 3, from 1 in each call.
func count(b []byte) {
	for i := range b {
		b[i] = byte(i + 1)
	}
}

// Close lets the policy and what it remembers go.
func (h *Host) Close(ctx context.Context) error {
	if h.loaded != nil {
		h.loaded.Close()
	}
	return errors.Join(h.runtime.Close(ctx), h.kv.Close())
}

// Load loads the policy as a case has it, without asking it anything. It describes what was loaded.
func (h *Host) Load(ctx context.Context, c *cases.Case) (runtime.PolicyInfo, error) {
	if err := h.load(ctx, c, 0); err != nil {
		return runtime.PolicyInfo{}, err
	}
	for _, p := range h.loaded.Policies() {
		if p.Name == h.policy.Name {
			return p, nil
		}
	}
	return runtime.PolicyInfo{}, fmt.Errorf("the policy %q was not loaded", h.policy.Name)
}

// Ask asks the question of a case, and returns everything that came of it. A policy that does not load, because it refuses
// the case's configuration for instance, has failed.
func (h *Host) Ask(ctx context.Context, c *cases.Case) (*cases.Outcome, error) {
	h.setClock(c.Clock())
	h.log.take()
	if err := h.load(ctx, c, c.Want.Fuel); err != nil {
		lines, _ := h.log.take()
		return &cases.Outcome{Answer: cases.Failed, Failure: err.Error(), Log: lines}, ctx.Err()
	}
	memory, err := h.kv.Namespace(h.policy.Name)
	if err == nil {
		err = remember(memory, c)
	}
	if err != nil {
		return nil, err
	}
	h.away = c.Unavailable
	h.meter.take()
	h.log.take()
	got := ask(h.loaded, c)
	var failure string
	if got.Log, failure = h.log.take(); got.Answer == cases.Failed {
		got.Failure = failure
	}
	got.Metrics = h.meter.take()
	got.State, err = remembered(memory, c.Want.State)
	return got, err
}

// ask asks what the case asks.
func ask(set *runtime.Set, c *cases.Case) *cases.Outcome {
	got := &cases.Outcome{}
	began := time.Now()
	switch abi.Hook(c.Hook) {
	case abi.Authenticate:
		a := c.Authentication()
		got.Answered(set.Authenticate(a))
		got.Authenticated(a)
	case abi.ChooseStep:
		s := c.StepChoice()
		got.Answered(set.ChooseStep(s))
		got.Chose(s)
	default:
		p := c.Pricing()
		got.Answered(set.PriceResponse(p))
		got.Priced(p)
	}
	got.Took = time.Since(began)
	return got
}

// load loads the policy as a case has it, within an amount of fuel; 0: its own limit. What is loaded stays so until the
// next is, and what both have in common is shared.
func (h *Host) load(ctx context.Context, c *cases.Case, fuel int64) error {
	policies, err := h.policies(c, fuel)
	if err != nil {
		return err
	}
	set, err := h.runtime.Load(ctx, policies)
	if err != nil {
		return err
	}
	if h.loaded != nil {
		h.loaded.Close()
	}
	h.loaded = set
	set.AskAgain() // cases may be about failures, many of them
	return nil
}

// policies is the policy as a case has it, after the one that lets in whom a veto is about.
func (h *Host) policies(c *cases.Case, fuel int64) ([]runtime.Policy, error) {
	p := h.policy
	if c.Config != nil {
		config, err := encode(c.Config)
		if err != nil {
			return nil, err
		}
		p.Config = config
	}
	if c.Ungranted {
		p.Grants = runtime.Grants{}
	}
	if most := cmp.Or(p.Limits.Fuel, runtime.DefaultFuel); fuel > 0 && fuel < most {
		p.Limits.Fuel = fuel
	}
	p.Veto = c.Veto
	if !c.Veto {
		return []runtime.Policy{p}, nil
	}
	before := p
	if c.Identity != nil {
		before = runtime.Policy{Name: "allower", Wasm: allower(), Grants: runtime.Grants{Identities: true}, Limits: runtime.Limits{Time: patience}}
	} else { // the same policy decides and objects
		before.Veto, p.Name = false, "veto"
	}
	p.Hooks = []abi.Hook{abi.Authenticate}
	return []runtime.Policy{before, p}, nil
}

// encode writes a configuration as the gateway does: without escapes that only HTML needs.
func encode(config any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(config); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// Result is what came of one case.
type Result struct {
	Case        *cases.Case
	Outcome     *cases.Outcome
	Differences []string // from what the case wants; none: it is fine
}

// Run asks all cases in their order. A policy's instances live on from case to case, as they do in a gateway; what it
// remembers in its store does not.
func (h *Host) Run(ctx context.Context, all []cases.Case) ([]Result, error) {
	results := make([]Result, 0, len(all))
	for i := range all {
		c := &all[i]
		got, err := h.Ask(ctx, c)
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return nil, fmt.Errorf("asking %q: %w", c.Name, err)
		}
		r := Result{Case: c, Outcome: got, Differences: c.Judge(got)}
		if c.Want.Fuel > 0 && strings.HasPrefix(got.Failure, runtime.OutOfFuel.String()) {
			r.Differences = append(r.Differences, fmt.Sprintf("fuel: it used more than the %d units of want.fuel", c.Want.Fuel))
		}
		results = append(results, r)
	}
	return results, nil
}
