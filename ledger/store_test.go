package ledger

import (
	"errors"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/testutil"
)

func newMemory() *testutil.Memory { return testutil.NewMemory() }

// dime is the unit of the tests' money.
const dime = abi.NanoUSD(100_000_000)

// opened opens a ledger on a store for the length of a test. Without a clock it is always the same moment.
func opened(t testing.TB, store Store, c *testutil.Clock, settings Settings) *Ledger {
	t.Helper()
	if c == nil {
		c = testutil.NewClock("2026-11-21T10:00:00Z")
	}
	l, err := Open(t.Context(), Options{Store: store, Settings: settings, Clock: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, ErrUnavailable) {
			t.Error(err)
		}
	})
	return l
}

// keyLevel is the level of a key.
func keyLevel(id string, limits abi.Limits, budgets ...abi.Budget) Level {
	return Level{Account: Account{KeyAccount, id}, Name: id, Limits: &limits, Budgets: budgets}
}

func teamLevel(id string, budgets ...abi.Budget) Level {
	return Level{Account: Account{TeamAccount, id}, Name: id, Budgets: budgets}
}

// admitted admits an exchange that nothing refuses.
func admitted(t testing.TB, l *Ledger, levels ...Level) *Admission {
	t.Helper()
	a := &Admission{Levels: levels}
	if no, err := l.Admit(a); no != nil || err != nil {
		t.Fatalf("Admit: %v, %v", no, err)
	}
	return a
}

// reservation is one of an amount.
func reservation(id string, amount abi.NanoUSD) *Reservation {
	return &Reservation{Entry: Entry{
		ID: id, Attempt: 1, KeyID: "key_1", Key: "ci", Team: "research", Model: "coding", Provider: "openai",
		ProviderModel: "gpt", Reserved: amount, Input: amount / 4,
	}}
}

// verified fails the test unless the ledger's journal and balances agree.
func verified(t testing.TB, l *Ledger) Verification {
	t.Helper()
	v, err := l.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range v.Problems {
		t.Error(p)
	}
	if err := l.check(t.Context()); err != nil {
		t.Error(err)
	}
	if n := l.Figures().Discrepancy; n > 0 {
		t.Errorf("%d discrepancies", n)
	}
	return v
}

// spent is what stands in the first budget of a level.
func spent(t testing.TB, l *Ledger, level Level) (settled, reserved abi.NanoUSD) {
	t.Helper()
	b, err := l.Balances([]Level{level})
	if err != nil || len(b) == 0 {
		t.Fatalf("Balances: %v, %v", b, err)
	}
	return b[0].Spent, b[0].Reserved
}
