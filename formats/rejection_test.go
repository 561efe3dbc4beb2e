package formats

import (
	"net/http"
	"testing"
	"time"
)

func TestReadRejection(t *testing.T) {
	facts := []struct {
		name   string
		format Format
		status int
		body   string
		want   Rejection
	}{
		{"openai: context", OpenAI, 400, `{"error":{"message":"This model's maximum context length is 8192 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`, Rejection{400, PromptTooLong, 0}},
		{"openai kin without a code: context", OpenAI, 400, `{"object":"error","message":"This model's maximum context length is 4096 tokens.","type":"BadRequestError","code":400}`, Rejection{400, PromptTooLong, 0}},
		{"anthropic: context", Anthropic, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 212345 tokens > 200000 maximum"}}`, Rejection{400, PromptTooLong, 0}},
		{"anthropic: context with the answer", Anthropic, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"input length and ` + "`max_tokens`" + ` exceed context limit: 1 + 2 > 2"}}`, Rejection{400, PromptTooLong, 0}},
		{"gemini: context", Gemini, 400, `{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}`, Rejection{400, PromptTooLong, 0}},
		{"openai: content", OpenAI, 400, `{"error":{"code":"content_policy_violation","message":"no","type":"invalid_request_error"}}`, Rejection{400, ContentRefused, 0}},
		{"azure: content", OpenAI, 400, `{"error":{"code":"content_filter","message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","status":400}}`, Rejection{400, ContentRefused, 0}},
		{"anthropic: content", Anthropic, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"Output blocked by content filtering policy"}}`, Rejection{400, ContentRefused, 0}},
		{"openai: model", OpenAI, 404, `{"error":{"code":"model_not_found","message":"The model x does not exist","type":"invalid_request_error"}}`, Rejection{404, ModelUnknown, 0}},
		{"anthropic: model", Anthropic, 404, `{"type":"error","error":{"type":"not_found_error","message":"model: claude-x"}}`, Rejection{404, ModelUnknown, 0}},
		{"gemini: model", Gemini, 404, `{"error":{"code":404,"message":"models/x is not found for API version v1beta","status":"NOT_FOUND"}}`, Rejection{404, ModelUnknown, 0}},
		{"deepseek: model", OpenAI, 400, `{"error":{"message":"Model Not Exist","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}`, Rejection{400, ModelUnknown, 0}},
		{"openai: quota", OpenAI, 429, `{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, Rejection{429, CredentialRefused, 0}},
		{"openai: rate", OpenAI, 429, `{"error":{"message":"Rate limit reached","type":"tokens","code":"rate_limit_exceeded"}}`, Rejection{429, OtherReason, 0}},
		{"anthropic: credit", Anthropic, 400, `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API."}}`, Rejection{400, CredentialRefused, 0}},
		{"gemini: key", Gemini, 400, `{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}`, Rejection{400, CredentialRefused, 0}},
		{"gemini in an array: wait", Gemini, 429, `[{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}]`, Rejection{429, OtherReason, 34500 * time.Millisecond}},
		{"401", OpenAI, 401, ``, Rejection{401, CredentialRefused, 0}},
		{"400", OpenAI, 400, `{"error":{"message":"messages is required"}}`, Rejection{400, OtherReason, 0}},
		{"422 in a text", OpenAI, 422, `{"error":"invalid"}`, Rejection{422, OtherReason, 0}},
		{"not JSON", OpenAI, 400, `<html>`, Rejection{400, OtherReason, 0}},
		{"another shape", OpenAI, 400, `{"error":{"details":"x","message":7}}`, Rejection{400, OtherReason, 0}},

		{"event of anthropic", Anthropic, 0, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, Rejection{529, OtherReason, 0}},
		{"event of openai", OpenAI, 0, `{"error":{"message":"oops","type":"server_error","code":null}}`, Rejection{500, OtherReason, 0}},
		{"event of openai with a number", OpenAI, 0, `{"error":{"message":"busy","code":503}}`, Rejection{503, OtherReason, 0}},
		{"event of the responses", OpenAI, 0, `{"type":"error","code":"rate_limit_exceeded","message":"slow down","param":null}`, Rejection{429, OtherReason, 0}},
		{"failed response", OpenAI, 0, `{"type":"response.failed","response":{"error":{"code":"server_error","message":"x"}}}`, Rejection{500, OtherReason, 0}},
		{"event of gemini", Gemini, 0, `{"error":{"code":503,"status":"UNAVAILABLE"}}`, Rejection{503, OtherReason, 0}},
		{"event that says nothing", OpenAI, 0, `{}`, Rejection{500, OtherReason, 0}},
	}
	for _, f := range facts {
		if got := ReadRejection(f.format, f.status, []byte(f.body)); got != f.want {
			t.Errorf("%s: %+v, want %+v", f.name, got, f.want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	const most = 5 * time.Minute
	facts := []struct {
		after, ms string
		want      time.Duration
	}{
		{"", "", 0},
		{"7", "", 7 * time.Second},
		{"1.5", "", 1500 * time.Millisecond},
		{"7", "250", 250 * time.Millisecond},
		{"0", "", 0},
		{"-1", "", 0},
		{"soon", "", 0},
		{"NaN", "", 0},
		{"999999999999999999999", "", most},
		{now.Add(90 * time.Second).Format(http.TimeFormat), "", 90 * time.Second},
		{now.Add(-time.Second).Format(http.TimeFormat), "", 0},
		{now.Add(time.Hour).Format(http.TimeFormat), "", most},
	}
	for _, f := range facts {
		if got := RetryAfter([]byte(f.after), []byte(f.ms), now, most); got != f.want {
			t.Errorf("%q, %q: %v, want %v", f.after, f.ms, got, f.want)
		}
	}
}

func FuzzReadRejection(f *testing.F) {
	f.Add(uint8(0), 400, []byte(`{"error":{"code":"context_length_exceeded","details":[{"retryDelay":"1s"}]}}`))
	f.Add(uint8(2), 0, []byte(`[{"error":{"code":429}}]`))
	f.Fuzz(func(t *testing.T, format uint8, status int, body []byte) {
		got := ReadRejection(Format(format)%NumFormats, status, body)
		if status != 0 && got.Status != status || status == 0 && (got.Status < 400 || got.Status > 599) || got.RetryAfter < 0 {
			t.Errorf("%+v", got)
		}
	})
}
