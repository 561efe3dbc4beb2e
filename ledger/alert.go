package ledger

import (
	"fmt"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Alert tells that spending has reached a share of a budget. It is given once for each share of each period; a crash
// right after it may repeat it, under the same ID.
type Alert struct {
	ID      string // of this account, budget, period and share
	Time    time.Time
	Account Account
	Percent int // the share that was reached
	Period  abi.Period
	Zone    string
	Start   time.Time // of the period; zero with InTotal
	Resets  time.Time // zero: never
	Limit   abi.NanoUSD
	Spent   abi.NanoUSD
}

// reached says whether the window has reached a share that was not told of yet: the highest of them.
func (w *window) reached(percent []int, now time.Time) (alert Alert, due bool) {
	share := 0
	for _, p := range percent {
		if p > int(w.alerted) && w.limit > 0 && w.settled >= portion(w.limit, p) {
			share = p
		}
	}
	if share == 0 {
		return Alert{}, false
	}
	w.alerted = uint8(share)
	alert = Alert{
		ID:      fmt.Sprintf("%s/%s/%s/%d/%d", w.account.Account, w.period, w.zone, w.start, share),
		Time:    now,
		Account: w.account.Account, Percent: share, Period: w.period, Zone: w.zone,
		Limit: w.limit, Spent: w.settled,
	}
	if w.period != abi.InTotal {
		alert.Start = time.Unix(w.start, 0).UTC()
	}
	if w.end != 0 {
		alert.Resets = time.Unix(w.end, 0).UTC()
	}
	return alert, true
}

// portion is p percent of an amount, rounded up, without overflow.
func portion(amount abi.NanoUSD, p int) abi.NanoUSD {
	whole, rest := amount/100, amount%100
	return whole*abi.NanoUSD(p) + (rest*abi.NanoUSD(p)+99)/100
}
