// Package sallyport is the SDK for policies of the Sallyport gateway that are written in Go. A policy exports the
// hooks that it wants to be asked at, and answers each with a verdict:
//
//	package main
//
//	import sallyport "github.com/sallyport-dev/sallyport/sdk/go"
//
//	//go:wasmexport authenticate
//	func authenticate() int32 { return sallyport.Authenticate(guestPass) }
//
//	func guestPass(a *sallyport.Authentication) sallyport.Verdict {
//		if string(a.ClientAddress()) != "127.0.0.1" {
//			return sallyport.Pass
//		}
//		return a.AllowAs(sallyport.PolicyIdentity{ID: "guest"})
//	}
//
//	func main() {}
//
// It is built with GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared, and tested with go test and package
// hosttest. The exports stand in the policy's own file because a policy is asked wherever its module has an export:
// an SDK that brought them along would bind every policy to every hook.
//
// Nothing is read before it is asked for: each method that reads is one call of the host, which takes some tens of
// nanoseconds. Slices that methods return are valid until the hook returns; what a policy keeps it has to copy. The
// SDK itself allocates nothing, once its buffers have grown to what the requests need.
//
// Its imports are the standard library and the internal packages beside it; policies import it.
package sallyport

import (
	"time"

	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/host"
)

// Verdict is how a hook ends. The methods that give an answer return one; a policy without an opinion returns Pass,
// and one that cannot do its work returns Fail.
type Verdict int32

// Pass has the next policy asked.
const Pass Verdict = abi.ReturnPass

const given Verdict = abi.ReturnVerdict

// Fail reports that the policy cannot decide. At authenticate the request is denied then; at the other hooks it is as
// if the policy had passed. The error goes to the gateway's log, never to the client.
func Fail(err error) Verdict {
	Log(LogError, err.Error())
	return abi.ReturnError
}

// Authenticate serves the hook authenticate: who does the request belong to? Return its result from the export.
func Authenticate(decide func(*Authentication) Verdict) int32 {
	answers.reset()
	return int32(decide(&Authentication{}))
}

// ChooseStep serves the hook choose_step: which step of the chain is tried next?
func ChooseStep(decide func(*StepChoice) Verdict) int32 {
	answers.reset()
	return int32(decide(&StepChoice{}))
}

// PriceResponse serves the hook price_response: what does an attempt cost?
func PriceResponse(decide func(*Pricing) Verdict) int32 {
	answers.reset()
	return int32(decide(&Pricing{}))
}

// Configure serves the optional export configure, which is called once in each instance, before its first hook. It
// hands over what stands under config: in policies.yaml, as JSON, or nil. An error refuses the configuration, and with
// it the start or the reload of the gateway.
func Configure(apply func(config []byte) error) int32 {
	answers.reset()
	config, err := answers.config()
	if err == nil {
		err = apply(config)
	}
	if err != nil {
		return int32(Fail(err))
	}
	return abi.ReturnVerdict
}

// Log writes a line to the gateway's log, under the policy's name. It is cut at 1 KiB; beyond 16 lines in one call
// lines are dropped.
func Log(level Level, line string) { host.Log(int32(level), line) }

// Now returns the gateway's time, to the millisecond.
func Now() time.Time { return time.UnixMilli(host.Now()) }

// Random fills b with random bytes, at most 4 KiB.
func Random(b []byte) error { return check("random", host.Random(b)) }

// RandomUint64 returns a random number.
func RandomUint64() (uint64, error) {
	var b [8]byte
	if answer := host.Random(b[:]); answer < 0 {
		return 0, check("random", answer)
	}
	high := uint64(b[0])<<56 | uint64(b[1])<<48 | uint64(b[2])<<40 | uint64(b[3])<<32
	return high | uint64(b[4])<<24 | uint64(b[5])<<16 | uint64(b[6])<<8 | uint64(b[7]), nil
}

// Digest is the SHA-256 of up to 1 MiB, computed by the gateway, which is quicker at it than a guest.
func Digest(b []byte) (sum [32]byte, err error) {
	err = check("digest", host.Digest(b, &sum))
	return sum, err
}

// Metric adds a value of at least 0 to a counter of the policy, which operators find among the gateway's metrics. The
// name is 1 to 64 of a to z, 0 to 9 and _; a policy has up to 16 of them.
func Metric(name string, value int64) error { return check("metric", host.Metric(name, value)) }

// Script is the source text of a policy whose module runs one, nil for all others.
func Script() ([]byte, error) {
	free := answers.freeText(0)
	n := host.Script(free)
	if int(n) > len(free) {
		n = host.Script(answers.freeText(int(n)))
	}
	return answers.takeText("script", n)
}

// check turns a negative answer of the host into an error.
func check(what string, answer int32) error {
	if answer >= 0 {
		return nil
	}
	return &Error{What: what, Code: Code(answer)}
}

// verdict is given unless the host refused an output.
func verdict(field abi.Field, answer int32) Verdict {
	if answer >= 0 {
		return given
	}
	return refused(field, answer)
}

// refused is apart from verdict so that the compiler can put that where it is used: to a guest, a call costs what ten other
// steps do.
func refused(field abi.Field, answer int32) Verdict {
	return Fail(check("setting "+field.Name(), answer))
}

// Error is an answer of the host that is not what was asked for. It wraps its code, so that errors.Is finds it:
// errors.Is(err, sallyport.NotGranted).
type Error struct {
	What string // the field or function
	Code Code
}

func (e *Error) Error() string { return e.What + ": " + e.Code.Error() }

func (e *Error) Unwrap() error { return e.Code }
