package gateway

import (
	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
)

// price finds out what the answer used, and asks the policies what that costs. Without a verdict the tariff decides;
// without a tariff the cost stays unknown. It sets what settle books.
func (x *exchange) price() {
	if !x.reservation.Open() || x.record.Provider == "" {
		return
	}
	if x.refusedByProvider() {
		x.settlement.Basis = ledger.Unbilled
		return
	}
	basis, booking := x.basis()
	usage := x.used(basis)
	if booking == config.BookInput || booking == config.BookNothing {
		usage[abi.Output], usage[abi.Reasoning], usage[abi.AudioOutput], usage[abi.ImageOutput] = 0, 0, 0, 0
	}
	x.record.Usage, x.record.UsageSource = usage, sourceOf[basis]
	x.priceUsage(&usage)
	x.settlement = ledger.Settlement{Basis: basis, Cost: x.record.Cost, Usage: usage}
	switch booking {
	case config.BookReservation:
		x.settlement.Cost = x.reservation.Reserved
	case config.BookNothing:
		x.settlement.Cost = 0
	}
}

// refusedByProvider reports whether the answer is the provider's no, which passed as it was, and nothing else: it made
// nothing for it. It may stand behind a good status, as the whole answer or as a stream's first event.
func (x *exchange) refusedByProvider() bool {
	n := len(x.record.Attempts)
	return n > 0 && x.record.Attempts[n-1].Class != abi.NoError && !x.meter.UsageSeen && x.meter.ContentEvents == 0
}

func succeeded(status int) bool { return status >= 200 && status <= 299 }

// sourceOf is how the record calls what usage rests on.
var sourceOf = [...]record.UsageSource{
	ledger.Authoritative: record.Authoritative,
	ledger.Estimated:     record.Estimated,
	ledger.Interrupted:   record.UsageUntilCut,
}

// basis says what the usage rests on, and what is booked where it is not known.
func (x *exchange) basis() (ledger.Basis, config.Booking) {
	switch {
	case x.meter.UsageFinal:
		return ledger.Authoritative, config.BookRelayed
	case x.record.Outcome == record.ClientGone:
		return ledger.Interrupted, x.snapshot.Config.Ledger.ClientGone
	case !x.meter.Complete():
		return ledger.Interrupted, config.BookRelayed
	}
	return ledger.Estimated, config.BookRelayed
}

// used is the usage by what it rests on: the provider's figures as far as there are any, else the input as estimated
// and what was relayed.
func (x *exchange) used(basis ledger.Basis) abi.Usage {
	if basis == ledger.Authoritative {
		x.gateway.ledger.ObserveInput(x.step.Model, len(x.ctx.Request.Body()), x.meter.Usage.InputTokens())
		return x.meter.Usage
	}
	usage := x.meter.Relayed()
	if !x.meter.UsageSeen {
		usage[abi.Input] = x.estimateInput(x.step)
	}
	return usage
}

// priceUsage prices usage into the record.
func (x *exchange) priceUsage(usage *abi.Usage) {
	call := &x.pricing
	*call = abi.Pricing{
		Request: &x.facts, Identity: x.auth.Identity, Phase: abi.Final,
		Provider: x.step.Provider.Name, Model: x.step.Model, Usage: *usage,
	}
	if x.step.Tariff != nil {
		call.Price = x.step.Tariff.Row(x.reservation.Time, usage.InputTokens())
	}
	if x.askPrice() == abi.Given {
		x.record.Policies[abi.PriceResponse] = call.Policy
		x.record.Priced, x.record.Cost, x.record.Breakdown = true, call.Cost, call.Breakdown
	} else if call.Price != nil {
		x.record.Priced = true
		x.record.Cost, x.record.Breakdown = call.Price.Cost(usage)
	}
}

// askPrice asks the policies. A panic on the way there counts as a policy that failed: what was used is known, and is
// booked by the tariff.
func (x *exchange) askPrice() (answer abi.Answer) {
	defer func() {
		if p := recover(); p != nil {
			x.fail(record.Broken, formats.CodeInternalError, panicked(p))
			answer = abi.Failed
		}
	}()
	return x.snapshot.Policies.PriceResponse(&x.pricing)
}
