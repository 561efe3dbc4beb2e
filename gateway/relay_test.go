package gateway

import (
	"bufio"
	"cmp"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/health"
	"github.com/sallyport-dev/sallyport/record"
)

const wholeAnswer = `{"id":"c1","object":"chat.completion","model":"real-0","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":11,"completion_tokens":9,"total_tokens":20}}`

func TestWholeAnswer(t *testing.T) {
	var got []byte
	h := newHouse(t, formats.OpenAI, rawProvider(t, func(_ int, request []byte, c net.Conn) {
		got = request
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: up1\r\nSet-Cookie: a=b\r\nOpenai-Organization: secret\r\nContent-Length: "+itoa(len(wholeAnswer))+"\r\n\r\n"+wholeAnswer)
	}))
	body := "{ \"messages\" : [{\"role\":\"user\",\"content\":\"h\u00e4\\u00e4 1e400\"}],\n \"model\":\"m0\", \"x\": 1.50 }"
	resp := h.post("/v1/chat/completions", body, "Cookie", "c=d", "OpenAI-Organization", "org", "User-Agent", "tester/1")
	if answer := text(t, resp.Body); resp.StatusCode != 200 || answer != wholeAnswer {
		t.Fatalf("client got %d %q", resp.StatusCode, answer)
	}
	want := "POST /chat/completions HTTP/1.1\r\nHost: " + h.config.Providers[0].HostHeader + "\r\nAuthorization: Bearer provider-secret\r\n" +
		"Accept-Encoding: identity\r\nContent-Type: application/json\r\nUser-Agent: tester/1\r\nContent-Length: " + itoa(len(body)+4) + "\r\n\r\n" +
		strings.Replace(body, `"m0"`, `"real-0"`, 1)
	if string(got) != want {
		t.Errorf("provider got\n%q\nwant\n%q", got, want)
	}
	if resp.Header.Get("X-Request-Id") != "up1" || resp.Header.Get("Set-Cookie") != "" || resp.Header.Get("Openai-Organization") != "" {
		t.Errorf("answer's headers: %v", resp.Header)
	}
	r := h.records.wait(t, 0)
	if r.Usage[abi.Input] != 11 || r.Usage[abi.Output] != 9 || r.Cost != 12870 || r.Outcome != record.Served || r.ID != resp.Header.Get(headerID) {
		t.Errorf("record: %+v", r)
	}
}

const (
	event1 = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"a\"}}]}\n\n"
	event2 = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"b\"},\"finish_reason\":null}]}\r\n\r\n"
	event3 = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
	usage  = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\n"
	done   = "data: [DONE]\n\n"
)

// chunk frames p as HTTP chunks do.
func chunk(p string) string { return hexOf(len(p)) + "\r\n" + p + "\r\n" }

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

func TestStreamIsRelayedEventByEvent(t *testing.T) {
	next := make(chan string)
	h := newHouse(t, formats.OpenAI, rawProvider(t, func(_ int, _ []byte, c net.Conn) {
		_, _ = io.WriteString(c, streamHead)
		for e := range next {
			_, _ = io.WriteString(c, e)
		}
		_, _ = io.WriteString(c, "0\r\n\r\n")
	}))
	go func() { next <- chunk(event1) }() // nothing of the answer is there before its first content
	resp := h.post("/v1/chat/completions", `{"model":"m0","stream":true,"messages":[]}`)
	br := bufio.NewReader(resp.Body)
	for _, e := range []string{event1, event2, event3} { // each is read before the next is sent
		if e != event1 {
			next <- chunk(e)
		}
		if got := read(t, br, len(e)); got != e {
			t.Fatalf("client got %q, want %q", got, e)
		}
	}
	next <- chunk(usage)
	next <- chunk(done)
	close(next)
	if rest := text(t, br); rest != done {
		t.Errorf("the stream ends with %q, want %q: the usage was not asked for", rest, done)
	}
	r := h.records.wait(t, 0)
	if r.Usage[abi.Input] != 5 || r.Usage[abi.Output] != 2 || r.Outcome != record.Served || !r.Stream || r.FirstByte == 0 {
		t.Errorf("record: %+v", r)
	}
}

func TestCutStreams(t *testing.T) {
	facts := []struct {
		name, sent string
		events     string // what the client gets before the error; all of it if the stream counts as complete
		outcome    record.Outcome
	}{
		{"between events", chunk(event1), event1, record.Interrupted},
		{"inside an event", chunk(event1) + chunk(event2[:20]), event1, record.Interrupted},
		{"a clean end without a terminal event", chunk(event1) + "0\r\n\r\n", event1, record.Interrupted},
		{"inside a chunk", "ffff\r\n" + event1 + event2, event1 + event2, record.Interrupted},
		{"after the finish reason", chunk(event1) + chunk(event3), event1 + event3, record.Served},
		{"after the sentinel", chunk(event1) + chunk(event3) + chunk(done), event1 + event3 + done, record.Served},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			h := newHouse(t, formats.OpenAI, rawProvider(t, func(_ int, _ []byte, c net.Conn) {
				_, _ = io.WriteString(c, streamHead+f.sent)
				_ = c.Close()
			}))
			resp := h.post("/v1/chat/completions", `{"model":"m0","stream":true}`)
			got := text(t, resp.Body)
			rest, ok := strings.CutPrefix(got, f.events)
			if !ok {
				t.Fatalf("client got %q", got)
			}
			if f.outcome == record.Served && rest != "" {
				t.Errorf("after the end the client got %q", rest)
			}
			if f.outcome == record.Interrupted && (!strings.HasPrefix(rest, `data: {"error":`) || !strings.Contains(rest, "stream_interrupted") || strings.Contains(rest, "[DONE]")) {
				t.Errorf("after the cut the client got %q", rest)
			}
			if r := h.records.wait(t, 0); r.Outcome != f.outcome {
				t.Errorf("outcome %v, want %v", r.Outcome, f.outcome)
			}
		})
	}
}

// After a cut the client's connection ends, so that nobody takes what follows for the rest.
func TestConnectionEndsAfterACut(t *testing.T) {
	h := newHouse(t, formats.OpenAI, rawProvider(t, func(_ int, _ []byte, c net.Conn) {
		_, _ = io.WriteString(c, streamHead+chunk(event1))
		_ = c.Close()
	}))
	c, err := net.Dial("tcp", h.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, rawRequest(chatLine, `{"model":"m0","stream":true}`))
	if got := text(t, c); !strings.HasSuffix(got, "0\r\n\r\n") {
		t.Errorf("%q", got)
	}
}

// A provider that has said the end of its stream and keeps the connection open holds nobody up: the gap between two
// reads would be an hour here.
func TestStreamEndsThoughTheProviderLingers(t *testing.T) {
	refusal := "data: " + indecent + "\n\n"
	for _, f := range []struct {
		name, sent string
		commit     config.Commit
	}{
		{"first content", event1 + event3 + done, config.FirstContent},
		{"without content", opening + event3 + done, config.FirstContent},
		{"complete", event1 + event3 + done, config.Complete},
		{"the provider's no", refusal, config.FirstContent},
		{"the provider's no, complete", refusal, config.Complete},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			release := make(chan struct{})
			h := newHouse(t, formats.OpenAI, rawProvider(t, func(_ int, _ []byte, c net.Conn) {
				_, _ = io.WriteString(c, streamHead+chunk(f.sent))
				<-release
			}))
			defer close(release)
			setPatience(h.config.Chains["m0"], func(t *config.Timeouts) { t.Gap, t.FirstContent, t.Total = time.Hour, time.Hour, time.Hour })
			h.config.Chains["m0"].Total, h.config.Chains["m0"].Commit = time.Hour, f.commit
			if got := text(t, h.post("/v1/chat/completions", `{"model":"m0","stream":true}`).Body); got != f.sent {
				t.Errorf("%q", got)
			}
			if r := h.records.wait(t, 0); r.Outcome != record.Served {
				t.Errorf("%v", r.Outcome)
			}
		})
	}
}

// An error that the provider reports last, without the blank line behind it, is told all the same: without anything the
// client would take the stream for whole.
func TestErrorWithoutItsBlankLine(t *testing.T) {
	h := newHouse(t, formats.OpenAI, rawProvider(t, func(_ int, _ []byte, c net.Conn) {
		_, _ = io.WriteString(c, streamHead+chunk(event1+strings.TrimSuffix(busy, "\n\n"))+"0\r\n\r\n")
		_ = c.Close()
	}))
	if got := text(t, h.post("/v1/chat/completions", `{"model":"m0","stream":true}`).Body); got != event1+busy {
		t.Errorf("%q", got)
	}
	if r := h.records.wait(t, 0); r.Outcome != record.Interrupted {
		t.Errorf("%v", r.Outcome)
	}
}

// A provider that says no within its stream is in health: it looked at the request.
func TestANoWithinAStreamIsNoFailure(t *testing.T) {
	url, _ := inTurn(t, sends("data: "+indecent+"\n\n"))
	h := newHouse(t, formats.OpenAI, url)
	for n := range 4 {
		_ = text(t, h.post("/v1/chat/completions", `{"model":"m0","stream":true}`).Body)
		if r := h.records.wait(t, n); r.Outcome != record.Served {
			t.Errorf("%v", r.Outcome)
		}
	}
	if view := h.gateway.current.Load().handles[h.config.Chains["m0"]][0].View(); view.State != health.Healthy {
		t.Errorf("%v", view.State)
	}
}

// A client that leaves, waiting or streaming, is noticed, and the provider's connection is closed.
func TestClientGone(t *testing.T) {
	for _, phase := range []string{"waiting", "streaming"} {
		t.Run(phase, func(t *testing.T) {
			reached, closed := make(chan struct{}), make(chan struct{})
			h := newHouse(t, formats.OpenAI, rawProvider(t, func(_ int, _ []byte, c net.Conn) {
				if phase == "streaming" {
					_, _ = io.WriteString(c, streamHead+chunk(event1))
				}
				close(reached)
				_, _ = c.Read(make([]byte, 1))
				close(closed)
			}))
			c, err := net.Dial("tcp", h.address)
			if err != nil {
				t.Fatal(err)
			}
			body := `{"model":"m0","stream":true}`
			_, _ = io.WriteString(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer "+testKey+"\r\nContent-Length: "+itoa(len(body))+"\r\n\r\n"+body)
			<-reached
			if phase == "streaming" {
				_ = read(t, bufio.NewReader(c), 1)
			}
			_ = c.Close()
			<-closed
			if r := h.records.wait(t, 0); r.Outcome != record.ClientGone {
				t.Errorf("record: %+v", r)
			}
			if begun, ended := h.records.counts(); begun != 1 || ended != 1 {
				t.Errorf("%d exchanges began, %d ended", begun, ended)
			}
		})
	}
}

func TestPanicInAPolicyIsAnAnswer(t *testing.T) {
	h := newHouse(t, formats.Anthropic, provider(t, func(http.ResponseWriter, *http.Request) {}))
	h.policies.chooseStep = func(*abi.StepChoice) abi.Answer { panic("boom") }
	resp := h.post("/v1/messages", `{"model":"m0"}`)
	if got := text(t, resp.Body); resp.StatusCode != 500 || !strings.Contains(got, `"type":"error"`) || strings.Contains(got, "boom") {
		t.Errorf("client got %d %s", resp.StatusCode, got)
	}
	if r := h.records.wait(t, 0); r.Outcome != record.Broken || !strings.Contains(r.Cause, "boom") {
		t.Errorf("record: %+v", r)
	}
}

// After the answer a panic hurts neither the client nor the process, and leaves a record.
func TestPanicWhilePricing(t *testing.T) {
	for _, streamed := range []string{"false", "true"} {
		h := newHouse(t, formats.OpenAI, rawProvider(t, func(_ int, request []byte, c net.Conn) {
			if strings.Contains(string(request), `"stream":true`) {
				_, _ = io.WriteString(c, streamHead+chunk(event1+event3+usage+done)+"0\r\n\r\n")
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "+itoa(len(wholeAnswer))+"\r\n\r\n"+wholeAnswer)
		}))
		h.policies.price = func(p *abi.Pricing) abi.Answer {
			if p.Phase == abi.Final {
				panic("boom")
			}
			return abi.NoVerdict
		}
		resp := h.post("/v1/chat/completions", `{"model":"m0","stream":`+streamed+`}`)
		if got := text(t, resp.Body); resp.StatusCode != 200 || streamed == "true" && got != event1+event3+done {
			t.Errorf("client got %d %s", resp.StatusCode, got)
		}
		if r := h.records.wait(t, 0); r.Outcome != record.Broken || r.Usage[abi.Input] == 0 || !strings.Contains(r.Cause, "boom") {
			t.Errorf("record: %+v", r)
		}
	}
}

const (
	geminiError = `{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}`
	geminiNo    = `{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}`
	geminiPart  = `{"candidates":[{"content":{"parts":[{"text":"a"}]},"index":0}]}`
	geminiLast  = `{"candidates":[{"content":{"parts":[{"text":"b"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":2}}`
)

// Gemini without alt=sse streams the elements of a JSON array; what the client gets is an array however it ends.
func TestGeminiArrayStream(t *testing.T) {
	facts := []struct {
		name, sent string
		want       string // exactly, or up to the error
		outcome    record.Outcome
	}{
		{"whole", "[" + geminiPart + "\r\n,\r\n" + geminiLast + "\n]\n", "[" + geminiPart + "\r\n,\r\n" + geminiLast + "\n]\n", record.Served},
		{"cut", "[" + geminiPart + "\r\n,\r\n{\"cand", "[" + geminiPart, record.Interrupted},
		{"closed too early", "[" + geminiPart + "]", "[" + geminiPart, record.Interrupted},
		{"the provider's no", "[" + geminiNo + "\n]\n", "[" + geminiNo + "\n]\n", record.Served},
		{"the provider's no, cut", "[" + geminiNo, "[" + geminiNo + "]", record.Served},
		{"cut in its second element", "[" + geminiPart + ",[", "[" + geminiPart, record.Interrupted},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			h := newHouse(t, formats.Gemini, rawProvider(t, func(_ int, _ []byte, c net.Conn) {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\nTransfer-Encoding: chunked\r\n\r\n"+chunk(f.sent)+"0\r\n\r\n")
				_ = c.Close()
			}))
			got := text(t, h.post("/v1beta/models/m0:streamGenerateContent", `{"contents":[]}`, "Authorization", "", "X-Goog-Api-Key", testKey).Body)
			r := h.records.wait(t, 0)
			var elements []json.RawMessage
			if err := json.Unmarshal([]byte(got), &elements); err != nil {
				t.Fatalf("%v in %s", err, got)
			}
			if !strings.HasPrefix(got, f.want) || (f.outcome == record.Served) != (got == f.want) || r.Outcome != f.outcome {
				t.Errorf("%v: %s", r.Outcome, got)
			}
			if f.outcome == record.Interrupted && !strings.Contains(string(elements[len(elements)-1]), `"error"`) {
				t.Errorf("no error at the end: %s", got)
			}
		})
	}
}

// Behind an error of the provider's own the array ends too, whether the provider ends it or not.
func TestGeminiArrayEndsBehindAnError(t *testing.T) {
	for _, rest := range []string{"]", "\n]", ""} {
		relayed := make(chan struct{})
		h := newHouse(t, formats.Gemini, rawProvider(t, func(_ int, _ []byte, c net.Conn) {
			_, _ = io.WriteString(c, strings.Replace(streamHead, "text/event-stream", "application/json", 1)+chunk("["+geminiPart))
			<-relayed
			_, _ = io.WriteString(c, chunk(",\n"+geminiError+rest)+"0\r\n\r\n")
			_ = c.Close()
		}))
		body := h.post("/v1beta/models/m0:streamGenerateContent", `{"contents":[]}`, "Authorization", "", "X-Goog-Api-Key", testKey).Body
		first := "[" + geminiPart
		got := read(t, body, len(first))
		close(relayed)
		if got += text(t, body); got != first+",\n"+geminiError+cmp.Or(rest, "]") {
			t.Errorf("%q: %s", rest, got)
		}
		if r := h.records.wait(t, 0); r.Outcome != record.Interrupted {
			t.Errorf("%q: %v", rest, r.Outcome)
		}
	}
}
