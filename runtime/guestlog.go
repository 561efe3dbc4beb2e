package runtime

import (
	"log/slog"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-dev/sallyport/abi"
)

// MaxLogLine is how many bytes of a line that a guest logs are kept.
const MaxLogLine = 1 << 10

// maxLogLines is how many lines a guest may log in one call.
const maxLogLines = 16

// logLevels are slog's levels by those of the contract.
var logLevels = [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// WriteLog logs a line of the guest's, which the caller has cut at MaxLogLine. Lines beyond the cap of the call are
// refused, and what could deceive a reader of the log is escaped.
func (c *Call) WriteLog(level int32, text []byte) abi.Code {
	if level < 0 || int(level) >= len(logLevels) {
		return abi.BadArgument
	}
	if c.logLines == maxLogLines {
		return abi.OverQuota
	}
	c.logLines++
	making := c.Hook == abi.NumHooks
	if making {
		c.lastLine = printable(text)
	}
	if !c.log.Enabled(c.in, logLevels[level]) {
		return abi.OK
	}
	hook := c.Hook.String()
	if making {
		hook = "init"
	}
	c.log.Log(c.in, logLevels[level], "a policy says", "policy", c.Policy, "hook", hook, "line", printable(text), "request_id", c.requestID())
	return abi.OK
}

// LogLevel returns the lowest level of which lines are kept; one above abi.LogError if none are.
func (c *Call) LogLevel() int32 {
	level := int32(0)
	for int(level) < len(logLevels) && !c.log.Enabled(c.in, logLevels[level]) {
		level++
	}
	return level
}

// requestID names the request that the call is about, for the log.
func (c *Call) requestID() string {
	if c.Request == nil {
		return ""
	}
	return string(c.Request.ID)
}

// printable is a guest's text as it may stand in a log or an error: broken UTF-8 and everything that is not
// printable is escaped as in a Go string, so that no guest can forge a line or steer a terminal.
func printable(text []byte) string {
	out := make([]byte, 0, len(text))
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case r == utf8.RuneError && size == 1:
			out = append(out, `\x`...)
			out = strconv.AppendUint(out, uint64(text[0]), 16) // always two digits: bytes below 0x80 are valid
		case unicode.IsPrint(r):
			out = append(out, text[:size]...)
		default:
			quoted := strconv.AppendQuoteRune(nil, r)
			out = append(out, quoted[1:len(quoted)-1]...)
		}
		text = text[size:]
	}
	return string(out)
}

// isPrintable reports whether text is UTF-8 of printable characters only.
func isPrintable(text []byte) bool {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			return false
		}
		text = text[size:]
	}
	return true
}
