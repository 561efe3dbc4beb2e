package formats

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// splice inspects a body and returns it as the provider gets it.
func splice(t *testing.T, r *Route, body string, includeUsage bool, maxOutput int64) string {
	t.Helper()
	var b Body
	if err := b.Inspect(r, []byte(body)); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	edits := b.AppendEdits(nil, r, []byte(`"upstream"`), includeUsage, maxOutput)
	var out bytes.Buffer
	n, err := WriteSpliced(&out, []byte(body), edits)
	if err != nil || n != out.Len() {
		t.Fatalf("%s: wrote %d of %d bytes: %v", body, n, out.Len(), err)
	}
	if want := SplicedLen([]byte(body), edits); n != want {
		t.Fatalf("%s: SplicedLen is %d, the body %d", body, want, n)
	}
	return out.String()
}

func TestSplice(t *testing.T) {
	tests := []struct {
		name  string
		route Route
		usage bool
		in    string
		want  string
	}{
		{"only the model changes", chatRoute, true,
			" {\n\t\"messages\" : [ 1e3, \"\\u00e9é\" ] , \"model\":\"coding\" , \"x\":-0.0}\r\n",
			" {\n\t\"messages\" : [ 1e3, \"\\u00e9é\" ] , \"model\":\"upstream\" , \"x\":-0.0}\r\n"},
		{"a model that is nested is not the model", chatRoute, true,
			`{"a":{"model":"x","model":"y"},"model":"coding"}`, `{"a":{"model":"x","model":"y"},"model":"upstream"}`},
		{"usage is asked for behind the model", chatRoute, true,
			`{"model":"coding","stream":true}`,
			`{"model":"upstream","stream_options":{"include_usage":true},"stream":true}`},
		{"not if it is switched off", chatRoute, false,
			`{"model":"coding","stream":true}`, `{"model":"upstream","stream":true}`},
		{"not without a stream", chatRoute, true,
			`{"model":"coding","stream":false}`, `{"model":"upstream","stream":false}`},
		{"not if the client asks", chatRoute, true,
			`{"stream":true,"stream_options":{"include_usage":true},"model":"coding"}`,
			`{"stream":true,"stream_options":{"include_usage":true},"model":"upstream"}`},
		{"an explicit false is overridden", chatRoute, true,
			`{"stream":true,"stream_options":{"a":[1],"include_usage":false},"model":"coding"}`,
			`{"stream":true,"stream_options":{"a":[1],"include_usage":true},"model":"upstream"}`},
		{"so is null", chatRoute, true,
			`{"stream":true,"stream_options":{"include_usage":null},"model":"coding"}`,
			`{"stream":true,"stream_options":{"include_usage":true},"model":"upstream"}`},
		{"other options are kept", chatRoute, true,
			`{"stream":true,"model":"coding","stream_options":{"include_obfuscation":false}}`,
			`{"stream":true,"model":"upstream","stream_options":{"include_usage":true,"include_obfuscation":false}}`},
		{"options may be empty", chatRoute, true,
			`{"stream":true,"model":"coding","stream_options":{ }}`,
			`{"stream":true,"model":"upstream","stream_options":{"include_usage":true }}`},
		{"or null, and stand before the model", chatRoute, true,
			`{"stream_options":null,"model":"coding","stream":true}`,
			`{"stream_options":{"include_usage":true},"model":"upstream","stream":true}`},
		{"completions ask too", Route{Format: OpenAI, Operation: Completions}, true,
			`{"model":"c","stream":true}`, `{"model":"upstream","stream_options":{"include_usage":true},"stream":true}`},
		{"responses have no such option", Route{Format: OpenAI, Operation: Responses}, true,
			`{"model":"c","stream":true}`, `{"model":"upstream","stream":true}`},
		{"neither have messages", Route{Format: Anthropic, Operation: Messages}, true,
			`{"model":"c","stream":true}`, `{"model":"upstream","stream":true}`},
		{"gemini names no model in most bodies", countRoute, true, `{"contents":[]}`, `{"contents":[]}`},
		{"but may, with and without its prefix", batchRoute, true,
			`{"model":"emb","requests":[{"model":"models/emb","content":{"model":"x"}}, {"model":"emb"},{}]}`,
			`{"model":"upstream","requests":[{"model":"models/upstream","content":{"model":"x"}}, {"model":"upstream"},{}]}`},
		{"also where it counts tokens", countRoute, true,
			`{"generateContentRequest":{"contents":[],"model":"models/emb"}}`,
			`{"generateContentRequest":{"contents":[],"model":"models/upstream"}}`},
		{"in either of the spellings that Google reads", countRoute, true,
			`{"generate_content_request":{"model":"models/emb"}}`, `{"generate_content_request":{"model":"models/upstream"}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := splice(t, &test.route, test.in, test.usage, 0); got != test.want {
				t.Errorf("\n got %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestSpliceMissing covers what is put into bodies that lack it.
func TestSpliceMissing(t *testing.T) {
	completions, responses := Route{Format: OpenAI, Operation: Completions}, Route{Format: OpenAI, Operation: Responses}
	messages, generate := Route{Format: Anthropic, Operation: Messages}, Route{Format: Gemini, Operation: Generate, Model: []byte("g")}
	embeddings := Route{Format: OpenAI, Operation: Embeddings}
	tests := []struct {
		name  string
		route Route
		max   int64
		in    string
		want  string
	}{
		{"the model becomes the first member", chatRoute, 0, ` { "messages":[]}`, ` {"model":"upstream", "messages":[]}`},
		{"or the only one", chatRoute, 0, "{\n}", "{\"model\":\"upstream\"\n}"},
		{"the others come behind it", chatRoute, 7, `{"stream":true}`,
			`{"model":"upstream","stream_options":{"include_usage":true},"max_completion_tokens":7,"stream":true}`},
		{"or where they belong", chatRoute, 0, `{"stream":true,"stream_options":{}}`,
			`{"model":"upstream","stream":true,"stream_options":{"include_usage":true}}`},
		{"embeddings name a model, too", embeddings, 7, `{"input":"x"}`, `{"model":"upstream","input":"x"}`},

		{"a maximum for chat", chatRoute, 7, `{"model":"c","n":2}`, `{"model":"upstream","max_completion_tokens":7,"n":2}`},
		{"behind the request for usage", chatRoute, 7, `{"model":"c","stream":true}`,
			`{"model":"upstream","stream_options":{"include_usage":true},"max_completion_tokens":7,"stream":true}`},
		{"and before it", chatRoute, 7, `{"model":"c","stream":true,"stream_options":{}}`,
			`{"model":"upstream","max_completion_tokens":7,"stream":true,"stream_options":{"include_usage":true}}`},
		{"for completions", completions, 7, `{"model":"c"}`, `{"model":"upstream","max_tokens":7}`},
		{"for responses", responses, 7, `{"model":"c"}`, `{"model":"upstream","max_output_tokens":7}`},
		{"for messages", messages, 7, `{"model":"c"}`, `{"model":"upstream","max_tokens":7}`},
		{"null makes room for it", responses, 7, `{"max_output_tokens": null ,"model":"c"}`, `{"max_output_tokens": 7 ,"model":"upstream"}`},
		{"but not under its old name", chatRoute, 7, `{"max_tokens":null,"model":"c"}`, `{"max_tokens":null,"model":"upstream","max_completion_tokens":7}`},
		{"there is one", chatRoute, 7, `{"model":"c","max_tokens":9}`, `{"model":"upstream","max_tokens":9}`},
		{"there is one of 0", messages, 7, `{"model":"c","max_tokens":0}`, `{"model":"upstream","max_tokens":0}`},
		{"there is one that the endpoint does not know", chatRoute, 7, `{"model":"c","max_output_tokens":9}`,
			`{"model":"upstream","max_completion_tokens":7,"max_output_tokens":9}`},

		{"gemini, with nothing", generate, 7, ` {}`, ` {"generationConfig":{"maxOutputTokens":7}}`},
		{"with other members", generate, 7, `{"contents":[]}`, `{"generationConfig":{"maxOutputTokens":7},"contents":[]}`},
		{"with null", generate, 7, `{"generationConfig":null,"contents":[]}`, `{"generationConfig":{"maxOutputTokens":7},"contents":[]}`},
		{"with an empty object", generate, 7, `{"contents":[],"generationConfig":{ }}`, `{"contents":[],"generationConfig":{"maxOutputTokens":7 }}`},
		{"with an object", generate, 7, `{"generation_config":{"topK":1}}`, `{"generation_config":{"maxOutputTokens":7,"topK":1}}`},
		{"with null in it", generate, 7, `{"generation_config":{"max_output_tokens":null}}`, `{"generation_config":{"max_output_tokens":7}}`},
		{"between the names of the model", generate, 7, `{"generationConfig":{"topK":1},"model":"models/g"}`,
			`{"generationConfig":{"maxOutputTokens":7,"topK":1},"model":"models/upstream"}`},
		{"before the name of the model", generate, 7, `{"model":"models/g"}`, `{"generationConfig":{"maxOutputTokens":7},"model":"models/upstream"}`},
		{"there is one in gemini", generate, 7, `{"generationConfig":{"maxOutputTokens":9}}`, `{"generationConfig":{"maxOutputTokens":9}}`},
		{"no output, no maximum", countRoute, 7, `{"contents":[]}`, `{"contents":[]}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := splice(t, &test.route, test.in, true, test.max); got != test.want {
				t.Errorf("\n got %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestWriteSplicedStopsAtAnError(t *testing.T) {
	body := []byte(`{"model":"m","stream":true}`)
	var b Body
	if err := b.Inspect(&chatRoute, body); err != nil {
		t.Fatal(err)
	}
	edits := b.AppendEdits(nil, &chatRoute, []byte(`"upstream"`), true, 0)
	for room := range SplicedLen(body, edits) {
		n, err := WriteSpliced(&narrow{room}, body, edits)
		if n != room || !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("room for %d: wrote %d, %v", room, n, err)
		}
	}
}

// narrow is a writer with room for so many bytes.
type narrow struct{ room int }

func (w *narrow) Write(p []byte) (int, error) {
	if len(p) > w.room {
		n := w.room
		w.room = 0
		return n, io.ErrShortWrite
	}
	w.room -= len(p)
	return len(p), nil
}
