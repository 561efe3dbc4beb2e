package gateway

import (
	"io"
	"strconv"

	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
)

// forwardedHeaders pass from the client to the provider. Everything else stays behind, so that neither credentials
// nor cookies nor what names the client's organisation can slip through by a new name.
var forwardedHeaders = [...]string{
	"Content-Type", "Accept", "User-Agent",
	"Anthropic-Version", "Anthropic-Beta", "Openai-Beta",
	"Traceparent", "Tracestate", "Baggage",
}

// rewrite makes the request for a step: the provider's path, headers and credential, and the client's body with
// the model's name spliced in place.
func (x *exchange) rewrite(step *config.Step) {
	t := x.snapshot.targets[step.Provider]
	x.step = step
	x.addsUsage = step.Provider.IncludeUsage && !x.body.AskedUsage
	maximum := x.tokens.inject
	if step.MaxOutput > 0 {
		maximum = min(maximum, step.MaxOutput) // providers refuse a request for more than the model can write
	}
	x.edits = x.body.AppendEdits(x.edits[:0], &x.route, step.ModelJSON, step.Provider.IncludeUsage, maximum)
	body := x.ctx.Request.Body()

	head := x.outgoing.Head[:0]
	head = append(head, "POST "...)
	head = formats.AppendUpstreamPath(head, &x.route, step.Provider.Path, step.Model)
	head = x.query.appendForwarded(head, step.Provider.Query)
	head = append(head, " HTTP/1.1\r\n"...)
	head = append(head, t.lines[x.underWay.Credential]...)
	for _, name := range forwardedHeaders {
		if value := x.ctx.Request.Header.Peek(name); len(value) > 0 && !t.sets(name) {
			head = append(append(append(append(head, name...), ": "...), value...), "\r\n"...)
		}
	}
	head = append(head, "Content-Length: "...)
	head = strconv.AppendInt(head, int64(formats.SplicedLen(body, x.edits)), 10)
	head = append(head, "\r\n\r\n"...)

	x.outgoing.Head = head
	x.outgoing.Body = x
	x.outgoing.Timeouts = x.timeouts()
}

// WriteTo writes the request's body with its edits: it is the Body of outgoing.
func (x *exchange) WriteTo(w io.Writer) (int64, error) {
	n, err := formats.WriteSpliced(w, x.ctx.Request.Body(), x.edits)
	return int64(n), err
}

// sets reports whether the provider's own lines set this header.
func (t *target) sets(name string) bool {
	for _, n := range t.names {
		if isHeader([]byte(n), name) {
			return true
		}
	}
	return false
}
