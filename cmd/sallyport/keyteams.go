package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/state"
)

// maxSuggestions bounds among how many names one is looked for that was meant.
const maxSuggestions = 1000

// fileTeam returns the team that the file declares under this name.
func (k *keyring) fileTeam(name string) (identity.Team, bool) {
	for _, t := range k.declared().Teams {
		if t.Name == name {
			return identity.Team{Team: t}, true
		}
	}
	return identity.Team{}, false
}

// CreateTeam implements admin.Teams.
func (k *keyring) CreateTeam(ctx context.Context, wish *abi.Team) (identity.Team, error) {
	if _, taken := k.fileTeam(wish.Name); taken {
		return identity.Team{}, fmt.Errorf("%w: the configuration file declares a team %q", admin.ErrConflict, wish.Name)
	}
	k.teams.Lock()
	defer k.teams.Unlock()
	team := identity.Team{Team: *wish, Created: time.Now()}
	if err := k.checkTeam(&team.Team); err != nil {
		return identity.Team{}, err
	}
	if err := k.checkPlace(ctx, &team.Team, 0); err != nil {
		return identity.Team{}, err
	}
	if err := k.state.CreateTeam(ctx, team); err != nil {
		return identity.Team{}, explainState("team", wish.Name, err)
	}
	return team, nil
}

// Teams implements admin.Teams: the stored teams with those of the file between them. Of two with one name, the
// file's counts.
func (k *keyring) Teams(ctx context.Context, q identity.Query) ([]identity.Team, error) {
	var all []identity.Team
	declared, wanted := k.declared().Teams, q.Limit
	for _, t := range declared {
		if t.Name > q.After && (q.Team == "" || t.Parent == q.Team) {
			all = append(all, identity.Team{Team: t})
		}
	}
	if q.Limit > 0 {
		q.Limit += len(declared) // as many as can be hidden
	}
	stored, err := k.state.Teams(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("listing teams: %w", err)
	}
	for i := range stored {
		if _, hidden := k.fileTeam(stored[i].Name); !hidden {
			all = append(all, stored[i])
		}
	}
	slices.SortFunc(all, func(a, b identity.Team) int { return cmp.Compare(a.Name, b.Name) })
	if wanted > 0 && len(all) > wanted {
		all = all[:wanted]
	}
	return all, nil
}

// Team implements admin.Teams.
func (k *keyring) Team(ctx context.Context, name string) (identity.Team, error) {
	if team, ok := k.fileTeam(name); ok {
		return team, nil
	}
	team, err := k.state.TeamRow(ctx, name)
	return team, explainState("team", name, err)
}

// ChangeTeam implements admin.Teams.
func (k *keyring) ChangeTeam(ctx context.Context, name string, change *admin.TeamChange) (identity.Team, error) {
	return k.changeTeam(ctx, name, func(team *identity.Team) error {
		if err := change.Apply(team); err != nil {
			return err
		}
		if err := k.checkTeam(&team.Team); err != nil || !change.Parent.Set {
			return err
		}
		below, err := k.levelsBelow(ctx, name)
		if err != nil {
			return err
		}
		return k.checkPlace(ctx, &team.Team, below)
	})
}

// SetTeamState implements admin.Teams. Revoking a revoked team changes nothing.
func (k *keyring) SetTeamState(ctx context.Context, name string, to abi.KeyState) (identity.Team, error) {
	team, err := k.changeTeam(ctx, name, func(team *identity.Team) error {
		team.State = to
		return nil
	})
	if to == abi.KeyRevoked && errors.Is(err, state.ErrRevoked) {
		return k.Team(ctx, name)
	}
	return team, err
}

// changeTeam changes a stored team. What is to become of it is found out on a copy, before the state is asked: the
// checks read other teams, which the state may not allow while it changes one.
func (k *keyring) changeTeam(ctx context.Context, name string, change func(*identity.Team) error) (identity.Team, error) {
	if _, ok := k.fileTeam(name); ok {
		return identity.Team{}, fmt.Errorf("team %q is %w", name, admin.ErrReadOnly)
	}
	k.teams.Lock()
	defer k.teams.Unlock()
	changed, err := k.state.TeamRow(ctx, name)
	if err != nil {
		return identity.Team{}, explainState("team", name, err)
	}
	if err := change(&changed); err != nil {
		return identity.Team{}, err
	}
	team, err := k.state.ChangeTeam(ctx, name, func(team *identity.Team) error {
		*team = changed
		return nil
	})
	return team, explainState("team", name, err)
}

// checkTeam checks a team and the models that it names.
func (k *keyring) checkTeam(team *abi.Team) error {
	if err := identity.CheckTeam(team); err != nil {
		return err
	}
	return k.checkModels(team.Models)
}

// checkPlace checks the place of a team, with so many levels below it, among the others.
func (k *keyring) checkPlace(ctx context.Context, team *abi.Team, below int) error {
	above, err := k.levelsAbove(ctx, team)
	if err != nil {
		return err
	}
	if n := above + 1 + below; n > admin.MaxLevels {
		return fmt.Errorf("%w: with parent %q, %d teams would stand above each other, at most %d are possible",
			identity.ErrWish, team.Parent, n, admin.MaxLevels)
	}
	return nil
}

// levelsAbove counts the teams above one. A circle that it would close is an error.
func (k *keyring) levelsAbove(ctx context.Context, team *abi.Team) (int, error) {
	levels := 0
	for up := team.Parent; up != ""; levels++ {
		if up == team.Name {
			return 0, fmt.Errorf("%w: team %q stands above %q already", identity.ErrWish, team.Name, team.Parent)
		}
		next, err := k.knownTeam(ctx, up)
		if err != nil {
			return 0, err
		}
		if levels > admin.MaxLevels { // a circle of others, which the file can have closed
			return levels, nil
		}
		up = next.Parent
	}
	return levels, nil
}

// levelsBelow counts the levels of teams below one, on the longest line.
func (k *keyring) levelsBelow(ctx context.Context, name string) (int, error) {
	all, err := k.Teams(ctx, identity.Query{})
	if err != nil {
		return 0, err
	}
	children := map[string][]string{}
	for i := range all {
		children[all[i].Parent] = append(children[all[i].Parent], all[i].Name)
	}
	levels := 0
	for row := children[name]; len(row) > 0 && levels <= admin.MaxLevels; levels++ {
		var next []string
		for _, parent := range row {
			next = append(next, children[parent]...)
		}
		row = next
	}
	return levels, nil
}

// knownTeam returns a team that a key or another team names.
func (k *keyring) knownTeam(ctx context.Context, name string) (identity.Team, error) {
	team, err := k.Team(ctx, name)
	if !errors.Is(err, admin.ErrNotFound) {
		return team, err
	}
	all, err := k.Teams(ctx, identity.Query{Limit: maxSuggestions})
	if err != nil {
		return identity.Team{}, err
	}
	var names []string
	for i := range all {
		names = append(names, all[i].Name)
	}
	return identity.Team{}, fmt.Errorf("%w: there is no team %q%s", identity.ErrWish, name, config.DidYouMean(name, names))
}

// checkModels checks names of aliases and chains. Prefixes may match nothing yet.
func (k *keyring) checkModels(models []string) error {
	for _, m := range models {
		if prefix, ok := strings.CutSuffix(m, "*"); ok && !strings.Contains(prefix, "*") {
			continue
		}
		if err := k.checkModel(m); err != nil {
			return err
		}
	}
	return nil
}

func (k *keyring) checkModel(name string) error {
	names := k.declared().Names
	if slices.Contains(names, name) {
		return nil
	}
	return fmt.Errorf("%w: there is no alias or chain %q%s", identity.ErrWish, name, config.DidYouMean(name, names))
}

// checkDefaultModel checks the model that requests get that name none: the key has to be allowed to use it.
func (k *keyring) checkDefaultModel(key *identity.Key) error {
	if key.DefaultModel == "" {
		return nil
	}
	if err := k.checkModel(key.DefaultModel); err != nil {
		return err
	}
	if len(key.Models) == 0 || slices.ContainsFunc(key.Models, func(m string) bool { return covers(m, key.DefaultModel) }) {
		return nil
	}
	return fmt.Errorf("%w: the default model %q is not among the models that the key may use", identity.ErrWish, key.DefaultModel)
}

// covers says whether an entry of a key's models allows a model.
func covers(entry, model string) bool {
	prefix, ok := strings.CutSuffix(entry, "*")
	return entry == model || ok && strings.HasPrefix(model, prefix)
}
