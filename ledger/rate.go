package ledger

import (
	"math/bits"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// numRates is how many of the limits are rates: those before Concurrent.
const numRates = abi.Concurrent

// unit is what a rate counts.
type unit uint8

const (
	perRequest unit = iota
	perToken
	perInputToken
	perOutputToken
	numUnits
)

// rates says for each rate what it counts, and over which time.
var rates = [numRates]struct {
	unit   unit
	period time.Duration
}{
	abi.RequestsPerMinute:     {perRequest, time.Minute},
	abi.RequestsPerHour:       {perRequest, time.Hour},
	abi.RequestsPerDay:        {perRequest, 24 * time.Hour},
	abi.TokensPerMinute:       {perToken, time.Minute},
	abi.TokensPerDay:          {perToken, 24 * time.Hour},
	abi.InputTokensPerMinute:  {perInputToken, time.Minute},
	abi.InputTokensPerDay:     {perInputToken, 24 * time.Hour},
	abi.OutputTokensPerMinute: {perOutputToken, time.Minute},
	abi.OutputTokensPerDay:    {perOutputToken, 24 * time.Hour},
}

// arrival is the state of one rate of one account: GCRA's theoretical arrival time, in Unix nanoseconds. It is when
// the account would be back at nothing used: n units move it by n shares of the period, and a request is let in if
// that puts it no further ahead of now than one period. 0 is nothing used.
type arrival int64

// span is the time that n units of limit take up in a period, rounded up so that no rounding lets more through.
func span(n, limit int64, period time.Duration) int64 {
	hi, lo := bits.Mul64(uint64(n), uint64(period))
	lo, carry := bits.Add64(lo, uint64(limit-1), 0)
	hi += carry
	if hi >= uint64(limit) {
		return int64(period) // more than all of it; take bounds n, so only rounding comes here
	}
	quotient, _ := bits.Div64(hi, lo, uint64(limit))
	return int64(quotient)
}

// wait returns how long n units have to wait; 0 if they may pass now.
func (a arrival) wait(now, took int64, period time.Duration) time.Duration {
	return max(0, time.Duration(max(int64(a), now)+took-now)-period)
}

// move notes that units were used (or, with a negative span, that fewer were than was noted).
func (a *arrival) move(now, took int64) { *a = arrival(max(int64(*a), now) + took) }

// remaining returns how many of limit units are left, and how long until all are.
func (a arrival) remaining(now, limit int64, period time.Duration) (left int64, reset time.Duration) {
	ahead := max(0, int64(a)-now)
	if ahead >= int64(period) {
		return 0, time.Duration(ahead)
	}
	hi, lo := bits.Mul64(uint64(int64(period)-ahead), uint64(limit))
	quotient, _ := bits.Div64(hi, lo, uint64(period))
	return int64(quotient), time.Duration(ahead)
}

// Rate is where the tightest limit of its kind stands, for the headers that tell clients of it.
type Rate struct {
	Limit     int64 // 0: there is none
	Remaining int64
	Reset     time.Duration // until all of it is there again
}

// Rates are the tightest limits that a request counts against.
type Rates struct{ Requests, Tokens, Input, Output Rate }

func (r *Rates) of(u unit) *Rate {
	return [numUnits]*Rate{&r.Requests, &r.Tokens, &r.Input, &r.Output}[u]
}

// note takes a limit into account: the one with the fewest units left is shown.
func (r *Rate) note(limit, remaining int64, reset time.Duration) {
	if r.Limit == 0 || remaining < r.Remaining {
		*r = Rate{limit, remaining, reset}
	}
}
