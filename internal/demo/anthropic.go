package demo

import (
	"net/http"
	"strings"
)

var anthropic = dialect{
	credential: func(r *http.Request) string { return r.Header.Get("X-Api-Key") },
	fail: func(x *exchange, status int, message string) {
		kind := map[int]string{400: "invalid_request_error", 401: "authentication_error", 403: "permission_error",
			404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error"}[status]
		if kind == "" {
			kind = "api_error"
		}
		x.reply(status, object{"type": "error", "error": object{"type": kind, "message": message}, "request_id": "req_demo"})
	},
}

// messagesRequest is what the demo reads of a messages request.
type messagesRequest struct {
	Model     string  `json:"model"`
	MaxTokens int     `json:"max_tokens"`
	Stream    bool    `json:"stream"`
	System    content `json:"system"`
	Messages  []struct {
		Role    string  `json:"role"`
		Content content `json:"content"`
	} `json:"messages"`
	Tools []struct {
		Name        string `json:"name"`
		InputSchema schema `json:"input_schema"`
	} `json:"tools"`
}

func (r *messagesRequest) read() (prompt, said string) {
	var all strings.Builder
	all.WriteString(string(r.System))
	for _, m := range r.Messages {
		all.WriteString(string(m.Content))
		said = string(m.Content)
	}
	return all.String(), said
}

func messages(x *exchange) {
	var req messagesRequest
	if !x.decode(anthropic, &req) {
		return
	}
	if x.r.Header.Get("Anthropic-Version") == "" {
		anthropic.fail(x, http.StatusBadRequest, "anthropic-version: header is required")
		return
	}
	if req.MaxTokens < 1 {
		anthropic.fail(x, http.StatusBadRequest, "max_tokens: field required")
		return
	}
	prompt, said := req.read()
	text := say(req.Model, said)
	block, stop := object{"type": "text", "text": text}, "end_turn"
	if len(req.Tools) > 0 && len(req.Messages) == 1 {
		tool := req.Tools[0]
		text, stop = argumentsText(tool.InputSchema), "tool_use"
		block = object{"type": "tool_use", "id": "toolu_demo", "name": tool.Name, "input": arguments(tool.InputSchema)}
	}
	message := func(blocks []object, stop any, out int) object {
		return object{"id": "msg_demo", "type": "message", "role": "assistant", "model": req.Model, "content": blocks,
			"stop_reason": stop, "stop_sequence": nil, "usage": object{"input_tokens": tokens(prompt),
				"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": out}}
	}
	if !req.Stream {
		x.reply(http.StatusOK, message([]object{block}, stop, tokens(text)))
		return
	}
	streamMessage(x, req.Model, message([]object{}, nil, 1), block, text, stop)
}

// streamMessage sends a message as the sequence of events that the format has for it.
func streamMessage(x *exchange, model string, begun, block object, text, stop string) {
	start := object{"type": "text", "text": ""}
	delta := func(part string) object { return object{"type": "text_delta", "text": part} }
	if block["type"] == "tool_use" {
		start = object{"type": "tool_use", "id": block["id"], "name": block["name"], "input": object{}}
		delta = func(part string) object { return object{"type": "input_json_delta", "partial_json": part} }
	}
	x.begin()
	send := func(kind string, fields object) bool {
		fields["type"] = kind
		return x.event(kind, fields)
	}
	if !send("message_start", object{"message": begun}) || !send("content_block_start", object{"index": 0, "content_block": start}) || !send("ping", object{}) {
		return
	}
	for i, word := range words(text) {
		x.cut(model, i)
		if !send("content_block_delta", object{"index": 0, "delta": delta(word)}) {
			return
		}
	}
	if send("content_block_stop", object{"index": 0}) &&
		send("message_delta", object{"delta": object{"stop_reason": stop, "stop_sequence": nil}, "usage": object{"output_tokens": tokens(text)}}) {
		send("message_stop", object{})
	}
}

func countMessageTokens(x *exchange) {
	var req messagesRequest
	if !x.decode(anthropic, &req) {
		return
	}
	prompt, _ := req.read()
	x.reply(http.StatusOK, object{"input_tokens": tokens(prompt)})
}
