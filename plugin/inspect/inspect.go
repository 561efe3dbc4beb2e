// Package inspect looks into a module without running it: what it imports and exports, how large it is, what its manifest
// says, and what of that does not fit. It is what people read before they trust a plugin.
//
// It imports abi, plugin/manifest and runtime/fuel. cmd/sallyport and plugin/project import it.
package inspect

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// Report is what can be seen of a module.
type Report struct {
	SHA256    string              `json:"sha256"` // of the file, in hexadecimal
	Size      int                 `json:"size_bytes"`
	Tier      string              `json:"tier"` // fast, portable, mixed, or none where nothing is imported
	Hooks     []string            `json:"hooks"`
	Configure bool                `json:"configure"` // it takes a configuration
	Imports   map[string][]string `json:"imports"`   // by module
	Newer     []string            `json:"newer,omitempty"`
	Needs     []string            `json:"needs,omitempty"` // grants that functions which it imports need
	Functions int                 `json:"functions"`
	Memory    *Memory             `json:"memory,omitempty"`
	Start     bool                `json:"start"`    // it runs code when it is instantiated
	Sections  map[string]int      `json:"sections"` // custom ones, with their sizes in bytes
	Manifest  *manifest.Manifest  `json:"manifest,omitempty"`
	Script    int                 `json:"script_bytes,omitempty"` // size of the source text that the module runs; 0: it is the policy itself
	Problems  []string            `json:"problems,omitempty"`     // why a gateway would not load it, as far as that can be seen
	Remarks   []string            `json:"remarks,omitempty"`      // what its author may have overlooked
}

// Memory is what a module says of its memory, in bytes.
type Memory struct {
	Initial int64 `json:"initial_bytes"`
	Most    int64 `json:"most_bytes,omitempty"` // 0: it states none
}

// The tiers.
const (
	Fast     = "fast"
	Portable = "portable"
	Mixed    = "mixed"
	NoTier   = "none"
)

// moduleExtism is what guests of the portable tier import.
const moduleExtism = "extism:host/env"

const pageSize = 64 << 10

// Module looks into a module. The error says why it is none that can be loaded.
func Module(wasm []byte) (*Report, error) {
	digest := sha256.Sum256(wasm)
	r := &Report{
		SHA256: hex.EncodeToString(digest[:]), Size: len(wasm), Tier: NoTier, Imports: map[string][]string{}, Sections: map[string]int{},
	}
	m, err := manifest.Read(wasm)
	switch {
	case errors.Is(err, manifest.ErrNoModule):
		return nil, err
	case err == nil:
		r.Manifest = m
	case !errors.Is(err, manifest.ErrNone):
		r.problem("%v", err)
	}
	module, err := fuel.Instrument(wasm, 0, fuel.DefaultLimits())
	if err != nil {
		return nil, err
	}
	r.imports(module.Imports)
	r.exports(module.Exports)
	r.Functions, r.Start = module.Functions, module.Start
	if module.Memory != nil {
		r.Memory = &Memory{Initial: int64(module.Memory.Min) * pageSize}
		if module.Memory.HasMax {
			r.Memory.Most = int64(module.Memory.Max) * pageSize
		}
	}
	for _, c := range module.Custom {
		r.Sections[c.Name] += len(c.Data)
	}
	r.Script = r.Sections[manifest.ScriptSection]
	r.compare()
	return r, nil
}

func (r *Report) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

func (r *Report) imports(imports []fuel.ImportType) {
	contract := map[string]abi.Function{}
	for _, f := range abi.Functions() {
		contract[f.Name] = f
	}
	needs := map[string]bool{}
	for _, i := range imports {
		if !slices.Contains(r.Imports[i.Module], i.Name) {
			r.Imports[i.Module] = append(r.Imports[i.Module], i.Name)
		}
		switch f, known := contract[i.Name]; {
		case i.Module == abi.ModulePolicy && !known:
			r.Newer = append(r.Newer, i.Name)
		case i.Module == abi.ModulePolicy && f.Grant != "":
			needs[f.Grant] = true
		}
	}
	for _, names := range r.Imports {
		slices.Sort(names)
	}
	r.Needs = slices.Sorted(maps.Keys(needs))
	_, fast := r.Imports[abi.ModulePolicy]
	_, portable := r.Imports[moduleExtism]
	switch {
	case fast && portable:
		r.Tier = Mixed
	case fast:
		r.Tier = Fast
	case portable:
		r.Tier = Portable
	}
	for _, module := range slices.Sorted(maps.Keys(r.Imports)) {
		if module != abi.ModulePolicy && module != abi.ModuleWASI && module != moduleExtism {
			r.problem("imports from %q, which no gateway serves", module)
		}
	}
}

func (r *Report) exports(exports []fuel.ExportType) {
	exported := map[string]bool{}
	for _, e := range exports {
		exported[e.Name] = true
	}
	for hook := range abi.NumHooks {
		if exported[hook.String()] {
			r.Hooks = append(r.Hooks, hook.String())
		}
	}
	r.Configure = exported[abi.ExportConfigure]
	if len(r.Hooks) == 0 {
		r.problem("exports no hook")
	}
}

// compare holds the manifest against the module.
func (r *Report) compare() {
	m := r.Manifest
	if m == nil {
		return
	}
	for _, hook := range m.Hooks {
		if !slices.Contains(r.Hooks, hook) {
			r.problem("its manifest names the hook %s, which it does not export", hook)
		}
	}
	for _, grant := range r.Needs { // an engine imports everything, whatever its script uses
		if r.Script == 0 && !slices.ContainsFunc(m.Grants, func(a manifest.Ask) bool { return a.String() == grant }) {
			r.Remarks = append(r.Remarks, fmt.Sprintf("imports functions that need the grant %s, which its manifest does not ask for", grant))
		}
	}
	if r.Memory != nil && m.Limits.Memory > 0 && r.Memory.Initial > m.Limits.Memory {
		r.problem("begins with %s of memory, and its manifest asks for %s", manifest.Size(r.Memory.Initial), manifest.Size(m.Limits.Memory))
	}
}

// Name is what to call the module: as its manifest does, or by the name of its file.
func (r *Report) Name(file string) string {
	if r.Manifest != nil {
		return r.Manifest.Name
	}
	base := file[strings.LastIndexByte(file, '/')+1:]
	return strings.TrimSuffix(base, ".wasm")
}
