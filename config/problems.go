package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a configuration file. No part of it holds the value of a secret.
type Problem struct {
	File    string // as it was given to Load
	Line    int    // from 1; 0 where the problem is not at one place
	Column  int    // from 1; 0 as above
	Path    string // of the field: "chains[0].steps[1].model"; "" for the file as a whole
	Message string
}

// String returns the problem as one line: "policies.yaml:12: chains[0].steps[1].model: …".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Path != "" {
		b.WriteString(": " + p.Path)
	}
	b.WriteString(": " + p.Message)
	return b.String()
}

// Problems is the error that Load returns for a file that can be read and is not right: everything that is wrong with
// it, in the order of the file. It is never empty.
type Problems []Problem

// Error returns one line per problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// sort puts the problems into the order of the file. Those of one place keep the order in which they were found.
func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

var _ error = Problems(nil)
