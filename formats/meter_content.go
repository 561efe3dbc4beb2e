package formats

import (
	"unicode/utf16"
	"unicode/utf8"

	"github.com/sallyport-dev/sallyport/abi"
)

// bytesPerToken is what a token of text comes to, roughly, in the languages and code that models write.
const bytesPerToken = 4

// EstimatedOutput is how many tokens of answer have passed, for answers whose usage does not come: one for each event
// with content, or one for every four bytes of text if those are more.
func (m *Meter) EstimatedOutput() int64 {
	return max(m.ContentEvents, (m.ContentBytes+bytesPerToken-1)/bytesPerToken)
}

// Relayed is the usage of what has passed so far, for an answer that broke off or never told its usage: what the
// provider reported, with at least the estimated output. Where UsageFinal is set it is Usage; where UsageSeen is not
// set it lacks the input.
func (m *Meter) Relayed() abi.Usage {
	u := m.Usage
	if m.UsageFinal {
		return u
	}
	u[abi.Output] += max(0, m.EstimatedOutput()-u.OutputTokens())
	u[abi.Requests] = 1
	return u
}

// final says whether the usage that was seen is that of the whole answer. Some providers report it with every chunk,
// as far as it has come.
func (m *Meter) final() bool {
	p := &m.progress
	switch {
	case !m.UsageSeen:
		return false
	case !m.stream || m.route.Format == Gemini:
		return m.Complete()
	case m.route.Format == Anthropic:
		return p.summed && p.ended
	}
	return p.summed || m.Complete()
}

// said reads a value like substance, and counts the text in it.
func (s *scanner) said() bool {
	if s.blank() == '"' {
		text, plain, ok := s.text()
		if !ok || len(text) == 0 {
			return false
		}
		if plain {
			s.spoken += int64(len(text))
		} else {
			s.spoken += textLen(text)
		}
		return true
	}
	start := s.pos
	if !s.substance() {
		return false
	}
	s.spoken += int64(s.pos - start)
	return true
}

// textLen is how many bytes a sound JSON string stands for. Some providers escape all that is not ASCII.
func textLen(text []byte) (n int64) {
	for i := 0; i < len(text); n++ {
		switch {
		case text[i] != '\\':
			i++
		case text[i+1] != 'u':
			i += 2
		default:
			if r := hex4(text[i+2:]); utf16.IsSurrogate(r) {
				n++ // half of a character of four bytes
			} else {
				n += int64(utf8.RuneLen(r)) - 1
			}
			i += 6
		}
	}
	return n
}

// answer counts the text of a whole answer by the names under which the dialects hold it. It reads an answer once
// more, and only if that told no usage.
func (s *scanner) answer() {
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "choices", "output", "content", "candidates":
			s.parts()
		default:
			s.skip()
		}
	}
}

func (s *scanner) parts() {
	switch s.blank() {
	case '[':
		for ok := s.array(); ok; ok = s.element() {
			s.parts()
		}
	case '{':
		for ok := s.object(); ok; ok = s.member() {
			s.part()
		}
	default:
		s.skip()
	}
}

// part reads a member of a choice, message, block or part.
func (s *scanner) part() {
	switch string(s.key()) {
	case "content", "text", "thinking", "reasoning_content", "reasoning", "refusal", "transcript":
		if s.blank() == '"' {
			s.said()
			return
		}
	case "arguments", "input", "args":
		s.said()
		return
	}
	s.parts()
}
