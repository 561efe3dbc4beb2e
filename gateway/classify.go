package gateway

import (
	"errors"
	"strconv"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/gateway/upstream"
	"github.com/sallyport-dev/sallyport/health"
	"github.com/sallyport-dev/sallyport/record"
)

// verdict is what came of one attempt.
type verdict struct {
	status int            // the provider's; 0 without an answer
	class  abi.ErrorClass // NoError: it answered
	silent bool           // it let us wait in vain
	err    error          // nil if it answered well
}

// answers reports whether a verdict is an answer for the client: a good one, or a rejection that no other step would
// take back.
func (x *exchange) answers(v verdict, step *config.Step) bool {
	switch v.class {
	case abi.NoError, abi.Rejected, abi.ContentPolicy:
		return true
	case abi.ContextLength:
		return !x.chain.LargerContext || !x.largerContext(step)
	case abi.ModelNotFound:
		return !x.chain.OnModelNotFound || !x.anotherStep()
	}
	return false
}

// notAnswered is the verdict on a round trip that failed. After the whole request was sent nobody knows whether the
// provider took it, and billed it.
func notAnswered(err error) verdict {
	var e *upstream.Error
	if errors.As(err, &e) && (e.Phase == upstream.Connecting || e.Phase == upstream.Sending) {
		return verdict{class: abi.NotSent, err: err}
	}
	return verdict{class: abi.Ambiguous, err: err, silent: errors.Is(err, upstream.ErrTimeout)}
}

// lost is the verdict on an answer that broke off, or makes no sense.
func lostAnswer(status int, err error) verdict {
	return verdict{status: status, class: abi.Ambiguous, err: err, silent: errors.Is(err, upstream.ErrTimeout)}
}

// rejected is the verdict on an answer of another status than 2xx. Its body is read where it decides something: with
// a rejection that may become the client's answer, all of it.
func (x *exchange) rejected(status int) verdict {
	h := &x.trip.Header
	x.retryAfter = formats.RetryAfter(h.Peek("Retry-After"), h.Peek("Retry-After-Ms"), time.Now(), maxRecalled)
	v := verdict{status: status, class: classOfStatus(status), err: errors.New("answered " + strconv.Itoa(status))}
	if v.class != abi.Rejected && v.class != abi.RateLimited {
		return v
	}
	if v.class == abi.RateLimited {
		x.trip.SetGap(afterEnd) // its body is not worth more
	}
	x.framing = formats.Whole
	x.meter.Reset(&x.route, false)
	if err := x.gather(); err != nil && v.class == abi.Rejected {
		return lostAnswer(status, err)
	}
	r := formats.ReadRejection(x.route.Format, status, x.buffer)
	if r.RetryAfter > 0 {
		x.retryAfter = min(r.RetryAfter, maxRecalled)
	}
	v.class = classOfReason(v.class, r.Reason)
	return v
}

// classOfStatus says what a provider's status allows.
func classOfStatus(status int) abi.ErrorClass {
	switch {
	case status >= 200 && status <= 299:
		return abi.NoError
	case status == 401 || status == 402 || status == 403:
		return abi.BadCredential
	case status == 429:
		return abi.RateLimited
	case status == 408 || status == 409:
		return abi.Transient
	case status == 504:
		return abi.Ambiguous
	case status >= 500 || status < 400: // redirects are not followed
		return abi.Transient
	}
	return abi.Rejected
}

// classOfReason refines the class of a rejection by what it is about.
func classOfReason(class abi.ErrorClass, reason formats.Reason) abi.ErrorClass {
	switch reason {
	case formats.PromptTooLong:
		return abi.ContextLength
	case formats.ModelUnknown:
		return abi.ModelNotFound
	case formats.ContentRefused:
		return abi.ContentPolicy
	case formats.CredentialRefused:
		return abi.BadCredential
	}
	return class
}

// errInBand marks an error that a provider reported within a good answer.
var errInBand = errors.New("reported an error in its answer")

// inBand is the verdict on an error that stands where the answer should begin.
func (x *exchange) inBand(event []byte) verdict {
	r := formats.ReadRejection(x.route.Format, 0, event)
	x.retryAfter = min(r.RetryAfter, maxRecalled)
	class := classOfReason(classOfStatus(r.Status), r.Reason)
	return verdict{status: r.Status, class: class, err: errInBand}
}

// answerOutcome is what the end of an exchange says of the provider that answered it.
func answerOutcome(o record.Outcome) health.Outcome {
	switch o {
	case record.Served:
		return health.Succeeded
	case record.Interrupted:
		return health.Failed
	}
	return health.Neutral
}

// outcome is what a verdict says of the provider's health.
func (v verdict) outcome() health.Outcome {
	switch v.class {
	case abi.NotSent:
		var e *upstream.Error
		if errors.Is(v.err, upstream.ErrPoolFull) || errors.Is(v.err, upstream.ErrCanceled) {
			return health.Neutral // our own doing
		}
		if errors.As(v.err, &e) && e.Phase == upstream.Connecting {
			return health.Unreachable
		}
		return health.Failed
	case abi.Transient, abi.Ambiguous:
		if errors.Is(v.err, upstream.ErrCanceled) {
			return health.Neutral
		}
		return health.Failed
	case abi.RateLimited:
		return health.RateLimited
	case abi.BadCredential:
		return health.CredentialRefused
	}
	return health.Succeeded // also a rejection: the provider is there, and looked at the request
}
