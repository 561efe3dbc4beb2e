package document

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a document. It quotes names of members, and no values: those may be secrets.
type Problem struct {
	File    string // as whoever read it names it; "" if nobody did
	Line    int    // from 1; 0 if that is not known
	Pointer string // JSON pointer of the part; "" for the document as a whole
	Message string
}

// String returns the problem as one line: "cases.yaml:12: [0].want.status: …".
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d", p.Line)
		}
		b.WriteString(": ")
	} else if p.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if path := Path(p.Pointer); path != "" {
		b.WriteString(path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// Path writes a JSON pointer as people write it: "cases[0].want.status".
func Path(pointer string) string {
	var b strings.Builder
	for _, token := range strings.Split(pointer, "/")[1:] {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch {
		case isIndex(token):
			b.WriteString("[" + token + "]")
		case b.Len() > 0:
			b.WriteString("." + token)
		default:
			b.WriteString(token)
		}
	}
	return b.String()
}

func isIndex(token string) bool {
	return token != "" && strings.Trim(token, "0123456789") == ""
}

// Problems is everything that is wrong with a document, in its order. As an error it is never empty.
type Problems []Problem

// Error returns one line per problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// In names the file that the problems are of.
func (p Problems) In(file string) Problems {
	for i := range p {
		p[i].File = file
	}
	return p
}

// Sort puts the problems into the order of the document.
func (p Problems) Sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Message, b.Message))
	})
}

var _ error = Problems(nil)
