package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// ReadYAML reads one YAML document that means the same as a JSON value: no tags, no aliases, no merge keys. The error is
// Problems.
func ReadYAML(text []byte) (*Document, error) {
	if problem := checkSize(text); problem != nil {
		return nil, problem
	}
	loader, err := yaml.NewLoader(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("preparing to read YAML: %w", err)
	}
	var document, second yaml.Node
	if err := loader.Load(&document); err != nil || len(document.Content) == 0 {
		return nil, Problems{syntaxProblem(err)}
	}
	r := &yamlReader{document: &Document{lines: map[string]int{}}}
	if loader.Load(&second) == nil {
		r.fail(&second, "", "must be one YAML document, and another one begins here")
	}
	r.document.Value = r.value(document.Content[0], "", 0)
	if len(r.problems) > 0 {
		r.problems.Sort()
		return nil, r.problems
	}
	return r.document, nil
}

// syntaxProblem says why a text is not YAML.
func syntaxProblem(err error) Problem {
	var syntax *yaml.LoadError
	switch {
	case !errors.As(err, &syntax) || syntax.Mark.Line == 0:
		return Problem{Message: "holds no YAML document"}
	case syntax.ContextMsg != "":
		return Problem{Line: syntax.Mark.Line, Message: "is not YAML: " + syntax.ContextMsg + ", " + syntax.Message}
	default:
		return Problem{Line: syntax.Mark.Line, Message: "is not YAML: " + syntax.Message}
	}
}

// yamlReader builds a document from YAML nodes.
type yamlReader struct {
	document *Document
	problems Problems
}

func (r *yamlReader) fail(at *yaml.Node, pointer, format string, args ...any) {
	r.problems = append(r.problems, Problem{Pointer: pointer, Line: at.Line, Message: fmt.Sprintf(format, args...)})
}

func (r *yamlReader) value(n *yaml.Node, pointer string, depth int) any {
	r.document.lines[pointer] = n.Line
	switch {
	case n.Kind == yaml.AliasNode:
		r.fail(n, pointer, "YAML aliases are not supported: write the value out")
	case !strings.HasPrefix(n.Tag, "!!"):
		r.fail(n, pointer, "YAML tags are not supported")
	case n.Kind == yaml.ScalarNode:
		return r.scalar(n, pointer)
	case depth == maxDepth:
		r.fail(n, pointer, "is nested deeper than %d values", maxDepth)
	case n.Kind == yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, child := range n.Content {
			list[i] = r.value(child, element(pointer, i), depth+1)
		}
		return list
	default:
		return r.mapping(n, pointer, depth)
	}
	return nil
}

func (r *yamlReader) mapping(n *yaml.Node, pointer string, depth int) any {
	members := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		_, twice := members[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || !strings.HasPrefix(key.Tag, "!!"):
			r.fail(key, pointer, "the name of a member must be text")
		case key.Tag == "!!merge":
			r.fail(key, pointer, "YAML merge keys are not supported: write the members out")
		case twice:
			r.fail(key, pointer, "the member %s stands here twice", quote(key.Value))
		default:
			members[key.Value] = r.value(n.Content[i+1], member(pointer, key.Value), depth+1)
		}
	}
	return members
}

func (r *yamlReader) scalar(n *yaml.Node, pointer string) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		if !json.Valid([]byte(n.Value)) {
			r.fail(n, pointer, "must be a number as JSON has it, or text in quotes")
		} else if !isReasonable(n.Value) {
			r.fail(n, pointer, tooLarge)
		}
		return json.Number(n.Value)
	default:
		return n.Value
	}
}
