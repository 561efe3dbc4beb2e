package config

import (
	"strconv"
	"strings"
)

// Trace says of which requests the decisions of policies are kept, with all that they rest on.
type Trace struct {
	Share   int   // of all requests, in parts per million; 0: of none, which is the default
	MaxSize int64 // bytes of all traces, of which the oldest go first; default 256 MiB
}

// Everything is the share of all requests.
const Everything = 1_000_000

// The modes of a trace, the share of one that names none, and how much of them is kept.
const (
	traceOff         = "off"
	traceSampled     = "sampled"
	traceAll         = "all"
	defaultShare     = Everything / 100
	defaultTraceSize = 256 << 20
	minTraceSize     = 8 << 20
)

func defaultTrace() Trace { return Trace{MaxSize: defaultTraceSize} }

func (l *loading) trace(v value) {
	trace := &l.snapshot.Trace
	mode, share := "", 0
	v.object([]field{
		required("mode", func(v value) {
			if mode, _ = v.choice(traceOff, traceSampled, traceAll); mode == traceSampled {
				share = defaultShare
			}
		}),
		optional("share", func(v value) {
			if mode != "" && mode != traceSampled {
				v.fail("is of mode: %s", traceSampled)
				return
			}
			share = v.share()
		}),
		optional("max_size", func(v value) { v.bytes(&trace.MaxSize, minTraceSize, maxSize) }),
	})
	if trace.Share = share; mode == traceAll {
		trace.Share = Everything
	}
}

// share reads a percentage, to four places behind the point, as parts per million.
func (v value) share() int {
	const perPercent, places = Everything / 100, 4
	s, ok := v.plain()
	if !ok {
		return 0
	}
	number, found := strings.CutSuffix(s, "%")
	whole, rest, _ := strings.Cut(strings.TrimSpace(number), ".")
	if len(rest) <= places {
		n, err := strconv.ParseUint(whole, 10, 8)
		part, partErr := strconv.ParseUint(rest+strings.Repeat("0", places-len(rest)), 10, 32)
		if millionths := int(n)*perPercent + int(part); found && err == nil && partErr == nil && millionths > 0 && millionths <= Everything {
			return millionths
		}
	}
	v.fail("must be a percentage from 0.0001%% to 100%%, such as 1%%")
	return 0
}
