package ledger

import (
	"fmt"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Admission is one exchange's standing with the ledger. The caller sets the first fields and keeps them as they are
// until Leave; then it may be used for another exchange.
type Admission struct {
	Levels []Level // whose limits and budgets the exchange counts against
	Input  int64   // tokens of the prompt, as estimated
	Output int64   // tokens of the answer, as estimated

	// Rates are the tightest rate limits after Admit: also after one that refused.
	Rates Rates

	accounts []*account                  // of Levels, by the same index; nil where nothing is counted
	took     []([numRates]time.Duration) // what each of them was moved by, by the same index
}

// Refusal says which limit or budget has no room. Exactly one of Limit and Budget counts.
type Refusal struct {
	Level      Level
	Limit      abi.Limit // NumLimits: it is a budget
	Budget     abi.Budget
	Spent      abi.NanoUSD // of Budget
	Reserved   abi.NanoUSD // of Budget
	Wanted     abi.NanoUSD // what was to be reserved
	Resets     time.Time   // when the budget begins anew; zero: never
	RetryAfter time.Duration
}

// Error says what has no room, for records and logs.
func (r *Refusal) Error() string {
	if r.Limit != abi.NumLimits {
		return fmt.Sprintf("the limit %s of %s is used up", r.Limit, r.Level.Account)
	}
	return fmt.Sprintf("the budget of %s per %s of %s has no room for %s: %s are spent, %s reserved",
		r.Budget.Amount, r.Budget.Period, r.Level.Account, r.Wanted, r.Spent, r.Reserved)
}

// Admit counts the exchange's request against the limits of all its levels, if all of them have room; else it counts
// nothing and says which has none. An admitted exchange leaves with Leave. The error means that an account could not
// be read.
func (l *Ledger) Admit(a *Admission) (*Refusal, error) {
	a.Rates = Rates{}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.pinAll(a); err != nil {
		return nil, err
	}
	now := l.rateTime()
	if no := a.tooMuch(now); no != nil {
		a.show(now)
		a.unpin()
		return no, nil
	}
	for i, account := range a.accounts {
		if account == nil {
			continue
		}
		account.concurrent++
		if a.take(i, now) {
			l.accounts.move(account)
		}
	}
	a.show(now)
	return nil, nil
}

// pinAll finds the accounts of all levels that count anything.
func (l *Ledger) pinAll(a *Admission) error {
	a.accounts, a.took = a.accounts[:0], a.took[:0]
	for i := range a.Levels {
		level := &a.Levels[i]
		var account *account
		if level.Limits != nil && *level.Limits != (abi.Limits{}) || len(level.Budgets) > 0 {
			var err error
			if account, err = l.pin(level.Account); err != nil {
				a.unpin()
				return err
			}
		}
		a.accounts = append(a.accounts, account)
		a.took = append(a.took, [numRates]time.Duration{})
	}
	return nil
}

func (a *Admission) unpin() {
	for _, account := range a.accounts {
		if account != nil {
			account.pins--
		}
	}
	clear(a.accounts)
	a.accounts = a.accounts[:0]
}

// tooMuch finds the limit without room that takes the longest to have some.
func (a *Admission) tooMuch(now int64) (no *Refusal) {
	for i, account := range a.accounts {
		if account == nil || a.Levels[i].Limits == nil {
			continue
		}
		limits := a.Levels[i].Limits
		if most := limits[abi.Concurrent]; most > 0 && account.concurrent >= most && no == nil {
			no = &Refusal{Level: a.Levels[i], Limit: abi.Concurrent, RetryAfter: time.Second}
		}
		for r := range numRates {
			if limits[r] == 0 {
				continue
			}
			rate := &rates[r]
			took := span(a.units(rate.unit, limits[r]), limits[r], rate.period)
			if wait := account.rates[r].wait(now, took, rate.period); wait > 0 && (no == nil || wait > no.RetryAfter) {
				no = &Refusal{Level: a.Levels[i], Limit: r, RetryAfter: wait}
			}
		}
	}
	return no
}

// units is how much the request takes of a rate, as estimated. One that is larger than the whole limit takes all of
// it: else it could never pass.
func (a *Admission) units(u unit, limit int64) int64 {
	return min(units(u, a.Input, a.Output), limit)
}

func units(u unit, input, output int64) int64 {
	switch u {
	case perToken:
		return input + output
	case perInputToken:
		return input
	case perOutputToken:
		return output
	}
	return 1
}

// take moves the rates of a level by what the request takes, and reports whether there are any.
func (a *Admission) take(i int, now int64) (moved bool) {
	limits := a.Levels[i].Limits
	if limits == nil {
		return false
	}
	for r := range numRates {
		if limits[r] == 0 {
			continue
		}
		took := span(a.units(rates[r].unit, limits[r]), limits[r], rates[r].period)
		a.accounts[i].rates[r].move(now, took)
		a.took[i][r] = time.Duration(took)
		moved = true
	}
	return moved
}

// show notes where the tightest rates stand.
func (a *Admission) show(now int64) {
	for i, account := range a.accounts {
		if account == nil || a.Levels[i].Limits == nil {
			continue
		}
		for r := range numRates {
			if limit := a.Levels[i].Limits[r]; limit > 0 {
				left, reset := account.rates[r].remaining(now, limit, rates[r].period)
				a.Rates.of(rates[r].unit).note(limit, left, reset)
			}
		}
	}
}

// Leave ends an admission: what was estimated of tokens is corrected to what was used. It does nothing for one that
// was refused, or left before.
func (l *Ledger) Leave(a *Admission, used *abi.Usage) {
	if len(a.accounts) == 0 {
		return
	}
	input, output := used.InputTokens(), used.OutputTokens()
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.rateTime()
	for i, account := range a.accounts {
		if account == nil {
			continue
		}
		account.concurrent--
		limits := a.Levels[i].Limits
		for r, took := range a.took[i] {
			rate := &rates[r]
			if limits == nil || limits[r] == 0 || rate.unit == perRequest {
				continue
			}
			// A whole period is the most that one request can take: else a single one could shut a key out for days.
			truly := span(min(units(rate.unit, input, output), limits[r]), limits[r], rate.period)
			if truly != int64(took) {
				account.rates[r].move(now, truly-int64(took))
				l.accounts.move(account)
			}
		}
	}
	a.unpin()
}
