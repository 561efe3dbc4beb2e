package prices

import (
	"fmt"
	"strings"
)

// Query names a model of a configured provider.
type Query struct {
	Name    string // of the provider in policies.yaml
	Host    string // of its base_url, without the port
	Format  string // "openai", "anthropic", "gemini"
	Catalog string // id of the catalogue's provider that the operator names; "" if none
	Model   string // the provider's name of the model
}

// Find returns the tariff of a model. The provider is the one that the operator names, else the one whose host it is,
// else the one of its name, else the owner of the format; only its models are looked at, and those of the providers
// that the catalogue names as its fallback. So a compatible server that serves gpt-4o is priced as OpenAI, and a
// llama3.2 on localhost is not found. Upper and lower case make no difference.
func (c *Catalog) Find(q Query) (*Tariff, bool) {
	p := c.provider(q)
	if p == nil {
		return nil, false
	}
	name := strings.ToLower(q.Model)
	if m := p.find(name); m != nil {
		return c.tariff(p, m), true
	}
	for _, id := range p.fallback {
		other := c.names[id]
		if m := other.find(name); m != nil {
			return c.tariff(other, m), true
		}
	}
	return nil, false
}

// provider returns the catalogue's provider that the query means; nil if there is none.
func (c *Catalog) provider(q Query) *provider {
	if q.Catalog != "" {
		return c.names[strings.ToLower(q.Catalog)]
	}
	if p := c.host(strings.ToLower(strings.TrimSuffix(q.Host, "."))); p != nil {
		return p
	}
	if p := c.names[strings.ToLower(q.Name)]; p != nil {
		return p
	}
	return c.names[owner(q.Format)]
}

// owner returns the provider whose models a server of the format serves of which nothing else is known.
func owner(format string) string {
	if format == "gemini" {
		return "google"
	}
	return format
}

// host returns the provider whose host it is; of several the one that says so most exactly.
func (c *Catalog) host(host string) (found *provider) {
	var best pattern
	for _, p := range c.providers {
		for _, pat := range p.hosts {
			if pat.matches(host) && (found == nil || pat.compare(best) > 0) {
				found, best = p, pat
			}
		}
	}
	return found
}

// find returns the model that matches a name most exactly; of several the one that stands first.
func (p *provider) find(name string) (found *model) {
	var best pattern
	for _, m := range p.models {
		for _, pat := range m.match {
			if pat.matches(name) && (found == nil || pat.compare(best) > 0) {
				found, best = m, pat
			}
		}
	}
	return found
}

// tariff builds the tariff of a model.
func (c *Catalog) tariff(p *provider, m *model) *Tariff {
	return build(m.terms, fmt.Sprintf("catalogue %s: %s/%s", c.date, p.id, m.id))
}
