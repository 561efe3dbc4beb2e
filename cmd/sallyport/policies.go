package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
	"github.com/sallyport-dev/sallyport/plugins"
	"github.com/sallyport-dev/sallyport/runtime"
)

// readPolicies reads the modules of the configured policies.
func readPolicies(ctx context.Context, c *config.Snapshot, log *slog.Logger) ([]runtime.Policy, error) {
	modules, err := resolvePolicies(ctx, c, log)
	if err != nil {
		return nil, err
	}
	all := make([]runtime.Policy, 0, len(c.Policies))
	for i := range c.Policies {
		p := &c.Policies[i]
		wasm, script, err := readModule(p, modules[i].Content)
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

// readModule returns a policy's module, and its script if it is one. content is what it was resolved to.
func readModule(p *config.Policy, content []byte) (wasm, script []byte, err error) {
	switch {
	case p.Builtin != "":
		wasm, err = plugins.Builtin(p.Builtin)
	case strings.HasSuffix(p.Path, config.ScriptSuffix):
		script = content
		wasm, err = plugins.JavaScript()
	default:
		wasm = content
		script, err = manifest.FindSection(wasm, manifest.ScriptSection)
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
