package cases

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// The answers.
const (
	Verdict = "verdict"
	Pass    = "pass"   // nobody gave a verdict
	Failed  = "failed" // the policy failed
)

// Outcome is what came of a case.
type Outcome struct {
	Answer    string
	Identity  *Identity
	Status    int
	Code      string
	Message   string
	Step      int
	Stop      bool
	Reason    string
	Cost      int64
	Breakdown Amounts

	Log     []string
	Failure string           // why the policy failed, with the guest's functions
	State   State            // after the call
	Metrics map[string]int64 // what it counted
	Took    time.Duration
}

// Answered sets the answer.
func (o *Outcome) Answered(answer abi.Answer) {
	o.Answer = map[abi.Answer]string{abi.Given: Verdict, abi.NoVerdict: Pass, abi.Failed: Failed}[answer]
}

// Authenticated takes in what came of a question at authenticate.
func (o *Outcome) Authenticated(a *abi.Authentication) {
	o.Identity, o.Status, o.Code, o.Message = described(a.Identity), a.Status, a.Code, a.Message
}

// Chose takes in what came of a question at choose_step.
func (o *Outcome) Chose(s *abi.StepChoice) { o.Step, o.Stop, o.Reason = s.Step, s.Stop, s.Reason }

// Priced takes in what came of a question at price_response.
func (o *Outcome) Priced(p *abi.Pricing) {
	o.Cost = int64(p.Cost)
	for d, part := range p.Breakdown {
		o.Breakdown[d] = int64(part)
	}
}

// Judge compares what came of a case with what it wants. It returns the differences, nothing if there are none.
func (c *Case) Judge(got *Outcome) []string {
	j := judge{}
	w := &c.Want
	if w.Answer != got.Answer {
		j.say("answer: got %s, want %s", got.summary(), w.Answer)
		if got.Failure != "" {
			j.say("failure: %s", got.Failure)
		}
		j.logged(got.Log)
		return j.differences
	}
	if w.Answer == Verdict {
		j.verdict(w, got)
	}
	if w.Failure != "" && !strings.Contains(got.Failure, w.Failure) {
		j.say("failure: got %s\n  want one with %q", got.Failure, w.Failure)
	}
	if w.Log != nil && !slices.Equal(w.Log, got.Log) {
		j.lines("log", got.Log, w.Log, func(line, want string) bool { return line == want })
	}
	if w.LogBegins != nil && !slices.EqualFunc(got.Log, w.LogBegins, strings.HasPrefix) {
		j.lines("log_begins", got.Log, w.LogBegins, strings.HasPrefix)
	}
	if w.State != nil || w.Windows != nil {
		j.state(got.State, w)
	}
	if w.Metrics != nil && !maps.Equal(w.Metrics, got.Metrics) {
		j.say("metrics: got %s, want %s", text(got.Metrics), text(w.Metrics))
	}
	return j.differences
}

// judge collects differences.
type judge struct{ differences []string }

func (j *judge) say(format string, args ...any) {
	j.differences = append(j.differences, fmt.Sprintf(format, args...))
}

func (j *judge) verdict(w *Want, got *Outcome) {
	j.identity(w.Identity, got.Identity)
	differ(j, "status", got.Status, w.Status)
	if w.Code != nil {
		differ(j, "code", got.Code, *w.Code)
	}
	if w.Message != nil {
		differ(j, "message", got.Message, *w.Message)
	}
	differ(j, "step", got.Step, w.Step)
	differ(j, "stop", got.Stop, w.Stop)
	if w.Reason != nil {
		differ(j, "reason", got.Reason, *w.Reason)
	}
	if got.Cost != w.Cost {
		j.say("cost: got %d nano-dollars (%s), want %d (%s)", got.Cost, abi.NanoUSD(got.Cost), w.Cost, abi.NanoUSD(w.Cost))
	}
	if w.Breakdown != nil {
		for d := range abi.NumDimensions {
			differ(j, "breakdown."+d.String(), got.Breakdown[d], w.Breakdown[d])
		}
	}
}

func differ[T comparable](j *judge, name string, got, want T) {
	if got != want {
		j.say("%s: got %s, want %s", name, text(got), text(want))
	}
}

// identity compares two identities member by member. A name that is not asked for is the id, or none.
func (j *judge) identity(want, got *Identity) {
	if want == nil || got == nil {
		if want != got {
			j.say("identity: got %s, want %s", text(got), text(want))
		}
		return
	}
	expected := *want
	if expected.Name == "" {
		expected.Name = got.Name
	}
	gotMembers, wantMembers := members(got), members(&expected)
	names := slices.Sorted(maps.Keys(gotMembers))
	for name := range wantMembers {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if g, w := gotMembers[name], wantMembers[name]; string(g) != string(w) {
			j.say("identity.%s: got %s, want %s", name, orNone(g), orNone(w))
		}
	}
}

// members returns the parts of an identity as JSON, by name.
func members(i *Identity) (all map[string]json.RawMessage) {
	encoded, err := json.Marshal(i)
	if err == nil {
		err = json.Unmarshal(encoded, &all)
	}
	if err != nil {
		panic(err) // an identity of plain texts and numbers can be written, and read
	}
	return all
}

func orNone(member json.RawMessage) string {
	if member == nil {
		return "none"
	}
	return string(member)
}

// lines shows two lists of lines beside each other.
func (j *judge) lines(name string, got, want []string, same func(line, want string) bool) {
	var b strings.Builder
	b.WriteString(name + ":")
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(want):
			fmt.Fprintf(&b, "\n  got  %s", got[i])
		case i >= len(got):
			fmt.Fprintf(&b, "\n  want %s", want[i])
		case same(got[i], want[i]):
			fmt.Fprintf(&b, "\n       %s", got[i])
		default:
			fmt.Fprintf(&b, "\n  got  %s\n  want %s", got[i], want[i])
		}
	}
	j.say("%s", b.String())
}

// logged adds what the policy logged to an answer that nobody wanted.
func (j *judge) logged(log []string) {
	if len(log) > 0 {
		j.say("it logged:\n  %s", strings.Join(log, "\n  "))
	}
}

func (j *judge) state(got State, want *Want) {
	for key, entry := range want.State {
		if _, ok := got[key]; !ok {
			j.say("state %q: got nothing, want %s", key, entry)
		}
	}
	for _, key := range want.Windows {
		if _, ok := got[key]; !ok {
			j.say("state %q: got nothing, want a window", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		w, ok := want.State[key]
		switch g := got[key]; {
		case slices.Contains(want.Windows, key) && g.Used != nil:
		case !ok:
			j.say("state %q: got %s, want nothing", key, g)
		case g.String() != w.String():
			j.say("state %q: got %s, want %s", key, g, w)
		}
	}
}

// String writes the entry for a message. How long it lasts is not part of it.
func (e Entry) String() string {
	if e.Used != nil {
		return fmt.Sprintf("%d used in a window of %s", *e.Used, time.Duration(e.Window)*time.Millisecond)
	}
	return fmt.Sprintf("%q", e.Content())
}

// summary says in short what a policy answered.
func (o *Outcome) summary() string {
	switch {
	case o.Answer != Verdict:
		return o.Answer
	case o.Identity != nil:
		return "a verdict that allows " + o.Identity.KeyID
	case o.Status != 0:
		return fmt.Sprintf("a verdict that denies with %d %s %q", o.Status, o.Code, o.Message)
	case o.Stop:
		return "a verdict that stops"
	case o.Cost != 0:
		return fmt.Sprintf("a verdict that charges %d", o.Cost)
	default:
		return fmt.Sprintf("a verdict: step %d, cost %d", o.Step, o.Cost)
	}
}

// text writes a value as cases have it.
func text(v any) string {
	if i, ok := v.(*Identity); ok && i == nil {
		return "none"
	}
	encoded, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(encoded)
}
