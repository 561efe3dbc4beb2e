package sallyport_test

import (
	"fmt"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
	"github.com/sallyport-dev/sallyport/sdk/go/hosttest"
)

// In a policy this is the export, below a line that says //go:wasmexport authenticate.
func authenticate() int32 { return sallyport.Authenticate(guestPass) }

func guestPass(a *sallyport.Authentication) sallyport.Verdict {
	if a.Shape() != sallyport.CredentialNone || string(a.ClientAddress()) != "127.0.0.1" {
		return sallyport.Pass
	}
	return a.AllowAs(sallyport.PolicyIdentity{ID: "guest", Models: []string{"llama"}})
}

// A policy lets callers from this machine in, and is asked twice.
func Example() {
	for _, address := range []string{"127.0.0.1", "192.0.2.7"} {
		got := hosttest.Authentication{Request: hosttest.Request{ClientAddress: address}}.Ask(authenticate)
		if got.Passed {
			fmt.Println(address, "passes")
			continue
		}
		fmt.Println(address, "is", got.Identity.KeyID, "and may use", got.Identity.Models)
	}
	// Output:
	// 127.0.0.1 is guest and may use [llama]
	// 192.0.2.7 passes
}

// A policy adds a tenth to what the price row says.
func ExamplePriceResponse() {
	markup := func(p *sallyport.Pricing) sallyport.Verdict {
		price := p.Price()
		if price == nil {
			return sallyport.Pass
		}
		for d := range price {
			price[d] += price[d] / 10
		}
		return p.Charge(sallyport.Cost(p.Usage(), price, nil), nil)
	}
	got := hosttest.Pricing{
		Usage: []int64{sallyport.Input: 1_000_000, sallyport.Output: 1000},
		Price: []sallyport.NanoUSD{sallyport.Input: 270_000_000, sallyport.Output: 1_100_000_000},
	}.Ask(func() int32 { return sallyport.PriceResponse(markup) })
	fmt.Println(got.Cost)
	// Output: 298210000
}
