package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/plugin/document"
	"github.com/sallyport-dev/sallyport/plugin/host"
	"github.com/sallyport-dev/sallyport/runtime"
)

func newPluginValidate() *cobra.Command {
	var with string
	c := &cobra.Command{
		Use:   "validate FILE",
		Short: "Tell whether a gateway would load a policy",
		Long: "Tell whether a gateway would load a policy that gets everything that it asks for: whether the module is sound, its\n" +
			"manifest right, its configuration accepted, and its self-test passed.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := readPlugin(args[0])
			if err != nil {
				return err
			}
			if len(p.report.Problems) > 0 {
				return fmt.Errorf("%s would not be loaded: %s", args[0], strings.Join(p.report.Problems, "; "))
			}
			config, err := p.readConfig(with)
			if err != nil {
				return err
			}
			info, err := p.tryOut(c.Context(), config)
			if err != nil {
				return fmt.Errorf("%s would not be loaded: %w", args[0], err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is fine: asked at %s; %d cases of its self-test passed\n\nIts line for policies.yaml, under policies:\n  %s\n",
				args[0], strings.Join(hookNames(info.Hooks), ", "), len(p.cases), p.manifest.Entry(args[0]))
			return err
		},
	}
	c.Flags().StringVar(&with, "with", "", "a `file` with the policy's configuration, in YAML or JSON")
	return c
}

// readConfig reads a configuration and checks it by the plugin's schema. It is nil without a file.
func (p *plugin) readConfig(file string) (any, error) {
	if file == "" {
		if problems := p.manifest.ValidateConfig(nil); len(problems) > 0 {
			return nil, fmt.Errorf("without a configuration: %w; --with names one", problems)
		}
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return nil, err
	}
	d, err := document.ReadYAML(text)
	if problems, ok := errors.AsType[document.Problems](err); ok {
		return nil, problems.In(file)
	}
	if err != nil {
		return nil, err
	}
	config, err := d.JSON()
	if err != nil {
		return nil, err
	}
	if problems := p.manifest.ValidateConfig(config); len(problems) > 0 {
		for i := range problems {
			problems[i].Line = d.Line(problems[i].Pointer)
		}
		return nil, problems.In(file)
	}
	return d.Value, nil
}

// tryOut loads the plugin with a configuration, and asks its cases.
func (p *plugin) tryOut(ctx context.Context, config any) (info runtime.PolicyInfo, err error) {
	h, err := openHost(ctx, p)
	if err != nil {
		return info, err
	}
	defer func() { err = errors.Join(err, h.Close(ctx)) }()
	if info, err = h.Load(ctx, &cases.Case{Config: config}); err != nil {
		return info, err
	}
	results, err := h.Run(ctx, p.cases)
	if err != nil {
		return info, err
	}
	return info, selfTestError(results)
}

// selfTestError says what of a self-test went wrong; nil if nothing did.
func selfTestError(results []host.Result) error {
	var errs []error
	for _, r := range results {
		if len(r.Differences) > 0 {
			errs = append(errs, fmt.Errorf("its self-test %q failed: %s", r.Case.Name, strings.Join(r.Differences, "; ")))
		}
	}
	return errors.Join(errs...)
}
