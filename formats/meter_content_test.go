package formats

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/sallyport-dev/sallyport/abi"
)

// TestContent counts what events say.
func TestContent(t *testing.T) {
	tests := []struct {
		route  Route
		data   string
		events int64
		bytes  int64
	}{
		{chatRoute, `{"choices":[{"delta":{"content":"Hello"}}]}`, 1, 5},
		{chatRoute, `{"choices":[{"delta":{"content":"Hel"}},{"index":1,"delta":{"content":"lo"}}]}`, 1, 5},
		{chatRoute, `{"choices":[{"delta":{"content":"\n\"é\u00e9\u4f60\ud834\udd1e"}}]}`, 1, 13},
		{chatRoute, `{"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":"stop"}]}`, 0, 0},
		{chatRoute, `{"choices":[{"delta":{"reasoning_content":"Hmm","reasoning":"Hmm"}}]}`, 1, 3},
		{chatRoute, `{"choices":[{"delta":{"reasoning_content":null,"reasoning":"Hmm","content":"x"}}]}`, 1, 4},
		{chatRoute, `{"choices":[{"delta":{"refusal":"No"}}]}`, 1, 2},
		{chatRoute, `{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{\"a\":1"}},{"custom":{"input":"xy"}}]}}]}`, 1, 8},
		{chatRoute, `{"choices":[{"delta":{"function_call":{"arguments":"{}"}}}]}`, 1, 2},
		{chatRoute, `{"choices":[{"delta":{"audio":{"data":"UklGUklG","transcript":"Hi"}}}]}`, 1, 2},
		{chatRoute, `{"choices":[{"delta":{"content":[{"type":"thinking"}]}}]}`, 1, 21},
		{chatRoute, `{"choices":[{"delta":{"content":"Hello"}}]`, 0, 0},
		{completionsRoute, `{"choices":[{"text":" one"}]}`, 1, 4},
		{responsesRoute, `{"type":"response.output_text.delta","delta":"Hello"}`, 1, 5},
		{responsesRoute, `{"type":"response.function_call_arguments.delta","delta":"{}"}`, 1, 2},
		{responsesRoute, `{"type":"response.audio.transcript.delta","delta":"Hi"}`, 1, 2},
		{responsesRoute, `{"type":"response.audio.delta","delta":"UklGUklG"}`, 1, 0},
		{responsesRoute, `{"type":"response.image_generation_call.partial_image","partial_image_b64":"UklG"}`, 1, 0},
		{responsesRoute, `{"type":"response.output_text.done","text":"Hello","delta":"Hello"}`, 0, 0},
		{messagesRoute, `{"type":"content_block_delta","delta":{"type":"thinking_delta","thinking":"Hmm"}}`, 1, 3},
		{messagesRoute, `{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"{\"a\""}}`, 1, 4},
		{messagesRoute, `{"type":"content_block_start","content_block":{"type":"redacted_thinking","data":"EoEoEo"}}`, 1, 0},
		{messagesRoute, `{"type":"content_block_delta","delta":{"type":"signature_delta","signature":"EoEo"}}`, 0, 0},
		{geminiRoute, `{"candidates":[{"content":{"parts":[{"text":"Hel"},{"text":"lo","thought":true}]}}]}`, 1, 5},
		{geminiRoute, `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]}}]}`, 1, 12},
		{geminiRoute, `{"candidates":[{"content":{"parts":[{"inlineData":{"data":"UklG"}}]}}]}`, 1, 0},
	}
	for _, test := range tests {
		var m Meter
		m.Reset(&test.route, true)
		m.Event([]byte(test.data))
		if m.ContentEvents != test.events || m.ContentBytes != test.bytes {
			t.Errorf("%v %s: %d events, %d bytes, want %d and %d", test.route.Operation, test.data,
				m.ContentEvents, m.ContentBytes, test.events, test.bytes)
		}
		if m.Event([]byte(test.data)); m.ContentEvents != 2*test.events || m.ContentBytes != 2*test.bytes {
			t.Errorf("%s: twice is not twice as much", test.data)
		}
	}
}

func TestTextLen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.String().Draw(t, "text")
		text, err := json.Marshal(want)
		if err != nil || !utf8.ValidString(want) {
			t.Skip()
		}
		if got := textLen(text[1 : len(text)-1]); got != int64(len(want)) {
			t.Fatalf("%s: %d, want %d", text, got, len(want))
		}
	})
}

// TestWholeAnswers estimates whole answers that tell no usage.
func TestWholeAnswers(t *testing.T) {
	tests := []struct {
		name  string
		route Route
		body  string
		bytes int64
	}{
		{"chat", chatRoute, `{"id":"0123456789","choices":[{"message":{"role":"assistant","content":"Hello","reasoning_content":"Hmm",` +
			`"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"a\":1}"}}]},"finish_reason":"stop"}],"usage":null}`, 15},
		{"completions", completionsRoute, `{"choices":[{"text":"Hello"}]}`, 5},
		{"responses", responsesRoute, `{"instructions":"0123456789","text":{"format":{"type":"text"}},"output":[{"type":"reasoning","summary":[{"text":"Hmm"}]},` +
			`{"type":"message","content":[{"type":"output_text","text":"Hello","annotations":[]}]},{"type":"function_call","arguments":"{}"}]}`, 10},
		{"messages", messagesRoute, `{"content":[{"type":"thinking","thinking":"Hmm","signature":"EoEo"},{"type":"text","text":"Hello"},{"type":"tool_use","name":"f","input":{"a":1}}]}`, 15},
		{"gemini", geminiRoute, `{"candidates":[{"content":{"parts":[{"text":"Hello"},{"functionCall":{"name":"f","args":{"a":1}}},{"inlineData":{"data":"UklG"}}]}}]}`, 12},
		{"embeddings", embeddingsRoute, `{"data":[{"embedding":[0.1],"text":"Hello"}],"output":[{"text":"Hello"}]}`, 0},
		{"with usage", chatRoute, `{"choices":[{"message":{"content":"Hello"}}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`, 0},
		{"half of one", chatRoute, `{"choices":[{"message":{"content":"Hello"}}]`, 0},
	}
	for _, test := range tests {
		var m Meter
		m.Reset(&test.route, false)
		m.Body([]byte(test.body))
		if m.ContentBytes != test.bytes || m.ContentEvents != 0 {
			t.Errorf("%s: %d bytes in %d events, want %d", test.name, m.ContentBytes, m.ContentEvents, test.bytes)
		}
		if want := (test.bytes + 3) / 4; m.EstimatedOutput() != want {
			t.Errorf("%s: estimated at %d, want %d", test.name, m.EstimatedOutput(), want)
		}
	}
}

// TestRelayed follows streams to the point where they break off.
func TestRelayed(t *testing.T) {
	type usage = map[abi.Dimension]int64
	const (
		start    = `{"type":"message_start","message":{"usage":{"input_tokens":9,"cache_read_input_tokens":50,"cache_creation_input_tokens":7,"output_tokens":1}}}`
		word     = `{"type":"content_block_delta","delta":{"type":"text_delta","text":"0123456789"}}`
		delta    = `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}`
		growing  = `{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":30}}`
		silent   = `{"type":"message_delta","delta":{"stop_reason":"end_turn"}}`
		stop     = `{"type":"message_stop"}`
		chunk    = `{"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}`
		counting = `{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":5,"completion_tokens":1}}`
		finish   = `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`
		sum      = `{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}`
		part     = `{"candidates":[{"content":{"parts":[{"text":"01234567"}]}}],"usageMetadata":{"promptTokenCount":4,"thoughtsTokenCount":1}}`
		last     = `{"candidates":[{"content":{"parts":[{"text":"0"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":1}}`
	)
	tests := []struct {
		name   string
		route  Route
		events []string
		final  bool
		want   usage
	}{
		{"nothing came", chatRoute, nil, false, usage{}},
		{"words without usage", chatRoute, []string{chunk, chunk}, false, usage{abi.Output: 2}},
		{"at their end", chatRoute, []string{chunk, finish, `[DONE]`}, false, usage{abi.Output: 1}},
		{"the usage of all", chatRoute, []string{chunk, finish, sum}, true, usage{abi.Input: 5, abi.Output: 3}},
		{"without a finish reason", chatRoute, []string{chunk, sum}, true, usage{abi.Input: 5, abi.Output: 3}},
		{"usage in every chunk", chatRoute, []string{counting, chunk, chunk}, false, usage{abi.Input: 5, abi.Output: 3}},
		{"to the finish", chatRoute, []string{counting, chunk, finish}, true, usage{abi.Input: 5, abi.Output: 1}},
		{"to the end mark", chatRoute, []string{counting, `[DONE]`}, true, usage{abi.Input: 5, abi.Output: 1}},
		{"responses", responsesRoute, []string{`{"type":"response.output_text.delta","delta":"01234"}`}, false, usage{abi.Output: 2}},
		{"responses, completed", responsesRoute, []string{`{"type":"response.output_text.delta","delta":"01234"}`,
			`{"type":"response.completed","response":{"usage":{"input_tokens":2,"output_tokens":1}}}`}, true, usage{abi.Input: 2, abi.Output: 1}},

		{"a message begins", messagesRoute, []string{start}, false, usage{abi.Input: 9, abi.CacheRead: 50, abi.CacheWrite5m: 7, abi.Output: 1}},
		{"and breaks off", messagesRoute, []string{start, word, word}, false, usage{abi.Input: 9, abi.CacheRead: 50, abi.CacheWrite5m: 7, abi.Output: 5}},
		{"after it told more", messagesRoute, []string{start, word, growing}, false, usage{abi.Input: 9, abi.CacheRead: 50, abi.CacheWrite5m: 7, abi.Output: 30}},
		{"or stops", messagesRoute, []string{start, word, word, delta}, true, usage{abi.Input: 9, abi.CacheRead: 50, abi.CacheWrite5m: 7, abi.Output: 2}},
		{"in two steps", messagesRoute, []string{start, growing, stop}, true, usage{abi.Input: 9, abi.CacheRead: 50, abi.CacheWrite5m: 7, abi.Output: 30}},
		{"without a word of its output", messagesRoute, []string{start, word, word, silent, stop}, false, usage{abi.Input: 9, abi.CacheRead: 50, abi.CacheWrite5m: 7, abi.Output: 5}},

		{"a gemini breaks off", geminiRoute, []string{part, part}, false, usage{abi.Input: 4, abi.Output: 3, abi.Reasoning: 1}},
		{"and finishes", geminiRoute, []string{part, part, last}, true, usage{abi.Input: 4, abi.Output: 1}},
		{"too early", geminiRoute, []string{part, last, part}, false, usage{abi.Input: 4, abi.Output: 4, abi.Reasoning: 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var m Meter
			m.Reset(&test.route, true)
			for _, e := range test.events {
				if m.Event([]byte(e))&Malformed != 0 {
					t.Fatalf("malformed: %s", e)
				}
			}
			want := abi.Usage{abi.Requests: 1}
			for d, n := range test.want {
				want[d] = n
			}
			if got := m.Relayed(); got != want || m.UsageFinal != test.final {
				t.Errorf("final %v\n got %v\nwant %v", m.UsageFinal, got, want)
			}
			m.Reset(&test.route, true)
			if m.UsageFinal || m.EstimatedOutput() != 0 {
				t.Error("Reset left something behind")
			}
		})
	}
}
