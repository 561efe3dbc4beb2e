package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/state"
)

// testKeyring is a keyring over a fresh data folder and this configuration, which a test may change.
func testKeyring(t *testing.T, c *config.Snapshot) *keyring {
	t.Helper()
	s, err := state.Open(t.TempDir(), state.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	k, err := newKeyring(s, func() *config.Snapshot { return c })
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// Pages of keys and teams, put together, are the whole, whatever of it the file declares.
func TestListsInPages(t *testing.T) {
	ctx := t.Context()
	c := &config.Snapshot{
		Keys:  []config.Key{{Name: "z"}, {Name: "a", Team: "c"}},
		Teams: []abi.Team{{Name: "f"}, {Name: "c", Parent: "f"}, {Name: "e"}},
	}
	k := testKeyring(t, c)
	for _, name := range []string{"b", "h", "g", "d", "i"} {
		if _, err := k.CreateTeam(ctx, &abi.Team{Name: name, Parent: "f"}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := k.Issue(ctx, identity.Wish{Name: name, Team: "c"}); err != nil {
			t.Fatal(err)
		}
	}
	c.Teams = append(c.Teams, abi.Team{Name: "d", Models: []string{"declared since"}}) // the file's counts
	teamNames := func(q identity.Query) (names []string) {
		teams, err := k.Teams(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		for i := range teams {
			names = append(names, teams[i].Name)
		}
		return names
	}
	keyIDs := func(q identity.Query) (ids []string) {
		keys, err := k.Keys(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		for i := range keys {
			ids = append(ids, keys[i].ID)
		}
		return ids
	}
	if got := strings.Join(teamNames(identity.Query{}), ""); got != "bcdefghi" {
		t.Errorf("teams %s", got)
	}
	if d, err := k.Team(ctx, "d"); err != nil || len(d.Models) != 1 {
		t.Errorf("a stored team hides the declared one: %+v, %v", d, err)
	}
	if all := keyIDs(identity.Query{}); len(all) != 7 || all[0] != "file:a" || all[1] != "file:z" || !slices.IsSorted(all) {
		t.Errorf("keys %q", all)
	}
	if n := len(keyIDs(identity.Query{Team: "c"})); n != 6 {
		t.Errorf("the team has %d keys", n)
	}
	below := func(q identity.Query) []string { q.Team = "f"; return teamNames(q) }
	if got := strings.Join(below(identity.Query{}), ""); got != "bcghi" {
		t.Errorf("teams %s below f", got)
	}
	for _, list := range []func(identity.Query) []string{teamNames, below, keyIDs} {
		whole := list(identity.Query{})
		for limit := 1; limit <= len(whole)+1; limit++ {
			var got []string
			for q := (identity.Query{Limit: limit}); len(got) <= len(whole); q.After = got[len(got)-1] {
				page := list(q)
				got = append(got, page...)
				if len(page) < limit {
					break
				}
			}
			if !slices.Equal(got, whole) {
				t.Errorf("in pages of %d: %q, want %q", limit, got, whole)
			}
		}
	}
}

// A team is moved with all that stands below it.
func TestTeamsMoveWhole(t *testing.T) {
	ctx := t.Context()
	k := testKeyring(t, &config.Snapshot{})
	for _, line := range []string{"abcde", "1234"} {
		parent := ""
		for name := range strings.SplitSeq(line, "") {
			if _, err := k.CreateTeam(ctx, &abi.Team{Name: name, Parent: parent}); err != nil {
				t.Fatal(err)
			}
			parent = name
		}
	}
	move := func(team, parent string) error {
		_, err := k.ChangeTeam(ctx, team, &admin.TeamChange{Parent: admin.To(parent)})
		return err
	}
	if err := move("1", "e"); !errors.Is(err, identity.ErrWish) {
		t.Errorf("nine above each other: %v", err)
	}
	if err := move("1", "d"); err != nil {
		t.Errorf("eight above each other: %v", err)
	}
	if err := move("a", "4"); !errors.Is(err, identity.ErrWish) {
		t.Errorf("a circle: %v", err)
	}
	if _, err := k.CreateTeam(ctx, &abi.Team{Name: "x", Parent: "4"}); !errors.Is(err, identity.ErrWish) {
		t.Errorf("a ninth one: %v", err)
	}
}

// Whatever teams are made and moved: no circle comes about, no line is too long, and nothing else is refused.
func TestTeamsStayATree(t *testing.T) {
	ctx := t.Context()
	c := &config.Snapshot{Teams: []abi.Team{{Name: "top"}, {Name: "second", Parent: "top"}}}
	k, run := testKeyring(t, c), 0
	rapid.Check(t, func(t *rapid.T) {
		run++ // teams are never deleted: each run has names of its own
		parents := map[string]string{"top": "", "second": "top"}
		name := func(label string) string {
			n := rapid.IntRange(-2, 14).Draw(t, label)
			if n < 0 {
				return []string{"top", "second"}[-1-n]
			}
			return fmt.Sprintf("%d/%d", run, n)
		}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			team, parent := name("team"), name("parent")
			_, there := parents[team]
			_, parentThere := parents[parent]
			wanted := parentThere && longest(parents, team, parent) <= admin.MaxLevels
			var err error
			if there {
				change := admin.TeamChange{Parent: admin.To(parent)}
				_, err = k.ChangeTeam(ctx, team, &change)
			} else {
				_, err = k.CreateTeam(ctx, &abi.Team{Name: team, Parent: parent})
			}
			if team == "top" || team == "second" {
				if !errors.Is(err, admin.ErrReadOnly) {
					t.Fatalf("a declared team was changed: %v", err)
				}
				continue
			}
			if (err == nil) != wanted {
				t.Fatalf("%q below %q: %v, want %t; the others: %v", team, parent, err, wanted, parents)
			}
			if err == nil {
				parents[team] = parent
			}
		}
	})
}

// longest is how many teams would stand above each other on the longest line through a team, if it had this parent; a
// circle is longer than anything.
func longest(parents map[string]string, team, parent string) int {
	above := 0
	for up := parent; up != ""; up = parents[up] {
		if above++; up == team {
			return 1 << 20
		}
	}
	below := 0
	for other := range parents {
		depth := 0
		for up := other; up != ""; up = parents[up] {
			if up == team {
				below = max(below, depth)
				break
			}
			depth++
		}
	}
	return above + 1 + below
}

// A change that names what is not there changes nothing.
func TestChangeKeyChecksFirst(t *testing.T) {
	ctx := t.Context()
	k := testKeyring(t, &config.Snapshot{Names: []string{"coding"}})
	made, _, err := k.Issue(ctx, identity.Wish{Name: "a", Models: []string{"coding"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]admin.KeyChange{
		"a team":          {Team: admin.To("nobody")},
		"a model":         {TermsChange: admin.TermsChange{Models: admin.To([]string{"nothing"})}},
		"a default model": {DefaultModel: admin.To("nothing")},
		"two stars":       {TermsChange: admin.TermsChange{Models: admin.To([]string{"a*b*"})}},
		"a long name":     {Team: admin.To(strings.Repeat("x", 1000))},
	} {
		change.Expires = admin.To(made.Created)
		if _, err := k.ChangeKey(ctx, "a", &change); !errors.Is(err, identity.ErrWish) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if key, err := k.Key(ctx, made.ID); err != nil || !key.Expires.IsZero() {
		t.Errorf("%+v, %v", key, err)
	}
}
