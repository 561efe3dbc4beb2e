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

// book settles the reservation, and notes in the record what the attempt came to.
func (x *exchange) book() {
	r := &x.reservation
	unbooked := r.Unbooked()
	x.gateway.ledger.Settle(r, x.settlement)
	if n := len(x.record.Attempts); n > 0 {
		a := &x.record.Attempts[n-1]
		a.Reserved, a.Cost, a.Basis = r.Reserved, x.settlement.Cost, x.settlement.Basis.String()
	}
	x.record.Booked += x.settlement.Cost
	x.record.Overrun = x.record.Overrun || r.Flags&ledger.Overrun != 0
	x.record.Unbooked = x.record.Unbooked || unbooked
	x.settlement = ledger.Settlement{}
}

var _ Ledger = (*ledger.Ledger)(nil)
