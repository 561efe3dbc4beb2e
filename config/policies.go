package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// defaultPolicyName is both the name of the policy that acts where the file lists none, and of the built-in module.
const defaultPolicyName = "default"

// defaultPolicy is the policy that acts where the file has no policies at all.
func defaultPolicy() Policy {
	return Policy{
		Name: defaultPolicyName, Builtin: defaultPolicyName,
		Hooks:  []abi.Hook{abi.Authenticate, abi.ChooseStep, abi.PriceResponse},
		Grants: Grants{Identities: true},
	}
}

// Bounds of what a policy may be limited to.
const (
	minFuel, maxFuel     = 1_000, 1_000_000_000_000
	minTime, maxTime     = time.Millisecond, time.Minute
	minMemory, maxMemory = 64 << 10, 4 << 30 // a page, and all that 32 bits can address
)

// The modes of a policy: its verdicts count, or they are only compared with those that do.
const (
	modeActive = "active"
	modeShadow = "shadow"
)

// policy reads one entry of policies.
func (l *loading) policy(v value) {
	p := Policy{Line: v.node.Line}
	ok := v.object([]field{
		required("name", func(v value) {
			p.Name = v.name()
			l.policyNames.claim(v, p.Name)
		}),
		required("wasm", func(v value) { v.module(&p) }),
		optional("hooks", func(v value) { p.Hooks = v.hooks() }),
		optional("veto", func(v value) {
			v.boolean(&p.Veto)
			if p.Veto && len(p.Hooks) > 0 && !slices.Contains(p.Hooks, abi.Authenticate) {
				v.fail("acts at authenticate, which is not among the hooks")
			}
		}),
		optional("mode", func(v value) {
			mode, _ := v.choice(modeActive, modeShadow)
			p.Shadow = mode == modeShadow
		}),
		optional("percent", func(v value) {
			percent, _ := v.integer(1, 100)
			p.Percent = int(percent)
		}),
		optional("config", func(v value) { p.Config = v.json() }),
		optional("limits", func(v value) { v.limits(&p.Limits) }),
		optional("grants", func(v value) { v.grants(&p.Grants) }),
	})
	if ok {
		l.snapshot.Policies = append(l.snapshot.Policies, p)
	}
}

// module reads where a policy's guest is.
func (v value) module(p *Policy) {
	s, ok := v.text()
	if !ok {
		return
	}
	if builtin, found := strings.CutPrefix(s, "builtin:"); found {
		if builtin != defaultPolicyName {
			v.fail("the only built-in policy is builtin:%s", defaultPolicyName)
		}
		p.Builtin = builtin
		return
	}
	switch {
	case strings.Contains(s, "://"):
		v.source(p, s)
	case baseOf(s) == s:
		v.fail("must be builtin:%s, the path of a .wasm or .js file, or begin with oci:// or dir://", defaultPolicyName)
	case v.file(&p.Path):
		if info, err := os.Stat(p.Path); err != nil || !info.Mode().IsRegular() {
			v.fail("there is no file %s", quote(v.written()))
		}
	}
}

// hooks reads the hooks that a policy is bound to.
func (v value) hooks() (hooks []abi.Hook) {
	names := make([]string, abi.NumHooks)
	for h := range abi.NumHooks {
		names[h] = h.String()
	}
	v.items(func(v value) {
		name, ok := v.choice(names...)
		if !ok {
			return
		}
		hook, _ := abi.ParseHook(name)
		if slices.Contains(hooks, hook) {
			v.fail("stands here twice")
			return
		}
		hooks = append(hooks, hook)
	})
	if len(v.node.Content) == 0 {
		v.fail("names no hook: take the field out for all that the module exports")
	}
	return hooks
}

func (v value) limits(l *Limits) {
	v.object([]field{
		optional("fuel", func(v value) { l.Fuel, _ = v.integer(minFuel, maxFuel) }),
		optional("time", func(v value) { v.duration(&l.Time, minTime, maxTime) }),
		optional("memory", func(v value) { l.Memory, _ = v.size(minMemory, maxMemory) }),
	})
}

func (v value) grants(g *Grants) {
	v.object([]field{
		optional("identities", func(v value) {
			_, g.Identities = v.choice("read")
		}),
		optional("kv", func(v value) {
			_, g.KV = v.choice("own")
		}),
		optional("inputs", func(v value) {
			v.items(func(v value) {
				if s, ok := v.text(); ok && v.input(s) {
					g.Inputs = append(g.Inputs, s)
				}
			})
		}),
	})
}

// credentialHeaders carry what the grant "credential" is for.
var credentialHeaders = [...]string{"authorization", "x-api-key", "x-goog-api-key", "api-key", "proxy-authorization", "cookie"}

// input checks the name of an input that needs a grant.
func (v value) input(s string) bool {
	var names []string
	for _, f := range abi.Fields() {
		switch {
		case !f.Grant:
		case f.Kind != abi.Named:
			names = append(names, f.Name)
			if s == f.Name {
				return true
			}
		default:
			names = append(names, f.Name+".<name>")
			if header, found := strings.CutPrefix(s, f.Name+"."); found {
				return v.inputHeader(header)
			}
		}
	}
	v.fail("must be %s", oneOf(names))
	return false
}

func (v value) inputHeader(header string) bool {
	switch {
	case header == "" || strings.ContainsFunc(header, notInToken) || header != strings.ToLower(header):
		v.fail("must end with the name of a header in lower case")
	case slices.Contains(credentialHeaders[:], header):
		v.fail("holds credentials: grant %q instead", "credential")
	default:
		return true
	}
	return false
}

// Suffixes of policies' files: modules, and scripts, which are run by a module of Sallyport's own.
const (
	wasmSuffix   = ".wasm"
	ScriptSuffix = ".js"
)

// baseOf returns the name of a policy's file without its suffix; all of it if it is none of a policy.
func baseOf(file string) string {
	if base, ok := strings.CutSuffix(file, wasmSuffix); ok {
		return base
	}
	return strings.TrimSuffix(file, ScriptSuffix)
}

// policyFiles appends the files of policy_dir that no entry names, in the order of their names.
func (l *loading) policyFiles() {
	s := l.snapshot
	if s.PolicyDir == "" {
		return
	}
	names, err := moduleFiles(s.PolicyDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.report(nil, "policy_dir", "cannot be read: %v", err)
		return
	}
	for _, file := range names {
		path := filepath.Join(s.PolicyDir, file)
		if slices.ContainsFunc(s.Policies, func(p Policy) bool { return p.Path == path }) {
			continue
		}
		name := baseOf(file)
		owner, taken := l.policyNames[name]
		switch message := checkName(name); {
		case message != "":
			l.report(nil, "policy_dir", "the name of the file %s %s", quote(file), message)
		case taken:
			l.report(nil, "policy_dir", "the file %s would get the name of %s: list it under policies with another one", quote(file), owner)
		default:
			l.policyNames[name] = "another file of policy_dir"
			s.Policies = append(s.Policies, Policy{Name: name, Path: path})
		}
	}
}

// moduleFiles returns the names of the modules and scripts in a folder in order. Those that are still being written by the habits
// of editors and copying tools are left out.
func moduleFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		name := entry.Name()
		if baseOf(name) == name || isTemporary(name) {
			continue
		}
		if info, err := os.Stat(filepath.Join(dir, name)); err == nil && info.Mode().IsRegular() {
			names = append(names, name)
		}
	}
	return names, nil
}

func isTemporary(name string) bool {
	return strings.ContainsAny(name[:1], ".~#") || strings.Contains(name, ".tmp.") || strings.Contains(name, ".part.")
}
