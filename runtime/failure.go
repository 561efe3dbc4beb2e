package runtime

import "fmt"

// Failure says why a policy gave neither a verdict nor a pass. The set is closed: it is a metric label.
type Failure uint8

// The failures. Whether an instance survives is part of what they mean: after a failure of the guest's code its
// memory may be half-written, so the instance is thrown away.
const (
	NoFailure   Failure = iota
	Trap                // the guest trapped, or a host function panicked; the instance is discarded
	OutOfFuel           // the guest used up limits.fuel; discarded
	TimedOut            // the guest was past limits.time when it called the host; discarded
	Exited              // the guest called proc_exit, with whatever code; discarded
	BadReturn           // the hook returned another number than 0, 1 or 2; discarded
	GuestError          // the policy says itself that it failed: the hook returned 1 or, in the portable tier, set an error
	BadVerdict          // the hook returned 0, but what it set is no verdict
	Busy                // no instance came free within limits.time
	Unavailable         // no instance could be made, or the set is closed
	TakenOut            // the policy kept failing, so it was not asked
	NumFailures
)

var failureNames = [NumFailures]string{
	"none", "trap", "fuel", "timeout", "exit", "bad_return", "guest_error", "bad_verdict", "busy", "unavailable", "taken_out",
}

// String returns the failure's name, as in metrics and the log.
func (f Failure) String() string {
	if f < NumFailures {
		return failureNames[f]
	}
	return "unknown"
}

// poisons reports whether an instance that failed like this must not be used again.
func (f Failure) poisons() bool { return f >= Trap && f <= BadReturn }

// failedCall is a call into a guest that did not end well.
type failedCall struct {
	failure Failure
	cause   error
	said    string // what the guest had written to its standard error in this call, as it was
}

func (f *failedCall) Error() string { return fmt.Sprintf("%s: %v", f.failure, f.cause) }

func (f *failedCall) Unwrap() error { return f.cause }
