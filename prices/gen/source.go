package main

import (
	"encoding/json"
	"errors"
)

// source is a provider as the data has it.
type source struct {
	ID            string   `json:"id"`
	Name          string   `json:"name"`
	APIPattern    string   `json:"api_pattern"`
	ProviderMatch *clause  `json:"provider_match"`
	Fallback      []string `json:"fallback_model_providers"`
	Models        []struct {
		ID     string `json:"id"`
		Match  clause `json:"match"`
		Prices costs  `json:"prices"`
	} `json:"models"`
}

// clause says which names are meant; one of its fields is set.
type clause struct {
	Equals     string   `json:"equals"`
	StartsWith string   `json:"starts_with"`
	EndsWith   string   `json:"ends_with"`
	Contains   string   `json:"contains"`
	Regex      string   `json:"regex"`
	Or         []clause `json:"or"`
	And        []clause `json:"and"`
}

// costs are what a model costs: the data has one set of prices, or a list of them of which the last one counts whose
// constraint holds.
type costs []struct {
	Constraint struct {
		StartDate string `json:"start_date"`
		StartTime string `json:"start_time"`
		EndTime   string `json:"end_time"`
	} `json:"constraint"`
	Prices map[string]cost `json:"prices"`
}

func (c *costs) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		type list costs // without this method
		return json.Unmarshal(b, (*list)(c))
	}
	*c = make(costs, 1)
	return json.Unmarshal(b, &(*c)[0].Prices)
}

// cost is a price, and those that replace it where the whole prompt has more tokens than Start.
type cost struct {
	Base  json.Number `json:"base"`
	Tiers []struct {
		Start int64       `json:"start"`
		Price json.Number `json:"price"`
	} `json:"tiers"`
}

func (c *cost) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		type object cost // without this method
		return json.Unmarshal(b, (*object)(c))
	}
	return json.Unmarshal(b, &c.Base)
}

// patterns returns the catalogue's patterns for what the clause means.
func (c *clause) patterns() ([]string, error) {
	switch {
	case c.Equals != "":
		return []string{c.Equals}, nil
	case c.StartsWith != "":
		return []string{c.StartsWith + "*"}, nil
	case c.EndsWith != "":
		return []string{"*" + c.EndsWith}, nil
	case c.Contains != "":
		return []string{"*" + c.Contains + "*"}, nil
	case c.Regex != "":
		return expand(c.Regex)
	case c.Or == nil:
		return nil, errors.New("a clause that is not known here")
	}
	var all []string
	for _, one := range c.Or {
		some, err := one.patterns()
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// names returns the names that a clause for providers has, without what it leaves open: of a provider's name in a
// configuration a part proves nothing.
func (c *clause) names() []string {
	if c == nil {
		return nil
	}
	var all []string
	for _, s := range []string{c.Equals, c.StartsWith, c.Contains} {
		if s != "" {
			all = append(all, s)
		}
	}
	for _, one := range c.Or {
		all = append(all, one.names()...)
	}
	return all
}
