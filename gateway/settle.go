package gateway

import (
	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
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
	x.settlement = ledger.Settlement{Basis: ledger.Unbilled}
	if class == abi.Ambiguous {
		x.settlement = x.lost()
	}
	x.book()
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
