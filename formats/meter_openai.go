package formats

import "bytes"

// openAIChunk reads a chunk of a chat or completions stream, or the whole answer of any endpoint but responses.
func (m *Meter) openAIChunk() (e Event) {
	s := &m.scan
	noChoices, usage := false, false
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "choices":
			var content bool
			if content, noChoices = m.choices(); content {
				e |= Content
			}
		case "usage":
			usage = m.openAIUsage()
		case "model":
			m.reportedModel()
		case "error":
			if s.substance() {
				e |= Failure
			}
		default:
			s.skip()
		}
	}
	if noChoices && usage && e == 0 {
		e = UsageOnly
		m.progress.summed = true
	}
	return e
}

func (m *Meter) choices() (content, none bool) {
	s := &m.scan
	none = true
	for ok := s.array(); ok; ok = s.element() {
		none = false
		if m.choice() {
			content = true
		}
	}
	return content, none
}

func (m *Meter) choice() (content bool) {
	s := &m.scan
	var index int64
	finished := false
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "index":
			s.count(&index)
		case "delta":
			content = s.openAIDelta() || content
		case "text":
			content = s.said() || content
		case "finish_reason":
			finished = s.substance()
		default:
			s.skip()
		}
	}
	m.progress.seen.add(index)
	if finished {
		m.progress.finished.add(index)
	}
	return content
}

// openAIDelta says whether the delta of a chat chunk has content.
func (s *scanner) openAIDelta() (content bool) {
	thought := false
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "content", "refusal":
			content = s.said() || content
		case "reasoning_content", "reasoning": // DeepSeek's and OpenRouter's; some servers send the same text under both
			if thought {
				s.skip()
			} else {
				thought = s.said()
			}
			content = content || thought
		case "tool_calls":
			content = s.toolCalls() || content
		case "function_call":
			content = s.holds("arguments", "") || content
		case "audio":
			content = s.audio() || content
		default:
			s.skip()
		}
	}
	return content
}

// audio reads a piece of audio, whose bytes are not text, and of what is said in it.
func (s *scanner) audio() (content bool) {
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "data":
			content = s.substance() || content
		case "transcript":
			content = s.said() || content
		default:
			s.skip()
		}
	}
	return content
}

func (s *scanner) toolCalls() (content bool) {
	for ok := s.array(); ok; ok = s.element() {
		content = s.toolCall() || content
	}
	return content
}

func (s *scanner) toolCall() (content bool) {
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "function", "custom":
			content = s.holds("arguments", "input") || content
		default:
			s.skip()
		}
	}
	return content
}

// responsesEvent reads one event of a responses stream. Its members come in any order, so what they mean is decided
// at the end.
func (m *Meter) responsesEvent() (e Event) {
	s := &m.scan
	var kind []byte
	content := false
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "type":
			kind, _, _ = s.text()
		case "delta":
			content = s.said() || content
		case "partial_image_b64":
			content = s.substance() || content
		case "response":
			m.response()
		case "error":
			if s.substance() {
				e |= Failure
			}
		default:
			s.skip()
		}
	}
	switch string(kind) {
	case "response.completed", "response.incomplete":
		e |= Terminal
	case "response.failed", "error":
		e |= Terminal | Failure
	}
	if content && (bytes.HasSuffix(kind, []byte(".delta")) || bytes.HasSuffix(kind, []byte(".partial_image"))) {
		e |= Content
		if bytes.HasSuffix(kind, []byte("audio.delta")) {
			s.spoken = 0
		}
	}
	m.progress.ended = m.progress.ended || e&Terminal != 0
	return e
}

// response reads a response object: within an event, or the whole answer.
func (m *Meter) response() (e Event) {
	s := &m.scan
	failed, made := false, false
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "model":
			m.reportedModel()
		case "usage":
			m.openAIUsage()
		case "error":
			failed = s.substance()
		case "output", "status":
			made = true
			s.skip()
		default:
			s.skip()
		}
	}
	if failed && !made { // a response that failed says so itself, and is an answer all the same
		e = Failure
	}
	return e
}

// openAIUsage reads a usage object under the names of all of openai's endpoints. It returns false for null.
func (m *Meter) openAIUsage() bool {
	s := &m.scan
	if s.blank() != '{' {
		s.skip()
		return false
	}
	var c counts
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "prompt_tokens", "input_tokens":
			s.count(&c.input)
		case "completion_tokens", "output_tokens":
			s.count(&c.output)
		case "total_tokens":
			s.count(&c.total)
		case "prompt_tokens_details", "input_tokens_details", "input_token_details":
			var images int64 // of the prompt: priced as its text
			s.openAIDetails(&c, &c.audioInput, &images)
		case "completion_tokens_details", "output_tokens_details", "output_token_details":
			s.openAIDetails(&c, &c.audioOutput, &c.imageOutput)
		case "prompt_cache_hit_tokens": // DeepSeek's, sometimes beside cached_tokens
			s.count(&c.cacheRead)
		default:
			s.skip()
		}
	}
	m.progress.counts, m.progress.counted = c, true
	return true
}

func (s *scanner) openAIDetails(c *counts, audio, image *int64) {
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "cached_tokens":
			s.count(&c.cacheRead)
		case "cache_write_tokens":
			s.count(&c.cacheWrite)
		case "cache_write_tokens_details":
			s.cacheWrites(c)
		case "reasoning_tokens":
			s.count(&c.reasoning)
		case "audio_tokens":
			s.count(audio)
		case "image_tokens":
			s.count(image)
		case "cached_tokens_details":
			s.cachedTokens(&c.cachedAudio)
		default:
			s.skip()
		}
	}
}

// cachedTokens reads by modality what cached_tokens are, and keeps those of audio.
func (s *scanner) cachedTokens(audio *int64) {
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "audio_tokens":
			s.count(audio)
		default:
			s.skip()
		}
	}
}

// cacheWrites tells writes apart by how long the cache keeps them: 30 minutes or 12 hours.
func (s *scanner) cacheWrites(c *counts) {
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "ttl_12h_tokens":
			s.count(&c.write1h)
		default:
			s.skip()
		}
	}
}
