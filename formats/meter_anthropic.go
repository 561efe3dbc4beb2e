package formats

// anthropicEvent reads one event of a messages stream.
func (m *Meter) anthropicEvent() (e Event) {
	s := &m.scan
	var kind []byte
	content, stopped := false, false
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "type":
			kind, _, _ = s.text()
		case "message":
			m.anthropicMessage()
		case "delta", "content_block":
			content, stopped = s.anthropicDelta()
		case "usage":
			m.anthropicUsage()
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
		case "text", "thinking", "partial_json", "data": // data is redacted thinking
			content = s.substance() || content
		case "stop_reason":
			stopped = s.substance()
		default:
			s.skip()
		}
	}
	return content, stopped
}

// anthropicMessage reads a message object: within message_start, or the whole answer.
func (m *Meter) anthropicMessage() {
	s := &m.scan
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "model":
			m.reportedModel()
		case "usage":
			m.anthropicUsage()
		default:
			s.skip()
		}
	}
}

// anthropicUsage reads a usage object. Its counts are cumulative, and a later object may leave out what an earlier
// one said, so each count stays until it is said again.
func (m *Meter) anthropicUsage() {
	s := &m.scan
	if s.blank() != '{' {
		s.skip()
		return
	}
	c := &m.progress.counts
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "input_tokens":
			s.count(&c.input)
		case "output_tokens":
			s.count(&c.output)
		case "cache_read_input_tokens":
			s.count(&c.cacheRead)
		case "cache_creation_input_tokens":
			s.count(&c.cacheWrite)
		case "cache_creation":
			s.anthropicDetails(c)
		case "output_tokens_details":
			s.anthropicDetails(c)
		default:
			s.skip()
		}
	}
	m.progress.counted = true
}

func (s *scanner) anthropicDetails(c *counts) {
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "ephemeral_5m_input_tokens":
			s.count(&c.write5m)
		case "ephemeral_1h_input_tokens":
			s.count(&c.write1h)
		case "thinking_tokens":
			s.count(&c.reasoning)
		default:
			s.skip()
		}
	}
}
