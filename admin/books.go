package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/ledger"
)

// ErrQuery is a question that cannot be answered as it was put.
var ErrQuery = errors.New("impossible query")

// Ledger is the reading side of the ledger.
type Ledger interface {
	// Export calls f for the attempts that began from a time on and before another (zero: no bound): the settled ones
	// in the order of their settlement, then those that are open. The Entry is f's only during the call.
	Export(ctx context.Context, from, to time.Time, f func(*ledger.Entry) error) error
	// Totals calls f for what each key used with each model on each day, from one day to another, both included; ""
	// is no bound. The Total is f's only during the call.
	Totals(ctx context.Context, from, to string, f func(*ledger.Total) error) error
	// Balances returns where the budgets of these levels stand now.
	Balances(levels []ledger.Level) ([]ledger.Balance, error)
	// Verify compares the journal with the balances.
	Verify(ctx context.Context) (ledger.Verification, error)
}

// Books answers what is asked about money. It is served by the API, and answered by its client.
type Books interface {
	// Export calls f for the attempts as Ledger.Export does.
	Export(ctx context.Context, from, to time.Time, f func(*ledger.Entry) error) error
	// Usage sums up what was used, in the order of the dimensions that it is asked by.
	Usage(ctx context.Context, q UsageQuery) ([]ledger.Total, error)
	// KeyBalances returns where the budgets stand that bind a key: its own, those of its team and of the teams above.
	KeyBalances(ctx context.Context, idOrName string) ([]ledger.Balance, error)
	// TeamBalances returns where the budgets stand that bind a team: its own and those of the teams above.
	TeamBalances(ctx context.Context, name string) ([]ledger.Balance, error)
	// Verify compares the journal with the balances.
	Verify(ctx context.Context) (ledger.Verification, error)
}

// Backups is what can be backed up while it is in use.
type Backups interface {
	// Backup writes keys, teams and the ledger as they are at one moment. What it writes ends with a checksum.
	Backup(ctx context.Context, w io.Writer) error
}

// books is Books over a ledger.
type books struct {
	ledger Ledger
	keys   Keys
	teams  Teams
}

// NewBooks returns the books of a ledger. keys and teams tell which budgets there are.
func NewBooks(l Ledger, keys Keys, teams Teams) Books { return &books{l, keys, teams} }

// Export implements Books.
func (b *books) Export(ctx context.Context, from, to time.Time, f func(*ledger.Entry) error) error {
	return b.ledger.Export(ctx, from, to, f)
}

// Verify implements Books.
func (b *books) Verify(ctx context.Context) (ledger.Verification, error) { return b.ledger.Verify(ctx) }

// KeyBalances implements Books.
func (b *books) KeyBalances(ctx context.Context, idOrName string) ([]ledger.Balance, error) {
	key, err := b.keys.Key(ctx, idOrName)
	if err != nil {
		return nil, err
	}
	own := ledger.Level{
		Account: ledger.Account{Kind: ledger.KeyAccount, ID: key.ID}, Name: key.Name, Limits: &key.Limits, Budgets: key.Budgets,
	}
	above, err := b.teamLevels(ctx, key.Team)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	return b.ledger.Balances(append([]ledger.Level{own}, above...))
}

// TeamBalances implements Books.
func (b *books) TeamBalances(ctx context.Context, name string) ([]ledger.Balance, error) {
	levels, err := b.teamLevels(ctx, name)
	if err != nil && (len(levels) == 0 || !errors.Is(err, ErrNotFound)) {
		return nil, err
	}
	return b.ledger.Balances(levels)
}

// MaxLevels is how many teams may stand above each other.
const MaxLevels = 8

// teamLevels returns the levels of a team and of those above it, as far as they are there.
func (b *books) teamLevels(ctx context.Context, name string) ([]ledger.Level, error) {
	var levels []ledger.Level
	for name != "" && len(levels) < MaxLevels {
		team, err := b.teams.Team(ctx, name)
		if err != nil {
			return levels, err
		}
		levels = append(levels, ledger.Level{
			Account: ledger.Account{Kind: ledger.TeamAccount, ID: team.Name}, Name: team.Name,
			Limits: &team.Limits, Budgets: team.Budgets,
		})
		name = team.Parent
	}
	return levels, nil
}

// The dimensions that usage is summed up by.
const (
	ByDay   = "day"
	ByTeam  = "team"
	ByKey   = "key"
	ByModel = "model"
)

var usageDimensions = []string{ByDay, ByTeam, ByKey, ByModel}

// UsageQuery says which usage is wanted, and summed up by what.
type UsageQuery struct {
	From, To string   // days as 2026-11-21, UTC, both included; "": no bound
	By       []string // of ByDay, ByTeam, ByKey, ByModel; none: one sum
	Team     string   // of this team alone; "": of all
	Key      string   // of the key with this id or name alone; "": of all
	Model    string   // of this alias or chain alone; "": of all
}

// check says what is wrong with a query.
func (q *UsageQuery) check() error {
	for _, day := range []string{q.From, q.To} {
		if _, err := time.Parse(time.DateOnly, day); day != "" && err != nil {
			return fmt.Errorf("%w: %q is no day such as 2026-11-21", ErrQuery, day)
		}
	}
	for _, by := range q.By {
		if !slices.Contains(usageDimensions, by) {
			return fmt.Errorf("%w: usage is summed up by %s, not by %q", ErrQuery, strings.Join(usageDimensions, ", "), by)
		}
	}
	return nil
}

// matches says whether the query asks for this figure.
func (q *UsageQuery) matches(t *ledger.Total) bool {
	return (q.From == "" || t.Day >= q.From) && (q.To == "" || t.Day <= q.To) &&
		(q.Team == "" || t.Team == q.Team) &&
		(q.Key == "" || t.Key == q.Key || t.KeyID == q.Key) &&
		(q.Model == "" || t.Model == q.Model)
}

// group is what figures have in common that are summed up.
type group struct{ day, team, keyID, key, model string }

func (q *UsageQuery) group(t *ledger.Total) (g group) {
	for _, by := range q.By {
		switch by {
		case ByDay:
			g.day = t.Day
		case ByTeam:
			g.team = t.Team
		case ByKey:
			g.keyID, g.key = t.KeyID, t.Key
		case ByModel:
			g.model = t.Model
		}
	}
	return g
}

// maxGroups bounds the answer to a query, and the memory that it takes.
const maxGroups = 100_000

// Usage implements Books.
func (b *books) Usage(ctx context.Context, q UsageQuery) ([]ledger.Total, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	sums := map[group]*ledger.Total{}
	err := b.ledger.Totals(ctx, q.From, q.To, func(t *ledger.Total) error {
		if !q.matches(t) {
			return nil
		}
		g := q.group(t)
		sum := sums[g]
		if sum == nil {
			if len(sums) == maxGroups {
				return fmt.Errorf("%w: it has more than %d answers: ask for fewer days, for one team, key or model, or by less", ErrQuery, maxGroups)
			}
			sum = &ledger.Total{Day: g.day, Team: g.team, KeyID: g.keyID, Key: g.key, Model: g.model}
			sums[g] = sum
		}
		sum.Attempts += t.Attempts
		sum.Cost += t.Cost
		for d, n := range t.Usage {
			sum.Usage[d] += n
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	totals := make([]ledger.Total, 0, len(sums))
	for _, sum := range sums {
		totals = append(totals, *sum)
	}
	slices.SortFunc(totals, func(a, b ledger.Total) int {
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Team, b.Team), cmp.Compare(a.Key, b.Key),
			cmp.Compare(a.KeyID, b.KeyID), cmp.Compare(a.Model, b.Model))
	})
	return totals, nil
}

// figures are amounts by the dimension's name, without those that are zero.
func figures(u *abi.Usage) map[string]int64 {
	all := map[string]int64{}
	for d, n := range u {
		if n != 0 {
			all[abi.Dimension(d).String()] = n
		}
	}
	return all
}

// readFigures is the way back from figures. A dimension that this version does not know is an error: a sum without it
// would say something else.
func readFigures(all map[string]int64) (u abi.Usage, err error) {
	known := 0
	for d := range abi.NumDimensions {
		n, ok := all[d.String()]
		if ok {
			known++
		}
		u[d] = n
	}
	if known != len(all) {
		return abi.Usage{}, errors.New("the usage holds a dimension that this version does not know")
	}
	return u, nil
}

var _ Books = (*books)(nil)
