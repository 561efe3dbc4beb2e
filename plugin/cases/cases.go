// Package cases is the format of test cases for policies: a question at a hook, what was remembered before it, and what is
// to come of it. The golden cases of the contract, the cases of a plugin's project and the self-test in a module's
// manifest all have it. README.md describes it to people, schema.json to programs.
//
// It imports abi and plugin/document. It reads and judges; asking is the business of plugin/host.
package cases

import (
	_ "embed"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugin/document"
)

// Case is one case. The zero value of a member is what the request, or the policy, does not have.
type Case struct {
	Name   string `json:"name"`
	Hook   Hook   `json:"hook"`
	Config any    `json:"config,omitempty"` // of policies.yaml; nil: the one of the whole test
	Now    Moment `json:"now,omitempty"`    // default: 2026-11-21 12:00 UTC
	Veto   bool   `json:"veto,omitempty"`   // the policy is asked whether it objects to Identity
	State  State  `json:"state,omitempty"`  // what the policy remembers

	Request    Request             `json:"request,omitzero"`
	Credential string              `json:"credential,omitempty"`
	Shape      *Shape              `json:"shape,omitempty"` // default: none without a credential, else foreign
	Keys       map[string]Identity `json:"keys,omitempty"`  // stored keys by their credentials
	Identity   *Identity           `json:"identity,omitempty"`

	Chain     string     `json:"chain,omitempty"`
	Attempt   int64      `json:"attempt,omitempty"` // default: 1
	LastError ErrorClass `json:"last_error,omitempty"`
	LastStep  int64      `json:"last_step,omitempty"`
	Steps     []Step     `json:"steps,omitempty"`
	Strategy  string     `json:"strategy,omitempty"`
	Affinity  *int64     `json:"affinity,omitempty"` // nil: none

	Phase         Phase    `json:"phase,omitempty"`
	Provider      string   `json:"provider,omitempty"`
	ProviderModel string   `json:"provider_model,omitempty"`
	Usage         Amounts  `json:"usage,omitzero"`
	Price         *Amounts `json:"price,omitempty"`

	Want Want `json:"want"`

	// What only the golden cases of the contract need.
	Since        int    `json:"since,omitempty"`         // the oldest version whose kept guests know the task; 0: every
	Task         string `json:"task,omitempty"`          // in place of Request.Model
	HeadersTimes int    `json:"headers_times,omitempty"` // each header has its value that many times over
	StateCount   int    `json:"state_count,omitempty"`   // so many empty values more: user/000 and so on
	Unavailable  bool   `json:"unavailable,omitempty"`   // nothing can be stored or read
	Ungranted    bool   `json:"ungranted,omitempty"`     // the policy has no grants
}

// Request is what every hook may know of a request.
type Request struct {
	ID            string            `json:"id,omitempty"`
	Method        string            `json:"method,omitempty"`
	Path          string            `json:"path,omitempty"`
	Format        string            `json:"format,omitempty"`
	Operation     string            `json:"operation,omitempty"`
	ClientAddress string            `json:"client_address,omitempty"`
	Model         string            `json:"model,omitempty"`
	Stream        bool              `json:"stream,omitempty"`
	Headers       map[string]string `json:"headers,omitempty"` // by lower-case name
}

// Step is a step of a chain, how it does, and how often it was tried.
type Step struct {
	Model    string   `json:"model"`
	Provider string   `json:"provider"`
	Priority int64    `json:"priority,omitempty"`
	Weight   int64    `json:"weight,omitempty"`
	Tries    int64    `json:"tries,omitempty"`
	Price    *Amounts `json:"price,omitempty"`

	Available *bool  `json:"available,omitempty"` // default: if it was not tried
	Health    Health `json:"health,omitempty"`
	Cooldown  int64  `json:"cooldown,omitempty"` // milliseconds
	Latency   int64  `json:"latency,omitempty"`  // microseconds; 0: not known
	Active    int64  `json:"active,omitempty"`
	Context   int64  `json:"context,omitempty"` // tokens; 0: not known
}

// Identity is a stored key, or whom a policy let in.
type Identity struct {
	KeyID        string           `json:"key_id"`
	Name         string           `json:"name,omitempty"`
	Team         string           `json:"team,omitempty"`
	State        KeyState         `json:"state,omitempty"`
	Expires      Moment           `json:"expires,omitempty"`
	Models       []string         `json:"models,omitempty"`
	DefaultModel string           `json:"default_model,omitempty"`
	Labels       []string         `json:"labels,omitempty"` // each NAME=VALUE
	Limits       map[string]int64 `json:"limits,omitempty"`
	Budgets      []Budget         `json:"budgets,omitempty"`
}

// Budget is one of an identity's.
type Budget struct {
	Amount   abi.NanoUSD `json:"nano_usd"`
	Per      string      `json:"per"`
	Timezone string      `json:"timezone,omitempty"` // default: UTC
}

// Want is what is to come of a case.
type Want struct {
	Answer    string    `json:"answer,omitempty"` // verdict, pass or failed; default: verdict, if a member of one is there
	Identity  *Identity `json:"identity,omitempty"`
	Status    int       `json:"status,omitempty"`
	Code      *string   `json:"code,omitempty"`    // nil: whichever
	Message   *string   `json:"message,omitempty"` // nil: whichever
	Step      int       `json:"step,omitempty"`
	Stop      bool      `json:"stop,omitempty"`
	Reason    *string   `json:"reason,omitempty"` // nil: whichever
	Cost      int64     `json:"cost,omitempty"`
	Breakdown *Amounts  `json:"breakdown,omitempty"` // nil: whichever

	Log       []string         `json:"log,omitempty"`        // every line, with its level in front unless that is info; nil: whatever
	LogBegins []string         `json:"log_begins,omitempty"` // how every line begins; nil: whatever
	Failure   string           `json:"failure,omitempty"`    // part of why a policy failed
	State     State            `json:"state,omitempty"`      // all that the policy remembers; nil: whatever
	Windows   []string         `json:"windows,omitempty"`    // which of it are windows, however much they have used
	Metrics   map[string]int64 `json:"metrics,omitempty"`    // all that the policy counted; nil: whatever
	Fuel      int64            `json:"fuel,omitempty"`       // the most that the call may use; 0: limits.fuel
}

//go:embed schema.json
var schemaText []byte

// schema is what every list of cases has to fit.
var schema = sync.OnceValues(func() (*document.Schema, error) {
	d, err := document.ReadJSON(schemaText)
	if err != nil {
		return nil, err
	}
	return document.CompileSchema(d)
})

// Read reads a file of cases: JSON if its name ends like that, else YAML. hook is that of cases that name none; abi.NumHooks
// if each has to. What is wrong is document.Problems, with the file's name.
func Read(file string, text []byte, hook abi.Hook) ([]Case, error) {
	read := document.ReadYAML
	if filepath.Ext(file) == ".json" {
		read = document.ReadJSON
	}
	d, err := read(text)
	if err == nil {
		var all []Case
		if all, err = FromDocument(d, hook); err == nil {
			return all, nil
		}
	}
	if problems, ok := err.(document.Problems); ok { //nolint:errorlint // both return it as it is
		return nil, problems.In(file)
	}
	return nil, fmt.Errorf("reading %s: %w", file, err)
}

// FromDocument returns the cases of a document that is a list of them.
func FromDocument(d *document.Document, hook abi.Hook) ([]Case, error) {
	s, err := schema()
	if err != nil {
		return nil, err
	}
	if problems := s.Check(d); len(problems) > 0 {
		return nil, problems
	}
	var all []Case
	if err := d.Decode(&all); err != nil {
		return nil, document.Problems{{Message: err.Error()}}
	}
	given, _ := d.Value.([]any)
	var problems document.Problems
	names := map[string]bool{}
	for i := range all {
		c := &all[i]
		if members, _ := given[i].(map[string]any); members["hook"] == nil {
			c.Hook = Hook(hook)
		}
		for _, message := range c.check(names[c.Name]) {
			pointer := fmt.Sprintf("/%d", i)
			problems = append(problems, document.Problem{Line: d.Line(pointer), Pointer: pointer, Message: message})
		}
		names[c.Name] = true
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return all, nil
}

// check fills in what a case leaves out, and returns what the schema cannot say of it.
func (c *Case) check(twice bool) (wrong []string) {
	if twice {
		wrong = append(wrong, fmt.Sprintf("there is another case of the name %q", c.Name))
	}
	if c.Task != "" {
		c.Request.Model = c.Task
	}
	if abi.Hook(c.Hook) >= abi.NumHooks {
		return append(wrong, "names no hook")
	}
	if c.Want.Answer == "" && c.Want.verdict() {
		c.Want.Answer = Verdict
	}
	switch {
	case c.Want.Answer == "":
		wrong = append(wrong, "want says neither an answer nor a verdict")
	case c.Want.Answer != Verdict && c.Want.verdict():
		wrong = append(wrong, fmt.Sprintf("want has a verdict, and the answer %s", c.Want.Answer))
	case c.Want.Failure != "" && c.Want.Answer != Failed:
		wrong = append(wrong, "want has a failure, and not the answer failed")
	}
	if c.Veto && abi.Hook(c.Hook) != abi.Authenticate {
		wrong = append(wrong, "a veto is asked for at authenticate only")
	}
	if abi.Hook(c.Hook) == abi.ChooseStep && len(c.Steps) == 0 {
		wrong = append(wrong, "a choice needs steps")
	}
	return append(wrong, c.misplaced()...)
}

// misplaced returns which members are of another hook: they would be ignored.
func (c *Case) misplaced() (wrong []string) {
	hook := abi.Hook(c.Hook)
	say := func(there bool, at abi.Hook, names string) {
		if there && hook != at {
			wrong = append(wrong, fmt.Sprintf("%s: only at %s", names, at))
		}
	}
	w := &c.Want
	say(c.Credential != "" || c.Shape != nil || c.Keys != nil, abi.Authenticate, "credential, shape, keys")
	say(c.Chain != "" || c.Attempt != 0 || c.LastError != 0 || c.LastStep != 0 || c.Steps != nil ||
		c.Strategy != "" || c.Affinity != nil, abi.ChooseStep, "chain, attempt, last_error, last_step, steps, strategy, affinity")
	say(c.Phase != 0 || c.Provider != "" || c.ProviderModel != "" || c.Usage != (Amounts{}) || c.Price != nil, abi.PriceResponse,
		"phase, provider, provider_model, usage, price")
	say(w.Identity != nil || w.Status != 0 || w.Code != nil || w.Message != nil, abi.Authenticate, "want.identity, status, code, message")
	say(w.Step != 0 || w.Stop || w.Reason != nil, abi.ChooseStep, "want.step, stop, reason")
	say(w.Cost != 0 || w.Breakdown != nil, abi.PriceResponse, "want.cost, breakdown")
	if hook == abi.Authenticate && c.Identity != nil && !c.Veto {
		wrong = append(wrong, "identity: at authenticate only with a veto; stored keys stand in keys")
	}
	return wrong
}

// verdict reports whether a member of a verdict is there.
func (w *Want) verdict() bool {
	return w.Identity != nil || w.Status != 0 || w.Code != nil || w.Message != nil || w.Step != 0 || w.Stop || w.Reason != nil ||
		w.Cost != 0 || w.Breakdown != nil
}

// Title is the hook and the name.
func (c *Case) Title() string { return abi.Hook(c.Hook).String() + ": " + strings.TrimSpace(c.Name) }
