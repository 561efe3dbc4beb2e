package formats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Error is an answer that the gateway itself gives: what the client is told, before it is put into its dialect.
type Error struct {
	Status     int    // HTTP status
	Code       string // one of the Code constants: stable, for programs
	Message    string // for people; names no secret and no internal cause
	Param      string // the request field at fault, "" if none
	RetryAfter time.Duration
	NoRetry    bool // tells the official clients not to retry by themselves, with x-should-retry: false
}

// Error returns the code and the message, for logs.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Stable codes. They appear in answers, records and metrics; a code that was published keeps its meaning.
const (
	// The request cannot be understood.
	CodeInvalidJSON          = "invalid_json"           // 400: the body is not one JSON object as RFC 8259 has it
	CodeInvalidUTF8          = "invalid_utf8"           // 400: the body is not UTF-8
	CodeDuplicateField       = "duplicate_field"        // 400: a field that decides something stands there twice
	CodeAmbiguousField       = "ambiguous_field"        // 400: such a field in a spelling that parsers read differently
	CodeModelMissing         = "model_missing"          // 400: none in the request, and none of the key's own
	CodeTooDeep              = "too_deep"               // 400: nested deeper than MaxDepth
	CodeInvalidRequest       = "invalid_request"        // 400: anything else that is wrong with it
	CodeUnsupportedMediaType = "unsupported_media_type" // 415
	CodeBodyTooLarge         = "body_too_large"         // 413
	CodeHeaderTooLarge       = "header_too_large"       // 431
	CodeRequestTimeout       = "request_timeout"        // 408: the request did not arrive in time
	CodeInputTooLarge        = "input_too_large"        // 400: more than one request of this key may send
	CodeOutputTooLarge       = "output_too_large"       // 400: its maximum is more than one request of this key may get
	CodeBackgroundRefused    = "background_refused"     // 400: a key with a budget may not leave an answer for later
	CodeRouteNotFound        = "route_not_found"        // 404
	CodeMethodNotAllowed     = "method_not_allowed"     // 405

	// The caller may not.
	CodeInvalidAPIKey   = "invalid_api_key"   // 401: no credential, or one that nobody knows
	CodeKeyExpired      = "key_expired"       // 401
	CodeKeyRevoked      = "key_revoked"       // 401
	CodeKeyDisabled     = "key_disabled"      // 403
	CodeTeamUnknown     = "team_unknown"      // 403: the key names a team that does not exist
	CodeTeamDisabled    = "team_disabled"     // 403
	CodePolicyDenied    = "policy_denied"     // 400 to 499: a policy said no
	CodeModelNotFound   = "model_not_found"   // 404: no alias or chain of this name
	CodeModelNotAllowed = "model_not_allowed" // 403
	CodeModelUnpriced   = "model_unpriced"    // 403: nobody knows its price, and the key has a budget
	CodeWrongFormat     = "wrong_format"      // 400: the model is of another format than the endpoint

	// The caller may, but not so much.
	CodeRateLimited    = "rate_limit_exceeded" // 429
	CodeBudgetExceeded = "budget_exceeded"     // BudgetStatus; always with NoRetry, for waiting minutes does not help

	// The caller asked before, under the same Idempotency-Key.
	CodeIdempotencyReused   = "idempotency_key_reused" // 422: for another request
	CodeIdempotencyUnderWay = "idempotency_under_way"  // 409: it is not answered yet
	CodeIdempotencyFinished = "idempotency_finished"   // 409: it was answered, and the answer is not kept
	CodeIdempotencyLost     = "idempotency_lost"       // 409: it may have been made, nobody knows

	// The provider did not answer well.
	CodeUpstreamError       = "upstream_error"        // 502
	CodeUpstreamTimeout     = "upstream_timeout"      // 504
	CodeUpstreamRateLimited = "upstream_rate_limited" // 429: it limits the gateway's requests
	CodeUpstreamAuth        = "upstream_auth"         // 502: it refused the gateway's credential
	CodeStreamInterrupted   = "stream_interrupted"    // in-band: it broke off in the middle of a stream
	CodeNothingAvailable    = "no_step_available"     // 503: every step is out for the moment

	// The gateway cannot.
	CodeShuttingDown      = "shutting_down"      // 503, or in-band: it ends, and another one may take the request
	CodePolicyFailed      = "policy_failed"      // 503: a policy broke, and without it nobody is let in
	CodeLedgerUnavailable = "ledger_unavailable" // 503: what the request costs could not be booked
	CodeInternalError     = "internal_error"     // 500
)

// Refuse makes the error for a request that is wrong in itself: status 400.
func Refuse(code, param, format string, args ...any) *Error {
	return &Error{Status: 400, Code: code, Param: param, Message: fmt.Sprintf(format, args...)}
}

// BudgetStatus is the status under which the clients of a dialect expect to hear that the money is spent.
func BudgetStatus(f Format) int {
	if f == Anthropic {
		return 402
	}
	return 429
}

// AppendError appends the JSON body of an error in a dialect. Every dialect carries the stable code and the request id.
func AppendError(dst []byte, f Format, e *Error, requestID []byte) []byte {
	switch f {
	case Anthropic:
		return appendJSON(dst, anthropicErrorOf(e, requestID))
	case Gemini:
		return appendJSON(dst, geminiErrorOf(e, requestID))
	}
	return appendJSON(dst, openAIErrorEnvelope{Error: openAIErrorOf(e, requestID)})
}

// AppendStreamError appends what a client is sent when its stream cannot go on: an error in the dialect's own
// in-band form, and never an event that would end the stream well. events counts those relayed so far; in the JSON
// array form the closing bracket must not have been relayed yet.
func AppendStreamError(dst []byte, r *Route, e *Error, requestID []byte, events int) []byte {
	switch {
	case r.Format == Anthropic:
		dst = AppendError(append(dst, "event: error\ndata: "...), Anthropic, e, requestID)
		return append(dst, "\n\n"...)
	case r.Format == Gemini && r.Framing == JSONArray:
		open := byte(',')
		if events == 0 {
			open = '['
		}
		return append(AppendError(append(dst, open), Gemini, e, requestID), ']')
	case r.Format == Gemini:
		return append(AppendError(append(dst, "data: "...), Gemini, e, requestID), "\r\n\r\n"...)
	case r.Operation == Responses:
		dst = appendJSON(append(dst, "event: error\ndata: "...), responsesErrorOf(e, requestID, events))
		return append(dst, "\n\n"...)
	}
	return append(AppendError(append(dst, "data: "...), OpenAI, e, requestID), "\n\n"...)
}

// appendJSON appends the encoding of one of this package's answer types, without HTML escapes.
func appendJSON(dst []byte, v any) []byte {
	buf := bytes.NewBuffer(dst)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("formats: an answer type that cannot be encoded: " + err.Error())
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}
