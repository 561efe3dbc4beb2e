package config

import (
	"slices"

	"go.yaml.in/yaml/v4"
)

// field is one field that a mapping may have.
type field struct {
	name     string
	read     func(value)
	required bool
}

// required is a field that must be there.
func required(name string, read func(value)) field { return field{name, read, true} }

// optional is a field that may be left out.
func optional(name string, read func(value)) field { return field{name, read, false} }

// object reads a mapping with exactly these fields, in the order of the table and not of the file, so that a field
// can rely on those before it. later names the fields of features that are not built yet: a file that has one must
// not be accepted as if it acted.
func (v value) object(fields []field, later ...string) bool {
	if v.isNull() || !v.is(yaml.MappingNode, "a mapping") {
		return false
	}
	names := slices.Clone(later)
	for _, f := range fields {
		names = append(names, f.name)
	}
	found := v.entries(names)
	for _, name := range later {
		if child, ok := found[name]; ok {
			child.fail("is not supported by this version yet")
		}
	}
	for _, f := range fields {
		child, ok := found[f.name]
		switch {
		case ok:
			f.read(child)
		case f.required:
			v.child(v.node, f.name).fail("is missing")
		}
	}
	return true
}

// entries returns the values of a mapping by name. A name that is not known, or stands there twice, is a problem.
func (v value) entries(names []string) map[string]value {
	found := map[string]value{}
	v.pairs(func(name string, key *yaml.Node, child value) {
		if slices.Contains(names, name) {
			found[name] = child
			return
		}
		v.load.report(key, v.path, "unknown field %s%s", quote(name), DidYouMean(name, names))
	})
	return found
}

// pairs calls read for every entry of a mapping whose name is a text that stands there once.
func (v value) pairs(read func(name string, key *yaml.Node, child value)) {
	first := map[string]int{} // line by name
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := v.node.Content[i]
		if key.Kind != yaml.ScalarNode || isCustomTag(key.Tag) || key.Value == "" {
			v.load.report(key, v.path, "the name of a field must be text")
			continue
		}
		if key.Tag == "!!merge" {
			v.load.report(key, v.path, "YAML merge keys are not supported: write the fields out")
			continue
		}
		if line, twice := first[key.Value]; twice {
			v.load.report(key, v.path, "the field %s stands here twice, first in line %d", quote(key.Value), line)
			continue
		}
		first[key.Value] = key.Line
		read(key.Value, key, v.child(v.node.Content[i+1], key.Value))
	}
}

// mapping reads a mapping whose names are free.
func (v value) mapping(read func(name string, child value)) {
	if v.isNull() || !v.is(yaml.MappingNode, "a mapping") {
		return
	}
	v.pairs(func(name string, _ *yaml.Node, child value) { read(name, child) })
}
