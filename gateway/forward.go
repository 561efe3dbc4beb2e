package gateway

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/gateway/upstream"
	"github.com/sallyport-dev/sallyport/record"
)

// maxAnswer bounds an answer that is not streamed. It is held until it is whole, so that a cut one can still
// become another step's whole one.
const maxAnswer = 64 << 20

var (
	errEncoded  = errors.New("the answer is compressed, although that was declined")
	errTooLarge = fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
)

// watchClient lets the watcher cancel the round trip when the client leaves.
func (x *exchange) watchClient() {
	x.watch.fd = x.client.fd
	x.gateway.watcher.add(&x.watch)
}

// forward makes one attempt at a step: it sends the request and reads the answer, all of it if it is not a stream,
// else its header. It reports whether there is an answer for the client; if not, the attempt says why.
func (x *exchange) forward(step *config.Step) bool {
	began := time.Now()
	status, class, err := x.attempt(step)
	now := time.Now()
	a := record.Attempt{
		Step: step.Alias, Provider: step.Provider.Name, Class: class, Status: status,
		Start: began.Sub(x.start), Duration: now.Sub(began),
	}
	if err != nil {
		a.Error = err.Error()
	}
	x.record.Attempts = append(x.record.Attempts, a)
	x.record.Upstream += a.Duration
	x.choice.LastError = class
	if class != abi.NoError && class != abi.Rejected {
		x.settleFailed(class)
		x.retryAfter = retryAfter(x.trip.Header.Peek("Retry-After"))
		x.trip.Close()
		x.gateway.log.Warn("attempt failed", "request", x.record.ID, "step", a.Step, "provider", a.Provider,
			"class", class.String(), "status", status, "error", a.Error, "duration", a.Duration)
		return false
	}
	x.record.Provider, x.record.ProviderModel = step.Provider.Name, step.Model
	return true
}

// attempt sends the request and classifies what came of it. A rejection for good is an answer for the client, as
// the provider words it; no other step would take the request either.
func (x *exchange) attempt(step *config.Step) (status int, class abi.ErrorClass, err error) {
	if err := x.trip.Send(x.snapshot.targets[step.Provider].pool, &x.outgoing); err != nil {
		return 0, classOfFailure(err), err
	}
	status = x.trip.Header.StatusCode()
	if class = classOfStatus(status); class != abi.NoError && class != abi.Rejected {
		return status, class, errors.New("answered " + strconv.Itoa(status))
	}
	if e := x.trip.Header.ContentEncoding(); len(e) > 0 && string(e) != "identity" {
		return status, abi.Ambiguous, errEncoded
	}
	x.framing = x.answerFraming()
	x.meter.Reset(&x.route, x.framing != formats.Whole)
	x.meter.Choices = x.body.Choices
	if x.framing == formats.Whole {
		if err := x.gather(); err != nil {
			return status, abi.Ambiguous, err
		}
	}
	return status, class, nil
}

// gather reads a whole answer, and its usage.
func (x *exchange) gather() error {
	x.buffer = x.buffer[:0]
	if n := x.trip.Length(); n > maxAnswer {
		return errTooLarge
	} else if n > cap(x.buffer) {
		x.buffer = make([]byte, 0, n)
	}
	for {
		if len(x.buffer) == cap(x.buffer) {
			x.buffer = append(x.buffer, 0)[:len(x.buffer)]
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
func (x *exchange) wholeness() error {
	if !x.meter.Body(x.buffer) && isJSON(x.trip.Header.ContentType()) {
		return &upstream.Error{Phase: upstream.Reading, Err: upstream.ErrCut}
	}
	return nil
}

// classOfFailure says what a failed round trip allows. After the whole request was sent nobody knows whether the
// provider took it, and billed it.
func classOfFailure(err error) abi.ErrorClass {
	var e *upstream.Error
	if errors.As(err, &e) && (e.Phase == upstream.Connecting || e.Phase == upstream.Sending) {
		return abi.NotSent
	}
	return abi.Ambiguous
}

// classOfStatus says what a provider's status allows.
func classOfStatus(status int) abi.ErrorClass {
	switch {
	case status >= 200 && status <= 299:
		return abi.NoError
	case status == 401 || status == 402 || status == 403:
		return abi.BadCredential
	case status == 408 || status == 409 || status == 429:
		return abi.Transient
	case status == 504:
		return abi.Ambiguous
	case status >= 500 || status < 400: // redirects are not followed
		return abi.Transient
	}
	return abi.Rejected
}
