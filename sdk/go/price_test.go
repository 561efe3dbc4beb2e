package sallyport

import (
	"math"
	"math/big"
	"testing"
)

func TestCost(t *testing.T) {
	const usd = NanoUSD(1e9)
	facts := []struct {
		name      string
		usage     []int64
		price     []NanoUSD
		cost      NanoUSD
		breakdown [2]NanoUSD
	}{
		{"nothing", nil, nil, 0, [2]NanoUSD{}},
		{"a chat", []int64{11, 9}, []NanoUSD{usd * 27 / 100, usd * 11 / 10}, 12870, [2]NanoUSD{2970, 9900}},
		{"half rounds up", []int64{1}, []NanoUSD{500_000}, 1, [2]NanoUSD{1, 0}},
		{"less rounds down", []int64{1}, []NanoUSD{499_999}, 0, [2]NanoUSD{}},
		{"one rounding for all", []int64{1, 1}, []NanoUSD{300_000, 300_000}, 1, [2]NanoUSD{1, 0}},
		{"the rest goes to the largest", []int64{1, 1}, []NanoUSD{1_400_000, 2_400_000}, 4, [2]NanoUSD{1, 3}},
		{"below 0 counts as 0", []int64{-5, 9}, []NanoUSD{usd, usd}, 9000, [2]NanoUSD{0, 9000}},
		{"a price below 0 counts as 0", []int64{5, 9}, []NanoUSD{-usd, usd}, 9000, [2]NanoUSD{0, 9000}},
		{"a dimension without a price", []int64{5, 9}, []NanoUSD{usd}, 5000, [2]NanoUSD{5000, 0}},
		{"beyond the breakdown", []int64{1, 2, 3}, []NanoUSD{usd, usd, usd}, 6000, [2]NanoUSD{1000, 2000}},
		{"the most", []int64{1e6}, []NanoUSD{MaxCost}, MaxCost, [2]NanoUSD{MaxCost, 0}},
		{"over the most", []int64{1e6, 1e6}, []NanoUSD{MaxCost, 1}, MaxCost, [2]NanoUSD{}},
		{"over 64 bits", []int64{math.MaxInt64}, []NanoUSD{math.MaxInt64}, MaxCost, [2]NanoUSD{MaxCost, 0}},
		{"over 64 bits in the sum", []int64{1 << 62, 1 << 62, 1 << 62, 1 << 62}, []NanoUSD{1, 1, 1, 1}, MaxCost, [2]NanoUSD{}},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			var breakdown [2]NanoUSD
			if got := Cost(f.usage, f.price, breakdown[:]); got != f.cost || breakdown != f.breakdown {
				t.Errorf("got %d of %d, want %d of %d", got, breakdown, f.cost, f.breakdown)
			}
		})
	}
}

// The oracle is math/big.
func FuzzCost(f *testing.F) {
	f.Add(int64(11), int64(270_000_000), int64(9), int64(1_100_000_000), int64(3), int64(70_000_000))
	f.Add(int64(1), int64(500_000), int64(0), int64(0), int64(0), int64(0))
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MaxInt64), int64(1), int64(1))
	f.Add(int64(math.MinInt64), int64(-1), int64(1e6), int64(MaxCost), int64(1), int64(1))
	f.Add(int64(1<<32), int64(1<<31), int64(1<<32), int64(1<<31), int64(1<<31), int64(1<<32))
	f.Fuzz(func(t *testing.T, u0, p0, u1, p1, u2, p2 int64) {
		usage, price := []int64{u0, u1, u2}, []NanoUSD{NanoUSD(p0), NanoUSD(p1), NanoUSD(p2)}
		exact := big.NewInt(perMillion / 2)
		for d := range usage {
			exact.Add(exact, new(big.Int).Mul(big.NewInt(max(usage[d], 0)), big.NewInt(int64(max(price[d], 0)))))
		}
		want := MaxCost
		if exact.Div(exact, big.NewInt(perMillion)).IsInt64() {
			want = min(want, NanoUSD(exact.Int64()))
		}
		var breakdown [3]NanoUSD
		if got := Cost(usage, price, breakdown[:]); got != want {
			t.Fatalf("the cost is %d, want %d", got, want)
		}
		sum := breakdown[0] + breakdown[1] + breakdown[2]
		if sum != want && (want != MaxCost || sum != 0) || min(breakdown[0], breakdown[1], breakdown[2]) < 0 {
			t.Fatalf("the breakdown of %d is %d", want, breakdown)
		}
	})
}

func BenchmarkCost(b *testing.B) {
	usage := []int64{1234, 567, 89_000, 0, 0, 321, 0, 0, 0, 1}
	price := []NanoUSD{3e9, 15e9, 3e8, 375e7, 6e9, 15e9, 3e9, 15e9, 0, 0}
	var breakdown [NumDimensions]NanoUSD
	b.ReportAllocs()
	for b.Loop() {
		Cost(usage, price, breakdown[:])
	}
}
