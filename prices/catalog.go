package prices

import (
	"bytes"
	_ "embed" // for the catalogue
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// version is the version of the format.
const version = 1

//go:embed catalog.jsonl
var embedded []byte

// Catalog is what the models of many providers cost. It is immutable, for many goroutines.
type Catalog struct {
	date, origin string
	providers    []*provider
	names        map[string]*provider // by id and by alias
}

// provider is one provider of a catalogue.
type provider struct {
	line     int
	id       string
	hosts    []pattern
	fallback []string // names of those whose models it serves too
	models   []*model
}

// model is one model of a provider. Its tariff is built when it is asked for: of a thousand models few are used.
type model struct {
	id    string
	match []pattern
	terms Terms
}

// Embedded returns the catalogue that comes with the binary. It takes a few milliseconds: keep what it returns.
func Embedded() (*Catalog, error) {
	c, err := Parse(embedded)
	if err != nil {
		return nil, fmt.Errorf("reading the embedded catalogue of prices: %w", err)
	}
	return c, nil
}

// Parse reads a catalogue, in the format that README.md describes. What is wrong with it comes back at once, as
// Problems. The catalogue keeps nothing of data.
func Parse(data []byte) (*Catalog, error) {
	p := parser{catalog: &Catalog{names: map[string]*provider{}}}
	headed := false
	for len(data) > 0 {
		var line []byte
		line, data, _ = bytes.Cut(data, []byte("\n"))
		p.line++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if !headed && !p.begins(line) {
			break // another kind of file: what else is wrong with it says nothing
		}
		headed = true
		p.read(line)
	}
	if p.line == 0 || !headed && len(p.problems) == 0 {
		p.line = 1
		p.fail("is empty")
	}
	p.fallbacks()
	if len(p.problems) > 0 {
		slices.SortStableFunc(p.problems, func(a, b Problem) int { return a.Line - b.Line })
		return nil, p.problems
	}
	return p.catalog, nil
}

// parser reads a catalogue line by line.
type parser struct {
	reader
	catalog *Catalog
	ids     map[string]int     // of the current provider's models; the lines that they stand in
	match   map[pattern]string // of the current provider's models, and which model has it
}

// begins says whether the line is one that a catalogue begins with.
func (p *parser) begins(line []byte) bool {
	if kind(line) == "version" {
		return true
	}
	p.fail(`is not the first line of a catalogue, which is a JSON document that begins with {"version":%d`, version)
	return false
}

// kind returns the name of the first member of a line, which says what it is; "" if it is no JSON object in UTF-8.
func kind(line []byte) string {
	if line[0] != '{' || !json.Valid(line) || !utf8.Valid(line) {
		return ""
	}
	name := next(line[1:])
	if len(name) == 0 {
		return ""
	}
	return decode(name[:length(name)])
}

// read reads one line.
func (p *parser) read(line []byte) {
	switch kind := kind(line); {
	case kind == "version" && p.catalog.date == "":
		p.header(line)
	case kind == "provider":
		p.provider(line)
	case kind == "model" && len(p.catalog.providers) > 0:
		p.model(line)
	case kind == "model":
		p.fail("is a model without a provider above it")
	default:
		p.fail(`must be a JSON document that begins with {"provider": or {"model":%s`, why(line))
	}
}

// why returns where a line is no JSON; "" if it is.
func why(line []byte) string {
	var document json.RawMessage
	if err := json.Unmarshal(line, &document); err != nil {
		return ", and this is not JSON: " + err.Error()
	}
	return ""
}

// header reads the first line.
func (p *parser) header(line []byte) {
	p.object(line, func(name string, value []byte) bool {
		switch name {
		case "version":
			if string(value) != fmt.Sprint(version) {
				p.fail("must be %d: this is another version of the format", version)
			}
		case "date":
			p.catalog.date = p.date(value).Format(time.DateOnly)
		case "origin":
			p.catalog.origin = p.text(value)
		case "licence":
			p.text(value)
		case "notes":
			p.texts(value)
		default:
			return false
		}
		return true
	})
	if p.catalog.date == "" {
		p.fail("must have a date")
	}
}

// provider reads the line that begins a provider.
func (p *parser) provider(line []byte) {
	own := &provider{line: p.line}
	p.catalog.providers = append(p.catalog.providers, own)
	p.ids, p.match = map[string]int{}, map[pattern]string{}
	p.object(line, func(name string, value []byte) bool {
		switch name {
		case "provider":
			own.id = p.text(value)
			p.claim(own.id, own)
		case "name":
			p.text(value)
		case "aliases":
			p.list(value, func(value []byte) { p.claim(p.text(value), own) })
		case "hosts":
			own.hosts = p.patterns(value)
		case "fallback":
			own.fallback = p.texts(value)
			for i, id := range own.fallback {
				own.fallback[i] = strings.ToLower(id)
			}
		default:
			return false
		}
		return true
	})
}

// claim gives a name to a provider. They differ in more than upper and lower case.
func (p *parser) claim(name string, by *provider) {
	name = strings.ToLower(name)
	if other := p.catalog.names[name]; other != nil {
		p.fail("%q is a name of the provider in line %d already", name, other.line)
		return
	}
	p.catalog.names[name] = by
}

// fallbacks reports what names no provider. It runs last, because one may stand further down.
func (p *parser) fallbacks() {
	for _, own := range p.catalog.providers {
		for _, id := range own.fallback {
			if other := p.catalog.names[id]; other == nil || !strings.EqualFold(other.id, id) || other == own {
				p.line, p.path = own.line, []string{"fallback"}
				p.fail("there is no other provider %q", id)
			}
		}
	}
}

// model reads the line of a model.
func (p *parser) model(line []byte) {
	m := &model{}
	priced := false
	own := p.catalog.providers[len(p.catalog.providers)-1]
	own.models = append(own.models, m)
	p.object(line, func(name string, value []byte) bool {
		switch name {
		case "model":
			m.id = p.text(value)
			if other := p.ids[m.id]; other > 0 {
				p.fail("%q stands in line %d already", m.id, other)
			}
			p.ids[m.id] = p.line
		case "match":
			m.match = p.patterns(value)
			p.unique(m)
		case "price":
			before := len(p.problems)
			m.terms, priced = p.terms(value), true
			if err := m.terms.check(); err != nil && len(p.problems) == before {
				p.fail("%s", strings.ReplaceAll(err.Error(), "\n", "; "))
			}
		default:
			return false
		}
		return true
	})
	if len(m.match) == 0 || !priced {
		p.fail("must say what it matches and its price")
	}
}

// unique reports the patterns of a model that another one of its provider has too.
func (p *parser) unique(m *model) {
	for _, pat := range m.match {
		if other, taken := p.match[pat]; taken {
			p.fail("%q is a pattern of %q already", string(pat), other)
		}
		p.match[pat] = m.id
	}
}

// patterns reads a list of patterns.
func (r *reader) patterns(value []byte) (all []pattern) {
	r.list(value, func(value []byte) { all = append(all, pattern(strings.ToLower(r.text(value)))) })
	return all
}

// Date returns the day of the catalogue, "2026-11-20".
func (c *Catalog) Date() string { return c.date }

// Origin returns what the catalogue was made from; "" if it does not say.
func (c *Catalog) Origin() string { return c.origin }

// Providers returns the ids of the catalogue's providers, sorted.
func (c *Catalog) Providers() []string {
	ids := make(map[string]bool, len(c.providers))
	for _, p := range c.providers {
		ids[p.id] = true
	}
	return slices.Sorted(maps.Keys(ids))
}

// Model is one model of a catalogue, for people.
type Model struct {
	ID       string
	Patterns []string // names that are priced as this model: * stands for any text, # for a digit
	Tariff   *Tariff
}

// Models returns the models of a provider, in the catalogue's order; nothing if there is no provider of this id.
func (c *Catalog) Models(provider string) []Model {
	p := c.names[strings.ToLower(provider)]
	if p == nil || !strings.EqualFold(p.id, provider) {
		return nil
	}
	models := make([]Model, len(p.models))
	for i, m := range p.models {
		models[i] = Model{ID: m.id, Tariff: c.tariff(p, m)}
		for _, pat := range m.match {
			models[i].Patterns = append(models[i].Patterns, string(pat))
		}
	}
	return models
}
