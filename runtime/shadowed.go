package runtime

import (
	"slices"

	"github.com/sallyport-dev/sallyport/abi"
)

// shadowed is a question that was decided, copied: what belongs to the request is used again when the request is over.
// Identities, steps and texts in strings are immutable, so they are shared.
type shadowed struct {
	question question // points into what follows
	decided  verdict

	authentication abi.Authentication
	choice         abi.StepChoice
	pricing        abi.Pricing
	request        abi.Request
	row            abi.PriceRow
	headers        copiedHeaders
	bytes          []byte // what slices of the request are copied to
}

// maxKeptBytes and maxKeptSteps are what a copy keeps room for when it is not used.
const (
	maxKeptBytes = 16 << 10
	maxKeptSteps = 64
)

// take copies what a policy may read of a question, and what came of it.
func (d *shadowed) take(b *binding, q question, answer abi.Answer) {
	d.decided = verdictOf(q, answer)
	d.question = question{hook: q.hook, veto: q.veto}
	request := d.copyRequest(b, q.request())
	switch q.hook {
	case abi.Authenticate:
		d.takeAuthentication(b, q, request)
	case abi.ChooseStep:
		states, tries := d.choice.States, d.choice.Tries
		d.choice = *q.choice
		d.choice.Request = request
		states, tries = append(states[:0], q.choice.States...), append(tries[:0], q.choice.Tries...)
		d.choice.States, d.choice.Tries = states, tries
		d.choice.Policy, d.choice.Step, d.choice.Stop, d.choice.Reason = "", 0, false, ""
		d.question.choice = &d.choice
	default:
		d.pricing = *q.pricing
		d.pricing.Request = request
		if q.pricing.Price != nil {
			d.row = *q.pricing.Price
			d.pricing.Price = &d.row
		}
		d.pricing.Policy, d.pricing.Cost, d.pricing.Breakdown = "", 0, [abi.NumDimensions]abi.NanoUSD{}
		d.question.pricing = &d.pricing
	}
}

func (d *shadowed) takeAuthentication(b *binding, q question, request *abi.Request) {
	a := q.authentication
	d.authentication = abi.Authentication{Request: request, Digest: a.Digest, Shape: a.Shape, Identities: a.Identities}
	if _, granted := slices.BinarySearch(b.grants.fields, abi.FieldCredential); granted {
		d.authentication.Credential = d.copy(a.Credential)
	}
	if q.veto {
		d.authentication.Identity = allowedBefore(a)
	}
	d.question.authentication = &d.authentication
}

// copyRequest copies a request, with the headers that the policy may read.
func (d *shadowed) copyRequest(b *binding, r *abi.Request) *abi.Request {
	d.bytes, d.headers = d.bytes[:0], d.headers[:0]
	if r == nil {
		return nil
	}
	d.request = *r
	d.request.ID, d.request.Method, d.request.Path = d.copy(r.ID), d.copy(r.Method), d.copy(r.Path)
	d.request.ClientAddress, d.request.Model = d.copy(r.ClientAddress), d.copy(r.Model)
	d.request.Headers = nil
	if r.Headers == nil {
		return &d.request
	}
	for _, g := range b.grants.named {
		if g.field == abi.FieldRequestHeaders {
			if value, ok := r.Headers.Header(g.name); ok {
				d.headers = append(d.headers, copiedHeader{g.name, d.copy(value)})
			}
		}
	}
	d.request.Headers = &d.headers
	return &d.request
}

// copy returns bytes of its own. What was copied before stays where it is, also when there is no more room beside it.
func (d *shadowed) copy(b []byte) []byte {
	d.bytes = append(d.bytes, b...)
	return d.bytes[len(d.bytes)-len(b):][:len(b):len(b)]
}

// forget holds on to nothing of a request.
func (d *shadowed) forget() {
	clear(d.bytes)
	clear(d.headers)
	bytes, headers, states, tries := d.bytes[:0], d.headers[:0], d.choice.States[:0], d.choice.Tries[:0]
	if cap(bytes) > maxKeptBytes {
		bytes = nil
	}
	if cap(states) > maxKeptSteps || cap(tries) > maxKeptSteps {
		states, tries = nil, nil
	}
	*d = shadowed{bytes: bytes, headers: headers}
	d.choice.States, d.choice.Tries = states, tries
}

// copiedHeaders are headers that were copied.
type copiedHeaders []copiedHeader

type copiedHeader struct {
	name  string
	value []byte
}

// Header implements abi.Headers.
func (h *copiedHeaders) Header(name string) ([]byte, bool) {
	for i := range *h {
		if (*h)[i].name == name {
			return (*h)[i].value, true
		}
	}
	return nil, false
}

var _ abi.Headers = (*copiedHeaders)(nil)
