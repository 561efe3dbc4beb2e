package prices

import (
	"cmp"
	"strings"
)

// pattern is a name in lower case in which * stands for any text, none included, and # for one digit.
type pattern string

// matches says whether a name in lower case is one of the pattern's.
func (p pattern) matches(name string) bool {
	after, resume := -1, 0 // behind the last *, and where in the name what it stands for may end next
	i, j := 0, 0
	for j < len(name) {
		switch {
		case i < len(p) && p[i] == '*':
			i++
			after, resume = i, j
		case i < len(p) && (p[i] == name[j] || p[i] == '#' && '0' <= name[j] && name[j] <= '9'):
			i++
			j++
		case after >= 0:
			resume++
			i, j = after, resume
		default:
			return false
		}
	}
	return strings.Trim(string(p[i:]), "*") == ""
}

// compare orders patterns by how exact they are: a plain name is more exact than one with anything left open, and of
// those the one that says more.
func (p pattern) compare(other pattern) int {
	return cmp.Or(cmp.Compare(p.plain(), other.plain()), cmp.Compare(p.stated(), other.stated()))
}

// plain returns 1 for a pattern that is one name, else 0.
func (p pattern) plain() int {
	if strings.ContainsAny(string(p), "*#") {
		return 0
	}
	return 1
}

// stated returns how many characters of a name the pattern fixes.
func (p pattern) stated() int { return len(p) - strings.Count(string(p), "*") }
