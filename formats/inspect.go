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
	Choices      int    // how many answers come back, at least 1: n, for each prompt of a completions request
	Models       []Span // gemini: names of the model within the body, without quotes and "models/"

	// What bounds the cost of the answer.
	HasMaxOutput bool  // the body bounds the length of each answer
	MaxOutput    int64 // to so many tokens; 0 without HasMaxOutput
	Answers      int   // how many answers are written and charged: Choices, or more where best_of picks among more
	CacheWrite5m bool  // some of the prompt may be written to a cache, at the price of the default lifetime
	CacheWrite1h bool  // or at that of a longer one
	AudioOutput  bool  // the answer may hold audio

	prompts int    // completions: how many there are, at least 1
	bestOf  int    // completions: best_of, 0 if it is not said
	bounded bool   // a maximum is stated, if only as 0
	nothing Span   // the null that stands in the place of a maximum
	config  Span   // gemini: the value of generationConfig: an object or null
	number  []byte // digits of the maximum that is put into the body; reused
	scan    scanner
	route   *Route
}

// Inspect reads a whole body once and returns nil if it can be priced, spliced and forwarded without two parsers
// ever disagreeing about it: one JSON object, valid UTF-8, and every field that decides something there only once,
// in its one spelling and of its one type. A body without a model passes: Model is absent then. It allocates nothing
// unless it refuses.
func (b *Body) Inspect(r *Route, body []byte) *Error {
	models, number := b.Models[:0], b.number
	*b = Body{}
	b.Models, b.number, b.route = models, number, r
	b.Choices, b.Answers, b.prompts = 1, 1, 1
	b.scan.buf, b.scan.limit = body, MaxDepth
	s := &b.scan
	if bytes.HasPrefix(body, []byte("\xef\xbb\xbf")) {
		s.fail(byteOrderMark, 0)
	}
	relevant, seen := relevantFields[r.Format], fields(0)
	if r.Operation == Completions {
		relevant |= completionsFields
	}
	var within []byte // the key whose value is being read
	if s.blank() != '{' {
		s.fail(expectedObject, s.pos)
	}
	for ok := s.object(); ok; ok = s.member() {
		within = s.key()
		f, err := s.field(relevant, &seen)
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
	b.conclude()
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
	case fieldN, fieldBestOf:
		return b.choices(f)
	case fieldMaxTokens, fieldMaxCompletionTokens, fieldMaxOutputTokens:
		return b.maximum(f)
	case fieldPrompt:
		b.prompt()
	case fieldModalities:
		b.modalities()
	case fieldGenerationConfig, fieldGenerationConfigSnake:
		return b.generationConfig()
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
