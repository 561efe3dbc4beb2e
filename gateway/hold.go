package gateway

import (
	"errors"
	"time"

	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/gateway/upstream"
)

// maxOpening bounds what may come before the first content of a stream; with more, the stream is committed without.
const maxOpening = 256 << 10

var errMalformedEvent = errors.New("an event cannot be read")

// hold reads a stream as far as the chain wants to see it before the client does: up to its first content, or to its
// end. Whatever goes wrong until then, another step can take over unseen.
func (x *exchange) hold(status int) verdict {
	s := &x.stream
	s.begin()
	complete := x.chain.Commit == config.Complete
	limits := x.patience()
	contentBy := x.attempted.Add(limits.FirstContent)
	for !s.ended && (complete || !s.spoke) {
		switch {
		case x.meter.Complete(): // what is left is its end, for which advance has set the time
		case s.spoke:
			x.trip.SetGap(limits.Gap)
		default:
			x.trip.SetGap(min(limits.Gap, time.Until(contentBy)))
		}
		if err := s.advance(&s.held); err != nil {
			return x.heldBack(status, err)
		}
		if s.spoke && s.first {
			s.first = false
			x.underWay.FirstContent(time.Since(x.attempted))
		}
		switch {
		case !complete && len(s.held) > maxOpening:
			s.spoke = true
		case len(s.held) > maxAnswer:
			return lostAnswer(status, errTooLarge)
		case !x.room.take(cap(s.held)):
			return lostAnswer(status, errNoRoom)
		}
	}
	if !x.meter.Complete() {
		x.trip.SetGap(limits.Gap)
	}
	s.committed = true
	return verdict{status: status}
}

// heldBack is the verdict on a stream that failed while it was held. An error that it reports itself is what that
// error says; if it is one for the client, the stream is his as it stands.
func (x *exchange) heldBack(status int, err error) verdict {
	if !errors.Is(err, errInBand) {
		return lostAnswer(status, err)
	}
	v := x.inBand(x.stream.complaint)
	if x.answers(v, x.step) {
		x.stream.committed, x.stream.refused = true, true
		x.trip.SetGap(afterEnd)
		return verdict{status: status, class: v.class, err: v.err}
	}
	return v
}

// patience is how long the attempt's step is waited for by this client.
func (x *exchange) patience() *config.Timeouts {
	if x.streamed {
		return &x.step.Patience.Streamed
	}
	return &x.step.Patience.Whole
}

// timeouts are those of the round trip. What is left of the exchange's time bounds all of it.
func (x *exchange) timeouts() upstream.Timeouts {
	limits := x.patience()
	return upstream.Timeouts{
		Connect: limits.Connect, TLS: limits.TLS, Write: min(writeStall, limits.FirstByte), FirstByte: limits.FirstByte, Gap: limits.Gap,
		Total: min(limits.Total, time.Until(x.deadline)),
	}
}
