package config

import (
	"regexp"
	"time"
)

// Timeouts bound one attempt; Total the whole exchange. First byte, first content and gap are per read, so that a long
// healthy stream lives.
type Timeouts struct {
	Connect      time.Duration // TCP connect; default 3s
	TLS          time.Duration // TLS handshake; default 5s
	FirstByte    time.Duration // from the whole request written to the answer's first byte; default 60s, or 5m
	FirstContent time.Duration // from the whole request written to the first content of a stream; default 60s, or 5m
	Gap          time.Duration // between two reads of the answer's body; default 60s, or 5m
	Total        time.Duration // from the exchange's start to the answer's last byte, all attempts together; default 15m
}

// Patience is how long a step is waited for.
type Patience struct {
	Streamed Timeouts // by a client that is shown the answer as it is made
	Whole    Timeouts // by one that gets it when it is finished: its first byte comes as late as another's last
}

const (
	patient     = time.Minute     // for an answer that is shown as it is made
	veryPatient = 5 * time.Minute // for one that is thought about, or made, before any of it is shown
)

// patience completes what the file says, the nearest to the step first.
func patience(reasoning bool, stated ...Timeouts) Patience {
	complete := func(silence time.Duration) Timeouts {
		t := Timeouts{}
		for _, s := range stated {
			t.fill(s)
		}
		t.fill(Timeouts{
			Connect: 3 * time.Second, TLS: 5 * time.Second,
			FirstByte: silence, FirstContent: silence, Gap: silence, Total: 15 * time.Minute,
		})
		return t
	}
	p := Patience{Streamed: complete(patient), Whole: complete(veryPatient)}
	if reasoning {
		p.Streamed = p.Whole
	}
	return p
}

// fill takes from other what t does not say.
func (t *Timeouts) fill(other Timeouts) {
	for _, f := range []struct{ to, from *time.Duration }{
		{&t.Connect, &other.Connect}, {&t.TLS, &other.TLS}, {&t.FirstByte, &other.FirstByte},
		{&t.FirstContent, &other.FirstContent}, {&t.Gap, &other.Gap}, {&t.Total, &other.Total},
	} {
		if *f.to == 0 {
			*f.to = *f.from
		}
	}
}

// Bounds of timeouts.
const (
	minTimeout = time.Millisecond
	maxTimeout = 24 * time.Hour
)

func (v value) timeouts(t *Timeouts) {
	span := func(name string, target *time.Duration) field {
		return optional(name, func(v value) { v.duration(target, minTimeout, maxTimeout) })
	}
	v.object([]field{
		span("connect", &t.Connect),
		span("tls", &t.TLS),
		span("first_byte", &t.FirstByte),
		span("first_content", &t.FirstContent),
		span("gap", &t.Gap),
		span("total", &t.Total),
	})
}

// reasoningNames are the names of models that think before they write. It only decides how long a model is waited for
// where the file does not say, so a name that is missing here costs a timeout, and one too many a late one.
var reasoningNames = regexp.MustCompile(`(?i)(^|[/.:-])(o[1-9]($|-)|gpt-5|gpt-oss|qwq|magistral|grok-[3-9].*reason)|reason|think|(^|[/-])r1($|-)|deep-?research|gemini-(2\.5|[3-9])`)

// reasons guesses from its name whether a model thinks before it writes.
func reasons(model string) bool { return reasoningNames.MatchString(model) }
