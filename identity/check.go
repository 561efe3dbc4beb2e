package identity

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-dev/sallyport/abi"
)

// Bounds of what a key or a team may hold. They bound a stored row, and names stand in metrics labels.
const (
	MaxName    = 128 // bytes of a name
	MaxModels  = 64
	MaxLabels  = 16
	MaxLabel   = 128 // bytes of a label's name and value
	MaxBudgets = 8
	MaxLimit   = 1_000_000_000_000_000                  // of requests or tokens
	MaxAmount  = abi.NanoUSD(1_000_000_000_000_000_000) // of a budget: a billion dollars
)

func checkWish(wish *Wish, now time.Time) error {
	if !wish.Expires.IsZero() && !wish.Expires.After(now) {
		return fmt.Errorf("%w: expires lies in the past", ErrWish)
	}
	return CheckKey(&Key{
		Name: wish.Name, Team: wish.Team, Models: wish.Models, DefaultModel: wish.DefaultModel, Labels: wish.Labels,
		Limits: wish.Limits, Budgets: wish.Budgets,
	})
}

// CheckKey says what is wrong with what people chose for a key. An expiry in the past is possible: it ends a key.
func CheckKey(key *Key) error {
	if err := CheckName("name", key.Name); err != nil {
		return err
	}
	if key.Team != "" {
		if err := CheckName("team", key.Team); err != nil {
			return err
		}
	}
	if key.DefaultModel != "" {
		if err := CheckName("default_model", key.DefaultModel); err != nil {
			return err
		}
	}
	return checkShared(key.Models, key.Labels, &key.Limits, key.Budgets)
}

// CheckTeam says what is wrong with what people chose for a team. That the parent exists is not asked.
func CheckTeam(team *abi.Team) error {
	if err := CheckName("name", team.Name); err != nil {
		return err
	}
	if team.Parent != "" {
		if err := CheckName("parent", team.Parent); err != nil {
			return err
		}
	}
	if team.Parent == team.Name {
		return fmt.Errorf("%w: team %q is its own parent", ErrWish, team.Name)
	}
	return checkShared(team.Models, team.Labels, &team.Limits, team.Budgets)
}

// checkShared checks what keys and teams have in common.
func checkShared(models []string, labels []abi.Label, limits *abi.Limits, budgets []abi.Budget) error {
	if len(models) > MaxModels {
		return fmt.Errorf("%w: %d models, at most %d are possible", ErrWish, len(models), MaxModels)
	}
	for i, model := range models {
		if err := CheckName(fmt.Sprintf("models[%d]", i), model); err != nil {
			return err
		}
	}
	for i, limit := range limits {
		if limit < 0 || limit > MaxLimit {
			return fmt.Errorf("%w: %s is %d, 0 to %d are possible", ErrWish, abi.Limit(i), limit, int64(MaxLimit))
		}
	}
	if err := checkLabels(labels); err != nil {
		return err
	}
	return checkBudgets(budgets)
}

func checkLabels(labels []abi.Label) error {
	if len(labels) > MaxLabels {
		return fmt.Errorf("%w: %d labels, at most %d are possible", ErrWish, len(labels), MaxLabels)
	}
	for i, label := range labels {
		field := fmt.Sprintf("labels[%d]", i)
		if err := CheckName(field, label.Name); err != nil {
			return err
		}
		if strings.Contains(label.Name, "=") {
			return fmt.Errorf("%w: %s has a name with \"=\"", ErrWish, field)
		}
		if label.Value != "" {
			if err := CheckName(field, label.Value); err != nil {
				return err
			}
		}
		if n := len(label.Name) + len("=") + len(label.Value); n > MaxLabel {
			return fmt.Errorf("%w: %s has %d bytes, at most %d are possible", ErrWish, field, n, MaxLabel)
		}
		for _, other := range labels[:i] {
			if other.Name == label.Name {
				return fmt.Errorf("%w: the label %q stands twice", ErrWish, label.Name)
			}
		}
	}
	return nil
}

func checkBudgets(budgets []abi.Budget) error {
	if len(budgets) > MaxBudgets {
		return fmt.Errorf("%w: %d budgets, at most %d are possible", ErrWish, len(budgets), MaxBudgets)
	}
	for i := range budgets {
		b := &budgets[i]
		switch {
		case b.Amount < 0 || b.Amount > MaxAmount:
			return fmt.Errorf("%w: a budget of %d nano-dollars, 0 to %d are possible", ErrWish, b.Amount, MaxAmount)
		case b.Period >= abi.NumPeriods:
			return fmt.Errorf("%w: a budget of an unknown period", ErrWish)
		case b.Zone() == time.Local.String():
			return fmt.Errorf("%w: a budget in the time zone \"Local\", which is another one elsewhere", ErrWish)
		}
		for j := range budgets[:i] {
			if budgets[j].Period == b.Period && budgets[j].Zone() == b.Zone() {
				return fmt.Errorf("%w: two budgets per %s in the time zone %s", ErrWish, b.Period, b.Zone())
			}
		}
	}
	return nil
}

// CheckName says what is wrong with a name that people give: it must be 1 to 128 bytes of printable text without
// white space at its ends. field names what is checked, for the error.
func CheckName(field, name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: %s is missing", ErrWish, field)
	case len(name) > MaxName:
		return fmt.Errorf("%w: %s has %d bytes, at most %d are possible", ErrWish, field, len(name), MaxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%w: %s holds characters that cannot be printed", ErrWish, field)
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("%w: %s begins or ends with white space", ErrWish, field)
	}
	return nil
}
