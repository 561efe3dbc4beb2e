package faults

import (
	"fmt"
	"strconv"
)

// What an error is about, beside its status.
const (
	kindContext = "context"
	kindPolicy  = "policy"
	kindModel   = "model"
	kindQuota   = "quota"
	kindCredit  = "credit"
	kindKey     = "key"
	kindNumber  = "number" // nothing but its status, which openai's kin put into code where it stands in a stream
)

// Secret is in every error of a provider: it must reach no client unless the error is the client's own to read.
const Secret = "sk-proj-f00d of org-f00d"

// wording is how a dialect words an error: its type, code and message. In gemini the type is the status's name, and
// the code the reason of an ErrorInfo.
type wording struct{ kind, code, message string }

// wordings are those errors that are known by their words. They are worded as the providers do.
func (a API) wording(about string, status int) wording {
	switch a.Format() + " " + about {
	case "openai context":
		return wording{"invalid_request_error", "context_length_exceeded", "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens. Please reduce the length of the messages."}
	case "openai policy":
		return wording{"invalid_request_error", "content_policy_violation", "Your request was rejected as a result of our safety system."}
	case "openai model":
		return wording{"invalid_request_error", "model_not_found", "The model `gpt-x` does not exist or you do not have access to it."}
	case "openai quota":
		return wording{"insufficient_quota", "insufficient_quota", "You exceeded your current quota, please check your plan and billing details."}
	case "anthropic context":
		return wording{"invalid_request_error", "", "prompt is too long: 212345 tokens > 200000 maximum"}
	case "anthropic policy":
		return wording{"invalid_request_error", "", "Output blocked by content filtering policy"}
	case "anthropic model":
		return wording{"not_found_error", "", "model: claude-x"}
	case "anthropic credit":
		return wording{"invalid_request_error", "", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."}
	case "gemini context":
		return wording{"INVALID_ARGUMENT", "", "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."}
	case "gemini policy":
		return wording{"INVALID_ARGUMENT", "", "The request was rejected by the safety system."}
	case "gemini model":
		return wording{"NOT_FOUND", "", "models/gemini-x is not found for API version v1beta, or is not supported for generateContent."}
	case "gemini key":
		return wording{"INVALID_ARGUMENT", "API_KEY_INVALID", "API key not valid. Please pass a valid API key."}
	}
	kinds := map[string]map[int]string{
		"openai":    {401: "invalid_request_error", 429: "tokens", 400: "invalid_request_error", 404: "invalid_request_error", 413: "invalid_request_error", 422: "invalid_request_error"},
		"anthropic": {400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error", 413: "request_too_large", 422: "invalid_request_error", 429: "rate_limit_error", 529: "overloaded_error", 503: "overloaded_error"},
		"gemini":    {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"},
	}
	kind := kinds[a.Format()][status]
	switch {
	case kind != "":
	case a.Format() == "openai":
		kind = "server_error"
	case a.Format() == "anthropic":
		kind = "api_error"
	default:
		kind = "INTERNAL"
	}
	return wording{kind, "", "status " + strconv.Itoa(status)}
}

// failure is an error's body. retryInfo is a delay as google.rpc.RetryInfo has it; "" for none.
func (a API) failure(status int, about, retryInfo string) string {
	w := a.wording(about, status)
	w.message += " (" + Secret + ")"
	details := ""
	if retryInfo != "" {
		details = `,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"` + retryInfo + `"}]`
	} else if a.Format() == "gemini" && w.code != "" {
		details = `,"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"` + w.code + `","domain":"googleapis.com"}]`
	}
	switch a.Format() {
	case "anthropic":
		return fmt.Sprintf(`{"type":"error","error":{"type":%q,"message":%s%s},"request_id":"req_f"}`, w.kind, quote(w.message), details)
	case "gemini":
		return fmt.Sprintf(`{"error":{"code":%d,"message":%s,"status":%q%s}}`, status, quote(w.message), w.kind, details)
	}
	code := "null"
	if about == kindNumber {
		code = strconv.Itoa(status)
	} else if w.code != "" {
		code = quote(w.code)
	}
	return fmt.Sprintf(`{"error":{"message":%s,"type":%q,"param":null,"code":%s%s}}`, quote(w.message), w.kind, code, details)
}

// inBand is an error as the payload of an event.
func (a API) inBand(status int) string {
	if a == Responses {
		code := map[int]string{429: "rate_limit_exceeded"}[status]
		if code == "" {
			code = "server_error"
		}
		return fmt.Sprintf(`{"type":"error","sequence_number":99,"code":%q,"message":"status %d","param":null}`, code, status)
	}
	return a.failure(status, kindNumber, "")
}

// errorEvent is the name of the event that carries an error; "" where events have none.
func (a API) errorEvent() string {
	if a == Messages || a == Responses {
		return "error"
	}
	return ""
}
