//go:build e2e

package e2e

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// end is what lockstep sends last.
const end = "END"

// lockstep is a provider that sends its next event only when it is told to.
func lockstep(t *testing.T) (s *httptest.Server, events chan string) {
	events = make(chan string)
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // nothing in it matters
		kind := "text/event-stream"
		if strings.HasSuffix(r.URL.Path, ":streamGenerateContent") && r.URL.Query().Get("alt") != "sse" {
			kind = "application/json"
		}
		w.Header().Set("Content-Type", kind)
		for {
			select {
			case event := <-events:
				_, _ = io.WriteString(w, event)
				_ = http.NewResponseController(w).Flush()
				if event == end {
					return
				}
			case <-r.Context().Done(): // the next event is another request's
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return s, events
}

const lockstepConfig = `
providers:
  - {name: openai, format: openai, base_url: "{{.Provider}}/v1"}
  - {name: claude, format: anthropic, base_url: "{{.Provider}}"}
  - {name: google, format: gemini, base_url: "{{.Provider}}"}
models:
  - {alias: chat, provider: openai, model: m}
  - {alias: claude, provider: claude, model: m}
  - {alias: gemini, provider: google, model: m}
keys:
  - {name: file, key: "${E2E_CLIENT_KEY}"}
`

// TestEventsArriveAsTheyAreSent checks that the client has every event, from the first one with content on, before the
// provider sends the next one, in every framing: the provider waits for the client. What opens a stream is held until
// there is content, so that another step may answer, and then comes with it.
func TestEventsArriveAsTheyAreSent(t *testing.T) {
	s, events := lockstep(t)
	g := start(t, lockstepConfig, map[string]string{"Provider": s.URL})
	const contents = `{"contents":[{"parts":[{"text":"hi"}]}]}`
	for name, stream := range map[string]struct {
		path, body string
		opening    string
		events     []string
	}{
		"openai": {"/v1/chat/completions", `{"model":"chat","stream":true,"stream_options":{"include_usage":true},"messages":[]}`, "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n", []string{
			"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n",
			": a comment\n\n",
			"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + strings.Repeat("long ", 4000) + "\"}}]}\n\n",
			"data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
			"data: [DONE]\n\n",
		}},
		"responses": {"/v1/responses", `{"model":"chat","stream":true,"input":""}`, "event: response.created\r\ndata: {\"type\":\"response.created\"}\r\n\r\n", []string{
			"event: response.output_text.delta\r\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\r\n\r\n",
			"event: response.completed\r\ndata: {\"type\":\"response.completed\"}\r\n\r\n",
		}},
		"anthropic": {"/v1/messages", `{"model":"claude","max_tokens":1,"stream":true,"messages":[]}`, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{}}\n\n", []string{
			"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a\"}}\n\n",
			"event: ping\ndata: {\"type\":\"ping\"}\n\n",
			"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
		}},
		"gemini": {"/v1beta/models/gemini:streamGenerateContent?alt=sse", contents, "data: {\"candidates\":[{\"content\":{}}]}\r\n\r\n", []string{
			"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}\r\n\r\n",
			"data: {\"candidates\":[{\"finishReason\":\"STOP\"}]}\r\n\r\n",
		}},
		"gemini array": {"/v1beta/models/gemini:streamGenerateContent", contents, "[{\"candidates\":[{\"content\":{}}]}", []string{
			",{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"a\"}]}}]}", "\n,\r\n{\"candidates\":[{\"finishReason\":\"STOP\"}]}", "\n]",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			resp := make(chan *http.Response, 1)
			go func() {
				r, err := http.DefaultClient.Do(g.request(clientKey, stream.path, stream.body))
				if err != nil {
					t.Error(err)
				}
				resp <- r
			}()
			sends(t, events, stream.opening)
			sends(t, events, stream.events[0])
			r := <-resp
			defer r.Body.Close()
			body := bufio.NewReader(r.Body)
			arrives(t, body, stream.opening+stream.events[0])
			for _, event := range stream.events[1:] {
				sends(t, events, event)
				arrives(t, body, event)
			}
			sends(t, events, end) // behind the end of the stream; what comes of it is not this test's
		})
	}
}

// sends has the provider send an event, which has been asked by then.
func sends(t *testing.T, events chan<- string, event string) {
	t.Helper()
	select {
	case events <- event:
	case <-time.After(patience):
		t.Fatalf("the provider was not asked, and cannot send %.200q", event)
	}
}

// arrives reads an event that was sent, before anything else is.
func arrives(t *testing.T, body io.Reader, event string) {
	t.Helper()
	got := make([]byte, len(event))
	read := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(body, got)
		read <- err
	}()
	select {
	case err := <-read:
		if err != nil || string(got) != event {
			t.Fatalf("got %.200q, %v; want %.200q", got, err, event)
		}
	case <-time.After(patience):
		t.Fatalf("%.200q did not arrive", event)
	}
}
