package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/plugin/inspect"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
	"github.com/sallyport-dev/sallyport/plugin/project"
	"github.com/sallyport-dev/sallyport/plugins"
	"github.com/sallyport-dev/sallyport/runtime"
)

// newPlugin returns the command of those who write policies, and of those who want to know what one does.
func newPlugin() *cobra.Command {
	c := &cobra.Command{
		Use:   "plugin",
		Short: "Write, build, test and look into policies",
		Args:  cobra.NoArgs,
	}
	c.AddCommand(newPluginInit(), newPluginBuild(), newPluginTest(), newPluginBench(), newPluginInspect(), newPluginValidate(),
		newPluginReplay(), newPluginPush(), newPluginPull(), newPluginList(), newPluginKeygen(), newPluginSign(), newPluginVerify(),
		newPluginLock(), newPluginOutdated(), newPluginUpdate(), newPluginApprove(), newPluginBundle(), newPluginImport(),
		newPluginDiff(), newPluginTry())
	return c
}

// plugin is a module with what it says of itself.
type plugin struct {
	file     string
	wasm     []byte
	manifest *manifest.Manifest // empty if it has none
	report   *inspect.Report
	cases    []cases.Case
}

// readPlugin reads a module.
func readPlugin(file string) (*plugin, error) {
	wasm, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	return newPluginFrom(file, wasm)
}

// newPluginFrom looks into a module. file is what messages call it.
func newPluginFrom(file string, wasm []byte) (*plugin, error) {
	report, err := inspect.Module(wasm)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	p := &plugin{file: file, wasm: wasm, manifest: report.Manifest, report: report}
	if p.manifest == nil {
		p.manifest = &manifest.Manifest{Name: report.Name(file)}
	}
	p.cases = p.manifest.Cases()
	return p, nil
}

// openPlugin reads a module, or builds a project and returns what came of it, with all its cases.
func openPlugin(c *cobra.Command, target string) (*plugin, error) {
	info, err := os.Stat(target)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return readPlugin(target)
	}
	built, err := buildProject(c, target, project.Options{})
	if err != nil {
		return nil, err
	}
	all, err := project.Cases(target, built.Manifest)
	if err != nil {
		return nil, err
	}
	return &plugin{built.Path, built.Wasm, built.Manifest, built.Report, all}, nil
}

// buildProject builds a project. What the toolchain says is shown only if it has something to say.
func buildProject(c *cobra.Command, dir string, o project.Options) (*project.Built, error) {
	o.Log, o.Engine = c.ErrOrStderr(), plugins.JavaScript
	return project.Build(c.Context(), dir, o)
}

// policy is the plugin as an operator would configure it who gives it everything that it asks for.
func (p *plugin) policy() (runtime.Policy, error) {
	script, err := manifest.FindSection(p.wasm, manifest.ScriptSection)
	if err != nil {
		return runtime.Policy{}, err
	}
	policy := runtime.Policy{
		Name: p.manifest.Name, Wasm: p.wasm, Script: script, Inputs: p.manifest.Inputs,
		Limits: runtime.Limits{Fuel: p.manifest.Limits.Fuel, Memory: p.manifest.Limits.Memory},
	}
	for _, name := range p.manifest.Hooks {
		if hook, ok := abi.ParseHook(name); ok {
			policy.Hooks = append(policy.Hooks, hook)
		}
	}
	for _, a := range p.manifest.Grants {
		switch {
		case a.Identities != "":
			policy.Grants.Identities = true
		case a.KV != "":
			policy.Grants.KV = true
		default:
			policy.Grants.Inputs = append(policy.Grants.Inputs, a.Input)
		}
	}
	return policy, nil
}

// readCases adds the cases of files to those that the plugin has.
func (p *plugin) readCases(files []string) error {
	for _, file := range files {
		text, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			return err
		}
		more, err := cases.Read(file, text, p.manifest.OnlyHook())
		if err != nil {
			return err
		}
		p.cases = append(p.cases, more...)
	}
	return nil
}

var errNoCases = errors.New("there are no cases: a project has them in cases.yaml, --cases names further files")

// place is the folder or file that a command is about: its argument, or the current folder.
func place(args []string) string {
	if len(args) == 0 {
		return "."
	}
	return args[0]
}

// indented writes a text that may have several lines, each with an indent.
func indented(out io.Writer, indent, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(out, "%s%s\n", indent, line)
	}
}
