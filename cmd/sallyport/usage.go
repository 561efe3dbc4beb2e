package main

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
	"github.com/spf13/cobra"
)

func newUsage() *cobra.Command {
	var out outputFlags
	var q admin.UsageQuery
	var asCSV bool
	c := &cobra.Command{
		Use:   "usage",
		Short: "Sum up tokens and cost by day, team, key or model",
		Long: "Sum up tokens and cost by day, team, key or model: through the admin API while the gateway runs, in its data folder\n" +
			"while it does not. Days are those of UTC.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return withBooks(c, out.config, func(_ *control, books admin.Books) error {
				totals, err := books.Usage(c.Context(), q)
				switch {
				case err != nil:
					return err
				case out.json:
					shown := make([]admin.Total, 0, len(totals))
					for i := range totals {
						shown = append(shown, admin.ShowTotal(&totals[i]))
					}
					return json.NewEncoder(c.OutOrStdout()).Encode(shown)
				case asCSV:
					return writeUsageCSV(c.OutOrStdout(), q.By, totals)
				}
				return printUsage(c.OutOrStdout(), q.By, totals)
			})
		},
	}
	out.add(c)
	f := c.Flags()
	f.BoolVar(&asCSV, "csv", false, "print CSV, with a line of names")
	f.StringSliceVar(&q.By, "by", []string{admin.ByKey, admin.ByModel}, "sum up by these `dimensions`: day, team, key, model")
	f.StringVar(&q.From, "from", "", "from this `day` on, as 2026-11-21")
	f.StringVar(&q.To, "to", "", "until this `day`, which is included")
	f.StringVar(&q.Team, "team", "", "of this `team` alone")
	f.StringVar(&q.Key, "key", "", "of the `key` with this id or name alone")
	f.StringVar(&q.Model, "model", "", "of this alias or chain alone")
	c.MarkFlagsMutuallyExclusive("csv", "json")
	return c
}

// usageColumns are the dimensions that usage was summed up by, in the order in which it is sorted.
func usageColumns(by []string) []string {
	var columns []string
	for _, c := range []string{admin.ByDay, admin.ByTeam, admin.ByKey, admin.ByModel} {
		if slices.Contains(by, c) {
			columns = append(columns, c)
		}
	}
	return columns
}

// usageCell is the cell of a total in a column.
func usageCell(t *ledger.Total, column string) string {
	switch column {
	case admin.ByDay:
		return t.Day
	case admin.ByTeam:
		return t.Team
	case admin.ByKey:
		return t.Key
	default:
		return t.Model
	}
}

func printUsage(out io.Writer, by []string, totals []ledger.Total) error {
	if len(totals) == 0 {
		_, err := io.WriteString(out, "nothing was used\n")
		return err
	}
	columns := usageColumns(by)
	var names []string
	for _, c := range columns {
		names = append(names, strings.ToUpper(c))
	}
	t := newTable(append(names, ">ATTEMPTS", ">INPUT", ">OUTPUT", ".COST")...)
	row := func(total *ledger.Total, cells []string) {
		u := &total.Usage
		t.row(append(cells, record.Grouped(total.Attempts), record.Grouped(u.InputTokens()), record.Grouped(u.OutputTokens()), total.Cost.String())...)
	}
	var all ledger.Total
	for i := range totals {
		var cells []string
		for _, c := range columns {
			cells = append(cells, dash(usageCell(&totals[i], c)))
		}
		row(&totals[i], cells)
		all.Attempts += totals[i].Attempts
		all.Cost += totals[i].Cost
		for d, n := range totals[i].Usage {
			all.Usage[d] += n
		}
	}
	if len(columns) > 0 && len(totals) > 1 {
		cells := make([]string, len(columns))
		cells[0] = "in all"
		row(&all, cells)
	}
	return t.write(out)
}

func writeUsageCSV(out io.Writer, by []string, totals []ledger.Total) error {
	columns := usageColumns(by)
	names := slices.Clone(columns)
	if slices.Contains(columns, admin.ByKey) {
		names = append(names, "key_id")
	}
	names = append(names, "attempts", "cost_nano_usd")
	for d := range abi.NumDimensions {
		names = append(names, "usage_"+d.String())
	}
	w := csv.NewWriter(out)
	if err := w.Write(names); err != nil {
		return err
	}
	for i := range totals {
		var cells []string
		for _, c := range columns {
			cells = append(cells, admin.Inert(usageCell(&totals[i], c)))
		}
		if slices.Contains(columns, admin.ByKey) {
			cells = append(cells, admin.Inert(totals[i].KeyID))
		}
		cells = append(cells, strconv.FormatInt(totals[i].Attempts, 10), strconv.FormatInt(int64(totals[i].Cost), 10))
		for _, n := range totals[i].Usage {
			cells = append(cells, strconv.FormatInt(n, 10))
		}
		if err := w.Write(cells); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}
