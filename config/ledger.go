package config

import (
	"fmt"
	"slices"
	"time"
)

// Ledger says how money is kept: what is reserved before an attempt, what is booked when nobody knows what it cost, and
// how much of that has to be safe before the attempt leaves.
type Ledger struct {
	Durability    Durability
	Estimate      Estimate
	AssumedOutput int64 // output tokens assumed of a request that states no maximum; default 4096
	InjectMaximum bool  // that assumption is also put into the request; default false
	Unpriced      Unpriced
	OnFailure     OnFailure

	Crash      Booking // for an attempt that was open when the process died; default BookReservation
	Ambiguous  Booking // for an attempt that failed and may have been billed; default BookInput
	ClientGone Booking // for an attempt whose client left; default BookRelayed

	Retention time.Duration // how long the journal's rows are kept; default 400 days
}

// Durability says what the row of a reservation has to survive before its attempt leaves.
type Durability uint8

// The durabilities. The first is the default.
const (
	Process Durability = iota // the end of the process
	Power                     // a power failure: the row is synced to the disk
)

// String returns the durability's name, as in policies.yaml.
func (d Durability) String() string { return nameOf(d, "process", "power") }

// Estimate says how many input tokens a request is taken for before it is sent.
type Estimate uint8

// The estimates. The first is the default.
const (
	Learned Estimate = iota // the body's bytes times the largest ratio of tokens to bytes that was seen of the model
	Bound                   // one token per byte
)

// String returns the estimate's name, as in policies.yaml.
func (e Estimate) String() string { return nameOf(e, "learned", "bound") }

// Unpriced says what becomes of a request for a model without a price that a budget applies to.
type Unpriced uint8

// The answers. The first is the default.
const (
	RefuseUnpriced Unpriced = iota // it is refused
	AllowUnpriced                  // it is charged nothing, and flagged
)

// String returns the answer's name, as in policies.yaml.
func (u Unpriced) String() string { return nameOf(u, "refuse", "allow") }

// OnFailure says what becomes of requests while the ledger cannot be written.
type OnFailure uint8

// The answers. The first is the default.
const (
	RefuseRequests OnFailure = iota // what cannot be booked is refused
	Unbudgeted                      // they are served, and nothing is booked
)

// String returns the answer's name, as in policies.yaml.
func (o OnFailure) String() string { return nameOf(o, "refuse", "unbudgeted") }

// Booking is what is booked when nobody knows what an attempt cost.
type Booking uint8

// The bookings.
const (
	BookReservation Booking = iota // all that was reserved
	BookInput                      // the input
	BookRelayed                    // the input, and the output that was relayed
	BookNothing
)

// String returns the booking's name, as in policies.yaml.
func (b Booking) String() string { return nameOf(b, "reservation", "input", "relayed", "nothing") }

// nameOf returns the name of a value of which there are as many as names.
func nameOf[T ~uint8](value T, names ...string) string {
	if int(value) < len(names) {
		return names[value]
	}
	return "unknown"
}

// Defaults of the ledger, where they are not the zero value.
const (
	defaultAssumedOutput = 4096
	defaultJournal       = 400 * day
)

// Bounds of the ledger's settings.
const (
	minJournal   = day
	maxRetention = 36_500 * day
)

func defaultLedger() Ledger {
	return Ledger{
		AssumedOutput: defaultAssumedOutput, Retention: defaultJournal,
		Crash: BookReservation, Ambiguous: BookInput, ClientGone: BookRelayed,
	}
}

// ledger reads how money is kept.
func (l *loading) ledger(v value) {
	ledger := &l.snapshot.Ledger
	v.object([]field{
		optional("durability", func(v value) { oneOfThese(v, &ledger.Durability, Process, Power) }),
		optional("estimate", func(v value) { oneOfThese(v, &ledger.Estimate, Learned, Bound) }),
		optional("assumed_output_tokens", func(v value) { v.number(&ledger.AssumedOutput, 1, maxTokens) }),
		optional("inject_max_tokens", func(v value) { v.boolean(&ledger.InjectMaximum) }),
		optional("unpriced", func(v value) { oneOfThese(v, &ledger.Unpriced, RefuseUnpriced, AllowUnpriced) }),
		optional("on_failure", func(v value) { oneOfThese(v, &ledger.OnFailure, RefuseRequests, Unbudgeted) }),
		optional("book", func(v value) { v.bookings(ledger) }),
		optional("retention", func(v value) { v.retention(&ledger.Retention, minJournal, maxRetention) }),
	})
}

// bookings reads what is booked when nobody knows what an attempt cost. What was relayed is known only where the
// gateway lived to count it and the provider did not fail.
func (v value) bookings(ledger *Ledger) {
	v.object([]field{
		optional("crash", func(v value) {
			oneOfThese(v, &ledger.Crash, BookReservation, BookInput, BookNothing)
		}),
		optional("ambiguous", func(v value) {
			oneOfThese(v, &ledger.Ambiguous, BookReservation, BookInput, BookNothing)
		}),
		optional("client_gone", func(v value) {
			oneOfThese(v, &ledger.ClientGone, BookReservation, BookInput, BookRelayed, BookNothing)
		}),
	})
}

// oneOfThese reads one of the values by its name.
func oneOfThese[T fmt.Stringer](v value, target *T, values ...T) {
	names := make([]string, len(values))
	for i, value := range values {
		names[i] = value.String()
	}
	if name, ok := v.choice(names...); ok {
		*target = values[slices.Index(names, name)]
	}
}
