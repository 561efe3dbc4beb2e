package prices

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a catalogue.
type Problem struct {
	Line    int    // from 1
	Path    string // of the field within the line: "price.tiers[0].input"; "" for the line as a whole
	Message string
}

// String returns the problem as one line: "line 12: price.input: …".
func (p Problem) String() string {
	if p.Path == "" {
		return fmt.Sprintf("line %d: %s", p.Line, p.Message)
	}
	return fmt.Sprintf("line %d: %s: %s", p.Line, p.Path, p.Message)
}

// Problems is the error that Parse returns: everything that is wrong with a catalogue, in its order. It is never
// empty.
type Problems []Problem

// Error returns one line per problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// reader reads the JSON values of a line and gathers what is wrong with them. The text has been found to be valid
// JSON, so that it only has to be cut, which is several times faster than decoding it.
type reader struct {
	line     int
	path     []string // of the value that is being read: "price", "tiers", "[0]"
	problems Problems
}

// fail reports a problem of the value that is being read.
func (r *reader) fail(format string, args ...any) {
	path := strings.ReplaceAll(strings.Join(r.path, "."), ".[", "[")
	r.problems = append(r.problems, Problem{Line: r.line, Path: path, Message: fmt.Sprintf(format, args...)})
}

// object reads an object member by member. read says whether it knows the name.
func (r *reader) object(text []byte, read func(name string, value []byte) (known bool)) {
	if text[0] != '{' {
		r.fail("must be an object")
		return
	}
	var room [16]string
	seen := room[:0]
	for rest := next(text[1:]); len(rest) > 0; {
		name, value := rest[:length(rest)], next(rest[length(rest):])
		member := decode(name)
		r.path = append(r.path, member)
		if slices.Contains(seen, member) {
			r.fail("is stated twice")
		} else if !read(member, value[:length(value)]) {
			r.fail("unknown field")
		}
		r.path = r.path[:len(r.path)-1]
		seen = append(seen, member)
		rest = next(value[length(value):])
	}
}

// list reads a list element by element.
func (r *reader) list(text []byte, read func(value []byte)) {
	if text[0] != '[' {
		r.fail("must be a list")
		return
	}
	for i, rest := 0, next(text[1:]); len(rest) > 0; i++ {
		r.path = append(r.path, "["+strconv.Itoa(i)+"]")
		read(rest[:length(rest)])
		r.path = r.path[:len(r.path)-1]
		rest = next(rest[length(rest):])
	}
}

// text reads a string that is not empty; "" is one that was reported.
func (r *reader) text(value []byte) string {
	if value[0] != '"' || len(value) == len(`""`) {
		r.fail("must be a text that is not empty")
		return ""
	}
	return decode(value)
}

// texts reads a list of strings.
func (r *reader) texts(value []byte) (all []string) {
	r.list(value, func(value []byte) { all = append(all, r.text(value)) })
	return all
}

// integer reads a whole number of at least 1.
func (r *reader) integer(value []byte) int64 {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n < 1 {
		r.fail("must be a whole number of at least 1")
	}
	return n
}

// next returns what follows of an object or a list from its next name or value on; nothing where it ends.
func next(text []byte) []byte {
	text = bytes.TrimLeft(text, " \t\r,:")
	if len(text) == 0 || text[0] == '}' || text[0] == ']' {
		return nil
	}
	return text
}

// length returns how long the value is that the text begins with.
func length(text []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
			if !quoted && depth == 0 {
				return i + 1
			}
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			if depth--; depth < 0 {
				return i
			} else if depth == 0 {
				return i + 1
			}
		case depth == 0 && (c == ',' || c == ':' || c == ' ' || c == '\t' || c == '\r'):
			return i
		}
	}
	return len(text)
}

// decode returns what a JSON string stands for.
func decode(quoted []byte) string {
	inside := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inside, '\\') < 0 {
		return string(inside)
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return string(inside) // not reached: the text is valid
	}
	return s
}
