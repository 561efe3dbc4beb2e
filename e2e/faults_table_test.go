//go:build e2e

package e2e

import (
	"github.com/sallyport-dev/sallyport/internal/testutil/faults"
)

// got is what a client is given.
type got uint8

const (
	gotWhole    got = iota // the whole answer, once, with its end mark
	gotUnmarked            // the whole answer, without the end mark that the provider did not send
	gotNothing             // a good answer that has its end mark and no content
	gotCut                 // the first part, then an error of the gateway's own, and no end mark
	gotTold                // the first part, then the provider's error, and no end mark
	gotPassed              // the provider's refusal, in its own words
	gotFailure             // the gateway's own
)

// fate is the one declared outcome of a behaviour, seen from both sides.
type fate struct {
	got      got
	status   int    // 0: 200
	code     string // of the gateway's own failure
	attempts string // what the record says of the step: their classes, as a regular expression
	sends    int    // whole requests that the provider saw

	moves     bool   // with a second step, that one answers
	nextSends int    // the provider then saw so many; 0: as many as without
	next      string // what the record then says of the first step; "": as without

	complete *fate // with commit: complete, if that makes a difference
}

var (
	answered = fate{attempts: "none", sends: 1}
	unmarked = fate{got: gotUnmarked, attempts: "none", sends: 1}
	nothing  = fate{got: gotNothing, attempts: "none", sends: 1}
	again    = fate{attempts: "transient none", sends: 2}

	notSent    = fate{got: gotFailure, status: 502, code: "upstream_error", attempts: "not_sent( not_sent)?", moves: true}
	ambiguous  = fate{got: gotFailure, status: 504, code: "upstream_timeout", attempts: "ambiguous", sends: 1, moves: true}
	brokeOff   = fate{got: gotFailure, status: 502, code: "upstream_error", attempts: "ambiguous", sends: 1, moves: true} // after its head
	credential = fate{got: gotFailure, status: 502, code: "upstream_auth", attempts: "bad_credential", sends: 1, moves: true}

	limitedOnce   = fate{attempts: "rate_limited none", sends: 2, moves: true, nextSends: 1, next: "rate_limited"}
	limitedAlways = fate{got: gotFailure, status: 429, code: "upstream_rate_limited", attempts: "rate_limited rate_limited", sends: 2, moves: true, nextSends: 1, next: "rate_limited"}
	limitedLong   = fate{got: gotFailure, status: 429, code: "upstream_rate_limited", attempts: "rate_limited", sends: 1, moves: true}

	interrupted = fate{got: gotCut, attempts: "none|ambiguous", sends: 1, complete: &brokeOff}
	passedOver  = fate{attempts: "none", sends: 1, complete: &brokeOff}
	toldInBand  = fate{got: gotTold, attempts: "none|ambiguous|transient", sends: 1, complete: &failing}
	failing     = transient(502)
)

// transient is a step that always fails so that it is tried again.
func transient(status int) fate {
	return fate{got: gotFailure, status: status, code: "upstream_error", attempts: "transient transient", sends: 2, moves: true}
}

// passed is a rejection for good.
func passed(status int, class string) fate {
	return fate{got: gotPassed, status: status, attempts: class, sends: 1}
}

// row is a behaviour and its fates: in an answer that is not streamed, and in a stream.
type row struct {
	name          string
	whole, stream fate
	except        map[faults.API]fate // of streams
	then          *fate               // of the second request, if that is another's
}

// both is a row of a behaviour that makes no difference between the two.
func both(name string, f fate) row {
	return row{name: name, whole: f, stream: f}
}

// declared is the contract of docs/failures.md, for every behaviour there is.
var declared = []row{
	both("refuses", notSent),
	both("unanswered", notSent),
	both("never-reads", notSent),
	both("stalls-in-request", notSent),
	both("reset-at-accept", notSent),
	both("fin-at-accept", notSent),
	both("reset-in-request", notSent),
	both("fin-in-request", notSent),
	both("refuses-early", fate{got: gotPassed, status: 413, attempts: "rejected"}),
	both("reads-slowly", answered),
	both("answers-early", fate{attempts: "none"}),

	both("reset-before-head", ambiguous),
	both("fin-before-head", ambiguous),
	both("silent", ambiguous),
	both("late", answered),
	both("too-late", ambiguous),
	both("fin-in-status", ambiguous),
	both("fin-in-head", ambiguous),
	both("reset-in-head", ambiguous),
	both("stalls-in-head", ambiguous),
	both("slow-head", answered),
	both("endless-head", ambiguous),
	both("long-line", answered),
	both("huge-line", ambiguous),
	both("not-http", ambiguous),
	both("tls-alert", ambiguous),
	both("strange-status", ambiguous),
	both("interim", answered),
	both("interim-hints", answered),
	both("interim-some", answered),
	both("interim-storm", ambiguous),
	both("interim-forever", ambiguous),
	both("switches", ambiguous),
	both("redirect-301", transient(502)),
	both("redirect-307", transient(502)),
	both("gzip-rubbish", brokeOff),

	both("429-seconds-once", limitedOnce),
	both("429-ms-once", limitedOnce),
	both("429-date-once", limitedOnce),
	both("429-retryinfo-once", limitedOnce),
	both("429-once", limitedOnce),
	both("429-always", limitedAlways),
	both("429-seconds", limitedAlways),
	both("429-bare", limitedAlways),
	both("429-long", limitedLong),
	both("429-long-retryinfo", limitedLong),
	both("500-once", again),
	both("502-once", again),
	both("503-once", again),
	both("529-once", again),
	both("408-once", again),
	both("409-once", again),
	both("500", transient(502)),
	both("502", transient(502)),
	both("503", transient(503)),
	both("529", transient(503)),
	both("408", transient(502)),
	both("409", transient(502)),
	both("503-twice", transient(503)),
	both("504", ambiguous),
	both("400", passed(400, "rejected")),
	both("405", passed(405, "rejected")),
	both("413", passed(413, "rejected")),
	both("422", passed(422, "rejected")),
	both("404", passed(404, "rejected")),
	both("401", credential),
	both("402", credential),
	both("403", credential),
	both("quota-spent", credential),
	both("credit-spent", credential),
	both("key-invalid", credential),
	both("context-length", fate{got: gotPassed, status: 400, attempts: "context_length", sends: 1, moves: true}),
	both("content-policy", passed(400, "content_policy")),
	both("model-not-found", passed(404, "model_not_found")),

	both("reset-after-head", brokeOff),
	both("fin-after-head", brokeOff),
	both("stalls-after-head", brokeOff),
	both("reset-before-content", brokeOff),
	both("fin-before-content", brokeOff),
	both("stalls-before-content", brokeOff),
	both("ends-before-content", brokeOff),
	{name: "cut-after-40", whole: brokeOff, stream: interrupted},
	{name: "reset-after-40", whole: brokeOff, stream: interrupted},
	{name: "half-closes-after-40", whole: brokeOff, stream: interrupted},
	{name: "stalls-after-40", whole: brokeOff, stream: interrupted},
	{name: "ends-after-40", whole: brokeOff, stream: interrupted},
	{name: "cut-in-event", whole: brokeOff, stream: interrupted},
	both("malformed-first", brokeOff),
	{name: "malformed-tenth", whole: brokeOff, stream: passedOver, except: map[faults.API]fate{faults.GeminiArray: interrupted}},
	{name: "no-sentinel", stream: unmarked, except: map[faults.API]fate{faults.Responses: interrupted}},
	{name: "no-sentinel-fin", stream: unmarked, except: map[faults.API]fate{faults.Responses: interrupted}},
	{name: "no-sentinel-open", stream: unmarked, except: map[faults.API]fate{faults.Responses: interrupted}},
	both("stays-open", answered),
	both("end-mark-only", nothing),

	both("well", answered),
	both("error-first", transient(502)),
	both("error-first-once", again),
	both("overloaded-first", transient(503)),
	both("error-behind-opening", transient(502)),
	both("error-tenth", toldInBand),
	both("error-body-200", transient(502)),
	both("empty", brokeOff),
	both("html", brokeOff),
	both("json-for-stream", answered),
	{name: "stream-for-json", whole: brokeOff, stream: answered},
	both("comments-first", answered),
	both("comments-only", brokeOff),
	both("bytewise", answered),
	both("slow", answered),
	both("huge-event", answered),
	both("oversized-event", interrupted),
	both("oversized-first", brokeOff),

	{name: "length-short", whole: brokeOff, stream: interrupted},
	{name: "length-long", whole: brokeOff, stream: answered},
	{name: "length-long-open", whole: brokeOff, stream: answered},
	both("trailers", answered),
	{name: "no-last-chunk", whole: brokeOff, stream: answered},
	both("chunk-extensions", answered),
	both("chunk-rubbish-first", brokeOff),
	{name: "chunk-rubbish-late", whole: brokeOff, stream: interrupted},
	both("http10", answered),
	{name: "http10-cut", whole: brokeOff, stream: interrupted},
	both("close-delimited", answered),
	both("connection-close", answered),

	both("double-answer", answered),
	both("extra-answer-later", answered),
	both("extra-bytes", answered),
	both("fin-when-idle", answered),
	both("reset-when-idle", answered),
	{name: "dies-on-reuse", whole: answered, stream: answered, then: &ambiguous},
}
