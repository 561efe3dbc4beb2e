package config

import (
	"strings"
	"unicode"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/formats"
)

// maxTokens is more tokens than any model can read or write.
const maxTokens = 1_000_000_000

// model reads one entry of models, which becomes a chain of one step.
func (l *loading) model(v value) {
	c := &Chain{Alias: true, Failure: defaultFailure(), Strategy: Weighted}
	step, priced, reasoning := Step{}, false, (*bool)(nil)
	ok := v.object(append([]field{
		required("alias", func(v value) {
			c.Name = v.modelName()
			l.modelNames.claim(v, c.Name)
		}),
		required("provider", func(v value) { step.Provider = v.provider() }),
		required("model", func(v value) { step.Model = v.providerModel() }),
		optional("context", func(v value) {
			n, _ := v.integer(1, maxTokens)
			c.Context = int(n)
		}),
		optional("max_output", func(v value) { v.number(&step.MaxOutput, 1, maxTokens) }),
		optional("reasoning", func(v value) {
			reasoning = new(bool)
			v.boolean(reasoning)
		}),
		optional("timeouts", func(v value) { v.timeouts(&c.stated) }),
		optional("price", func(v value) { priced, step.Tariff = true, v.price() }),
	}, limitFields(&c.Limits, "take the model out")...))
	if !ok || c.Name == "" {
		return
	}
	step.Alias = c.Name
	step.ModelJSON = []byte(`"` + step.Model + `"`) // no character of it needs an escape
	c.Format = formats.NumFormats
	if step.Provider != nil {
		c.Format = step.Provider.Format
		if !priced {
			step.Tariff = l.catalogueTariff(&step)
		}
		if step.Reasoning = reasons(step.Model); reasoning != nil {
			step.Reasoning = *reasoning
		}
		step.Context = int64(c.Context)
		step.Patience = patience(step.Reasoning, c.stated, step.Provider.Timeouts)
		l.add(c, step, 1, 1)
		c.setTotal()
	}
	l.snapshot.Chains[c.Name] = c
}

// add appends a step to a chain, and what choose_step sees of it.
func (l *loading) add(c *Chain, step Step, priority, weight int64) {
	c.Steps = append(c.Steps, step)
	c.MaxOutput = max(c.MaxOutput, step.MaxOutput)
	choice := abi.Step{Model: step.Alias, Provider: step.Provider.Name, Priority: priority, Weight: weight, Context: step.Context}
	if step.Tariff != nil {
		choice.Price = step.Tariff.Row(l.now, 0)
	}
	c.Choices = append(c.Choices, choice)
}

// provider reads a reference to a provider.
func (v value) provider() *Provider {
	name, ok := v.text()
	if !ok {
		return nil
	}
	p, found := v.load.providers[name]
	if !found {
		v.fail("there is no provider %s%s", quote(v.written()), DidYouMean(v.written(), known(v.load.providers)))
	}
	return p
}

// providerModel reads the provider's name of a model. It goes into a JSON body between quotes as it is.
func (v value) providerModel() string {
	s, ok := v.text()
	if !ok {
		return ""
	}
	odd := func(r rune) bool { return !unicode.IsPrint(r) || r == '"' || r == '\\' || r == unicode.ReplacementChar }
	if s == "" || len(s) > formats.MaxModel || s != strings.TrimSpace(s) || strings.ContainsFunc(s, odd) {
		v.fail("must be 1 to %d bytes of printable text without quotes and backslashes", formats.MaxModel)
		return ""
	}
	return s
}
