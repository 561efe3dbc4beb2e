package formats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
)

var (
	responsesRoute   = Route{Format: OpenAI, Operation: Responses}
	completionsRoute = Route{Format: OpenAI, Operation: Completions}
	embeddingsRoute  = Route{Format: OpenAI, Operation: Embeddings}
	messagesRoute    = Route{Format: Anthropic, Operation: Messages}
	geminiRoute      = Route{Format: Gemini, Operation: Generate, Framing: SSE}
)

func TestEvents(t *testing.T) {
	tests := []struct {
		route Route
		data  string
		want  Event
	}{
		{chatRoute, `{"choices":[{"delta":{"role":"assistant","content":""},"index":0,"finish_reason":null}]}`, 0},
		{chatRoute, `{"choices":[{"delta":{"content":"Hi"},"index":0,"finish_reason":null}]}`, Content},
		{chatRoute, `{"choices":[{"delta":{"content":" "}}]}`, Content},
		{chatRoute, `{"choices":[{"delta":{"reasoning_content":"Hm"}}]}`, Content},
		{chatRoute, `{"choices":[{"delta":{"refusal":"No"}}]}`, Content},
		{chatRoute, `{"choices":[{"delta":{"content":null,"refusal":null}}]}`, 0},
		{chatRoute, `{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]}}]}`, 0},
		{chatRoute, `{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}}]}`, Content},
		{chatRoute, `{"choices":[{"delta":{"tool_calls":[{"index":0,"custom":{"input":"x"}}]}}]}`, Content},
		{chatRoute, `{"choices":[{"delta":{"function_call":{"name":"f","arguments":"{"}}}]}`, Content},
		{chatRoute, `{"choices":[{"delta":{"audio":{"id":"a"}}}]}`, 0},
		{chatRoute, `{"choices":[{"delta":{"audio":{"data":"UklG"}}}]}`, Content},
		{chatRoute, `{"choices":[],"usage":{"prompt_tokens":1}}`, UsageOnly},
		{chatRoute, `{"choices":[],"usage":null}`, 0},
		{chatRoute, `{"choices":[],"prompt_filter_results":[]}`, 0},
		{chatRoute, `{"choices":[{"delta":{}}],"usage":{"prompt_tokens":1}}`, 0},
		{chatRoute, `{"usage":{"prompt_tokens":1}}`, 0},
		{chatRoute, `{"error":{"message":"overloaded"}}`, Failure},
		{chatRoute, `{"error":null,"choices":[]}`, 0},
		{chatRoute, `[DONE]`, Terminal},
		{chatRoute, ` [DONE] `, Terminal},
		{chatRoute, `[DONE`, Malformed},
		{chatRoute, `{"choices":[{"delta":{"content":"Hi"}}]`, Malformed},
		{chatRoute, `{"choices":1,"usage":[],"error":0,"model":{}}`, 0},
		{chatRoute, `{"choices":[1,{"delta":"x"}]}`, 0},
		{chatRoute, `"x"`, 0},
		{chatRoute, ``, 0},
		{completionsRoute, `{"choices":[{"text":" +","index":0,"finish_reason":null}]}`, Content},
		{completionsRoute, `{"choices":[{"text":"","finish_reason":"stop"}]}`, 0},

		{responsesRoute, `{"type":"response.created","response":{"usage":null}}`, 0},
		{responsesRoute, `{"type":"response.output_text.delta","delta":"Hi"}`, Content},
		{responsesRoute, `{"delta":"{","type":"response.function_call_arguments.delta"}`, Content},
		{responsesRoute, `{"type":"response.reasoning_summary_text.delta","delta":"Hm"}`, Content},
		{responsesRoute, `{"type":"response.refusal.delta","delta":"No"}`, Content},
		{responsesRoute, `{"type":"response.audio.delta","delta":"UklG"}`, Content},
		{responsesRoute, `{"type":"response.output_text.delta","delta":""}`, 0},
		{responsesRoute, `{"type":"response.output_text.done","text":"Hi"}`, 0},
		{responsesRoute, `{"type":"response.completed","response":{}}`, Terminal},
		{responsesRoute, `{"type":"response.incomplete","response":{}}`, Terminal},
		{responsesRoute, `{"type":"response.failed","response":{"error":{"code":"x"}}}`, Terminal | Failure},
		{responsesRoute, `{"type":"error","code":"x","message":"y"}`, Terminal | Failure},
		{responsesRoute, `{"error":{"message":"y"}}`, Failure},

		{messagesRoute, `{"type":"message_start","message":{"content":[],"usage":{"input_tokens":1}}}`, 0},
		{messagesRoute, `{"type": "ping"}`, 0},
		{messagesRoute, `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`, 0},
		{messagesRoute, `{"type":"content_block_start","content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}`, 0},
		{messagesRoute, `{"type":"content_block_start","content_block":{"type":"redacted_thinking","data":"Eo"}}`, Content},
		{messagesRoute, `{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}`, Content},
		{messagesRoute, `{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"Hm"}}`, Content},
		{messagesRoute, `{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{"}}`, Content},
		{messagesRoute, `{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":""}}`, 0},
		{messagesRoute, `{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"Eo"}}`, 0},
		{messagesRoute, `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}`, 0},
		{messagesRoute, `{"type":"message_stop"   }`, Terminal},
		{messagesRoute, `{"type":"error","error":{"type":"overloaded_error"}}`, Failure},
		{messagesRoute, `[DONE]`, Malformed},

		{geminiRoute, `{"candidates":[{"content":{"parts":[{"text":"Hi"}],"role":"model"}}]}`, Content},
		{geminiRoute, `{"candidates":[{"content":{"parts":[{"text":"Hm","thought":true}]}}]}`, Content},
		{geminiRoute, `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{}}}]}}]}`, Content},
		{geminiRoute, `{"candidates":[{"content":{"parts":[{"inlineData":{"data":"UklG"}}]}}]}`, Content},
		{geminiRoute, `{"candidates":[{"content":{"parts":[{"text":""}]},"finishReason":"STOP"}]}`, 0},
		{geminiRoute, `{"promptFeedback":{"blockReason":"SAFETY"}}`, 0},
		{geminiRoute, `{"error":{"code":503}}`, Failure},
		{geminiRoute, `{"usageMetadata":{"promptTokenCount":1}}`, 0},
	}
	for _, test := range tests {
		var m Meter
		m.Reset(&test.route, true)
		if got := m.Event([]byte(test.data)); got != test.want {
			t.Errorf("%v %s: %05b, want %05b", test.route.Operation, test.data, got, test.want)
		}
		if m.Failed != (test.want&Failure != 0) {
			t.Errorf("%v %s: Failed is %v", test.route.Operation, test.data, m.Failed)
		}
	}
}

func TestComplete(t *testing.T) {
	const finish0, finish1 = `{"choices":[{"index":0,"finish_reason":"stop"}]}`, `{"choices":[{"index":1,"finish_reason":"length"}]}`
	const begin1 = `{"choices":[{"index":1,"delta":{"content":"x"},"finish_reason":null}]}`
	tests := []struct {
		name    string
		route   Route
		choices int
		events  []string
		want    bool
	}{
		{"nothing came", chatRoute, 1, nil, false},
		{"content only", chatRoute, 1, []string{`{"choices":[{"index":0,"delta":{"content":"x"}}]}`}, false},
		{"[DONE]", chatRoute, 1, []string{`[DONE]`}, true},
		{"a finish reason without [DONE]", chatRoute, 1, []string{finish0}, true},
		{"an empty finish reason", chatRoute, 1, []string{`{"choices":[{"finish_reason":""}]}`}, false},
		{"one of two choices goes on", chatRoute, 1, []string{begin1, finish0}, false},
		{"both have finished", chatRoute, 2, []string{begin1, finish0, finish1}, true},
		{"the other has not even begun", chatRoute, 2, []string{finish0}, false},
		{"usage after the finish", chatRoute, 1, []string{finish0, `{"choices":[],"usage":{"prompt_tokens":1}}`}, true},
		{"half an event does not count", chatRoute, 1, []string{`{"choices":[{"index":0,"finish_reason":"stop"}],"usa`}, false},
		{"an error is not an end", chatRoute, 1, []string{`{"error":{"message":"x"}}`}, false},
		{"an index out of all bounds", chatRoute, 1, []string{`{"choices":[{"index":99999,"finish_reason":"stop"}]}`}, true},
		{"completions", completionsRoute, 1, []string{`{"choices":[{"index":0,"text":"x","finish_reason":"length"}]}`}, true},

		{"response.completed", responsesRoute, 1, []string{`{"type":"response.completed"}`}, true},
		{"response.incomplete", responsesRoute, 1, []string{`{"type":"response.incomplete"}`}, true},
		{"response.failed", responsesRoute, 1, []string{`{"type":"response.failed"}`}, true},
		{"error", responsesRoute, 1, []string{`{"type":"error"}`}, true},
		{"an item that is done", responsesRoute, 1, []string{`{"type":"response.output_item.done"}`}, false},

		{"message_stop", messagesRoute, 1, []string{`{"type":"message_stop"}`}, true},
		{"a stop reason", messagesRoute, 1, []string{`{"type":"message_delta","delta":{"stop_reason":"end_turn"}}`}, true},
		{"no stop reason yet", messagesRoute, 1, []string{`{"type":"message_delta","delta":{"stop_reason":null}}`}, false},
		{"a stop reason elsewhere", messagesRoute, 1, []string{`{"type":"content_block_delta","delta":{"stop_reason":"x"}}`}, false},
		{"a block that stops", messagesRoute, 1, []string{`{"type":"content_block_stop"}`}, false},

		{"finishReason", geminiRoute, 1, []string{`{"candidates":[{"finishReason":"STOP"}]}`}, true},
		{"taken back by a later chunk", geminiRoute, 1, []string{`{"candidates":[{"finishReason":"STOP"}]}`, `{"candidates":[{"content":{}}]}`}, false},
		{"a chunk without candidates after it", geminiRoute, 1, []string{`{"candidates":[{"finishReason":"STOP"}]}`, `{"usageMetadata":{}}`}, true},
		{"one of two candidates", geminiRoute, 1, []string{`{"candidates":[{"index":1},{"finishReason":"STOP"}]}`}, false},
		{"blocked", geminiRoute, 1, []string{`{"promptFeedback":{"blockReason":"SAFETY"}}`}, true},
		{"feedback that blocks nothing", geminiRoute, 1, []string{`{"promptFeedback":{}}`}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var m Meter
			m.Reset(&test.route, true)
			m.Choices = test.choices
			for _, e := range test.events {
				m.Event([]byte(e))
			}
			if m.Complete() != test.want {
				t.Errorf("complete is %v", !test.want)
			}
		})
	}
}

// TestManyChoices completes a stream with more choices than can be told apart.
func TestManyChoices(t *testing.T) {
	var m Meter
	m.Reset(&completionsRoute, true)
	m.Choices = 2 * maxChoices
	for i := range maxChoices {
		if m.Complete() {
			t.Fatalf("complete before choice %d", i)
		}
		m.Event(fmt.Appendf(nil, `{"choices":[{"index":%d,"text":"x","finish_reason":"stop"}]}`, i))
	}
	if !m.Complete() {
		t.Error("never complete")
	}
}

func TestBody(t *testing.T) {
	tests := []struct {
		body string
		want bool
	}{
		{`{"choices":[]}`, true}, {` [1] `, true}, {`null`, true},
		{``, false}, {`{"choices":[`, false}, {`{}{}`, false}, {`<html>`, false},
	}
	for _, test := range tests {
		var m Meter
		m.Reset(&chatRoute, false)
		if got := m.Body([]byte(test.body)); got != test.want || m.Complete() != test.want {
			t.Errorf("%q: %v, complete %v, want %v", test.body, got, m.Complete(), test.want)
		}
	}
}

func TestUsage(t *testing.T) {
	type usage = map[abi.Dimension]int64
	tests := []struct {
		name   string
		route  Route
		events []string // one: a whole body
		want   usage
	}{
		{"plain", chatRoute, []string{`{"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15}}`},
			usage{abi.Input: 10, abi.Output: 5}},
		{"everything that is included in something", chatRoute, []string{`{"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,` +
			`"prompt_tokens_details":{"cached_tokens":20,"audio_tokens":30,"cache_write_tokens":5},"completion_tokens_details":{"reasoning_tokens":15,"audio_tokens":5}}}`},
			usage{abi.Input: 45, abi.CacheRead: 20, abi.CacheWrite5m: 5, abi.AudioInput: 30, abi.Output: 30, abi.Reasoning: 15, abi.AudioOutput: 5}},
		{"figures that do not fit together", chatRoute, []string{`{"usage":{"prompt_tokens":10,"completion_tokens":5,` +
			`"prompt_tokens_details":{"cached_tokens":8,"audio_tokens":8},"completion_tokens_details":{"reasoning_tokens":50}}}`},
			usage{abi.Input: 0, abi.CacheRead: 8, abi.AudioInput: 2, abi.Reasoning: 5}},
		{"cached audio is told apart", chatRoute, []string{`{"usage":{"prompt_tokens":100,"completion_tokens":5,` +
			`"prompt_tokens_details":{"audio_tokens":70,"cached_tokens":60,"cached_tokens_details":{"text_tokens":20,"audio_tokens":40,"image_tokens":0}}}}`},
			usage{abi.Input: 10, abi.CacheRead: 20, abi.CacheReadAudio: 40, abi.AudioInput: 30, abi.Output: 5}},
		{"cached audio that the other figures do not have", chatRoute, []string{`{"usage":{"prompt_tokens":10,"completion_tokens":5,` +
			`"prompt_tokens_details":{"audio_tokens":2,"cached_tokens":6,"cached_tokens_details":{"audio_tokens":50}}}}`},
			usage{abi.Input: 4, abi.CacheReadAudio: 6, abi.Output: 5}},
		{"images in the answer", chatRoute, []string{`{"usage":{"prompt_tokens":10,"completion_tokens":1300,"total_tokens":1310,` +
			`"prompt_tokens_details":{"image_tokens":8},"completion_tokens_details":{"reasoning_tokens":5,"image_tokens":1290}}}`},
			usage{abi.Input: 10, abi.Output: 5, abi.Reasoning: 5, abi.ImageOutput: 1290}},
		{"the details of the other spelling", responsesRoute, []string{`{"usage":{"input_tokens":10,"input_token_details":{"cached_tokens":4},` +
			`"output_tokens":1300,"output_token_details":{"text_tokens":10,"image_tokens":1290}}}`},
			usage{abi.Input: 6, abi.CacheRead: 4, abi.Output: 10, abi.ImageOutput: 1290}},
		{"reasoning beside the output", chatRoute, []string{`{"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":315,` +
			`"completion_tokens_details":{"reasoning_tokens":300}}}`},
			usage{abi.Input: 10, abi.Output: 5, abi.Reasoning: 300}},
		{"deepseek's cache", chatRoute, []string{`{"usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_cache_hit_tokens":6,"prompt_cache_miss_tokens":4}}`},
			usage{abi.Input: 4, abi.CacheRead: 6, abi.Output: 5}},
		{"numbers that count nothing", chatRoute, []string{`{"usage":{"prompt_tokens":-1,"completion_tokens":1.5,"total_tokens":1e3,` +
			`"prompt_tokens_details":{"cached_tokens":99999999999999999999},"completion_tokens_details":"x"}}`},
			usage{}},
		{"predictions and images of the prompt are included and cost no more", chatRoute, []string{`{"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,` +
			`"prompt_tokens_details":{"image_tokens":90,"text_tokens":10},"completion_tokens_details":{"accepted_prediction_tokens":20,"rejected_prediction_tokens":10,"text_tokens":50}}}`},
			usage{abi.Input: 100, abi.Output: 50}},
		{"reasoning with predictions", chatRoute, []string{`{"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,` +
			`"completion_tokens_details":{"reasoning_tokens":30,"rejected_prediction_tokens":10}}}`},
			usage{abi.Input: 100, abi.Output: 20, abi.Reasoning: 30}},
		{"a cache of two lifetimes", responsesRoute, []string{`{"usage":{"input_tokens":100,"input_tokens_details":{"cached_tokens":10,"cache_write_tokens":80,` +
			`"cache_write_tokens_details":{"ttl_30m_tokens":50,"ttl_12h_tokens":30}},"output_tokens":1,"output_tokens_details":{"reasoning_tokens":0}}}`},
			usage{abi.Input: 10, abi.CacheRead: 10, abi.CacheWrite5m: 50, abi.CacheWrite1h: 30, abi.Output: 1}},
		{"usage in every chunk", chatRoute, []string{`{"choices":[{"index":0}],"usage":{"prompt_tokens":10,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":4}}}`,
			`{"choices":[{"index":0}],"usage":{"prompt_tokens":10,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":4}}}`},
			usage{abi.Input: 6, abi.CacheRead: 4, abi.Output: 2}},
		{"embeddings", embeddingsRoute, []string{`{"data":[{"embedding":[0.1,-2e-3]}],"usage":{"prompt_tokens":7,"total_tokens":7}}`},
			usage{abi.Input: 7}},
		{"responses", responsesRoute, []string{`{"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":19}}`},
			usage{abi.Input: 6, abi.CacheRead: 4, abi.Output: 6, abi.Reasoning: 3}},
		{"the last chunk wins", chatRoute, []string{`{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":1}}`, `{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":2}}`},
			usage{abi.Input: 10, abi.Output: 2}},
		{"a response within its event", responsesRoute, []string{`{"type":"response.created","response":{"usage":null}}`, `{"type":"response.completed","response":{"usage":{"input_tokens":3,"output_tokens":4}}}`},
			usage{abi.Input: 3, abi.Output: 4}},

		{"anthropic", messagesRoute, []string{`{"usage":{"input_tokens":3,"cache_creation_input_tokens":100,"cache_read_input_tokens":50,"cache_creation":{"ephemeral_5m_input_tokens":60,"ephemeral_1h_input_tokens":40},"output_tokens":20,"output_tokens_details":{"thinking_tokens":8}}}`},
			usage{abi.Input: 3, abi.CacheRead: 50, abi.CacheWrite5m: 60, abi.CacheWrite1h: 40, abi.Output: 12, abi.Reasoning: 8}},
		{"writes whose lifetime is not told", messagesRoute, []string{`{"usage":{"input_tokens":3,"cache_creation_input_tokens":100,"output_tokens":20}}`},
			usage{abi.Input: 3, abi.CacheWrite5m: 100, abi.Output: 20}},
		{"a stream's counts are merged", messagesRoute, []string{
			`{"type":"message_start","message":{"usage":{"input_tokens":3,"cache_read_input_tokens":50,"cache_creation":{"ephemeral_1h_input_tokens":40},"output_tokens":1}}}`,
			`{"type":"message_delta","delta":{},"usage":{"output_tokens":20,"cache_creation_input_tokens":40}}`},
			usage{abi.Input: 3, abi.CacheRead: 50, abi.CacheWrite1h: 40, abi.Output: 20}},
		{"a stream says the input twice", messagesRoute, []string{
			`{"type":"message_start","message":{"usage":{"input_tokens":3,"cache_creation_input_tokens":40,"cache_read_input_tokens":50,"cache_creation":{"ephemeral_5m_input_tokens":30,"ephemeral_1h_input_tokens":10},"output_tokens":1}}}`,
			`{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":3,"cache_creation_input_tokens":40,"cache_read_input_tokens":50,"output_tokens":20,"output_tokens_details":{"thinking_tokens":5}}}`},
			usage{abi.Input: 3, abi.CacheRead: 50, abi.CacheWrite5m: 30, abi.CacheWrite1h: 10, abi.Output: 15, abi.Reasoning: 5}},
		{"and more of it, after a search", messagesRoute, []string{
			`{"type":"message_start","message":{"usage":{"input_tokens":3,"cache_read_input_tokens":50,"output_tokens":1,"server_tool_use":{"web_search_requests":0}}}}`,
			`{"type":"message_delta","usage":{"input_tokens":900,"cache_read_input_tokens":150,"output_tokens":20,"server_tool_use":{"web_search_requests":2}}}`},
			usage{abi.Input: 900, abi.CacheRead: 150, abi.Output: 20}},
		{"or knows it better at its end", messagesRoute, []string{
			`{"type":"message_start","message":{"usage":{"input_tokens":100,"output_tokens":0}}}`,
			`{"type":"message_delta","usage":{"input_tokens":0,"cache_read_input_tokens":100,"output_tokens":20}}`},
			usage{abi.CacheRead: 100, abi.Output: 20}},
		{"or not at all", messagesRoute, []string{
			`{"type":"message_start","message":{"usage":{"input_tokens":100,"cache_read_input_tokens":7,"output_tokens":0}}}`,
			`{"type":"message_delta","usage":{"input_tokens":0,"cache_read_input_tokens":0,"cache_creation_input_tokens":null,"output_tokens":20}}`},
			usage{abi.Input: 100, abi.CacheRead: 7, abi.Output: 20}},
		{"iterations are not counted again", messagesRoute, []string{`{"usage":{"input_tokens":3,"output_tokens":2,"iterations":[{"input_tokens":9,"output_tokens":9}]}}`},
			usage{abi.Input: 3, abi.Output: 2}},

		{"gemini", geminiRoute, []string{`{"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":40,"toolUsePromptTokenCount":7,"candidatesTokenCount":20,"thoughtsTokenCount":9,"totalTokenCount":136,` +
			`"promptTokensDetails":[{"modality":"TEXT","tokenCount":70},{"tokenCount":30,"modality":"AUDIO"}],"cacheTokensDetails":[{"modality":"AUDIO","tokenCount":10}],"candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":15}]}}`},
			usage{abi.Input: 47, abi.CacheRead: 30, abi.CacheReadAudio: 10, abi.AudioInput: 20, abi.Output: 5, abi.AudioOutput: 15, abi.Reasoning: 9}},
		{"gemini's cache holds no more audio than tokens", geminiRoute, []string{`{"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":40,"candidatesTokenCount":1,` +
			`"promptTokensDetails":[{"modality":"AUDIO","tokenCount":60}],"cacheTokensDetails":[{"modality":"AUDIO","tokenCount":50},{"modality":"IMAGE","tokenCount":3}]}}`},
			usage{abi.Input: 40, abi.CacheReadAudio: 40, abi.AudioInput: 20, abi.Output: 1}},
		{"gemini's tools may hear", geminiRoute, []string{`{"usageMetadata":{"promptTokenCount":10,"toolUsePromptTokenCount":30,"candidatesTokenCount":2,"totalTokenCount":42,` +
			`"promptTokensDetails":[{"modality":"TEXT","tokenCount":6},{"modality":"AUDIO","tokenCount":4}],"toolUsePromptTokensDetails":[{"modality":"AUDIO","tokenCount":25},{"modality":"TEXT","tokenCount":5}]}}`},
			usage{abi.Input: 11, abi.AudioInput: 29, abi.Output: 2}},
		{"gemini's images are output of their own", geminiRoute, []string{`{"usageMetadata":{"promptTokenCount":10,"candidatesTokenCount":1304,"totalTokenCount":1314,` +
			`"promptTokensDetails":[{"modality":"IMAGE","tokenCount":8},{"modality":"TEXT","tokenCount":2}],"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":1290}]}}`},
			usage{abi.Input: 10, abi.Output: 14, abi.ImageOutput: 1290}},
		{"gemini's later chunk replaces the earlier", geminiRoute, []string{`{"usageMetadata":{"promptTokenCount":5,"thoughtsTokenCount":2}}`, `{"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":3}}`},
			usage{abi.Input: 5, abi.Output: 3}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var m Meter
			m.Reset(&test.route, len(test.events) > 1)
			for _, e := range test.events {
				if m.stream && m.Event([]byte(e))&Malformed != 0 || !m.stream && !m.Body([]byte(e)) {
					t.Fatalf("malformed: %s", e)
				}
			}
			var want abi.Usage
			for d, n := range test.want {
				want[d] = n
			}
			want[abi.Requests] = 1
			if !m.UsageSeen || m.Usage != want {
				t.Errorf("\n got %v (seen %v)\nwant %v", m.Usage, m.UsageSeen, want)
			}
		})
	}
}

func TestNoUsage(t *testing.T) {
	tests := []struct {
		name  string
		route Route
		body  string
	}{
		{"null", chatRoute, `{"usage":null}`},
		{"none", chatRoute, `{"choices":[]}`},
		{"half a document", chatRoute, `{"usage":{"prompt_tokens":5}`},
		{"counting tokens is free", Route{Format: Anthropic, Operation: CountTokens}, `{"input_tokens":5,"usage":{"input_tokens":5}}`},
		{"in gemini too", countRoute, `{"totalTokens":5,"usageMetadata":{"promptTokenCount":5}}`},
	}
	for _, test := range tests {
		var m Meter
		m.Reset(&test.route, false)
		m.Body([]byte(test.body))
		if m.UsageSeen || m.Usage != (abi.Usage{}) {
			t.Errorf("%s: %v", test.name, m.Usage)
		}
	}
}

func TestReportedModel(t *testing.T) {
	tests := []struct {
		route Route
		event string
		want  string
	}{
		{chatRoute, `{"model":"gpt-5-nano-2025-08-07"}`, "gpt-5-nano-2025-08-07"},
		{responsesRoute, `{"response":{"model":"gpt-5"}}`, "gpt-5"},
		{messagesRoute, `{"message":{"model":"claude"}}`, "claude"},
		{geminiRoute, `{"modelVersion":"gemini-2.5-pro"}`, "gemini-2.5-pro"},
		{chatRoute, `{"model":"a\u0000b"}`, ""},
		{chatRoute, `{"model":null}`, ""},
	}
	for _, test := range tests {
		var m Meter
		m.Reset(&test.route, true)
		m.Event([]byte(test.event))
		m.Event([]byte(`{"model":1}`))
		if got := string(m.Model()); got != test.want {
			t.Errorf("%s: %q", test.event, got)
		}
	}
}

// FuzzMeter holds the meter against encoding/json: an event is malformed exactly if it is not JSON, and no figures
// come out negative or greater than what went in.
func FuzzMeter(f *testing.F) {
	f.Add([]byte(`{"choices":[{"index":1,"delta":{"content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"prompt_tokens_details":{"cached_tokens":5}}}`))
	f.Add([]byte(`{"type":"response.completed","response":{"usage":{"input_tokens":3,"output_tokens":1,"output_tokens_details":{"reasoning_tokens":9}}}}`))
	f.Add([]byte(`{"type":"message_start","message":{"usage":{"input_tokens":1,"cache_creation":{"ephemeral_1h_input_tokens":7},"cache_creation_input_tokens":3}}}`))
	f.Add([]byte(`{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"cachedContentTokenCount":4,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":9}]}}`))
	f.Add([]byte("[DONE]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if bytes.Count(data, []byte("["))+bytes.Count(data, []byte("{")) > maxAnswerDepth {
			return // encoding/json nests deeper
		}
		for _, route := range []Route{chatRoute, responsesRoute, messagesRoute, geminiRoute} {
			var m Meter
			m.Reset(&route, true)
			e := m.Event(data)
			if malformed := e&Malformed != 0; len(data) > 0 && e != Terminal && malformed == json.Valid(data) {
				t.Fatalf("%v: malformed is %v", route.Operation, malformed)
			}
			if e&Malformed != 0 && (e != Malformed || m.UsageSeen || m.Complete()) {
				t.Fatalf("%v: a malformed event counted", route.Operation)
			}
			for d, n := range m.Usage {
				if n < 0 || n > 1<<42 {
					t.Fatalf("%v: %v is %d", route.Operation, abi.Dimension(d), n)
				}
			}
			m.Reset(&route, false)
			if whole := m.Body(data); whole != json.Valid(data) {
				t.Fatalf("%v: whole is %v", route.Operation, whole)
			}
		}
	})
}

var benchEvents = []struct {
	name  string
	route Route
	data  string
}{
	{"chat", chatRoute, `{"id":"chatcmpl-C4HqHBe4xca0k0EzsCnf1t6V3YFXp","object":"chat.completion.chunk","created":1755137933,"model":"gpt-5-nano-2025-08-07","service_tier":"default","system_fingerprint":null,"choices":[{"index":0,"delta":{"content":" there"},"finish_reason":null}],"usage":null,"obfuscation":"kfhE2Lf"}`},
	{"messages", messagesRoute, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello World"}        }`},
	{"gemini", geminiRoute, `{"candidates":[{"content":{"parts":[{"text":"Hello World"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":4,"totalTokenCount":4},"modelVersion":"gemini-2.5-flash"}`},
}

func TestMeterAllocatesNothing(t *testing.T) {
	for _, c := range benchEvents {
		var m Meter
		data := []byte(c.data)
		allocs := testing.AllocsPerRun(100, func() {
			m.Reset(&c.route, true)
			if m.Event(data) != Content {
				t.Fatal("no content")
			}
			m.Body(data)
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations", c.name, allocs)
		}
	}
}

func BenchmarkMeterEvent(b *testing.B) {
	for _, c := range benchEvents {
		b.Run(c.name, func(b *testing.B) {
			var m Meter
			m.Reset(&c.route, true)
			data := []byte(c.data)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if m.Event(data) != Content {
					b.Fatal("no content")
				}
			}
		})
	}
}
