package formats

import "strconv"

type openAIErrorEnvelope struct {
	Error openAIError `json:"error"`
}

type openAIError struct {
	Message   string  `json:"message"`
	Type      string  `json:"type"`
	Param     *string `json:"param"`
	Code      string  `json:"code"`
	Reason    string  `json:"reason,omitempty"` // our code, where OpenAI's own stands in its place
	RequestID string  `json:"request_id,omitempty"`
}

// insufficientQuota is OpenAI's type and code for spent money. Its clients look for them, so that ours moves aside.
const insufficientQuota = "insufficient_quota"

func openAIErrorOf(e *Error, requestID []byte) openAIError {
	o := openAIError{
		Message: e.Message, Type: openAIType(e.Status), Param: orNull(e.Param), Code: e.Code, RequestID: string(requestID),
	}
	if e.Code == CodeBudgetExceeded {
		o.Type, o.Code, o.Reason = insufficientQuota, insufficientQuota, e.Code
	}
	return o
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
		Type: "error", SequenceNumber: events, Code: inner.Code, Message: e.Message, Param: inner.Param, Error: inner,
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
