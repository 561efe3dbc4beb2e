package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// Teams is the teams of this gateway. It is served by the API, and answered by its client. Those of the configuration
// file are among them, with no time of creation, and cannot be changed: ErrReadOnly.
type Teams interface {
	// CreateTeam stores a team. Its parent has to be there.
	CreateTeam(ctx context.Context, team *abi.Team) (identity.Team, error)
	// Teams lists teams in the order of their names.
	Teams(ctx context.Context, q identity.Query) ([]identity.Team, error)
	// Team returns one team.
	Team(ctx context.Context, name string) (identity.Team, error)
	// ChangeTeam changes a team. Like the next one, it is in effect when it returns.
	ChangeTeam(ctx context.Context, name string, change *TeamChange) (identity.Team, error)
	// SetTeamState disables, enables or revokes a team, and with it all its keys. A revoked one stays so.
	SetTeamState(ctx context.Context, name string, state abi.KeyState) (identity.Team, error)
}

// Team is a team as the API and `--json` show it.
type Team struct {
	Name   string `json:"name"`
	Parent string `json:"parent,omitempty"`
	State  string `json:"state"` // active, disabled or revoked
	Source string `json:"source"`
	Terms
	Created *time.Time `json:"created,omitempty"`
}

// ShowTeam makes a team presentable.
func ShowTeam(t *identity.Team) Team {
	source := sourceStored
	if t.Created.IsZero() {
		source = sourceFile
	}
	shown := terms{t.Models, t.Labels, t.Limits, t.Budgets}
	return Team{
		Name: t.Name, Parent: t.Parent, State: t.State.String(), Source: source,
		Terms: shown.show(), Created: timeOrNil(t.Created),
	}
}

// team is the way back from ShowTeam.
func (t *Team) team() (identity.Team, error) {
	read, err := t.terms()
	return identity.Team{
		Team: abi.Team{
			Name: t.Name, Parent: t.Parent, State: parseState(t.State),
			Models: read.models, Labels: read.labels, Limits: read.limits, Budgets: read.budgets,
		},
		Created: timeOrZero(t.Created),
	}, err
}

// teamWish is the body of a request for a team.
type teamWish struct {
	Name   string `json:"name"`
	Parent string `json:"parent,omitempty"`
	Terms
}

// TeamChange changes a team, as a JSON merge patch (RFC 7396) does.
type TeamChange struct {
	Parent Change[string] `json:"parent,omitzero"`
	TermsChange
}

// Apply puts the change into effect. Errors wrap identity.ErrWish. What Apply does not check: whether the parent and
// the models exist, and the bounds of what a team may hold.
func (c *TeamChange) Apply(team *identity.Team) error {
	t := terms{team.Models, team.Labels, team.Limits, team.Budgets}
	if err := c.apply(&t); err != nil {
		return err
	}
	c.Parent.apply(&team.Parent)
	team.Models, team.Labels, team.Limits, team.Budgets = t.models, t.labels, t.limits, t.budgets
	return nil
}

// teamList is a page of a listing.
type teamList struct {
	Teams []Team `json:"teams"`
	Next  string `json:"next,omitempty"` // what after has to be for the next page; absent at the end
}

func (a *api) listTeams(w http.ResponseWriter, r *http.Request) {
	p, ok := readPage(w, r)
	if !ok {
		return
	}
	teams, err := a.Teams.Teams(r.Context(), identity.Query{After: p.after, Limit: p.limit + 1})
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	list := teamList{Teams: make([]Team, 0, len(teams))}
	if len(teams) > p.limit {
		teams = teams[:p.limit]
		list.Next = teams[p.limit-1].Name
	}
	for i := range teams {
		list.Teams = append(list.Teams, ShowTeam(&teams[i]))
	}
	reply(w, http.StatusOK, list)
}

func (a *api) createTeam(w http.ResponseWriter, r *http.Request) {
	var body teamWish
	if !decode(w, r, &body) {
		return
	}
	t, err := body.terms()
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	team, err := a.Teams.CreateTeam(r.Context(), &abi.Team{
		Name: body.Name, Parent: body.Parent, Models: t.models, Labels: t.labels, Limits: t.limits, Budgets: t.budgets,
	})
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	a.Log.Info("team made", "name", team.Name, "parent", team.Parent)
	reply(w, http.StatusCreated, ShowTeam(&team))
}

func (a *api) showTeam(w http.ResponseWriter, r *http.Request) {
	team, err := a.Teams.Team(r.Context(), r.PathValue("team"))
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	reply(w, http.StatusOK, ShowTeam(&team))
}

func (a *api) changeTeam(w http.ResponseWriter, r *http.Request) {
	var change TeamChange
	if !decode(w, r, &change) {
		return
	}
	team, err := a.Teams.ChangeTeam(r.Context(), r.PathValue("team"), &change)
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	a.Log.Info("team changed", "name", team.Name)
	reply(w, http.StatusOK, ShowTeam(&team))
}

// setTeamState returns the handler that gives a team this state.
func (a *api) setTeamState(state abi.KeyState) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		team, err := a.Teams.SetTeamState(r.Context(), r.PathValue("team"), state)
		if err != nil {
			a.failWith(w, r, err)
			return
		}
		a.Log.Info("team's state set", "name", team.Name, "state", state.String())
		reply(w, http.StatusOK, ShowTeam(&team))
	}
}
