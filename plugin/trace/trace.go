// Package trace is the format of decision traces: what policies decided, and what they knew when they did, one JSON object
// a line in numbered files of a folder. Its one job is that what was written can be asked again, and that no secret is in it.
//
// It imports abi and runtime. cmd/sallyport imports it, to write traces, and plugin/host, to ask a policy by them.
//
// A line, with line breaks for people:
//
//	{"v":1,"time":"2026-11-21T12:00:00.5Z","policy":"tiers","module":"9f86d0…","hook":"choose_step",
//	 "request":{"id":"req_1","method":"POST","path":"/v1/chat/completions",…},"headers":[{"name":"x-tier","value":"gold"}],
//	 "identity":{"key_id":"key_1",…},"choice":{"chain":"coding","steps":[…],"attempt":1,"last_step":-1},
//	 "calls":[{"function":"kv_get","in":["seen"],"result":1,"out":"3"},{"function":"now","result":1795262400000}],
//	 "answer":"verdict","verdict":{"step":1},"took_ns":2100,"fuel":5210}
//
// Of a credential there is the digest and never more: where another value of a line holds it, "[credential]" stands in its
// place. Only those headers are there that the policy looked at.
package trace

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// version is that of the format. A reader refuses what is newer.
const version = 1

// line is one decision.
type line struct {
	Version int       `json:"v"`
	Time    time.Time `json:"time"`
	Policy  string    `json:"policy"`
	Module  hexBytes  `json:"module"`
	Hook    string    `json:"hook"`
	Veto    bool      `json:"veto,omitempty"`
	Shadow  bool      `json:"shadow,omitempty"`

	Request    *request    `json:"request,omitempty"`
	Headers    []header    `json:"headers,omitempty"`
	Credential *credential `json:"credential,omitempty"`
	Identity   *identity   `json:"identity,omitempty"`
	Choice     *choice     `json:"choice,omitempty"`
	Pricing    *pricing    `json:"pricing,omitempty"`
	Calls      []call      `json:"calls,omitempty"`
	Cut        bool        `json:"cut,omitempty"`

	Answer  string   `json:"answer"`
	Verdict *verdict `json:"verdict,omitempty"`
	Failure string   `json:"failure,omitempty"`
	Cause   string   `json:"cause,omitempty"`
	Said    string   `json:"said,omitempty"`
	Took    int64    `json:"took_ns"`
	Fuel    int64    `json:"fuel,omitempty"`
}

type request struct {
	ID            text   `json:"id,omitempty"`
	Method        text   `json:"method,omitempty"`
	Path          text   `json:"path,omitempty"`
	Format        string `json:"format,omitempty"`
	Operation     string `json:"operation,omitempty"`
	ClientAddress text   `json:"client_address,omitempty"`
	Model         text   `json:"model,omitempty"`
	Stream        bool   `json:"stream,omitempty"`
}

type header struct {
	Name   string `json:"name"`
	Value  text   `json:"value,omitempty"`
	Absent bool   `json:"absent,omitempty"`
}

// credential is all that is said of one.
type credential struct {
	Digest hexBytes `json:"digest,omitempty"`
	Shape  int64    `json:"shape,omitempty"`
	Read   bool     `json:"read,omitempty"` // the policy looked at it
}

type identity struct {
	KeyID        string     `json:"key_id"`
	Name         string     `json:"name,omitempty"`
	Team         string     `json:"team,omitempty"`
	State        int64      `json:"state,omitempty"`
	Expires      *time.Time `json:"expires,omitempty"`
	Models       []string   `json:"models,omitempty"`
	DefaultModel string     `json:"default_model,omitempty"`
	Labels       []label    `json:"labels,omitempty"`
	Limits       abi.Limits `json:"limits,omitzero"`
	Budgets      []budget   `json:"budgets,omitempty"`
}

type label struct {
	Name  string `json:"name"`
	Value string `json:"value,omitempty"`
}

type budget struct {
	Amount   int64  `json:"nano_usd"`
	Period   uint8  `json:"period"`
	Timezone string `json:"timezone,omitempty"`
}

type choice struct {
	Chain     string  `json:"chain"`
	Steps     []step  `json:"steps"`
	States    []state `json:"states,omitempty"`
	Tries     []int64 `json:"tries,omitempty"`
	Strategy  string  `json:"strategy,omitempty"`
	Affinity  uint64  `json:"affinity,omitempty"`
	Sticks    bool    `json:"sticks,omitempty"`
	Attempt   int64   `json:"attempt"`
	LastError int64   `json:"last_error,omitempty"`
	LastStep  int64   `json:"last_step"`
}

type step struct {
	Model    string        `json:"model"`
	Provider string        `json:"provider"`
	Priority int64         `json:"priority,omitempty"`
	Weight   int64         `json:"weight,omitempty"`
	Price    *abi.PriceRow `json:"price,omitempty"`
	Context  int64         `json:"context,omitempty"`
}

type state struct {
	Available bool          `json:"available,omitempty"`
	Health    int64         `json:"health,omitempty"`
	Cooldown  time.Duration `json:"cooldown_ns,omitempty"`
	Latency   time.Duration `json:"latency_ns,omitempty"`
	Active    int64         `json:"active,omitempty"`
}

type pricing struct {
	Phase    int64         `json:"phase"`
	Provider string        `json:"provider,omitempty"`
	Model    string        `json:"model,omitempty"`
	Usage    abi.Usage     `json:"usage,omitzero"`
	Price    *abi.PriceRow `json:"price,omitempty"`
}

type call struct {
	Function string    `json:"function"`
	In       []text    `json:"in,omitempty"`
	Args     []int64   `json:"args,omitempty"`
	Result   int64     `json:"result"`
	Out      text      `json:"out,omitempty"`
	Values   []int64   `json:"values,omitempty"`
	Identity *identity `json:"identity,omitempty"`
}

type verdict struct {
	Identity  *identity                      `json:"identity,omitempty"`
	Status    int                            `json:"status,omitempty"`
	Code      string                         `json:"code,omitempty"`
	Message   string                         `json:"message,omitempty"`
	Step      int                            `json:"step,omitempty"`
	Stop      bool                           `json:"stop,omitempty"`
	Reason    string                         `json:"reason,omitempty"`
	Cost      int64                          `json:"cost_nano_usd,omitempty"`
	Breakdown [abi.NumDimensions]abi.NanoUSD `json:"breakdown,omitzero"`
}

// text is bytes that are mostly text: then they are a JSON string, else an object with the member base64.
type text []byte

type encoded struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON implements json.Marshaler.
func (t text) MarshalJSON() ([]byte, error) {
	if utf8.Valid(t) {
		return json.Marshal(string(t))
	}
	return json.Marshal(encoded{t})
}

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '{' {
		var e encoded
		err := json.Unmarshal(b, &e)
		*t = e.Base64
		return err
	}
	var s string
	err := json.Unmarshal(b, &s)
	*t = text(s)
	return err
}

// hexBytes is bytes in hexadecimal.
type hexBytes []byte

// MarshalText implements encoding.TextMarshaler.
func (h hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *hexBytes) UnmarshalText(b []byte) (err error) {
	*h, err = hex.AppendDecode(nil, b)
	return err
}

var answers = map[abi.Answer]string{abi.Given: "verdict", abi.NoVerdict: "pass", abi.Failed: "failed"}

var errNewer = errors.New("this trace was written by a newer Sallyport")

// scrubber takes a credential out of whatever else holds it.
type scrubber struct{ credential []byte }

// mask stands for a credential.
const mask = "[credential]"

// minCredential is the length from which a credential is looked for: what is shorter is found in anything.
const minCredential = 8

func newScrubber(d *runtime.Decision) scrubber {
	if d.Authentication == nil || len(d.Authentication.Credential) < minCredential {
		return scrubber{}
	}
	return scrubber{d.Authentication.Credential}
}

func (s scrubber) bytes(b []byte) text {
	if s.credential == nil || !bytes.Contains(b, s.credential) {
		return b
	}
	return bytes.ReplaceAll(b, s.credential, []byte(mask))
}

func (s scrubber) text(t string) string {
	if s.credential == nil {
		return t
	}
	return strings.ReplaceAll(t, string(s.credential), mask)
}

// appendLine appends a decision as a line.
func appendLine(dst []byte, d *runtime.Decision) ([]byte, error) {
	encoded, err := json.Marshal(encode(d))
	if err != nil {
		return dst, fmt.Errorf("writing a decision: %w", err)
	}
	return append(append(dst, encoded...), '\n'), nil
}

// parseLine reads a line.
func parseLine(b []byte) (*runtime.Decision, error) {
	var l line
	if err := json.Unmarshal(b, &l); err != nil {
		return nil, fmt.Errorf("reading a decision: %w", err)
	}
	if l.Version > version {
		return nil, errNewer
	}
	return l.decision()
}

func badValue(member, value string) error {
	return fmt.Errorf("reading a decision: %q cannot be its %s", value, member)
}
