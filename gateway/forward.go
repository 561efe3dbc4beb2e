package gateway

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/gateway/upstream"
	"github.com/sallyport-dev/sallyport/health"
	"github.com/sallyport-dev/sallyport/record"
)

// maxAnswer bounds an answer that is held until it is whole, so that a cut one can still become another step's.
const maxAnswer = 64 << 20

var (
	errEncoded  = errors.New("the answer is compressed, although that was declined")
	errTooLarge = fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
	errNotJSON  = errors.New("the answer is not JSON")
)

// watchClient lets the watcher cancel the round trip when the client leaves.
func (x *exchange) watchClient() {
	x.watch.fd = x.client.fd
	x.gateway.watcher.add(&x.watch)
}

// forward makes one attempt at a step: it sends the request and reads the answer, as far as the chain wants to see it
// before the client does. It reports whether there is an answer for the client; if not, the attempt says why.
func (x *exchange) forward(step *config.Step) bool {
	x.attempted, x.retryAfter = time.Now(), 0
	v := x.attempt(step)
	x.note(step, v)
	if x.answers(v, step) {
		x.record.Provider, x.record.ProviderModel = step.Provider.Name, step.Model
		return true
	}
	x.failed(step, v)
	return false
}

// note writes the attempt into the record.
func (x *exchange) note(step *config.Step, v verdict) {
	a := record.Attempt{
		Step: step.Alias, Provider: step.Provider.Name, Model: step.Model, Class: v.class, Status: v.status,
		Reason: x.choice.Reason, Credential: x.underWay.Credential,
		Start: x.attempted.Sub(x.start), Duration: time.Since(x.attempted),
	}
	if v.err != nil && v.class != abi.NoError {
		a.Error = v.err.Error()
	}
	x.record.Attempts = append(x.record.Attempts, a)
	x.record.Upstream += a.Duration
	x.choice.LastError = v.class
}

// failed lets an attempt go that brought no answer, and remembers what that means for the next.
func (x *exchange) failed(step *config.Step, v verdict) {
	a := &x.record.Attempts[len(x.record.Attempts)-1]
	x.failures[x.choice.LastStep] = v.class
	if v.silent {
		x.silents = append(x.silents, step.Provider)
	}
	if v.class == abi.ContextLength {
		x.contextNeeded = step.Context
	}
	x.underWay.End(health.Result{Outcome: v.outcome(), RetryAfter: x.retryAfter})
	x.settleFailed(v.class)
	x.trip.Close()
	x.stream.forget()
	x.gateway.log.Warn("attempt failed", "request", x.record.ID, "step", a.Step, "provider", a.Provider,
		"class", v.class.String(), "status", v.status, "error", a.Error, "duration", a.Duration)
}

// attempt sends the request and judges what came of it. A rejection for good is an answer for the client, as the
// provider words it; no other step would take the request either.
func (x *exchange) attempt(step *config.Step) verdict {
	if err := x.trip.Send(x.snapshot.targets[step.Provider].pool, &x.outgoing); err != nil {
		return notAnswered(err)
	}
	status := x.trip.Header.StatusCode()
	if classOfStatus(status) != abi.NoError {
		return x.rejected(status)
	}
	if e := x.trip.Header.ContentEncoding(); len(e) > 0 && string(e) != "identity" {
		return lostAnswer(status, errEncoded)
	}
	x.framing = x.answerFraming()
	x.meter.Reset(&x.route, x.framing != formats.Whole)
	x.meter.Choices = x.body.Choices
	if x.framing != formats.Whole {
		return x.hold(status)
	}
	x.underWay.FirstContent(time.Since(x.attempted))
	if err := x.gather(); err != nil {
		return lostAnswer(status, err)
	}
	if x.meter.Failed {
		return x.inBand(x.buffer)
	}
	return verdict{status: status}
}

// gather reads a whole answer, and its usage.
func (x *exchange) gather() error {
	x.buffer = x.buffer[:0]
	if n := x.trip.Length(); n > maxAnswer {
		return errTooLarge
	} else if n >= cap(x.buffer) {
		if !x.room.take(n + 1) {
			return errNoRoom
		}
		x.buffer = make([]byte, 0, n+1) // the end is read with room for a byte
	}
	for {
		if len(x.buffer) == cap(x.buffer) {
			x.buffer = append(x.buffer, 0)[:len(x.buffer)]
			if !x.room.take(cap(x.buffer)) {
				return errNoRoom
			}
		}
		n, err := x.trip.Read(x.buffer[len(x.buffer):cap(x.buffer)])
		x.buffer = x.buffer[:len(x.buffer)+n]
		switch {
		case errors.Is(err, io.EOF):
			return x.wholeness()
		case err != nil:
			return err
		case len(x.buffer) > maxAnswer:
			return errTooLarge
		}
	}
}

// wholeness reads the usage of a gathered answer. A document that ends too early is a cut, whatever the framing says.
// A good answer that is no document at all is none; a refusal may be in any form.
func (x *exchange) wholeness() error {
	switch json := isJSON(x.trip.Header.ContentType()); {
	case x.meter.Body(x.buffer):
		return nil
	case json:
		return &upstream.Error{Phase: upstream.Reading, Err: upstream.ErrCut}
	case succeeded(x.trip.Header.StatusCode()):
		return errNotJSON
	}
	return nil
}
