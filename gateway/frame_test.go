package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/record"
)

// raw sends bytes on a connection of its own and returns the first answer.
func (h *house) raw(request string) (*http.Response, string) {
	h.t.Helper()
	c, err := net.Dial("tcp", h.address)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, request); err != nil {
		h.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp, text(h.t, resp.Body)
}

// request builds a raw request around a body; extra are header lines.
func rawRequest(line, body string, extra ...string) string {
	head := line + "\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Bearer " + testKey + "\r\n"
	for _, e := range extra {
		head += e + "\r\n"
	}
	return head + "Content-Length: " + itoa(len(body)) + "\r\n\r\n" + body
}

// chunkedRequest builds a raw request whose body is one chunk, with header lines behind it.
func chunkedRequest(trailers ...string) string {
	request := strings.Replace(rawRequest(chatLine, "", "Transfer-Encoding: chunked"), "Content-Length: 0\r\n", "", 1)
	request += chunk(chatBody) + "0\r\n"
	for _, line := range trailers {
		request += line + "\r\n"
	}
	return request + "\r\n"
}

// A chunked body without anything behind it is as good as any other.
func TestChunkedRequest(t *testing.T) {
	url, _ := answers(t, 200, wholeAnswer)
	h := newHouse(t, formats.OpenAI, url)
	if resp, body := h.raw(chunkedRequest()); resp.StatusCode != 200 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

const (
	chatLine = "POST /v1/chat/completions HTTP/1.1"
	chatBody = `{"model":"m0","messages":[]}`
)

func TestConfusingRequestsAreRefused(t *testing.T) {
	asked := false
	h := newHouse(t, formats.OpenAI, provider(t, func(http.ResponseWriter, *http.Request) { asked = true }))
	head := "Host: x\r\nContent-Type: application/json\r\nAuthorization: Bearer " + testKey + "\r\n"
	facts := []struct {
		name, request string
		status        int
	}{
		{"length and encoding", chatLine + "\r\n" + head + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{"encoding that is not chunked", chatLine + "\r\n" + head + "Content-Length: 2\r\nTransfer-Encoding: identity\r\n\r\n{}", 400},
		{"two lengths", rawRequest(chatLine, chatBody, "Content-Length: "+itoa(len(chatBody))), 400},
		{"folded header", rawRequest(chatLine, chatBody, "X-A: b\r\n c"), 400},
		{"credential behind a chunked body", strings.Replace(chunkedRequest("X-Api-Key: "+testKey), "Authorization", "X-A", 1), 400},
		{"header behind a chunked body", chunkedRequest("X-User: admin"), 400},
		{"space in a header's name", rawRequest(chatLine, chatBody, "X A: b"), 400},
		{"space before the colon", rawRequest(chatLine, chatBody, "X-A : b"), 400},
		{"header without a colon", rawRequest(chatLine, chatBody, "X-A"), 400},
		{"absolute target", rawRequest("POST http://evil/v1/chat/completions HTTP/1.1", chatBody), 400},
		{"dot segments", rawRequest("POST /v1/../v1/chat/completions HTTP/1.1", chatBody), 400},
		{"empty segment", rawRequest("POST //v1/chat/completions HTTP/1.1", chatBody), 400},
		{"escaped path", rawRequest("POST /v1/chat%2fcompletions HTTP/1.1", chatBody), 400},
		{"escaped parameter name", rawRequest("POST /v1/chat/completions?%6bey=a HTTP/1.1", chatBody), 400},
		{"carriage return in the query", rawRequest("POST /v1/chat/completions?a=\rX-A: b HTTP/1.1", chatBody), 400},
		{"control character in the query", rawRequest("POST /v1/chat/completions?a=\x01 HTTP/1.1", chatBody), 400},
		{"HTTP/1.2", rawRequest("POST /v1/chat/completions HTTP/1.2", chatBody), 400},
		{"two credentials in one header", rawRequest(chatLine, chatBody, "Authorization: Bearer other"), 400},
		{"two credentials in two headers", rawRequest(chatLine, chatBody, "X-Api-Key: other"), 400},
		{"credential in header and query", rawRequest("POST /v1/chat/completions?key=a HTTP/1.1", chatBody), 400},
		{"two content types", rawRequest(chatLine, chatBody, "Content-Type: text/plain"), 400},
		{"GET with a body", rawRequest("GET /v1/models HTTP/1.1", "{}"), 400},
		{"lower-case method", rawRequest("post /v1/chat/completions HTTP/1.1", chatBody), 405},
		{"wrong method", rawRequest("PUT /v1/chat/completions HTTP/1.1", chatBody), 405},
		{"unknown path", rawRequest("POST /v1/chat/completions/ HTTP/1.1", chatBody), 404},
		{"no content type", "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 415},
		{"form content type", strings.Replace(rawRequest(chatLine, chatBody), "application/json", "text/plain", 1), 415},
		{"other charset", strings.Replace(rawRequest(chatLine, chatBody), "application/json", "application/json; charset=latin1", 1), 415},
		{"compressed body", rawRequest(chatLine, chatBody, "Content-Encoding: gzip"), 415},
		{"basic authorization", strings.Replace(rawRequest(chatLine, chatBody), "Bearer", "Basic", 1), 401},
		{"large body", rawRequest(chatLine, strings.Repeat(" ", 2<<20)), 413},
		{"large header", rawRequest(chatLine, chatBody, "X-A: "+strings.Repeat("a", 20<<10)), 431},
		{"not HTTP", "hello\r\n\r\n", 400},
	}
	for i, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			resp, body := h.raw(f.request)
			if resp.StatusCode != f.status || !strings.HasPrefix(body, `{"error":{"message":"`) {
				t.Errorf("got %d %s, want %d in OpenAI's dialect", resp.StatusCode, body, f.status)
			}
			id := resp.Header.Get(headerID)
			if r := h.records.wait(t, i); r.Outcome != record.Refused || r.ID != id || !strings.Contains(body, id) {
				t.Errorf("header says %q, body %s, record %+v", id, body, r)
			}
		})
	}
	if asked {
		t.Error("the provider was asked")
	}
}

// A refusal speaks the dialect of the endpoint that was called, even where fasthttp refuses before any handler.
func TestRefusalsSpeakTheDialect(t *testing.T) {
	h := newHouse(t, formats.OpenAI, provider(t, func(http.ResponseWriter, *http.Request) {}))
	marks := map[string]string{
		"/v1/chat/completions":                     `{"error":{"message":`,
		"/anthropic/v1/messages":                   `{"type":"error",`,
		"/v1/messages":                             `{"type":"error",`,
		"/gemini/v1beta/models/m0:generateContent": `{"error":{"code":`,
	}
	for path, mark := range marks {
		line := "POST " + path + " HTTP/1.1"
		for name, request := range map[string]string{
			"large header": rawRequest(line, "{}", "X-A: "+strings.Repeat("a", 20<<10)),
			"large body":   rawRequest(line, strings.Repeat(" ", 2<<20)),
			"bad JSON":     rawRequest(line, "{"),
			"bad key":      strings.Replace(rawRequest(line, `{"model":"m0"}`), testKey, "unknown", 1),
			"two lengths":  rawRequest(line, "{}", "Content-Length: 2"),
		} {
			if _, body := h.raw(request); !strings.HasPrefix(body, mark) {
				t.Errorf("%s, %s: %s", path, name, body)
			}
		}
	}
}

func TestPrefix(t *testing.T) {
	h := newHouse(t, formats.OpenAI, provider(t, func(http.ResponseWriter, *http.Request) {}))
	h.config.Prefix = "/llm"
	for path, want := range map[string]int{"/llm/v1/models": 200, "/v1/models": 404, "/llm/health": 200, "/llm/v1/health": 200} {
		if resp, body := h.raw("GET " + path + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + testKey + "\r\n\r\n"); resp.StatusCode != want {
			t.Errorf("%s: %d %s", path, resp.StatusCode, body)
		}
	}
}

// A connection on which nothing comes is closed, and is no exchange.
func TestSilentConnectionLeavesNoRecord(t *testing.T) {
	h := newTweakedHouse(t, formats.OpenAI, func(g *Gateway) { g.server.ReadTimeout = 20 * time.Millisecond }, closedPort(t))
	c, err := net.Dial("tcp", h.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := text(t, c); !strings.HasPrefix(got, "HTTP/1.1 408 ") {
		t.Errorf("%q", got)
	}
	if begun, ended := h.records.counts(); begun != 0 || ended != 0 {
		t.Errorf("%d exchanges began, %d ended", begun, ended)
	}
}
