package formats

import (
	"encoding/json"
	"strings"
	"testing"
)

var (
	chatRoute  = Route{Format: OpenAI, Operation: Chat, Method: "POST", Tail: "/chat/completions"}
	batchRoute = Route{Format: Gemini, Operation: BatchEmbed, Method: "POST", Model: []byte("emb"), Verb: "batchEmbedContents"}
	countRoute = Route{Format: Gemini, Operation: CountTokens, Method: "POST", Model: []byte("emb"), Verb: "countTokens"}
)

func TestInspectFinds(t *testing.T) {
	body := `{"n":3,"background":true,"stream":true,"stream_options":{"include_usage":true},"model":"a b/ü"}`
	var b Body
	if err := b.Inspect(&chatRoute, []byte(body)); err != nil {
		t.Fatal(err)
	}
	at := func(s Span) string { return body[s.Start:s.End] }
	if string(b.ModelName) != "a b/ü" || at(b.Model) != `"a b/ü"` {
		t.Errorf("model %s at %s", b.ModelName, at(b.Model))
	}
	if !b.Stream || at(b.StreamSpan) != "true" || !b.Background || b.Choices != 3 {
		t.Errorf("stream %v at %s, background %v, n %d", b.Stream, at(b.StreamSpan), b.Background, b.Choices)
	}
	if !b.AskedUsage || at(b.Options) != `{"include_usage":true}` || at(b.IncludeUsage) != "true" {
		t.Errorf("asked %v, options %s, include_usage %s", b.AskedUsage, at(b.Options), at(b.IncludeUsage))
	}
	if err := b.Inspect(&chatRoute, []byte(`{"model":"m"}`)); err != nil {
		t.Fatal(err)
	}
	if b.Stream || b.Background || b.AskedUsage || b.Options.Present() || b.Choices != 1 {
		t.Errorf("what the first body said is still there: %+v", b)
	}
}

func TestInspectRefuses(t *testing.T) {
	tests := []struct{ body, code, message string }{
		{``, CodeInvalidJSON, `invalid JSON at byte 0 (line 1, column 1): the body ends too early`},
		{`[]`, CodeInvalidJSON, `invalid JSON at byte 0 (line 1, column 1): the body must be one JSON object`},
		{"{\n \"é\":1,\n \"model\" \"x\"}", CodeInvalidJSON, `invalid JSON at byte 20 (line 3, column 10): expected ':' after key "model"`},
		{`{"é":"é","model"}`, CodeInvalidJSON, `invalid JSON at byte 18 (line 1, column 17): expected ':' after key "model"`},
		{`{"model":"x"`, CodeInvalidJSON, `invalid JSON at byte 12 (line 1, column 13): the body ends too early`},
		{`{"model":"x",}`, CodeInvalidJSON, `invalid JSON at byte 13 (line 1, column 14): expected a key in double quotes`},
		{`{"model":"x" "y":1}`, CodeInvalidJSON, `invalid JSON at byte 13 (line 1, column 14): expected ',' or '}'`},
		{`{"model":"x"}{}`, CodeInvalidJSON, `invalid JSON at byte 13 (line 1, column 14): unexpected data after the JSON object`},
		{`{"model":"x"}` + "\x00", CodeInvalidJSON, `invalid JSON at byte 13 (line 1, column 14): unexpected data after the JSON object`},
		{`{"messages":[{"a":[1 2]}]}`, CodeInvalidJSON, `invalid JSON at byte 21 (line 1, column 22): expected ',' or ']', in the value of "messages"`},
		{`{"messages":"a` + "\n" + `b"}`, CodeInvalidJSON, `invalid JSON at byte 14 (line 1, column 15): control character in a string, in the value of "messages"`},
		{`{"messages":"\x"}`, CodeInvalidJSON, `invalid JSON at byte 14 (line 1, column 15): unknown escape in a string, in the value of "messages"`},
		{`{"messages":'a'}`, CodeInvalidJSON, `invalid JSON at byte 12 (line 1, column 13): expected a value, in the value of "messages"`},
		{`{"x":01}`, CodeInvalidJSON, `invalid JSON at byte 6 (line 1, column 7): expected ',' or '}'`},
		{`{"n":1.}`, CodeInvalidJSON, `invalid JSON at byte 7 (line 1, column 8): expected a digit, in the value of "n"`},
		{`{"n":NaN}`, CodeInvalidJSON, `invalid JSON at byte 5 (line 1, column 6): expected a value, in the value of "n"`},
		{`{"stream":truE}`, CodeInvalidJSON, `invalid JSON at byte 10 (line 1, column 11): expected true, false or null, in the value of "stream"`},
		{"\xef\xbb\xbf{}", CodeInvalidJSON, `invalid JSON at byte 0 (line 1, column 1): the body begins with a byte order mark`},
		{"{\"messages\":\"aé\xff\"}", CodeInvalidUTF8, `invalid UTF-8 at byte 16 (line 1, column 16): not UTF-8, in the value of "messages"`},
		{"{\"\xc3\":1}", CodeInvalidUTF8, `invalid UTF-8 at byte 2 (line 1, column 3): not UTF-8`},
		{`{"messages":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`, CodeTooDeep, `too deep at byte 75 (line 1, column 76): nested deeper than 64 levels, in the value of "messages"`},

		{`{"model":""}`, CodeModelMissing, `"model" is empty, at byte 9 (line 1, column 10)`},
		{`{"model":null}`, CodeInvalidRequest, `"model" must be a string, at byte 9 (line 1, column 10)`},
		{`{"model":["x"]}`, CodeInvalidRequest, `"model" must be a string, at byte 9 (line 1, column 10)`},
		{`{"model":"\u0078"}`, CodeAmbiguousField, `"model" must be written without escapes, at byte 9 (line 1, column 10)`},
		{`{"model":"a` + "\x7f" + `"}`, CodeInvalidRequest, `"model" holds characters that cannot be printed, at byte 9 (line 1, column 10)`},
		{`{"model":"a` + "\u202e" + `"}`, CodeInvalidRequest, `"model" holds characters that cannot be printed, at byte 9 (line 1, column 10)`},
		{`{"model":"` + strings.Repeat("a", 257) + `"}`, CodeInvalidRequest, `"model" is longer than 256 bytes, at byte 9 (line 1, column 10)`},
		{`{"model":"a","x":1,"model":"a"}`, CodeDuplicateField, `duplicate key "model", at byte 19 (line 1, column 20)`},
		{`{"model":"a","max_tokens":1,"max_tokens":2}`, CodeDuplicateField, `duplicate key "max_tokens", at byte 28 (line 1, column 29)`},
		{`{"\u006dodel":"a"}`, CodeAmbiguousField, `key "\\u006dodel" must be written "model", at byte 1 (line 1, column 2)`},
		{`{"Model":"a"}`, CodeAmbiguousField, `key "Model" must be written "model", at byte 1 (line 1, column 2)`},
		{`{"model":"a","ſtream":true}`, CodeAmbiguousField, `key "ſtream" must be written "stream", at byte 13 (line 1, column 14)`},
		{`{"model":"a","max_toKens":1}`, CodeAmbiguousField, `key "max_toKens" must be written "max_tokens", at byte 13 (line 1, column 14)`},
		{`{"model":"a","\u017Ftream":true}`, CodeAmbiguousField, `key "\\u017Ftream" must be written "stream", at byte 13 (line 1, column 14)`},
		{`{"model":"a","stream":null}`, CodeInvalidRequest, `"stream" must be true or false, at byte 22 (line 1, column 23)`},
		{`{"model":"a","stream":"true"}`, CodeInvalidRequest, `"stream" must be true or false, at byte 22 (line 1, column 23)`},
		{`{"model":"a","background":1}`, CodeInvalidRequest, `"background" must be true or false, at byte 26 (line 1, column 27)`},
		{`{"model":"a","stream_options":[]}`, CodeInvalidRequest, `"stream_options" must be an object, at byte 30 (line 1, column 31)`},
		{`{"model":"a","stream_options":{"include_usage":1}}`, CodeInvalidRequest, `"include_usage" must be true or false, at byte 47 (line 1, column 48)`},
		{`{"model":"a","stream_options":{"Include_usage":true}}`, CodeAmbiguousField, `key "Include_usage" must be written "include_usage", at byte 31 (line 1, column 32)`},
		{`{"model":"a","stream_options":{"include_usage":true,"include_usage":true}}`, CodeDuplicateField, `duplicate key "include_usage", at byte 52 (line 1, column 53)`},
	}
	for _, test := range tests {
		var b Body
		err := b.Inspect(&chatRoute, []byte(test.body))
		if err == nil {
			t.Errorf("%s: accepted", test.body)
			continue
		}
		if err.Code != test.code || err.Message != test.message || err.Status != 400 {
			t.Errorf("%s:\n got %d %v\nwant 400 %s: %s", test.body, err.Status, err, test.code, test.message)
		}
	}
}

// TestInspectAccepts lists keys and values that are near to what is refused.
func TestInspectAccepts(t *testing.T) {
	for _, member := range []string{
		`"modell":1`, `"mode":1`, `"nn":1`, `"":1`, `"\n":1`, `"\u006e\u006e":1`, `"mod\u0065ls":1`, `"\ud834\udd1emodel":1`, `"\ud834model":1`,
		`"ſtrea":1`, `"Kelvin":1`, `"messages":1,"messages":2`, `"\/\b\"":1`, `"metadata":{"model":1,"model":2,"Model":3}`, `"n":null`,
		`"stream_options":{"Model":1,"stream":1,"stream":2}`, `"service_tier":null`, `"max_tokens":null`, `"requests":1,"Requests":2`,
		`"` + strings.Repeat("s", 80) + `":1`, `"` + strings.Repeat(`\u0073`, 80) + `":1`,
	} {
		var b Body
		if err := b.Inspect(&chatRoute, []byte(`{"model":"m",`+member+`}`)); err != nil {
			t.Errorf("%s: %v", member, err)
		}
	}
}

func TestInspectRefusesGemini(t *testing.T) {
	tests := []struct{ body, code string }{
		{`{"model":"other"}`, CodeAmbiguousField},
		{`{"model":"models/models/emb"}`, CodeAmbiguousField},
		{`{"requests":[{"model":"models/emb"},{"model":"models/other"}]}`, CodeAmbiguousField},
		{`{"requests":[{"Model":"models/emb"}]}`, CodeAmbiguousField},
		{`{"requests":[{"model":"emb","model":"emb"}]}`, CodeDuplicateField},
		{`{"requests":[{"model":"emb"}],"requests":[]}`, CodeDuplicateField},
		{`{"\u0072equests":[{"model":"other"}]}`, CodeAmbiguousField},
		{`{"generateContentRequest":{"model":"models/other"}}`, CodeAmbiguousField},
		{`{"generate_content_request":{"model":"models/other"}}`, CodeAmbiguousField},
		{`{"requests":[{"model":1}]}`, CodeInvalidRequest},
		{`{"requests":[{]}`, CodeInvalidJSON},
		{`{"generateContentRequest":{},"generate_content_request":{}}`, CodeDuplicateField},
	}
	for _, test := range tests {
		var b Body
		if err := b.Inspect(&batchRoute, []byte(test.body)); err == nil || err.Code != test.code {
			t.Errorf("%s: %v, want %s", test.body, err, test.code)
		}
	}
}

// TestStrictness runs a corpus of single values, each put into a body, against both our scanner and encoding/json.
func TestStrictness(t *testing.T) {
	values := []struct {
		value string
		valid bool
	}{
		{`0`, true}, {`-0`, true}, {`1e5`, true}, {`1E+5`, true}, {`1e-05`, true}, {`0.10`, true}, {`1.5e10`, true}, {`123456789012345678901234567890`, true}, {`1e999`, true},
		{`-`, false}, {`+1`, false}, {`.5`, false}, {`5.`, false}, {`01`, false}, {`-01`, false}, {`1e`, false}, {`1e+`, false}, {`0x1`, false},
		{`1_000`, false}, {`Infinity`, false}, {`-Infinity`, false}, {`nan`, false}, {`--1`, false}, {`1.e1`, false}, {`１`, false},
		{`true`, true}, {`false`, true}, {`null`, true}, {`True`, false}, {`nul`, false}, {`nulll`, false}, {`undefined`, false}, {``, false},
		{`""`, true}, {`"\"\\\/\b\f\n\r\t"`, true}, {`"\u0000"`, true}, {`"\uD834\uDD1E"`, true}, {`"\ud834"`, true}, {`"\uDd1e\ud834"`, true},
		{`"\u12"`, false}, {`"\u123"`, false}, {`"\u123g"`, false}, {`"\u123`, false}, {`"\u12g4"`, false}, {`"\U0041"`, false}, {`"\a"`, false}, {`"\'"`, false}, {`"\`, false}, {`"\"`, false}, {`"\u`, false}, {`'a'`, false},
		{"\"\x1f\"", false}, {"\"\x7f\"", true}, {"\"\t\"", false}, {"\"12345678\x00\"", false}, {"\"1234567\n\"", false}, {"\"\u2028\"", true},
		{"\"é日本𝄞\"", true}, {`"`, false}, {`"12345678`, false}, {`"1234567890123456789\"`, false}, {`"12345678\\"`, true}, {`"1234567\"90123456\\789"`, true},
		{`[]`, true}, {`[ ]`, true}, {`[1,[2,{"a":3}]]`, true}, {`[1,]`, false}, {`[,1]`, false}, {`[1 2]`, false}, {`[`, false}, {`]`, false}, {`[}`, false}, {`[1,,2]`, false}, {`["a":1]`, false},
		{`{}`, true}, {`{ }`, true}, {`{"a":1,"a":2}`, true}, {`{"":0}`, true}, {`{"a"}`, false}, {`{"a":}`, false}, {`{"a":1,}`, false}, {`{,}`, false}, {`{a:1}`, false}, {`{"a":1;}`, false}, {`{1:1}`, false}, {`{"a"::1}`, false}, {`{]`, false},
		{"\r\n\t 1 \r\n\t", true}, {"\v1", false}, {"\f1", false}, {"\u00a01", false}, {"\ufeff1", false}, {`/**/1`, false}, {`1//`, false}, {`1 2`, false},
	}
	for _, test := range values {
		body := []byte(`{"model":"m","messages":` + test.value + `}`)
		var b Body
		if err := b.Inspect(&chatRoute, body); (err == nil) != test.valid {
			t.Errorf("%s: %v, want valid %v", test.value, err, test.valid)
		}
		if json.Valid(body) != test.valid {
			t.Errorf("%s: encoding/json disagrees with the table", test.value)
		}
	}
}

// TestInvalidUTF8 puts each kind of ill-formed sequence at every offset within the eight bytes read at once.
func TestInvalidUTF8(t *testing.T) {
	for _, bad := range []string{
		"\x80", "\xbf", "\xc0\xaf", "\xc1\x81", "\xc3", "\xe0\x80\x80", "\xe2\x82", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xfe", "\xff",
	} {
		for offset := range 17 {
			body := []byte(`{"model":"m","x":"` + strings.Repeat("a", offset) + bad + `zzzzzzzzzzzz"}`)
			var b Body
			err := b.Inspect(&chatRoute, body)
			if err == nil || err.Code != CodeInvalidUTF8 {
				t.Errorf("% x after %d bytes: %v", bad, offset, err)
			}
		}
	}
}

// TestControlCharacters puts each of them at every offset within the eight bytes read at once.
func TestControlCharacters(t *testing.T) {
	for c := range byte(0x80) {
		for offset := range 17 {
			body := []byte(`{"model":"m","x":"` + strings.Repeat("a", offset) + string(rune(c)) + `zzzzzzzzzzzz"}`)
			var b Body
			if err := b.Inspect(&chatRoute, body); (err == nil) != json.Valid(body) {
				t.Errorf("%#x after %d bytes: %v", c, offset, err)
			}
		}
	}
}

func TestDepth(t *testing.T) {
	nested := func(levels int) []byte {
		n := levels - 1 // the body itself is one
		return []byte(`{"model":"m","x":` + strings.Repeat(`[`, n/2) + strings.Repeat(`{"a":`, n-n/2) + `0` + strings.Repeat(`}`, n-n/2) + strings.Repeat(`]`, n/2) + `}`)
	}
	var b Body
	if err := b.Inspect(&chatRoute, nested(MaxDepth)); err != nil {
		t.Errorf("%d levels: %v", MaxDepth, err)
	}
	if err := b.Inspect(&chatRoute, nested(MaxDepth+1)); err == nil || err.Code != CodeTooDeep {
		t.Errorf("%d levels: %v", MaxDepth+1, err)
	}
}

func TestInspectAllocatesNothing(t *testing.T) {
	var b Body
	edits := make([]Edit, 0, 8)
	generate := Route{Format: Gemini, Operation: Generate, Model: []byte("g")}
	cases := []struct {
		route *Route
		body  []byte
	}{
		{&chatRoute, []byte(chatBody)},
		{&chatRoute, []byte(`{"stream":true,"n":2}`)},
		{&batchRoute, []byte(`{"requests":[{"model":"models/emb"},{"model":"emb"}]}`)},
		{&messagesRoute, []byte(`{"model":"m","system":[{"cache\u005fcontrol":{"\u0074tl":"1h"}}]}`)},
		{&generate, []byte(`{"generationConfig":{"maxOutputTokens":null,"responseModalities":["AUDIO"]},"model":"models/g"}`)},
	}
	model := []byte(`"upstream"`)
	allocs := testing.AllocsPerRun(100, func() {
		for _, c := range cases {
			if err := b.Inspect(c.route, c.body); err != nil {
				t.Fatal(err)
			}
			edits = b.AppendEdits(edits[:0], c.route, model, true, 4096)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
