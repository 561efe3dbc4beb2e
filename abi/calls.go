package abi

import "time"

// Answer says how asking the policies of a hook ended.
type Answer uint8

// The answers.
const (
	// NoVerdict: every policy passed, or none is bound to the hook.
	NoVerdict Answer = iota
	// Given: a policy gave a verdict, and it is in the call's output fields.
	Given
	// Failed: a policy trapped, ran out of fuel or time, or answered nonsense. At authenticate that denies; at the
	// other hooks it counts as a pass, and Failed is answered only if nobody after it gave a verdict.
	Failed
)

// Request is what every hook may know of a request. Byte slices belong to the caller and are valid only while the
// hook is being asked: the runtime copies what a guest reads into the guest's memory and keeps nothing.
type Request struct {
	ID            []byte // the request id that the client also gets
	Method        []byte // "GET", "POST"
	Path          []byte // as matched, without the configured prefix
	Format        string // "openai", "anthropic", "gemini"
	Operation     string // "chat", "responses", "models", …: formats.Operation's name
	ClientAddress []byte // textual IP address of the peer, without the port
	Model         []byte // the model as the client named it; empty where the endpoint names none
	Stream        bool
	Headers       Headers // nil where there are none
}

// Headers finds a request header by its lower-case name. Granting a policy a header is the runtime's business.
type Headers interface {
	Header(name string) (value []byte, ok bool)
}

// CredentialShape is what can be said of a credential from its characters alone.
type CredentialShape int64

// The shapes.
const (
	CredentialNone      CredentialShape = iota // the request has no credential
	CredentialForeign                          // not of the form that Sallyport generates
	CredentialGenerated                        // of that form, and the checksum fits
	CredentialMistyped                         // of that form by its prefix, but the checksum does not fit
)

// DigestSize is the size of a credential digest: HMAC-SHA-256 under a secret that never leaves the host.
const DigestSize = 32

// Digest identifies a credential without revealing it.
type Digest [DigestSize]byte

// Identities finds stored keys by the digest of their credential.
type Identities interface {
	Lookup(digest *Digest) (*Identity, bool)
}

// Authentication is one asking of the authenticate hook.
type Authentication struct {
	Request    *Request
	Credential []byte // raw; read by a guest only if granted
	Digest     Digest // of Credential; zero where there is none
	Shape      CredentialShape
	Identities Identities // what identity_lookup searches: the snapshot's keys

	// Set by the verdict.
	Policy   string    // the policy that decided; a veto names itself here
	Identity *Identity // allow: who the request belongs to; immutable, may be shared between exchanges
	Status   int       // deny: 400 to 499 or 503; 0 with an Identity
	Message  string    // deny: for the client; printable, at most 512 bytes
	Code     string    // deny: stable, for programs; "" for the one that fits the status
	Vetoed   *Identity // deny: whom a verdict had allowed before a veto said no; for the record
}

// Identity is who a request belongs to. It is immutable once it has been handed out.
type Identity struct {
	KeyID   string // id of the stored key; "policy:<name>/<id>" for identities that a policy made up
	Name    string // the key's name, for people, records and metrics
	Team    string
	State   KeyState
	Expires time.Time // zero: never
	Models  []string  // aliases and chains it may use: exact names and "prefix*"; empty: all

	DefaultModel string // for requests that name none; "" for none
	Labels       []Label
	Limits       Limits
	Budgets      []Budget
}

// KeyState is the administrative state of a key. There is no deleted: rows stay.
type KeyState int64

// The states of a key.
const (
	KeyActive KeyState = iota
	KeyDisabled
	KeyRevoked
)

var keyStateNames = [...]string{"active", "disabled", "revoked"}

// String returns the state's name, as in records and the admin API.
func (s KeyState) String() string {
	if s >= 0 && int(s) < len(keyStateNames) {
		return keyStateNames[s]
	}
	return "unknown"
}

// ErrorClass says how the attempt before this one failed, in the terms that decide what may be tried next.
type ErrorClass int64

// The classes. New ones are appended.
const (
	NoError       ErrorClass = iota // there was no attempt yet
	NotSent                         // provably not accepted: dial, TLS, stale connection
	Transient                       // rejected, may work again: 408, 409, 5xx
	Ambiguous                       // the provider may have billed it: lost after the request was sent
	Rejected                        // rejected for good: 400, 404, 413, 422
	BadCredential                   // the gateway's own credential was refused: 401, 402, 403
	RateLimited                     // 429: the provider limits what this credential may ask of this model
	ContextLength                   // rejected because the prompt does not fit: a step with a larger context may take it
	ModelNotFound                   // rejected because the provider does not know the model
	ContentPolicy                   // rejected because of what was asked
	NumErrorClasses
)

var errorClassNames = [NumErrorClasses]string{
	"none", "not_sent", "transient", "ambiguous", "rejected", "bad_credential",
	"rate_limited", "context_length", "model_not_found", "content_policy",
}

// String returns the class's name, as in records and metrics.
func (c ErrorClass) String() string {
	if c >= 0 && c < NumErrorClasses {
		return errorClassNames[c]
	}
	return "unknown"
}

// Step is what the choose_step hook sees of one step of a chain. A snapshot builds it once; it is immutable.
type Step struct {
	Model    string // the alias that the step names
	Provider string
	Priority int64 // lower is tried first
	Weight   int64 // share within its priority
	Price    *PriceRow
	Context  int64 // largest context in tokens; 0 unknown
}

// StepHealth says how a step does. The numbers are those of the wire.
type StepHealth int64

// The states of a step. New ones are appended.
const (
	StepHealthy StepHealth = iota // nothing speaks against it
	StepProbing                   // its circuit is half open: one attempt may find out
	StepOpen                      // its circuit is open after failures
	StepParked                    // the provider limits requests
	StepRefused                   // the provider refused the credential
	StepDrained                   // taken out by hand
	StepFull                      // as many attempts are under way as it may have
	NumStepHealths
)

var stepHealthNames = [NumStepHealths]string{"healthy", "probing", "open", "parked", "refused", "drained", "full"}

// String returns the state's name, as in records, metrics and the admin API.
func (h StepHealth) String() string {
	if h >= 0 && h < NumStepHealths {
		return stepHealthNames[h]
	}
	return "unknown"
}

// StepState is what the choose_step hook sees of how a step does at this moment.
type StepState struct {
	Available bool // it may be chosen
	Health    StepHealth
	Cooldown  time.Duration // until it may be asked again; 0 if it may now
	Latency   time.Duration // peak-sensitive moving average of the time to the first content; 0 unknown
	Active    int64         // attempts under way
}

// StepChoice is one asking of the choose_step hook.
type StepChoice struct {
	Request   *Request
	Identity  *Identity
	Chain     string
	Steps     []Step
	States    []StepState // how each does; as long as Steps
	Tries     []int64     // how often each step was tried in this exchange; as long as Steps
	Strategy  string      // "weighted", "latency", "cost" or "sticky"
	Affinity  uint64      // with "sticky": requests of the same value belong to the same step
	Sticks    bool        // Affinity is known
	Attempt   int64       // 1 for the first attempt
	LastError ErrorClass  // of the attempt before
	LastStep  int64       // index of the step of the attempt before; -1 for the first

	// Set by the verdict.
	Policy string
	Step   int    // index into Steps
	Stop   bool   // try nothing more
	Reason string // why, for the record; "" or printable, at most 64 bytes
}

// PricePhase says what a price is wanted for.
type PricePhase int64

// The phases.
const (
	Estimate PricePhase = iota + 1 // the worst case, before the attempt
	Final                          // what was used, after it
)

// Pricing is one asking of the price_response hook.
type Pricing struct {
	Request  *Request
	Identity *Identity
	Phase    PricePhase
	Provider string
	Model    string // the provider's model name
	Usage    Usage
	Price    *PriceRow // nil: the operator gave no price

	// Set by the verdict.
	Policy    string
	Cost      NanoUSD
	Breakdown [NumDimensions]NanoUSD // what of Cost each dimension contributed; zero where the policy does not say
}

// MaxCost bounds what one price_response verdict may charge: 10,000 dollars. More is a policy error.
const MaxCost NanoUSD = 10_000 * 1_000_000_000
