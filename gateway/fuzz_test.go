package gateway

import (
	"bufio"
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/formats"
	"github.com/valyala/fasthttp"
)

// FuzzRequestHead puts arbitrary bytes before the gateway, as fasthttp reads them, and compares with how net/http
// reads them: whatever reaches a provider is one request of the same method, and what is sent on has no line break
// or other control character of the client's making.
func FuzzRequestHead(f *testing.F) {
	for _, s := range []string{
		rawRequest(chatLine, chatBody), rawRequest("POST /v1/chat/completions?a=b&key=c HTTP/1.1", chatBody),
		rawRequest("POST /v1/chat/completions?a=\rb HTTP/1.1", chatBody), rawRequest(chatLine, chatBody, "X-A: b\r\n c"),
		rawRequest(chatLine, chatBody, "User-Agent: a\rX-B: c"), rawRequest(chatLine, chatBody, "Transfer-Encoding: chunked"),
		rawRequest("GET /v1/models HTTP/1.1", ""), "POST /v1/messages HTTP/1.0\nHost: x\n\n{}",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var r fasthttp.Request
		if err := r.Read(bufio.NewReader(bytes.NewReader(raw))); err != nil {
			return
		}
		d := newDesk(t, &r)
		x := d.gateway.begin(&d.ctx)
		if no := x.frame(); no != nil || x.route.Format != formats.OpenAI || !x.route.HasBody() {
			x.finish()
			return
		}
		x.chain = x.snapshot.Config.Chains["m0"]
		x.rewrite(&x.chain.Steps[0])
		head := string(x.outgoing.Head)
		x.finish()
		theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			t.Skipf("net/http is stricter: %v", err)
		}
		if theirs.Method != http.MethodPost {
			t.Errorf("net/http reads a %s request", theirs.Method)
		}
		for line := range strings.SplitSeq(head, "\r\n") {
			if strings.ContainsFunc(line, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
				t.Errorf("a control character is sent on: %q", line)
			}
		}
		if _, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head))); err != nil {
			t.Errorf("what is sent on cannot be read: %v\n%q", err, head)
		}
	})
}
