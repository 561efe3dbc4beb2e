package examples_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/sallyport-dev/sallyport/abi"
)

func TestFlatFee(t *testing.T) {
	set := loadAsDocumented(t, "flat-fee")
	facts := []struct {
		model string
		fee   abi.NanoUSD
	}{
		{"llama", 0},
		{"llama-large", 10_000_000},
		{"claude-sonnet", 50_000_000},
		{"claude-", 50_000_000},
		{"coding", 10_000_000},
		{"", 10_000_000},
	}
	for _, f := range facts {
		for _, phase := range []abi.PricePhase{abi.Estimate, abi.Final} {
			p := &abi.Pricing{Request: &abi.Request{Model: []byte(f.model)}, Phase: phase, Usage: abi.Usage{1000, 1000}}
			if answer := set.PriceResponse(p); answer != abi.Given || p.Cost != f.fee || p.Breakdown[abi.Requests] != f.fee {
				t.Errorf("%q: answer %d, %d of %v, want %d", f.model, answer, p.Cost, p.Breakdown, f.fee)
			}
		}
	}
}

func TestMarkup(t *testing.T) {
	set := loadAsDocumented(t, "markup")
	row := &abi.PriceRow{abi.Input: 270_000_000, abi.Output: 1_100_000_000}
	facts := []struct {
		name, team string
		price      *abi.PriceRow
		usage      abi.Usage
		answer     abi.Answer
		cost       abi.NanoUSD
	}{
		{"no team", "", row, abi.Usage{11, 9}, abi.Given, 12870 * 120 / 100},
		{"a team of its own", "sales", row, abi.Usage{11, 9}, abi.Given, (12870*135 + 50) / 100},
		{"a team without a markup", "research", row, abi.Usage{11, 9}, abi.Given, 12870},
		{"no price", "", nil, abi.Usage{11, 9}, abi.NoVerdict, 0},
		{"the most", "", &abi.PriceRow{abi.MaxCost}, abi.Usage{1_000_000}, abi.Given, abi.MaxCost},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			p := &abi.Pricing{Request: &abi.Request{}, Identity: &abi.Identity{KeyID: "k1", Team: f.team}, Phase: abi.Final, Price: f.price, Usage: f.usage}
			if answer := set.PriceResponse(p); answer != f.answer || p.Cost != f.cost {
				t.Errorf("answer %d, cost %d, want %d", answer, p.Cost, f.cost)
			}
		})
	}
}

// Whatever the usage and the price, the markup is exact and its parts are no more than the whole.
func TestMarkupIsExact(t *testing.T) {
	set := loadAsDocumented(t, "markup")
	rapid.Check(t, func(t *rapid.T) {
		p := &abi.Pricing{Request: &abi.Request{}, Phase: abi.Final, Price: &abi.PriceRow{}}
		for d := range abi.NumDimensions {
			p.Price[d] = abi.NanoUSD(rapid.Int64Range(0, 200_000_000_000).Draw(t, "price"))
			p.Usage[d] = rapid.Int64Range(0, 4_000_000).Draw(t, "units")
		}
		plain, _ := p.Price.Cost(&p.Usage)
		want := min((plain*120+50)/100, abi.MaxCost)
		if answer := set.PriceResponse(p); answer != abi.Given || p.Cost != want {
			t.Fatalf("answer %d: %d, want %d", answer, p.Cost, want)
		}
	})
}
