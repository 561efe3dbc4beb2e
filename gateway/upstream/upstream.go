// Package upstream is the round trip to a provider, over connections of its own pool: addresses that are checked
// before they are dialled, a look at an idle connection before it is used again, a deadline for every single read
// and write instead of totals, cancellation from another goroutine at any time, and never a second send. What it
// returns says how far the request got, because that decides what may be tried next.
//
// Only gateway imports it. It imports fasthttp, for the answer's header, and the standard library; it knows nothing
// of formats or policies.
package upstream

import (
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"
)

// Request is one request as it goes onto the wire.
type Request struct {
	Head     []byte      // request line and headers, the empty line included
	Body     io.WriterTo // written after Head; nil for none
	Timeouts Timeouts
}

// Timeouts bound one round trip. Gap is per read, so that a long healthy stream lives.
type Timeouts struct {
	Connect   time.Duration // name lookup and TCP connect
	TLS       time.Duration // TLS handshake
	Write     time.Duration // each write of the request
	FirstByte time.Duration // from the request written to the answer's first byte; interim answers do not count
	Gap       time.Duration // between two reads of the answer
	Total     time.Duration // the whole round trip, the wait for a connection included
}

// Phase says how far a round trip got when it failed.
type Phase uint8

// The phases, in their order.
const (
	Connecting Phase = iota // no connection: name, address, dial, handshake, pool full. Nothing was sent.
	Sending                 // the request's last byte was not handed over: the provider cannot have all of it
	Waiting                 // the whole request was sent, no byte of an answer came: it may have been billed
	Reading                 // the answer had begun
)

var phaseNames = [...]string{"connecting", "sending the request", "waiting for the answer", "reading the answer"}

// String names the phase as error messages do.
func (p Phase) String() string { return phaseNames[p] }

// Causes that callers tell apart. An Error wraps one of them or a cause of the network's own.
var (
	// ErrTimeout is a deadline of Timeouts that passed.
	ErrTimeout = errors.New("timed out")
	// ErrCut is a connection that ended, in whatever way, before its answer did.
	ErrCut = errors.New("connection closed before the end")
	// ErrCanceled is a round trip that Cancel ended.
	ErrCanceled = errors.New("canceled")
	// ErrPoolFull is a pool at its limit of connections whose queue was full or did not move in time.
	ErrPoolFull = errors.New("no free connection")
	// ErrPrivate is a name that leads to no address but private or special ones, which the provider does not allow.
	ErrPrivate = errors.New("not a public address")
	// ErrMalformed is an answer that is not HTTP.
	ErrMalformed = errors.New("malformed answer")
)

// Error is a failed round trip.
type Error struct {
	Phase Phase
	Err   error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Phase, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// cause translates the sentinels of the network, once, here.
func cause(err error) error {
	var errno syscall.Errno
	switch {
	case isTimeout(err):
		return ErrTimeout
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return ErrCut
	case errors.As(err, &errno) && (errno == syscall.ECONNRESET || errno == syscall.EPIPE):
		return fmt.Errorf("%w: %w", ErrCut, errno)
	}
	return err
}
