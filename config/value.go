package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// value is one value of the file and where it stands. Its readers report what is wrong with it and answer false; the
// zero they return then must not lead to further problems.
type value struct {
	load *loading
	node *yaml.Node
	path string
}

// fail reports a problem with the value.
func (v value) fail(format string, args ...any) {
	v.load.report(v.node, v.path, format, args...)
}

// failAll reports the problems of an error that has one on each of its lines.
func (v value) failAll(prefix string, err error) {
	for message := range strings.SplitSeq(err.Error(), "\n") {
		v.fail("%s%s", prefix, message)
	}
}

// child is a value within this one. step is its name, or its index in brackets.
func (v value) child(node *yaml.Node, step string) value {
	path := v.path + step
	if v.path != "" && step[0] != '[' {
		path = v.path + "." + step
	}
	return value{v.load, node, path}
}

// written is the text of a scalar as it stands in the file: what messages quote, because what a variable holds may be
// a secret.
func (v value) written() string { return v.node.Value }

// is reports whether the value has this kind, and the problem if it has not.
func (v value) is(kind yaml.Kind, want string) bool {
	switch {
	case v.node.Kind == yaml.AliasNode:
		v.fail("YAML aliases are not supported: write the value out")
	case v.node.Kind != kind:
		v.fail("must be %s, not %s", want, kindName(v.node))
	case isCustomTag(v.node.Tag):
		v.fail("YAML tags are not supported")
	default:
		return true
	}
	return false
}

// isCustomTag says whether the tag is one that plain YAML does not give to values by itself.
func isCustomTag(tag string) bool { return !strings.HasPrefix(tag, "!!") }

// kindName says in a person's words what a node is.
func kindName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.ShortTag() == "!!null":
		return "empty"
	}
	return "a single value"
}

// isNull reports a field that has a name and no value. People leave one behind when they comment its value out, and
// what they mean is not always the default.
func (v value) isNull() bool {
	if v.node.Kind != yaml.ScalarNode || v.node.ShortTag() != "!!null" {
		return false
	}
	v.fail("has no value: give it one, or take the field out")
	return true
}

// items calls read for every element of a list. An empty list is fine.
func (v value) items(read func(value)) bool {
	if v.isNull() || !v.is(yaml.SequenceNode, "a list") {
		return false
	}
	for i, n := range v.node.Content {
		read(v.child(n, "["+strconv.Itoa(i)+"]"))
	}
	return true
}

// text reads a text and expands the variables in it. Numbers and dates count as text, spelt as in the file.
func (v value) text() (string, bool) {
	if v.isNull() || !v.is(yaml.ScalarNode, "text") {
		return "", false
	}
	if v.node.ShortTag() == "!!bool" {
		v.fail("must be text: put %s in quotes", v.written())
		return "", false
	}
	env, left := v.load.env, false
	if v.load.onlySources && !v.decidesSource() {
		env = func(name string) (string, bool) {
			s, set := v.load.env(name)
			left = left || !set
			return s, true
		}
	}
	expanded, wrong := expand(v.node.Value, env)
	for _, message := range wrong {
		v.fail("%s", message)
	}
	return expanded, len(wrong) == 0 && !left
}

// plain reads a text that stands for a number, a time or a size.
func (v value) plain() (string, bool) {
	s, ok := v.text()
	return strings.TrimSpace(s), ok
}

// choice reads one of the given words.
func (v value) choice(words ...string) (string, bool) {
	s, ok := v.text()
	if !ok {
		return "", false
	}
	if slices.Contains(words, s) {
		return s, true
	}
	v.fail("must be %s%s", oneOf(words), DidYouMean(v.written(), words))
	return "", false
}

// oneOf lists words for a message.
func oneOf(words []string) string {
	if len(words) == 1 {
		return quote(words[0])
	}
	return "one of " + strings.Join(words, ", ")
}

// boolean reads true or false.
func (v value) boolean(target *bool) {
	if v.isNull() || !v.is(yaml.ScalarNode, "true or false") {
		return
	}
	if v.node.ShortTag() != "!!bool" {
		v.fail("must be true or false")
		return
	}
	*target = strings.EqualFold(v.node.Value, "true")
}

// integer reads a whole number between low and high.
func (v value) integer(low, high int64) (int64, bool) {
	s, ok := v.plain()
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < low || n > high {
		v.fail("must be a whole number from %d to %d", low, high)
		return 0, false
	}
	return n, true
}

// number reads a whole number between low and high into target.
func (v value) number(target *int64, low, high int64) {
	if n, ok := v.integer(low, high); ok {
		*target = n
	}
}

// duration reads a time span between low and high, as time.ParseDuration has it.
func (v value) duration(target *time.Duration, low, high time.Duration) {
	s, ok := v.plain()
	if !ok {
		return
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < low || d > high {
		v.fail("must be a time span from %s to %s with its unit, such as 250ms, 3s or 15m", low, high)
		return
	}
	*target = d
}

// day is how long a day is where no calendar is asked.
const day = 24 * time.Hour

// retention reads a time span between low and high in days, as "30d", or as time.ParseDuration has it.
func (v value) retention(target *time.Duration, low, high time.Duration) {
	s, ok := v.plain()
	if !ok {
		return
	}
	d, err := time.ParseDuration(s)
	if number, found := strings.CutSuffix(s, "d"); found {
		var n uint64
		n, err = strconv.ParseUint(number, 10, 16) // as many days are far from an overflow
		d = time.Duration(n) * day
	}
	if err != nil || d < low || d > high {
		v.fail("must be a time span from %s to %s with its unit, such as 30d or 12h", formatDays(low), formatDays(high))
		return
	}
	*target = d
}

// formatDays writes a time span in days if it is a number of them, else in hours.
func formatDays(d time.Duration) string {
	if d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	return strconv.FormatInt(int64(d/time.Hour), 10) + "h"
}

// bytes reads a number of bytes between low and high into target.
func (v value) bytes(target *int64, low, high int64) {
	if n, ok := v.size(low, high); ok {
		*target = n
	}
}

// size reads a number of bytes between low and high.
func (v value) size(low, high int64) (int64, bool) {
	s, ok := v.plain()
	if !ok {
		return 0, false
	}
	n, ok := parseSize(s)
	if !ok || n < low || n > high {
		v.fail("must be a size from %s to %s, such as 512KiB or 32MiB", formatSize(low), formatSize(high))
		return 0, false
	}
	return n, true
}

// sizeUnits are the units of sizes, largest first.
var sizeUnits = [...]struct {
	suffix string
	shift  uint
}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}}

// parseSize reads a number of bytes with or without a unit.
func parseSize(s string) (int64, bool) {
	var shift uint
	for _, unit := range sizeUnits {
		if number, found := strings.CutSuffix(s, unit.suffix); found {
			s, shift = strings.TrimSpace(number), unit.shift
			break
		}
	}
	n, err := strconv.ParseUint(s, 10, 63-int(shift))
	if err != nil {
		return 0, false
	}
	return int64(n) << shift, true
}

// formatSize writes a size in the largest unit that divides it.
func formatSize(n int64) string {
	for _, unit := range sizeUnits {
		if n > 0 && n%(1<<unit.shift) == 0 {
			return strconv.FormatInt(n>>unit.shift, 10) + unit.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}

// moment reads a date, which begins in UTC, or a time with its zone.
func (v value) moment() (t time.Time) {
	s, ok := v.plain()
	if !ok {
		return t
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	v.fail("must be a date such as 2027-01-01, or a time such as 2027-01-01T08:00:00Z")
	return t
}

// secretLeast is the length of the shortest secret that is not a joke.
const secretLeast = 16

// secret reads a text that goes into a header, of at least this length. No message quotes it.
func (v value) secret(least int) (string, bool) {
	s, ok := v.text()
	switch {
	case !ok:
	case s == "":
		v.fail("is empty")
	case strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		v.fail("must be printable ASCII without white space")
	case len(s) < least:
		v.fail("must have at least %d characters", least)
	default:
		return s, true
	}
	return "", false
}

// quote puts a text of the file into a message.
func quote(s string) string { return fmt.Sprintf("%.80q", s) }
