// Package demo is a provider that needs no account and no network. It speaks the three formats, streamed and not, and
// its answers are a function of the request alone. `sallyport serve --demo` and `sallyport demo-provider` run it, and
// tests drive the gateway against it. It imports the standard library only.
package demo

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Options are the settings of the provider. The zero value answers at once, to anybody.
type Options struct {
	FirstByte  time.Duration // wait before an answer begins
	Delay      time.Duration // wait between the events of a stream
	Credential string        // the API key that requests must have, as each format sends it; "" for any

	Saw  func(r *http.Request, body []byte) // told of every request, before it is answered; nil for nobody
	Gone func(r *http.Request)              // told when a client left before its answer's end; nil for nobody
}

// maxBody bounds a request's body.
const maxBody = 64 << 20

// provider serves one set of options.
type provider struct{ Options }

// exchange is one request and its answer. A method that returns false has found the client gone.
type exchange struct {
	*provider
	w    http.ResponseWriter
	r    *http.Request
	body []byte
}

// dialect answers in one format.
type dialect struct {
	credential func(*http.Request) string
	fail       func(x *exchange, status int, message string)
}

// Handler returns the provider.
func Handler(o Options) http.Handler {
	p := &provider{o}
	mux := http.NewServeMux()
	mux.Handle("POST /v1/chat/completions", p.serve(openAI, chat))
	mux.Handle("POST /v1/completions", p.serve(openAI, completions))
	mux.Handle("POST /v1/responses", p.serve(openAI, responses))
	mux.Handle("POST /v1/embeddings", p.serve(openAI, embeddings))
	mux.Handle("POST /v1/messages", p.serve(anthropic, messages))
	mux.Handle("POST /v1/messages/count_tokens", p.serve(anthropic, countMessageTokens))
	mux.Handle("POST /v1beta/models/{call}", p.serve(gemini, geminiCall))
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	return mux
}

// serve reads the request, checks the credential, and answers.
func (p *provider) serve(d dialect, answer func(*exchange)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			return
		}
		if p.Saw != nil {
			p.Saw(r, body)
		}
		x := &exchange{p, w, r, body}
		w.Header().Set("X-Request-Id", "demo-request")
		got := d.credential(r)
		if p.Credential != "" && subtle.ConstantTimeCompare([]byte(got), []byte(p.Credential)) != 1 {
			d.fail(x, http.StatusUnauthorized, "Incorrect API key provided: "+got)
			return
		}
		if !x.wait(p.FirstByte) {
			return
		}
		if status := wantedError(body, r.URL.Path); status != 0 {
			d.fail(x, status, fmt.Sprintf("The demo answers %d because its model's name says so.", status))
			return
		}
		answer(x)
	})
}

// errorModel is a model's name that asks for an error, such as demo-error-429.
var errorModel = regexp.MustCompile(`demo-error-([45][0-9]{2})`)

func wantedError(body []byte, path string) int {
	var named struct {
		Model string `json:"model"`
	}
	_ = json.Unmarshal(body, &named) // a body that is no JSON names no model
	m := errorModel.FindStringSubmatch(named.Model + " " + path)
	if m == nil {
		return 0
	}
	status, _ := strconv.Atoi(m[1]) // three digits
	return status
}

// wait waits, and reports whether the client is still there.
func (x *exchange) wait(d time.Duration) bool {
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-x.r.Context().Done():
		}
	}
	if x.r.Context().Err() == nil {
		return true
	}
	if x.Gone != nil {
		x.Gone(x.r)
	}
	return false
}

// decode reads the body; what is wrong with it is answered by the caller's dialect.
func (x *exchange) decode(d dialect, into any) bool {
	if err := json.Unmarshal(x.body, into); err != nil {
		d.fail(x, http.StatusBadRequest, "The body cannot be read: "+err.Error())
		return false
	}
	return true
}

// reply writes a whole answer.
func (x *exchange) reply(status int, v any) {
	x.w.Header().Set("Content-Type", "application/json")
	x.w.WriteHeader(status)
	_ = json.NewEncoder(x.w).Encode(v) // the client left
}

// begin opens a stream of server-sent events.
func (x *exchange) begin() {
	x.w.Header().Set("Content-Type", "text/event-stream")
	x.w.Header().Set("Cache-Control", "no-cache")
	x.w.WriteHeader(http.StatusOK)
}

// event sends one server-sent event and waits the delay; name may be empty.
func (x *exchange) event(name string, v any) bool {
	data, err := json.Marshal(v)
	if err != nil {
		return false
	}
	text := "data: " + string(data) + "\n\n"
	if name != "" {
		text = "event: " + name + "\n" + text
	}
	return x.raw(text)
}

// raw sends text as it is, at once, and waits the delay.
func (x *exchange) raw(text string) bool {
	_, _ = io.WriteString(x.w, text)
	_ = http.NewResponseController(x.w).Flush()
	return x.wait(x.Delay)
}

// cutModel is the model whose streams break off in the middle.
const cutModel = "demo-cut"

// cut breaks the connection off, if the model asks for it.
func (x *exchange) cut(model string, sent int) {
	if model == cutModel && sent == 3 {
		panic(http.ErrAbortHandler)
	}
}

// created is the time that answers bear, so that they are the same every time.
const created = 1_750_000_000

// bearer is the token of an Authorization header.
func bearer(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}
