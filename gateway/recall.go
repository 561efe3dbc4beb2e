package gateway

import (
	"fmt"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/idempotency"
	"github.com/sallyport-dev/sallyport/record"
)

// Idempotency remembers what became of requests that carry an Idempotency-Key. *idempotency.Keys is one.
type Idempotency interface {
	Claim(identity, key, path string, body []byte, request string, keep time.Duration) (
		c *idempotency.Claim, taken idempotency.Entry, same bool, err error)
}

const (
	headerIdempotency = "Idempotency-Key"
	headerReplayed    = "Idempotency-Replayed" // "true" on an answer that was given before
	maxIdempotencyKey = 255
)

// recall finds out whether the request was made before, under the key that it carries. If it was, its answer is given
// again where it is kept, and refused otherwise: under one key nothing is charged twice.
func (x *exchange) recall() (answered bool, no *refusal) {
	key := x.ctx.Request.Header.Peek(headerIdempotency)
	if len(key) == 0 || x.gateway.idempotency == nil {
		return false, nil
	}
	if len(key) > maxIdempotencyKey {
		return false, bad(formats.Refuse(formats.CodeInvalidRequest, "", "The %s is longer than %d bytes.", headerIdempotency, maxIdempotencyKey))
	}
	claim, taken, same, err := x.gateway.idempotency.Claim(
		x.auth.Identity.KeyID, string(key), string(x.path), x.ctx.Request.Body(), x.record.ID, x.snapshot.Config.Idempotency.Keep)
	switch {
	case err != nil:
		return false, unbookable(err)
	case claim != nil:
		x.claim = claim
		return false, nil
	case !same:
		return false, denied(422, formats.CodeIdempotencyReused, fmt.Sprintf(
			"The %s was used for another request, %s.", headerIdempotency, taken.Request))
	case taken.State == idempotency.UnderWay:
		e := &formats.Error{Status: 409, Code: formats.CodeIdempotencyUnderWay, RetryAfter: time.Second,
			Message: fmt.Sprintf("The request with this %s is under way, as %s.", headerIdempotency, taken.Request)}
		return false, &refusal{Error: e, outcome: record.Refused}
	case taken.State == idempotency.Lost:
		return false, denied(409, formats.CodeIdempotencyLost, fmt.Sprintf(
			"Nobody knows what became of the request with this %s, %s. It may have been charged; to make it again, use another key.",
			headerIdempotency, taken.Request))
	case taken.Answer == nil:
		return false, denied(409, formats.CodeIdempotencyFinished, fmt.Sprintf(
			"The request with this %s was answered, as %s, and its answer is not kept.", headerIdempotency, taken.Request))
	}
	x.answer(taken.Status, taken.ContentType)
	x.ctx.Response.Header.Set(headerReplayed, "true")
	x.ctx.Response.SetBodyRaw(taken.Answer)
	return true, nil
}

// remember notes what became of the request under its key. One for which nothing can have been charged may be made
// again.
func (x *exchange) remember() {
	if x.claim == nil {
		return
	}
	var err error
	switch served := x.record.Outcome == record.Served && succeeded(x.ctx.Response.StatusCode()); {
	case served:
		err = x.claim.Finish(x.ctx.Response.StatusCode(), string(x.ctx.Response.Header.ContentType()), x.keptAnswer())
	case x.mayBeCharged():
		err = x.claim.Lose()
	default:
		err = x.claim.Release()
	}
	x.claim = nil
	if err != nil {
		x.gateway.log.Error("an idempotency key was not noted", "request", x.record.ID, "error", err)
	}
}

// keptAnswer is the answer as it is to be kept; nil if it is not to be.
func (x *exchange) keptAnswer() []byte {
	settings := &x.snapshot.Config.Idempotency
	if !settings.StoreAnswers || x.ctx.Response.IsBodyStream() || int64(len(x.ctx.Response.Body())) > settings.MaxAnswer {
		return nil
	}
	return x.ctx.Response.Body()
}

// mayBeCharged reports whether a provider may charge for anything of the exchange.
func (x *exchange) mayBeCharged() bool {
	for i := range x.record.Attempts {
		if c := x.record.Attempts[i].Class; c == abi.Ambiguous || c == abi.NoError {
			return true
		}
	}
	return false
}
