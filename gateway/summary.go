package gateway

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/formats"
)

// Headers by which the answer says where it comes from. The step is the alias, the model the provider's own name.
const (
	headerStep     = "X-Sallyport-Step"
	headerProvider = "X-Sallyport-Provider"
	headerModel    = "X-Sallyport-Model"
)

// Headers by which a client says how it wants to be served.
const (
	headerRouting = "X-Sallyport-Routing" // "summary": the answer says which steps were tried
	headerTimeout = "X-Sallyport-Timeout" // seconds that all attempts together may take
)

// nameStep says in the answer's header which step it comes from.
func (x *exchange) nameStep() {
	h := &x.ctx.Response.Header
	h.Set(headerStep, x.step.Alias)
	h.Set(headerProvider, x.step.Provider.Name)
	h.Set(headerModel, x.step.Model)
}

// timeLimit is how long the exchange may take: what the chain grants, or less if the client says so.
func (x *exchange) timeLimit() time.Duration {
	limit := x.chain.Total
	if value := x.ctx.Request.Header.Peek(headerTimeout); len(value) > 0 {
		if seconds, err := strconv.ParseFloat(string(value), 64); err == nil && seconds > 0 && seconds < limit.Seconds() {
			limit = time.Duration(seconds * float64(time.Second))
		}
	}
	return limit
}

// routingSummary is what an answer says of the steps that were tried.
type routingSummary struct {
	Chain      string           `json:"chain"`
	AnsweredBy string           `json:"answered_by,omitempty"`
	Attempts   []summaryAttempt `json:"attempts"`
}

type summaryAttempt struct {
	Step       string `json:"step"`
	Provider   string `json:"provider"`
	Model      string `json:"model"`
	Outcome    string `json:"outcome"` // answered, or the class of the error
	Status     int    `json:"status,omitempty"`
	Reason     string `json:"reason,omitempty"`
	DurationMS int64  `json:"duration_ms"`
}

// wantsSummary reports whether the answer is to carry a summary: the chain says so, or the client asked.
func (x *exchange) wantsSummary() bool {
	return x.chain != nil && (x.chain.Summary || string(x.ctx.Request.Header.Peek(headerRouting)) == "summary")
}

// encodeSummary returns the summary as JSON.
func (x *exchange) encodeSummary() []byte {
	s := routingSummary{Chain: x.chain.Name, Attempts: []summaryAttempt{}}
	for i := range x.record.Attempts {
		a := &x.record.Attempts[i]
		outcome := "answered"
		if a.Class != abi.NoError {
			outcome = a.Class.String()
		} else {
			s.AnsweredBy = a.Step
		}
		s.Attempts = append(s.Attempts, summaryAttempt{
			a.Step, a.Provider, a.Model, outcome, a.Status, a.Reason, a.Duration.Milliseconds(),
		})
	}
	encoded, err := json.Marshal(s)
	if err != nil {
		panic("gateway: a summary that cannot be encoded: " + err.Error())
	}
	return encoded
}

// withSummary adds the summary to a body that is a JSON object. Another body stays as it is.
func (x *exchange) withSummary(body []byte) []byte {
	end := bytes.LastIndexByte(body, '}')
	if end < 0 || body[0] != '{' || !x.wantsSummary() {
		return body
	}
	rest := append([]byte(`"routing_summary":`), x.encodeSummary()...)
	if len(bytes.TrimSpace(body[1:end])) > 0 {
		rest = append([]byte{','}, rest...)
	}
	return append(append(body[:end], rest...), '}')
}

// summaryComment is the summary as the last comment of a stream; nil where none is wanted, or the framing has no
// comments.
func (x *exchange) summaryComment() []byte {
	if x.framing != formats.SSE || !x.wantsSummary() {
		return nil
	}
	return append(append([]byte(": routing_summary "), x.encodeSummary()...), "\n\n"...)
}
