package config

import (
	"strings"
)

// team reads one entry of teams. All that a team is good for by now is that keys name it.
func (l *loading) team(v value) {
	v.object([]field{
		required("name", func(v value) { l.teamNames.claim(v, v.name()) }),
	}, "parent", "budget", "rpm", "rph", "rpd", "tpm", "tpd", "concurrent", "models",
		"max_input_tokens", "max_output_tokens")
}

// key reads one entry of keys.
func (l *loading) key(v value) {
	var k Key
	v.object([]field{
		required("name", func(v value) {
			k.Name = v.name()
			l.keyNames.claim(v, k.Name)
		}),
		required("key", func(v value) { k.Secret = l.keySecret(v) }),
		optional("team", func(v value) { k.Team = l.keyTeam(v) }),
		optional("models", func(v value) { k.Models = l.keyModels(v) }),
		optional("expires", func(v value) { k.Expires = v.expiry() }),
	}, "default_model", "budget", "rpm", "rph", "rpd", "tpm", "tpd", "concurrent",
		"max_input_tokens", "max_output_tokens", "prefix", "labels")
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
		v.fail("there is no team %s%s", quote(v.written()), didYouMean(v.written(), known(l.teamNames)))
	}
	return team
}

// keyModels reads which models a key may use: names of aliases and chains, and prefixes that end in "*". The latter
// may match nothing yet.
func (l *loading) keyModels(v value) (models []string) {
	v.items(func(v value) {
		s, ok := v.text()
		if !ok {
			return
		}
		_, exact := l.modelNames[s]
		if _, prefix := strings.CutSuffix(s, "*"); !exact && (!prefix || strings.Count(s, "*") > 1) {
			v.fail("there is no alias or chain %s%s", quote(v.written()), didYouMean(v.written(), known(l.modelNames)))
		}
		models = append(models, s)
	})
	if models == nil && len(v.node.Content) == 0 {
		v.fail("names no model: take the field out to allow all")
	}
	return models
}
