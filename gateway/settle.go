package gateway

import (
	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/ledger"
)

// settle books the latest attempt and ends the admission: on every way out, once. What nothing was found out about,
// because the gateway itself broke, is booked like an attempt that was lost.
func (x *exchange) settle() {
	if x.reservation.Open() {
		if x.settlement.Basis == ledger.Pending {
			x.settlement = x.lost()
		}
		x.book()
	}
	x.gateway.ledger.Leave(&x.admission, &x.record.Usage)
}

// settleFailed books an attempt that brought no answer.
func (x *exchange) settleFailed(class abi.ErrorClass) {
	if !x.reservation.Open() {
		return
	}
	switch {
	case class != abi.Ambiguous:
		x.settlement = ledger.Settlement{Basis: ledger.Unbilled}
	case x.lostContent():
		x.settlement = x.lostAnswer()
	default:
		x.settlement = x.lost()
	}
	x.book()
}

// lostContent reports whether an attempt is known to have made something that no client will see: the provider bills
// it, unlike one that never answered.
func (x *exchange) lostContent() bool {
	return x.framing != formats.Whole && x.stream.events > 0 && (x.meter.UsageSeen || x.meter.ContentBytes > 0)
}

// lostAnswer prices what a lost attempt is known to have made. It is not the answer's usage, so the record forgets it.
func (x *exchange) lostAnswer() ledger.Settlement {
	usage := x.used(ledger.Interrupted)
	x.priceUsage(&usage)
	s := ledger.Settlement{Basis: ledger.Ambiguous, Cost: x.record.Cost, Usage: usage}
	x.record.Priced, x.record.Cost = false, 0
	x.record.Breakdown, x.record.Policies[abi.PriceResponse] = [abi.NumDimensions]abi.NanoUSD{}, ""
	return s
}

// lost is what is booked for an attempt of which nobody knows whether the provider billed it.
func (x *exchange) lost() ledger.Settlement {
	s, booking := ledger.Settlement{Basis: ledger.Ambiguous}, x.snapshot.Config.Ledger.Ambiguous
	if x.trip.Canceled() {
		s.Basis, booking = ledger.Interrupted, x.snapshot.Config.Ledger.ClientGone
	}
	switch booking {
	case config.BookReservation:
		s.Cost = x.reservation.Reserved
	case config.BookInput, config.BookRelayed: // nothing was relayed
		s.Cost = x.reservation.Input
	}
	return s
}

// book settles the reservation, and notes in the record what the attempt came to. One that passed unbooked came to
// nothing that the ledger knows of. One that the gateway broke before it was sent is not in the record.
func (x *exchange) book() {
	r, s, unbooked := &x.reservation, x.settlement, x.reservation.Unbooked()
	x.gateway.ledger.Settle(r, s)
	x.settlement = ledger.Settlement{}
	if unbooked {
		x.record.Unbooked = true
		return
	}
	if n := len(x.record.Attempts); n > 0 && n == r.Attempt {
		a := &x.record.Attempts[n-1]
		a.Reserved, a.Cost, a.Basis = r.Reserved, s.Cost, s.Basis.String()
	}
	x.record.Booked += s.Cost
	x.record.Overrun = x.record.Overrun || r.Flags&ledger.Overrun != 0
}

var _ Ledger = (*ledger.Ledger)(nil)
