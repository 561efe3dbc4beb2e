package runtime

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

// reportEvery is how often the failures of one policy are logged. A policy that fails on every request would
// otherwise write the log full, and its guest chooses what stands in there.
const reportEvery = time.Second

// maxCause cuts the cause of a failure, which holds the guest's stack, in bytes.
const maxCause = 4 << 10

// reporter logs the failures of one policy, and that its memory grew too much.
type reporter struct {
	log      *slog.Logger
	policy   string
	failures throttle
	growths  throttle
	shadows  throttle
}

// throttle lets one line through in reportEvery.
type throttle struct {
	last       atomic.Pointer[time.Time] // when a line was let through last
	suppressed atomic.Int64              // lines since then
}

// admit answers whether a line may be logged now, and how many were not since the last one.
func (t *throttle) admit() (suppressed int64, ok bool) {
	now := time.Now()
	last := t.last.Load()
	if last != nil && now.Sub(*last) < reportEvery || !t.last.CompareAndSwap(last, &now) {
		t.suppressed.Add(1)
		return 0, false
	}
	return t.suppressed.Swap(0), true
}

// report logs a failure, or counts it for the next report. Everything that is known of it is on one line, also what
// the guest printed about it: a panic's text is worth nothing without its call.
func (r *reporter) report(hook, request string, failed *failedCall) {
	suppressed, ok := r.failures.admit()
	if !ok {
		return
	}
	r.log.Error("a policy failed", "policy", r.policy, "hook", hook, "reason", failed.failure.String(),
		"cause", onOneLine(failed.cause.Error()), "said", onOneLine(failed.said), "request_id", request, "not_logged", suppressed)
}

// reportGrowth logs that an instance was replaced because of its memory.
func (r *reporter) reportGrowth(hook, request string, bytes uint32) {
	if suppressed, ok := r.growths.admit(); ok {
		r.log.Warn("a policy's memory grew by more than half of limits.memory: the instance was replaced", "policy", r.policy,
			"hook", hook, "bytes", bytes, "request_id", request, "not_logged", suppressed)
	}
}

// reportShadow logs that a shadow policy would have decided otherwise.
func (r *reporter) reportShadow(hook, request, would, decided string) {
	if suppressed, ok := r.shadows.admit(); ok {
		r.log.Warn("a shadow policy would have decided otherwise", "policy", r.policy, "hook", hook, "would", would,
			"decided", decided, "request_id", request, "not_logged", suppressed)
	}
}

// onOneLine puts a stack trace, wazero's or a guest's, on one line, innermost function first, each with the lines of its
// source behind it if they are known. What it says is the guest's choice.
func onOneLine(trace string) string {
	trace = trace[:min(len(trace), maxCause)]
	text := []byte(strings.NewReplacer("\n\n", "; ", "\n\t\t", " @ ", "\n\t", " < ", "\n", "; ").Replace(strings.TrimSpace(trace)))
	return printable(text[:min(len(text), maxCause)])
}
