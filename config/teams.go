package config

import (
	"strings"

	"github.com/sallyport-dev/sallyport/abi"
)

// maxLevels is how many teams can stand above each other. Every request is counted on all of them.
const maxLevels = 8

// allTeams reads all teams, and then what each belongs to: a parent may stand after its children.
func (l *loading) allTeams(v value) {
	v.items(l.team)
	for i := range l.snapshot.Teams {
		l.checkParents(&l.snapshot.Teams[i])
	}
}

// team reads one entry of teams.
func (l *loading) team(v value) {
	var team abi.Team
	var parent value
	disabled := false
	v.object(append([]field{
		required("name", func(v value) {
			team.Name = v.name()
			l.teamNames.claim(v, team.Name)
		}),
		optional("parent", func(v value) { team.Parent, _ = v.text(); parent = v }),
		optional("models", func(v value) { team.Models = l.allowedModels(v) }),
		optional("labels", func(v value) { team.Labels = v.labels() }),
		optional("budget", func(v value) { team.Budgets = v.budgets() }),
		optional("disabled", func(v value) { v.boolean(&disabled) }),
	}, limitFields(&team.Limits, "write disabled: true")...))
	if disabled {
		team.State = abi.KeyDisabled
	}
	if _, taken := l.teams[team.Name]; taken || team.Name == "" {
		return
	}
	l.teams[team.Name] = teamEntry{len(l.snapshot.Teams), parent}
	l.snapshot.Teams = append(l.snapshot.Teams, team)
}

// teamEntry is where a team is.
type teamEntry struct {
	index  int   // in the snapshot's teams
	parent value // where the file names its parent
}

// findTeam returns the team of a name; nil if there is none.
func (l *loading) findTeam(name string) *abi.Team {
	entry, found := l.teams[name]
	if !found {
		return nil
	}
	return &l.snapshot.Teams[entry.index]
}

// checkParents checks what a team belongs to. Too many levels are a problem of the team that is one too low, and not of
// those below it.
func (l *loading) checkParents(team *abi.Team) {
	if team.Parent == "" {
		return
	}
	v := l.teams[team.Name].parent
	if l.findTeam(team.Parent) == nil {
		v.fail("there is no team %s%s", quote(v.written()), DidYouMean(v.written(), known(l.teamNames)))
		return
	}
	line := []string{team.Name}
	for up := l.findTeam(team.Parent); up != nil; up = l.findTeam(up.Parent) {
		switch {
		case up == team:
			l.reportCircle(v, line)
			return
		case len(line) == len(l.teams):
			return // it leads into a circle of others
		}
		line = append(line, up.Name)
	}
	if len(line) == maxLevels+1 {
		v.fail("is too long a line, of more than %d teams: %s", maxLevels, strings.Join(line, " belongs to "))
	}
}

// reportCircle reports a circle of teams at the one that stands first in the file.
func (l *loading) reportCircle(v value, line []string) {
	for _, name := range line[1:] {
		if l.teams[name].index < l.teams[line[0]].index {
			return
		}
	}
	v.fail("makes a circle: %s", strings.Join(append(line, line[0]), " belongs to "))
}
