//go:build !wasm

// Package hosttest is a gateway in memory, in which policies are tested with plain go test: no gateway, no
// WebAssembly. A test describes a question and asks the policy's own export:
//
//	got := hosttest.Authentication{Request: hosttest.Request{ClientAddress: "127.0.0.1"}}.Ask(authenticate)
//	if got.Identity == nil {
//		t.Errorf("a caller on this machine was not let in: %+v", got)
//	}
//
// It holds policies to the contract's rules: grants, ranges of what they set, both or neither of two verdicts. It
// knows neither fuel nor time limits, which only the gateway's own runtime has.
//
// Its imports are package sallyport and the internal packages of the SDK; tests of policies import it.
package hosttest

import (
	"time"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/host"
)

// Setting is the policy's place in the gateway: what policies.yaml says of it, and the world that it sees.
type Setting struct {
	Config     string           // JSON; empty for none
	Identities bool             // the grant "identities: read"
	KV         *KV              // the grant "kv: own", with what the policy remembers; nil: not granted
	Script     string           // the source text that the policy runs; empty for none
	Inputs     []string         // the grants of inputs, such as "credential" or "request.headers.x-team"
	Now        time.Time        // default: 2027-01-01 00:00 UTC, so that tests do not depend on the day
	Random     func(buf []byte) // default: always zeros
}

// Request is what every hook may know of a request.
type Request struct {
	ID, Method, Path, Format, Operation, ClientAddress, Model string

	Stream  bool
	Headers map[string]string // by lower-case name
}

// Identity is a stored key, or whom a policy let in.
type Identity struct {
	KeyID, Name, Team string

	State        sallyport.KeyState
	Expires      time.Time
	Models       []string
	DefaultModel string
	Labels       []sallyport.Label
	Limits       sallyport.Limits
	Budgets      []sallyport.Budget // of a policy's own identity; no policy can read them
}

// Outcome is what every hook's answer has.
type Outcome struct {
	Passed bool
	Failed string   // why the answer is no verdict; empty if it is one, or the policy passed
	Log    []string // what the policy logged

	Metrics map[string]int64 // what it counted, by name
}

// ask runs the export and says how it ended. verdict checks that what was set adds up to one.
func (h *fake) ask(export func() int32, verdict func() string) Outcome {
	o := Outcome{}
	switch host.Serve(h, export) {
	case abi.ReturnPass:
		o.Passed = true
	case abi.ReturnError:
		o.Failed = "the policy failed"
	case abi.ReturnVerdict:
		o.Failed = h.overlooked()
		if o.Failed == "" {
			o.Failed = verdict()
		}
	default:
		o.Failed = "the hook returned neither a verdict, an error nor a pass"
	}
	o.Log, o.Metrics = h.log, h.metrics
	return o
}

// Configure asks the policy's export configure to accept its configuration, and says why it did not.
func (s Setting) Configure(export func() int32) Outcome {
	return newFake(s, nil).ask(export, func() string { return "" })
}
