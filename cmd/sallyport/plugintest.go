package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/plugin/host"
	"github.com/sallyport-dev/sallyport/plugin/host/stock"
	"github.com/sallyport-dev/sallyport/record"
)

// examination is what asks a plugin's cases: the gateway's own host, or another one that is to agree with it.
type examination interface {
	Run(ctx context.Context, all []cases.Case) ([]host.Result, error)
	Close(ctx context.Context) error
}

func newPluginTest() *cobra.Command {
	var files []string
	var asJSON bool
	on := hostOurs
	c := &cobra.Command{
		Use:   "test [DIR|FILE]",
		Short: "Ask a policy its cases",
		Long: "Ask a policy its cases, on the gateway's own runtime: those in its manifest and, of a project, which is built first,\n" +
			"those in the folder cases too. It has the grants that its manifest asks for.\n\n" +
			"With --host extism a plugin of the portable tier is asked on the host of Extism's SDK for Go instead, which shows that\n" +
			"it does not depend on this one. What it prints is lost there, and fuel is not counted.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, err := openPlugin(c, place(args))
			if err != nil {
				return err
			}
			if err := p.readCases(files); err != nil {
				return err
			}
			if len(p.cases) == 0 {
				return errNoCases
			}
			results, err := examine(c.Context(), p, on)
			if err != nil {
				return err
			}
			if asJSON {
				err = writeResultsJSON(c.OutOrStdout(), results)
			} else {
				writeResults(c.OutOrStdout(), results)
			}
			if wrong := failures(results); err == nil && wrong > 0 {
				err = fmt.Errorf("%s: %d of %d cases failed", shortest(p.file), wrong, len(results))
			}
			return err
		},
	}
	c.Flags().StringArrayVar(&files, "cases", nil, "a further `file` of cases")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.Flags().StringVar(&on, "host", on, "the `host` that asks: sallyport or extism")
	return c
}

// The hosts that a plugin can be tested on.
const (
	hostOurs   = "sallyport"
	hostExtism = "extism"
)

// examine asks a plugin all its cases, on a host.
func examine(ctx context.Context, p *plugin, on string) ([]host.Result, error) {
	e, err := openExamination(ctx, p, on)
	if err != nil {
		return nil, err
	}
	results, err := e.Run(ctx, p.cases)
	return results, errors.Join(err, e.Close(ctx))
}

func openExamination(ctx context.Context, p *plugin, on string) (examination, error) {
	switch on {
	case hostOurs:
		return openHost(ctx, p)
	case hostExtism:
		return openStock(ctx, p)
	}
	return nil, fmt.Errorf("--host %s: use %s or %s", on, hostOurs, hostExtism)
}

// openStock opens Extism's own host, which serves nothing but the portable tier.
func openStock(ctx context.Context, p *plugin) (examination, error) {
	if only := p.report.Imports[abi.ModulePolicy]; len(only) > 0 {
		return nil, fmt.Errorf("%s is no plugin of the portable tier alone: it imports %s from %s, which no other host serves",
			shortest(p.file), strings.Join(only[:min(len(only), 3)], ", "), abi.ModulePolicy)
	}
	policy, err := p.policy()
	if err != nil {
		return nil, err
	}
	return stock.Open(ctx, policy, p.report.Hooks)
}

func openHost(ctx context.Context, p *plugin) (*host.Host, error) {
	policy, err := p.policy()
	if err != nil {
		return nil, err
	}
	return host.Open(ctx, host.Options{Policy: policy})
}

func failures(results []host.Result) (n int) {
	for _, r := range results {
		if len(r.Differences) > 0 {
			n++
		}
	}
	return n
}

// writeResults shows what came of the cases, with the differences of those that are not as they should be.
func writeResults(out io.Writer, results []host.Result) {
	for _, r := range results {
		if len(r.Differences) == 0 {
			fmt.Fprintf(out, "ok    %s\n", record.Printable(r.Case.Title()))
			continue
		}
		fmt.Fprintf(out, "FAIL  %s\n", record.Printable(r.Case.Title()))
		for _, difference := range r.Differences {
			indented(out, "      ", difference)
		}
	}
	fmt.Fprintf(out, "%d cases, %d failed\n", len(results), failures(results))
}

func writeResultsJSON(out io.Writer, results []host.Result) error {
	type result struct {
		Name        string     `json:"name"`
		Hook        cases.Hook `json:"hook"`
		OK          bool       `json:"ok"`
		Answer      string     `json:"answer"`
		Differences []string   `json:"differences,omitempty"`
	}
	all := make([]result, 0, len(results))
	for _, r := range results {
		all = append(all, result{r.Case.Name, r.Case.Hook, len(r.Differences) == 0, r.Outcome.Answer, r.Differences})
	}
	return json.NewEncoder(out).Encode(all)
}

var (
	_ examination = (*host.Host)(nil)
	_ examination = (*stock.Examination)(nil)
)
