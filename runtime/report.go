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

// reporter logs the failures of one policy.
type reporter struct {
	log        *slog.Logger
	policy     string
	last       atomic.Pointer[time.Time] // when a failure was logged last
	suppressed atomic.Int64              // failures since then
}

// report logs a failure, or counts it for the next report.
func (r *reporter) report(hook, request string, failed *failedCall) {
	now := time.Now()
	last := r.last.Load()
	if last != nil && now.Sub(*last) < reportEvery || !r.last.CompareAndSwap(last, &now) {
		r.suppressed.Add(1)
		return
	}
	r.log.Error("a policy failed", "policy", r.policy, "hook", hook, "reason", failed.failure.String(),
		"cause", onOneLine(failed.cause), "request_id", request, "not_logged", r.suppressed.Swap(0))
}

// onOneLine puts wazero's stack traces on one line, innermost function first. The names in it are the guest's.
func onOneLine(cause error) string {
	text := []byte(strings.NewReplacer("\n\t", " < ", "\n", "; ").Replace(cause.Error()))
	return printable(text[:min(len(text), maxCause)])
}
