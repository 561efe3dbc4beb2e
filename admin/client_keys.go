package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// stateVerbs are the last segments of the paths that give a key or a team a state.
var stateVerbs = map[abi.KeyState]string{abi.KeyActive: "/enable", abi.KeyDisabled: "/disable", abi.KeyRevoked: "/revoke"}

func keyPath(idOrName, rest string) string {
	return "/admin/v1/keys/" + url.PathEscape(idOrName) + rest
}

func teamPath(name, rest string) string { return "/admin/v1/teams/" + url.PathEscape(name) + rest }

// Issue implements Keys.
func (c *Client) Issue(ctx context.Context, w identity.Wish) (identity.Key, string, error) {
	return c.issued(ctx, "/admin/v1/keys", showWish(&w))
}

// RotateKey implements Keys.
func (c *Client) RotateKey(ctx context.Context, idOrName string, grace time.Duration) (identity.Key, string, error) {
	return c.issued(ctx, keyPath(idOrName, "/rotate"), rotation{grace.String()})
}

func (c *Client) issued(ctx context.Context, path string, body any) (identity.Key, string, error) {
	var issued IssuedKey
	if err := c.do(ctx, http.MethodPost, path, body, &issued); err != nil {
		return identity.Key{}, "", err
	}
	key, err := issued.key()
	return key, issued.Secret, err
}

// Keys implements Keys.
func (c *Client) Keys(ctx context.Context, q identity.Query) ([]identity.Key, error) {
	return pages(q, func(q identity.Query) ([]identity.Key, string, error) {
		var list keyList
		if err := c.do(ctx, http.MethodGet, "/admin/v1/keys?"+encodeQuery(q), nil, &list); err != nil {
			return nil, "", err
		}
		keys := make([]identity.Key, 0, len(list.Keys))
		for i := range list.Keys {
			key, err := list.Keys[i].key()
			if err != nil {
				return nil, "", err
			}
			keys = append(keys, key)
		}
		return keys, list.Next, nil
	})
}

// pages asks for pages until there are as many as are wanted, or no more.
func pages[T any](q identity.Query, ask func(identity.Query) ([]T, string, error)) ([]T, error) {
	var all []T
	for want := q.Limit; ; {
		q.Limit = MaxPage
		if want > 0 {
			q.Limit = min(want-len(all), MaxPage)
		}
		page, next, err := ask(q)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == "" || want > 0 && len(all) >= want {
			return all, nil
		}
		q.After = next
	}
}

func encodeQuery(q identity.Query) string {
	values := url.Values{"limit": {strconv.Itoa(q.Limit)}}
	if q.After != "" {
		values.Set("after", q.After)
	}
	if q.Team != "" {
		values.Set("team", q.Team)
	}
	return values.Encode()
}

// Key implements Keys.
func (c *Client) Key(ctx context.Context, idOrName string) (identity.Key, error) {
	return c.key(ctx, http.MethodGet, keyPath(idOrName, ""), nil)
}

// ChangeKey implements Keys.
func (c *Client) ChangeKey(ctx context.Context, idOrName string, change *KeyChange) (identity.Key, error) {
	return c.key(ctx, http.MethodPatch, keyPath(idOrName, ""), change)
}

// SetKeyState implements Keys.
func (c *Client) SetKeyState(ctx context.Context, idOrName string, state abi.KeyState) (identity.Key, error) {
	return c.key(ctx, http.MethodPost, keyPath(idOrName, stateVerbs[state]), nil)
}

func (c *Client) key(ctx context.Context, method, path string, body any) (identity.Key, error) {
	var k Key
	if err := c.do(ctx, method, path, body, &k); err != nil {
		return identity.Key{}, err
	}
	return k.key()
}

// CreateTeam implements Teams.
func (c *Client) CreateTeam(ctx context.Context, t *abi.Team) (identity.Team, error) {
	shown := terms{t.Models, t.Labels, t.Limits, t.Budgets}
	return c.team(ctx, http.MethodPost, "/admin/v1/teams", teamWish{t.Name, t.Parent, shown.show()})
}

// Teams implements Teams.
func (c *Client) Teams(ctx context.Context, q identity.Query) ([]identity.Team, error) {
	return pages(q, func(q identity.Query) ([]identity.Team, string, error) {
		var list teamList
		if err := c.do(ctx, http.MethodGet, "/admin/v1/teams?"+encodeQuery(q), nil, &list); err != nil {
			return nil, "", err
		}
		teams := make([]identity.Team, 0, len(list.Teams))
		for i := range list.Teams {
			team, err := list.Teams[i].team()
			if err != nil {
				return nil, "", err
			}
			teams = append(teams, team)
		}
		return teams, list.Next, nil
	})
}

// Team implements Teams.
func (c *Client) Team(ctx context.Context, name string) (identity.Team, error) {
	return c.team(ctx, http.MethodGet, teamPath(name, ""), nil)
}

// ChangeTeam implements Teams.
func (c *Client) ChangeTeam(ctx context.Context, name string, change *TeamChange) (identity.Team, error) {
	return c.team(ctx, http.MethodPatch, teamPath(name, ""), change)
}

// SetTeamState implements Teams.
func (c *Client) SetTeamState(ctx context.Context, name string, state abi.KeyState) (identity.Team, error) {
	return c.team(ctx, http.MethodPost, teamPath(name, stateVerbs[state]), nil)
}

func (c *Client) team(ctx context.Context, method, path string, body any) (identity.Team, error) {
	var t Team
	if err := c.do(ctx, method, path, body, &t); err != nil {
		return identity.Team{}, err
	}
	return t.team()
}
