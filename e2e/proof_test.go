//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/ledger"
)

// size is how much of something a proof does: little in `make e2e`, all of it in `make prove`.
func size(little, all int) int {
	if full {
		return all
	}
	return little
}

// tillConfig is a gateway in front of one till. Half a nano-dollar in the price makes every cost a matter of rounding.
const tillConfig = `
providers:
  - {name: till, format: openai, base_url: "{{.Provider}}/v1", api_key: "${E2E_PROVIDER_KEY}"}
models:
  - {alias: till, provider: till, model: till, price: {input: 0.0375, output: 0.6}}
`

// Prices of tillConfig, in nano-dollars per million tokens.
const (
	tillInput  = 37_500_000
	tillOutput = 600_000_000
)

// tillCost is what tokens cost there: rounded once, half up.
func tillCost(input, output int64) abi.NanoUSD {
	return abi.NanoUSD((input*tillInput + output*tillOutput + 500_000) / 1_000_000)
}

// order is a request to a till. Written out, all orders whose numbers have as many digits are of one length.
type order struct {
	User      string `json:"user"` // who asks
	Number    int64  `json:"seed"` // which of the user's orders it is
	MaxTokens int64  `json:"max_tokens"`
	Stream    bool   `json:"stream"`
}

func (o *order) body() string {
	return `{"model":"till","user":"` + o.User + `","seed":` + strconv.FormatInt(o.Number, 10) +
		`,"max_tokens":` + strconv.FormatInt(o.MaxTokens, 10) + `,"stream":` + strconv.FormatBool(o.Stream) +
		`,"messages":[{"role":"user","content":"the usual, please"}]}`
}

// place sends an order and reads the whole answer.
func (g *gateway) place(c *http.Client, key string, o *order) (*answer, error) {
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	resp, err := c.Do(g.request(key, chatPath, o.body()).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return &answer{resp.StatusCode, resp.Header, string(text)}, err
}

// whole reports whether an answer is a good one, and came to its end.
func (a *answer) whole(o *order) bool {
	return a.status == http.StatusOK && (!o.Stream || strings.Contains(a.body, "[DONE]"))
}

// callers is a client with a connection for each of so many callers.
func callers(t *testing.T, n int) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: n}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// books is the admin API of the gateway, by the client that its commands use.
func (g *gateway) books() *admin.Client {
	return admin.NewClient(strings.TrimPrefix(g.admin, "http://"), adminToken)
}

// issue makes a key.
func (g *gateway) issue(w identity.Wish) (id, secret string) {
	g.t.Helper()
	key, secret, err := g.books().Issue(g.t.Context(), w)
	must(g.t, err)
	return key.ID, secret
}

// total is a budget that never begins anew: no midnight comes into a proof.
func total(amount abi.NanoUSD) []abi.Budget {
	return []abi.Budget{{Amount: amount, Period: abi.InTotal}}
}

// balance is where the one budget of an account stands.
func (g *gateway) balance(account string) ledger.Balance {
	g.t.Helper()
	kind, name, _ := strings.Cut(account, "/")
	ask := g.books().KeyBalances
	if kind == ledger.TeamAccount.String() {
		ask = g.books().TeamBalances
	}
	balances, err := ask(g.t.Context(), name)
	must(g.t, err)
	for _, b := range balances {
		if b.Account.String() == account {
			return b
		}
	}
	g.t.Fatalf("%s has no budget: %+v", account, balances)
	return ledger.Balance{}
}

// attempt is a line of `ledger export --json`, as far as the proofs look at it.
type attempt struct {
	Request  string           `json:"request_id"`
	Time     time.Time        `json:"time"`
	KeyID    string           `json:"key_id"`
	Team     string           `json:"team"`
	State    string           `json:"state"`
	Basis    string           `json:"basis"`
	Flags    []string         `json:"flags"`
	Reserved abi.NanoUSD      `json:"reserved_nano_usd"`
	Cost     abi.NanoUSD      `json:"cost_nano_usd"`
	Usage    map[string]int64 `json:"usage"`
}

// export runs `ledger export --json`.
func (g *gateway) export(args ...string) (all []attempt) {
	g.t.Helper()
	file := filepath.Join(g.t.TempDir(), "ledger.jsonl")
	g.mustCommand(append([]string{"ledger", "export", "--json", "-o", file}, args...)...)
	text, err := os.ReadFile(file)
	must(g.t, err)
	d := json.NewDecoder(bytes.NewReader(text))
	for {
		var a attempt
		if err := d.Decode(&a); err == io.EOF {
			return all
		} else if err != nil {
			g.t.Fatal(err)
		}
		all = append(all, a)
	}
}

// costs sums up what attempts cost, by what name returns.
func costs(all []attempt, name func(*attempt) string) map[string]abi.NanoUSD {
	sums := map[string]abi.NanoUSD{}
	for i := range all {
		sums[name(&all[i])] += all[i].Cost
	}
	return sums
}

func byKey(a *attempt) string  { return a.KeyID }
func byTeam(a *attempt) string { return a.Team }

// verification is what `ledger verify --json` prints, as far as the proofs look at it.
type verification struct {
	OK       bool     `json:"ok"`
	Entries  int64    `json:"entries"`
	Open     int64    `json:"open"`
	Windows  int64    `json:"windows"`
	Problems []string `json:"problems"`
}

// verify runs `ledger verify --json`: the ledger has to be in order, and to have nothing open.
func (g *gateway) verify() verification {
	g.t.Helper()
	var v verification
	out, err := g.command("ledger", "verify", "--json")
	if jsonErr := json.Unmarshal([]byte(out), &v); err != nil || jsonErr != nil || !v.OK || v.Open != 0 {
		g.t.Errorf("ledger verify: %v: %s", err, out)
	}
	return v
}

// figure reads a metric that has no labels.
func (g *gateway) figure(name string) float64 {
	g.t.Helper()
	for line := range strings.Lines(g.metrics()) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			must(g.t, err)
			return f
		}
	}
	g.t.Fatalf("there is no metric %s", name)
	return 0
}

// settled waits until no attempt is under way: a stream is settled behind its last byte.
func (g *gateway) settled() {
	g.t.Helper()
	g.until("everything is settled", func() bool { return g.figure("sallyport_ledger_open_reservations") == 0 })
}

// alive fails the test if the process has ended.
func (g *gateway) alive() {
	g.t.Helper()
	select {
	case err := <-g.exited:
		g.t.Fatalf("the gateway ended: %v\n%s", err, g.log)
	default:
	}
}

// median returns the middle one and the largest of some durations.
func median(all []time.Duration) (middle, largest time.Duration) {
	if len(all) == 0 {
		return 0, 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2], sorted[len(sorted)-1]
}

// count counts how often f says each word.
func count[T any](all []T, f func(*T) string) map[string]int {
	words := map[string]int{}
	for i := range all {
		words[f(&all[i])]++
	}
	return words
}

// words writes counts for people, in the order of their names.
func words(counts map[string]int) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		all = append(all, name+" "+strconv.Itoa(counts[name]))
	}
	return strings.Join(all, ", ")
}
