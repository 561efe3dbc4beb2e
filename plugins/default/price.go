package main

import sallyport "github.com/sallyport-dev/sallyport/sdk/go"

// chargeByRow charges what the operator's price row says, in both phases. Without a row there is nothing to charge by.
func chargeByRow(p *sallyport.Pricing) sallyport.Verdict {
	price := p.Price()
	if price == nil {
		return sallyport.Pass
	}
	var breakdown [sallyport.NumDimensions]sallyport.NanoUSD
	return p.Charge(sallyport.Cost(p.Usage(), price, breakdown[:]), breakdown[:])
}
