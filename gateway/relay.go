package gateway

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/gateway/upstream"
	"github.com/sallyport-dev/sallyport/record"
)

const (
	streamBuffer = 4 << 10         // first size of a stream's buffer
	maxEvent     = 8 << 20         // largest single event; larger ones count as cut
	afterEnd     = 2 * time.Second // how long a stream that has said its end may stay open
)

var errEventTooLarge = fmt.Errorf("an event is larger than %d MiB", maxEvent>>20)

// relay passes the answer on: a whole one is ready to be written, a stream is relayed as fasthttp writes it.
func (x *exchange) relay() *refusal {
	h := &x.trip.Header
	x.answer(h.StatusCode(), string(h.ContentType()))
	x.passHeaders()
	if x.framing == formats.Whole {
		x.giveBody()
		return nil
	}
	x.splitter.Reset(x.framing)
	x.ctx.Response.ImmediateHeaderFlush = true
	x.ctx.Response.SetBodyStream(&x.stream, -1) // from here on the exchange ends with the stream's Close
	return nil
}

// answerFraming is how this answer is cut into events: as the client asked, if the provider did what was asked.
func (x *exchange) answerFraming() formats.Framing {
	asked := x.route.AnswerFraming(x.body.Stream)
	if asked == formats.Whole || x.trip.Header.StatusCode() != 200 {
		return formats.Whole
	}
	if isJSON(x.trip.Header.ContentType()) != (asked == formats.JSONArray) {
		return formats.Whole // an answer in one piece, or not what this dialect streams
	}
	return asked
}

// stream is an answer on its way, event by event. fasthttp drives it on the connection's own goroutine: WriteTo
// with a writer that sends every Write as a chunk of its own, then Close.
type stream struct {
	exchange *exchange
	events   int // relayed so far
}

// SupportsBodyWriteTo lets fasthttp use WriteTo, which saves a copy of every event.
func (s *stream) SupportsBodyWriteTo() bool { return true }

// Read is never called: WriteTo is.
func (s *stream) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

// Close ends the exchange. fasthttp calls it on every way out.
func (s *stream) Close() error {
	s.events = 0
	s.exchange.finish()
	return nil
}

// WriteTo relays the stream until it ends, is cut, or the client has left. A cut one ends with an error in the
// client's dialect; nothing that looks like a good end is ever added.
func (s *stream) WriteTo(w io.Writer) (n int64, err error) {
	x := s.exchange
	defer func() {
		if p := recover(); p != nil {
			x.fail(record.Broken, formats.CodeInternalError, panicked(p))
			err = errors.New("panic while relaying")
		}
	}()
	began := time.Now()
	cut := s.pump(w)
	x.record.Upstream += time.Since(began)
	if cut == nil {
		return 0, nil
	}
	return 0, s.cut(w, cut)
}

// errClient marks a failed write to the client.
type errClient struct{ error }

// pump relays events until the stream's end. It returns nil if that was a good one.
func (s *stream) pump(w io.Writer) error {
	x := s.exchange
	x.buffer = x.buffer[:0]
	if cap(x.buffer) < streamBuffer {
		x.buffer = make([]byte, 0, streamBuffer)
	}
	for {
		if len(x.buffer) == cap(x.buffer) {
			if cap(x.buffer) >= maxEvent {
				return errEventTooLarge
			}
			x.buffer = append(x.buffer, 0)[:len(x.buffer)]
		}
		n, err := x.trip.Read(x.buffer[len(x.buffer):cap(x.buffer)])
		x.buffer = x.buffer[:len(x.buffer)+n]
		if n > 0 {
			if err := s.relayEvents(w); err != nil {
				return err
			}
		}
		if err != nil {
			return s.end(w, err)
		}
		if x.meter.Complete() {
			x.trip.SetGap(afterEnd)
		}
	}
}

// relayEvents writes the whole events in the buffer, in one piece as far as they stand together, and keeps the
// part of an event behind them.
func (s *stream) relayEvents(w io.Writer) error {
	x := s.exchange
	from, to := 0, 0
	for {
		n, data, ok := x.splitter.Next(x.buffer[to:])
		if !ok {
			break
		}
		if s.withheld(data) {
			if err := s.write(w, x.buffer[from:to]); err != nil {
				return err
			}
			from = to + n
		}
		to += n
	}
	if err := s.write(w, x.buffer[from:to]); err != nil {
		return err
	}
	x.buffer = x.buffer[:copy(x.buffer, x.buffer[to:])]
	return nil
}

// withheld reads one event, and reports whether it stays behind: the usage that the client did not ask for, or the
// end of an array after which a cut could not be told.
func (s *stream) withheld(data []byte) bool {
	x := s.exchange
	if data == nil {
		return x.splitter.Closed() && !x.meter.Complete()
	}
	return s.read(data)&formats.UsageOnly != 0 && x.addsUsage
}

// read counts an event and lets the meter read it.
func (s *stream) read(data []byte) formats.Event {
	s.events++
	return s.exchange.meter.Event(data)
}

// write sends what may be sent now.
func (s *stream) write(w io.Writer, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	x := s.exchange
	if _, err := w.Write(b); err != nil {
		return errClient{err}
	}
	if x.record.FirstByte == 0 {
		x.record.FirstByte = time.Since(x.start)
	}
	return nil
}

// end judges how a stream ended. What counts is whether its dialect's end was seen, not how the connection closed.
func (s *stream) end(w io.Writer, err error) error {
	x := s.exchange
	if errors.Is(err, upstream.ErrCanceled) {
		return errClient{err}
	}
	drop := false // what is left: the usage that the client did not ask for, or half an event
	if data := x.splitter.Rest(x.buffer); data != nil {
		event := s.read(data)
		drop = event&formats.Malformed != 0 || event&formats.UsageOnly != 0 && x.addsUsage
	}
	if !x.meter.Complete() {
		return err
	}
	if drop {
		return nil
	}
	return s.write(w, x.buffer)
}

// cut ends a stream that did not come to its end. The client is told in-band if it is still there, and the
// connection ends with it.
func (s *stream) cut(w io.Writer, cause error) error {
	x := s.exchange
	x.client.last = true
	if _, gone := errors.AsType[errClient](cause); gone {
		x.fail(record.ClientGone, "", cause)
		return cause
	}
	x.fail(record.Interrupted, formats.CodeStreamInterrupted, cause)
	e := &formats.Error{Status: 502, Code: formats.CodeStreamInterrupted,
		Message: fmt.Sprintf("The provider %q broke off in the middle of its answer.", x.record.Provider)}
	x.buffer = formats.AppendStreamError(x.buffer[:0], &x.route, e, x.id, s.events)
	return s.write(w, x.buffer)
}
