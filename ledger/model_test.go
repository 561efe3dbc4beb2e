package ledger

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"pgregory.net/rapid"
)

// model is the ledger's arithmetic, as plainly as it can be said.
type model struct {
	spent, reserved map[string]abi.NanoUSD // by account, period and its start
	periods         map[string]int64       // the latest period of each budget: time only goes forward
	attempts        int64                  // that were settled
	cost            abi.NanoUSD            // of them
}

// name is the name of the period that holds. One that is used becomes the latest.
func (m *model) name(level *Level, b *abi.Budget, now time.Time, use bool) string {
	budget := fmt.Sprint(level.Account, " ", b.Period, " ", b.Zone())
	start, _ := bounds(b.Period, now, b.Location)
	start = max(start, m.periods[budget])
	if use {
		m.periods[budget] = start
	}
	return fmt.Sprint(budget, " ", start)
}

// machine runs a ledger and its model side by side.
type machine struct {
	t      *rapid.T
	clock  *testutil.Clock
	store  *testutil.Memory
	ledger *Ledger
	model  model
	levels [][]Level // of the callers
	open   []*attempt
	count  int
}

// attempt is an open one, with what the model knows of it.
type attempt struct {
	admission   *Admission
	reservation *Reservation
	names       []string
}

func newMachine(t *rapid.T) *machine {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	organisation := teamLevel("all", abi.Budget{Amount: 60 * dime, Period: abi.PerMonth})
	team := teamLevel("research", abi.Budget{Amount: 25 * dime, Period: abi.PerWeek}, abi.Budget{Amount: 9 * dime, Period: abi.PerDay, Location: berlin})
	m := &machine{
		t: t, clock: testutil.NewClock("2026-03-28T20:00:00Z"), store: newMemory(), // the night of the clocks' change is near
		model: model{spent: map[string]abi.NanoUSD{}, reserved: map[string]abi.NanoUSD{}, periods: map[string]int64{}},
		levels: [][]Level{
			{keyLevel("key_1", abi.Limits{}, abi.Budget{Amount: 5 * dime, Period: abi.PerDay}), team, organisation},
			{keyLevel("key_2", abi.Limits{}, abi.Budget{Amount: 80 * dime, Period: abi.InTotal}), team, organisation},
			{keyLevel("key_3", abi.Limits{}), organisation},
			{keyLevel("key_4", abi.Limits{})},
		},
	}
	m.start(Settings{})
	return m
}

func (m *machine) start(s Settings) {
	l, err := Open(m.t.Context(), Options{Store: m.store, Clock: m.clock.Now, Settings: s, Resident: 2})
	if err != nil {
		m.t.Fatal(err)
	}
	m.ledger = l
}

func (m *machine) reserve(t *rapid.T) {
	levels := m.levels[rapid.IntRange(0, len(m.levels)-1).Draw(t, "caller")]
	amount := abi.NanoUSD(rapid.Int64Range(0, int64(3*dime)).Draw(t, "amount"))
	a := &Admission{Levels: levels}
	if no, err := m.ledger.Admit(a); no != nil || err != nil {
		t.Fatal(no, err)
	}
	m.count++
	at := &attempt{admission: a, reservation: reservation(fmt.Sprint("req_", m.count), amount)}
	fits := true
	for i := range levels {
		for j := range levels[i].Budgets {
			b := &levels[i].Budgets[j]
			name := m.model.name(&levels[i], b, m.clock.Now(), true)
			at.names = append(at.names, name)
			left := b.Amount - m.model.spent[name] - m.model.reserved[name]
			if fits = amount <= left || amount == 0 && m.model.spent[name] <= b.Amount; !fits {
				break
			}
		}
		if !fits {
			break
		}
	}
	no, err := m.ledger.Reserve(a, at.reservation)
	if err != nil || (no == nil) != fits {
		t.Fatalf("reserving %s: %v, %v; the model says %t", amount, no, err, fits)
	}
	if !fits {
		m.ledger.Leave(a, &abi.Usage{})
		return
	}
	for _, name := range at.names {
		m.model.reserved[name] += amount
	}
	m.open = append(m.open, at)
}

func (m *machine) settle(t *rapid.T) {
	if len(m.open) == 0 {
		t.Skip("nothing is open")
	}
	i := rapid.IntRange(0, len(m.open)-1).Draw(t, "attempt")
	cost := abi.NanoUSD(rapid.Int64Range(0, int64(4*dime)).Draw(t, "cost"))
	at := m.open[i]
	m.ledger.Settle(at.reservation, Settlement{Basis: Authoritative, Cost: cost})
	if rapid.Bool().Draw(t, "twice") {
		m.ledger.Settle(at.reservation, Settlement{Basis: Authoritative, Cost: cost})
	}
	m.ledger.Leave(at.admission, &abi.Usage{})
	m.booked(at, cost)
	m.open = append(m.open[:i], m.open[i+1:]...)
}

func (m *machine) booked(at *attempt, cost abi.NanoUSD) {
	for _, name := range at.names {
		m.model.reserved[name] -= at.reservation.Reserved
		m.model.spent[name] += cost
	}
	m.model.attempts++
	m.model.cost += cost
}

func (m *machine) jump(t *rapid.T) {
	hours := rapid.IntRange(-30, 60).Draw(t, "hours")
	m.clock.Add(time.Duration(hours) * time.Hour)
}

func (m *machine) restart(t *rapid.T) {
	for len(m.open) > 0 {
		m.settle(t)
	}
	if err := m.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	m.start(Settings{})
}

// kill abandons the ledger: what is open is booked as it was reserved.
func (m *machine) kill(t *rapid.T) {
	if err := m.ledger.sync(t.Context()); err != nil { // what was settled is known to be written
		t.Fatal(err)
	}
	old := m.ledger
	m.store = m.store.Snapshot()
	for _, at := range m.open {
		m.booked(at, at.reservation.Reserved)
		old.Settle(at.reservation, Settlement{})
	}
	m.open = nil
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	m.start(Settings{})
}

func (m *machine) flush(t *rapid.T) {
	if err := m.ledger.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// agree compares everything.
func (m *machine) agree(t *rapid.T) {
	for i := range m.levels {
		for j := range m.levels[i] {
			level := &m.levels[i][j]
			balances, err := m.ledger.Balances([]Level{*level})
			if err != nil {
				t.Fatal(err)
			}
			for k, b := range balances {
				name := m.model.name(level, &level.Budgets[k], m.clock.Now(), false)
				if b.Spent != m.model.spent[name] || b.Reserved != m.model.reserved[name] {
					t.Fatalf("%s: %s spent and %s reserved; the model says %s and %s",
						name, b.Spent, b.Reserved, m.model.spent[name], m.model.reserved[name])
				}
			}
		}
	}
	if err := m.ledger.check(t.Context()); err != nil || m.ledger.Figures().Discrepancy > 0 {
		t.Fatalf("check: %v, %+v", err, m.ledger.Figures())
	}
}

// verify compares journal, rows and sums of usage, for which all of them are written.
func (m *machine) verify(t *rapid.T) {
	v, err := m.ledger.Verify(t.Context())
	if err != nil || len(v.Problems) > 0 || v.Open != int64(len(m.open)) {
		t.Fatalf("Verify: %+v, %v; %d are open", v, err, len(m.open))
	}
	var attempts int64
	var cost abi.NanoUSD
	err = m.ledger.Totals(t.Context(), "", "", func(total *Total) error {
		attempts += total.Attempts
		cost += total.Cost
		return nil
	})
	if err != nil || attempts != m.model.attempts || cost != m.model.cost {
		t.Fatalf("%d attempts were used for %s, the model says %d for %s: %v", attempts, cost, m.model.attempts, m.model.cost, err)
	}
}

func TestLedgerAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		t.Repeat(map[string]func(*rapid.T){
			"reserve": m.reserve, "settle": m.settle, "jump": m.jump, "restart": m.restart, "kill": m.kill,
			"flush": m.flush, "verify": m.verify, "": m.agree,
		})
		for len(m.open) > 0 {
			m.settle(t)
		}
		m.agree(t)
		m.verify(t)
		if err := m.ledger.Close(); err != nil && !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
	})
}
