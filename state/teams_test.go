package state

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// fullTeam is a team with everything that a team can have.
func fullTeam() identity.Team {
	return identity.Team{
		Team: abi.Team{
			Name: "research", Parent: "org", State: abi.KeyDisabled, Models: []string{"coding", "claude-*"},
			Labels: []abi.Label{{Name: "env", Value: "prod"}}, Limits: abi.Limits{abi.TokensPerDay: 7},
			Budgets: []abi.Budget{{Amount: 5e9, Period: abi.PerWeek, Location: time.UTC}},
		},
		Created: time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC),
	}
}

func TestTeamsOutliveTheProcess(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	s := openState(t, dir, Options{})
	team := fullTeam()
	if err := s.CreateTeam(ctx, team); err != nil {
		t.Fatal(err)
	}
	team.Models[0] = "overwritten" // what was given is the caller's again
	want := fullTeam()
	for _, when := range []string{"at once", "after a restart"} {
		if got, ok := s.Team("research"); !ok || !reflect.DeepEqual(*got, want.Team) {
			t.Errorf("%s: found %+v, %t", when, got, ok)
		}
		if got, err := s.TeamRow(ctx, "research"); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v, %v, want\n%+v", when, got, err, want)
		}
		if got, err := s.Teams(ctx, identity.Query{}); err != nil || !reflect.DeepEqual(got, []identity.Team{want}) {
			t.Errorf("%s: listed %+v, %v", when, got, err)
		}
		closeState(t, s)
		s = openState(t, dir, Options{})
	}
	if got, ok := s.Team("none"); ok || got != nil {
		t.Errorf("a team that is none is %+v", got)
	}
	if _, err := s.TeamRow(ctx, "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a team that is none: %v", err)
	}
	if err := s.CreateTeam(ctx, fullTeam()); !errors.Is(err, ErrExists) {
		t.Errorf("a second one of its name: %v", err)
	}
}

func TestChangeTeam(t *testing.T) {
	refused := errors.New("not today")
	tests := []struct {
		name   string
		change func(*identity.Team) error
		want   error
	}{
		{"everything that can be", func(team *identity.Team) error {
			*team = identity.Team{Team: abi.Team{Name: "research"}, Created: team.Created}
			return nil
		}, nil},
		{"what the caller thinks better of", func(team *identity.Team) error { team.Parent = "x"; return refused }, refused},
		{"the name", func(team *identity.Team) error { team.Name = "x"; return nil }, identity.ErrWish},
		{"the creation", func(team *identity.Team) error { team.Created = time.Now(); return nil }, identity.ErrWish},
		{"to a state that is none", func(team *identity.Team) error { team.State = -1; return nil }, identity.ErrWish},
		{"to what cannot be", func(team *identity.Team) error { team.Limits[0] = -1; return nil }, identity.ErrWish},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := context.Background()
			s := openState(t, t.TempDir(), Options{})
			if err := s.CreateTeam(ctx, fullTeam()); err != nil {
				t.Fatal(err)
			}
			before, _ := s.Team("research")
			want := fullTeam()
			if tt.want == nil {
				_ = tt.change(&want)
			}
			got, err := s.ChangeTeam(ctx, "research", tt.change)
			if !errors.Is(err, tt.want) || err == nil && !reflect.DeepEqual(got, want) || err != nil && got.Name != "" {
				t.Errorf("got %+v, %v, want %v", got, err, tt.want)
			}
			if got, _ := s.Team("research"); !reflect.DeepEqual(*got, want.Team) {
				t.Errorf("found is\n%+v, want\n%+v", got, want.Team)
			}
			if full := fullTeam(); !reflect.DeepEqual(*before, full.Team) {
				t.Errorf("what was handed out before has changed: %+v", before)
			}
		})
	}
}

func TestRevokedTeamNeverChanges(t *testing.T) {
	ctx := context.Background()
	s := openState(t, t.TempDir(), Options{})
	if err := s.CreateTeam(ctx, fullTeam()); err != nil {
		t.Fatal(err)
	}
	to := func(state abi.KeyState) func(*identity.Team) error {
		return func(team *identity.Team) error { team.State = state; return nil }
	}
	revoked, err := s.ChangeTeam(ctx, "research", to(abi.KeyRevoked))
	if err != nil || revoked.State != abi.KeyRevoked {
		t.Fatalf("got %+v, %v", revoked, err)
	}
	if again, err := s.ChangeTeam(ctx, "research", to(abi.KeyActive)); !errors.Is(err, ErrRevoked) || !reflect.DeepEqual(again, revoked) {
		t.Errorf("got %+v, %v, want %v", again, err, ErrRevoked)
	}
	if got, _ := s.Team("research"); got.State != abi.KeyRevoked {
		t.Errorf("found %+v", got)
	}
	if err := s.CreateTeam(ctx, fullTeam()); !errors.Is(err, ErrExists) {
		t.Errorf("its name is free: %v", err)
	}
	if _, err := s.ChangeTeam(ctx, "none", to(abi.KeyActive)); !errors.Is(err, ErrNotFound) {
		t.Errorf("a team that is none: %v", err)
	}
}

func TestTeamsArePaged(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	for i := range 10 {
		team := identity.Team{Team: abi.Team{Name: fmt.Sprint("t", i), Parent: [...]string{"", "org"}[i%2]}}
		if err := s.CreateTeam(context.Background(), team); err != nil {
			t.Fatal(err)
		}
	}
	for query, want := range map[identity.Query]string{
		{}:                                    "t0 t1 t2 t3 t4 t5 t6 t7 t8 t9",
		{Limit: 2}:                            "t0 t1",
		{Limit: 2, After: "t1"}:               "t2 t3",
		{Team: "org", After: "t1", Limit: 2}:  "t3 t5",
		{Team: "org", After: "t80", Limit: 2}: "t9",
		{Team: "orgs"}:                        "",
	} {
		teams, err := s.Teams(context.Background(), query)
		var names []string
		for _, team := range teams {
			names = append(names, team.Name)
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("%+v: %q, %v, want %q", query, got, err, want)
		}
	}
}

// A team that cannot be read must not become one without limits: nothing starts.
func TestUnreadableTeamFailsClosed(t *testing.T) {
	for name, row := range map[string]string{
		"no JSON":          `x`,
		"a later version":  `{"version":2,"name":"a","state":"active"}`,
		"an unknown state": `{"version":1,"name":"a","state":"sleeping"}`,
		"an unknown limit": `{"version":1,"name":"a","state":"active","limits":{"rpc":1}}`,
	} {
		dir := t.TempDir()
		s := openState(t, dir, Options{})
		setRow(t, s, teamRows+"a", row)
		closeState(t, s)
		if s, err := Open(dir, Options{Free: plenty, Ballast: -1}); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
}

func TestTeamMethodsHeedTheContextAndTheEnd(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	if err := s.CreateTeam(context.Background(), fullTeam()); err != nil {
		t.Fatal(err)
	}
	nothing := func(*identity.Team) error { return nil }
	calls := map[string]func(context.Context) error{
		"CreateTeam": func(ctx context.Context) error { return s.CreateTeam(ctx, identity.Team{Team: abi.Team{Name: "x"}}) },
		"Teams":      func(ctx context.Context) error { return second(s.Teams(ctx, identity.Query{})) },
		"ChangeTeam": func(ctx context.Context) error { return second(s.ChangeTeam(ctx, "research", nothing)) },
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	for name, call := range calls {
		if err := call(canceled); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, canceled: %v", name, err)
		}
	}
	closeState(t, s)
	for name, call := range calls {
		if err := call(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("%s, closed: %v, want %v", name, err, ErrClosed)
		}
	}
}

func TestTeamsInParallel(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	if err := s.CreateTeam(context.Background(), identity.Team{Team: abi.Team{Name: "a"}}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				name := fmt.Sprint("t", g, "/", i)
				if err := s.CreateTeam(context.Background(), identity.Team{Team: abi.Team{Name: name}}); err != nil {
					t.Error(err)
				}
				if _, ok := s.Team(name); !ok {
					t.Errorf("%s is not found after it was made", name)
				}
				_, err := s.ChangeTeam(context.Background(), "a", func(team *identity.Team) error { team.Limits[0]++; return nil })
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if team, _ := s.Team("a"); team.Limits[0] != 200 {
		t.Errorf("%d changes of 200 are there", team.Limits[0])
	}
}

func FuzzParseTeam(f *testing.F) {
	f.Add([]byte(`{"version":1,"name":"a","parent":"b","state":"active","limits":{"rpm":1},"budgets":[{"nano_usd":1,"per":"day","timezone":"UTC"}]}`))
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, value []byte) {
		team, err := parseTeam(value, new(zones))
		if err != nil && !errors.Is(err, ErrCorrupt) || err == nil && (team.State < abi.KeyActive || team.State > abi.KeyRevoked) {
			t.Fatalf("got %+v, %v", team, err)
		}
	})
}

// hundredThousandTeams writes rows without syncing each, as a restored backup does.
func hundredThousandTeams(b *testing.B, dir string) {
	s := openState(b, dir, Options{})
	rows := s.ledger.handle.NewWriteBatch()
	for i := range 100_000 {
		name := fmt.Sprint("team", i)
		err := rows.Set([]byte(teamRows+name), fmt.Appendf(nil,
			`{"version":1,"name":%q,"state":"active","created":"2026-11-21T08:00:00Z","limits":{"rpm":60}}`, name))
		if err != nil {
			b.Fatal(err)
		}
	}
	if err := rows.Flush(); err != nil {
		b.Fatal(err)
	}
	closeState(b, s)
}

func BenchmarkTeams100k(b *testing.B) {
	if testing.Short() {
		b.Skip("makes 100,000 teams")
	}
	dir := b.TempDir()
	hundredThousandTeams(b, dir)
	start := time.Now()
	s := openState(b, dir, Options{})
	open := time.Since(start)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.Team("team77777"); !ok {
			b.Fatal("not found")
		}
	}
	b.ReportMetric(float64(open.Milliseconds()), "ms/open")
}
