package formats

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzInspect holds the scanner against encoding/json: what is accepted, it decodes to the same model and stream, and
// so it does the spliced body, of which nothing else may have changed. What is refused is either not JSON or is
// refused for a reason that the body shows.
func FuzzInspect(f *testing.F) {
	for _, body := range []string{
		chatBody,
		`{"model":"a","stream":true,"stream_options":null}`,
		`{"stream_options":{"x":1, "include_usage" : false},"stream":true , "model" : "a"}`,
		`{"model":"a","stream":true,"stream_options":{}}`,
		`{"\u006dodel":"a","Model":"b","ſtream":true}`,
		`{"model":"a","x":"\ud834\udd1e\ud834 é","y":[1.5e-3,-0,true,null,{"":{}}]}`,
		`{"n":2,"background":false,"max_tokens":1,"max_completion_tokens":2,"max_output_tokens":3,"service_tier":"x","model":"m"}`,
		`{"messages":[{"cache_control":{"type":"ephemeral","ttl":"1h"}}],"max_tokens":null,"stream":true}`, `{ }`,
		`{"model":"a","modalities":["text","audio"],"max_completion_tokens":0,"n":1e1}`,
		`{"generationConfig":{"maxOutputTokens":null,"candidateCount":2},"model":"models/g"}`, `{"generation_config":{}}`,
		"{\"model\":\"\xff\"}", `{"model":"a"}x`, "\ufeff{}", `{"model":`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var b Body
		checkOthers(t, &b, body)
		if err := b.Inspect(&chatRoute, body); err != nil {
			checkRefusal(t, body, err)
			return
		}
		if !utf8.Valid(body) {
			t.Fatalf("accepted invalid UTF-8")
		}
		if b.Model.Present() {
			checkDecoded(t, body, string(b.ModelName), b.Stream)
			if got := string(body[b.Model.Start:b.Model.End]); got != `"`+string(b.ModelName)+`"` {
				t.Fatalf("the model's span holds %s", got)
			}
		} else if _, ok := decode(t, body)["model"]; ok {
			t.Fatalf("%q has a model", body)
		}
		checkBounds(t, decode(t, body), &b)
		const upstream = "up/stream é"
		for _, usage := range []bool{false, true} {
			edits := b.AppendEdits(nil, &chatRoute, []byte(`"`+upstream+`"`), usage, 0)
			var out bytes.Buffer
			if n, err := WriteSpliced(&out, body, edits); err != nil || n != SplicedLen(body, edits) {
				t.Fatalf("wrote %d bytes, want %d: %v", n, SplicedLen(body, edits), err)
			}
			checkDecoded(t, out.Bytes(), upstream, b.Stream)
			checkSpliced(t, decode(t, body), decode(t, out.Bytes()), usage && b.Stream)
		}
	})
}

// checkOthers checks what becomes of a body at the other endpoints.
func checkOthers(t *testing.T, b *Body, body []byte) {
	t.Helper()
	for _, r := range []Route{completionsRoute, responsesRoute, messagesRoute, {Format: Gemini, Operation: Generate, Model: []byte("g")}} {
		if err := b.Inspect(&r, body); err != nil || len(b.Models) > 1 {
			continue
		}
		var out bytes.Buffer
		if _, err := WriteSpliced(&out, body, b.AppendEdits(nil, &r, []byte(`"up"`), true, 7)); err != nil {
			t.Fatal(err)
		}
		want := decode(t, body)
		if _, nested := want["model"]; !nested && len(b.Models) > 0 {
			continue // the model is named on a lower level only
		}
		wish(want, &r, true, 7)
		if got := decode(t, out.Bytes()); !reflect.DeepEqual(got, want) {
			t.Fatalf("%v: %s became\n%s", r.Operation, body, out.Bytes())
		}
	}
}

// checkDecoded checks how encoding/json reads a body, in both of the ways that programs use.
func checkDecoded(t *testing.T, body []byte, model string, stream bool) {
	t.Helper()
	var typed struct {
		Model  string
		Stream bool
	}
	if err := json.Unmarshal(body, &typed); err != nil {
		t.Fatalf("encoding/json refuses %q: %v", body, err)
	}
	if typed.Model != model || typed.Stream != stream {
		t.Fatalf("encoding/json reads model %q, stream %v; we read %q, %v", typed.Model, typed.Stream, model, stream)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(body, &raw); err != nil {
		t.Fatalf("encoding/json refuses %q: %v", body, err)
	}
	var inMap string
	if err := json.Unmarshal(raw["model"], &inMap); err != nil || inMap != model {
		t.Fatalf("a map's model is %q (%v), want %q", inMap, err, model)
	}
	if got := string(raw["stream"]) == "true"; got != stream {
		t.Fatalf("a map's stream is %s, want %v", raw["stream"], stream)
	}
}

// checkBounds checks what was found of the answer's size.
func checkBounds(t *testing.T, m map[string]any, b *Body) {
	t.Helper()
	largest, choices := int64(0), int64(1)
	for _, name := range []string{"max_tokens", "max_completion_tokens"} {
		if n, ok := m[name].(json.Number); ok {
			v, err := n.Int64()
			if err != nil {
				t.Fatalf("%s %s was accepted", name, n)
			}
			largest = max(largest, v)
		} else if m[name] != nil {
			t.Fatalf("%s %v was accepted", name, m[name])
		}
	}
	if n, ok := m["n"].(json.Number); ok {
		choices, _ = n.Int64()
	}
	if b.MaxOutput != largest || b.HasMaxOutput != (largest > 0) || int64(b.Choices) != choices || b.Answers != b.Choices {
		t.Fatalf("%v: %d (%v), n %d, answers %d", m, b.MaxOutput, b.HasMaxOutput, b.Choices, b.Answers)
	}
}

func decode(t *testing.T, body []byte) map[string]any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		t.Fatalf("encoding/json refuses %q: %v", body, err)
	}
	return m
}

// checkSpliced checks that two documents differ in the model and, if asked for, in the usage option only.
func checkSpliced(t *testing.T, before, after map[string]any, usage bool) {
	t.Helper()
	delete(before, "model")
	delete(after, "model")
	if usage {
		options, _ := before["stream_options"].(map[string]any)
		if options == nil {
			options = map[string]any{}
		}
		options["include_usage"] = true
		before["stream_options"] = options
	}
	if !reflect.DeepEqual(before, after) {
		t.Fatalf("before %v\n after %v", before, after)
	}
}

// checkRefusal checks that a refusal gives its true reason.
func checkRefusal(t *testing.T, body []byte, refusal *Error) {
	t.Helper()
	var m map[string]json.RawMessage
	valid := json.Unmarshal(body, &m) == nil && m != nil
	switch refusal.Code {
	case CodeInvalidJSON:
		if valid && utf8.Valid(body) {
			t.Fatalf("%q is JSON, but: %v", body, refusal)
		}
	case CodeInvalidUTF8:
		if utf8.Valid(body) {
			t.Fatalf("%q is UTF-8, but: %v", body, refusal)
		}
	case CodeTooDeep:
		if bytes.Count(body, []byte("["))+bytes.Count(body, []byte("{")) <= MaxDepth {
			t.Fatalf("%q is not deep, but: %v", body, refusal)
		}
	case CodeDuplicateField, CodeAmbiguousField, CodeInvalidRequest, CodeModelMissing:
		if !valid { // meaning is judged before the end is seen
			return
		}
		checkMeaning(t, body, m, refusal)
	default:
		t.Fatalf("unexpected code: %v", refusal)
	}
}

func checkMeaning(t *testing.T, body []byte, m map[string]json.RawMessage, refusal *Error) {
	t.Helper()
	name := refusal.Param[strings.LastIndexByte(refusal.Param, '.')+1:]
	switch refusal.Code {
	case CodeModelMissing:
		if string(m["model"]) != `""` {
			t.Fatalf("%q is not empty, but: %v", m["model"], refusal)
		}
	case CodeDuplicateField:
		if !slices.Contains(fieldNames[1:], name) || bytes.Count(body, []byte(name)) < 2 {
			t.Fatalf("%q has no duplicate, but: %v", body, refusal)
		}
	case CodeAmbiguousField:
		if bytes.ContainsAny(body, `\`) {
			return
		}
		for key := range m {
			if key != name && strings.EqualFold(key, name) {
				return
			}
		}
		var options map[string]json.RawMessage
		if json.Unmarshal(m["stream_options"], &options) == nil {
			for key := range options {
				if key != name && strings.EqualFold(key, name) {
					return
				}
			}
		}
		t.Fatalf("%q has no ambiguous key, but: %v", body, refusal)
	}
}
