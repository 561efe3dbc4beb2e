package demo

import (
	"encoding/json"
	"net/http"
)

// responsesRequest is what the demo reads of a responses request.
type responsesRequest struct {
	Model  string          `json:"model"`
	Stream bool            `json:"stream"`
	Input  json.RawMessage `json:"input"`
	Tools  []struct {
		Type       string `json:"type"`
		Name       string `json:"name"`
		Parameters schema `json:"parameters"`
	} `json:"tools"`
}

// said is the last text of the input, and whether a tool's output stands there.
func (r *responsesRequest) said() (text string, answered bool) {
	if json.Unmarshal(r.Input, &text) == nil {
		return text, false
	}
	var items []struct {
		Type    string  `json:"type"`
		Content content `json:"content"`
		Output  content `json:"output"`
	}
	_ = json.Unmarshal(r.Input, &items) // another form says nothing
	for _, i := range items {
		answered = i.Type == "function_call_output"
		if t := string(i.Content + i.Output); t != "" {
			text = t
		}
	}
	return text, answered
}

func responses(x *exchange) {
	var req responsesRequest
	if !x.decode(openAI, &req) {
		return
	}
	said, answered := req.said()
	text := say(req.Model, said)
	item := func(status string, parts []object) object {
		return object{"id": "msg_demo", "type": "message", "role": "assistant", "status": status, "content": parts}
	}
	part := object{"type": "output_text", "text": text, "annotations": []any{}}
	output := []object{item("completed", []object{part})}
	if len(req.Tools) > 0 && !answered && req.Tools[0].Type == "function" {
		text = argumentsText(req.Tools[0].Parameters)
		output = []object{{"id": "fc_demo", "type": "function_call", "call_id": "call_demo", "status": "completed",
			"name": req.Tools[0].Name, "arguments": text}}
	}
	whole := func(status string, output []object, usage any) object {
		return object{
			"id": "resp_demo", "object": "response", "created_at": created, "status": status, "model": req.Model, "output": output,
			"error": nil, "incomplete_details": nil, "instructions": nil, "metadata": object{}, "parallel_tool_calls": true,
			"temperature": 1, "tool_choice": "auto", "tools": []any{}, "top_p": 1, "usage": usage,
		}
	}
	usage := object{
		"input_tokens": tokens(said), "input_tokens_details": object{"cached_tokens": 0},
		"output_tokens": tokens(text), "output_tokens_details": object{"reasoning_tokens": 0}, "total_tokens": tokens(said) + tokens(text),
	}
	if !req.Stream {
		x.reply(http.StatusOK, whole("completed", output, usage))
		return
	}
	s := responseStream{x: x, model: req.Model}
	x.begin()
	begun := whole("in_progress", []object{}, nil)
	s.send("response.created", object{"response": begun})
	s.send("response.in_progress", object{"response": begun})
	if output[0]["type"] == "function_call" {
		s.call(output[0], text)
	} else {
		s.message(item, part, text)
	}
	s.send("response.completed", object{"response": whole("completed", output, usage)})
}

// responseStream numbers the events of a streamed response. After the client left it sends nothing more.
type responseStream struct {
	x     *exchange
	model string
	sent  int
	gone  bool
}

func (s *responseStream) send(kind string, fields object) {
	if s.gone {
		return
	}
	fields["type"], fields["sequence_number"] = kind, s.sent
	s.gone = !s.x.event(kind, fields)
	s.sent++
}

// message streams a text.
func (s *responseStream) message(item func(string, []object) object, part object, text string) {
	at := func(more object) object {
		more["item_id"], more["output_index"], more["content_index"] = "msg_demo", 0, 0
		return more
	}
	s.send("response.output_item.added", object{"output_index": 0, "item": item("in_progress", []object{})})
	s.send("response.content_part.added", at(object{"part": object{"type": "output_text", "text": "", "annotations": []any{}}}))
	for i, word := range words(text) {
		s.x.cut(s.model, i)
		s.send("response.output_text.delta", at(object{"delta": word, "logprobs": []any{}}))
	}
	s.send("response.output_text.done", at(object{"text": text, "logprobs": []any{}}))
	s.send("response.content_part.done", at(object{"part": part}))
	s.send("response.output_item.done", object{"output_index": 0, "item": item("completed", []object{part})})
}

// call streams a function call.
func (s *responseStream) call(item object, arguments string) {
	begun := object{"id": item["id"], "type": item["type"], "call_id": item["call_id"], "name": item["name"], "status": "in_progress", "arguments": ""}
	s.send("response.output_item.added", object{"output_index": 0, "item": begun})
	s.send("response.function_call_arguments.delta", object{"item_id": item["id"], "output_index": 0, "delta": arguments})
	s.send("response.function_call_arguments.done", object{"item_id": item["id"], "output_index": 0, "name": item["name"], "arguments": arguments})
	s.send("response.output_item.done", object{"output_index": 0, "item": item})
}
