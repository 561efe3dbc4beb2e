package gateway

import (
	"bytes"

	"github.com/sallyport-dev/sallyport/formats"
)

const contentJSON = "application/json"

// inspect reads the body once, strictly: which model, whether a stream, and that no parser can see it otherwise.
func (x *exchange) inspect() *refusal {
	x.facts.Model = x.route.Model
	if !x.route.HasBody() {
		return nil
	}
	if !isJSON(x.ctx.Request.Header.ContentType()) {
		return bad(&formats.Error{Status: 415, Code: formats.CodeUnsupportedMediaType, Message: "Content-Type must be application/json."})
	}
	if len(x.ctx.Request.Header.Peek("Content-Encoding")) > 0 {
		return bad(&formats.Error{Status: 415, Code: formats.CodeUnsupportedMediaType, Message: "The body must not be encoded: send it without Content-Encoding."})
	}
	if err := x.body.Inspect(&x.route, x.ctx.Request.Body()); err != nil {
		return bad(err)
	}
	if x.route.ModelInBody() {
		x.facts.Model = x.body.ModelName
	}
	x.streamed = x.route.AnswerFraming(x.body.Stream) != formats.Whole
	x.record.Stream = x.streamed
	return nil
}

// isJSON reports whether a content type is application/json, in UTF-8 if it names a charset.
func isJSON(contentType []byte) bool {
	media, parameters, _ := bytes.Cut(contentType, []byte{';'})
	if !bytes.EqualFold(bytes.TrimSpace(media), []byte(contentJSON)) {
		return false
	}
	parameters = bytes.TrimSpace(parameters)
	return len(parameters) == 0 || bytes.EqualFold(bytes.ReplaceAll(parameters, []byte{'"'}, nil), []byte("charset=utf-8"))
}
