package state

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/sallyport-dev/sallyport/identity"
)

// Keys returns a page of the keys, revoked ones too, in the order of their ids.
func (s *State) Keys(ctx context.Context, query identity.Query) (keys []identity.Key, err error) {
	mention, err := mentionOf("team", query.Team)
	if err == nil {
		err = s.list(ctx, keyRows, query, mention, func(value []byte) (bool, error) {
			row, err := parseKey(value)
			if err != nil || query.Team != "" && row.Team != query.Team {
				return false, err
			}
			key, err := row.key(&s.zones)
			if err == nil {
				keys = append(keys, key)
			}
			return true, err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("listing keys: %w", err)
	}
	return keys, nil
}

// Teams returns a page of the teams, revoked ones too, in the order of their names.
func (s *State) Teams(ctx context.Context, query identity.Query) (teams []identity.Team, err error) {
	mention, err := mentionOf("parent", query.Team)
	if err == nil {
		err = s.list(ctx, teamRows, query, mention, func(value []byte) (bool, error) {
			team, err := parseTeam(value, &s.zones)
			if err != nil || query.Team != "" && team.Parent != query.Team {
				return false, err
			}
			teams = append(teams, *team)
			return true, nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("listing teams: %w", err)
	}
	return teams, nil
}

// mentionOf returns the bytes that a row's JSON holds if a field has this value: looking for them before parsing finds
// the keys of one team among a million in a second. nil if all rows are asked for.
func mentionOf(field, value string) ([]byte, error) {
	if value == "" {
		return nil, nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	return append([]byte(`"`+field+`":`), text...), nil
}

// list hands the values of rows with a prefix to take, which says whether it took one, until there are enough.
func (s *State) list(ctx context.Context, prefix string, query identity.Query, mention []byte, take func(value []byte) (bool, error)) error {
	return s.view(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(prefix)})
		defer it.Close()
		found, start := 0, prefix+query.After
		for it.Seek([]byte(start)); it.Valid() && (query.Limit <= 0 || found < query.Limit); it.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if query.After != "" && string(it.Item().Key()) == start {
				continue // the last one seen
			}
			err := it.Item().Value(func(value []byte) error {
				if mention != nil && !bytes.Contains(value, mention) {
					return nil
				}
				taken, err := take(value)
				if taken {
					found++
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		return ctx.Err()
	})
}
