package config

import (
	"strings"

	"github.com/sallyport-dev/sallyport/formats"
)

// maxName is the longest name of a provider, key, team or policy in bytes.
const maxName = 64

// name reads the name of a provider, key, team or policy: 1 to 64 letters, digits and "._-:@+".
func (v value) name() string {
	s, ok := v.text()
	if !ok {
		return ""
	}
	if message := checkName(s); message != "" {
		v.fail("%s", message)
		return ""
	}
	return s
}

// checkName says what is wrong with a name; "" if nothing is.
func checkName(s string) string {
	if s == "" || len(s) > maxName || strings.ContainsFunc(s, notInName) {
		return `must be 1 to 64 letters, digits and "._-:@+"`
	}
	return ""
}

// modelName reads the name of an alias or a chain. Clients send it in bodies and in paths, lists separate it by
// commas, and a key's models may end in "*": so it has no character that means something in any of these.
func (v value) modelName() string {
	s, ok := v.text()
	if !ok {
		return ""
	}
	bad := s == "" || len(s) > formats.MaxModel
	for segment := range strings.SplitSeq(s, "/") {
		bad = bad || segment == "" || segment == "." || segment == ".." || strings.ContainsFunc(segment, notInName)
	}
	if bad {
		v.fail(`must be 1 to %d letters, digits and "._-:@+/", without empty or dot segments`, formats.MaxModel)
		return ""
	}
	return s
}

func notInName(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("._-:@+", r)
}

// claims are the names of one kind that are taken, and by which field.
type claims map[string]string

// claim takes a name. A name that was not read is "", which nobody can take.
func (c claims) claim(v value, name string) {
	if name == "" {
		return
	}
	if owner, taken := c[name]; taken {
		v.fail("%s is already the name of %s", quote(name), owner)
		return
	}
	c[name] = strings.TrimSuffix(strings.TrimSuffix(v.path, ".name"), ".alias")
}
