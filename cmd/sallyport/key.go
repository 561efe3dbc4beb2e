package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/spf13/cobra"
)

func newKey() *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Make, list, change and revoke keys",
		Long: "Make, list, change and revoke keys: through the admin API while the gateway runs, in its data folder while it does not.\n" +
			"Keys of the configuration file are listed, and changed there.",
	}
	c.AddCommand(newKeyCreate(), newKeyList(), newKeyShow(), newKeyUpdate(), newKeyRotate(),
		newKeyState("disable", "Refuse a key until it is enabled again", "disabled", abi.KeyDisabled),
		newKeyState("enable", "Let a disabled key in again", "enabled", abi.KeyActive),
		newKeyState("revoke", "Revoke a key, for good and at once", "revoked", abi.KeyRevoked))
	return c
}

// outputFlags are the flags of every command that reaches a gateway or its data folder.
type outputFlags struct {
	config string
	json   bool
}

func (o *outputFlags) add(c *cobra.Command) {
	addConfigFlag(c, &o.config)
	c.Flags().BoolVar(&o.json, "json", false, "print JSON")
}

// keyFlags are the flags of what people choose for a key.
type keyFlags struct {
	terms                       termsFlags
	team, defaultModel, expires string
}

func (k *keyFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&k.team, "team", "", "the `team` that it belongs to")
	f.StringVar(&k.defaultModel, "default-model", "", "the `model` for requests that name none")
	f.StringVar(&k.expires, "expires", "", "the `date` after which it is refused, as 2027-01-01 or RFC 3339 (default never)")
	k.terms.add(c)
}

// never is what --expires takes to take an expiry away.
const never = "never"

func (k *keyFlags) change(c *cobra.Command) (change admin.KeyChange, err error) {
	if change.TermsChange, err = k.terms.change(c); err != nil {
		return change, err
	}
	change.Team = changeText(c, "team", k.team)
	change.DefaultModel = changeText(c, "default-model", k.defaultModel)
	switch k.expires {
	case "":
	case never:
		change.Expires = admin.Cleared[time.Time]()
	default:
		expires, err := parseExpiry(k.expires)
		if err != nil {
			return change, err
		}
		change.Expires = admin.To(expires)
	}
	return change, nil
}

// parseExpiry reads a date, at midnight UTC, or a time.
func parseExpiry(text string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--expires %q is neither a date (2027-01-01) nor a time (2027-01-01T12:00:00Z)", text)
}

func newKeyCreate() *cobra.Command {
	var out outputFlags
	var flags keyFlags
	var name, prefix string
	c := &cobra.Command{
		Use:   "create --name NAME",
		Short: "Make a key; its secret is shown this once",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			change, err := flags.change(c)
			if err != nil {
				return err
			}
			var k identity.Key
			if err := change.Apply(&k); err != nil {
				return err
			}
			wish := identity.Wish{
				Name: name, Prefix: prefix, Team: k.Team, Models: k.Models, Expires: k.Expires,
				DefaultModel: k.DefaultModel, Labels: k.Labels, Limits: k.Limits, Budgets: k.Budgets,
			}
			return withControl(c, out.config, func(ctl *control) error {
				key, secret, err := ctl.Issue(c.Context(), wish)
				if err != nil {
					return err
				}
				return printIssued(c.OutOrStdout(), out.json, &key, secret, "")
			})
		},
	}
	out.add(c)
	c.Flags().StringVar(&name, "name", "", "the key's name")
	c.Flags().StringVar(&prefix, "prefix", "", "what the key begins with, such as sk- (default "+identity.DefaultPrefix+")")
	flags.add(c)
	_ = c.MarkFlagRequired("name") // the flag exists
	return c
}

// printIssued prints a secret, and what there is to know about it.
func printIssued(out io.Writer, asJSON bool, key *identity.Key, secret, more string) error {
	if asJSON {
		return json.NewEncoder(out).Encode(admin.IssuedKey{Key: admin.ShowKey(key, time.Now()), Secret: secret})
	}
	_, err := fmt.Fprintf(out, "%s\n\nThis is the key %q (%s). It cannot be shown again.\n%s", secret, key.Name, key.ID, more)
	return err
}

func newKeyList() *cobra.Command {
	var out outputFlags
	var team string
	c := &cobra.Command{
		Use:   "list",
		Short: "List the keys, the oldest first",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return withControl(c, out.config, func(ctl *control) error {
				keys, err := ctl.Keys.Keys(c.Context(), identity.Query{Team: team})
				if err != nil {
					return err
				}
				slices.SortStableFunc(keys, func(a, b identity.Key) int { return a.Created.Compare(b.Created) })
				shown := make([]admin.Key, 0, len(keys))
				for i := range keys {
					shown = append(shown, admin.ShowKey(&keys[i], time.Now()))
				}
				if out.json {
					return json.NewEncoder(c.OutOrStdout()).Encode(shown)
				}
				return printKeys(c.OutOrStdout(), shown)
			})
		},
	}
	out.add(c)
	c.Flags().StringVar(&team, "team", "", "those of this `team` alone")
	return c
}

func printKeys(out io.Writer, keys []admin.Key) error {
	if len(keys) == 0 {
		_, err := fmt.Fprintln(out, "no keys yet: sallyport key create --name NAME")
		return err
	}
	t := newTable("ID", "NAME", "STATE", "KEY", "TEAM", "MODELS", "BUDGETS", "EXPIRES")
	for i := range keys {
		k := &keys[i]
		expires := never
		if k.Expires != nil {
			expires = k.Expires.Format(time.DateOnly)
		}
		t.row(k.ID, k.Name, k.State, secretText(k), dash(k.Team), modelsText(k.Models), dash(budgetsText(k.Budgets)), expires)
	}
	return t.write(out)
}

// secretText is what can be shown of a secret.
func secretText(k *admin.Key) string {
	if k.Hint == "" {
		return "from the file"
	}
	return k.Prefix + "…" + k.Hint
}

func newKeyShow() *cobra.Command {
	var out outputFlags
	c := &cobra.Command{
		Use:   "show ID|NAME",
		Short: "Show a key, and where the budgets stand that bind it",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withControl(c, out.config, func(ctl *control) error {
				key, err := ctl.Key(c.Context(), args[0])
				if err != nil {
					return err
				}
				shown := admin.ShowKey(&key, time.Now())
				if out.json {
					return json.NewEncoder(c.OutOrStdout()).Encode(shown)
				}
				if err := printKey(c.OutOrStdout(), &shown); err != nil {
					return err
				}
				books, err := ctl.books(c.Context())
				if err != nil {
					return err
				}
				balances, err := books.KeyBalances(c.Context(), key.ID)
				for i := range balances {
					if a := &balances[i].Account; a.Kind == ledger.KeyAccount {
						a.ID = key.Name // which is what people know it by
					}
				}
				return printBalances(c.OutOrStdout(), balances, err)
			})
		},
	}
	out.add(c)
	return c
}

func printKey(out io.Writer, k *admin.Key) error {
	t := newTable("key", k.Name)
	t.row("id", k.ID)
	t.row("state", k.State)
	t.row("secret", secretText(k))
	t.row("team", dash(k.Team))
	t.row("default model", dash(k.DefaultModel))
	t.terms(&k.Terms)
	t.row("made", momentText(k.Created, "in the configuration file"))
	t.row("expires", momentText(k.Expires, never))
	if k.Rotated != nil {
		t.row("rotated", momentText(k.Rotated, ""))
		t.row("grace ends", momentText(k.GraceEnds, "at once"))
	}
	return t.write(out)
}

// terms adds what keys and teams have in common.
func (t *table) terms(terms *admin.Terms) {
	t.row("models", modelsText(terms.Models))
	t.row("labels", dash(labelsText(terms.Labels)))
	t.row("limits", dash(limitsText(terms.Limits)))
	t.row("budgets", dash(budgetsText(terms.Budgets)))
}

func newKeyUpdate() *cobra.Command {
	var out outputFlags
	var flags keyFlags
	c := &cobra.Command{
		Use:   "update ID|NAME",
		Short: "Change a key; what is not named stays",
		Long:  "Change a key; what is not named stays. --model and --budget replace all that there were; an empty --team, --default-model or --model clears.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			change, err := flags.change(c)
			if err != nil {
				return err
			}
			return withControl(c, out.config, func(ctl *control) error {
				key, err := ctl.ChangeKey(c.Context(), args[0], &change)
				return printKeyDone(c, out.json, &key, "changed", err)
			})
		},
	}
	out.add(c)
	flags.add(c)
	return c
}

// printKeyDone prints what was done to a key.
func printKeyDone(c *cobra.Command, asJSON bool, key *identity.Key, done string, err error) error {
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(c.OutOrStdout()).Encode(admin.ShowKey(key, time.Now()))
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s %q (%s)\n", done, key.Name, key.ID)
	return err
}

func newKeyRotate() *cobra.Command {
	var out outputFlags
	var grace time.Duration
	c := &cobra.Command{
		Use:   "rotate ID|NAME",
		Short: "Give a key a new secret; the one before works for a while",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withControl(c, out.config, func(ctl *control) error {
				key, secret, err := ctl.RotateKey(c.Context(), args[0], grace)
				if err != nil {
					return err
				}
				more := "The one before is refused from now on.\n"
				if !key.GraceEnds.IsZero() {
					more = fmt.Sprintf("The one before works until %s.\n", momentText(&key.GraceEnds, ""))
				}
				return printIssued(c.OutOrStdout(), out.json, &key, secret, more)
			})
		},
	}
	out.add(c)
	c.Flags().DurationVar(&grace, "grace", admin.DefaultGrace, "how long the secret before works, up to "+hours(identity.MaxGrace)+"; 0 for not at all")
	return c
}

func hours(d time.Duration) string { return fmt.Sprintf("%dh", int(d.Hours())) }

// newKeyState is a command that gives a key a state.
func newKeyState(verb, short, done string, to abi.KeyState) *cobra.Command {
	var out outputFlags
	c := &cobra.Command{
		Use:   verb + " ID|NAME",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withControl(c, out.config, func(ctl *control) error {
				key, err := ctl.SetKeyState(c.Context(), args[0], to)
				return printKeyDone(c, out.json, &key, done, err)
			})
		},
	}
	out.add(c)
	return c
}
