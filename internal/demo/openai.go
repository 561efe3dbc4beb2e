package demo

import (
	"encoding/json"
	"net/http"
	"strings"
)

type object = map[string]any

var openAI = dialect{
	credential: bearer,
	fail: func(x *exchange, status int, message string) {
		kind := "invalid_request_error"
		if status >= 500 {
			kind = "server_error"
		}
		x.reply(status, object{"error": object{"message": message, "type": kind, "param": nil, "code": nil}})
	},
}

// chatRequest is what the demo reads of a chat/completions request.
type chatRequest struct {
	Model         string `json:"model"`
	Stream        bool   `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Messages []struct {
		Role    string  `json:"role"`
		Content content `json:"content"`
	} `json:"messages"`
	Tools []struct {
		Function struct {
			Name       string `json:"name"`
			Parameters schema `json:"parameters"`
		} `json:"function"`
	} `json:"tools"`
	ToolChoice json.RawMessage `json:"tool_choice"`
}

// read returns the prompt, and what was said last and by whom.
func (r *chatRequest) read() (prompt, said, role string) {
	var all strings.Builder
	for _, m := range r.Messages {
		all.WriteString(string(m.Content))
		said, role = string(m.Content), m.Role
	}
	return all.String(), said, role
}

func chat(x *exchange) {
	var req chatRequest
	if !x.decode(openAI, &req) {
		return
	}
	if len(req.Messages) == 0 {
		openAI.fail(x, http.StatusBadRequest, "messages must not be empty")
		return
	}
	prompt, said, role := req.read()
	answer := object{"role": "assistant", "content": say(req.Model, said), "refusal": nil}
	finish, text := "stop", say(req.Model, said)
	if len(req.Tools) > 0 && role == "user" && string(req.ToolChoice) != `"none"` {
		f := req.Tools[0].Function
		finish, text = "tool_calls", argumentsText(f.Parameters)
		answer = object{"role": "assistant", "content": nil, "tool_calls": []object{
			{"id": "call_demo", "type": "function", "function": object{"name": f.Name, "arguments": text}},
		}}
	}
	usage := object{"prompt_tokens": tokens(prompt), "completion_tokens": tokens(text), "total_tokens": tokens(prompt) + tokens(text)}
	if req.Stream {
		streamChat(x, &req, answer, finish, usage)
		return
	}
	x.reply(http.StatusOK, object{
		"id": "chatcmpl-demo", "object": "chat.completion", "created": created, "model": req.Model,
		"choices": []object{{"index": 0, "message": answer, "logprobs": nil, "finish_reason": finish}},
		"usage":   usage,
	})
}

// streamChat sends the answer in deltas.
func streamChat(x *exchange, req *chatRequest, answer object, finish string, usage object) {
	deltas := []object{{"role": "assistant", "content": ""}}
	if calls, ok := answer["tool_calls"].([]object); ok {
		f, _ := calls[0]["function"].(object)
		deltas = append(deltas, object{"tool_calls": []object{{"index": 0, "id": "call_demo", "type": "function",
			"function": object{"name": f["name"], "arguments": ""}}}})
		text, _ := f["arguments"].(string)
		for _, part := range []string{text[:len(text)/2], text[len(text)/2:]} {
			deltas = append(deltas, object{"tool_calls": []object{{"index": 0, "function": object{"arguments": part}}}})
		}
	} else {
		text, _ := answer["content"].(string)
		for _, word := range words(text) {
			deltas = append(deltas, object{"content": word})
		}
	}
	x.begin()
	send := func(choices []object, usage any) bool {
		e := object{"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": created, "model": req.Model, "choices": choices}
		if req.StreamOptions.IncludeUsage {
			e["usage"] = usage
		}
		return x.event("", e)
	}
	for i, delta := range deltas {
		x.cut(req.Model, i)
		if !send([]object{{"index": 0, "delta": delta, "finish_reason": nil}}, nil) {
			return
		}
	}
	if !send([]object{{"index": 0, "delta": object{}, "finish_reason": finish}}, nil) {
		return
	}
	if req.StreamOptions.IncludeUsage && !send([]object{}, usage) {
		return
	}
	x.raw("data: [DONE]\n\n")
}

func completions(x *exchange) {
	var req struct {
		Model         string  `json:"model"`
		Prompt        content `json:"prompt"`
		Stream        bool    `json:"stream"`
		StreamOptions struct {
			IncludeUsage bool `json:"include_usage"`
		} `json:"stream_options"`
	}
	if !x.decode(openAI, &req) {
		return
	}
	text := say(req.Model, string(req.Prompt))
	in, out := tokens(string(req.Prompt)), tokens(text)
	usage := object{"prompt_tokens": in, "completion_tokens": out, "total_tokens": in + out}
	part := func(text string, finish any) object {
		return object{"id": "cmpl-demo", "object": "text_completion", "created": created, "model": req.Model,
			"choices": []object{{"index": 0, "text": text, "logprobs": nil, "finish_reason": finish}}}
	}
	if !req.Stream {
		whole := part(text, "stop")
		whole["usage"] = usage
		x.reply(http.StatusOK, whole)
		return
	}
	x.begin()
	for i, word := range words(text) {
		x.cut(req.Model, i)
		if !x.event("", part(word, nil)) {
			return
		}
	}
	if !x.event("", part("", "stop")) {
		return
	}
	if req.StreamOptions.IncludeUsage {
		last := part("", nil)
		last["choices"], last["usage"] = []object{}, usage
		if !x.event("", last) {
			return
		}
	}
	x.raw("data: [DONE]\n\n")
}

// vector is the length of the demo's embeddings.
const vector = 8

func embeddings(x *exchange) {
	var req struct {
		Model  string          `json:"model"`
		Input  json.RawMessage `json:"input"`
		Format string          `json:"encoding_format"`
	}
	if !x.decode(openAI, &req) {
		return
	}
	var inputs []string
	if json.Unmarshal(req.Input, &inputs) != nil {
		inputs = []string{strings.Trim(string(req.Input), `"`)}
	}
	data, used := []object{}, 0
	for i, input := range inputs {
		used += tokens(input)
		data = append(data, object{"object": "embedding", "index": i, "embedding": embed(input, req.Format)})
	}
	x.reply(http.StatusOK, object{"object": "list", "data": data, "model": req.Model,
		"usage": object{"prompt_tokens": used, "total_tokens": used}})
}
