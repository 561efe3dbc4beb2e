package identity

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

func labels(n int) (all []abi.Label) {
	for i := range n {
		all = append(all, abi.Label{Name: fmt.Sprint("l", i)})
	}
	return all
}

// What keys and teams have in common is checked once, for both.
func TestCheckTerms(t *testing.T) {
	berlin := time.FixedZone("Europe/Berlin", 3600)
	tests := []struct {
		name  string
		terms abi.Team // without its name
		says  string   // "": it is possible
	}{
		{"nothing", abi.Team{}, ""},
		{"the largest limits", abi.Team{Limits: abi.Limits{abi.TokensPerDay: MaxLimit, abi.MaxOutputTokens: MaxLimit}}, ""},
		{"a limit above", abi.Team{Limits: abi.Limits{abi.TokensPerDay: MaxLimit + 1}}, "tpd is 1000000000000001"},
		{"a negative limit", abi.Team{Limits: abi.Limits{abi.Concurrent: -1}}, "concurrent is -1"},
		{"a budget of nothing", abi.Team{Budgets: []abi.Budget{{}}}, ""},
		{"the largest budget", abi.Team{Budgets: []abi.Budget{{Amount: MaxAmount}}}, ""},
		{"a budget above", abi.Team{Budgets: []abi.Budget{{Amount: MaxAmount + 1}}}, "1000000000000000001 nano-dollars"},
		{"a negative budget", abi.Team{Budgets: []abi.Budget{{Amount: -1}}}, "-1 nano-dollars"},
		{"a budget per age", abi.Team{Budgets: []abi.Budget{{Period: abi.NumPeriods}}}, "unknown period"},
		{"a budget of wherever this runs", abi.Team{Budgets: []abi.Budget{{Location: time.Local}}}, "Local"},
		{"budgets of several periods and zones", abi.Team{Budgets: []abi.Budget{
			{}, {Location: berlin}, {Period: abi.PerMonth}, {Period: abi.InTotal},
		}}, ""},
		{"two of one period, once without a zone", abi.Team{Budgets: []abi.Budget{
			{Period: abi.PerWeek}, {Period: abi.PerWeek, Location: time.UTC},
		}}, "two budgets per week in the time zone UTC"},
		{"nine budgets", abi.Team{Budgets: make([]abi.Budget, 9)}, "9 budgets"},
		{"16 labels", abi.Team{Labels: labels(16)}, ""},
		{"17 labels", abi.Team{Labels: labels(17)}, "17 labels"},
		{"a label without a name", abi.Team{Labels: []abi.Label{{Value: "x"}}}, "labels[0] is missing"},
		{"a label that cannot be told from its value", abi.Team{Labels: []abi.Label{{Name: "a=b"}}}, `"="`},
		{"a label's value that cannot be printed", abi.Team{Labels: []abi.Label{{Name: "a", Value: "b\n"}}}, "printed"},
		{"a long label", abi.Team{Labels: []abi.Label{{Name: "a", Value: strings.Repeat("b", 126)}}}, ""},
		{"a longer one", abi.Team{Labels: []abi.Label{{Name: "a", Value: strings.Repeat("b", 127)}}}, "129 bytes"},
		{"a label twice", abi.Team{Labels: []abi.Label{{Name: "a"}, {Name: "b"}, {Name: "a", Value: "x"}}}, `"a" stands twice`},
		{"65 models", abi.Team{Models: make([]string, 65)}, "65 models"},
		{"a model that cannot be printed", abi.Team{Models: []string{"a", "b\x00"}}, "models[1]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			team := tt.terms
			team.Name = "research"
			key := Key{Name: "ci", Models: team.Models, Labels: team.Labels, Limits: team.Limits, Budgets: team.Budgets}
			for what, err := range map[string]error{"team": CheckTeam(&team), "key": CheckKey(&key)} {
				if tt.says == "" && err != nil || tt.says != "" && (!errors.Is(err, ErrWish) || !strings.Contains(err.Error(), tt.says)) {
					t.Errorf("a %s: %v, want %q", what, err, tt.says)
				}
			}
			wish := Wish{Name: "ci", Models: team.Models, Labels: team.Labels, Limits: team.Limits, Budgets: team.Budgets}
			if _, _, err := Issue(wish, now, counting()); (err == nil) != (tt.says == "") {
				t.Errorf("a wish: %v, want %q", err, tt.says)
			}
		})
	}
}

func TestCheckNames(t *testing.T) {
	tests := []struct {
		name string
		err  error
		says string
	}{
		{"a team without a name", CheckTeam(&abi.Team{}), "name is missing"},
		{"a team whose parent cannot be printed", CheckTeam(&abi.Team{Name: "a", Parent: "\t"}), "parent"},
		{"a team that is its own parent", CheckTeam(&abi.Team{Name: "a", Parent: "a"}), "its own parent"},
		{"a key without a name", CheckKey(&Key{}), "name is missing"},
		{"a key whose team cannot be printed", CheckKey(&Key{Name: "a", Team: "\t"}), "team"},
		{"a default model with a blank", CheckKey(&Key{Name: "a", DefaultModel: "x "}), "default_model"},
	}
	for _, tt := range tests {
		if !errors.Is(tt.err, ErrWish) || !strings.Contains(tt.err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.name, tt.err, tt.says)
		}
	}
	if err := CheckTeam(&abi.Team{Name: "a", Parent: "b"}); err != nil {
		t.Error(err)
	}
}
