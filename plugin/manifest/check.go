package manifest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugin/document"
)

// check returns what the schema cannot say of a manifest.
func (m *Manifest) check(d *document.Document) (problems document.Problems) {
	say := func(pointer, format string, args ...any) {
		problems = append(problems, document.Problem{Line: d.Line(pointer), Pointer: pointer, Message: fmt.Sprintf(format, args...)})
	}
	if !namePattern.MatchString(m.Name) {
		say("/name", `must be letters, digits and "._-", and begin with a letter or digit`)
	}
	if !versionPattern.MatchString(m.Version) {
		say("/version", "must be a version such as 1.2.0, as semver.org has it")
	}
	for pointer, text := range m.texts() {
		if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			say(pointer, "must be one line of printable text")
		}
	}
	if m.ABI != abi.Version {
		say("/abi", "is version %d of the contract; this Sallyport serves version %d", m.ABI, abi.Version)
	}
	if m.Veto && len(m.Hooks) > 0 && !slices.Contains(m.Hooks, abi.Authenticate.String()) {
		say("/veto", "acts at authenticate, which is not among the hooks")
	}
	for i, name := range m.Inputs {
		if !isPlainInput(name) {
			say(fmt.Sprintf("/inputs/%d", i), "is no field that a policy reads without a grant")
		}
	}
	asked := map[string]bool{}
	for i, a := range m.Grants {
		pointer := fmt.Sprintf("/grants/%d", i)
		if a.Input != "" && !isGrantedInput(a.Input) {
			say(pointer+"/input", "is no input that needs a grant")
		}
		if asked[a.String()] {
			say(pointer, "asks for %s a second time", a)
		}
		asked[a.String()] = true
	}
	return problems
}

var (
	namePattern    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	versionPattern = regexp.MustCompile(`^(0|[1-9]\d{0,8})(\.(0|[1-9]\d{0,8})){2}` +
		`(-(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)
)

// texts returns what people get to read, by JSON pointer.
func (m *Manifest) texts() map[string]string {
	all := map[string]string{
		"/description": m.Description, "/author": m.Author, "/licence": m.Licence, "/source": m.Source, "/revision": m.Revision,
		"/toolchain": m.Toolchain,
	}
	for i, a := range m.Grants {
		all[fmt.Sprintf("/grants/%d/reason", i)] = a.Reason
	}
	return all
}

// isPlainInput reports whether a field can be read without a grant.
func isPlainInput(name string) bool {
	return slices.ContainsFunc(abi.Fields(), func(f abi.Field) bool { return f.Name == name && !f.Output && !f.Grant })
}

// isGrantedInput reports whether name is an input that needs a grant, or an element of one.
func isGrantedInput(name string) bool {
	return slices.ContainsFunc(abi.Fields(), func(f abi.Field) bool {
		element, found := strings.CutPrefix(name, f.Name+".")
		return f.Grant && (f.Kind != abi.Named && f.Name == name ||
			f.Kind == abi.Named && found && element != "" && element == strings.ToLower(element))
	})
}
