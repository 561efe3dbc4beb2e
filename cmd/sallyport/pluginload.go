package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"

	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/plugin/document"
	"github.com/sallyport-dev/sallyport/plugin/host"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// checkManifests holds what policies say of themselves against what the configuration gives them: every grant that one asks
// for has to be given, and its configuration has to fit its schema. policies are those of c, in their order. Problems come as
// those of the configuration, with their lines.
func checkManifests(c *config.Snapshot, policies []runtime.Policy) error {
	var problems config.Problems
	for i := range policies {
		p := &c.Policies[i]
		say := func(pointer, format string, args ...any) {
			path := manifestPath(i, p, pointer)
			problems = append(problems, config.Problem{File: c.File, Line: manifestLine(c, p, path), Path: path, Message: fmt.Sprintf(format, args...)})
		}
		m, err := manifest.Read(policies[i].Wasm)
		switch {
		case errors.Is(err, manifest.ErrNone):
			continue
		case errors.Is(err, manifest.ErrNoModule):
			continue // the loader says so
		case err != nil:
			say("", "policy %q: %v", p.Name, err)
			continue
		}
		for _, missing := range m.Missing(given(&policies[i])) {
			if p.Line == 0 {
				missing += "; for that it has to stand under policies, and not in policy_dir alone: " + m.Entry(p.Path)
			}
			say("", "policy %q %s", p.Name, missing)
		}
		for _, wrong := range m.ValidateConfig(policies[i].Config) {
			say("/config"+wrong.Pointer, "%s", wrong.Message)
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// given is what a policy gets, with the limits that hold where the configuration states none.
func given(p *runtime.Policy) manifest.Given {
	g := manifest.Given{
		Identities: p.Grants.Identities, KV: p.Grants.KV, Inputs: p.Grants.Inputs,
		Fuel: p.Limits.Fuel, Time: p.Limits.Time, Memory: p.Limits.Memory,
	}
	if g.Fuel == 0 {
		g.Fuel = runtime.DefaultFuel
	}
	if g.Time == 0 {
		g.Time = runtime.DefaultTime
	}
	if g.Memory == 0 {
		g.Memory = runtime.DefaultMemory
	}
	return g
}

// manifestLine is the line that a problem is about: that of the part of the configuration, or of what it is missing from, or
// the policy's entry.
func manifestLine(c *config.Snapshot, p *config.Policy, path string) int {
	for path != "" {
		if line, ok := c.Lines[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return p.Line
}

// manifestPath is the field that a problem is about. A file of policy_dir has none of its own.
func manifestPath(index int, p *config.Policy, pointer string) string {
	if p.Line == 0 {
		return "policy_dir"
	}
	return document.Path(fmt.Sprintf("/policies/%d%s", index, pointer))
}

// selfTests asks policies the cases of their manifests. What passed once is not asked again: neither the configuration nor
// the grants of policies.yaml are part of it.
type selfTests struct {
	dir      string // where compiled modules are kept; "": nowhere
	compiler func(ctx context.Context) *exec.Cmd

	mu     sync.Mutex
	passed map[[sha256.Size]byte]bool
}

// run returns what went wrong, each problem with the policy's name.
func (s *selfTests) run(ctx context.Context, policies []runtime.Policy) error {
	var errs []error
	for i := range policies {
		if err := s.test(ctx, &policies[i]); err != nil {
			errs = append(errs, fmt.Errorf("policy %q: %w", policies[i].Name, err))
		}
	}
	return errors.Join(errs...)
}

func (s *selfTests) test(ctx context.Context, configured *runtime.Policy) error {
	m, err := manifest.Read(configured.Wasm)
	if err != nil || len(m.Cases()) == 0 {
		return nil //nolint:nilerr // checkManifests has said so
	}
	digest := sha256.Sum256(configured.Wasm)
	if s.hasPassed(digest) {
		return nil
	}
	p := &plugin{wasm: configured.Wasm, manifest: m, cases: m.Cases()}
	policy, err := p.policy()
	if err != nil {
		return err
	}
	h, err := host.Open(ctx, host.Options{Policy: policy, CacheDir: s.dir, Compiler: s.compiler})
	if err != nil {
		return fmt.Errorf("preparing its self-test: %w", err)
	}
	results, err := h.Run(ctx, p.cases)
	if err = errors.Join(err, h.Close(ctx), selfTestError(results)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.passed == nil {
		s.passed = map[[sha256.Size]byte]bool{}
	}
	s.passed[digest] = true
	return nil
}

func (s *selfTests) hasPassed(digest [sha256.Size]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.passed[digest]
}
