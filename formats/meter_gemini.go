package formats

// geminiAnswer reads an answer: a chunk of a stream, or the whole.
func (m *Meter) geminiAnswer() (e Event) {
	s := &m.scan
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "candidates":
			if m.candidates() {
				e |= Content
			}
		case "promptFeedback":
			if s.holds("blockReason", "") {
				m.progress.ended = true
			}
		case "usageMetadata":
			m.geminiUsage()
		case "modelVersion":
			m.reportedModel()
		case "error":
			if s.substance() {
				e |= Failure
			}
		default:
			s.skip()
		}
	}
	return e
}

func (m *Meter) candidates() (content bool) {
	s := &m.scan
	for ok := s.array(); ok; ok = s.element() {
		content = m.candidate() || content
	}
	return content
}

// candidate reads one candidate. Only the finish reason of a candidate's last chunk counts: some models put one on
// every chunk, so a later chunk takes it back.
func (m *Meter) candidate() (content bool) {
	s := &m.scan
	var index int64
	finished := false
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "index":
			s.count(&index)
		case "content":
			content = s.geminiContent() || content
		case "finishReason":
			finished = s.substance()
		default:
			s.skip()
		}
	}
	m.progress.seen.add(index)
	if finished {
		m.progress.finished.add(index)
	} else {
		m.progress.finished.remove(index)
	}
	return content
}

func (s *scanner) geminiContent() (content bool) {
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "parts":
			content = s.geminiParts() || content
		default:
			s.skip()
		}
	}
	return content
}

func (s *scanner) geminiParts() (content bool) {
	for ok := s.array(); ok; ok = s.element() {
		content = s.geminiPart() || content
	}
	return content
}

func (s *scanner) geminiPart() (content bool) {
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "text", "functionCall", "executableCode":
			content = s.said() || content
		case "inlineData", "codeExecutionResult": // audio and images; what the provider's own tool has to say
			content = s.substance() || content
		default:
			s.skip()
		}
	}
	return content
}

// geminiUsage reads a usageMetadata object. Each is cumulative and whole.
func (m *Meter) geminiUsage() {
	s := &m.scan
	if s.blank() != '{' {
		s.skip()
		return
	}
	var c counts
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "promptTokenCount":
			s.count(&c.input)
		case "toolUsePromptTokenCount":
			s.count(&c.toolInput)
		case "cachedContentTokenCount":
			s.count(&c.cacheRead)
		case "candidatesTokenCount":
			s.count(&c.output)
		case "thoughtsTokenCount":
			s.count(&c.reasoning)
		case "promptTokensDetails":
			s.modalities(&c.audioInput, nil)
		case "cacheTokensDetails":
			s.modalities(&c.cachedAudio, nil)
		case "toolUsePromptTokensDetails":
			s.modalities(&c.toolAudio, nil)
		case "candidatesTokensDetails":
			s.modalities(&c.audioOutput, &c.imageOutput)
		default:
			s.skip()
		}
	}
	m.progress.counts, m.progress.counted = c, true
}

// modalities reads a list of token counts by modality and keeps those of audio and, where they have a place, of images.
func (s *scanner) modalities(audio, image *int64) {
	for ok := s.array(); ok; ok = s.element() {
		switch tokens, modality := s.modality(); {
		case string(modality) == "AUDIO":
			*audio = tokens
		case string(modality) == "IMAGE" && image != nil:
			*image = tokens
		}
	}
}

func (s *scanner) modality() (tokens int64, modality []byte) {
	for ok := s.object(); ok; ok = s.member() {
		switch string(s.key()) {
		case "modality":
			modality, _, _ = s.text()
		case "tokenCount":
			s.count(&tokens)
		default:
			s.skip()
		}
	}
	return tokens, modality
}
