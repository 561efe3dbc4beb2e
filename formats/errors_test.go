package formats

import (
	"encoding/json"
	"testing"
	"time"
)

func TestAppendError(t *testing.T) {
	refused := &Error{Status: 400, Code: CodeDuplicateField, Param: "model", Message: `duplicate key "model" <&>`}
	tests := []struct {
		name   string
		format Format
		err    *Error
		want   string
	}{
		{"openai", OpenAI, refused,
			`{"error":{"message":"duplicate key \"model\" <&>","type":"invalid_request_error","param":"model","code":"duplicate_field","request_id":"req_1"}}`},
		{"openai without a parameter", OpenAI, &Error{Status: 502, Code: CodeUpstreamError, Message: "m"},
			`{"error":{"message":"m","type":"server_error","param":null,"code":"upstream_error","request_id":"req_1"}}`},
		{"anthropic", Anthropic, refused,
			`{"type":"error","error":{"type":"invalid_request_error","message":"duplicate key \"model\" <&>","code":"duplicate_field"},"request_id":"req_1"}`},
		{"gemini", Gemini, refused,
			`{"error":{"code":400,"message":"duplicate key \"model\" <&>","status":"INVALID_ARGUMENT","details":[` +
				`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"duplicate_field","domain":"sallyport"},` +
				`{"@type":"type.googleapis.com/google.rpc.RequestInfo","requestId":"req_1"}]}}`},
		{"gemini says when to come back", Gemini, &Error{Status: 429, Code: "x", Message: "m", RetryAfter: 1500 * time.Millisecond},
			`{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[` +
				`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"x","domain":"sallyport"},` +
				`{"@type":"type.googleapis.com/google.rpc.RequestInfo","requestId":"req_1"},` +
				`{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1.5s"}]}}`},
		{"what is not UTF-8 is mended", OpenAI, &Error{Status: 400, Code: "x", Message: "a\xffb\n"},
			"{\"error\":{\"message\":\"a\\ufffdb\\n\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"x\",\"request_id\":\"req_1\"}}"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := string(AppendError([]byte("HEAD"), test.format, test.err, []byte("req_1"))); got != "HEAD"+test.want {
				t.Errorf("\n got %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestMoneyErrors pins how the dialects say that money or a limit is used up: the types are those that the official
// clients and their users look for, and our own code is always there.
func TestMoneyErrors(t *testing.T) {
	const detail = `{"@type":"type.googleapis.com/google.rpc.`
	tests := []struct {
		name   string
		format Format
		err    *Error
		want   string
	}{
		{"openai, budget", OpenAI, &Error{Status: BudgetStatus(OpenAI), Code: CodeBudgetExceeded, Message: "m"},
			`{"error":{"message":"m","type":"insufficient_quota","param":null,"code":"insufficient_quota","reason":"budget_exceeded","request_id":"r"}}`},
		{"anthropic, budget", Anthropic, &Error{Status: BudgetStatus(Anthropic), Code: CodeBudgetExceeded, Message: "m"},
			`{"type":"error","error":{"type":"billing_error","message":"m","code":"budget_exceeded"},"request_id":"r"}`},
		{"gemini, budget", Gemini, &Error{Status: BudgetStatus(Gemini), Code: CodeBudgetExceeded, Message: "m"},
			`{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[` +
				detail + `ErrorInfo","reason":"budget_exceeded","domain":"sallyport"},` + detail + `RequestInfo","requestId":"r"}]}}`},
		{"openai, limit", OpenAI, &Error{Status: 429, Code: CodeRateLimited, Message: "m"},
			`{"error":{"message":"m","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded","request_id":"r"}}`},
		{"anthropic, limit", Anthropic, &Error{Status: 429, Code: CodeRateLimited, Message: "m"},
			`{"type":"error","error":{"type":"rate_limit_error","message":"m","code":"rate_limit_exceeded"},"request_id":"r"}`},
		{"gemini, limit", Gemini, &Error{Status: 429, Code: CodeRateLimited, Message: "m", RetryAfter: 2 * time.Second},
			`{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[` +
				detail + `ErrorInfo","reason":"rate_limit_exceeded","domain":"sallyport"},` + detail + `RequestInfo","requestId":"r"},` +
				detail + `RetryInfo","retryDelay":"2s"}]}}`},
		{"openai, key", OpenAI, &Error{Status: 401, Code: CodeKeyExpired, Message: "m"},
			`{"error":{"message":"m","type":"invalid_request_error","param":null,"code":"key_expired","request_id":"r"}}`},
		{"anthropic, team", Anthropic, &Error{Status: 403, Code: CodeTeamDisabled, Message: "m"},
			`{"type":"error","error":{"type":"permission_error","message":"m","code":"team_disabled"},"request_id":"r"}`},
		{"gemini, ledger", Gemini, &Error{Status: 503, Code: CodeLedgerUnavailable, Message: "m"},
			`{"error":{"code":503,"message":"m","status":"UNAVAILABLE","details":[` +
				detail + `ErrorInfo","reason":"ledger_unavailable","domain":"sallyport"},` + detail + `RequestInfo","requestId":"r"}]}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := string(AppendError(nil, test.format, test.err, []byte("r"))); got != test.want {
				t.Errorf("\n got %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestErrorTypes(t *testing.T) {
	tests := []struct {
		status                    int
		openAI, anthropic, gemini string
	}{
		{400, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"},
		{401, "invalid_request_error", "authentication_error", "UNAUTHENTICATED"},
		{402, "invalid_request_error", "billing_error", "INVALID_ARGUMENT"},
		{403, "permission_error", "permission_error", "PERMISSION_DENIED"},
		{404, "invalid_request_error", "not_found_error", "NOT_FOUND"},
		{405, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"},
		{408, "invalid_request_error", "invalid_request_error", "DEADLINE_EXCEEDED"},
		{409, "invalid_request_error", "invalid_request_error", "ABORTED"},
		{413, "invalid_request_error", "request_too_large", "INVALID_ARGUMENT"},
		{429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"},
		{500, "server_error", "api_error", "INTERNAL"},
		{502, "server_error", "api_error", "UNAVAILABLE"},
		{503, "server_error", "overloaded_error", "UNAVAILABLE"},
		{504, "server_error", "timeout_error", "DEADLINE_EXCEEDED"},
	}
	for _, test := range tests {
		if got := openAIType(test.status); got != test.openAI {
			t.Errorf("openai %d: %s, want %s", test.status, got, test.openAI)
		}
		if got := anthropicType(test.status); got != test.anthropic {
			t.Errorf("anthropic %d: %s, want %s", test.status, got, test.anthropic)
		}
		if got := geminiStatus(test.status); got != test.gemini {
			t.Errorf("gemini %d: %s, want %s", test.status, got, test.gemini)
		}
	}
}

func TestAppendStreamError(t *testing.T) {
	cut := &Error{Status: 502, Code: CodeStreamInterrupted, Message: "m"}
	geminiArray := Route{Format: Gemini, Operation: Generate, Framing: JSONArray}
	const openAI = `{"message":"m","type":"server_error","param":null,"code":"stream_interrupted","request_id":"r"}`
	const gemini = `{"error":{"code":502,"message":"m","status":"UNAVAILABLE","details":[` +
		`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"stream_interrupted","domain":"sallyport"},` +
		`{"@type":"type.googleapis.com/google.rpc.RequestInfo","requestId":"r"}]}}`
	tests := []struct {
		name   string
		route  Route
		events int
		want   string
	}{
		{"chat", chatRoute, 3, `data: {"error":` + openAI + "}\n\n"},
		{"responses", responsesRoute, 3, `event: error` + "\n" +
			`data: {"type":"error","sequence_number":3,"code":"stream_interrupted","message":"m","param":null,"error":` + openAI + "}\n\n"},
		{"messages", messagesRoute, 3, "event: error\n" +
			`data: {"type":"error","error":{"type":"api_error","message":"m","code":"stream_interrupted"},"request_id":"r"}` + "\n\n"},
		{"gemini", geminiRoute, 3, `data: ` + gemini + "\r\n\r\n"},
		{"a gemini array that has begun", geminiArray, 3, "," + gemini + "]"},
		{"a gemini array that has not", geminiArray, 0, "[" + gemini + "]"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := string(AppendStreamError(nil, &test.route, cut, []byte("r"), test.events))
			if got != test.want {
				t.Errorf("\n got %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestStreamErrorIsSeen reads our own errors with our own reader: they end no stream well, and they are failures.
func TestStreamErrorIsSeen(t *testing.T) {
	for _, route := range []Route{chatRoute, completionsRoute, messagesRoute, geminiRoute} {
		var s Splitter
		s.Reset(SSE)
		_, data, ok := s.Next(AppendStreamError(nil, &route, &Error{Status: 502, Code: CodeStreamInterrupted}, nil, 1))
		var m Meter
		m.Reset(&route, true)
		if e := m.Event(data); !ok || e != Failure || m.Complete() {
			t.Errorf("%v: event %05b, complete %v", route.Operation, e, m.Complete())
		}
	}
	array := Route{Format: Gemini, Operation: Generate, Framing: JSONArray}
	if cut := AppendStreamError([]byte(`[{}`), &array, &Error{}, nil, 1); !json.Valid(cut) {
		t.Errorf("not an array: %s", cut)
	}
}

func TestAppendModels(t *testing.T) {
	models := []Model{{ID: "coding", Provider: "deepseek", Context: 128000, Created: 1767225600}, {ID: `a"b`, Provider: "local"}}
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{"openai", AppendModels(nil, OpenAI, models), `{"object":"list","data":[{"id":"coding","object":"model","created":1767225600,"owned_by":"deepseek"},{"id":"a\"b","object":"model","created":0,"owned_by":"local"}]}`},
		{"openai, one", AppendModel(nil, OpenAI, &models[0]), `{"id":"coding","object":"model","created":1767225600,"owned_by":"deepseek"}`},
		{"openai, none", AppendModels(nil, OpenAI, nil), `{"object":"list","data":[]}`},
		{"anthropic", AppendModels(nil, Anthropic, models), `{"data":[{"type":"model","id":"coding","display_name":"coding","created_at":"2026-01-01T00:00:00Z"},{"type":"model","id":"a\"b","display_name":"a\"b","created_at":"1970-01-01T00:00:00Z"}],"has_more":false,"first_id":"coding","last_id":"a\"b"}`},
		{"anthropic, one", AppendModel(nil, Anthropic, &models[0]), `{"type":"model","id":"coding","display_name":"coding","created_at":"2026-01-01T00:00:00Z"}`},
		{"anthropic, none", AppendModels(nil, Anthropic, nil), `{"data":[],"has_more":false,"first_id":null,"last_id":null}`},
		{"gemini", AppendModels(nil, Gemini, models[:1]), `{"models":[{"name":"models/coding","baseModelId":"coding","version":"1","displayName":"coding","description":"Served by deepseek","inputTokenLimit":128000,"supportedGenerationMethods":["generateContent","streamGenerateContent","countTokens","embedContent","batchEmbedContents"]}]}`},
		{"gemini, one of unknown size", AppendModel(nil, Gemini, &models[1]), `{"name":"models/a\"b","baseModelId":"a\"b","version":"1","displayName":"a\"b","description":"Served by local","supportedGenerationMethods":["generateContent","streamGenerateContent","countTokens","embedContent","batchEmbedContents"]}`},
		{"gemini, none", AppendModels(nil, Gemini, nil), `{"models":[]}`},
	}
	for _, test := range tests {
		if string(test.got) != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, test.got, test.want)
		}
	}
}
