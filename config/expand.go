package config

import (
	"fmt"
	"strings"
)

// expand replaces every ${NAME} in text by the environment variable of that name. "$${" stands for a literal "${";
// a dollar sign before anything else stands for itself. What a variable holds is not expanded again. It returns what
// is wrong, which never holds the value of a variable.
func expand(text string, env func(string) (string, bool)) (expanded string, wrong []string) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "${")
		if !found {
			b.WriteString(text)
			return b.String(), wrong
		}
		if literal, ok := strings.CutSuffix(before, "$"); ok {
			b.WriteString(literal + "${")
			text = rest
			continue
		}
		b.WriteString(before)
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return "", append(wrong, `has a "${" without a "}"; write "$${" where no variable is meant`)
		}
		text = after
		if !isVariable(name) {
			wrong = append(wrong, `has a "${…}" without the name of a variable in it; write "$${" where none is meant`)
			continue
		}
		value, set := env(name)
		if !set {
			wrong = append(wrong, fmt.Sprintf("the environment variable %s is not set", name))
		}
		b.WriteString(value)
	}
}

// isVariable says whether name can be the name of an environment variable: letters, digits and underscores, and no
// digit in front.
func isVariable(name string) bool {
	for i, c := range []byte(name) {
		switch {
		case c == '_', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
		case '0' <= c && c <= '9' && i > 0:
		default:
			return false
		}
	}
	return name != ""
}
