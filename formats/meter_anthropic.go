package formats

// anthropicEvent reads one event of a messages stream.
func (m *Meter) anthropicEvent() (e Event) {
	s := &m.scan
	var kind []byte
	content, stopped, usage := false, false, false
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "type":
			kind, _, _ = s.text()
		case "message":
			m.anthropicMessage()
		case "delta", "content_block":
			content, stopped = s.anthropicDelta()
		case "usage":
			usage = m.anthropicUsage()
		default:
			s.skip()
		}
	}
	switch string(kind) {
	case "content_block_delta", "content_block_start":
		if content {
			e = Content
		}
	case "message_delta":
		m.progress.ended = m.progress.ended || stopped
		m.progress.summed = m.progress.summed || usage
	case "message_stop":
		m.progress.ended = true
		e = Terminal
	case "error":
		e = Failure
	}
	return e
}

// anthropicDelta reads a delta of a block or of the message, or a block that begins.
func (s *scanner) anthropicDelta() (content, stopped bool) {
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "text", "thinking", "partial_json":
			content = s.said() || content
		case "data": // redacted thinking, encrypted
			content = s.substance() || content
		case "stop_reason":
			stopped = s.substance()
		default:
			s.skip()
		}
	}
	return content, stopped
}

// anthropicMessage reads a message object: within message_start, or the whole answer, which may be an error instead.
func (m *Meter) anthropicMessage() (e Event) {
	s := &m.scan
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "model":
			m.reportedModel()
		case "usage":
			m.anthropicUsage()
		case "error":
			if s.substance() {
				e = Failure
			}
		default:
			s.skip()
		}
	}
	return e
}

// anthropicUsage reads a usage object; it returns false for null. Its counts are cumulative, and a later object may
// leave out what an earlier one said, so each count stays until it is said again.
func (m *Meter) anthropicUsage() bool {
	s := &m.scan
	if s.blank() != '{' {
		s.skip()
		return false
	}
	c := m.progress.counts
	input := counts{input: unsaid, cacheRead: unsaid, cacheWrite: unsaid, write5m: unsaid, write1h: unsaid}
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "input_tokens":
			s.count(&input.input)
		case "output_tokens":
			s.count(&c.output)
		case "cache_read_input_tokens":
			s.count(&input.cacheRead)
		case "cache_creation_input_tokens":
			s.count(&input.cacheWrite)
		case "cache_creation":
			s.cacheCreation(&input)
		case "output_tokens_details":
			s.thinking(&c.reasoning)
		default:
			s.skip()
		}
	}
	c.sayInput(&input)
	m.progress.counts, m.progress.counted = c, true
	return true
}

func (s *scanner) cacheCreation(c *counts) {
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "ephemeral_5m_input_tokens":
			s.count(&c.write5m)
		case "ephemeral_1h_input_tokens":
			s.count(&c.write1h)
		default:
			s.skip()
		}
	}
}

func (s *scanner) thinking(n *int64) {
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "thinking_tokens":
			s.count(n)
		default:
			s.skip()
		}
	}
}
