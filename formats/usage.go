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
	cachedAudio          int64 // of audioInput and of cacheRead
	imageOutput          int64
	reasoning            int64
	toolInput            int64 // gemini: beside input
	toolAudio            int64 // of toolInput
}

// openAI: the input includes cached, written and audio tokens, the output includes audio, images, reasoning and
// predictions, accepted or not. Its two lifetimes of a cache are other ones, but a shorter and a longer one as well.
func (c *counts) openAI() (u abi.Usage) {
	rest := c.input
	c.takeCached(&rest, &u)
	u[abi.CacheWrite1h] = take(&rest, min(c.write1h, c.cacheWrite))
	u[abi.CacheWrite5m] = take(&rest, c.cacheWrite-u[abi.CacheWrite1h])
	u[abi.AudioInput] = take(&rest, max(0, c.audioInput-u[abi.CacheReadAudio]))
	u[abi.Input] = rest
	rest = c.output
	// Some compatible providers count reasoning beside the output. The total gives them away.
	if c.reasoning > 0 && c.total >= c.input+c.output+c.reasoning {
		rest += c.reasoning
	}
	u[abi.Reasoning] = take(&rest, c.reasoning)
	u[abi.AudioOutput] = take(&rest, c.audioOutput)
	u[abi.ImageOutput] = take(&rest, c.imageOutput)
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

// unsaid is a count that a usage object left out.
const unsaid = -1

// sayInput takes over what a later usage object says of the input. One that says nothing but zeros does not know it:
// some servers end a stream with a usage object that is filled in for the output only.
func (c *counts) sayInput(said *counts) {
	figures := [...]struct{ old, said *int64 }{
		{&c.input, &said.input}, {&c.cacheRead, &said.cacheRead}, {&c.cacheWrite, &said.cacheWrite},
		{&c.write5m, &said.write5m}, {&c.write1h, &said.write1h},
	}
	known := false
	for _, f := range figures {
		known = known || *f.said > 0
	}
	for _, f := range figures {
		if known && *f.said != unsaid {
			*f.old = *f.said
		}
	}
}

// gemini: the input includes cached and audio tokens but not those of tools, which may be audio too; the output
// includes audio and images but not thoughts.
func (c *counts) gemini() (u abi.Usage) {
	rest := c.input + c.toolInput
	c.takeCached(&rest, &u)
	u[abi.AudioInput] = take(&rest, max(0, c.audioInput-u[abi.CacheReadAudio])+c.toolAudio)
	u[abi.Input] = rest
	rest = c.output
	u[abi.AudioOutput] = take(&rest, c.audioOutput)
	u[abi.ImageOutput] = take(&rest, c.imageOutput)
	u[abi.Output] = rest
	u[abi.Reasoning] = c.reasoning
	return u
}

// takeCached moves what was read from a cache out of rest: audio apart, as far as both counts allow it.
func (c *counts) takeCached(rest *int64, u *abi.Usage) {
	u[abi.CacheReadAudio] = take(rest, min(c.cachedAudio, c.cacheRead))
	u[abi.CacheRead] = take(rest, c.cacheRead-u[abi.CacheReadAudio])
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
