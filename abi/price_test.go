package abi

import (
	"math"
	"math/big"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestPriceRowCost(t *testing.T) {
	const dollar = NanoUSD(nanoPerUSD)
	row := PriceRow{Input: dollar * 27 / 100, Output: dollar * 11 / 10, CacheRead: dollar * 7 / 100}
	facts := []struct {
		name  string
		row   PriceRow
		usage Usage
		want  NanoUSD
	}{
		{"nothing used", row, Usage{}, 0},
		{"a million each", row, Usage{Input: 1e6, Output: 1e6, CacheRead: 1e6}, dollar * 144 / 100},
		{"a chat", row, Usage{Input: 11, Output: 9}, 2970 + 9900},
		{"half rounds up", PriceRow{Input: 500_000}, Usage{Input: 1}, 1},
		{"below half rounds down", PriceRow{Input: 499_999}, Usage{Input: 1}, 0},
		{"one rounding for all", PriceRow{Input: 300_000, Output: 300_000}, Usage{Input: 1, Output: 1}, 1},
		{"negative counts as none", row, Usage{Input: -5, Output: 9}, 9900},
		{"bounded", PriceRow{Input: math.MaxInt64}, Usage{Input: math.MaxInt64}, MaxCost},
		{"bounded in every dimension", PriceRow{math.MaxInt64, math.MaxInt64, math.MaxInt64}, Usage{math.MaxInt64, math.MaxInt64, math.MaxInt64}, MaxCost},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			if got, _ := f.row.Cost(&f.usage); got != f.want {
				t.Errorf("cost is %d nano-dollars, want %d", got, f.want)
			}
		})
	}
}

// The oracle is math/big.
func TestPriceRowCostAgreesWithBig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var row PriceRow
		var usage Usage
		exact := new(big.Int)
		for d := range NumDimensions {
			row[d] = NanoUSD(rapid.Int64Range(0, math.MaxInt64).Draw(t, "price"))
			usage[d] = rapid.Int64Range(0, math.MaxInt64).Draw(t, "units")
			if rapid.Bool().Draw(t, "small") {
				row[d] %= 100 * nanoPerUSD
				usage[d] %= 1_000_000
			}
			exact.Add(exact, new(big.Int).Mul(big.NewInt(int64(row[d])), big.NewInt(usage[d])))
		}
		exact.Add(exact, big.NewInt(perMillion/2)).Div(exact, big.NewInt(perMillion))
		want := MaxCost
		if exact.IsInt64() {
			want = min(want, NanoUSD(exact.Int64()))
		}
		cost, breakdown := row.Cost(&usage)
		if cost != want {
			t.Fatalf("cost is %d, want %d", cost, want)
		}
		var sum NanoUSD
		for _, part := range breakdown {
			sum += part
		}
		if sum != cost && (sum != 0 || cost != MaxCost) {
			t.Fatalf("the breakdown sums up to %d, the cost is %d", sum, cost)
		}
		if slices.Min(breakdown[:]) < 0 {
			t.Fatalf("negative part in %v", breakdown)
		}
	})
}
