package identity

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
)

// shelf is Stored from maps.
type shelf struct {
	keys  map[abi.Digest]*abi.Identity
	teams map[string]*abi.Team
}

func (s shelf) Lookup(digest *abi.Digest) (*abi.Identity, bool) {
	id, ok := s.keys[*digest]
	return id, ok
}

func (s shelf) Team(name string) (*abi.Team, bool) {
	team, ok := s.teams[name]
	return team, ok
}

func TestDirectory(t *testing.T) {
	h := newHasher(t)
	stored := shelf{keys: map[abi.Digest]*abi.Identity{
		h.Digest([]byte("stored secret")): {KeyID: "key_1", Name: "ci"},
		h.Digest([]byte("ci's secret")):   {KeyID: "key_2", Name: "shadowed"},
	}}
	limits, budgets := abi.Limits{abi.Concurrent: 8}, []abi.Budget{{Amount: 5}}
	d, err := NewDirectory(h, []FileKey{
		{
			Name: "ci", Secret: "ci's secret", Team: "research", Models: []string{"coding"}, Expires: now,
			DefaultModel: "coding", Labels: []abi.Label{{Name: "a"}}, Limits: limits, Budgets: budgets,
		},
		{Name: "dev", Secret: "dev's secret"},
	}, nil, stored)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		credential string
		want       *abi.Identity
	}{
		{"ci's secret", &abi.Identity{
			KeyID: "file:ci", Name: "ci", Team: "research", Models: []string{"coding"}, Expires: now,
			DefaultModel: "coding", Labels: []abi.Label{{Name: "a"}}, Limits: limits, Budgets: budgets,
		}},
		{"dev's secret", &abi.Identity{KeyID: "file:dev", Name: "dev"}},
		{"stored secret", &abi.Identity{KeyID: "key_1", Name: "ci"}},
		{"unknown", nil},
		{"", nil},
	}
	for _, tt := range tests {
		digest := d.Digest([]byte(tt.credential))
		got, ok := d.Lookup(&digest)
		if ok != (tt.want != nil) || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %+v, %t, want %+v", tt.credential, got, ok, tt.want)
		}
	}
}

func TestDirectoryTeams(t *testing.T) {
	stored := shelf{teams: map[string]*abi.Team{
		"research": {Name: "research", Parent: "shadowed"},
		"sales":    {Name: "sales"},
	}}
	d, err := NewDirectory(newHasher(t), nil, []abi.Team{{Name: "org"}, {Name: "research", Parent: "org"}}, stored)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]*abi.Team{
		"org": {Name: "org"}, "research": {Name: "research", Parent: "org"}, "sales": {Name: "sales"}, "none": nil, "": nil,
	} {
		if got, ok := d.Team(name); ok != (want != nil) || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %t, want %+v", name, got, ok, want)
		}
	}
}

func TestDirectoryRefusesWhatIsInConflict(t *testing.T) {
	tests := []struct {
		name  string
		keys  []FileKey
		teams []abi.Team
	}{
		{"keys with one secret", []FileKey{{Name: "a", Secret: "hush"}, {Name: "b", Secret: "hush"}}, nil},
		{"keys with one name", []FileKey{{Name: "a", Secret: "hush"}, {Name: "a", Secret: "hush hush"}}, nil},
		{"teams with one name", nil, []abi.Team{{Name: "a"}, {Name: "a", Parent: "b"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewDirectory(newHasher(t), tt.keys, tt.teams, shelf{})
			if !errors.Is(err, ErrKeys) {
				t.Fatalf("got %v, want %v", err, ErrKeys)
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("the error %q tells a secret", err)
			}
		})
	}
}
