// Command policy-go is a first policy: it tells whoever comes without a key that fits where to get one.
package main

import sallyport "github.com/sallyport-dev/sallyport/sdk/go"

//go:wasmexport authenticate
func authenticate() int32 { return sallyport.Authenticate(greet) }

func greet(a *sallyport.Authentication) sallyport.Verdict {
	return a.Deny(401, "You need a key for "+string(a.Model())+": ask in #llm-keys for one.")
}

func main() {}
