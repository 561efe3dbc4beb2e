package abi

// Kind is the shape of a field's value.
type Kind uint8

// The kinds. A list of i64 can be read or written one by one or, with AllIndexes, packed little-endian.
const (
	Bytes     Kind = iota // read by get, written by set
	Int                   // read by get_i64, written by set_i64
	BytesList             // Bytes by index from 0
	IntList               // Int by index from 0
	Named                 // Bytes by name: read by get_named
)

var kindNames = [...]string{"bytes", "i64", "list of bytes", "list of i64", "bytes by name"}

// String returns the kind's name as SPEC.md writes it.
func (k Kind) String() string { return kindNames[k] }

// FieldID names an input or an output of a hook on the wire. Ids are append-only and never reused.
type FieldID int32

// Inputs of every hook.
const (
	FieldRequestID            FieldID = 1
	FieldRequestMethod        FieldID = 2
	FieldRequestPath          FieldID = 3
	FieldRequestFormat        FieldID = 4
	FieldRequestOperation     FieldID = 5
	FieldRequestClientAddress FieldID = 6
	FieldRequestModel         FieldID = 7
	FieldRequestStream        FieldID = 8
	FieldRequestHeaders       FieldID = 9
)

// Inputs of authenticate.
const (
	FieldCredential       FieldID = 20
	FieldCredentialDigest FieldID = 21
	FieldCredentialShape  FieldID = 22
)

// The identity: at authenticate of the last successful identity_lookup or, when a veto is asked for, of the verdict
// that allowed; at the later hooks of the exchange.
const (
	FieldIdentityKeyID   FieldID = 40
	FieldIdentityName    FieldID = 41
	FieldIdentityTeam    FieldID = 42
	FieldIdentityState   FieldID = 43
	FieldIdentityExpires FieldID = 44
	FieldIdentityModels  FieldID = 45

	FieldIdentityLabels       FieldID = 46
	FieldIdentityLimits       FieldID = 47
	FieldIdentityDefaultModel FieldID = 48
)

// Inputs of choose_step.
const (
	FieldChain        FieldID = 60
	FieldStepCount    FieldID = 61
	FieldAttempt      FieldID = 62
	FieldLastError    FieldID = 63
	FieldLastStep     FieldID = 64
	FieldStepModel    FieldID = 65
	FieldStepProvider FieldID = 66
	FieldStepPriority FieldID = 67
	FieldStepWeight   FieldID = 68
	FieldStepTries    FieldID = 69

	FieldStepAvailable   FieldID = 70
	FieldStepHealth      FieldID = 71
	FieldStepCooldown    FieldID = 72
	FieldStepLatency     FieldID = 73
	FieldStepActive      FieldID = 74
	FieldStepPriceInput  FieldID = 75
	FieldStepPriceOutput FieldID = 76
	FieldStepContext     FieldID = 77
	FieldStrategy        FieldID = 78
	FieldAffinity        FieldID = 79
)

// Inputs of price_response.
const (
	FieldPricePhase FieldID = 80
	FieldProvider   FieldID = 81
	FieldModel      FieldID = 82
	FieldUsage      FieldID = 83
	FieldPrice      FieldID = 84
)

// Outputs of authenticate.
const (
	FieldAllowHandle  FieldID = 1000
	FieldAllowID      FieldID = 1001
	FieldAllowName    FieldID = 1002
	FieldAllowTeam    FieldID = 1003
	FieldAllowModels  FieldID = 1004
	FieldAllowExpires FieldID = 1005

	FieldAllowLimits         FieldID = 1006
	FieldAllowBudgetAmount   FieldID = 1007
	FieldAllowBudgetPeriod   FieldID = 1008
	FieldAllowBudgetTimezone FieldID = 1009

	FieldDenyStatus  FieldID = 1010
	FieldDenyMessage FieldID = 1011
	FieldDenyCode    FieldID = 1012

	FieldAllowDefaultModel FieldID = 1013
	FieldAllowLabels       FieldID = 1014
)

// Outputs of choose_step.
const (
	FieldChosenStep   FieldID = 1020
	FieldStop         FieldID = 1021
	FieldChoiceReason FieldID = 1022
)

// Outputs of price_response.
const (
	FieldCost          FieldID = 1030
	FieldCostBreakdown FieldID = 1031
)

// Hooks is a set of hooks.
type Hooks uint8

// Has reports whether h is in the set.
func (s Hooks) Has(h Hook) bool { return s&(1<<h) != 0 }

// Sets of hooks that fields belong to.
const (
	atAuthenticate Hooks = 1 << Authenticate
	atChooseStep   Hooks = 1 << ChooseStep
	atPrice        Hooks = 1 << PriceResponse
	everywhere           = atAuthenticate | atChooseStep | atPrice
)

// Field describes one field: what the host checks, and what the SDKs and SPEC.md are generated from.
type Field struct {
	ID     FieldID
	Name   string // dotted, as in grants and SPEC.md; SDKs derive their constants from it
	Kind   Kind
	Hooks  Hooks
	Output bool
	Grant  bool   // readable only if policies.yaml lists Name (or Name.<header>) under grants.inputs
	Doc    string // effect, unit, default
}

// Fields returns the description of every field of version 1, in the order of their ids.
func Fields() []Field { return append(inputs(), outputs()...) }

// inputs are the fields that a guest reads.
func inputs() []Field {
	return []Field{
		{FieldRequestID, "request.id", Bytes, everywhere, false, false, "The request id that the client gets in `x-sallyport-request-id`."},
		{FieldRequestMethod, "request.method", Bytes, everywhere, false, false, "`GET` or `POST`."},
		{FieldRequestPath, "request.path", Bytes, everywhere, false, false, "The path without the configured prefix and without the query."},
		{FieldRequestFormat, "request.format", Bytes, everywhere, false, false, "`openai`, `anthropic` or `gemini`."},
		{FieldRequestOperation, "request.operation", Bytes, everywhere, false, false, "`chat`, `completions`, `responses`, `embeddings`, `messages`, `count_tokens`, `generate`, `embed`, `models`."},
		{FieldRequestClientAddress, "request.client_address", Bytes, everywhere, false, false, "The peer's IP address as text, without the port."},
		{FieldRequestModel, "request.model", Bytes, everywhere, false, false, "The model as the client named it: an alias or a chain. Absent where the endpoint names none."},
		{FieldRequestStream, "request.stream", Int, everywhere, false, false, "1 if the client asked for a stream, else 0."},
		{FieldRequestHeaders, "request.headers", Named, everywhere, false, true, "A request header by its lower-case name. Each needs its own grant: `inputs: [request.headers.x-team]`."},

		{FieldCredential, "credential", Bytes, atAuthenticate, false, true, "The credential as the client sent it, without `Bearer `. Needs the grant `inputs: [credential]`."},
		{FieldCredentialDigest, "credential.digest", Bytes, atAuthenticate, false, false, "32 bytes that identify the credential to identity_lookup and reveal nothing of it. Absent without a credential."},
		{FieldCredentialShape, "credential.shape", Int, atAuthenticate, false, false, "0 no credential, 1 not one that Sallyport generates, 2 generated, 3 generated by its prefix but the checksum is wrong."},

		{FieldIdentityKeyID, "identity.key_id", Bytes, everywhere, false, false, "Id of the stored key, or `policy:<name>/<id>`."},
		{FieldIdentityName, "identity.name", Bytes, everywhere, false, false, "The key's name."},
		{FieldIdentityTeam, "identity.team", Bytes, everywhere, false, false, "The team's name; absent without a team."},
		{FieldIdentityState, "identity.state", Int, everywhere, false, false, "0 active, 1 disabled, 2 revoked."},
		{FieldIdentityExpires, "identity.expires", Int, everywhere, false, false, "Unix time in milliseconds after which the key is refused; absent without an expiry."},
		{FieldIdentityModels, "identity.models", BytesList, everywhere, false, false, "Aliases and chains that may be used, exact or `prefix*`. No element: all. The host enforces it after authenticate."},

		{FieldIdentityLabels, "identity.labels", BytesList, everywhere, false, false, "Labels of the identity, each `name=value`."},
		{FieldIdentityLimits, "identity.limits", IntList, everywhere, false, false, "Limits of the identity itself, by limit; 0 is none. Those of its teams are not among them."},
		{FieldIdentityDefaultModel, "identity.default_model", Bytes, everywhere, false, false, "The model of requests that name none; absent without one."},

		{FieldChain, "chain", Bytes, atChooseStep, false, false, "Name of the chain; for a plain alias that alias, with its one step."},
		{FieldStepCount, "step.count", Int, atChooseStep, false, false, "Number of steps, at least 1."},
		{FieldAttempt, "attempt", Int, atChooseStep, false, false, "1 for the first attempt of the exchange."},
		{FieldLastError, "last_error", Int, atChooseStep, false, false, "How the attempt before failed: 0 none, 1 not sent, 2 transient, 3 ambiguous, 4 rejected, 5 bad credential, 6 rate limited, 7 context length, 8 model not found, 9 content policy."},
		{FieldLastStep, "last_step", Int, atChooseStep, false, false, "Step of the attempt before; absent at the first."},
		{FieldStepModel, "step.model", BytesList, atChooseStep, false, false, "The alias that the step names."},
		{FieldStepProvider, "step.provider", BytesList, atChooseStep, false, false, "The step's provider."},
		{FieldStepPriority, "step.priority", IntList, atChooseStep, false, false, "Lower is tried first."},
		{FieldStepWeight, "step.weight", IntList, atChooseStep, false, false, "Share within one priority, at least 0."},
		{FieldStepTries, "step.tries", IntList, atChooseStep, false, false, "How often the step was tried in this exchange."},
		{FieldStepAvailable, "step.available", IntList, atChooseStep, false, false, "1 if the step may be chosen now, else 0. Who chooses another is overruled: the first available step of the lowest priority is asked."},
		{FieldStepHealth, "step.health", IntList, atChooseStep, false, false, "How the step does: 0 healthy, 1 probing, 2 open, 3 parked, 4 refused, 5 drained, 6 full."},
		{FieldStepCooldown, "step.cooldown", IntList, atChooseStep, false, false, "Milliseconds until the step may be asked again, rounded up; 0 if it may now."},
		{FieldStepLatency, "step.latency", IntList, atChooseStep, false, false, "Microseconds to the first content: a moving average that follows peaks at once; 0 if it is not known."},
		{FieldStepActive, "step.active", IntList, atChooseStep, false, false, "Attempts under way at the step."},
		{FieldStepPriceInput, "step.price_input", IntList, atChooseStep, false, false, "Nano-dollars per million tokens of input; -1 if it is not known."},
		{FieldStepPriceOutput, "step.price_output", IntList, atChooseStep, false, false, "Nano-dollars per million tokens of output; -1 if it is not known."},
		{FieldStepContext, "step.context", IntList, atChooseStep, false, false, "The largest context in tokens; 0 if it is not known."},
		{FieldStrategy, "strategy", Bytes, atChooseStep, false, false, "What the chain asks for: `weighted`, `latency`, `cost` or `sticky`. Absent where it asks for nothing."},
		{FieldAffinity, "affinity", Int, atChooseStep, false, false, "Requests of the same number, 0 to 2^53-1, belong to the same step where the strategy is `sticky`. Absent without one."},

		{FieldPricePhase, "price.phase", Int, atPrice, false, false, "1 estimate (the worst case, before an attempt), 2 final (what was used)."},
		{FieldProvider, "provider", Bytes, atPrice, false, false, "The provider that answers."},
		{FieldModel, "model", Bytes, atPrice, false, false, "The provider's name of the model."},
		{FieldUsage, "usage", IntList, atPrice, false, false, "Units used, by dimension."},
		{FieldPrice, "price", IntList, atPrice, false, false, "Nano-dollars per million units, by dimension. Absent if the model has no price."},
	}
}

// outputs are the fields that a guest sets: their ids begin at 1000.
func outputs() []Field {
	return []Field{
		{FieldAllowHandle, "allow.handle", Int, atAuthenticate, true, false, "Allow as the stored identity that identity_lookup answered this handle for."},
		{FieldAllowID, "allow.id", Bytes, atAuthenticate, true, false, "Allow as an identity of the policy's own: 1 to 128 printable bytes. The host makes it `policy:<name>/<id>`."},
		{FieldAllowName, "allow.name", Bytes, atAuthenticate, true, false, "Name of the policy's own identity, up to 128 printable bytes. Default: allow.id."},
		{FieldAllowTeam, "allow.team", Bytes, atAuthenticate, true, false, "Team of the policy's own identity, up to 128 printable bytes. Default: none."},
		{FieldAllowModels, "allow.models", BytesList, atAuthenticate, true, false, "Models of the policy's own identity, up to 64; index is the element. Default: all."},
		{FieldAllowExpires, "allow.expires", Int, atAuthenticate, true, false, "Expiry of the policy's own identity, unix milliseconds. Default: none."},
		{FieldAllowLimits, "allow.limits", IntList, atAuthenticate, true, false, "Limits of the policy's own identity, by limit: 0 to 10^15, 0 is none. Default: none."},
		{FieldAllowBudgetAmount, "allow.budget_amount", IntList, atAuthenticate, true, false, "Amounts of the policy's own identity's budgets in nano-dollars, 0 to 10^18, up to 8; index is the budget. Default: no budget."},
		{FieldAllowBudgetPeriod, "allow.budget_period", IntList, atAuthenticate, true, false, "Period of each of these budgets: 0 day, 1 week, 2 month, 3 total. Default: 0."},
		{FieldAllowBudgetTimezone, "allow.budget_timezone", BytesList, atAuthenticate, true, false, "Time zone of each of these budgets, as `Europe/Berlin`. Default: UTC."},
		{FieldDenyStatus, "deny.status", Int, atAuthenticate, true, false, "Deny with this HTTP status: 400 to 499, or 503."},
		{FieldDenyMessage, "deny.message", Bytes, atAuthenticate, true, false, "What the client is told, up to 512 bytes of printable UTF-8. Default: a sentence that fits the status."},
		{FieldDenyCode, "deny.code", Bytes, atAuthenticate, true, false, "A stable code for programs: 1 to 64 of a to z, 0 to 9 and _. Default: invalid_api_key for 401, else policy_denied."},
		{FieldAllowDefaultModel, "allow.default_model", Bytes, atAuthenticate, true, false, "The model for requests of the policy's own identity that name none: up to 256 printable bytes. Default: none."},
		{FieldAllowLabels, "allow.labels", BytesList, atAuthenticate, true, false, "Labels of the policy's own identity, each `name=value` of up to 128 printable bytes, up to 16. Default: none."},

		{FieldChosenStep, "chosen_step", Int, atChooseStep, true, false, "Index of the step to try."},
		{FieldStop, "stop", Int, atChooseStep, true, false, "1: try nothing more, the client gets the last error. Not at the first attempt."},
		{FieldChoiceReason, "choice.reason", Bytes, atChooseStep, true, false, "Why, for the record and for explain: up to 64 bytes of printable ASCII. Default: none."},

		{FieldCost, "cost", Int, atPrice, true, false, "The cost in nano-dollars, 0 to 10,000 dollars."},
		{FieldCostBreakdown, "cost.breakdown", IntList, atPrice, true, false, "What of the cost each dimension contributed, in nano-dollars. Default: unknown."},
	}
}

// Type is a WebAssembly value type, as far as the contract uses them.
type Type uint8

// The types.
const (
	I32 Type = iota
	I64
)

// Function describes one import of ModulePolicy.
type Function struct {
	Name    string
	Params  []Type
	Names   []string // of the parameters
	Results []Type
	Grant   string // the grant that it needs, empty if none
	Doc     string
}

// Functions returns the description of every function of ModulePolicy.
func Functions() []Function {
	return []Function{
		{"get", []Type{I32, I32, I32, I32}, []string{"field", "index", "buf", "cap"}, []Type{I32}, "",
			"Reads a field into guest memory. Returns its length; if that is larger than cap, nothing is written. index is 0 for fields that are not lists. An i64 is 8 bytes little-endian."},
		{"get_i64", []Type{I32, I32}, []string{"field", "index"}, []Type{I64}, "",
			"Reads an i64 field. Returns NO_VALUE (-2^63) where get would answer with a code."},
		{"get_named", []Type{I32, I32, I32, I32, I32}, []string{"field", "name", "name_len", "buf", "cap"}, []Type{I32}, "",
			"Like get, for fields that are found by name."},
		{"set", []Type{I32, I32, I32, I32}, []string{"field", "index", "ptr", "len"}, []Type{I32}, "",
			"Writes an output field. Returns 0 or a code."},
		{"set_i64", []Type{I32, I32, I64}, []string{"field", "index", "value"}, []Type{I32}, "",
			"Writes an i64 output field. Returns 0 or a code."},
		{"identity_lookup", []Type{I32, I32}, []string{"digest", "digest_len"}, []Type{I32}, "identities: read",
			"Finds the stored key with this credential digest. Returns a handle above 0, valid during this call, and makes the identity fields readable; NOT_FOUND if there is none. Only at authenticate."},
		{"log", []Type{I32, I32, I32}, []string{"level", "ptr", "len"}, []Type{I32}, "",
			"Writes a log line, 0 debug to 3 error, cut at 1 KiB; 16 lines a call."},
		{"now", nil, nil, []Type{I64}, "", "Unix time in milliseconds."},
		{"random", []Type{I32, I32}, []string{"ptr", "len"}, []Type{I32}, "", "Fills memory with random bytes, up to 4 KiB."},
		{"config", []Type{I32, I32}, []string{"buf", "cap"}, []Type{I32}, "",
			"Reads the policy's configuration (`config:` of policies.yaml) as JSON, like get. Absent without one."},
		{"script", []Type{I32, I32}, []string{"buf", "cap"}, []Type{I32}, "",
			"Reads the source text of a policy whose module runs one, like get. Absent for all others."},
		{"digest", []Type{I32, I32, I32}, []string{"ptr", "len", "out"}, []Type{I32}, "",
			"Writes the SHA-256 of up to 1 MiB of memory to out, 32 bytes. Returns 0 or a code."},
		{"metric", []Type{I32, I32, I64}, []string{"name", "name_len", "value"}, []Type{I32}, "",
			"Adds a value of at least 0 to a counter of the policy, for the operator's metrics. The name is 1 to 64 of a to z, 0 to 9 and _; a policy has up to 16 of them. Returns 0 or a code."},
		{"kv_get", []Type{I32, I32, I32, I32}, []string{"key", "key_len", "buf", "cap"}, []Type{I32}, grantKV,
			"Reads what is stored under a key, like get; a counter as decimal text. NOT_FOUND if there is nothing."},
		{"kv_version", []Type{I32, I32}, []string{"key", "key_len"}, []Type{I64}, grantKV,
			"Returns the version of what is stored under a key, above 0; NO_VALUE if there is nothing, else a code. Ask for it before the value, never after."},
		{"kv_set", []Type{I32, I32, I32, I32, I64}, []string{"key", "key_len", "ptr", "len", "ttl_ms"}, []Type{I32}, grantKV,
			"Stores a value for so many milliseconds, or for good if ttl_ms is 0. Returns 0 or a code."},
		{"kv_delete", []Type{I32, I32}, []string{"key", "key_len"}, []Type{I32}, grantKV,
			"Removes a key, whatever it holds. Returns 0; NOT_FOUND if there was nothing."},
		{"kv_cas", []Type{I32, I32, I64, I32, I32, I64}, []string{"key", "key_len", "version", "ptr", "len", "ttl_ms"}, []Type{I64}, grantKV,
			"Is kv_set if the key has that version; version 0 is for a key that is not there. Returns the new version, above 0; CONFLICT if it has another one; NOT_FOUND if there is no such key."},
		{"kv_incr", []Type{I32, I32, I64, I64, I64, I64, I32}, []string{"key", "key_len", "delta", "floor", "ceiling", "ttl_ms", "out"}, []Type{I32}, grantKV,
			"Adds delta to a counter if the sum is within floor and ceiling, both included. Returns 1 if it did, 0 if not, and writes what the counter is then to out, as an i64. A key that is not there is 0; adding creates it, to live for ttl_ms, or for good if that is 0. A delta of 0 asks only."},
		{"kv_window_add", []Type{I32, I32, I64, I64, I64, I32}, []string{"key", "key_len", "n", "limit", "window_ms", "out"}, []Type{I32}, grantKV,
			"Adds n units to a sliding window if no more than limit were then added within any window_ms, at most 366 days. Returns 1 if it did, 0 if not, and writes two i64 to out: how many units count now, and in how many milliseconds none counts any more or, if it did not, there is room for n. An n of 0 asks only."},
		{"kv_list", []Type{I32, I32, I32, I32, I32, I32}, []string{"prefix", "prefix_len", "cursor", "cursor_len", "buf", "cap"}, []Type{I32}, grantKV,
			"Reads keys that begin with prefix and come behind cursor, in the order of their bytes: as many as fit, each as its length in 4 bytes little-endian and its bytes. Returns how many bytes that are, 0 at the end; the last key is the cursor to go on with. If not even one fits, nothing is written and its length with the 4 bytes is returned."},
	}
}

// grantKV is the grant of all functions that keep state, as policies.yaml writes it.
const grantKV = "kv: own"
