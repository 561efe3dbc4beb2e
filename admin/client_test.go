package admin

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
)

// serveShelf returns a client of an API that serves s.
func serveShelf(t *testing.T, s *shelf) *Client {
	t.Helper()
	server := httptest.NewServer(Handler(options(s, testToken)))
	c := NewClient(strings.TrimPrefix(server.URL, "http://"), testToken)
	t.Cleanup(func() {
		c.http.CloseIdleConnections()
		c.streams.CloseIdleConnections()
		server.Close()
	})
	return c
}

// berlin is a time zone that is not UTC.
func berlin(t *testing.T) *time.Location {
	t.Helper()
	l, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestClientHandlesKeys(t *testing.T) {
	s, ctx := &shelf{}, t.Context()
	c := serveShelf(t, s)
	wish := identity.Wish{
		Name: "a b/c?", Team: "t", Models: []string{"x*", "y"}, Expires: time.Now().Add(time.Hour).UTC().Truncate(time.Second),
		DefaultModel: "y", Labels: []abi.Label{{Name: "env", Value: "prod"}, {Name: "who", Value: ""}},
		Limits:  abi.Limits{abi.RequestsPerMinute: 60, abi.MaxOutputTokens: 1},
		Budgets: []abi.Budget{{Amount: 5_000_000_001, Period: abi.PerDay, Location: berlin(t)}, {Amount: 0, Period: abi.InTotal, Location: time.UTC}},
	}
	key, secret, err := c.Issue(ctx, wish)
	if err != nil || !strings.HasPrefix(secret, identity.DefaultPrefix) {
		t.Fatalf("%+v, %q, %v", key, secret, err)
	}
	stored := s.keys[0]
	stored.Created, key.Created = time.Time{}, time.Time{} // one has lost its monotonic clock
	if !reflect.DeepEqual(key, stored) {
		t.Errorf("issued\n%+v, stored\n%+v", key, stored)
	}
	if _, _, err := c.Issue(ctx, identity.Wish{Name: wish.Name}); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a second one of the name: %v", err)
	}
	change := KeyChange{Team: Cleared[string](), TermsChange: TermsChange{Models: To([]string{"z"})}}
	if key, err = c.ChangeKey(ctx, wish.Name, &change); err != nil || key.Team != "" || key.Models[0] != "z" || key.DefaultModel != "y" {
		t.Errorf("changed: %+v, %v", key, err)
	}
	for state := range stateVerbs {
		if state == abi.KeyRevoked {
			continue
		}
		if key, err = c.SetKeyState(ctx, key.ID, state); err != nil || key.State != state {
			t.Errorf("%s: %+v, %v", state, key, err)
		}
	}
	rotated, fresh, err := c.RotateKey(ctx, wish.Name, 90*time.Minute)
	if err != nil || fresh == secret || rotated.GraceEnds.Sub(rotated.Rotated) != 90*time.Minute {
		t.Errorf("rotated: %+v, %q, %v", rotated, fresh, err)
	}
	if key, err = c.SetKeyState(ctx, wish.Name, abi.KeyRevoked); err != nil || key.State != abi.KeyRevoked {
		t.Errorf("revoked: %+v, %v", key, err)
	}
	if key, err = c.Key(ctx, wish.Name); err != nil || key.State != abi.KeyRevoked {
		t.Errorf("shown: %+v, %v", key, err)
	}
	if _, err := c.Key(ctx, "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
}

// A client takes as many pages as it is asked for.
func TestClientTurnsPages(t *testing.T) {
	s, ctx := &shelf{}, t.Context()
	c := serveShelf(t, s)
	for i := range MaxPage + 234 {
		id := "key_" + string(rune('a'+i/1000)) + string(rune('a'+i/100%10)) + string(rune('a'+i/10%10)) + string(rune('a'+i%10))
		team := "even"
		if i%2 == 1 {
			team = "odd"
		}
		s.keys = append(s.keys, identity.Key{ID: id, Name: id, Team: team})
		s.teams = append(s.teams, identity.Team{Team: abi.Team{Name: id}})
	}
	for _, f := range []struct {
		query identity.Query
		want  int
	}{
		{identity.Query{}, MaxPage + 234},
		{identity.Query{Limit: 3}, 3},
		{identity.Query{Limit: MaxPage}, MaxPage},
		{identity.Query{Limit: MaxPage + 100}, MaxPage + 100},
		{identity.Query{Limit: 2 * MaxPage}, MaxPage + 234},
		{identity.Query{After: "key_baaa"}, 233},
		{identity.Query{Team: "odd"}, (MaxPage + 234) / 2},
	} {
		keys, err := c.Keys(ctx, f.query)
		if err != nil || len(keys) != f.want {
			t.Errorf("%+v: %d keys, %v, want %d", f.query, len(keys), err, f.want)
		}
		f.query.Team = ""
		teams, err := c.Teams(ctx, f.query)
		if want, _ := s.Teams(ctx, f.query); err != nil || len(teams) != len(want) {
			t.Errorf("%+v: %d teams, %v, want %d", f.query, len(teams), err, len(want))
		}
	}
}

func TestClientHandlesTeams(t *testing.T) {
	s, ctx := &shelf{teams: []identity.Team{{Team: abi.Team{Name: "declared"}}}}, t.Context()
	c := serveShelf(t, s)
	team, err := c.CreateTeam(ctx, &abi.Team{
		Name: "research", Parent: "declared", Models: []string{"x"}, Labels: []abi.Label{{Name: "a", Value: "b"}},
		Limits: abi.Limits{abi.Concurrent: 3}, Budgets: []abi.Budget{{Amount: 7, Period: abi.PerWeek, Location: time.UTC}},
	})
	if err != nil || !reflect.DeepEqual(team, s.teams[1]) {
		t.Errorf("made %+v, %v, want %+v", team, err, s.teams[1])
	}
	one := int64(1)
	change := TeamChange{TermsChange: TermsChange{Limits: To(map[string]*int64{"rpm": &one, "concurrent": nil})}}
	if team, err = c.ChangeTeam(ctx, "research", &change); err != nil || team.Limits != (abi.Limits{abi.RequestsPerMinute: 1}) {
		t.Errorf("changed: %+v, %v", team, err)
	}
	for state := range stateVerbs {
		if team, err = c.SetTeamState(ctx, "research", state); err != nil || team.State != state {
			t.Errorf("%s: %+v, %v", state, team, err)
		}
	}
	if team, err = c.Team(ctx, "declared"); err != nil || team.Name != "declared" || !team.Created.IsZero() {
		t.Errorf("shown: %+v, %v", team, err)
	}
	if _, err := c.ChangeTeam(ctx, "declared", &change); err == nil || !strings.Contains(err.Error(), "configuration file") {
		t.Errorf("a declared one: %v", err)
	}
}

func TestClientReadsBooks(t *testing.T) {
	s, ctx := testBooks(t), t.Context()
	c, direct := serveShelf(t, s), NewBooks(s, s, s)
	query := UsageQuery{From: "2026-11-01", By: []string{ByKey, ByDay}, Team: "research"}
	want, _ := direct.Usage(ctx, query)
	if got, err := c.Usage(ctx, query); err != nil || len(got) == 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("usage: %+v, %v, want %+v", got, err, want)
	}
	balances, _ := direct.KeyBalances(ctx, "ci")
	if got, err := c.KeyBalances(ctx, "ci"); err != nil || len(got) != 3 || !reflect.DeepEqual(got, balances) {
		t.Errorf("balances: %+v, %v, want %+v", got, err, balances)
	}
	balances, _ = direct.TeamBalances(ctx, "research")
	if got, err := c.TeamBalances(ctx, "research"); err != nil || len(got) != 2 || !reflect.DeepEqual(got, balances) {
		t.Errorf("balances: %+v, %v, want %+v", got, err, balances)
	}
	s.found = ledger.Verification{Segments: 1, Entries: 2, Open: 3, Windows: 4, Partial: 5, Problems: []string{"team/x differs"}}
	if got, err := c.Verify(ctx); err != nil || !reflect.DeepEqual(got, s.found) {
		t.Errorf("verified: %+v, %v", got, err)
	}
	var entries []ledger.Entry
	err := c.Export(ctx, time.Time{}, s.entries[2].Time, func(e *ledger.Entry) error { entries = append(entries, *e); return nil })
	if err != nil || !reflect.DeepEqual(entries, s.entries[:2]) {
		t.Errorf("exported %+v, %v, want %+v", entries, err, s.entries[:2])
	}
	var backup bytes.Buffer
	if err := c.Backup(ctx, &backup); err != nil || backup.String() != "a backup" {
		t.Errorf("backup: %q, %v", backup.String(), err)
	}
}

// A stream that fails in the middle is an error, not a shorter stream.
func TestClientSeesACutStream(t *testing.T) {
	s, ctx := testBooks(t), t.Context()
	for range 1000 { // more than is held back
		s.entries = append(s.entries, s.entries[0])
	}
	s.broken, s.cut = errors.New("broken"), true
	c := serveShelf(t, s)
	n := 0
	if err := c.Export(ctx, time.Time{}, time.Time{}, func(*ledger.Entry) error { n++; return nil }); err == nil || n == 0 {
		t.Errorf("%d attempts, then %v", n, err)
	}
	if err := c.Backup(ctx, new(bytes.Buffer)); err == nil {
		t.Error("half a backup was taken for a whole one")
	}
}

func TestClientReadsRecords(t *testing.T) {
	s, ctx := &shelf{records: []record.Record{{ID: "req_1", Status: 200, Time: time.Unix(5, 0).UTC()}}}, t.Context()
	c := serveShelf(t, s)
	if r, err := c.Find(ctx, "req_1"); err != nil || r.Status != 200 {
		t.Errorf("record: %+v, %v", r, err)
	}
	if _, err := c.Find(ctx, "req_2"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no record: %v", err)
	}
	if all, err := c.Recent(ctx, 5, ""); err != nil || len(all) != 1 {
		t.Errorf("records: %+v, %v", all, err)
	}
}

func TestClientKnowsWhoAnswers(t *testing.T) {
	ctx := t.Context()
	server := httptest.NewServer(Handler(options(&shelf{}, testToken)))
	address := strings.TrimPrefix(server.URL, "http://")
	c := NewClient(address, "another")
	defer c.http.CloseIdleConnections()
	if err := c.Running(ctx); err != nil {
		t.Error(err)
	}
	if _, err := c.Keys(ctx, identity.Query{}); !errors.Is(err, ErrToken) {
		t.Errorf("another gateway's token: %v", err)
	}
	server.Close()
	if err := c.Running(ctx); !errors.Is(err, ErrNotRunning) {
		t.Errorf("nobody listens: %v", err)
	}
}
