package sallyport

import (
	"math/bits"

	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/host"
)

// Pricing is one question of the hook price_response: what an attempt costs at worst, before it is made, and what it
// cost, after it.
type Pricing struct{ Request }

// Identity is who the request belongs to.
func (*Pricing) Identity() Identity { return Identity{} }

// Phase is Estimate before the attempt and Final after it.
func (*Pricing) Phase() PricePhase { return PricePhase(number(abi.FieldPricePhase)) }

// Provider is the provider that answers.
func (*Pricing) Provider() []byte { return text(abi.FieldProvider) }

// ProviderModel is the provider's name of the model. Model is the one that the client sent.
func (*Pricing) ProviderModel() []byte { return text(abi.FieldModel) }

// Usage is how many units of each Dimension are used. It has at least NumDimensions elements, more if the host knows
// more dimensions.
func (*Pricing) Usage() []int64 { return answers.padded(abi.FieldUsage, NumDimensions) }

// Price is what a million units of each Dimension cost, as long as Usage. It is nil if the model has no price.
func (*Pricing) Price() []NanoUSD { return asMoney(answers.padded(abi.FieldPrice, NumDimensions)) }

// Charge books the cost, from 0 to MaxCost. The breakdown says what of it each Dimension contributed; it may be nil,
// and never adds up to more than the cost.
func (*Pricing) Charge(cost NanoUSD, breakdown []NanoUSD) Verdict {
	known := len(breakdown)
	for known >= 4 && breakdown[known-1]|breakdown[known-2]|breakdown[known-3]|breakdown[known-4] == 0 {
		known -= 4
	}
	for known > 0 && breakdown[known-1] == 0 {
		known-- // an older host knows fewer dimensions
	}
	if v := verdict(abi.FieldCost, host.SetInt(abi.FieldCost, int64(cost))); v != given || known == 0 {
		return v
	}
	return verdict(abi.FieldCostBreakdown, host.SetInts(abi.FieldCostBreakdown, asNumbers(breakdown[:known])))
}

// perMillion is how many units a price is for.
const perMillion = 1_000_000

// Cost prices usage by a row of prices per million units, exactly: the sum of the products, rounded once, half up. It
// fills breakdown, as far as that is long, with each dimension's part, rounded down; what rounding leaves over goes to
// the largest part, so that the parts add up to the cost. Numbers below 0 count as 0. A cost above MaxCost is MaxCost,
// without a breakdown if its parts add up to more.
func Cost(usage []int64, price []NanoUSD, breakdown []NanoUSD) NanoUSD {
	clear(breakdown)
	sum := millionths{low: perMillion / 2}
	var known, unknown NanoUSD
	largest := 0
	priced := min(len(usage), len(price))
	for d := 0; d < priced; d++ {
		if d+4 <= priced && usage[d]|usage[d+1]|usage[d+2]|usage[d+3] == 0 {
			d += 3 // most dimensions are not used, and a guest's loop is slower than what is in it
			continue
		}
		if usage[d] <= 0 || price[d] <= 0 {
			continue
		}
		high, low := bits.Mul64(uint64(usage[d]), uint64(price[d]))
		product := millionths{low: low, over: high != 0}
		sum.add(product)
		part := product.floor()
		if d >= len(breakdown) {
			unknown += part
			continue
		}
		breakdown[d] = part
		known += part
		if part > breakdown[largest] {
			largest = d
		}
	}
	cost := sum.floor()
	switch rest := cost - known - unknown; {
	case rest < 0:
		clear(breakdown) // of a cost that was cut, no part is known
	case len(breakdown) > 0:
		breakdown[largest] += rest
	}
	return cost
}

// millionths is an exact amount in millionths of a nano-dollar. What 64 bits do not hold is over 18,000 dollars, more
// than MaxCost, so that how much more does not matter: no division by 128 bits, which guests are slow at.
type millionths struct {
	low  uint64
	over bool
}

func (m *millionths) add(n millionths) {
	low, carry := bits.Add64(m.low, n.low, 0)
	m.low, m.over = low, m.over || n.over || carry != 0
}

// floor is the amount in whole nano-dollars, up to MaxCost.
func (m millionths) floor() NanoUSD {
	if m.over {
		return MaxCost
	}
	return NanoUSD(min(m.low/perMillion, uint64(MaxCost)))
}
