package formats

import (
	"strconv"
	"time"
)

// RateLimit is the state of one limit, for the headers that tell of it.
type RateLimit struct {
	Limit     int64 // how much is granted; 0: there is no limit, and no header
	Remaining int64 // what is left of it; below 0 is told as 0
	Reset     time.Duration
}

// RateLimits are the limits of a request's caller: of several on one thing, the tightest.
type RateLimits struct{ Requests, Tokens, InputTokens, OutputTokens RateLimit }

// resetStyle is how a header writes when a limit is full again.
type resetStyle uint8

const (
	inSeconds  resetStyle = iota // 90
	asDuration                   // 1m30s
	asTime                       // 2026-01-31T12:00:00Z
)

// headerNames are the three headers of one limit.
type headerNames struct {
	limit, remaining, reset string
	style                   resetStyle
}

var (
	standardHeaders = headerNames{"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", inSeconds}

	openAIRequests = headerNames{
		"x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", asDuration}
	openAITokens = headerNames{
		"x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", asDuration}

	anthropicRequests = headerNames{
		"anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset", asTime}
	anthropicTokens = headerNames{
		"anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset", asTime}
	anthropicInputTokens = headerNames{
		"anthropic-ratelimit-input-tokens-limit", "anthropic-ratelimit-input-tokens-remaining",
		"anthropic-ratelimit-input-tokens-reset", asTime}
	anthropicOutputTokens = headerNames{
		"anthropic-ratelimit-output-tokens-limit", "anthropic-ratelimit-output-tokens-remaining",
		"anthropic-ratelimit-output-tokens-reset", asTime}
)

// SetRateLimits calls set for each header that tells a client of its limits:
//
//   - RateLimit-Limit, RateLimit-Remaining and RateLimit-Reset (whole seconds, rounded up) of the limit on requests or,
//     where there is none, of the tightest one on tokens;
//   - the dialect's own. anthropic: anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,
//     reset}, the reset as a time in RFC 3339. openai, and gemini, which has none of its own:
//     x-ratelimit-{limit,remaining,reset}-{requests,tokens}, the reset as in "6m0s" or "120ms"; tokens are those of the
//     tightest limit on tokens.
//
// A limit that is not set has no headers. Reset is how long until the limit is full again, counted from now. The value
// is valid only during the call; with 32 bytes of room in buf nothing is allocated.
func SetRateLimits(f Format, l *RateLimits, now time.Time, buf []byte, set func(name string, value []byte)) {
	tokens := l.tightestTokens()
	if l.Requests.Limit > 0 {
		l.Requests.set(&standardHeaders, now, buf, set)
	} else {
		tokens.set(&standardHeaders, now, buf, set)
	}
	if f == Anthropic {
		l.Requests.set(&anthropicRequests, now, buf, set)
		l.Tokens.set(&anthropicTokens, now, buf, set)
		l.InputTokens.set(&anthropicInputTokens, now, buf, set)
		l.OutputTokens.set(&anthropicOutputTokens, now, buf, set)
		return
	}
	l.Requests.set(&openAIRequests, now, buf, set)
	tokens.set(&openAITokens, now, buf, set)
}

// tightestTokens is the limit on tokens of which the least is left.
func (l *RateLimits) tightestTokens() *RateLimit {
	tightest := &l.Tokens
	for _, other := range [...]*RateLimit{&l.InputTokens, &l.OutputTokens} {
		if other.Limit > 0 && (tightest.Limit <= 0 || other.Remaining < tightest.Remaining) {
			tightest = other
		}
	}
	return tightest
}

func (r *RateLimit) set(names *headerNames, now time.Time, buf []byte, set func(name string, value []byte)) {
	if r.Limit <= 0 {
		return
	}
	set(names.limit, strconv.AppendInt(buf[:0], r.Limit, 10))
	set(names.remaining, strconv.AppendInt(buf[:0], max(r.Remaining, 0), 10))
	reset := max(r.Reset, 0)
	switch names.style {
	case asTime:
		set(names.reset, now.Add(roundUp(reset, time.Second)).UTC().AppendFormat(buf[:0], time.RFC3339))
	case asDuration:
		set(names.reset, appendDuration(buf[:0], roundUp(reset, time.Millisecond)))
	default:
		set(names.reset, strconv.AppendInt(buf[:0], int64(roundUp(reset, time.Second)/time.Second), 10))
	}
}

// roundUp rounds up, so that nobody who waits as long as told comes too early.
func roundUp(d, unit time.Duration) time.Duration {
	if rest := d % unit; rest > 0 {
		return d - rest + unit
	}
	return d
}

// appendDuration appends whole milliseconds as time.Duration's String has them, which allocates.
func appendDuration(dst []byte, d time.Duration) []byte {
	if d > 0 && d < time.Second {
		return append(strconv.AppendInt(dst, d.Milliseconds(), 10), "ms"...)
	}
	if d >= time.Hour {
		dst = append(strconv.AppendInt(dst, int64(d/time.Hour), 10), 'h')
	}
	if d >= time.Minute {
		dst = append(strconv.AppendInt(dst, int64(d%time.Hour/time.Minute), 10), 'm')
	}
	dst = strconv.AppendInt(dst, int64(d%time.Minute/time.Second), 10)
	if ms := d % time.Second / time.Millisecond; ms > 0 {
		fraction := [...]byte{'.', byte('0' + ms/100), byte('0' + ms/10%10), byte('0' + ms%10)}
		end := len(fraction)
		for fraction[end-1] == '0' {
			end--
		}
		dst = append(dst, fraction[:end]...)
	}
	return append(dst, 's')
}
