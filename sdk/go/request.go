package sallyport

import (
	"bytes"
	"iter"
	"time"

	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/host"
)

// Request is what every hook may know of the request. Its methods read from the host; a text that the request does
// not have is nil.
type Request struct{}

// ID is the request id that the client gets.
func (Request) ID() []byte { return text(abi.FieldRequestID) }

// Method is GET or POST.
func (Request) Method() []byte { return text(abi.FieldRequestMethod) }

// Path is the request's path, without the configured prefix and without the query.
func (Request) Path() []byte { return text(abi.FieldRequestPath) }

// Format is openai, anthropic or gemini.
func (Request) Format() []byte { return text(abi.FieldRequestFormat) }

// Operation is what is asked for: chat, completions, responses, embeddings, messages, count_tokens, generate, embed or
// models.
func (Request) Operation() []byte { return text(abi.FieldRequestOperation) }

// ClientAddress is the peer's IP address as text, without the port.
func (Request) ClientAddress() []byte { return text(abi.FieldRequestClientAddress) }

// Model is the model as the client named it: an alias or a chain.
func (Request) Model() []byte { return text(abi.FieldRequestModel) }

// Stream reports whether the client asked for a stream.
func (Request) Stream() bool { return number(abi.FieldRequestStream) != 0 }

// Header returns the request header of a lower-case name, nil if the request has none. Each header needs its grant in
// policies.yaml; without it the error wraps NotGranted.
func (Request) Header(name string) ([]byte, error) {
	return answers.named(abi.FieldRequestHeaders, name)
}

// Identity is who the request belongs to.
type Identity struct{}

// KeyID is the id of the stored key, or policy:<name>/<id> of an identity that a policy made up.
func (Identity) KeyID() []byte { return text(abi.FieldIdentityKeyID) }

// Name is the key's name.
func (Identity) Name() []byte { return text(abi.FieldIdentityName) }

// Team is the team's name, nil without a team.
func (Identity) Team() []byte { return text(abi.FieldIdentityTeam) }

// State says whether the key may be used.
func (Identity) State() KeyState { return KeyState(number(abi.FieldIdentityState)) }

// Expires is the time from which on the key is refused, zero for never.
func (Identity) Expires() time.Time {
	ms := host.GetInt(abi.FieldIdentityExpires)
	if ms == abi.NoValue {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// Expired reports whether the key's time is over.
func (Identity) Expired() bool {
	ms := host.GetInt(abi.FieldIdentityExpires)
	return ms != abi.NoValue && host.Now() >= ms
}

// Models are the aliases and chains that may be used, exact or "prefix*". None means all. The gateway enforces them
// after authenticate.
func (Identity) Models() iter.Seq[[]byte] { return elements(abi.FieldIdentityModels) }

// DefaultModel is the model of requests that name none, nil without one.
func (Identity) DefaultModel() []byte { return text(abi.FieldIdentityDefaultModel) }

// Labels are the names and values that the operator put on the key.
func (Identity) Labels() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for label := range elements(abi.FieldIdentityLabels) {
			name, value, _ := bytes.Cut(label, []byte("="))
			if !yield(name, value) {
				return
			}
		}
	}
}

// Limits are the bounds of the key itself, not those of its teams. It has at least NumLimits elements, each 0 if there is
// no bound, more if the host knows more limits.
func (Identity) Limits() []int64 {
	if limits := answers.padded(abi.FieldIdentityLimits, NumLimits); limits != nil {
		return limits
	}
	return noLimits[:]
}

var noLimits Limits

func elements(field abi.Field) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := int32(0); ; i++ {
			element, _ := answers.element(field, i)
			if element == nil || !yield(element) {
				return
			}
		}
	}
}
