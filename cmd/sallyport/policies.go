package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
	"github.com/sallyport-dev/sallyport/plugins"
	"github.com/sallyport-dev/sallyport/runtime"
)

// readPolicies reads the modules of the configured policies.
func readPolicies(configured []config.Policy) ([]runtime.Policy, error) {
	all := make([]runtime.Policy, 0, len(configured))
	for i := range configured {
		p := &configured[i]
		wasm, script, err := readModule(p)
		if err != nil {
			return nil, fmt.Errorf("policy %q: %w", p.Name, err)
		}
		all = append(all, runtime.Policy{
			Name: p.Name, Wasm: wasm, Script: script, Hooks: p.Hooks, Veto: p.Veto, Config: p.Config,
			Limits: runtime.Limits(p.Limits), Grants: runtime.Grants(p.Grants), Shadow: p.Shadow, Percent: p.Percent,
			Inputs: statedInputs(wasm),
		})
	}
	return all, nil
}

// readModule reads a policy's module, and its script if it is one.
func readModule(p *config.Policy) (wasm, script []byte, err error) {
	switch {
	case p.Builtin != "":
		wasm, err = plugins.Builtin(p.Builtin)
	case strings.HasSuffix(p.Path, config.ScriptSuffix):
		if script, err = os.ReadFile(p.Path); err == nil {
			wasm, err = plugins.JavaScript()
		}
	default:
		if wasm, err = os.ReadFile(p.Path); err == nil {
			script, err = manifest.FindSection(wasm, manifest.ScriptSection)
		}
	}
	return wasm, script, err
}

// statedInputs are the fields that a module's manifest says it reads; nil if it does not say. A manifest that is not right is
// reported where it is checked.
func statedInputs(wasm []byte) []string {
	m, err := manifest.Read(wasm)
	if err != nil {
		return nil
	}
	return m.Inputs
}

// hookNames names hooks for people and the admin API.
func hookNames(hooks []abi.Hook) []string {
	var names []string
	for _, h := range hooks {
		names = append(names, h.String())
	}
	return names
}
