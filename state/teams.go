package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// teamRows + name: teamRow as JSON. As with keys, a row is never deleted.
const teamRows = "team/"

// teamRow is a team as it is stored, version 1.
type teamRow struct {
	Version int       `json:"version"`
	Name    string    `json:"name"`
	Parent  string    `json:"parent,omitempty"`
	State   string    `json:"state"`
	Created time.Time `json:"created"`
	terms
}

const teamVersion = 1

func parseTeam(value []byte, z *zones) (*identity.Team, error) {
	var row teamRow
	if err := json.Unmarshal(value, &row); err != nil {
		return nil, fmt.Errorf("%w: a team: %w", ErrCorrupt, err)
	}
	if row.Version != teamVersion {
		return nil, fmt.Errorf("%w: team %q has version %d, this program knows %d", ErrCorrupt, row.Name, row.Version, teamVersion)
	}
	t := &identity.Team{Team: abi.Team{Name: row.Name, Parent: row.Parent, Models: row.Models, Labels: row.labels()}, Created: row.Created}
	var known bool
	if t.State, known = parseState(row.State); !known {
		return nil, fmt.Errorf("%w: team %q has the unknown state %q", ErrCorrupt, row.Name, row.State)
	}
	var err error
	if t.Limits, err = row.limits(); err == nil {
		t.Budgets, err = row.budgets(z)
	}
	if err != nil {
		return nil, fmt.Errorf("team %q: %w", row.Name, err)
	}
	return t, nil
}

func writeTeam(txn *badger.Txn, t *identity.Team) error {
	value, err := json.Marshal(&teamRow{
		Version: teamVersion, Name: t.Name, Parent: t.Parent, State: t.State.String(), Created: t.Created,
		terms: newTerms(t.Models, t.Labels, &t.Limits, t.Budgets),
	})
	if err != nil {
		return err
	}
	return txn.Set([]byte(teamRows+t.Name), value)
}

// Team finds a stored team. What it returns is shared and immutable; a disabled or revoked team is found too, and says
// so. It reads memory only.
func (s *State) Team(name string) (*abi.Team, bool) {
	if t := s.teams.find(name); t != nil {
		return &t.Team, true
	}
	return nil, false
}

// CreateTeam stores a team. ErrExists if there is, or was, one with its name. That its parent exists is not asked.
func (s *State) CreateTeam(ctx context.Context, team identity.Team) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.keys.Lock()
	defer s.keys.Unlock()
	err := s.update(func(txn *badger.Txn) error {
		if err := isFree(txn, teamRows+team.Name); err != nil {
			return err
		}
		return writeTeam(txn, &team)
	})
	if err != nil {
		return fmt.Errorf("storing team %q: %w", team.Name, err)
	}
	return s.takeOver(team.Name)
}

// TeamRow returns a stored team with what only its row has, or ErrNotFound.
func (s *State) TeamRow(ctx context.Context, name string) (identity.Team, error) {
	if err := ctx.Err(); err != nil {
		return identity.Team{}, err
	}
	if t := s.teams.find(name); t != nil {
		return *t, nil
	}
	return identity.Team{}, fmt.Errorf("reading team %q: %w", name, ErrNotFound)
}

// ChangeTeam changes a team by what change does to it, and returns it as it then is. When it returns, the change is on
// the disk and in force for all its keys. Name and creation cannot be changed, and what is stored is checked as a new
// team is. A revoked team never changes again: it is returned as it is, with ErrRevoked.
func (s *State) ChangeTeam(ctx context.Context, name string, change func(*identity.Team) error) (team identity.Team, err error) {
	if err := ctx.Err(); err != nil {
		return identity.Team{}, err
	}
	s.keys.Lock()
	defer s.keys.Unlock()
	err = s.update(func(txn *badger.Txn) error {
		value, err := read(txn, teamRows+name)
		if err != nil {
			return err
		}
		stored, err := parseTeam(value, &s.zones)
		if err != nil {
			return err
		}
		team = *stored
		if team.State == abi.KeyRevoked {
			return ErrRevoked
		}
		if err := changedTeam(&team, change); err != nil {
			return err
		}
		return writeTeam(txn, &team)
	})
	if err != nil && !errors.Is(err, ErrRevoked) {
		team = identity.Team{}
	}
	if err = errors.Join(err, s.takeOver(name)); err != nil {
		return team, fmt.Errorf("changing team %q: %w", name, err)
	}
	return team, nil
}

// changedTeam lets change do its work and looks at what came of it.
func changedTeam(team *identity.Team, change func(*identity.Team) error) error {
	name, created := team.Name, team.Created
	if err := change(team); err != nil {
		return err
	}
	if team.Name != name || !team.Created.Equal(created) {
		return fmt.Errorf("%w: name and creation of a team cannot be changed", identity.ErrWish)
	}
	if team.State < abi.KeyActive || team.State > abi.KeyRevoked {
		return fmt.Errorf("%w: there is no team state %d", identity.ErrWish, team.State)
	}
	return identity.CheckTeam(&team.Team)
}

// takeOver puts what the disk says of a team into the table. Even after an error: it tells what was written, and the
// table gets a copy of its own, which no caller can change.
func (s *State) takeOver(name string) error {
	return s.view(func(txn *badger.Txn) error {
		value, err := read(txn, teamRows+name)
		if errors.Is(err, ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		team, err := parseTeam(value, &s.zones)
		if err != nil {
			return err
		}
		s.teams.put(team)
		return nil
	})
}

// loadTeams reads all teams: there are far fewer than keys, and every request asks for one or more.
func (s *State) loadTeams() error {
	teams, err := s.Teams(context.Background(), identity.Query{})
	if err != nil {
		return err
	}
	s.teams = newTeamTable(teams)
	return nil
}

// teamTable holds all teams. Finding takes no lock and allocates nothing. A change copies one shard, a few hundred
// entries of a hundred thousand.
type teamTable struct {
	seed   maphash.Seed
	shards [teamShards]atomic.Pointer[map[string]*identity.Team]
}

const teamShards = 256

func newTeamTable(teams []identity.Team) *teamTable {
	t := &teamTable{seed: maphash.MakeSeed()}
	var shards [teamShards]map[string]*identity.Team
	for i := range shards {
		shards[i] = make(map[string]*identity.Team)
		t.shards[i].Store(&shards[i])
	}
	for i := range teams {
		shards[t.shard(teams[i].Name)][teams[i].Name] = &teams[i]
	}
	return t
}

func (t *teamTable) shard(name string) uint64 { return maphash.String(t.seed, name) % teamShards }

func (t *teamTable) find(name string) *identity.Team { return (*t.shards[t.shard(name)].Load())[name] }

// put replaces a team. It is called by one goroutine at a time.
func (t *teamTable) put(team *identity.Team) {
	shard := &t.shards[t.shard(team.Name)]
	next := maps.Clone(*shard.Load())
	next[team.Name] = team
	shard.Store(&next)
}
