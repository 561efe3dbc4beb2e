package gateway

import (
	"fmt"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
)

// reserve holds the worst case of an attempt at a step on all budgets that it counts against. When it returns nil the
// attempt is in the ledger's journal, and may leave. A later attempt for which there is no room ends like one that
// was not made: with what the provider before it said.
func (x *exchange) reserve(step *config.Step) *refusal {
	if x.route.Free() {
		return nil
	}
	if x.body.Background && x.budgeted() {
		return denied(400, formats.CodeBackgroundRefused, "A key with a budget cannot use background responses: what they cost is not known when they are answered.")
	}
	x.describe(step)
	if !x.estimateCost(step) && x.snapshot.Config.Ledger.Unpriced == config.RefuseUnpriced && x.budgeted() {
		return x.orLastWords(denied(403, formats.CodeModelUnpriced, fmt.Sprintf(
			"The model %q has no price, so it cannot be used on a budget.", step.Alias)))
	}
	no, err := x.gateway.ledger.Reserve(&x.admission, &x.reservation)
	switch {
	case err != nil:
		return x.orLastWords(unbookable(err))
	case no != nil:
		return x.orLastWords(x.overBudget(no))
	}
	return nil
}

// orLastWords is a refusal, unless attempts were made: then what the last one came to is told.
func (x *exchange) orLastWords(no *refusal) *refusal {
	if len(x.record.Attempts) == 0 {
		return no
	}
	last := x.exhausted()
	last.cause = fmt.Errorf("%w; the next step was not tried: %s", last.cause, no.Message)
	return last
}

// budgeted reports whether anything that the request counts against has a budget.
func (x *exchange) budgeted() bool {
	for i := range x.admission.Levels {
		if len(x.admission.Levels[i].Budgets) > 0 {
			return true
		}
	}
	return false
}

// describe says in the reservation what the attempt is.
func (x *exchange) describe(step *config.Step) {
	id := x.auth.Identity
	x.reservation.Entry = ledger.Entry{
		ID: x.record.ID, Attempt: int(x.choice.Attempt), KeyID: id.KeyID, Key: id.Name, Team: id.Team,
		Model: x.chain.Name, Provider: step.Provider.Name, ProviderModel: step.Model,
	}
}

// estimateCost prices the worst case of an attempt: its tokens at the dearest price that they can come to. It reports
// whether the model has a price at all, by a policy's word or by its tariff.
func (x *exchange) estimateCost(step *config.Step) (priced bool) {
	r := &x.reservation
	input := x.estimateInput(step)
	call := &x.pricing
	*call = abi.Pricing{
		Request: &x.facts, Identity: x.auth.Identity, Phase: abi.Estimate, Provider: step.Provider.Name, Model: step.Model,
	}
	inputAs, outputAs := abi.Input, abi.Output
	if step.Tariff != nil {
		call.Price = step.Tariff.Dearest(time.Now(), input)
		inputAs, outputAs = x.dearest(call.Price)
	}
	call.Usage[inputAs], call.Usage[outputAs], call.Usage[abi.Requests] = input, x.tokens.output, 1
	answer := x.snapshot.Policies.PriceResponse(call)
	var breakdown [abi.NumDimensions]abi.NanoUSD
	switch {
	case answer == abi.Given:
		r.Reserved, breakdown = call.Cost, call.Breakdown
	case call.Price != nil:
		r.Reserved, breakdown = call.Price.Cost(&call.Usage)
	default:
		r.Flags |= ledger.Unpriced
		return false
	}
	r.Input = breakdown[inputAs]
	if breakdown == ([abi.NumDimensions]abi.NanoUSD{}) {
		r.Input = r.Reserved // a policy that does not say what the input costs: all of it, if need be
	}
	return true
}

// dearest finds the dimensions in which the request's tokens cost the most that they can.
func (x *exchange) dearest(row *abi.PriceRow) (input, output abi.Dimension) {
	input, output = abi.Input, abi.Output
	if x.body.CacheWrite5m && row[abi.CacheWrite5m] > row[input] {
		input = abi.CacheWrite5m
	}
	if x.body.CacheWrite1h && row[abi.CacheWrite1h] > row[input] {
		input = abi.CacheWrite1h
	}
	if row[abi.Reasoning] > row[output] {
		output = abi.Reasoning
	}
	if row[abi.ImageOutput] > row[output] {
		output = abi.ImageOutput // models that have a price for images paint unasked
	}
	if x.body.AudioOutput && row[abi.AudioOutput] > row[output] {
		output = abi.AudioOutput
	}
	return input, output
}

// overBudget is the refusal of an attempt that a budget has no room for.
func (x *exchange) overBudget(no *ledger.Refusal) *refusal {
	b := &no.Budget
	period := "in total"
	if b.Period != abi.InTotal {
		period = "per " + b.Period.String()
	}
	message := fmt.Sprintf("The %s %q has a budget of %s %s: %s are spent, %s are reserved, and this request may cost up to %s.",
		no.Level.Account.Kind, no.Level.Name, b.Amount, period, no.Spent, no.Reserved, no.Wanted)
	if !no.Resets.IsZero() {
		message += fmt.Sprintf(" It begins anew at %s.", no.Resets.Format(time.RFC3339))
	}
	return &refusal{
		Error: &formats.Error{
			Status: formats.BudgetStatus(x.route.Format), Code: formats.CodeBudgetExceeded, Message: message, NoRetry: true,
		},
		outcome: record.Refused, cause: no,
	}
}
