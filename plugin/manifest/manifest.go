// Package manifest is what a plugin says of itself: a JSON document in a custom section of its module, so that one .wasm
// file is the whole plugin. It says who made it and of what, where it wants to be asked, what it wants to be granted and
// why, what configuration it takes, and how to test it. It gives nothing: grants are given in policies.yaml.
//
// It imports abi, plugin/cases and plugin/document. cmd/sallyport and the packages of the plugin tool import it.
package manifest

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/plugin/document"
)

// Section is the name of the custom section.
const Section = "sallyport.manifest"

// ScriptSection is the custom section with the source text of a policy whose module is an engine that runs it.
const ScriptSection = "sallyport.script"

// MaxSize is how large a manifest may be, in bytes, with its schema and its tests.
const MaxSize = 256 << 10

// Manifest is what a plugin says of itself. Empty is what it does not say.
type Manifest struct {
	Name        string `json:"name"`    // 1 to 64 letters, digits and "._-"
	Version     string `json:"version"` // as semver.org has it
	ABI         int    `json:"abi"`
	Description string `json:"description,omitempty"`
	Author      string `json:"author,omitempty"`
	Licence     string `json:"licence,omitempty"`
	Source      string `json:"source,omitempty"`    // link to the source
	Revision    string `json:"revision,omitempty"`  // of the source
	Toolchain   string `json:"toolchain,omitempty"` // that compiled it

	Hooks  []string `json:"hooks,omitempty"`  // where it is to be asked; none: every hook that the module exports
	Veto   bool     `json:"veto,omitempty"`   // it is meant to be bound with veto: true
	Inputs []string `json:"inputs,omitempty"` // fields that it reads and that need no grant
	Grants []Ask    `json:"grants,omitempty"` // what it wants to be granted

	ConfigSchema json.RawMessage `json:"config_schema,omitempty"` // JSON Schema of its configuration
	Limits       Limits          `json:"limits,omitzero"`         // what it needs where the defaults are too little
	Tests        json.RawMessage `json:"tests,omitempty"`         // a list of cases, run before it goes live

	schema *document.Schema // of the configuration; nil if there is none
	cases  []cases.Case
}

// Ask is one thing that a plugin wants to be granted, and why. Exactly one of the first three is set.
type Ask struct {
	Identities string `json:"identities,omitempty"` // "read"
	KV         string `json:"kv,omitempty"`         // "own"
	Input      string `json:"input,omitempty"`      // "credential", "request.headers.x-team"
	Reason     string `json:"reason"`
}

// Limits are what one call needs. 0 is the default of policies.yaml.
type Limits struct {
	Fuel   int64 `json:"fuel,omitempty"`
	Time   int64 `json:"time_ms,omitempty"`
	Memory int64 `json:"memory_bytes,omitempty"`
}

// String writes what is asked for as policies.yaml has it.
func (a Ask) String() string {
	switch {
	case a.Identities != "":
		return "identities: " + a.Identities
	case a.KV != "":
		return "kv: " + a.KV
	default:
		return "inputs: " + a.Input
	}
}

// ErrNone says that a module has no manifest.
var ErrNone = errors.New("the module has no manifest")

//go:embed schema.json
var schemaText []byte

var schema = sync.OnceValues(func() (*document.Schema, error) {
	d, err := document.ReadJSON(schemaText)
	if err != nil {
		return nil, err
	}
	return document.CompileSchema(d)
})

// Read returns the manifest of a module. It is ErrNone if there is none; of one that is not right it is document.Problems.
func Read(wasm []byte) (*Manifest, error) {
	text, err := Find(wasm)
	if err != nil {
		return nil, err
	}
	if text == nil {
		return nil, ErrNone
	}
	if len(text) > MaxSize {
		return nil, fmt.Errorf("the manifest has %d bytes, at most %d are read", len(text), MaxSize)
	}
	d, err := document.ReadJSON(text)
	if err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	m, err := FromDocument(d)
	if err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	return m, nil
}

// FromDocument returns the manifest that a document is. The error is document.Problems.
func FromDocument(d *document.Document) (*Manifest, error) {
	s, err := schema()
	if err != nil {
		return nil, err
	}
	problems := s.Check(d)
	m := &Manifest{}
	if len(problems) == 0 {
		if err := d.Decode(m); err != nil {
			return nil, document.Problems{{Message: err.Error()}}
		}
		problems = m.check(d)
	}
	problems = append(problems, m.parts(d)...)
	if len(problems) > 0 {
		problems.Sort()
		return nil, problems
	}
	return m, nil
}

// parts reads the parts that are documents themselves: they are checked also where the rest is not right.
func (m *Manifest) parts(d *document.Document) (problems document.Problems) {
	within := func(part string, err error) {
		wrong, ok := err.(document.Problems) //nolint:errorlint // both return it as it is
		if !ok {
			wrong = document.Problems{{Line: d.Line("/" + part), Message: err.Error()}}
		}
		for _, p := range wrong {
			p.Pointer = "/" + part + p.Pointer
			problems = append(problems, p)
		}
	}
	var err error
	if part, ok := d.Member("config_schema"); ok {
		if m.schema, err = document.CompileSchema(part); err != nil {
			within("config_schema", err)
		}
	}
	if part, ok := d.Member("tests"); ok {
		if m.cases, err = cases.FromDocument(part, m.OnlyHook()); err != nil {
			within("tests", err)
		}
	}
	return problems
}

// OnlyHook is what cases that name no hook are about: the only one that there is, if there is only one.
func (m *Manifest) OnlyHook() abi.Hook {
	if len(m.Hooks) == 1 {
		if hook, ok := abi.ParseHook(m.Hooks[0]); ok {
			return hook
		}
	}
	return abi.NumHooks
}

// Cases returns the tests.
func (m *Manifest) Cases() []cases.Case { return m.cases }

// ValidateConfig returns what is wrong with a configuration, by JSON pointer; nothing without a schema. config is JSON, nil
// if the policy has none.
func (m *Manifest) ValidateConfig(config []byte) document.Problems {
	if m.schema == nil {
		return nil
	}
	if config == nil {
		config = []byte("{}")
	}
	d, err := document.ReadJSON(config)
	if err != nil {
		return document.Problems{{Message: err.Error()}}
	}
	problems := m.schema.Check(d)
	for i := range problems {
		problems[i].Line = 0 // of the JSON: nobody has seen that
	}
	return problems
}
