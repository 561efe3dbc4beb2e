package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/gateway/upstream"
	"github.com/sallyport-dev/sallyport/record"
)

const (
	streamBuffer = 2 << 10         // first size of a stream's buffer
	maxEvent     = 8 << 20         // largest single event; larger ones count as cut
	afterEnd     = 2 * time.Second // how long a stream that has said its end may stay open
)

var errEventTooLarge = fmt.Errorf("an event is larger than %d MiB", maxEvent>>20)

// relay passes the answer on: a whole one is ready to be written, a stream is relayed as fasthttp writes it.
func (x *exchange) relay() *refusal {
	h := &x.trip.Header
	x.answer(h.StatusCode(), string(h.ContentType()))
	x.passHeaders()
	x.nameStep()
	if x.framing == formats.Whole {
		x.buffer = x.withSummary(x.buffer)
		x.giveBody()
		return nil
	}
	x.ctx.Response.ImmediateHeaderFlush = len(x.stream.held) == 0 // else the header leaves with it
	x.ctx.Response.SetBodyStream(&x.stream, -1)                   // from here on the exchange ends with the stream's Close
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

// stream is an answer on its way, event by event. Until it is committed it is held; then fasthttp drives it on the
// connection's own goroutine: WriteTo with a writer that sends every Write as a chunk of its own, then Close.
type stream struct {
	exchange  *exchange
	held      pile   // what the client gets first
	complaint []byte // the error that the provider reported in place of an answer; until the next read
	events    int    // held or relayed so far
	spoke     bool   // an event had content
	first     bool   // that was not measured yet
	committed bool   // it is the client's, whatever comes
	refused   bool   // the complaint is the client's answer, so that the stream ends well behind it
	ended     bool   // it came to a good end
}

// pile is bytes to be written later.
type pile []byte

// Write implements io.Writer.
func (p *pile) Write(b []byte) (int, error) {
	*p = append(*p, b...)
	return len(b), nil
}

// begin makes ready for the stream of an attempt.
func (s *stream) begin() {
	x := s.exchange
	s.forget()
	s.first = true
	x.trip.Linger()
	x.splitter.Reset(x.framing)
	x.buffer = x.buffer[:0]
	if cap(x.buffer) < streamBuffer {
		x.buffer = make([]byte, 0, streamBuffer)
	}
}

// forget drops what an attempt left.
func (s *stream) forget() {
	*s = stream{exchange: s.exchange, held: keep(s.held)}
}

// SupportsBodyWriteTo lets fasthttp use WriteTo, which saves a copy of every event.
func (s *stream) SupportsBodyWriteTo() bool { return true }

// Read is never called: WriteTo is.
func (s *stream) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

// Close ends the exchange. fasthttp calls it on every way out.
func (s *stream) Close() error {
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
	if cut != nil {
		err = s.cut(w, cut)
	}
	if err == nil {
		err = s.write(w, x.summaryComment())
	}
	return 0, err
}

// errClient marks a failed write to the client.
type errClient struct{ error }

// pump relays what was held, and then events until the stream's end. It returns nil if that was a good one.
func (s *stream) pump(w io.Writer) error {
	if err := s.write(w, s.held); err != nil {
		return err
	}
	if err := s.relayEvents(w); err != nil { // what came together with the last of it
		return err
	}
	for !s.ended {
		if err := s.advance(w); err != nil {
			return err
		}
	}
	return nil
}

// advance reads once, and moves the whole events that are there then to w. At the stream's good end it sets ended.
func (s *stream) advance(w io.Writer) error {
	x := s.exchange
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
	return nil
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
		withheld, err := s.read(data)
		if err != nil { // the event itself goes with those before it: it may be the client's answer
			written := s.write(w, x.buffer[from:to+n])
			x.buffer = x.buffer[:copy(x.buffer, x.buffer[to+n:])]
			return errors.Join(written, err)
		}
		if withheld {
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

// read reads one event, and reports whether it stays behind: the usage that the client did not ask for, the end of an
// array after which a cut could not be told, or what nobody can read. While the stream is held, an event that cannot
// be read ends it, and so does an error that the provider reports.
func (s *stream) read(data []byte) (withheld bool, err error) {
	x := s.exchange
	if data == nil {
		return x.splitter.Closed() && !x.meter.Complete() && !x.meter.Failed, nil
	}
	s.events++
	event := x.meter.Event(data)
	s.spoke = s.spoke || event&formats.Content != 0
	switch {
	case event&formats.Malformed != 0:
		if !s.committed || x.framing == formats.JSONArray { // an element cannot be left out with its comma
			return false, errMalformedEvent
		}
		x.record.Malformed++
		return true, nil
	case event&formats.Failure != 0 && !s.committed:
		s.complaint = bytes.Clone(data)
		return false, errInBand
	}
	return event&formats.UsageOnly != 0 && x.addsUsage, nil
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
	if s.committed && x.record.FirstByte == 0 {
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
		s.events++
		event := x.meter.Event(data)
		if event&formats.Failure != 0 {
			return s.lastComplaint(w, data, err)
		}
		drop = event&formats.Malformed != 0 || event&formats.UsageOnly != 0 && x.addsUsage
	}
	if !x.meter.Complete() && !s.refused {
		return err
	}
	s.ended = true
	if drop {
		return s.closeArray(w)
	}
	return errors.Join(s.write(w, x.buffer), s.closeArray(w))
}

// closeArray ends a JSON array behind an error of the provider's own, where it did not come to that itself.
func (s *stream) closeArray(w io.Writer) error {
	x := s.exchange
	if !x.meter.Failed || x.framing != formats.JSONArray || x.splitter.Closed() {
		return nil
	}
	return s.write(w, []byte{']'})
}

// lastComplaint passes on an error that the provider reported without the blank line behind it, which it needs: without
// it no client reads the error. err is how the stream ended.
func (s *stream) lastComplaint(w io.Writer, data []byte, err error) error {
	x := s.exchange
	if !s.committed {
		s.complaint, err = bytes.Clone(data), errInBand
	}
	x.buffer = append(x.buffer, "\n\n"...)
	written := s.write(w, x.buffer)
	x.buffer = x.buffer[:0]
	x.splitter.Reset(x.framing) // it had looked into what is gone
	return errors.Join(written, err)
}

// cut ends a stream that did not come to its end. The client is told in-band if it is still there, and the
// connection ends with it.
func (s *stream) cut(w io.Writer, cause error) error {
	x := s.exchange
	x.client.last = true
	if _, gone := errors.AsType[errClient](cause); gone && !x.gateway.dismissed.Load() {
		x.fail(record.ClientGone, "", cause)
		return cause
	}
	e := &formats.Error{Status: 502, Code: formats.CodeStreamInterrupted,
		Message: fmt.Sprintf("The provider %q broke off in the middle of its answer.", x.record.Provider)}
	if x.gateway.dismissed.Load() {
		e = &formats.Error{Status: 503, Code: formats.CodeShuttingDown, Message: "The gateway is shutting down."}
	}
	x.fail(record.Interrupted, e.Code, cause)
	if x.meter.Failed {
		return s.closeArray(w) // the provider has told the client itself
	}
	x.buffer = formats.AppendStreamError(x.buffer[:0], &x.route, e, x.id, s.events)
	return s.write(w, x.buffer)
}
