package main

import (
	"fmt"
	"io"
	"time"

	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
	"github.com/spf13/cobra"
)

func newLedger() *cobra.Command {
	c := &cobra.Command{
		Use:   "ledger",
		Short: "Export and verify the ledger",
		Long: "Export and verify the ledger: through the admin API while the gateway runs, in its data folder while it does not.\n" +
			"In a data folder, attempts that a crash left open are settled first, as a gateway would.",
	}
	c.AddCommand(newLedgerExport(), newLedgerVerify())
	return c
}

func newLedgerExport() *cobra.Command {
	var file, from, to, target string
	var asCSV, asJSON bool
	c := &cobra.Command{
		Use:   "export --csv|--json",
		Short: "Write every attempt with what it cost",
		Long: "Write every attempt with what it cost: the settled ones in the order of their settlement, then those that are open.\n" +
			"--json writes one JSON object a line. Amounts are whole nano-dollars: 1,000,000,000 are a dollar.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			format := admin.JSONL
			if asCSV {
				format = admin.CSV
			}
			since, err := admin.ParseFrom(from)
			if err != nil {
				return fmt.Errorf("--from: %w", err)
			}
			until, err := admin.ParseTo(to)
			if err != nil {
				return fmt.Errorf("--to: %w", err)
			}
			return withBooks(c, file, func(_ *control, books admin.Books) error {
				return writeTo(c, target, func(out io.Writer) error {
					return exportEntries(c, books, out, format, since, until)
				})
			})
		},
	}
	addConfigFlag(c, &file)
	f := c.Flags()
	f.BoolVar(&asCSV, "csv", false, "write CSV, with a line of names")
	f.BoolVar(&asJSON, "json", false, "write JSON, one object a line")
	f.StringVar(&from, "from", "", "attempts from this `day` (2026-11-21, UTC) or time (RFC 3339) on")
	f.StringVar(&to, "to", "", "attempts until this `day`, which is included, or time, which is not")
	f.StringVarP(&target, "out", "o", stdout, "the `file` to write; - for the standard output")
	c.MarkFlagsOneRequired("csv", "json")
	c.MarkFlagsMutuallyExclusive("csv", "json")
	return c
}

func exportEntries(c *cobra.Command, books admin.Books, out io.Writer, format string, from, to time.Time) error {
	entries, err := admin.NewEntryWriter(out, format)
	if err != nil {
		return err
	}
	if err := books.Export(c.Context(), from, to, entries.Write); err != nil {
		return err
	}
	return entries.Flush()
}

func newLedgerVerify() *cobra.Command {
	return visiting(&cobra.Command{
		Use:   "verify",
		Short: "Compare the journal with the balances",
		Long: "Compare the journal with the balances: every settlement belongs to one reservation, and what was settled is what the\n" +
			"budgets say. It fails if something differs, and says what.",
		Args: cobra.NoArgs,
	}, func(v *visit) error {
		books, err := v.books(v.Context())
		if err != nil {
			return err
		}
		found, err := books.Verify(v.Context())
		if err != nil {
			return err
		}
		err = v.show(admin.ShowVerification(&found), func(out io.Writer) error { return printVerification(out, &found) })
		if err == nil && len(found.Problems) > 0 {
			err = fmt.Errorf("the ledger has %d problem(s)", len(found.Problems))
		}
		return err
	})
}

func printVerification(out io.Writer, v *ledger.Verification) error {
	fmt.Fprintf(out, "%s attempts settled, %s open, in %s segments; %s balances compared", record.Grouped(v.Entries), record.Grouped(v.Open),
		record.Grouped(v.Segments), record.Grouped(v.Windows))
	if v.Partial > 0 {
		fmt.Fprintf(out, ", %s of them from before the journal's beginning", record.Grouped(v.Partial))
	}
	fmt.Fprintln(out)
	for _, p := range v.Problems {
		fmt.Fprintf(out, "  %s\n", record.Printable(p))
	}
	if len(v.Problems) > 0 {
		return nil
	}
	_, err := fmt.Fprintln(out, "journal and balances agree")
	return err
}
