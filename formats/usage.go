package formats

import "github.com/sallyport-dev/sallyport/abi"

// counts are the figures of a provider's usage object as it gave them. What they include differs by dialect.
type counts struct {
	input, output, total int64
	cacheRead            int64
	cacheWrite           int64 // at whatever lifetime
	write5m, write1h     int64 // of cacheWrite, where the provider tells them apart
	audioInput           int64
	audioOutput          int64
	cachedAudio          int64 // of audioInput
	reasoning            int64
	toolInput            int64 // gemini: beside input
}

// openAI: the input includes cached, written and audio tokens, the output includes audio and reasoning.
func (c *counts) openAI() (u abi.Usage) {
	rest := c.input
	u[abi.CacheRead] = take(&rest, c.cacheRead)
	u[abi.CacheWrite5m] = take(&rest, c.cacheWrite)
	u[abi.AudioInput] = take(&rest, c.audioInput)
	u[abi.Input] = rest
	rest = c.output
	// Some compatible providers count reasoning beside the output. The total gives them away.
	if c.reasoning > 0 && c.total >= c.input+c.output+c.reasoning {
		rest += c.reasoning
	}
	u[abi.Reasoning] = take(&rest, c.reasoning)
	u[abi.AudioOutput] = take(&rest, c.audioOutput)
	u[abi.Output] = rest
	return u
}

// anthropic: the input includes nothing else; the output includes thinking. Writes whose lifetime is not told are of
// the default one.
func (c *counts) anthropic() (u abi.Usage) {
	u[abi.Input] = c.input
	u[abi.CacheRead] = c.cacheRead
	u[abi.CacheWrite1h] = c.write1h
	u[abi.CacheWrite5m] = max(c.write5m, c.cacheWrite-c.write1h)
	rest := c.output
	u[abi.Reasoning] = take(&rest, c.reasoning)
	u[abi.Output] = rest
	return u
}

// gemini: the input includes cached and audio tokens but not those of tools, the output includes audio but not
// thoughts.
func (c *counts) gemini() (u abi.Usage) {
	rest := c.input + c.toolInput
	u[abi.CacheRead] = take(&rest, c.cacheRead)
	u[abi.AudioInput] = take(&rest, max(0, c.audioInput-c.cachedAudio))
	u[abi.Input] = rest
	rest = c.output
	u[abi.AudioOutput] = take(&rest, c.audioOutput)
	u[abi.Output] = rest
	u[abi.Reasoning] = c.reasoning
	return u
}

// take moves up to n tokens out of rest, so that figures that do not fit together still add up to the total.
func take(rest *int64, n int64) int64 {
	n = min(n, *rest)
	*rest -= n
	return n
}

// count reads a number of tokens into n. Anything else is skipped and leaves n as it is.
func (s *scanner) count(n *int64) {
	s.blank()
	start := s.pos
	if !s.skip() {
		return
	}
	if value, ok := count(s.buf[start:s.pos]); ok {
		*n = value
	}
}
