package formats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
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
	CodeModelMissing         = "model_missing"          // 400
	CodeTooDeep              = "too_deep"               // 400: nested deeper than MaxDepth
	CodeInvalidRequest       = "invalid_request"        // 400: anything else that is wrong with it
	CodeUnsupportedMediaType = "unsupported_media_type" // 415
	CodeBodyTooLarge         = "body_too_large"         // 413
	CodeHeaderTooLarge       = "header_too_large"       // 431
	CodeRequestTimeout       = "request_timeout"        // 408: the request did not arrive in time
	CodeRouteNotFound        = "route_not_found"        // 404
	CodeMethodNotAllowed     = "method_not_allowed"     // 405

	// The caller may not.
	CodeInvalidAPIKey   = "invalid_api_key"   // 401: no credential, or one that nobody knows
	CodeKeyDisabled     = "key_disabled"      // 401
	CodeKeyRevoked      = "key_revoked"       // 401
	CodeKeyExpired      = "key_expired"       // 401
	CodePolicyDenied    = "policy_denied"     // 400 to 499: a policy said no
	CodeModelNotFound   = "model_not_found"   // 404: no alias or chain of this name
	CodeModelNotAllowed = "model_not_allowed" // 403
	CodeWrongFormat     = "wrong_format"      // 400: the model is of another format than the endpoint

	// The provider did not answer well.
	CodeUpstreamError       = "upstream_error"        // 502
	CodeUpstreamTimeout     = "upstream_timeout"      // 504
	CodeUpstreamRateLimited = "upstream_rate_limited" // 429: it limits the gateway's requests
	CodeUpstreamAuth        = "upstream_auth"         // 502: it refused the gateway's credential
	CodeStreamInterrupted   = "stream_interrupted"    // in-band: it broke off in the middle of a stream

	// The gateway cannot.
	CodePolicyFailed  = "policy_failed"  // 503: a policy broke, and without it nobody is let in
	CodeInternalError = "internal_error" // 500
	CodeOverloaded    = "overloaded"     // 503
	CodeShuttingDown  = "shutting_down"  // 503
)

// Refuse makes the error for a request that is wrong in itself: status 400.
func Refuse(code, param, format string, args ...any) *Error {
	return &Error{Status: 400, Code: code, Param: param, Message: fmt.Sprintf(format, args...)}
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

type openAIErrorEnvelope struct {
	Error openAIError `json:"error"`
}

type openAIError struct {
	Message   string  `json:"message"`
	Type      string  `json:"type"`
	Param     *string `json:"param"`
	Code      string  `json:"code"`
	RequestID string  `json:"request_id,omitempty"`
}

func openAIErrorOf(e *Error, requestID []byte) openAIError {
	return openAIError{
		Message: e.Message, Type: openAIType(e.Status), Param: orNull(e.Param), Code: e.Code, RequestID: string(requestID),
	}
}

// responsesError is the error event of the responses API. Its documented form is flat; the official clients raise an
// exception only for an "error" object, as chat streams have it, so both are there.
type responsesError struct {
	Type           string      `json:"type"`
	SequenceNumber int         `json:"sequence_number"`
	Code           string      `json:"code"`
	Message        string      `json:"message"`
	Param          *string     `json:"param"`
	Error          openAIError `json:"error"`
}

func responsesErrorOf(e *Error, requestID []byte, events int) responsesError {
	inner := openAIErrorOf(e, requestID)
	return responsesError{
		Type: "error", SequenceNumber: events, Code: e.Code, Message: e.Message, Param: inner.Param, Error: inner,
	}
}

func openAIType(status int) string {
	switch {
	case status == 403:
		return "permission_error"
	case status == 429:
		return "rate_limit_error"
	case status >= 500:
		return "server_error"
	}
	return "invalid_request_error"
}

type anthropicErrorEnvelope struct {
	Type      string         `json:"type"`
	Error     anthropicError `json:"error"`
	RequestID string         `json:"request_id,omitempty"`
}

type anthropicError struct {
	Type    string `json:"type"`
	Message string `json:"message"`
	Code    string `json:"code"` // not Anthropic's: its types are too few to tell our refusals apart
}

func anthropicErrorOf(e *Error, requestID []byte) anthropicErrorEnvelope {
	return anthropicErrorEnvelope{
		Type:      "error",
		Error:     anthropicError{Type: anthropicType(e.Status), Message: e.Message, Code: e.Code},
		RequestID: string(requestID),
	}
}

func anthropicType(status int) string {
	switch status {
	case 401:
		return "authentication_error"
	case 402:
		return "billing_error"
	case 403:
		return "permission_error"
	case 404:
		return "not_found_error"
	case 413:
		return "request_too_large"
	case 429:
		return "rate_limit_error"
	case 503, 529:
		return "overloaded_error"
	case 504:
		return "timeout_error"
	}
	if status >= 500 {
		return "api_error"
	}
	return "invalid_request_error"
}

type geminiErrorEnvelope struct {
	Error geminiError `json:"error"`
}

type geminiError struct {
	Code    int            `json:"code"`
	Message string         `json:"message"`
	Status  string         `json:"status"`
	Details []geminiDetail `json:"details"`
}

// geminiDetail is any of the google.rpc detail messages that we use; empty fields are those of the others.
type geminiDetail struct {
	Type       string `json:"@type"`
	Reason     string `json:"reason,omitempty"`     // ErrorInfo
	Domain     string `json:"domain,omitempty"`     // ErrorInfo
	RequestID  string `json:"requestId,omitempty"`  // RequestInfo
	RetryDelay string `json:"retryDelay,omitempty"` // RetryInfo
}

func geminiErrorOf(e *Error, requestID []byte) geminiErrorEnvelope {
	const rpc = "type.googleapis.com/google.rpc."
	details := []geminiDetail{
		{Type: rpc + "ErrorInfo", Reason: e.Code, Domain: "sallyport"},
		{Type: rpc + "RequestInfo", RequestID: string(requestID)},
	}
	if e.RetryAfter > 0 {
		delay := strconv.FormatFloat(e.RetryAfter.Seconds(), 'f', -1, 64) + "s"
		details = append(details, geminiDetail{Type: rpc + "RetryInfo", RetryDelay: delay})
	}
	return geminiErrorEnvelope{geminiError{Code: e.Status, Message: e.Message, Status: geminiStatus(e.Status), Details: details}}
}

// geminiStatus maps back what google.rpc.Code maps to HTTP.
func geminiStatus(status int) string {
	switch status {
	case 401:
		return "UNAUTHENTICATED"
	case 403:
		return "PERMISSION_DENIED"
	case 404:
		return "NOT_FOUND"
	case 409:
		return "ABORTED"
	case 429:
		return "RESOURCE_EXHAUSTED"
	case 499:
		return "CANCELLED"
	case 500:
		return "INTERNAL"
	case 501:
		return "UNIMPLEMENTED"
	case 408, 504:
		return "DEADLINE_EXCEEDED"
	}
	if status > 500 {
		return "UNAVAILABLE"
	}
	return "INVALID_ARGUMENT"
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
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
