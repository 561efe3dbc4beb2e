package prune_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/internal/prune"
)

func TestPrune(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	item := func(name string, age time.Duration) prune.Item {
		return prune.Item{Name: name, Used: now.Add(-age), Bytes: 10}
	}
	const day = 24 * time.Hour
	all := []prune.Item{item("week", 7*day), item("new", time.Minute), item("year", 365*day), item("month", 31*day), item("day", day)}
	for _, test := range []struct {
		name   string
		limits prune.Limits
		needed []string
		broken string // cannot be removed
		gone   []string
	}{
		{"no limits", prune.Limits{}, nil, "", nil},
		{"by age", prune.Default(), nil, "", []string{"year", "month"}},
		{"by size, the oldest first", prune.Limits{Bytes: 30}, nil, "", []string{"year", "month"}},
		{"not what is needed", prune.Limits{Bytes: 30}, []string{"year"}, "", []string{"month", "week"}},
		{"not what is fresh", prune.Limits{Unused: time.Second, Bytes: 1}, nil, "", []string{"year", "month", "week", "day"}},
		{"what cannot go still counts", prune.Limits{Bytes: 30}, nil, "year", []string{"month", "week"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			needed := map[string]bool{}
			for _, name := range test.needed {
				needed[name] = true
			}
			var gone []string
			errBroken := errors.New("broken")
			err := test.limits.Prune(all, now, needed, func(i prune.Item) error {
				if i.Name == test.broken {
					return errBroken
				}
				gone = append(gone, i.Name)
				return nil
			})
			if !slices.Equal(gone, test.gone) || errors.Is(err, errBroken) != (test.broken != "") {
				t.Errorf("%v went, %v; want %v", gone, err, test.gone)
			}
		})
	}
}
