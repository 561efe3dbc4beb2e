package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// API is a form of answers: a dialect's endpoint, and how it frames streams.
type API uint8

// The forms.
const (
	Chat API = iota
	Responses
	Messages
	Gemini
	GeminiArray // only streamed: one array of JSON
	NumAPIs
)

// String returns the form's name.
func (a API) String() string {
	return []string{"chat", "responses", "messages", "gemini", "array"}[a]
}

// Format is the name of the dialect.
func (a API) Format() string { return []string{"openai", "openai", "anthropic", "gemini", "gemini"}[a] }

// Base is what stands behind the host in a provider's base URL.
func (a API) Base() string {
	if a.Format() == "openai" {
		return "/v1"
	}
	return ""
}

// Request is a client's request for a model: its path and its body. The canary comes back in the answer. The body is
// padded to at least so many bytes.
func (a API) Request(model string, streamed bool, canary string, size int) (path, body string) {
	said := "canary:" + canary + ";"
	if pad := size - 200; pad > 0 {
		said += strings.Repeat("x", pad)
	}
	flag := ""
	if streamed {
		flag = `,"stream":true`
	}
	head := `{"model":"` + model + `"` + flag
	switch a {
	case Chat:
		return "/v1/chat/completions", head + `,"max_tokens":100,"messages":[{"role":"user","content":"` + said + `"}]}`
	case Responses:
		return "/v1/responses", head + `,"max_output_tokens":100,"input":"` + said + `"}`
	case Messages:
		return "/v1/messages", head + `,"max_tokens":100,"messages":[{"role":"user","content":"` + said + `"}]}`
	case Gemini, GeminiArray:
	}
	path = "/v1beta/models/" + model + map[bool]string{true: ":streamGenerateContent", false: ":generateContent"}[streamed]
	if a == Gemini && streamed {
		path += "?alt=sse"
	}
	return path, `{"contents":[{"role":"user","parts":[{"text":"` + said + `"}]}],"generationConfig":{"maxOutputTokens":100}}`
}

// Model is a model's name, which says all that the provider has to know.
type Model struct {
	Behaviour string
	API       API
	Streamed  bool
	Case      string // tells models of one behaviour apart; letters, digits, hyphens
}

// String is the name on the wire.
func (m Model) String() string {
	return m.Behaviour + "." + m.API.String() + "." + map[bool]string{true: "s", false: "w"}[m.Streamed] + "." + m.Case
}

func parseModel(name string) (m Model) {
	parts := strings.SplitN(name, ".", 4)
	for len(parts) < 4 {
		parts = append(parts, "")
	}
	m = Model{Behaviour: parts[0], Streamed: parts[2] == "s", Case: parts[3]}
	for a := range NumAPIs {
		if a.String() == parts[1] {
			m.API = a
		}
	}
	return m
}

// modelOf finds the model in a request: in its path or its body.
func modelOf(path string, body []byte) string {
	if _, rest, ok := strings.Cut(path, "/v1beta/models/"); ok {
		name, _, _ := strings.Cut(rest, ":")
		return name
	}
	_, rest, _ := bytes.Cut(body, []byte(`"model":"`))
	name, _, _ := bytes.Cut(rest, []byte{'"'})
	return string(name)
}

// Tokens is how many tokens an answer has. A stream has one event for each.
const Tokens = 60

// Token is the text of one.
func Token(i int) string { return fmt.Sprintf("w%02d ", i) }

// answer is the right answer to a request, in all its parts.
type answer struct {
	whole                        string
	opening, tokens, finish, end []string // events, framed
}

// answer makes the right one.
func (m Model) answer(canary string) (a answer) {
	texts := make([]string, Tokens)
	for i := range texts {
		texts[i] = Token(i)
	}
	texts[0] = "canary:" + canary + "; " + texts[0]
	if !m.Streamed {
		a.whole = m.whole(strings.Join(texts, ""))
		return a
	}
	switch m.API {
	case Chat:
		m.chat(&a, texts)
	case Responses:
		m.responses(&a, texts)
	case Messages:
		m.messages(&a, texts)
	default:
		m.gemini(&a, texts)
	}
	return a
}

const (
	openAIUsage    = `{"prompt_tokens":7,"completion_tokens":60,"total_tokens":67}`
	responsesUsage = `{"input_tokens":7,"output_tokens":60,"total_tokens":67}`
	messagesUsage  = `{"input_tokens":7,"output_tokens":60}`
	geminiUsage    = `{"promptTokenCount":7,"candidatesTokenCount":60,"totalTokenCount":67}`
)

// whole is the answer in one piece.
func (m Model) whole(text string) string {
	said, name := quote(text), quote(m.String())
	switch m.API {
	case Chat:
		return `{"id":"chatcmpl-f","object":"chat.completion","created":1,"model":` + name + `,"choices":[{"index":0,"message":{"role":"assistant","content":` +
			said + `},"finish_reason":"stop"}],"usage":` + openAIUsage + `}`
	case Responses:
		return m.response("completed", `[{"type":"message","id":"msg_f","status":"completed","role":"assistant","content":[{"type":"output_text","annotations":[],"text":`+said+`}]}]`, responsesUsage)
	case Messages:
		return `{"id":"msg_f","type":"message","role":"assistant","model":` + name + `,"content":[{"type":"text","text":` + said +
			`}],"stop_reason":"end_turn","stop_sequence":null,"usage":` + messagesUsage + `}`
	default:
		return `{"candidates":[{"content":{"parts":[{"text":` + said + `}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":` +
			geminiUsage + `,"modelVersion":` + name + `}`
	}
}

func (m Model) response(status, output, usage string) string {
	return `{"id":"resp_f","object":"response","created_at":1,"status":"` + status + `","model":` + quote(m.String()) + `,"output":` + output + `,"usage":` + usage + `}`
}

func (m Model) chat(a *answer, texts []string) {
	chunk := func(choices, more string) string {
		return m.API.event("", `{"id":"chatcmpl-f","object":"chat.completion.chunk","created":1,"model":`+quote(m.String())+`,"choices":`+choices+more+`}`, false)
	}
	a.opening = []string{chunk(`[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]`, "")}
	for _, s := range texts {
		a.tokens = append(a.tokens, chunk(`[{"index":0,"delta":{"content":`+quote(s)+`},"finish_reason":null}]`, ""))
	}
	a.finish = []string{chunk(`[{"index":0,"delta":{},"finish_reason":"stop"}]`, ""), chunk(`[]`, `,"usage":`+openAIUsage)}
	a.end = []string{"data: [DONE]\n\n"}
}

func (m Model) responses(a *answer, texts []string) {
	n := 0
	event := func(kind, more string) string {
		n++
		return m.API.event(kind, fmt.Sprintf(`{"type":%q,"sequence_number":%d,%s}`, kind, n, more), false)
	}
	a.opening = []string{
		event("response.created", `"response":`+m.response("in_progress", "[]", "null")),
		event("response.output_item.added", `"output_index":0,"item":{"type":"message","id":"msg_f","status":"in_progress","role":"assistant","content":[]}`),
	}
	for _, s := range texts {
		a.tokens = append(a.tokens, event("response.output_text.delta", `"item_id":"msg_f","output_index":0,"content_index":0,"delta":`+quote(s)))
	}
	a.end = []string{event("response.completed", `"response":`+m.response("completed", "[]", responsesUsage))}
}

func (m Model) messages(a *answer, texts []string) {
	event := func(kind, more string) string { return m.API.event(kind, `{"type":"`+kind+`"`+more+`}`, false) }
	a.opening = []string{
		event("message_start", `,"message":{"id":"msg_f","type":"message","role":"assistant","model":`+quote(m.String())+`,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":7,"output_tokens":1}}`),
		event("content_block_start", `,"index":0,"content_block":{"type":"text","text":""}`),
		event("ping", ""),
	}
	for _, s := range texts {
		a.tokens = append(a.tokens, event("content_block_delta", `,"index":0,"delta":{"type":"text_delta","text":`+quote(s)+`}`))
	}
	a.finish = []string{
		event("content_block_stop", `,"index":0`),
		event("message_delta", `,"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":60}`),
	}
	a.end = []string{event("message_stop", "")}
}

func (m Model) gemini(a *answer, texts []string) {
	chunk := func(text, more string, first bool) string {
		return m.API.event("", `{"candidates":[{"content":{"parts":[{"text":`+quote(text)+`}],"role":"model"},"index":0`+more+`,"modelVersion":`+quote(m.String())+`}`, first)
	}
	a.opening = []string{chunk("", `}]`, true)}
	for _, s := range texts {
		a.tokens = append(a.tokens, chunk(s, `}]`, false))
	}
	a.finish = []string{chunk("", `,"finishReason":"STOP"}],"usageMetadata":`+geminiUsage, false)}
	if m.API == GeminiArray {
		a.end = []string{"]"}
	}
}

// event frames a payload: as an event of server-sent events, or as an element of an array, where the first one has
// the bracket.
func (a API) event(kind, payload string, first bool) string {
	switch {
	case a == GeminiArray && first:
		return "[" + payload
	case a == GeminiArray:
		return ",\r\n" + payload
	case a == Gemini:
		return "data: " + payload + "\r\n\r\n"
	case kind != "":
		return "event: " + kind + "\ndata: " + payload + "\n\n"
	}
	return "data: " + payload + "\n\n"
}

// comment is what says nothing, in a stream of this form.
func (a API) comment() string {
	switch a {
	case GeminiArray:
		return "\r\n"
	case Messages:
		return a.event("ping", `{"type":"ping"}`, false)
	default:
		return ": waiting\n\n"
	}
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic("faults: a text that cannot be quoted: " + err.Error())
	}
	return string(b)
}
