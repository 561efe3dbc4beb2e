package formats

import "bytes"

// MaxDepth is how deep a request body may nest. The whole body is the first level.
const MaxDepth = 64

// Span is a part of a body, half-open. The zero Span is absent: no part of a JSON object begins and ends at 0.
type Span struct{ Start, End int }

// Present says whether the span stands for something.
func (s Span) Present() bool { return s.End != 0 }

// Body is what one strict pass over a request body finds. Spans and slices refer to the body that was inspected; a
// Body may be used again for the next one and then allocates nothing.
type Body struct {
	Model        Span   // the model's JSON string, quotes included
	ModelName    []byte // what stands between them
	Stream       bool   // as the body says; whether the answer is a stream is Route.AnswerFraming's to say
	StreamSpan   Span   // the value of stream
	Options      Span   // the value of stream_options: an object or null
	IncludeUsage Span   // the value of include_usage in it
	AskedUsage   bool   // it is true
	Background   bool   // responses: background is true
	Choices      int    // n, at least 1: how many answers are asked for
	Models       []Span // gemini: names of the model within the body, without quotes and "models/"

	scan  scanner
	route *Route
}

// Inspect reads a whole body once and returns nil if it can be priced, spliced and forwarded without two parsers
// ever disagreeing about it: one JSON object, valid UTF-8, and every field that decides something there only once,
// in its one spelling and of its one type. It allocates nothing unless it refuses.
func (b *Body) Inspect(r *Route, body []byte) *Error {
	*b = Body{Choices: 1, Models: b.Models[:0], route: r, scan: scanner{buf: body, limit: MaxDepth}}
	s := &b.scan
	if bytes.HasPrefix(body, []byte("\xef\xbb\xbf")) {
		s.fail(byteOrderMark, 0)
	}
	var seen fields
	var within []byte // the key whose value is being read
	if s.blank() != '{' {
		s.fail(expectedObject, s.pos)
	}
	for ok := s.object(); ok; ok = s.member() {
		within = s.key()
		f, err := s.field(relevantFields[r.Format], &seen)
		if err == nil {
			err = b.value(f)
		}
		if err != nil {
			return err
		}
		if s.fault == sound {
			within = nil
		}
	}
	if !s.end() {
		return s.refusal(within)
	}
	if r.ModelInBody() && !b.Model.Present() {
		return Refuse(CodeModelMissing, "model", `The body has no "model".`)
	}
	return nil
}

// value reads the value of a top-level member. Like all that follow it, it answers only for what the value means:
// where the JSON is unsound it answers nil, and the scanner runs out and knows why.
func (b *Body) value(f field) *Error {
	switch f {
	case fieldModel:
		return b.model()
	case fieldStream:
		return b.boolean(f, &b.StreamSpan, &b.Stream)
	case fieldBackground:
		return b.boolean(f, nil, &b.Background)
	case fieldStreamOptions:
		return b.streamOptions()
	case fieldN:
		b.choices()
	case fieldRequests:
		return b.requests()
	case fieldGenerateContentRequest, fieldGenerateContentRequestSnake:
		return b.nested()
	default:
		b.scan.skip()
	}
	return nil
}

// model reads the value of a model member: at the top level of a body, or where gemini names it again.
func (b *Body) model() *Error {
	s := &b.scan
	s.blank()
	start := s.pos
	name, plain, ok := s.text()
	switch {
	case s.fault != sound:
		return nil
	case !ok:
		return s.refuse(start, CodeInvalidRequest, "model", `"model" must be a string`)
	case !plain:
		return s.refuse(start, CodeAmbiguousField, "model", `"model" must be written without escapes`)
	case len(name) == 0:
		return s.refuse(start, CodeModelMissing, "model", `"model" is empty`)
	case len(name) > MaxModel:
		return s.refuse(start, CodeInvalidRequest, "model", `"model" is longer than 256 bytes`)
	case !printable(name):
		return s.refuse(start, CodeInvalidRequest, "model", `"model" holds characters that cannot be printed`)
	}
	if b.route.Format == Gemini {
		return b.repeated(name, start+1)
	}
	b.Model, b.ModelName = Span{start, s.pos}, name
	return nil
}

// repeated checks a model that a gemini body names beside the path, and notes it for rewriting.
func (b *Body) repeated(name []byte, at int) *Error {
	bare := bytes.TrimPrefix(name, []byte("models/"))
	if !bytes.Equal(bare, b.route.Model) {
		return b.scan.refuse(at-1, CodeAmbiguousField, "model", `"model" differs from the model that the path names`)
	}
	at += len(name) - len(bare)
	b.Models = append(b.Models, Span{at, at + len(bare)})
	return nil
}

// boolean reads true or false. null is refused: parsers differ on whether it is false or an error.
func (b *Body) boolean(f field, span *Span, value *bool) *Error {
	s := &b.scan
	c := s.blank()
	start := s.pos
	if !s.skip() {
		return nil
	}
	if c != 't' && c != 'f' {
		return s.refuse(start, CodeInvalidRequest, fieldNames[f], `"`+fieldNames[f]+`" must be true or false`)
	}
	if *value = c == 't'; span != nil {
		*span = Span{start, s.pos}
	}
	return nil
}

func (b *Body) streamOptions() *Error {
	s := &b.scan
	c := s.blank()
	start := s.pos
	switch c {
	case '{':
		if err := b.includeUsage(); err != nil {
			return err
		}
	case 'n':
		s.skip()
	default:
		if s.skip() {
			return s.refuse(start, CodeInvalidRequest, "stream_options", `"stream_options" must be an object`)
		}
	}
	b.Options = Span{start, s.pos}
	return nil
}

func (b *Body) includeUsage() *Error {
	s := &b.scan
	var seen fields
	for ok := s.object(); ok; ok = s.member() {
		f, err := s.field(1<<fieldIncludeUsage, &seen)
		if err != nil {
			return err
		}
		c := s.blank()
		start := s.pos
		if !s.skip() || f != fieldIncludeUsage {
			continue
		}
		if c != 't' && c != 'f' && c != 'n' {
			return s.refuse(start, CodeInvalidRequest, "stream_options.include_usage", `"include_usage" must be true or false`)
		}
		b.IncludeUsage, b.AskedUsage = Span{start, s.pos}, c == 't'
	}
	return nil
}

// choices reads n. What is not a small positive integer is left to the provider to refuse.
func (b *Body) choices() {
	s := &b.scan
	s.blank()
	start := s.pos
	if !s.skip() {
		return
	}
	if n, ok := count(s.buf[start:s.pos]); ok && n > 1 && n <= maxChoices {
		b.Choices = int(n)
	}
}

// requests reads the requests of a gemini batch, each of which names the model.
func (b *Body) requests() *Error {
	if b.scan.blank() != '[' {
		return b.nested()
	}
	for ok := b.scan.array(); ok; ok = b.scan.element() {
		if err := b.nested(); err != nil {
			return err
		}
	}
	return nil
}

// nested reads an object within a gemini body that may name the model again. Anything but an object is left to the
// provider to refuse.
func (b *Body) nested() *Error {
	s := &b.scan
	var seen fields
	for ok := s.object(); ok; ok = s.member() {
		f, err := s.field(1<<fieldModel, &seen)
		if err != nil {
			return err
		}
		if f != fieldModel {
			s.skip()
		} else if err = b.model(); err != nil {
			return err
		}
	}
	return nil
}
