package config

import (
	"encoding/json"

	"go.yaml.in/yaml/v4"
)

// json reads a policy's configuration, a mapping, as JSON. Names keep their order and numbers their spelling.
func (v value) json() json.RawMessage {
	if v.isNull() || !v.is(yaml.MappingNode, "a mapping") {
		return nil
	}
	return v.appendJSON(nil)
}

func (v value) appendJSON(dst []byte) []byte {
	v.load.snapshot.Lines[v.path] = v.node.Line
	switch v.node.Kind {
	case yaml.MappingNode:
		if !v.is(yaml.MappingNode, "a mapping") {
			return dst
		}
		return v.appendObject(dst)
	case yaml.SequenceNode:
		dst = append(dst, '[')
		first := len(dst)
		v.items(func(item value) {
			dst = item.appendJSON(separate(dst, first))
		})
		return append(dst, ']')
	}
	return v.appendScalar(dst)
}

func (v value) appendObject(dst []byte) []byte {
	dst = append(dst, '{')
	first := len(dst)
	v.pairs(func(name string, _ *yaml.Node, child value) {
		dst = append(appendString(separate(dst, first), name), ':')
		dst = child.appendJSON(dst)
	})
	return append(dst, '}')
}

func (v value) appendScalar(dst []byte) []byte {
	if !v.is(yaml.ScalarNode, "a value") {
		return dst
	}
	switch v.node.ShortTag() {
	case "!!null":
		return append(dst, "null"...)
	case "!!bool":
		var b bool
		v.boolean(&b)
		if b {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case "!!int", "!!float":
		if !json.Valid([]byte(v.node.Value)) {
			v.fail("must be a number as JSON has it, or text in quotes")
		}
		return append(dst, v.node.Value...)
	}
	s, _ := v.text()
	return appendString(dst, s)
}

// separate puts a comma before every element but the first, which begins at first.
func separate(dst []byte, first int) []byte {
	if len(dst) > first {
		return append(dst, ',')
	}
	return dst
}

// appendString appends a JSON string.
func appendString(dst []byte, s string) []byte {
	quoted, _ := json.Marshal(s) // a string cannot fail
	return append(dst, quoted...)
}
