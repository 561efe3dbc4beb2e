package runtime

import (
	"bytes"

	"github.com/sallyport-dev/sallyport/abi"
)

// maxStandardError is how much of what a guest writes to standard error in one call is kept, in bytes. The rest is
// dropped: a panic says what is the matter before it lists the stack.
const maxStandardError = 4 << 10

// maxStandardOutput is how much of what a guest writes to standard output in one call is read, in bytes. It is room for
// all lines that are logged; without it, a gigabyte of empty ones would be read to its end.
const maxStandardOutput = maxLogLines * (MaxLogLine + 1)

// writeOutput logs what a guest prints to standard output, line by line. A line longer than the cap is split.
func (c *Call) writeOutput(b []byte) {
	b = b[:min(len(b), maxStandardOutput-c.printed)]
	c.printed += len(b)
	for len(b) > 0 && c.logLines < maxLogLines {
		chunk := b[:min(len(b), MaxLogLine-len(c.line))]
		end := bytes.IndexByte(chunk, '\n')
		if end >= 0 {
			chunk = chunk[:end]
		}
		c.line = append(c.line, chunk...)
		b = b[len(chunk):]
		if end >= 0 {
			b = b[1:]
		}
		if end >= 0 || len(c.line) == MaxLogLine {
			c.flushLine(abi.LogInfo)
		}
	}
}

// writeError keeps what a guest prints to standard error until the call ends. Only then is it known whether these
// are remarks or the reason of a failure, which belongs into the line that tells of it.
func (c *Call) writeError(b []byte) {
	c.said = append(c.said, b[:min(len(b), maxStandardError-len(c.said))]...)
}

// takeSaid returns what the guest printed to standard error, and forgets it.
func (c *Call) takeSaid() string {
	said := string(c.said)
	c.said = c.said[:0]
	return said
}

// flushStreams logs what is left of both streams when a call ends.
func (c *Call) flushStreams() {
	if len(c.line)+len(c.said) == 0 {
		return
	}
	c.flushLine(abi.LogInfo)
	for line := range bytes.Lines(c.said) {
		c.line = append(c.line, bytes.TrimSuffix(line, []byte("\n"))...)
		c.flushLine(abi.LogWarn)
	}
	c.said = c.said[:0]
}

// flushLine logs an unfinished line.
func (c *Call) flushLine(level int32) {
	if len(c.line) == 0 {
		return
	}
	c.WriteLog(level, c.line[:min(len(c.line), MaxLogLine)])
	c.line = c.line[:0]
}
