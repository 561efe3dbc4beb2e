package admin

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
)

// shelf is keys, teams, a ledger and records in memory.
type shelf struct {
	keys    []identity.Key
	teams   []identity.Team
	entries []ledger.Entry
	totals  []ledger.Total
	levels  []ledger.Level // that balances were last asked for
	found   ledger.Verification
	records []record.Record
	hands   []string // what was done by hand
	broken  error
	cut     bool // exports and backups fail in the middle
}

func (s *shelf) Issue(_ context.Context, w identity.Wish) (identity.Key, string, error) {
	for _, k := range s.keys {
		if k.Name == w.Name {
			return identity.Key{}, "", fmt.Errorf("%w: %q exists", identity.ErrKeys, w.Name)
		}
	}
	key, secret, err := identity.Issue(w, time.Now(), rand.Reader)
	if err == nil {
		s.keys = append(s.keys, key)
	}
	return key, secret, err
}

func (s *shelf) Keys(_ context.Context, q identity.Query) (keys []identity.Key, err error) {
	for _, k := range s.keys {
		if k.ID > q.After && (q.Team == "" || k.Team == q.Team) {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(a, b identity.Key) int { return strings.Compare(a.ID, b.ID) })
	if q.Limit > 0 && len(keys) > q.Limit {
		keys = keys[:q.Limit]
	}
	return keys, s.broken
}

func (s *shelf) Key(ctx context.Context, idOrName string) (identity.Key, error) {
	for _, k := range s.keys {
		if k.ID == idOrName || k.Name == idOrName {
			return k, s.broken
		}
	}
	return identity.Key{}, fmt.Errorf("key %q: %w", idOrName, ErrNotFound)
}

// change changes a key that is not of the file and not revoked.
func (s *shelf) change(idOrName string, change func(*identity.Key) error) (identity.Key, error) {
	if s.broken != nil {
		return identity.Key{}, s.broken
	}
	for i := range s.keys {
		k := &s.keys[i]
		switch {
		case k.ID != idOrName && k.Name != idOrName:
		case k.ID == identity.FileKeyID(k.Name):
			return *k, fmt.Errorf("key %q is %w", k.Name, ErrReadOnly)
		case k.State == abi.KeyRevoked:
			return *k, fmt.Errorf("%w: key %q is revoked", ErrConflict, k.Name)
		default:
			changed := *k
			err := change(&changed)
			if err == nil {
				*k = changed
			}
			return *k, err
		}
	}
	return identity.Key{}, fmt.Errorf("key %q: %w", idOrName, ErrNotFound)
}

func (s *shelf) ChangeKey(_ context.Context, idOrName string, change *KeyChange) (identity.Key, error) {
	return s.change(idOrName, func(k *identity.Key) error {
		if err := change.Apply(k); err != nil {
			return err
		}
		return identity.CheckKey(k)
	})
}

func (s *shelf) SetKeyState(_ context.Context, idOrName string, to abi.KeyState) (identity.Key, error) {
	return s.change(idOrName, func(k *identity.Key) error { k.State = to; return nil })
}

func (s *shelf) RotateKey(_ context.Context, idOrName string, grace time.Duration) (key identity.Key, secret string, err error) {
	key, err = s.change(idOrName, func(k *identity.Key) (err error) {
		*k, secret, err = identity.Reissue(*k, grace, time.Now(), rand.Reader)
		return err
	})
	return key, secret, err
}

func (s *shelf) CreateTeam(ctx context.Context, t *abi.Team) (identity.Team, error) {
	if err := identity.CheckTeam(t); err != nil {
		return identity.Team{}, err
	}
	if _, err := s.Team(ctx, t.Name); err == nil {
		return identity.Team{}, fmt.Errorf("%w: there is a team %q already", ErrConflict, t.Name)
	}
	s.teams = append(s.teams, identity.Team{Team: *t, Created: time.Unix(7, 0).UTC()})
	return s.teams[len(s.teams)-1], nil
}

func (s *shelf) Teams(_ context.Context, q identity.Query) (teams []identity.Team, err error) {
	for _, t := range s.teams {
		if t.Name > q.After {
			teams = append(teams, t)
		}
	}
	slices.SortFunc(teams, func(a, b identity.Team) int { return strings.Compare(a.Name, b.Name) })
	if q.Limit > 0 && len(teams) > q.Limit {
		teams = teams[:q.Limit]
	}
	return teams, s.broken
}

func (s *shelf) Team(_ context.Context, name string) (identity.Team, error) {
	for _, t := range s.teams {
		if t.Name == name {
			return t, nil
		}
	}
	return identity.Team{}, fmt.Errorf("team %q: %w", name, ErrNotFound)
}

func (s *shelf) changeTeam(name string, change func(*identity.Team) error) (identity.Team, error) {
	for i := range s.teams {
		switch t := &s.teams[i]; {
		case t.Name != name:
		case t.Created.IsZero():
			return *t, fmt.Errorf("team %q is %w", name, ErrReadOnly)
		default:
			err := change(t)
			return *t, err
		}
	}
	return identity.Team{}, fmt.Errorf("team %q: %w", name, ErrNotFound)
}

func (s *shelf) ChangeTeam(_ context.Context, name string, change *TeamChange) (identity.Team, error) {
	return s.changeTeam(name, change.Apply)
}

func (s *shelf) SetTeamState(_ context.Context, name string, to abi.KeyState) (identity.Team, error) {
	return s.changeTeam(name, func(t *identity.Team) error { t.State = to; return nil })
}

func (s *shelf) Export(_ context.Context, from, to time.Time, f func(*ledger.Entry) error) error {
	if s.broken != nil && !s.cut {
		return s.broken
	}
	for i := range s.entries {
		if e := &s.entries[i]; !e.Time.Before(from) && (to.IsZero() || e.Time.Before(to)) {
			if err := f(e); err != nil {
				return err
			}
		}
	}
	return s.broken
}

func (s *shelf) Totals(_ context.Context, from, to string, f func(*ledger.Total) error) error {
	for i := range s.totals {
		if t := &s.totals[i]; t.Day >= from && (to == "" || t.Day <= to) {
			if err := f(t); err != nil {
				return err
			}
		}
	}
	return s.broken
}

func (s *shelf) Balances(levels []ledger.Level) (all []ledger.Balance, err error) {
	s.levels = levels
	for _, l := range levels {
		for _, b := range l.Budgets {
			all = append(all, ledger.Balance{
				Account: l.Account, Period: b.Period, Zone: b.Zone(), Limit: b.Amount, Spent: 1_500_000_000, Reserved: 250_000_000,
				Start: time.Unix(86_400, 0).UTC(), End: time.Unix(2*86_400, 0).UTC(),
			})
		}
	}
	return all, s.broken
}

func (s *shelf) Verify(context.Context) (ledger.Verification, error) { return s.found, s.broken }

func (s *shelf) Backup(_ context.Context, w io.Writer) error {
	if s.broken != nil && !s.cut {
		return s.broken
	}
	if _, err := io.WriteString(w, "a backup"); err != nil {
		return err
	}
	return s.broken
}

func (s *shelf) Find(_ context.Context, id string) (record.Record, error) {
	for _, r := range s.records {
		if r.ID == id {
			return r, nil
		}
	}
	return record.Record{}, fmt.Errorf("request %q: %w", id, ErrNotFound)
}

func (s *shelf) Recent(_ context.Context, limit int, _ string) ([]record.Record, error) {
	return s.records[:min(limit, len(s.records))], nil
}

var _ Ledger = (*shelf)(nil)
