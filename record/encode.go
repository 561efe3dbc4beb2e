package record

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/sallyport-dev/sallyport/abi"
)

// AppendJSON appends the record to dst as one JSON object without white space. Names are stable and carry their unit;
// texts that are empty, figures of usage that are zero and a cost that is unknown are left out, everything else is
// always there. Durations are cut to microseconds. It allocates nothing if dst has room: every exchange passes here.
//
//	{"id":"req_…","time":"2026-11-21T08:15:30.5Z",…,"status":200,"outcome":"served",
//	 "usage":{"input":12,"output":7},"usage_source":"authoritative","cost_nano_usd":4100,…,"duration_us":1840000}
func AppendJSON(dst []byte, r *Record) []byte {
	e := encoder{append(dst, '{')}
	e.text("id", r.ID)
	e.name("time")
	e.buf = append(e.buf, '"')
	e.buf = r.Time.UTC().AppendFormat(e.buf, time.RFC3339Nano)
	e.buf = append(e.buf, '"')
	e.text("key_id", r.KeyID)
	e.text("key", r.Key)
	e.text("team", r.Team)
	e.text("client_address", r.ClientAddress)
	e.text("format", r.Format)
	e.text("operation", r.Operation)
	e.text("model", r.Model)
	e.text("chain", r.Chain)
	e.name("stream")
	e.buf = strconv.AppendBool(e.buf, r.Stream)
	e.attempts(r.Attempts)
	e.text("provider", r.Provider)
	e.text("provider_model", r.ProviderModel)
	e.number("status", int64(r.Status))
	e.text("outcome", r.Outcome.String())
	e.text("error", r.Error)
	e.text("cause", r.Cause)
	e.dimensions("usage", (*[abi.NumDimensions]int64)(&r.Usage))
	e.text("usage_source", r.UsageSource.String())
	e.cost(r)
	if r.Booked != 0 {
		e.number("booked_nano_usd", int64(r.Booked))
	}
	e.mark("overrun", r.Overrun)
	e.mark("unbooked", r.Unbooked)
	if r.Malformed != 0 {
		e.number("malformed_events", int64(r.Malformed))
	}
	e.policies(&r.Policies)
	e.number("first_byte_us", r.FirstByte.Microseconds())
	e.number("duration_us", r.Duration.Microseconds())
	e.number("upstream_us", r.Upstream.Microseconds())
	return append(e.buf, '}')
}

// encoder appends members to the JSON object or array that is open at the end of buf.
type encoder struct{ buf []byte }

// separate writes the comma that a further member or element needs.
func (e *encoder) separate() {
	if last := e.buf[len(e.buf)-1]; last != '{' && last != '[' {
		e.buf = append(e.buf, ',')
	}
}

// name begins a member. Names are ours and need no escaping.
func (e *encoder) name(name string) {
	e.separate()
	e.buf = append(e.buf, '"')
	e.buf = append(e.buf, name...)
	e.buf = append(e.buf, '"', ':')
}

func (e *encoder) number(name string, v int64) {
	e.name(name)
	e.buf = strconv.AppendInt(e.buf, v, 10)
}

// mark writes what is true, and leaves out what is not.
func (e *encoder) mark(name string, v bool) {
	if v {
		e.name(name)
		e.buf = append(e.buf, "true"...)
	}
}

func (e *encoder) text(name, v string) {
	if v == "" {
		return
	}
	e.name(name)
	e.buf = appendQuoted(e.buf, v)
}

func (e *encoder) attempts(attempts []Attempt) {
	if len(attempts) == 0 {
		return
	}
	e.name("attempts")
	e.buf = append(e.buf, '[')
	for i := range attempts {
		a := &attempts[i]
		e.separate()
		e.buf = append(e.buf, '{')
		e.text("step", a.Step)
		e.text("provider", a.Provider)
		e.text("model", a.Model)
		if a.Credential > 0 {
			e.number("credential", int64(a.Credential))
		}
		e.text("reason", a.Reason)
		e.text("class", a.Class.String())
		e.number("status", int64(a.Status))
		e.text("error", a.Error)
		if a.Basis != "" {
			e.number("reserved_nano_usd", int64(a.Reserved))
			e.number("cost_nano_usd", int64(a.Cost))
			e.text("basis", a.Basis)
		}
		e.number("start_us", a.Start.Microseconds())
		e.number("duration_us", a.Duration.Microseconds())
		e.buf = append(e.buf, '}')
	}
	e.buf = append(e.buf, ']')
}

// dimensions writes the figures that are not zero, by the dimension's name; nothing if all are.
func (e *encoder) dimensions(name string, figures *[abi.NumDimensions]int64) {
	if *figures == [abi.NumDimensions]int64{} {
		return
	}
	e.name(name)
	e.buf = append(e.buf, '{')
	for d, v := range figures {
		if v != 0 {
			e.number(abi.Dimension(d).String(), v)
		}
	}
	e.buf = append(e.buf, '}')
}

func (e *encoder) cost(r *Record) {
	if !r.Priced {
		return
	}
	e.number("cost_nano_usd", int64(r.Cost))
	var figures [abi.NumDimensions]int64
	for d, v := range r.Breakdown {
		figures[d] = int64(v)
	}
	e.dimensions("breakdown_nano_usd", &figures)
}

func (e *encoder) policies(policies *[abi.NumHooks]string) {
	if *policies == [abi.NumHooks]string{} {
		return
	}
	e.name("policies")
	e.buf = append(e.buf, '{')
	for h, policy := range policies {
		e.text(abi.Hook(h).String(), policy)
	}
	e.buf = append(e.buf, '}')
}

const hexDigits = "0123456789abcdef"

// appendQuoted appends s as a JSON string. What is not UTF-8 becomes U+FFFD, as encoding/json has it.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[start:i]...)
				dst = append(dst, "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			dst = append(dst, s[start:i]...)
			dst = appendEscaped(dst, c)
			start = i + 1
		}
		i++
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	default:
		return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
}
