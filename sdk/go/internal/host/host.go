// Package host is the way from the SDK to the gateway. In a guest its functions are the imports of the contract; in
// a native build they ask the Host that hosttest has put in place, so that policies can be tested with go test.
//
// It imports internal/abi. Only the SDK and hosttest import it.
package host
