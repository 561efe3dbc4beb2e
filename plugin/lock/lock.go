// Package lock pins plugins: plugins.lock says of each policy which bytes it is, who signed them, and what it was allowed to
// ask for. It resolves what policies.yaml names to modules that are exactly that, and says in words what an upgrade changes.
//
// It imports abi, plugin/document, plugin/inspect, plugin/manifest, plugin/registry and plugin/trust. cmd/sallyport imports it.
package lock

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/sallyport-dev/sallyport/plugin/document"
)

// The errors that callers tell apart. What is wrapped in them says more.
var (
	ErrNotLocked   = errors.New("is not locked")                         // and has to be
	ErrDiffers     = errors.New("is not what is locked")                 // another reference, or other bytes
	ErrNotApproved = errors.New("asks for more than was approved")       // see Approve
	ErrRollback    = errors.New("is older than what is locked")          // see Advance
	ErrOtherPlugin = errors.New("is another plugin than what is locked") // see Advance
	ErrStale       = errors.New("is only known as it was some time ago") // the registry could not be asked what a tag names
)

// File is plugins.lock.
type File struct {
	Plugins []Entry // by name
}

// Entry pins one policy.
type Entry struct {
	Name      string   `json:"name"`               // of the policy in policies.yaml
	Reference string   `json:"reference"`          // as policies.yaml has it; of files the path from its folder
	Plugin    string   `json:"plugin,omitempty"`   // what the plugin calls itself; empty: it does not say
	Version   string   `json:"version,omitempty"`  // that it says to be
	Manifest  string   `json:"manifest,omitempty"` // digest of the OCI manifest; empty for files
	Wasm      string   `json:"wasm"`               // digest of the module
	ABI       int      `json:"abi"`
	Grants    []string `json:"-"` // what it may ask for, each as manifest.Ask writes it
	Signer    Signer   `json:"signer,omitzero"`
}

// Signer is who signed a plugin; empty: nobody did who is trusted.
type Signer struct {
	Name string `json:"name"`
	Key  string `json:"key"`
}

// String is how people get to see it.
func (s Signer) String() string {
	switch s.Name {
	case "":
		return "nobody who is trusted"
	case s.Key:
		return s.Key
	default:
		return s.Name + " (" + s.Key + ")"
	}
}

// Find returns the entry of a policy; nil if there is none.
func (f *File) Find(name string) *Entry {
	if i, found := f.search(name); found {
		return &f.Plugins[i]
	}
	return nil
}

func (f *File) search(name string) (int, bool) {
	return slices.BinarySearchFunc(f.Plugins, name, func(e Entry, name string) int { return strings.Compare(e.Name, name) })
}

// Set puts an entry in the place of the one of its name.
func (f *File) Set(e Entry) {
	i, found := f.search(e.Name)
	if found {
		f.Plugins[i] = e
		return
	}
	f.Plugins = slices.Insert(f.Plugins, i, e)
}

// Keep removes all entries but these, and returns the names of those that went.
func (f *File) Keep(names []string) (gone []string) {
	f.Plugins = slices.DeleteFunc(f.Plugins, func(e Entry) bool {
		drop := !slices.Contains(names, e.Name)
		if drop {
			gone = append(gone, e.Name)
		}
		return drop
	})
	return gone
}

//go:embed schema.json
var schemaText []byte

var schema = sync.OnceValues(func() (*document.Schema, error) {
	d, err := document.ReadJSON(schemaText)
	if err != nil {
		return nil, err
	}
	return document.CompileSchema(d)
})

// Read reads plugins.lock. A file that is not there locks nothing. Of one that is not right the error is document.Problems.
func Read(path string) (*File, error) {
	text, err := os.ReadFile(filepath.Clean(path))
	if errors.Is(err, fs.ErrNotExist) {
		return &File{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what is locked: %w", err)
	}
	f, err := Parse(text)
	if problems, ok := errors.AsType[document.Problems](err); ok {
		return nil, problems.In(path)
	}
	return f, err
}

// Parse reads the text of plugins.lock. The error is document.Problems.
func Parse(text []byte) (*File, error) {
	d, err := document.ReadYAML(text)
	if err != nil {
		return nil, err
	}
	s, err := schema()
	if err != nil {
		return nil, err
	}
	if problems := s.Check(d); len(problems) > 0 {
		return nil, problems
	}
	var content struct {
		Plugins []struct {
			Entry
			Grants grants `json:"grants"`
		} `json:"plugins"`
	}
	if err := d.Decode(&content); err != nil {
		return nil, document.Problems{{Message: err.Error()}}
	}
	f := &File{}
	for i, p := range content.Plugins {
		if f.Find(p.Name) != nil {
			pointer := fmt.Sprintf("/plugins/%d/name", i)
			return nil, document.Problems{{Line: d.Line(pointer), Pointer: pointer, Message: fmt.Sprintf("%.80q stands here twice", p.Name)}}
		}
		p.Entry.Grants = p.Grants.list()
		f.Set(p.Entry)
	}
	return f, nil
}

// grants are an entry's as they stand in the file, in the form of policies.yaml.
type grants struct {
	Identities string   `json:"identities"`
	KV         string   `json:"kv"`
	Inputs     []string `json:"inputs"`
}

// The beginnings of what manifest.Ask writes.
const (
	grantIdentities = "identities: "
	grantKV         = "kv: "
	grantInput      = "inputs: "
)

func (g grants) list() (all []string) {
	if g.Identities != "" {
		all = append(all, grantIdentities+g.Identities)
	}
	if g.KV != "" {
		all = append(all, grantKV+g.KV)
	}
	for _, input := range g.Inputs {
		all = append(all, grantInput+input)
	}
	return sorted(all)
}

// sorted returns a list in order, each element once.
func sorted(all []string) []string {
	all = slices.Clone(all)
	slices.Sort(all)
	return slices.Compact(all)
}
