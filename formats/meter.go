package formats

import (
	"bytes"
	"math/bits"

	"github.com/sallyport-dev/sallyport/abi"
)

// Event says what one event of a stream was.
type Event uint8

// The events; several can be true of one.
const (
	// Content: it carries text, thinking, arguments of a tool call, a refusal or audio.
	Content Event = 1 << iota
	// Terminal: the dialect's own end mark; nothing follows. Gemini has none: ask Complete when its stream ends.
	Terminal
	// Failure: the provider reports an error in the stream.
	Failure
	// UsageOnly: openai's chunk without choices that holds the usage, which only those get who asked for it.
	UsageOnly
	// Malformed: the payload is not a JSON document.
	Malformed
)

// maxAnswerDepth bounds how deep an answer may nest before it counts as malformed.
const maxAnswerDepth = 512

// Meter reads from an answer, as it passes, what it used and whether it is whole. It allocates nothing.
type Meter struct {
	Usage      abi.Usage // every token in exactly one dimension; as the provider last said
	UsageSeen  bool      // the provider said something of it
	UsageFinal bool      // what it said is of the whole answer; else the output may go on, and Relayed knows more
	Choices    int       // openai: how many choices have to finish; Reset makes it 1, Body.Choices knows better
	Failed     bool      // an event was a Failure, or the whole answer is one and nothing else

	ContentEvents int64 // events of a stream that were Content
	ContentBytes  int64 // bytes of text, thinking, arguments and refusals in them; of a whole answer, if it told no usage

	route    Route
	stream   bool
	whole    bool // not streamed: Body saw a whole document
	progress progress
	model    [MaxModel]byte
	modelLen int
	scan     scanner
}

// progress is what an event may change. It is put back where an event turns out to be malformed, so that half an
// event never counts, whatever its first half said.
type progress struct {
	ended    bool      // the end mark, or what counts as one, was seen
	counted  bool      // counts were said, and are not in Meter.Usage yet
	summed   bool      // they were said where the dialect sums up the whole answer
	seen     choiceSet // choices or candidates
	finished choiceSet // those of seen that have a finish reason
	counts   counts
}

// Reset makes the Meter ready for one answer to the route.
func (m *Meter) Reset(r *Route, stream bool) {
	m.Usage, m.UsageSeen, m.UsageFinal, m.Choices, m.Failed = abi.Usage{}, false, false, 1, false
	m.ContentEvents, m.ContentBytes = 0, 0
	m.route, m.stream, m.whole = *r, stream, false
	m.progress, m.modelLen = progress{}, 0
}

// Model is the model that the provider says it used; empty if it did not say. It is valid until the next Reset.
func (m *Meter) Model() []byte { return m.model[:m.modelLen] }

// Complete says whether the answer came to its end: for a stream, whether what the dialect ends it with was seen; else
// whether Body was given a whole document.
func (m *Meter) Complete() bool {
	p := &m.progress
	switch {
	case !m.stream:
		return m.whole
	case p.ended:
		return true
	case p.seen != p.finished:
		return false
	case m.route.Format == Gemini:
		return p.seen.len() > 0
	}
	return p.seen.len() >= min(max(m.Choices, 1), maxChoices)
}

// Event reads the payload of one event of a stream.
func (m *Meter) Event(data []byte) Event {
	if len(data) == 0 {
		return 0
	}
	if m.route.Format == OpenAI && isDone(data) {
		m.progress.ended = true
		m.UsageFinal = m.final()
		return Terminal
	}
	before := m.progress
	m.scan = scanner{buf: data, limit: maxAnswerDepth, lenient: true}
	e := m.read()
	if !m.scan.end() {
		m.progress = before
		return Malformed
	}
	if e&Failure != 0 {
		m.Failed = true
	}
	if e&Content != 0 {
		m.ContentEvents++
		m.ContentBytes += m.scan.spoken
	}
	m.settle()
	return e
}

// isDone recognises openai's end mark, which is the one payload that is not JSON.
func isDone(data []byte) bool {
	return len(data) < 16 && string(bytes.TrimSpace(data)) == "[DONE]"
}

// read walks one event by its dialect.
func (m *Meter) read() Event {
	switch {
	case m.route.Format == Anthropic:
		return m.anthropicEvent()
	case m.route.Format == Gemini:
		return m.geminiAnswer()
	case m.route.Operation == Responses:
		return m.responsesEvent()
	}
	return m.openAIChunk()
}

// Body reads a whole answer that is not streamed. It returns false if that is not one JSON document: then it was cut.
func (m *Meter) Body(b []byte) bool {
	s := &m.scan
	*s = scanner{buf: b, limit: maxAnswerDepth, lenient: true}
	var e Event
	switch {
	case m.route.Free():
		s.skip()
	case m.route.Format == Anthropic:
		e = m.anthropicMessage()
	case m.route.Format == Gemini:
		e = m.geminiAnswer()
	case m.route.Operation == Responses:
		e = m.response()
	default:
		e = m.openAIChunk()
	}
	if m.whole = s.end(); !m.whole {
		return false
	}
	m.Failed = e == Failure
	m.settle()
	if !m.UsageSeen && m.route.HasOutput() {
		*s = scanner{buf: b, limit: maxAnswerDepth, lenient: true}
		s.answer()
		m.ContentBytes = s.spoken
	}
	return true
}

// settle turns the counts that the provider gave into Usage.
func (m *Meter) settle() {
	if m.progress.counted {
		m.progress.counted = false
		m.UsageSeen = true
		m.convert()
	}
	m.UsageFinal = m.final()
}

func (m *Meter) convert() {
	switch c := &m.progress.counts; m.route.Format {
	case Anthropic:
		m.Usage = c.anthropic()
	case Gemini:
		m.Usage = c.gemini()
	default:
		m.Usage = c.openAI()
	}
	m.Usage[abi.Requests] = 1
}

// reportedModel reads the provider's name of the model. The first one stays.
func (m *Meter) reportedModel() {
	name, plain, ok := m.scan.text()
	if ok && plain && m.modelLen == 0 && len(name) <= len(m.model) && printable(name) {
		m.modelLen = copy(m.model[:], name)
	}
}

// substance reads a value and says whether it holds anything: a string, object or array that is not empty.
func (s *scanner) substance() bool {
	c := s.blank()
	start := s.pos
	if !s.skip() {
		return false
	}
	switch inside := s.buf[start+1 : s.pos]; c {
	case '"':
		return len(inside) > 1
	case '{', '[':
		return len(bytes.TrimSpace(inside)) > 1
	}
	return false
}

// holds reads an object and says whether one of two of its members has substance. Another kind of value has none.
func (s *scanner) holds(one, other string) (found bool) {
	for ok := s.object(); ok; ok = s.member() {
		if key := string(s.key()); (key == one || key == other) && s.said() {
			found = true
		} else if key != one && key != other {
			s.skip()
		}
	}
	return found
}

// choiceSet is a set of choices by index. What lies beyond the providers' largest n shares the last place.
type choiceSet [2]uint64

func (c *choiceSet) add(index int64) {
	index = min(index, maxChoices-1)
	c[index>>6] |= 1 << (index & 63)
}

func (c *choiceSet) remove(index int64) {
	index = min(index, maxChoices-1)
	c[index>>6] &^= 1 << (index & 63)
}

func (c *choiceSet) len() int { return bits.OnesCount64(c[0]) + bits.OnesCount64(c[1]) }
