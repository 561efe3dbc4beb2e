package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/plugin/host"
	"github.com/sallyport-dev/sallyport/record"
)

func newPluginBench() *cobra.Command {
	var files []string
	var long time.Duration
	var asJSON bool
	c := &cobra.Command{
		Use:   "bench [DIR|FILE]",
		Short: "Measure what a policy's cases cost",
		Long: "Ask each of a policy's cases over and over, as the gateway does, and print what a call costs: time, allocations on\n" +
			"the gateway's side, and fuel, which limits.fuel bounds. A policy that collects garbage needs more in some calls:\n" +
			"a limit of ten times the fuel leaves room for them.",
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
			figures, err := measure(c, p, long)
			if err != nil {
				return err
			}
			if asJSON {
				return writeFiguresJSON(c.OutOrStdout(), figures)
			}
			return writeFigures(c.OutOrStdout(), figures)
		},
	}
	c.Flags().StringArrayVar(&files, "cases", nil, "a further `file` of cases")
	c.Flags().DurationVar(&long, "time", time.Second, "how long to measure each case")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func measure(c *cobra.Command, p *plugin, long time.Duration) ([]*host.Figures, error) {
	h, err := openHost(c.Context(), p)
	if err != nil {
		return nil, err
	}
	var all []*host.Figures
	for i := range p.cases {
		f, err := h.Bench(c.Context(), &p.cases[i], long)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, h.Close(c.Context())
}

func writeFigures(out io.Writer, figures []*host.Figures) error {
	t := newTable("HOOK", "CASE", "ANSWER", ">CALLS", ">NS/CALL", ">ALLOCS/CALL", ">BYTES/CALL", ">FUEL/CALL")
	for _, f := range figures {
		cells := []string{abi.Hook(f.Case.Hook).String(), f.Case.Name, f.Answer, "-", "-", "-", "-", "-"}
		if f.Calls > 0 {
			copy(cells[3:], []string{
				record.Grouped(int64(f.Calls)), record.Grouped(f.Time.Nanoseconds()), fmt.Sprintf("%.1f", f.Allocs), record.Grouped(int64(f.Bytes)), record.Grouped(f.Fuel),
			})
		}
		t.row(cells...)
	}
	return t.write(out)
}

func writeFiguresJSON(out io.Writer, figures []*host.Figures) error {
	type result struct {
		Name   string     `json:"name"`
		Hook   cases.Hook `json:"hook"`
		Answer string     `json:"answer"`
		Calls  int        `json:"calls"`
		NS     int64      `json:"ns_per_call"`
		Allocs float64    `json:"allocs_per_call"`
		Bytes  float64    `json:"bytes_per_call"`
		Fuel   int64      `json:"fuel_per_call"`
	}
	all := make([]result, 0, len(figures))
	for _, f := range figures {
		all = append(all, result{f.Case.Name, f.Case.Hook, f.Answer, f.Calls, f.Time.Nanoseconds(), f.Allocs, f.Bytes, f.Fuel})
	}
	return json.NewEncoder(out).Encode(all)
}
