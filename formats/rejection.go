package formats

import (
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Reason is what a provider's refusal is about, as far as it decides what may be tried next.
type Reason uint8

// The reasons.
const (
	OtherReason       Reason = iota
	PromptTooLong            // the prompt does not fit the model's context
	ModelUnknown             // the provider does not know the model, or not for this account
	ContentRefused           // what was asked, or would be answered, is against the provider's rules
	CredentialRefused        // the gateway's own credential: wrong, without credit, or over its spend limit
)

// Rejection is what a provider's error says.
type Rejection struct {
	Status     int // of HTTP, that the error amounts to; 0 if it does not say
	Reason     Reason
	RetryAfter time.Duration // as the body asks for; 0 if it does not
}

// MaxRejection is as much of an error as ReadRejection needs to see.
const MaxRejection = 64 << 10

// providerError is an error in any of the dialects: their members do not contradict each other.
type providerError struct {
	Type    string          `json:"type"`
	Code    json.RawMessage `json:"code"` // a text, a number, or null
	Status  string          `json:"status"`
	Message string          `json:"message"`
	Param   string          `json:"param"`
	Details []struct {
		Type       string `json:"@type"`
		Reason     string `json:"reason"`
		RetryDelay string `json:"retryDelay"`
	} `json:"details"`
}

// ReadRejection reads an error: the body of an answer of this status, or with status 0 an event of a stream. What
// cannot be read says nothing, and is no reason to fail in another way.
func ReadRejection(f Format, status int, body []byte) Rejection {
	e := findError(body[:min(len(body), MaxRejection)])
	r := Rejection{Status: status}
	if status == 0 {
		r.Status = e.status()
	}
	r.RetryAfter = e.retryDelay()
	r.Reason = e.reason(f, r.Status)
	return r
}

// findError finds the error within the envelopes that the dialects put around it: {"error": …}, {"response":
// {"error": …}}, gemini's array, or none.
func findError(body []byte) (e providerError) {
	var envelope struct {
		Error    json.RawMessage `json:"error"`
		Response struct {
			Error json.RawMessage `json:"error"`
		} `json:"response"`
	}
	var list []json.RawMessage
	if json.Unmarshal(body, &list) == nil && len(list) > 0 {
		body = list[0]
	}
	_ = json.Unmarshal(body, &envelope)
	for _, candidate := range [][]byte{envelope.Error, envelope.Response.Error, body} {
		if len(candidate) == 0 || string(candidate) == "null" {
			continue
		}
		if json.Unmarshal(candidate, &e.Message) != nil { // some say {"error": "a text"}
			_ = json.Unmarshal(candidate, &e)
		}
		return e
	}
	return e
}

// code is the error's code if it is a text.
func (e *providerError) code() (s string) {
	_ = json.Unmarshal(e.Code, &s)
	return s
}

// statusOfType is the status that a type, code or state amounts to where it stands in a stream.
var statusOfType = map[string]int{
	"invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
	"not_found_error": 404, "request_too_large": 413, "rate_limit_error": 429, "api_error": 500, "timeout_error": 504,
	"overloaded_error": 529,

	"invalid_request": 400, "invalid_prompt": 400, "context_length_exceeded": 400, "content_policy_violation": 400,
	"content_filter": 400, "invalid_api_key": 401, "insufficient_quota": 429, "rate_limit_exceeded": 429, "tokens": 429,
	"requests": 429, "server_error": 500, "vector_store_timeout": 504, "model_not_found": 404,

	"INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403,
	"NOT_FOUND": 404, "RESOURCE_EXHAUSTED": 429, "INTERNAL": 500, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504,
}

// status is the HTTP status that the error amounts to; 500 for one that names none.
func (e *providerError) status() int {
	var number int
	if json.Unmarshal(e.Code, &number) == nil && number >= 400 && number <= 599 {
		return number
	}
	for _, name := range []string{e.code(), e.Status, e.Type} {
		if status, known := statusOfType[name]; known {
			return status
		}
	}
	return http.StatusInternalServerError
}

// retryDelay is how long google.rpc.RetryInfo asks to wait.
func (e *providerError) retryDelay() time.Duration {
	for _, d := range e.Details {
		if strings.HasSuffix(d.Type, "google.rpc.RetryInfo") {
			if wait, err := time.ParseDuration(d.RetryDelay); err == nil && wait > 0 {
				return wait
			}
		}
	}
	return 0
}

// reason finds out what the error is about: by its codes, and by the words of providers that give none.
func (e *providerError) reason(f Format, status int) Reason {
	code, message := e.code(), strings.ToLower(e.Message)
	says := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(message, p) {
				return true
			}
		}
		return false
	}
	switch {
	case e.refusesCredential(f, status, code, says):
		return CredentialRefused
	case status == 400 || status == 413 || status == 422:
		switch {
		case code == "context_length_exceeded" || says("maximum context length", "context window", "prompt is too long",
			"exceed context limit", "input token count", "context_length_exceeded", "maximum prompt length"):
			return PromptTooLong
		case code == "content_policy_violation" || code == "content_filter" || code == "moderation_blocked" ||
			code == "invalid_prompt" || says("content filtering policy", "content management policy", "safety system"):
			return ContentRefused
		case code == "model_not_found" || says("model not exist", "invalid model", "unknown model"):
			return ModelUnknown
		}
	case status == 404:
		if code == "model_not_found" || e.Type == "not_found_error" || says("model") {
			return ModelUnknown
		}
	}
	return OtherReason
}

// refusesCredential recognises refusals of the credential that come under other statuses than 401, 402 and 403.
func (e *providerError) refusesCredential(f Format, status int, code string, says func(...string) bool) bool {
	switch {
	case status == 401 || status == 402 || status == 403:
		return true
	case code == "insufficient_quota" || code == "billing_hard_limit_reached" || code == "billing_not_active" || code == "invalid_api_key":
		return true
	case e.Type == "billing_error" || e.Type == "insufficient_quota":
		return true
	case f == Anthropic:
		return (status == 400 || status == 429) && says("credit balance", "spend limit", "api usage limits")
	case f == Gemini && status == 400:
		for _, d := range e.Details {
			if d.Reason == "API_KEY_INVALID" {
				return true
			}
		}
		return says("api key not valid", "api key expired")
	}
	return false
}

// RetryAfter reads how long the header of an answer asks to wait: Retry-After in seconds or as a date, or
// retry-after-ms; 0 if it asks for nothing that can be read. Nothing asks for more than most.
func RetryAfter(after, afterMS []byte, now time.Time, most time.Duration) time.Duration {
	if ms, ok := positive(afterMS); ok {
		return scaled(ms, time.Millisecond, most)
	}
	if seconds, ok := positive(after); ok {
		return scaled(seconds, time.Second, most)
	}
	if at, err := http.ParseTime(string(after)); err == nil {
		return min(max(at.Sub(now), 0), most)
	}
	return 0
}

// positive reads a number that is not negative; some providers send fractions.
func positive(text []byte) (float64, bool) {
	n, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	return n, err == nil && n >= 0 && !math.IsInf(n, 0)
}

func scaled(n float64, unit, most time.Duration) time.Duration {
	if n >= float64(most)/float64(unit) {
		return most
	}
	return time.Duration(n * float64(unit))
}
