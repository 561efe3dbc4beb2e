package abi

import "math/bits"

// perMillion is what prices are given for.
const perMillion = 1_000_000

// Cost prices usage by the row: the sum over the dimensions of units times price, rounded once, half up. The
// breakdown's parts are rounded down, with what that leaves over added to the largest, so that they sum up to the
// cost. A cost above MaxCost is MaxCost, and has no breakdown where the parts exceed it. Counts and prices below 0
// count as 0.
func (p *PriceRow) Cost(u *Usage) (cost NanoUSD, breakdown [NumDimensions]NanoUSD) {
	var hi, lo uint64 // the exact sum in millionths of a nano-dollar, 128 bits wide
	largest := Dimension(0)
	for d := range NumDimensions {
		h, l := bits.Mul64(uint64(max(u[d], 0)), uint64(max(p[d], 0)))
		breakdown[d] = quotient(h, l)
		if breakdown[d] > breakdown[largest] {
			largest = d
		}
		var carry uint64
		lo, carry = bits.Add64(lo, l, 0)
		hi, carry = bits.Add64(hi, h, carry)
		if carry != 0 {
			hi, lo = ^uint64(0), ^uint64(0)
		}
	}
	lo, carry := bits.Add64(lo, perMillion/2, 0)
	if hi, carry = bits.Add64(hi, 0, carry); carry != 0 {
		hi = ^uint64(0)
	}
	cost = quotient(hi, lo)
	rest := cost
	for _, part := range breakdown {
		rest -= part
	}
	if rest < 0 {
		return cost, [NumDimensions]NanoUSD{}
	}
	breakdown[largest] += rest
	return cost, breakdown
}

// quotient divides by a million, up to MaxCost.
func quotient(hi, lo uint64) NanoUSD {
	if hi >= perMillion {
		return MaxCost
	}
	q, _ := bits.Div64(hi, lo, perMillion)
	return NanoUSD(min(q, uint64(MaxCost)))
}
