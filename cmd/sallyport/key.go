package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/spf13/cobra"
)

func newKey() *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Make, list and revoke keys",
		Long:  "Make, list and revoke keys: through the admin API while the gateway runs, in its data folder while it does not.",
	}
	c.AddCommand(newKeyCreate(), newKeyList(), newKeyRevoke())
	return c
}

func newKeyCreate() *cobra.Command {
	var file, expires string
	var asJSON bool
	var wish identity.Wish
	c := &cobra.Command{
		Use:   "create --name NAME",
		Short: "Make a key; its secret is shown this once",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if wish.Expires, err = parseExpiry(expires); err != nil {
				return err
			}
			return withControl(c, file, func(ctl *control) error {
				key, secret, err := ctl.Issue(c.Context(), wish)
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(c.OutOrStdout()).Encode(admin.IssuedKey{Key: admin.ShowKey(&key), Secret: secret})
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n\nThis is the key %q (%s). It cannot be shown again.\n", secret, key.Name, key.ID)
				return err
			})
		},
	}
	addConfigFlag(c, &file)
	f := c.Flags()
	f.StringVar(&wish.Name, "name", "", "the key's name")
	f.StringVar(&wish.Team, "team", "", "the team that it belongs to")
	f.StringSliceVar(&wish.Models, "models", nil, "the models that it may use, exact or as `PREFIX*` (default all)")
	f.StringVar(&wish.Prefix, "prefix", "", "what the key begins with, such as sk- (default "+identity.DefaultPrefix+")")
	f.StringVar(&expires, "expires", "", "the `date` after which it is refused, as 2027-01-01 or RFC 3339 (default never)")
	f.BoolVar(&asJSON, "json", false, "print JSON")
	_ = c.MarkFlagRequired("name") // the flag exists
	return c
}

// parseExpiry reads a date, at midnight UTC, or a time.
func parseExpiry(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--expires %q is neither a date (2027-01-01) nor a time (2027-01-01T12:00:00Z)", text)
}

func newKeyList() *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the keys",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return withControl(c, file, func(ctl *control) error {
				keys, err := ctl.Keys.Keys(c.Context())
				if err != nil {
					return err
				}
				shown := make([]admin.Key, 0, len(keys))
				for i := range keys {
					shown = append(shown, admin.ShowKey(&keys[i]))
				}
				if asJSON {
					return json.NewEncoder(c.OutOrStdout()).Encode(shown)
				}
				return printKeys(c.OutOrStdout(), shown)
			})
		},
	}
	addConfigFlag(c, &file)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printKeys(out io.Writer, keys []admin.Key) error {
	if len(keys) == 0 {
		_, err := fmt.Fprintln(out, "no keys yet: sallyport key create --name NAME")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSTATE\tKEY\tTEAM\tMODELS\tEXPIRES")
	for _, k := range keys {
		shown, expires := "from the file", "never"
		if k.Hint != "" {
			shown = k.Prefix + "…" + k.Hint
		}
		if k.Expires != nil {
			expires = k.Expires.Format(time.DateOnly)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Name, k.State, shown, dash(k.Team), allOr(k.Models), expires)
	}
	return w.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func allOr(models []string) string {
	if len(models) == 0 {
		return "all"
	}
	return strings.Join(models, ",")
}

func newKeyRevoke() *cobra.Command {
	var file string
	var asJSON bool
	c := &cobra.Command{
		Use:   "revoke ID|NAME",
		Short: "Revoke a key, for good and at once",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withControl(c, file, func(ctl *control) error {
				key, err := ctl.Revoke(c.Context(), args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(c.OutOrStdout()).Encode(admin.ShowKey(&key))
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), "revoked %q (%s)\n", key.Name, key.ID)
				return err
			})
		},
	}
	addConfigFlag(c, &file)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// withControl runs do with a control that it closes.
func withControl(c *cobra.Command, file string, do func(*control) error) error {
	ctl, err := openControl(c.Context(), file)
	if err != nil {
		return err
	}
	if err = do(ctl); err != nil {
		err = fmt.Errorf("%s: %w", ctl.where, err)
	}
	return errors.Join(err, ctl.close())
}
