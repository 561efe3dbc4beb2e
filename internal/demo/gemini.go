package demo

import (
	"encoding/json"
	"net/http"
	"strings"
)

var gemini = dialect{
	credential: func(r *http.Request) string { return r.Header.Get("X-Goog-Api-Key") },
	fail: func(x *exchange, status int, message string) {
		kind := map[int]string{400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
			429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}[status]
		if kind == "" {
			kind = "INTERNAL"
		}
		x.reply(status, object{"error": object{"code": status, "message": message, "status": kind}})
	},
}

// geminiContent is a turn of a conversation.
type geminiContent struct {
	Role  string `json:"role"`
	Parts []struct {
		Text             string          `json:"text"`
		FunctionResponse json.RawMessage `json:"functionResponse"`
	} `json:"parts"`
}

// geminiRequest is what the demo reads of any request of the format.
type geminiRequest struct {
	Contents []geminiContent `json:"contents"`
	Content  geminiContent   `json:"content"`
	Requests []geminiRequest `json:"requests"`
	Tools    []struct {
		FunctionDeclarations []struct {
			Name       string `json:"name"`
			Parameters schema `json:"parameters"`
			JSONSchema schema `json:"parametersJsonSchema"`
		} `json:"functionDeclarations"`
	} `json:"tools"`
}

func (c *geminiContent) text() string {
	var all strings.Builder
	for _, p := range c.Parts {
		all.WriteString(p.Text)
		all.Write(p.FunctionResponse)
	}
	return all.String()
}

// geminiCall serves models/{model}:{verb}.
func geminiCall(x *exchange) {
	model, verb, _ := strings.Cut(x.r.PathValue("call"), ":")
	var req geminiRequest
	if !x.decode(gemini, &req) {
		return
	}
	var prompt, said string
	for i := range req.Contents {
		said = req.Contents[i].text()
		prompt += said
	}
	switch verb {
	case "generateContent", "streamGenerateContent":
		generate(x, model, verb, &req, prompt, said)
	case "countTokens":
		x.reply(http.StatusOK, object{"totalTokens": tokens(prompt)})
	case "embedContent":
		x.reply(http.StatusOK, object{"embedding": object{"values": embed(req.Content.text(), "")}})
	case "batchEmbedContents":
		all := []object{}
		for i := range req.Requests {
			all = append(all, object{"values": embed(req.Requests[i].Content.text(), "")})
		}
		x.reply(http.StatusOK, object{"embeddings": all})
	default:
		gemini.fail(x, http.StatusNotFound, "There is no method "+verb+".")
	}
}

// generate answers generateContent, and streamGenerateContent in both of its framings.
func generate(x *exchange, model, verb string, req *geminiRequest, prompt, said string) {
	text := say(model, said)
	pieces := []object{}
	for _, word := range words(text) {
		pieces = append(pieces, object{"text": word})
	}
	whole := object{"text": text}
	if len(req.Tools) > 0 && len(req.Tools[0].FunctionDeclarations) > 0 && len(req.Contents) == 1 {
		f := req.Tools[0].FunctionDeclarations[0]
		if len(f.Parameters.Required) == 0 {
			f.Parameters = f.JSONSchema
		}
		whole = object{"functionCall": object{"name": f.Name, "args": arguments(f.Parameters)}}
		pieces = []object{whole}
	}
	part := func(p object, last bool) object {
		candidate := object{"content": object{"role": "model", "parts": []object{p}}, "index": 0}
		usage := object{"promptTokenCount": tokens(prompt), "totalTokenCount": tokens(prompt)}
		if last {
			candidate["finishReason"] = "STOP"
			usage["candidatesTokenCount"], usage["totalTokenCount"] = tokens(text), tokens(prompt)+tokens(text)
		}
		return object{"candidates": []object{candidate}, "usageMetadata": usage, "modelVersion": model, "responseId": "demo"}
	}
	if verb == "generateContent" {
		x.reply(http.StatusOK, part(whole, true))
		return
	}
	array := x.r.URL.Query().Get("alt") != "sse"
	if array {
		x.w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	} else {
		x.begin()
	}
	for i, p := range pieces {
		x.cut(model, i)
		data, _ := json.Marshal(part(p, i == len(pieces)-1)) // maps of plain values
		frame := "data: " + string(data) + "\r\n\r\n"
		if array {
			frame = map[bool]string{true: "[", false: ",\r\n"}[i == 0] + string(data)
		}
		if !x.raw(frame) {
			return
		}
	}
	if array {
		x.raw("]\n")
	}
}
