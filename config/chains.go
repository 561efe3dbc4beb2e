package config

import (
	"net/http"

	"github.com/sallyport-dev/sallyport/formats"
)

// Commit says when a stream begins to reach the client, after which no other step can take over.
type Commit uint8

// The ways to commit.
const (
	FirstContent Commit = iota // with its first event that has content
	Complete                   // when all of it is there
)

// OnAmbiguous says what follows an attempt of which nobody knows whether the provider handled it.
type OnAmbiguous uint8

// What may follow.
const (
	AmbiguousNext OnAmbiguous = iota // the next step
	AmbiguousFail                    // nothing: the client is told
	AmbiguousSame                    // also the same step, unless its provider was silent
)

// The strategies: how the built-in policy chooses among steps of one priority.
const (
	Weighted = "weighted"
	Latency  = "latency"
	Cost     = "cost"
	Sticky   = "sticky"
)

// Affinity says which requests belong together under the strategy sticky.
type Affinity uint8

// What requests may have in common.
const (
	NoAffinity    Affinity = iota
	ByKey                  // the identity
	ByHeader               // the value of a header; the identity where there is none
	ByPromptStart          // the first bytes of the body, which providers keep caches of
)

// Failure is how a chain takes failures of its steps.
type Failure struct {
	Commit          Commit
	Retries         int // of one step, after the first try; default 1
	OnAmbiguous     OnAmbiguous
	LargerContext   bool // a prompt that does not fit goes on to a step with a larger context; default true
	OnModelNotFound bool // a model that a provider does not know goes on to the next step; default false
	Summary         bool // answers carry a routing_summary; default false
}

// defaultFailure is that of a chain that does not say, and of every alias.
func defaultFailure() Failure { return Failure{Retries: 1, LargerContext: true} }

// maxRetries is far beyond what helps.
const maxRetries = 10

// chain reads one entry of chains.
func (l *loading) chain(v value) {
	c := &Chain{Format: formats.NumFormats, Failure: defaultFailure(), Strategy: Weighted}
	ok := v.object(append([]field{
		required("name", func(v value) {
			c.Name = v.modelName()
			l.modelNames.claim(v, c.Name)
		}),
		optional("commit", func(v value) {
			if s, _ := v.choice("first_content", "complete"); s == "complete" {
				c.Commit = Complete
			}
		}),
		optional("strategy", func(v value) {
			if s, ok := v.choice(Weighted, Latency, Cost, Sticky); ok {
				c.Strategy = s
			}
		}),
		optional("sticky", func(v value) { v.sticky(c) }),
		optional("retries", func(v value) {
			n, _ := v.integer(0, maxRetries)
			c.Retries = int(n)
		}),
		optional("on_ambiguous", func(v value) { v.onAmbiguous(&c.OnAmbiguous) }),
		optional("on_context_length", func(v value) { v.nextOrPass(&c.LargerContext) }),
		optional("on_model_not_found", func(v value) { v.nextOrPass(&c.OnModelNotFound) }),
		optional("routing_summary", func(v value) { v.boolean(&c.Summary) }),
		optional("timeouts", func(v value) { v.timeouts(&c.stated) }),
		required("steps", func(v value) {
			if v.items(func(v value) { l.step(v, c) }) && len(v.node.Content) == 0 {
				v.fail("must have at least one step")
			}
		}),
	}, limitFields(&c.Limits, "take the chain out")...))
	if !ok {
		return
	}
	if c.Strategy == Sticky && c.Affinity == NoAffinity {
		c.Affinity = ByKey
	}
	c.setTotal()
	if c.Name != "" && l.snapshot.Chains[c.Name] == nil {
		l.snapshot.Chains[c.Name] = c
	}
}

// setTotal finds out how long an exchange may take: as the chain says, else as its most patient step does.
func (c *Chain) setTotal() {
	c.Total = c.stated.Total
	for i := range c.Steps {
		if c.stated.Total == 0 {
			c.Total = max(c.Total, c.Steps[i].Patience.Whole.Total)
		}
	}
}

// sticky reads which requests belong together.
func (v value) sticky(c *Chain) {
	v.object([]field{
		required("by", func(v value) {
			switch s, _ := v.choice("key", "header", "prompt"); s {
			case "key":
				c.Affinity = ByKey
			case "header":
				c.Affinity = ByHeader
			case "prompt":
				c.Affinity = ByPromptStart
			}
		}),
		optional("header", func(v value) {
			s, ok := v.text()
			if message := checkHeader(s); ok && message != "" {
				v.fail("%s", message)
			}
			c.AffinityHeader = http.CanonicalHeaderKey(s)
		}),
	})
	switch {
	case c.Strategy != Sticky:
		v.fail("belongs to the strategy sticky")
	case c.Affinity == ByHeader && c.AffinityHeader == "":
		v.fail("must name the header")
	case c.Affinity != ByHeader && c.Affinity != NoAffinity && c.AffinityHeader != "":
		v.fail("names a header, but does not go by it")
	}
}

func (v value) onAmbiguous(target *OnAmbiguous) {
	switch s, _ := v.choice("next", "fail", "same"); s {
	case "fail":
		*target = AmbiguousFail
	case "same":
		*target = AmbiguousSame
	}
}

// nextOrPass reads whether a rejection goes on to the next step, or passes to the client.
func (v value) nextOrPass(next *bool) {
	if s, ok := v.choice("next", "pass"); ok {
		*next = s == "next"
	}
}

// Bounds of a step's place in its chain.
const (
	maxPriority   = 1_000
	maxWeight     = 1_000_000
	maxConcurrent = 1_000_000
)

// step reads one step of a chain. Both its priority and its weight are 1 where it does not say.
func (l *loading) step(v value, c *Chain) {
	var alias *Chain
	var stated Timeouts
	place := map[string]int64{"priority": 1, "weight": 1}
	number := func(name string, low, high int64) field {
		return optional(name, func(v value) { place[name], _ = v.integer(low, high) })
	}
	v.object([]field{
		required("model", func(v value) { alias = l.stepModel(v, c) }),
		number("priority", 0, maxPriority),
		number("weight", 1, maxWeight),
		number("concurrent", 1, maxConcurrent),
		optional("timeouts", func(v value) { v.timeouts(&stated) }),
	})
	if alias == nil || len(alias.Steps) == 0 {
		return
	}
	step := alias.Steps[0]
	step.Concurrent = int(place["concurrent"])
	step.Patience = patience(step.Reasoning, stated, c.stated, alias.stated, step.Provider.Timeouts)
	l.add(c, step, place["priority"], place["weight"])
	c.Context = max(c.Context, alias.Context)
}

// stepModel reads which alias a step names. It has to be of the format of the steps before it.
func (l *loading) stepModel(v value, c *Chain) *Chain {
	name, ok := v.text()
	if !ok {
		return nil
	}
	alias := l.snapshot.Chains[name]
	switch {
	case alias == nil:
		v.fail("there is no model with the alias %s%s", quote(v.written()), DidYouMean(v.written(), known(l.snapshot.Chains)))
		return nil
	case !alias.Alias:
		v.fail("%s is a chain: a step names an alias", quote(v.written()))
		return nil
	case c.Format == formats.NumFormats:
		c.Format = alias.Format
	case alias.Format != formats.NumFormats && alias.Format != c.Format:
		v.fail("is of the format %s, but the steps before it are of %s: all steps of a chain speak one format", alias.Format, c.Format)
	}
	return alias
}
