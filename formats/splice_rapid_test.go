package formats

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawObject draws an object of some of the members, in any order and with any white space between them.
func drawObject(t *rapid.T, members []string) string {
	blank := rapid.SampledFrom([]string{"", "", " ", "\r\n\t"})
	var object strings.Builder
	object.WriteString("{" + blank.Draw(t, "blank"))
	chosen := rapid.SliceOfNDistinct(rapid.IntRange(0, len(members)-1), 0, len(members), rapid.ID).Draw(t, "members")
	for i, m := range chosen {
		if i > 0 {
			object.WriteString("," + blank.Draw(t, "blank"))
		}
		object.WriteString(members[m] + blank.Draw(t, "blank"))
	}
	return object.String() + "}"
}

// drawBody draws a body for a route: what AppendEdits cares about, in all states, among other members.
func drawBody(t *rapid.T, r *Route) string {
	number := rapid.SampledFrom([]string{"null", "0", "1", "4096"})
	members := []string{
		`"messages":[{"model":"x","max_tokens":1,"content":"\"},{"}]`, `"x":{}`, `"é":[[],"\\",1.5e3]`,
		`"stream":` + rapid.SampledFrom([]string{"true", "false"}).Draw(t, "stream"),
		`"stream_options":` + rapid.SampledFrom([]string{`null`, `{}`, `{ }`, `{"x":[1]}`, `{"include_usage":false}`,
			`{"y":1,"include_usage": true}`, `{"include_usage":null}`}).Draw(t, "options"),
	}
	if r.Format == Gemini {
		model := rapid.SampledFrom([]string{"g", "models/g"}).Draw(t, "model")
		name := rapid.SampledFrom([]string{"maxOutputTokens", "max_output_tokens"}).Draw(t, "maximum")
		config := drawObject(t, []string{`"` + name + `":` + number.Draw(t, "number"), `"topK":1`, `"a":{"b":{}}`})
		key := rapid.SampledFrom([]string{"generationConfig", "generation_config"}).Draw(t, "config")
		members = append(members, `"model":"`+model+`"`,
			`"`+key+`": `+rapid.SampledFrom([]string{config, config, "null"}).Draw(t, "value"))
	} else {
		members = append(members, `"model": "a b"`)
		for _, name := range []string{"max_tokens", "max_completion_tokens", "max_output_tokens"} {
			members = append(members, `"`+name+`":`+number.Draw(t, "number"))
		}
	}
	return rapid.SampledFrom([]string{"", " \n"}).Draw(t, "before") + drawObject(t, members)
}

// wish makes the changes in a decoded body that AppendEdits is to make in its bytes.
func wish(m map[string]any, r *Route, usage bool, maxOutput int64) {
	if model, ok := m["model"].(string); r.ModelInBody() {
		m["model"] = "up"
	} else if ok {
		m["model"] = strings.TrimSuffix(model, "g") + "up"
	}
	if usage && m["stream"] == true && (r.Operation == Chat || r.Operation == Completions) {
		options, _ := m["stream_options"].(map[string]any)
		if options == nil {
			options = map[string]any{}
		}
		options["include_usage"] = true
		m["stream_options"] = options
	}
	place, names := m, map[Operation][]string{
		Chat: {"max_completion_tokens", "max_tokens"}, Completions: {"max_tokens"}, Responses: {"max_output_tokens"},
		Messages: {"max_tokens"}, Generate: {"maxOutputTokens", "max_output_tokens"},
	}[r.Operation]
	if maxOutput == 0 || names == nil {
		return
	}
	own := names[0]
	if r.Format == Gemini {
		key := "generationConfig"
		if _, snake := m["generation_config"]; snake {
			key = "generation_config"
		}
		if place, _ = m[key].(map[string]any); place == nil {
			place = map[string]any{}
			defer func() { m[key] = place }()
		}
		if _, snake := place["max_output_tokens"]; snake {
			own = "max_output_tokens"
		}
	}
	for _, name := range names {
		if place[name] != nil {
			return
		}
	}
	place[own] = json.Number(strconv.FormatInt(maxOutput, 10))
}

// TestEditsDoWhatIsWished holds the spliced bytes against the same changes made in the decoded body.
func TestEditsDoWhatIsWished(t *testing.T) {
	routes := []Route{
		chatRoute, completionsRoute, responsesRoute, embeddingsRoute, messagesRoute,
		{Format: Gemini, Operation: Generate, Model: []byte("g")}, {Format: Gemini, Operation: CountTokens, Model: []byte("g")},
	}
	var b Body
	rapid.Check(t, func(rt *rapid.T) {
		r := rapid.SampledFrom(routes).Draw(rt, "route")
		body := []byte(drawBody(rt, &r))
		usage, maxOutput := rapid.Bool().Draw(rt, "usage"), rapid.SampledFrom([]int64{0, 1, 4097}).Draw(rt, "max")
		if err := b.Inspect(&r, body); err != nil {
			rt.Fatalf("%s: %v", body, err)
		}
		first := Edit{Span{1, 2}, nil}
		edits := b.AppendEdits([]Edit{first}, &r, []byte(`"up"`), usage, maxOutput)
		if !reflect.DeepEqual(edits[0], first) {
			rt.Fatal("what was there before has changed")
		}
		edits = edits[1:]
		if !slices.IsSortedFunc(edits, func(a, b Edit) int { return a.Start - b.Start }) {
			rt.Fatalf("%s: out of order: %v", body, edits)
		}
		var out bytes.Buffer
		if n, err := WriteSpliced(&out, body, edits); err != nil || n != SplicedLen(body, edits) {
			rt.Fatalf("%s: wrote %d bytes, want %d: %v", body, n, SplicedLen(body, edits), err)
		}
		want := decode(t, body)
		wish(want, &r, usage, maxOutput)
		if got := decode(t, out.Bytes()); !reflect.DeepEqual(got, want) {
			rt.Fatalf("%s became\n%s\ngot  %v\nwant %v", body, out.Bytes(), got, want)
		}
	})
}
