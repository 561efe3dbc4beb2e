package config

import (
	"strings"
)

// key reads one entry of keys.
func (l *loading) key(v value) {
	var k Key
	v.object(append([]field{
		required("name", func(v value) {
			k.Name = v.name()
			l.keyNames.claim(v, k.Name)
		}),
		required("key", func(v value) { k.Secret = l.keySecret(v) }),
		optional("team", func(v value) { k.Team = l.keyTeam(v) }),
		optional("models", func(v value) { k.Models = l.allowedModels(v) }),
		optional("default_model", func(v value) { k.DefaultModel = l.defaultModel(v, &k) }),
		optional("expires", func(v value) { k.Expires = v.moment() }),
		optional("labels", func(v value) { k.Labels = v.labels() }),
		optional("budget", func(v value) { k.Budgets = v.budgets() }),
	}, limitFields(&k.Limits, "take the key out")...), "prefix")
	l.snapshot.Keys = append(l.snapshot.Keys, k)
}

// keySecret reads a secret that no other key has: which of the two a request belongs to would be a matter of luck.
func (l *loading) keySecret(v value) string {
	secret, ok := v.secret(secretLeast)
	if !ok {
		return ""
	}
	if other, taken := l.keySecrets[secret]; taken {
		v.fail("is the same as %s", other)
		return ""
	}
	l.keySecrets[secret] = v.path
	return secret
}

func (l *loading) keyTeam(v value) string {
	team, ok := v.text()
	if _, found := l.teamNames[team]; ok && !found {
		v.fail("there is no team %s%s", quote(v.written()), DidYouMean(v.written(), known(l.teamNames)))
	}
	return team
}

// allowedModels reads which models a key or the keys of a team may use: names of aliases and chains, and prefixes that
// end in "*". The latter may match nothing yet. It returns nil, which is all, if anything is wrong with the list.
func (l *loading) allowedModels(v value) []string {
	before := len(l.problems)
	var models []string
	v.items(func(v value) {
		s, ok := v.text()
		if !ok {
			return
		}
		_, exact := l.modelNames[s]
		if _, prefix := strings.CutSuffix(s, "*"); !exact && (!prefix || strings.Count(s, "*") > 1) {
			v.fail("there is no alias or chain %s%s", quote(v.written()), DidYouMean(v.written(), known(l.modelNames)))
		}
		models = append(models, s)
	})
	if models == nil && len(v.node.Content) == 0 {
		v.fail("names no model: take the field out to allow all")
	}
	if len(l.problems) > before {
		return nil
	}
	return models
}

// defaultModel reads which model a request of a key gets that names none. A default that the key or a team above it
// may not use would refuse every such request.
func (l *loading) defaultModel(v value, k *Key) string {
	name, ok := v.text()
	if !ok {
		return ""
	}
	if _, found := l.modelNames[name]; !found {
		v.fail("there is no alias or chain %s%s", quote(v.written()), DidYouMean(v.written(), known(l.modelNames)))
		return ""
	}
	if !mayUse(k.Models, name) {
		v.fail("the key may not use %s: add it to models", quote(v.written()))
	}
	team := l.findTeam(k.Team)
	for level := 0; team != nil && level < maxLevels; level++ {
		if !mayUse(team.Models, name) {
			v.fail("the team %s may not use %s", quote(team.Name), quote(v.written()))
			break
		}
		team = l.findTeam(team.Parent)
	}
	return name
}
