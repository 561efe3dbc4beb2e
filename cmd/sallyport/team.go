package main

import (
	"fmt"
	"io"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/spf13/cobra"
)

func newTeam() *cobra.Command {
	c := &cobra.Command{
		Use:   "team",
		Short: "Make, list, change and revoke teams",
		Long: "Make, list, change and revoke teams: through the admin API while the gateway runs, in its data folder while it does not.\n" +
			"What binds a team binds all its keys together, and the teams below it. Teams of the configuration file are listed, and changed there.",
	}
	c.AddCommand(newTeamCreate(), newTeamList(), newTeamShow(), newTeamUpdate(),
		newTeamState("disable", "Refuse all keys of a team until it is enabled again", "disabled", abi.KeyDisabled),
		newTeamState("enable", "Let the keys of a disabled team in again", "enabled", abi.KeyActive),
		newTeamState("revoke", "Revoke a team and with it all its keys, for good and at once", "revoked", abi.KeyRevoked))
	return c
}

// teamFlags are the flags of what people choose for a team.
type teamFlags struct {
	terms  termsFlags
	parent string
}

// add adds the flags. Before the command runs, take is given what they say.
func (t *teamFlags) add(c *cobra.Command, take func(*admin.TeamChange) error) {
	c.Flags().StringVar(&t.parent, "parent", "", "the `team` that it belongs to")
	t.terms.add(c)
	c.PreRunE = func(c *cobra.Command, _ []string) error {
		terms, err := t.terms.change(c)
		if err != nil {
			return err
		}
		return take(&admin.TeamChange{TermsChange: terms, Parent: changeText(c, "parent", t.parent)})
	}
}

func newTeamCreate() *cobra.Command {
	var flags teamFlags
	var wish identity.Team
	var name string
	c := visiting(&cobra.Command{
		Use:   "create --name NAME",
		Short: "Make a team",
		Args:  cobra.NoArgs,
	}, func(v *visit) error {
		wish.Name = name
		team, err := v.CreateTeam(v.Context(), &wish.Team)
		return v.teamDone(&team, "made", err)
	})
	c.Flags().StringVar(&name, "name", "", "the team's name")
	flags.add(c, func(chosen *admin.TeamChange) error { return chosen.Apply(&wish) })
	_ = c.MarkFlagRequired("name") // the flag exists
	return c
}

func newTeamList() *cobra.Command {
	return visiting(&cobra.Command{
		Use:   "list",
		Short: "List the teams by name",
		Args:  cobra.NoArgs,
	}, func(v *visit) error {
		teams, err := v.Teams.Teams(v.Context(), identity.Query{})
		if err != nil {
			return err
		}
		shown := make([]admin.Team, 0, len(teams))
		for i := range teams {
			shown = append(shown, admin.ShowTeam(&teams[i]))
		}
		return v.show(shown, func(out io.Writer) error { return printTeams(out, shown) })
	})
}

func printTeams(out io.Writer, teams []admin.Team) error {
	if len(teams) == 0 {
		_, err := fmt.Fprintln(out, "no teams yet: sallyport team create --name NAME")
		return err
	}
	t := newTable("NAME", "PARENT", "STATE", "SOURCE", "MODELS", "LIMITS", "BUDGETS")
	for i := range teams {
		team := &teams[i]
		t.row(team.Name, dash(team.Parent), team.State, team.Source, modelsText(team.Models),
			dash(limitsText(team.Limits)), dash(budgetsText(team.Budgets)))
	}
	return t.write(out)
}

func newTeamShow() *cobra.Command {
	return visiting(&cobra.Command{
		Use:   "show NAME",
		Short: "Show a team, and where the budgets stand that bind it",
		Args:  cobra.ExactArgs(1),
	}, func(v *visit) error {
		team, err := v.Team(v.Context(), v.args[0])
		if err != nil {
			return err
		}
		shown := admin.ShowTeam(&team)
		return v.show(shown, func(out io.Writer) error {
			if err := printTeam(out, &shown); err != nil {
				return err
			}
			books, err := v.books(v.Context())
			if err != nil {
				return err
			}
			balances, err := books.TeamBalances(v.Context(), team.Name)
			return printBalances(out, balances, err)
		})
	})
}

func printTeam(out io.Writer, team *admin.Team) error {
	t := newTable("team", team.Name)
	t.row("state", team.State)
	t.row("parent", dash(team.Parent))
	t.terms(&team.Terms)
	t.row("made", momentText(team.Created, "in the configuration file"))
	return t.write(out)
}

// printBalances prints where budgets stand below what they bind; nothing if there are none.
func printBalances(out io.Writer, balances []ledger.Balance, err error) error {
	if err != nil || len(balances) == 0 {
		return err
	}
	fmt.Fprintln(out)
	return balanceTable(balances).write(out)
}

func newTeamUpdate() *cobra.Command {
	var flags teamFlags
	var change *admin.TeamChange
	c := visiting(&cobra.Command{
		Use:   "update NAME",
		Short: "Change a team; what is not named stays",
		Long:  "Change a team; what is not named stays. --model and --budget replace all that there were; an empty --parent or --model clears.",
		Args:  cobra.ExactArgs(1),
	}, func(v *visit) error {
		team, err := v.ChangeTeam(v.Context(), v.args[0], change)
		return v.teamDone(&team, "changed", err)
	})
	flags.add(c, func(chosen *admin.TeamChange) error { change = chosen; return nil })
	return c
}

// teamDone prints what was done to a team.
func (v *visit) teamDone(team *identity.Team, done string, err error) error {
	if err != nil {
		return err
	}
	return v.show(admin.ShowTeam(team), func(out io.Writer) error {
		_, err := fmt.Fprintf(out, "%s team %q\n", done, team.Name)
		return err
	})
}

// newTeamState is a command that gives a team a state.
func newTeamState(verb, short, done string, to abi.KeyState) *cobra.Command {
	return visiting(&cobra.Command{Use: verb + " NAME", Short: short, Args: cobra.ExactArgs(1)}, func(v *visit) error {
		team, err := v.SetTeamState(v.Context(), v.args[0], to)
		return v.teamDone(&team, done, err)
	})
}
