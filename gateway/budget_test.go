package gateway

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
)

const (
	callers    = 64
	mostOutput = 20 // what each asks for
)

// callBody is what caller n sends: prompts of many lengths, for the model that bills too much or the honest one.
func callBody(n int, model string) string {
	return fmt.Sprintf(`{"model":%q,"max_tokens":%d,"prompt":%q}`, model, mostOutput, strings.Repeat("a", n*7%200))
}

// worst is what the ledger has to hold for a body.
func worst(estimate config.Estimate, body string) abi.NanoUSD {
	input := len(body)
	if estimate == config.Learned {
		input = (input + 1) / 2
	}
	return abi.NanoUSD(input*270 + mostOutput*1100)
}

// market is a house with two providers: p0, whose usage stays within what was reserved, and p1, which bills ten times
// the output that was asked for. While they are at it they see that the budget holds.
type market struct {
	*house
	client *http.Client
	budget abi.Budget
	over   atomic.Int64 // how often more was spent and reserved than there was
}

func newMarket(t *testing.T, estimate config.Estimate) *market {
	t.Helper()
	m := &market{}
	provide := func(output func(n int) int) string {
		var count atomic.Int64
		return provider(t, func(w http.ResponseWriter, r *http.Request) {
			n := int(count.Add(1))
			if m.left() < 0 {
				m.over.Add(1)
			}
			size, _ := io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}`, size/4, output(n))
		})
	}
	m.house = newHouse(t, formats.OpenAI,
		provide(func(n int) int { return n % (mostOutput + 1) }), provide(func(int) int { return 10 * mostOutput }))
	m.config.Ledger.Estimate = estimate
	m.client = client(t)
	m.client.Transport.(*http.Transport).MaxIdleConnsPerHost = callers
	var sum abi.NanoUSD
	for n := range callers {
		sum += worst(estimate, callBody(n, "m0"))
	}
	m.budget = abi.Budget{Amount: sum / 10, Period: abi.PerMonth}
	m.ids.key.Budgets = []abi.Budget{m.budget}
	m.ids.teams["core"] = &abi.Team{Name: "core", Budgets: []abi.Budget{{Amount: sum, Period: abi.PerMonth}}}
	return m
}

// left is what of the budget may still be reserved.
func (m *market) left() abi.NanoUSD {
	b := m.balance(ledger.KeyAccount, m.ids.key.KeyID, m.budget)
	return b.Left()
}

// rush lets all callers call at once, and returns how many were served and how many refused.
func (m *market) rush(t *testing.T, model func(n int) string) (served, refused int64) {
	t.Helper()
	var yes, no atomic.Int64
	var all sync.WaitGroup
	start := make(chan struct{})
	for n := range callers {
		all.Go(func() {
			<-start
			switch status := m.call(t, callBody(n, model(n))); status {
			case 200:
				yes.Add(1)
			case 429:
				no.Add(1)
			default:
				t.Errorf("status %d", status)
			}
		})
	}
	close(start)
	all.Wait()
	return yes.Load(), no.Load()
}

func (m *market) call(t *testing.T, body string) (status int) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, m.url+"/v1/completions", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := m.client.Do(r)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// inBothEstimates runs a test with either way to estimate a prompt.
func inBothEstimates(t *testing.T, check func(t *testing.T, estimate config.Estimate)) {
	for _, estimate := range []config.Estimate{config.Learned, config.Bound} {
		t.Run(estimate.String(), func(t *testing.T) { check(t, estimate) })
	}
}

// With a budget for a tenth of the callers nothing goes over, and while there is money nobody is refused.
func TestBudgetHoldsOnTheRequestPath(t *testing.T) {
	rounds := 10
	if testing.Short() {
		rounds = 2
	}
	inBothEstimates(t, func(t *testing.T, estimate config.Estimate) {
		for range rounds {
			m := newMarket(t, estimate)
			honest := func(int) string { return "m0" }
			served, refused := m.rush(t, honest)
			entries := m.entries("")
			if served+refused != callers || served == 0 || refused == 0 || len(entries) != int(served) {
				t.Fatalf("%d served, %d refused, %d booked", served, refused, len(entries))
			}
			for n := range callers { // one after the other: the money that is left decides, to the nano-dollar
				body := callBody(n, "m0")
				left, want := m.left(), 200
				if left < worst(estimate, body) {
					want = 429
				}
				if status := m.call(t, body); status != want {
					t.Fatalf("status %d with %s left and %s to hold", status, left, worst(estimate, body))
				}
			}
			m.audited(t, 0)
			if m.left() < 0 || m.over.Load() > 0 {
				t.Errorf("%s of %s are left; it was over %d times", m.left(), m.budget.Amount, m.over.Load())
			}
			m.client.CloseIdleConnections()
			m.shutdown(patience)
		}
	})
}

// A provider that bills more than was reserved is booked as it is and flagged. Nothing else goes over for it: what was
// let through was covered, and nothing is once the money is gone.
func TestOverrunsOnTheRequestPath(t *testing.T) {
	rounds := 5
	if testing.Short() {
		rounds = 1
	}
	inBothEstimates(t, func(t *testing.T, estimate config.Estimate) {
		for range rounds {
			m := newMarket(t, estimate)
			overruns := 0
			for m.left() > 0 {
				before := len(m.entries(""))
				if served, _ := m.rush(t, func(n int) string { return fmt.Sprintf("m%d", n%2) }); served == 0 {
					break
				}
				for _, e := range m.entries("")[before:] {
					if e.Provider == "p1" {
						overruns++
					}
				}
			}
			m.audited(t, overruns)
			if overruns == 0 {
				t.Fatal("nothing went over")
			}
			if status := m.call(t, callBody(0, "m0")); status != 429 {
				t.Errorf("status %d with %s left", status, m.left())
			}
			m.client.CloseIdleConnections()
			m.shutdown(patience)
		}
	})
}

// audited holds every entry against its reservation, all of them against the budget, and the flags against both.
func (m *market) audited(t *testing.T, overruns int) {
	t.Helper()
	var spent, covered abi.NanoUSD
	flagged := 0
	for _, e := range m.entries("") {
		spent += e.Cost
		covered += min(e.Cost, e.Reserved)
		if (e.Flags&ledger.Overrun != 0) != (e.Cost > e.Reserved) || (e.Provider == "p1") != (e.Cost > e.Reserved) || e.Basis != ledger.Authoritative {
			t.Errorf("booked: %+v", e)
		}
		if e.Flags&ledger.Overrun != 0 {
			flagged++
		}
	}
	if covered > m.budget.Amount {
		t.Errorf("attempts for %s were let through on a budget of %s", covered, m.budget.Amount)
	}
	if flagged != overruns || m.ledger.Figures().Overruns != uint64(overruns) {
		t.Errorf("%d overruns, %d flagged, %d counted", overruns, flagged, m.ledger.Figures().Overruns)
	}
	if b := m.balance(ledger.KeyAccount, m.ids.key.KeyID, m.budget); b.Spent != spent || b.Reserved != 0 {
		t.Errorf("the balance is %s and %s reserved, the journal has %s", b.Spent, b.Reserved, spent)
	}
	var booked abi.NanoUSD
	marked := 0
	_, n := m.records.counts()
	for i := range n {
		r := m.records.wait(t, i)
		if booked += r.Booked; r.Overrun {
			marked++
		}
		if r.Outcome != record.Served && r.Outcome != record.Refused {
			t.Errorf("record: %+v", r)
		}
	}
	if booked != spent || marked != overruns {
		t.Errorf("the records have %s booked and %d overruns, want %s and %d", booked, marked, spent, overruns)
	}
}

// What answers teach of a model's tokens counts for the next reservations; a bound needs no lessons.
func TestEstimatesLearn(t *testing.T) {
	const dense = `{"choices":[],"usage":{"prompt_tokens":21,"completion_tokens":1}}`
	for estimate, want := range map[config.Estimate][]int{config.Learned: {14, 21, 21}, config.Bound: {28, 28, 28}} {
		b := newBooks(t, formats.OpenAI)
		b.begin(t, says(200, dense), never)
		b.config.Ledger.Estimate = estimate
		for range want {
			b.send(t, "/v1/chat/completions", chatBody, "")
		}
		for i, e := range b.entries("") {
			if tokens := abi.NanoUSD(want[i]); e.Input != tokens*270 || e.Reserved != tokens*270+4096*1100 {
				t.Errorf("%s, request %d: %d reserved, %d of it for the input; want %d tokens", estimate, i, e.Reserved, e.Input, tokens)
			}
		}
	}
}
