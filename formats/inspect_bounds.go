package formats

import "fmt"

const (
	maxChoices = 128               // the largest n; the providers' own bound
	maxMaximum = 1_000_000_000_000 // the largest maximum of tokens: "no limit" is often written as some large number
)

// maximums are the fields that bound an answer, by operation, and the one of them that is put into a body without
// any. A field that an endpoint does not know bounds nothing: compatible servers ignore it.
var maximums = [NumOperations]struct {
	known fields
	own   field
}{
	Chat:        {1<<fieldMaxTokens | 1<<fieldMaxCompletionTokens, fieldMaxCompletionTokens},
	Completions: {1 << fieldMaxTokens, fieldMaxTokens},
	Responses:   {1 << fieldMaxOutputTokens, fieldMaxOutputTokens},
	Messages:    {1 << fieldMaxTokens, fieldMaxTokens},
	Generate:    {maxOutputTokens, fieldMaxOutputTokensCamel},
}

// conclude says what can only be said of the whole body.
func (b *Body) conclude() {
	switch b.route.Operation {
	case Completions:
		b.Choices *= b.prompts
		b.Answers = max(b.bestOf*b.prompts, b.Choices)
		fallthrough
	case Chat, Responses:
		// OpenAI writes prompts to its cache unasked, and charges for it from GPT-5.6 on.
		b.CacheWrite5m, b.CacheWrite1h = true, b.scan.long
	case Messages:
		b.CacheWrite5m, b.CacheWrite1h = b.scan.caches, b.scan.caches && b.scan.long
	}
}

// integer reads a whole number that is written as one: to what 1e1 and 1.0 come, parsers disagree. stated is false
// for null, which counts as absent.
func (b *Body) integer(f field, least, most int64) (n int64, stated bool, err *Error) {
	s := &b.scan
	c := s.blank()
	start := s.pos
	if n, end := wholeNumber(s.buf, start); c != '0' && n >= least && n <= most {
		s.pos = end // what nearly every request has
		return n, true, nil
	}
	if !s.skip() || c == 'n' {
		return 0, false, nil
	}
	if least == 0 && c == '-' {
		if _, ok := count(s.buf[start+1 : s.pos]); ok {
			return 0, true, nil // the provider's to refuse, or to take for "no limit"
		}
	}
	n, ok := count(s.buf[start:s.pos])
	if !ok || n < least || n > most {
		return 0, false, b.refuseInteger(f, start, least, most)
	}
	return n, true, nil
}

// wholeNumber reads the whole number at i. It returns -1 where there is none, or one with a fraction, an exponent or
// more digits than anybody counts to.
func wholeNumber(b []byte, i int) (n int64, end int) {
	for end = i; end < len(b) && isDigit(b[end]); end++ {
		if end-i == maxDigits {
			return -1, end
		}
		n = n*10 + int64(b[end]-'0')
	}
	if end == i || end == len(b) || b[end] == '.' || b[end]|0x20 == 'e' {
		return -1, end
	}
	return n, end
}

func (b *Body) refuseInteger(f field, at int, least, most int64) *Error {
	param := fieldNames[f]
	if configFields&(1<<f) != 0 && b.route.Format == Gemini {
		param = "generationConfig." + param
	}
	return b.scan.refuse(at, CodeInvalidRequest, param, fmt.Sprintf("%q must be an integer from %d to %d", fieldNames[f], least, most))
}

// choices reads how many answers are asked for.
func (b *Body) choices(f field) *Error {
	n, stated, err := b.integer(f, 1, maxChoices)
	switch {
	case !stated:
	case f == fieldBestOf:
		b.bestOf = int(n)
	default:
		b.Choices, b.Answers = int(n), int(n)
	}
	return err
}

// maximum reads a bound of the answer's length; the largest counts. 0 and -1 are no bounds that can be relied upon: to
// some servers they mean that there is none.
func (b *Body) maximum(f field) *Error {
	n, stated, err := b.integer(f, 0, maxMaximum)
	m := &maximums[b.route.Operation]
	switch {
	case err != nil || m.known&(1<<f) == 0:
	case stated:
		b.bounded = true
		b.MaxOutput = max(b.MaxOutput, n)
		b.HasMaxOutput = b.MaxOutput > 0
	case f == m.own || b.route.Format == Gemini:
		b.nothing = Span{b.scan.pos - len("null"), b.scan.pos}
	}
	return err
}

// prompt counts the prompts of a completions request, each of which is answered n times. A list of numbers is one.
func (b *Body) prompt() {
	s := &b.scan
	n := 0
	for ok := s.array(); ok; ok = s.element() {
		if c := s.blank(); c == '"' || c == '[' {
			n++
		}
		s.skip()
	}
	b.prompts = max(n, 1)
}

// modalities reads what kinds of answer are asked for.
func (b *Body) modalities() {
	s := &b.scan
	switch s.blank() {
	case '[':
		for ok := s.array(); ok; ok = s.element() {
			b.modality()
		}
	case 'n':
		s.skip()
	default:
		b.modality() // Google's parsers take one value for a list of one
	}
}

// modality reads one of them. What is not known to be cheaper counts as audio.
func (b *Body) modality() {
	switch name, _, _ := b.scan.text(); string(name) {
	case "text", "image", "TEXT", "IMAGE":
	default:
		b.AudioOutput = true
	}
}

// generationConfig reads where gemini's bodies bound their answers.
func (b *Body) generationConfig() *Error {
	s := &b.scan
	c := s.blank()
	start := s.pos
	if c != '{' && c != 'n' {
		if s.skip() {
			return s.refuse(start, CodeInvalidRequest, "generationConfig", `"generationConfig" must be an object`)
		}
		return nil
	}
	var seen fields
	for ok := s.object(); ok; ok = s.member() {
		f, err := s.field(configFields, &seen)
		switch f {
		case fieldMaxOutputTokens, fieldMaxOutputTokensCamel:
			err = b.maximum(f)
		case fieldCandidateCount, fieldCandidateCountSnake:
			err = b.choices(f)
		case fieldResponseModalities, fieldResponseModalitiesSnake:
			b.modalities()
		default:
			s.skip()
		}
		if err != nil {
			return err
		}
	}
	b.config = Span{start, s.pos}
	return nil
}
