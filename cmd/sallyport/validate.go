package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/hostfuncs/extism"
	"github.com/sallyport-dev/sallyport/runtime"
	"github.com/spf13/cobra"
)

func newValidate() *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use:   "validate",
		Short: "Check the configuration and its policies",
		Long:  "Check the configuration, and compile and try its policies, as the gateway would. Every problem is told, with its line.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			snapshot, err := loadConfig(file)
			if err != nil {
				return err
			}
			policies, err := tryPolicies(c.Context(), snapshot)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(c.OutOrStdout()).Encode(struct {
					File   string   `json:"file"`
					Models []string `json:"models"`
				}{snapshot.File, snapshot.Names})
			}
			return printSummary(c.OutOrStdout(), snapshot, policies)
		},
	}
	addConfigFlag(c, &file)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// tryPolicies loads the policies as a gateway would, and lets them go.
func tryPolicies(ctx context.Context, c *config.Snapshot) ([]runtime.PolicyInfo, error) {
	policies, err := readPolicies(ctx, c, slog.New(slog.DiscardHandler))
	if err == nil {
		err = checkManifests(c, policies)
	}
	if err != nil {
		return nil, err
	}
	cache, err := os.MkdirTemp("", "sallyport-validate-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(cache) }() // in the system's folder for such things
	r, err := runtime.New(ctx, runtime.Options{
		CacheDir: cache, Functions: hostfuncs.Functions(hostfuncs.Options{}), Portable: extism.New(), Compiler: compiler,
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close(ctx) }() // nothing was written
	set, err := r.Load(ctx, policies)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	tests := &selfTests{dir: cache, compiler: compiler}
	return set.Policies(), tests.run(ctx, policies)
}

func printSummary(out io.Writer, c *config.Snapshot, policies []runtime.PolicyInfo) error {
	fmt.Fprintf(out, "%s is fine\n\n", c.File)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	prices := map[string]string{}
	for _, p := range c.PriceSources() {
		prices[p.Alias] = cmp.Or(p.Source, "none")
	}
	fmt.Fprintln(w, "MODEL\tFORMAT\tRESOLVES TO\tPRICE")
	for _, name := range c.Names {
		chain := c.Chains[name]
		var steps []string
		for _, s := range chain.Steps {
			steps = append(steps, s.Provider.Name+"/"+s.Model)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", name, chain.Format, strings.Join(steps, ", "), prices[name])
	}
	fmt.Fprintln(w, "\nPOLICY\tHOOKS\tSIZE")
	for _, p := range policies {
		fmt.Fprintf(w, "%s\t%s\t%d KiB\n", p.Name, strings.Join(hookNames(p.Hooks), ", "), p.Size>>10)
	}
	return w.Flush()
}
