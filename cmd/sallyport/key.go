package main

import (
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

// keyFlags are the flags of what people choose for a key.
type keyFlags struct {
	terms                       termsFlags
	team, defaultModel, expires string
}

// add adds the flags. Before the command runs, take is given what they say.
func (k *keyFlags) add(c *cobra.Command, take func(*admin.KeyChange) error) {
	f := c.Flags()
	f.StringVar(&k.team, "team", "", "the `team` that it belongs to")
	f.StringVar(&k.defaultModel, "default-model", "", "the `model` for requests that name none")
	f.StringVar(&k.expires, "expires", "", "the `date` after which it is refused, as 2027-01-01 or RFC 3339 (default never)")
	k.terms.add(c)
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		change, err := k.change(c)
		if err != nil {
			return err
		}
		return take(&change)
	}
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
	var flags keyFlags
	var k identity.Key // as it is wished for
	var name, prefix string
	c := visiting(&cobra.Command{
		Use:   "create --name NAME",
		Short: "Make a key; its secret is shown this once",
		Args:  cobra.NoArgs,
	}, func(v *visit) error {
		key, secret, err := v.Issue(v.Context(), identity.Wish{
			Name: name, Prefix: prefix, Team: k.Team, Models: k.Models, Expires: k.Expires,
			DefaultModel: k.DefaultModel, Labels: k.Labels, Limits: k.Limits, Budgets: k.Budgets,
		})
		return v.issued(&key, secret, "", err)
	})
	c.Flags().StringVar(&name, "name", "", "the key's name")
	c.Flags().StringVar(&prefix, "prefix", "", "what the key begins with, such as sk- (default "+identity.DefaultPrefix+")")
	flags.add(c, func(chosen *admin.KeyChange) error { return chosen.Apply(&k) })
	_ = c.MarkFlagRequired("name") // the flag exists
	return c
}

// issued prints a secret, and what there is to know about it.
func (v *visit) issued(key *identity.Key, secret, more string, err error) error {
	if err != nil {
		return err
	}
	return v.show(admin.IssuedKey{Key: admin.ShowKey(key, time.Now()), Secret: secret}, func(out io.Writer) error {
		_, err := fmt.Fprintf(out, "%s\n\nThis is the key %q (%s). It cannot be shown again.\n%s", secret, key.Name, key.ID, more)
		return err
	})
}

func newKeyList() *cobra.Command {
	var team string
	c := visiting(&cobra.Command{
		Use:   "list",
		Short: "List the keys, the oldest first",
		Args:  cobra.NoArgs,
	}, func(v *visit) error {
		keys, err := v.Keys.Keys(v.Context(), identity.Query{Team: team})
		if err != nil {
			return err
		}
		slices.SortStableFunc(keys, func(a, b identity.Key) int { return a.Created.Compare(b.Created) })
		shown := make([]admin.Key, 0, len(keys))
		for i := range keys {
			shown = append(shown, admin.ShowKey(&keys[i], time.Now()))
		}
		return v.show(shown, func(out io.Writer) error { return printKeys(out, shown) })
	})
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
	return visiting(&cobra.Command{
		Use:   "show ID|NAME",
		Short: "Show a key, and where the budgets stand that bind it",
		Args:  cobra.ExactArgs(1),
	}, func(v *visit) error {
		key, err := v.Key(v.Context(), v.args[0])
		if err != nil {
			return err
		}
		shown := admin.ShowKey(&key, time.Now())
		return v.show(shown, func(out io.Writer) error {
			if err := printKey(out, &shown); err != nil {
				return err
			}
			books, err := v.books(v.Context())
			if err != nil {
				return err
			}
			balances, err := books.KeyBalances(v.Context(), key.ID)
			for i := range balances {
				if a := &balances[i].Account; a.Kind == ledger.KeyAccount {
					a.ID = key.Name // which is what people know it by
				}
			}
			return printBalances(out, balances, err)
		})
	})
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
	var flags keyFlags
	var change *admin.KeyChange
	c := visiting(&cobra.Command{
		Use:   "update ID|NAME",
		Short: "Change a key; what is not named stays",
		Long:  "Change a key; what is not named stays. --model and --budget replace all that there were; an empty --team, --default-model or --model clears.",
		Args:  cobra.ExactArgs(1),
	}, func(v *visit) error {
		key, err := v.ChangeKey(v.Context(), v.args[0], change)
		return v.keyDone(&key, "changed", err)
	})
	flags.add(c, func(chosen *admin.KeyChange) error { change = chosen; return nil })
	return c
}

// keyDone prints what was done to a key.
func (v *visit) keyDone(key *identity.Key, done string, err error) error {
	if err != nil {
		return err
	}
	return v.show(admin.ShowKey(key, time.Now()), func(out io.Writer) error {
		_, err := fmt.Fprintf(out, "%s %q (%s)\n", done, key.Name, key.ID)
		return err
	})
}

func newKeyRotate() *cobra.Command {
	var grace time.Duration
	c := visiting(&cobra.Command{
		Use:   "rotate ID|NAME",
		Short: "Give a key a new secret; the one before works for a while",
		Args:  cobra.ExactArgs(1),
	}, func(v *visit) error {
		key, secret, err := v.RotateKey(v.Context(), v.args[0], grace)
		more := "The one before is refused from now on.\n"
		if !key.GraceEnds.IsZero() {
			more = fmt.Sprintf("The one before works until %s.\n", momentText(&key.GraceEnds, ""))
		}
		return v.issued(&key, secret, more, err)
	})
	c.Flags().DurationVar(&grace, "grace", admin.DefaultGrace, "how long the secret before works, up to "+hours(identity.MaxGrace)+"; 0 for not at all")
	return c
}

func hours(d time.Duration) string { return fmt.Sprintf("%dh", int(d.Hours())) }

// newKeyState is a command that gives a key a state.
func newKeyState(verb, short, done string, to abi.KeyState) *cobra.Command {
	return visiting(&cobra.Command{Use: verb + " ID|NAME", Short: short, Args: cobra.ExactArgs(1)}, func(v *visit) error {
		key, err := v.SetKeyState(v.Context(), v.args[0], to)
		return v.keyDone(&key, done, err)
	})
}
