package gateway

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/record"
)

// errNothingTried is a chain in which no step was tried: a policy said stop at once.
var errNothingTried = errors.New("no step was tried")

// exhausted is the answer when nothing more may be tried: what the last attempt came to, in the gateway's words.
// The provider's own words stay behind, since they may show parts of its credential or its organisation.
func (x *exchange) exhausted() *refusal {
	attempts := x.record.Attempts
	if len(attempts) == 0 {
		no := broken(errNothingTried)
		no.Status, no.Code = 503, formats.CodeUpstreamError
		no.Message = "No step of " + quote(x.facts.Model) + " may be tried."
		return no
	}
	last := &attempts[len(attempts)-1]
	no := &refusal{Error: lastWords(last), outcome: record.UpstreamError, cause: errors.New(last.Error)}
	no.RetryAfter = x.retryAfter
	return no
}

// gone is the refusal that nobody will read: the client left while the request waited for a provider.
func gone() *refusal {
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
	case a.Status == 429:
		e.Status = 429
		e.Code = formats.CodeUpstreamRateLimited
		e.Message = fmt.Sprintf("The provider %q is limiting requests.", a.Provider)
	case a.Status == 503 || a.Status == 529:
		e.Status = 503
		e.Message = fmt.Sprintf("The provider %q is overloaded or unavailable.", a.Provider)
	case a.Status == 504 || a.Class == abi.Ambiguous && a.Status == 0:
		e.Status, e.Code, e.NoRetry = 504, formats.CodeUpstreamTimeout, true
		e.Message = fmt.Sprintf("The provider %q did not answer. It may have handled the request all the same.", a.Provider)
	case a.Status == 0:
		e.Message = fmt.Sprintf("The provider %q cannot be reached.", a.Provider)
	default:
		e.Message = fmt.Sprintf("The provider %q failed with status %d.", a.Provider, a.Status)
	}
	return e
}

// maxRetryAfter bounds what a provider may tell our clients to wait.
const maxRetryAfter = time.Hour

// retryAfter reads a Retry-After in seconds; 0 if it is absent or of another form.
func retryAfter(value []byte) time.Duration {
	seconds, err := strconv.ParseUint(string(value), 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}
