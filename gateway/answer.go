package gateway

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
	"github.com/valyala/fasthttp"
)

// answer sets what every answer has: the status, the content type and the request id.
func (x *exchange) answer(status int, contentType string) {
	r := &x.ctx.Response
	r.SetStatusCode(status)
	r.Header.SetContentType(contentType)
	r.Header.SetBytesV(headerID, x.id)
	if x.limitsRates() {
		x.tellRates()
	}
}

// limitsRates reports whether anything of ours limits how often the client may ask.
func (x *exchange) limitsRates() bool { return x.admission.Rates != (ledger.Rates{}) }

// tellRates sets the headers that tell the client of its limits.
func (x *exchange) tellRates() {
	rates := &x.admission.Rates
	limits := formats.RateLimits{
		Requests: formats.RateLimit(rates.Requests), Tokens: formats.RateLimit(rates.Tokens),
		InputTokens: formats.RateLimit(rates.Input), OutputTokens: formats.RateLimit(rates.Output),
	}
	formats.SetRateLimits(x.route.Format, &limits, x.start, x.scratch[:0], x.setHeader)
}

// giveBody makes the buffer the answer's body, and takes the answer's own old buffer for it: nothing is copied.
func (x *exchange) giveBody() { x.buffer = x.ctx.Response.SwapBody(x.buffer)[:0] }

// passHeaders passes the provider's headers on, as far as they are meant for its clients. What says whose account
// the gateway uses, or belongs to the connection, stays behind.
func (x *exchange) passHeaders() {
	r := &x.ctx.Response.Header
	limited := x.limitsRates()
	for name, value := range x.trip.Header.All() {
		if passes(string(name)) || !limited && isRateLimit(string(name)) {
			r.AddBytesKV(name, value)
		}
	}
}

// passes reports whether a provider's header, named as fasthttp normalises it, reaches the client. Content-Type does
// so by itself.
func passes(name string) bool {
	switch name {
	case "X-Request-Id", "Request-Id", "Apim-Request-Id", "Retry-After", "Retry-After-Ms", "X-Should-Retry",
		"Openai-Processing-Ms", "Openai-Version", "Openai-Model", "Content-Language", "Cache-Control", "Server-Timing":
		return true
	}
	return false
}

// isRateLimit reports whether a provider's header tells of its limits. They reach clients that have none of ours.
func isRateLimit(name string) bool {
	return strings.HasPrefix(name, "X-Ratelimit-") || strings.HasPrefix(name, "Anthropic-Ratelimit-")
}

// refuse answers with an error of the gateway's own. It is the one place where the client is told and the cause
// goes to the record and the log.
func (x *exchange) refuse(no *refusal) {
	x.answer(no.Status, contentJSON)
	h := &x.ctx.Response.Header
	if no.allow != "" {
		h.Set("Allow", no.allow)
	}
	if no.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((no.RetryAfter+time.Second-1)/time.Second)))
	}
	if no.NoRetry {
		h.Set("X-Should-Retry", "false")
	}
	if no.hangUp {
		x.ctx.SetConnectionClose()
	}
	x.ctx.Response.SetBodyRaw(x.withSummary(formats.AppendError(nil, x.route.Format, no.Error, x.id)))
	if no.cause == nil && no.outcome == record.Refused {
		no.cause = errors.New(no.Message)
	}
	x.fail(no.outcome, no.Code, no.cause)
}

// fail notes how the exchange failed, for the record and the log.
func (x *exchange) fail(outcome record.Outcome, code string, cause error) {
	x.record.Outcome, x.record.Error = outcome, code
	if cause != nil {
		x.record.Cause = cause.Error()
	}
	log := x.gateway.log.With("request", x.record.ID, "outcome", outcome.String(), "code", code, "cause", x.record.Cause)
	switch outcome {
	case record.Broken:
		log.Error("exchange broke")
	case record.UpstreamError, record.Interrupted:
		log.Warn("provider failed")
	default:
		log.Debug("exchange ended early")
	}
}

// unreadable is the refusal of what fasthttp could not read as a request.
func unreadable(err error, maxBody int) *refusal {
	e := &formats.Error{Status: 400, Code: formats.CodeInvalidRequest, Message: "The request is not valid HTTP/1.1."}
	var small *fasthttp.ErrSmallBuffer
	var ne net.Error
	switch {
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		e.Status, e.Code = 413, formats.CodeBodyTooLarge
		e.Message = fmt.Sprintf("The body is larger than %d bytes.", maxBody)
	case errors.As(err, &small):
		e.Status, e.Code = 431, formats.CodeHeaderTooLarge
		e.Message = fmt.Sprintf("The request line and headers are larger than %d bytes.", readBufferSize)
	case errors.As(err, &ne) && ne.Timeout():
		e.Status, e.Code = 408, formats.CodeRequestTimeout
		e.Message = "The request did not arrive in time."
	}
	return &refusal{Error: e, outcome: record.Refused, cause: err, hangUp: true}
}
