package gateway

import (
	"errors"
	"fmt"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/record"
)

// errNothingTried is a chain of which no step was available, or a policy said stop at once.
var errNothingTried = errors.New("no step was tried")

// exhausted is the answer when nothing more may be tried: what the last attempt came to, in the gateway's words.
// The provider's own words stay behind, since they may show parts of its credential or its organisation.
func (x *exchange) exhausted() *refusal {
	if x.trip.Canceled() {
		return gone(x.gateway.dismissed.Load())
	}
	attempts := x.record.Attempts
	cause := errNothingTried
	if n := len(attempts); n > 0 {
		cause = errors.New(attempts[n-1].Error)
	}
	wait, all := x.shortestWait()
	switch {
	case all:
		return &refusal{Error: x.limited(wait), outcome: record.UpstreamError, cause: cause}
	case len(attempts) == 0:
		return &refusal{Error: &formats.Error{
			Status: 503, Code: formats.CodeNothingAvailable, RetryAfter: max(wait, time.Second),
			Message: "No step of " + quote(x.facts.Model) + " is available at the moment.",
		}, outcome: record.UpstreamError, cause: cause}
	}
	no := &refusal{Error: lastWords(&attempts[len(attempts)-1]), outcome: record.UpstreamError, cause: cause}
	no.RetryAfter = x.retryAfter
	return no
}

// shortestWait is how long until the first of the chain's steps is no longer parked. all says that every step is, or
// answered this exchange that it is limiting requests.
func (x *exchange) shortestWait() (wait time.Duration, all bool) {
	all, parked := len(x.handles) > 0, false
	for i, handle := range x.handles {
		view := handle.View()
		if limited := abi.StepHealth(view.State) == abi.StepParked; limited || x.failures[i] == abi.RateLimited {
			if !parked || view.Cooldown < wait {
				wait, parked = view.Cooldown, true
			}
			continue
		}
		all = false
	}
	return wait, all
}

// limited tells the client that every provider limits requests, and when the first one will not.
func (x *exchange) limited(wait time.Duration) *formats.Error {
	what := "Every step of " + quote(x.facts.Model)
	if len(x.chain.Steps) == 1 {
		what = fmt.Sprintf("The provider %q", x.chain.Steps[0].Provider.Name)
	}
	return &formats.Error{
		Status: 429, Code: formats.CodeUpstreamRateLimited, Message: what + " is limiting requests.",
		RetryAfter: max(wait, time.Second),
	}
}

// gone is the refusal of a request that will not be answered: its client left while it waited for a provider, or the
// gateway is shutting down and waits no longer.
func gone(dismissed bool) *refusal {
	if dismissed {
		return &refusal{
			Error:   &formats.Error{Status: 503, Code: formats.CodeShuttingDown, Message: "The gateway is shutting down."},
			outcome: record.UpstreamError, hangUp: true,
		}
	}
	return &refusal{
		Error:   &formats.Error{Status: statusClientGone, Message: "The client closed the connection."},
		outcome: record.ClientGone, hangUp: true,
	}
}

// statusClientGone stands in records for a client that left before there was a status.
const statusClientGone = 499

// lastWords tells the client of the last attempt.
func lastWords(a *record.Attempt) *formats.Error {
	e := &formats.Error{Status: 502, Code: formats.CodeUpstreamError}
	switch {
	case a.Class == abi.BadCredential:
		e.Code, e.NoRetry = formats.CodeUpstreamAuth, true
		e.Message = fmt.Sprintf("The provider %q refused the gateway's credential.", a.Provider)
	case a.Class == abi.RateLimited:
		e.Status = 503
		e.Message = fmt.Sprintf("The provider %q is limiting requests, and the others did not answer.", a.Provider)
	case a.Status == 503 || a.Status == 529:
		e.Status = 503
		e.Message = fmt.Sprintf("The provider %q is overloaded or unavailable.", a.Provider)
	case a.Status == 504 || a.Class == abi.Ambiguous && a.Status == 0:
		e.Status, e.Code, e.NoRetry = 504, formats.CodeUpstreamTimeout, true
		e.Message = fmt.Sprintf("The provider %q did not answer. It may have handled the request all the same.", a.Provider)
	case a.Status == 0:
		e.Message = fmt.Sprintf("The provider %q cannot be reached.", a.Provider)
	case a.Class == abi.Ambiguous:
		e.Message = fmt.Sprintf("The answer of the provider %q broke off or cannot be read.", a.Provider)
	case a.Class == abi.ContextLength:
		e.Status, e.NoRetry = 400, true
		e.Message = "The prompt is too long for every step."
	default:
		e.Message = fmt.Sprintf("The provider %q failed with status %d.", a.Provider, a.Status)
	}
	return e
}
