package gateway

import (
	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/record"
)

// price takes the usage that the provider reported and asks the policies what it costs. Without a verdict the price
// row decides; without a price row the cost stays unknown.
func (x *exchange) price() {
	if x.step == nil || !x.meter.UsageSeen || x.route.Free() || x.record.Provider == "" {
		return
	}
	x.record.Usage = x.meter.Usage
	x.record.UsageSource = record.Authoritative
	if !x.meter.Complete() {
		x.record.UsageSource = record.PartialUsage
	}
	call := &x.pricing
	call.Request, call.Identity, call.Phase = &x.facts, x.auth.Identity, abi.Final
	call.Provider, call.Model = x.step.Provider.Name, x.step.Model
	call.Usage, call.Price = x.meter.Usage, x.step.Price
	answer := x.snapshot.Policies.PriceResponse(call)
	if answer == abi.Given {
		x.record.Policies[abi.PriceResponse] = call.Policy
		x.record.Priced, x.record.Cost, x.record.Breakdown = true, call.Cost, call.Breakdown
	} else if call.Price != nil {
		x.record.Priced = true
		x.record.Cost, x.record.Breakdown = call.Price.Cost(&call.Usage)
	}
}
