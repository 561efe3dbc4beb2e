package host

import (
	"context"
	"log/slog"
	"strings"
	"sync"
)

// journal keeps what the runtime logs: the policy's own lines, with the level in front unless it is info, and why it failed
// last.
type journal struct {
	mu      sync.Mutex
	lines   []string
	failure string
}

// Enabled implements slog.Handler.
func (j *journal) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler.
func (j *journal) WithAttrs([]slog.Attr) slog.Handler { return j }

// WithGroup implements slog.Handler.
func (j *journal) WithGroup(string) slog.Handler { return j }

// Handle implements slog.Handler.
func (j *journal) Handle(_ context.Context, r slog.Record) error {
	attributes := map[string]string{}
	r.Attrs(func(a slog.Attr) bool {
		attributes[a.Key] = a.Value.String()
		return true
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	line, isLine := attributes["line"]
	reason, isFailure := attributes["reason"]
	switch {
	case isLine && r.Level != slog.LevelInfo:
		j.lines = append(j.lines, r.Level.String()+" "+line)
	case isLine:
		j.lines = append(j.lines, line)
	case isFailure && attributes["pause"] == "": // that it is taken out comes after why
		j.failure = explain(reason, attributes["cause"], attributes["said"])
	}
	return nil
}

// explain writes a failure as people want to read it: each function of the guest on a line of its own, the innermost first.
func explain(reason, cause, said string) string {
	text := reason + ": " + strings.NewReplacer(" < ", "\n    at ", "; ", "\n  ").Replace(cause)
	if said != "" {
		text += "\n  it printed: " + strings.ReplaceAll(said, "; ", "\n    ")
	}
	return text
}

// take returns what was logged and why the policy failed, and forgets both.
func (j *journal) take() (lines []string, failure string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines, failure = j.lines, j.failure
	j.lines, j.failure = nil, ""
	return lines, failure
}

var _ slog.Handler = (*journal)(nil)
