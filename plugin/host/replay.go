package host

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/runtime"
)

// Replay asks a policy the questions of a trace, and answers its calls of the host as they were answered then. What it calls
// beyond that is answered by a store that is empty when the replay begins, and told.
//
// Its methods must not be called by several goroutines at once.
type Replay struct {
	options Options
	host    *Host
	plain   *Host // for failures; nil until there is one

	contract map[string]*abi.Function // of the functions that keep state, by their names
	running  *replaying               // nil: nothing is asked
	written  map[string]bool          // keys that the policy has written to the store
}

// Replayed is what came of one decision.
type Replayed struct {
	Was, Is     *cases.Outcome
	Differences []string // none: the policy decides as it was decided then
	Missing     []string // what the policy wanted to know and the trace does not hold, each once
}

// OpenReplay makes a replay for a policy. Its name is to be that of the policy in the trace.
func OpenReplay(ctx context.Context, o Options) (_ *Replay, err error) {
	r := &Replay{options: o, contract: map[string]*abi.Function{}, written: map[string]bool{}}
	const grantKV = "kv: own"
	for _, f := range abi.Functions() {
		if f.Grant == grantKV {
			r.contract[f.Name] = &f
		}
	}
	r.host, err = r.open(ctx, false)
	return r, err
}

// open makes a host whose functions answer as the trace has it.
func (r *Replay) open(ctx context.Context, unmetered bool) (*Host, error) {
	o := r.options
	o.Watch, o.Tracer, o.Unmetered = r.watch, tracer{r}, unmetered
	if unmetered {
		o.CacheDir, o.Compiler = "", nil // a cache would keep what is used once
	}
	h, err := Open(ctx, o)
	if err != nil {
		return nil, err
	}
	h.random = r.random
	return h, nil
}

// Close lets the policy go.
func (r *Replay) Close(ctx context.Context) error {
	if r.plain != nil {
		if err := r.plain.Close(ctx); err != nil {
			return err
		}
	}
	return r.host.Close(ctx)
}

// Load loads the policy, without asking it anything.
func (r *Replay) Load(ctx context.Context) (runtime.PolicyInfo, error) {
	return r.host.Load(ctx, &cases.Case{})
}

// Ask asks what was decided in d.
func (r *Replay) Ask(ctx context.Context, d *runtime.Decision) (*Replayed, error) {
	run := newReplaying(d)
	is, err := r.ask(ctx, r.host, run)
	if err != nil {
		return nil, err
	}
	out := &Replayed{Was: outcomeOf(d), Is: is, Missing: run.missing}
	want := wanted(out.Was)
	out.Differences = (&cases.Case{Want: want}).Judge(is)
	return out, nil
}

// Explain asks a question at which the policy failed once more, in a build whose stack names lines of the source where the
// module knows them, and returns why it failed; "" if it did not fail there.
func (r *Replay) Explain(ctx context.Context, d *runtime.Decision) (string, error) {
	if r.plain == nil {
		h, err := r.open(ctx, true)
		if err != nil {
			return "", err
		}
		r.plain = h
	}
	is, err := r.ask(ctx, r.plain, newReplaying(d))
	if err != nil {
		return "", err
	}
	return is.Failure, nil
}

func (r *Replay) ask(ctx context.Context, h *Host, run *replaying) (*cases.Outcome, error) {
	d := run.decision
	h.setClock(d.Time)
	for i := range d.Calls {
		if d.Calls[i].Function == "now" {
			h.setClock(unixMilli(d.Calls[i].Result))
			break
		}
	}
	if h.loaded == nil || h.asVeto != d.Veto {
		asked := &cases.Case{Veto: d.Veto}
		if d.Veto {
			asked.Identity = &cases.Identity{}
		}
		if err := h.load(ctx, asked, 0); err != nil {
			return nil, err
		}
		h.asVeto = d.Veto
	}
	h.loaded.AskAgain() // each failure is one to look at
	r.running = run
	defer func() { r.running = nil }()
	is := run.ask(h.loaded)
	if is.Answer == cases.Failed {
		is.Failure = run.failure
	}
	h.meter.take()
	h.log.take()
	return is, context.Cause(ctx)
}

// outcomeOf is what came of the decision then.
func outcomeOf(d *runtime.Decision) *cases.Outcome {
	was := &cases.Outcome{Took: d.Took}
	was.Answered(d.Answer)
	if d.Answer == abi.Failed {
		was.Failure = explain(d.Failure.String(), d.Cause, d.Said)
	}
	if d.Answer != abi.Given {
		return was
	}
	switch d.Hook {
	case abi.Authenticate:
		was.Authenticated(d.Authentication)
	case abi.ChooseStep:
		was.Chose(d.StepChoice)
	default:
		was.Priced(d.Pricing)
	}
	return was
}

// wanted is what a case would have to want for the same to come of it.
func wanted(was *cases.Outcome) cases.Want {
	return cases.Want{
		Answer: was.Answer, Identity: was.Identity, Status: was.Status, Code: &was.Code, Message: &was.Message, Step: was.Step,
		Stop: was.Stop, Reason: &was.Reason, Cost: was.Cost, Breakdown: &was.Breakdown,
	}
}

// watch puts functions that look into the trace first before those that keep state.
func (r *Replay) watch(functions []runtime.Function) []runtime.Function {
	out := slices.Clone(functions)
	for i, f := range out {
		if contract, ok := r.contract[f.Name]; ok {
			out[i].Call = func(c *runtime.Call, stack []uint64) { r.answer(c, contract, stack, f.Call) }
		}
	}
	return out
}

// answer answers a call of a function that keeps state: as it was answered then or, if nobody asked that, from the store.
func (r *Replay) answer(c *runtime.Call, f *abi.Function, stack []uint64, call func(*runtime.Call, []uint64)) {
	if r.running == nil || c.Hook >= abi.NumHooks {
		call(c, stack)
		return
	}
	asked := runtime.ReadHostCall(c, f, stack)
	key := string(bytes.Join(asked.In[:1], nil))
	if reads(f.Name) && r.written[key] {
		call(c, stack)
		return
	}
	if r.running.answer(c, f, &asked, stack) {
		return
	}
	r.running.miss(fmt.Sprintf("%s of %s", f.Name, quoted(key)))
	if !reads(f.Name) {
		r.written[key] = true
	}
	call(c, stack)
}

// reads reports whether a function changes nothing: then it answers the same as often as it is called.
func reads(function string) bool {
	return function == "kv_get" || function == "kv_version" || function == "kv_list"
}

func quoted(key string) string {
	const most = 64
	if len(key) > most {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(key[:most], ""))
	}
	return fmt.Sprintf("%q", key)
}

// random hands out the bytes that the policy got then.
func (r *Replay) random(b []byte) {
	if r.running == nil || !r.running.random(b) {
		count(b)
	}
}

// tracer is told what a policy looks at while it is asked again.
type tracer struct{ replay *Replay }

// Wants implements runtime.Tracer.
func (t tracer) Wants([]byte) bool { return t.replay.running != nil }

// Trace implements runtime.Tracer.
func (t tracer) Trace(d *runtime.Decision) {
	run := t.replay.running
	if d.Policy != t.replay.host.policy.Name {
		return // the one that lets in whom a veto is about
	}
	if d.Answer == abi.Failed {
		run.failure = explain(d.Failure.String(), d.Cause, d.Said)
	}
	if a := run.decision.Authentication; d.CredentialRead && a != nil && a.Shape != abi.CredentialNone {
		run.miss("the credential, which no trace holds")
	}
}

var _ runtime.Tracer = tracer{}
