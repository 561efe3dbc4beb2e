// Command default is the built-in policy: it lets stored keys in, picks steps by priority and by the strategy of their
// chain, and charges what the price row says. It is an ordinary guest, written with the SDK as anybody's is, and may be
// replaced by one.
//
// It imports the SDK only. The build compiles it to plugins/dist/default.wasm, which package plugins embeds.
package main

import sallyport "github.com/sallyport-dev/sallyport/sdk/go"

//go:wasmexport authenticate
func authenticate() int32 { return sallyport.Authenticate(findKey) }

//go:wasmexport choose_step
func chooseStep() int32 { return sallyport.ChooseStep(chooseNext) }

//go:wasmexport price_response
func priceResponse() int32 { return sallyport.PriceResponse(chargeByRow) }

// main is never run: the guest is a library, whose exports are called.
func main() {}
