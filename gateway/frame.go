package gateway

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/sallyport-dev/sallyport/formats"
)

// frame refuses HTTP that two parsers may read differently, all of which fasthttp accepts, and finds the route.
// Nothing is normalised: what is compared here is what the client sent.
func (x *exchange) frame() *refusal {
	h := &x.ctx.Request.Header
	target := h.RequestURI()
	if len(target) == 0 || target[0] != '/' {
		return confusing("The request target must be a path that begins with \"/\".")
	}
	path, rawQuery, _ := bytes.Cut(target, []byte{'?'})
	x.route.Format = formats.FormatOf(bytes.TrimPrefix(path, []byte(x.snapshot.Config.Prefix)))
	if no := x.frameHead(); no != nil {
		return no
	}
	if no := canonical(path); no != nil {
		return no
	}
	if no := x.query.parse(rawQuery); no != nil {
		return no
	}
	return x.findRoute(path)
}

// frameHead checks the protocol and the header lines.
func (x *exchange) frameHead() *refusal {
	h := &x.ctx.Request.Header
	if p := string(h.Protocol()); p != "HTTP/1.1" && p != "HTTP/1.0" {
		return confusing("The protocol must be HTTP/1.1 or HTTP/1.0.")
	}
	var seen headerCounts
	for line := range bytes.Lines(h.RawHeaders()) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if no := seen.count(line); no != nil {
			return no
		}
	}
	if no := seen.judge(); no != nil || seen.encoding == 0 {
		return no
	}
	return x.frameTrailers()
}

// frameTrailers refuses header lines behind a chunked body. fasthttp puts them among those before it, but whoever stands
// in front of the gateway and takes headers away or adds them has not looked there.
func (x *exchange) frameTrailers() *refusal {
	h := &x.ctx.Request.Header
	for name := range h.All() {
		if !names(h.RawHeaders(), name) {
			return confusing("The header %q stands behind the body.", name)
		}
	}
	return nil
}

// names reports whether there is a header line of this name.
func names(lines, name []byte) bool {
	for line := range bytes.Lines(lines) {
		if n, _, ok := bytes.Cut(line, []byte{':'}); ok && bytes.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// headerCounts is how often those headers stood there that must not stand there twice, or not together.
type headerCounts struct {
	length, encoding, contentType int
}

// count checks one header line and counts it.
func (c *headerCounts) count(line []byte) *refusal {
	name, value, ok := bytes.Cut(line, []byte{':'})
	if !ok || line[0] == ' ' || line[0] == '\t' {
		return confusing("A header line without a name, or folded over two lines.")
	}
	if !isToken(name) {
		return confusing("The header name %q has characters that a name must not have.", name)
	}
	switch len(name) { // one comparison for nearly every header
	case len("Content-Type"):
		if isHeader(name, "Content-Type") {
			c.contentType++
		}
	case len("Content-Length"):
		if isHeader(name, "Content-Length") {
			c.length++
		}
	case len("Transfer-Encoding"):
		if isHeader(name, "Transfer-Encoding") {
			c.encoding++
			if !isHeader(bytes.TrimSpace(value), "chunked") {
				return confusing("Transfer-Encoding must be chunked.")
			}
		}
	}
	return nil
}

// judge refuses counts that leave open where the body ends or what it is.
func (c *headerCounts) judge() *refusal {
	switch {
	case c.length > 1 || c.encoding > 1 || c.length > 0 && c.encoding > 0:
		return confusing("Content-Length and Transfer-Encoding may stand there once, and not both.")
	case c.contentType > 1:
		return confusing("Content-Type may stand there once.")
	}
	return nil
}

// isToken reports whether a header name is what RFC 9110 calls a token.
func isToken(name []byte) bool {
	for _, c := range name {
		letter, digit := c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9'
		if !letter && !digit && strings.IndexByte("-_.!#$%&'*+^`|~", c) < 0 {
			return false
		}
	}
	return len(name) > 0
}

// isHeader compares without regard to case.
func isHeader(name []byte, want string) bool {
	return len(name) == len(want) && bytes.EqualFold(name, []byte(want))
}

// canonical refuses a path that somebody else might read as another one.
func canonical(path []byte) *refusal {
	for i, c := range path {
		next := byte(0)
		if i+1 < len(path) {
			next = path[i+1]
		}
		if c == '%' || c == '\\' || c <= ' ' || c >= 0x7f || c == '/' && (next == '/' || next == '.') {
			return confusing("The path must be plain: no escapes, no empty or dot segments.")
		}
	}
	return nil
}

// findRoute finds the endpoint of a canonical path.
func (x *exchange) findRoute(path []byte) *refusal {
	h := &x.ctx.Request.Header
	path, ok := bytes.CutPrefix(path, []byte(x.snapshot.Config.Prefix))
	if !ok {
		return bad(&formats.Error{Status: 404, Code: formats.CodeRouteNotFound, Message: "There is no such endpoint."})
	}
	x.path = path
	route, match := formats.FindRoute(h.Method(), path, x.query.sse)
	switch match {
	case formats.NotFound:
		return bad(&formats.Error{Status: 404, Code: formats.CodeRouteNotFound, Message: "There is no endpoint " + string(path) + "."})
	case formats.WrongMethod:
		no := bad(&formats.Error{Status: 405, Code: formats.CodeMethodNotAllowed, Message: "This endpoint answers " + route.Method + " only."})
		no.allow = route.Method
		return no
	}
	x.route = route
	x.record.Operation = route.Operation.String()
	if h.IsGet() && len(x.ctx.Request.Body()) > 0 {
		return confusing("A %s request must not have a body.", http.MethodGet)
	}
	return nil
}
