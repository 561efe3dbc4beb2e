package config

import (
	"slices"
	"time"

	"github.com/sallyport-dev/sallyport/formats"
)

// chain reads one entry of chains.
func (l *loading) chain(v value) {
	c := &Chain{Format: formats.NumFormats, Timeouts: defaultTimeouts()}
	ok := v.object(append([]field{
		required("name", func(v value) {
			c.Name = v.modelName()
			l.modelNames.claim(v, c.Name)
		}),
		optional("strategy", value.strategy),
		optional("timeouts", func(v value) { v.timeouts(&c.Timeouts) }),
		required("steps", func(v value) {
			if v.items(func(v value) { l.step(v, c) }) && len(v.node.Content) == 0 {
				v.fail("must have at least one step")
			}
		}),
	}, limitFields(&c.Limits, "take the chain out")...), "commit", "retries", "on_ambiguous")
	if ok && c.Name != "" && l.snapshot.Chains[c.Name] == nil {
		l.snapshot.Chains[c.Name] = c
	}
}

// strategy accepts what is built.
func (v value) strategy() {
	const built = "weighted"
	later := []string{"latency", "cost", "sticky"}
	s, ok := v.text()
	switch {
	case !ok || s == built:
	case slices.Contains(later, s):
		v.fail("the strategy %s is not supported by this version yet", quote(v.written()))
	default:
		v.fail("must be %s%s", built, DidYouMean(v.written(), []string{built}))
	}
}

// Bounds of timeouts.
const (
	minTimeout = time.Millisecond
	maxTimeout = 24 * time.Hour
)

func (v value) timeouts(t *Timeouts) {
	span := func(name string, target *time.Duration) field {
		return optional(name, func(v value) { v.duration(target, minTimeout, maxTimeout) })
	}
	v.object([]field{
		span("connect", &t.Connect),
		span("tls", &t.TLS),
		span("first_byte", &t.FirstByte),
		span("gap", &t.Gap),
		span("total", &t.Total),
	}, "first_content")
}

// Bounds of a step's place in its chain.
const (
	maxPriority = 1_000
	maxWeight   = 1_000_000
)

// step reads one step of a chain. Both its priority and its weight are 1 where it does not say.
func (l *loading) step(v value, c *Chain) {
	var alias *Chain
	place := map[string]int64{"priority": 1, "weight": 1}
	number := func(name string, low, high int64) field {
		return optional(name, func(v value) { place[name], _ = v.integer(low, high) })
	}
	v.object([]field{
		required("model", func(v value) { alias = l.stepModel(v, c) }),
		number("priority", 0, maxPriority),
		number("weight", 1, maxWeight),
	})
	if alias == nil || len(alias.Steps) == 0 {
		return
	}
	l.add(c, alias.Steps[0], place["priority"], place["weight"])
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
