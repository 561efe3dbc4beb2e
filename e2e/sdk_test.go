//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// facts are what the scenarios of one script have to print: JSON by the scenario's name.
type facts map[string]string

// runScript plays a script against the gateway and compares what its scenarios print.
func runScript(t *testing.T, g *gateway, u *upstream, want facts, program string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("%s is missing: run `make deps-e2e` (%v)", program, err)
	}
	c := exec.CommandContext(t.Context(), program, args...)
	c.Env = append(os.Environ(), "SALLYPORT_URL="+g.url, "SALLYPORT_KEY="+clientKey, "NO_PROXY=*", "no_proxy=*")
	stderr := &buffer{}
	c.Stderr = stderr
	out, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	seen := map[string]bool{}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var line struct {
			Scenario string `json:"scenario"`
			Result   any    `json:"result"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Errorf("printed %s", lines.Text())
			continue
		}
		seen[line.Scenario] = true
		checkResult(t, line.Scenario, line.Result, want[line.Scenario])
		if line.Scenario == "cancel" {
			checkCancel(t, u)
		}
	}
	if err := c.Wait(); err != nil {
		t.Errorf("the script ended with %v\n%s", err, stderr)
	}
	for scenario := range want {
		if !seen[scenario] {
			t.Errorf("%s was not played", scenario)
		}
	}
}

// checkResult compares a result. Of errors, the message is for people, and only has to be there.
func checkResult(t *testing.T, scenario string, got any, want string) {
	t.Helper()
	var expected any
	if err := json.Unmarshal([]byte(want), &expected); err != nil {
		t.Errorf("%s: nothing to compare with %s (%v)", scenario, text(got), err)
		return
	}
	if failure, ok := got.(map[string]any); ok && failure["error"] != nil {
		t.Logf("%s: %v", scenario, failure["message"])
		if failure["message"] == "" {
			t.Errorf("%s: an error without a message", scenario)
		}
		delete(failure, "message")
	}
	if !reflect.DeepEqual(got, expected) {
		t.Errorf("%s: got %s, want %s", scenario, text(got), want)
	}
}

func text(v any) string {
	b, _ := json.Marshal(v) // it was JSON before
	return string(b)
}

// checkCancel waits until the provider has found, in the middle of a stream, that nobody listens any more: a stream that
// comes to its end is no such thing. The log shows how soon that was; TestProofClientGone bounds it.
func checkCancel(t *testing.T, u *upstream) {
	t.Helper()
	left := time.Now()
	select {
	case at := <-u.gone:
		t.Logf("the provider was let go %v after the client left", at.Sub(left).Round(time.Millisecond))
	case <-time.After(patience):
		t.Errorf("%v after the client left, the provider has not found it out", patience)
	}
}

// said is what the demo provider answers to a text.
func said(text, model string) string {
	return `"You said: ` + text + `. I am ` + model + `, a demo without a mind of its own, and I came through the gateway."`
}

// failed is the typed exception that an SDK makes of an answer.
func failed(exception, status string) string {
	return `{"error": "` + exception + `", "status": ` + status + `}`
}

// Lists hold what the format has, whoever serves it.
const (
	openAIModels    = `["chat", "cut", "embedding", "limited", "slow", "stranger", "team"]`
	anthropicModels = `["claude", "claude-cut", "claude-limited", "claude-slow"]`
	geminiModels    = `["models/gemini", "models/gemini-cut", "models/gemini-limited", "models/gemini-slow"]`
)

func TestNodeOpenAI(t *testing.T) {
	g, u := startDemo(t)
	hi := said("hi", "demo-chat-1")
	runScript(t, g, u, facts{
		"chat":              `{"text": ` + hi + `, "finish": "stop", "usage": {"prompt_tokens": 1, "completion_tokens": 25, "total_tokens": 26}}`,
		"chat_stream":       `{"text": ` + hi + `, "several": true, "usage": 0, "empty": 0}`,
		"chat_stream_usage": `{"prompt_tokens": 1, "completion_tokens": 25, "total_tokens": 26}`,
		"tools": `{"call": {"name": "get_weather", "arguments": "{\"place\":\"Berlin\"}"}, "finish": "tool_calls",
			"text": ` + said("sunny", "demo-chat-1") + `}`,
		"tools_stream": `{"call": "{\"place\":\"Berlin\"}", "finish": "tool_calls"}`,
		"completions":  hi,
		"responses":    `{"text": ` + hi + `, "status": "completed", "usage": 26}`,
		"responses_stream": `{"text": ` + hi + `, "kinds": ["response.created", "response.in_progress", "response.output_item.added",
			"response.content_part.added", "response.output_text.delta", "response.output_text.done", "response.content_part.done",
			"response.output_item.done", "response.completed"]}`,
		"embeddings":               `{"count": 2, "dimensions": 8, "number": "number", "usage": {"prompt_tokens": 2, "total_tokens": 2}}`,
		"models":                   openAIModels,
		"model":                    `"chat"`,
		"chain":                    `"demo-chat-1"`,
		"unknown_model":            failed("NotFoundError", "404"),
		"wrong_format":             failed("BadRequestError", "400"),
		"bad_key":                  failed("AuthenticationError", "401"),
		"refused_body":             failed("BadRequestError", "400"),
		"rate_limited":             failed("RateLimitError", "429"),
		"provider_refuses_gateway": failed("InternalServerError", "502"),
		"cut_stream":               failed("APIError", "null"),
		"cancel":                   `"left"`,
	}, "node", "node/openai.mjs")
}

func TestNodeAnthropic(t *testing.T) {
	g, u := startDemo(t)
	hi := said("hi", "demo-claude-1")
	runScript(t, g, u, facts{
		"messages":      `{"text": ` + hi + `, "stop": "end_turn", "usage": [1, 25]}`,
		"bare_host":     `"end_turn"`,
		"stream":        `["message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"]`,
		"stream_helper": `{"text": ` + hi + `, "stop": "end_turn", "output": 25}`,
		"tools": `{"call": ["get_weather", {"place": "Berlin"}], "stop": "tool_use",
			"text": ` + said("sunny", "demo-claude-1") + `}`,
		"tools_stream":  `{"input": {"place": "Berlin"}, "stop": "tool_use"}`,
		"count_tokens":  `1`,
		"models":        anthropicModels,
		"model":         `"claude"`,
		"unknown_model": failed("NotFoundError", "404"),
		"wrong_format":  failed("BadRequestError", "400"),
		"bad_key":       failed("AuthenticationError", "401"),
		"refused_body":  failed("BadRequestError", "400"),
		"rate_limited":  failed("RateLimitError", "429"),
		"cut_stream":    failed("APIError", "null"),
		"cancel":        `"left"`,
	}, "node", "node/anthropic.mjs")
}

func TestNodeGoogle(t *testing.T) {
	g, u := startDemo(t)
	hi := said("hi", "demo-gemini-1")
	runScript(t, g, u, facts{
		"generate":  `{"text": ` + hi + `, "finish": "STOP", "usage": {"promptTokenCount": 1, "candidatesTokenCount": 25, "totalTokenCount": 26}}`,
		"bare_host": `"STOP"`,
		"stream":    `{"text": ` + hi + `, "several": true, "finish": "STOP", "total": 26}`,
		"tools": `{"call": ["get_weather", {"place": "Berlin"}],
			"text": ` + said(`{\"name\":\"get_weather\",\"response\":{\"weather\":\"sunny\"}}`, "demo-gemini-1") + `}`,
		"count_tokens":  `2`,
		"embed":         `{"count": 2, "dimensions": 8}`,
		"models":        geminiModels,
		"model":         `"models/gemini"`,
		"unknown_model": failed("ApiError", "404"),
		"wrong_format":  failed("ApiError", "400"),
		"bad_key":       failed("ApiError", "401"),
		"rate_limited":  failed("ApiError", "429"),
		"cut_stream":    failed("ApiError", "502"),
		"cancel":        `"left"`,
	}, "node", "node/google.mjs")
}

// python is the interpreter of the environment that the SDKs are installed in.
func python() string { return filepath.Join("python", ".venv", "bin", "python") }

func TestPythonOpenAI(t *testing.T) {
	g, u := startDemo(t)
	hi := said("hi", "demo-chat-1")
	runScript(t, g, u, facts{
		"chat":             `{"text": ` + hi + `, "finish": "stop", "total": 26}`,
		"chat_stream":      `{"text": ` + hi + `, "several": true, "usage": 0}`,
		"tools":            `{"call": ["get_weather", "{\"place\":\"Berlin\"}"], "finish": "tool_calls"}`,
		"responses":        hi,
		"responses_stream": `["response.created", "response.completed", true]`,
		"embeddings":       `{"count": 2, "dimensions": 8}`,
		"models":           openAIModels,
		"unknown_model":    failed("NotFoundError", "404"),
		"bad_key":          failed("AuthenticationError", "401"),
		"refused_body":     failed("BadRequestError", "400"),
		"rate_limited":     failed("RateLimitError", "429"),
		"cut_stream":       failed("APIError", "null"),
		"cancel":           `"left"`,
	}, python(), "python/with_openai.py")
}

func TestPythonAnthropic(t *testing.T) {
	g, u := startDemo(t)
	runScript(t, g, u, facts{
		"messages":      `{"text": ` + said("hi", "demo-claude-1") + `, "stop": "end_turn", "usage": [1, 25]}`,
		"stream":        `{"text": ` + said("hi", "demo-claude-1") + `, "stop": "end_turn"}`,
		"tools":         `{"call": ["get_weather", {"place": "Berlin"}], "stop": "tool_use"}`,
		"count_tokens":  `1`,
		"models":        anthropicModels,
		"unknown_model": failed("NotFoundError", "404"),
		"bad_key":       failed("AuthenticationError", "401"),
		"refused_body":  failed("BadRequestError", "400"),
		"rate_limited":  failed("RateLimitError", "429"),
		"cut_stream":    failed("APIStatusError", "200"), // an error event in a stream that began well
		"cancel":        `"left"`,
	}, python(), "python/with_anthropic.py")
}
