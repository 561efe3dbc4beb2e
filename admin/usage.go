package admin

import (
	"net/http"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/ledger"
)

// Total is what was used, as the API and `--json` show it. What was summed over is left out.
type Total struct {
	Day      string           `json:"day,omitempty"`
	Team     string           `json:"team,omitempty"`
	KeyID    string           `json:"key_id,omitempty"`
	Key      string           `json:"key,omitempty"`
	Model    string           `json:"model,omitempty"`
	Attempts int64            `json:"attempts"`
	Usage    map[string]int64 `json:"usage"`
	Cost     abi.NanoUSD      `json:"cost_nano_usd"`
}

// ShowTotal makes a total presentable.
func ShowTotal(t *ledger.Total) Total {
	return Total{t.Day, t.Team, t.KeyID, t.Key, t.Model, t.Attempts, figures(&t.Usage), t.Cost}
}

func (t *Total) total() (ledger.Total, error) {
	usage, err := readFigures(t.Usage)
	return ledger.Total{
		Day: t.Day, KeyID: t.KeyID, Key: t.Key, Team: t.Team, Model: t.Model, Attempts: t.Attempts, Usage: usage, Cost: t.Cost,
	}, err
}

// totalList is the answer to a question about usage.
type totalList struct {
	Usage []Total `json:"usage"`
}

func (a *api) usage(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	q := UsageQuery{
		From: query.Get("from"), To: query.Get("to"),
		Team: query.Get("team"), Key: query.Get("key"), Model: query.Get("model"),
	}
	if by := query.Get("by"); by != "" {
		q.By = strings.Split(by, ",")
	}
	totals, err := a.Books.Usage(r.Context(), q)
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	list := totalList{Usage: make([]Total, 0, len(totals))}
	for i := range totals {
		list.Usage = append(list.Usage, ShowTotal(&totals[i]))
	}
	reply(w, http.StatusOK, list)
}

// Balance is where a budget stands, as the API and `--json` show it.
type Balance struct {
	Account  string      `json:"account"` // "key/key_0123456789abcdef", "team/research"
	Per      string      `json:"per"`
	Timezone string      `json:"timezone"`
	Limit    abi.NanoUSD `json:"limit_nano_usd"`
	Spent    abi.NanoUSD `json:"spent_nano_usd"`
	Reserved abi.NanoUSD `json:"reserved_nano_usd"`
	Left     abi.NanoUSD `json:"left_nano_usd"` // negative after an overrun
	Since    *time.Time  `json:"since,omitempty"`
	Resets   *time.Time  `json:"resets,omitempty"` // absent: never
}

// ShowBalance makes a balance presentable.
func ShowBalance(b *ledger.Balance) Balance {
	return Balance{
		Account: b.Account.String(), Per: b.Period.String(), Timezone: b.Zone, Limit: b.Limit, Spent: b.Spent,
		Reserved: b.Reserved, Left: b.Left(), Since: timeOrNil(b.Start), Resets: timeOrNil(b.End),
	}
}

func (b *Balance) balance() ledger.Balance {
	kind, id, _ := strings.Cut(b.Account, "/")
	read := ledger.Balance{
		Account: ledger.Account{ID: id}, Zone: b.Timezone, Start: timeOrZero(b.Since), End: timeOrZero(b.Resets),
		Limit: b.Limit, Spent: b.Spent, Reserved: b.Reserved,
	}
	for k := ledger.KeyAccount; k.String() != "unknown"; k++ {
		if k.String() == kind {
			read.Account.Kind = k
		}
	}
	read.Period, _ = abi.ParsePeriod(b.Per)
	return read
}

// balanceList is the answer to a question about budgets.
type balanceList struct {
	Budgets []Balance `json:"budgets"`
}

func (a *api) keyBalances(w http.ResponseWriter, r *http.Request) {
	balances, err := a.Books.KeyBalances(r.Context(), r.PathValue("key"))
	a.replyBalances(w, r, balances, err)
}

func (a *api) teamBalances(w http.ResponseWriter, r *http.Request) {
	balances, err := a.Books.TeamBalances(r.Context(), r.PathValue("team"))
	a.replyBalances(w, r, balances, err)
}

func (a *api) replyBalances(w http.ResponseWriter, r *http.Request, balances []ledger.Balance, err error) {
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	list := balanceList{Budgets: make([]Balance, 0, len(balances))}
	for i := range balances {
		list.Budgets = append(list.Budgets, ShowBalance(&balances[i]))
	}
	reply(w, http.StatusOK, list)
}

// Verification is the outcome of a comparison of the journal with the balances, as the API and `--json` show it.
type Verification struct {
	OK       bool     `json:"ok"` // no problems
	Segments int64    `json:"segments"`
	Entries  int64    `json:"entries"` // settled attempts
	Open     int64    `json:"open"`    // attempts that are not settled yet
	Windows  int64    `json:"windows"` // balances that were compared
	Partial  int64    `json:"partial"` // of them, those that reach back beyond the journal
	Problems []string `json:"problems"`
}

// ShowVerification makes a verification presentable.
func ShowVerification(v *ledger.Verification) Verification {
	return Verification{
		len(v.Problems) == 0, v.Segments, v.Entries, v.Open, v.Windows, v.Partial, append([]string{}, v.Problems...),
	}
}

func (v *Verification) verification() ledger.Verification {
	return ledger.Verification{
		Segments: v.Segments, Entries: v.Entries, Open: v.Open, Windows: v.Windows, Partial: v.Partial, Problems: v.Problems,
	}
}

func (a *api) verifyLedger(w http.ResponseWriter, r *http.Request) {
	found, err := a.Books.Verify(r.Context())
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	if len(found.Problems) > 0 {
		a.Log.Error("the ledger's journal and its balances differ", "problems", found.Problems)
	}
	reply(w, http.StatusOK, ShowVerification(&found))
}
