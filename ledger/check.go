package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/sallyport-dev/sallyport/abi"
)

// check holds the balances against what they are the sums of: what each window has reserved against its open
// reservations, and what was settled in it since the last check against the journal. A difference is counted and
// told.
func (l *Ledger) check(ctx context.Context) error {
	l.busy.Lock()
	defer l.busy.Unlock()
	l.mu.Lock()
	number, sealed := l.seal()
	settled := l.windowsNow()
	l.report("what is reserved is not the sum of the open reservations", l.checkReserved())
	l.mu.Unlock()
	if err := l.await(ctx, sealed); err != nil {
		return err
	}
	sums, err := l.settledSince(ctx, l.books.checked+1, number)
	if err != nil {
		return err
	}
	l.books.checked = number
	l.report("what is settled is not what the journal says", checkSettled(settled, sums))
	return nil
}

// windowsNow returns what was settled in each window in memory. The mutex is held.
func (l *Ledger) windowsNow() map[*window]abi.NanoUSD {
	settled := map[*window]abi.NanoUSD{}
	for _, a := range l.accounts.resident {
		for _, w := range a.windows {
			settled[w] = w.settled
		}
	}
	return settled
}

// settledSince sums up the settlements in a range of segments, by their shares.
func (l *Ledger) settledSince(ctx context.Context, from, to uint64) (map[string]abi.NanoUSD, error) {
	sums := map[string]abi.NanoUSD{}
	err := l.store.Segments(ctx, from, func(number uint64, segment []byte) error {
		if number > to {
			return errEnough
		}
		skimSegment(segment, func(share []byte, cost abi.NanoUSD) { sums[string(share)] += cost })
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, fmt.Errorf("reading the journal: %w", err)
	}
	return sums, nil
}

// checkSettled finds the windows in which something else was settled since the last check than the journal says.
func checkSettled(settled map[*window]abi.NanoUSD, sums map[string]abi.NanoUSD) (wrong []*window) {
	var e encoder
	for w, now := range settled {
		e.buf = e.buf[:0]
		e.share(w)
		if w.checkable && now != w.checked+sums[string(e.buf)] {
			wrong = append(wrong, w)
		}
		w.checked, w.checkable = now, true
	}
	return wrong
}

// checkReserved finds the windows whose reserved amount is not the sum of their open reservations. The mutex is held.
func (l *Ledger) checkReserved() (wrong []*window) {
	sums := map[*window]abi.NanoUSD{}
	for _, a := range l.accounts.resident {
		for _, w := range a.windows {
			if w.reserved != 0 {
				sums[w] = 0
			}
		}
	}
	for r := l.open.root.next; r != &l.open.root; r = r.next {
		for _, w := range r.windows {
			sums[w] += r.Reserved
		}
	}
	for w, sum := range sums {
		if w.reserved != sum {
			wrong = append(wrong, w)
		}
	}
	return wrong
}

func (l *Ledger) report(what string, wrong []*window) {
	for _, w := range wrong {
		l.counters.discrepancy.Add(1)
		l.log.Error("the ledger does not add up", "what", what, "account", w.account.String(), "period", w.period.String(), "zone", w.zone)
	}
}
