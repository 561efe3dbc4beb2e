package main

import (
	"encoding/json"
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

func (t *teamFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&t.parent, "parent", "", "the `team` that it belongs to")
	t.terms.add(c)
}

func (t *teamFlags) change(c *cobra.Command) (change admin.TeamChange, err error) {
	change.Parent = changeText(c, "parent", t.parent)
	change.TermsChange, err = t.terms.change(c)
	return change, err
}

func newTeamCreate() *cobra.Command {
	var out outputFlags
	var flags teamFlags
	var name string
	c := &cobra.Command{
		Use:   "create --name NAME",
		Short: "Make a team",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			change, err := flags.change(c)
			if err != nil {
				return err
			}
			wish := identity.Team{Team: abi.Team{Name: name}}
			if err := change.Apply(&wish); err != nil {
				return err
			}
			return withControl(c, out.config, func(ctl *control) error {
				team, err := ctl.CreateTeam(c.Context(), &wish.Team)
				return printTeamDone(c, out.json, &team, "made", err)
			})
		},
	}
	out.add(c)
	c.Flags().StringVar(&name, "name", "", "the team's name")
	flags.add(c)
	_ = c.MarkFlagRequired("name") // the flag exists
	return c
}

func newTeamList() *cobra.Command {
	var out outputFlags
	c := &cobra.Command{
		Use:   "list",
		Short: "List the teams by name",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return withControl(c, out.config, func(ctl *control) error {
				teams, err := ctl.Teams.Teams(c.Context(), identity.Query{})
				if err != nil {
					return err
				}
				shown := make([]admin.Team, 0, len(teams))
				for i := range teams {
					shown = append(shown, admin.ShowTeam(&teams[i]))
				}
				if out.json {
					return json.NewEncoder(c.OutOrStdout()).Encode(shown)
				}
				return printTeams(c.OutOrStdout(), shown)
			})
		},
	}
	out.add(c)
	return c
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
	var out outputFlags
	c := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a team, and where the budgets stand that bind it",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withControl(c, out.config, func(ctl *control) error {
				team, err := ctl.Team(c.Context(), args[0])
				if err != nil {
					return err
				}
				shown := admin.ShowTeam(&team)
				if out.json {
					return json.NewEncoder(c.OutOrStdout()).Encode(shown)
				}
				if err := printTeam(c.OutOrStdout(), &shown); err != nil {
					return err
				}
				books, err := ctl.books(c.Context())
				if err != nil {
					return err
				}
				balances, err := books.TeamBalances(c.Context(), team.Name)
				return printBalances(c.OutOrStdout(), balances, err)
			})
		},
	}
	out.add(c)
	return c
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
	var out outputFlags
	var flags teamFlags
	c := &cobra.Command{
		Use:   "update NAME",
		Short: "Change a team; what is not named stays",
		Long:  "Change a team; what is not named stays. --model and --budget replace all that there were; an empty --parent or --model clears.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			change, err := flags.change(c)
			if err != nil {
				return err
			}
			return withControl(c, out.config, func(ctl *control) error {
				team, err := ctl.ChangeTeam(c.Context(), args[0], &change)
				return printTeamDone(c, out.json, &team, "changed", err)
			})
		},
	}
	out.add(c)
	flags.add(c)
	return c
}

// printTeamDone prints what was done to a team.
func printTeamDone(c *cobra.Command, asJSON bool, team *identity.Team, done string, err error) error {
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(c.OutOrStdout()).Encode(admin.ShowTeam(team))
	}
	_, err = fmt.Fprintf(c.OutOrStdout(), "%s team %q\n", done, team.Name)
	return err
}

// newTeamState is a command that gives a team a state.
func newTeamState(verb, short, done string, to abi.KeyState) *cobra.Command {
	var out outputFlags
	c := &cobra.Command{
		Use:   verb + " NAME",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return withControl(c, out.config, func(ctl *control) error {
				team, err := ctl.SetTeamState(c.Context(), args[0], to)
				return printTeamDone(c, out.json, &team, done, err)
			})
		},
	}
	out.add(c)
	return c
}
