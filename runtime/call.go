package runtime

import (
	"bytes"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/sallyport-dev/sallyport/abi"
)

// Call is what a host function sees of the guest's call that it serves. It belongs to the guest's instance, is
// reused for the next call, and must not be kept.
type Call struct {
	Policy string   // name of the policy that runs
	Hook   abi.Hook // abi.NumHooks while an instance is being made: no hook runs then
	Veto   bool     // the policy is asked for a veto

	// Exactly one of these is set while a hook runs; all are nil while an instance is being made.
	Authentication *abi.Authentication
	StepChoice     *abi.StepChoice
	Pricing        *abi.Pricing

	// Request is that of whichever is set.
	Request *abi.Request
	// Identity is what the identity fields show; nil if there is none (yet).
	Identity *abi.Identity

	in     *instance
	memory api.Memory // nil if the guest exports none
	grants *grants
	inputs inputSet
	config []byte
	script []byte
	log    *slog.Logger

	session Session // nil if the guest does not speak the portable tier

	recording *recording // nil: what the guest does is not recorded

	out        outputs
	lastReason string                    // of a choice that this instance made
	found      [maxLookups]*abi.Identity // by handle - 1
	lookups    int                       // of found
	searches   int                       // lookups that were tried
	digest     abi.Digest                // what Lookup searches for; here because it would escape from a stack
	hostCalls  int
	accesses   int // calls that are not among them
	kvCalls    int
	kvBytes    int64 // keys and values that they moved
	logLines   int
	zoneLoads  int
	printed    int    // bytes of standard output
	line       []byte // an unfinished line of it
	said       []byte // what went to standard error
	lastLine   string // last line logged while the instance was made; explains a refused configuration
}

// Caps of one call.
const (
	maxHostCalls = 10_000
	maxLookups   = 16
	maxKVCalls   = 64
	maxKVBytes   = 1 << 20
)

// Read returns the guest's memory from ptr on. The slice is the memory itself: it is valid until the host function
// returns, and writing to it writes to the guest. It answers false if the range is not within the memory.
func (c *Call) Read(ptr, length uint32) ([]byte, bool) {
	if length == 0 {
		return nil, true
	}
	if c.memory == nil {
		return nil, false
	}
	return c.memory.Read(ptr, length)
}

// Write copies b into the guest's memory. It answers false, and writes nothing, if b does not fit there.
func (c *Call) Write(ptr uint32, b []byte) bool {
	if len(b) == 0 {
		return true
	}
	return c.memory != nil && c.memory.Write(ptr, b)
}

// WriteString is Write for a string.
func (c *Call) WriteString(ptr uint32, s string) bool {
	if s == "" {
		return true
	}
	return c.memory != nil && c.memory.WriteString(ptr, s)
}

// Config returns the policy's configuration, nil if it has none.
func (c *Call) Config() []byte { return c.config }

// Script returns the source text that the policy's module runs, nil if it runs none.
func (c *Call) Script() []byte { return c.script }

// Charge takes fuel for what a host function is about to do. It answers false if the call has not that much left: then
// the function need not do it, as the guest ends at its next step.
func (c *Call) Charge(units int64) bool {
	enough := int64(c.in.fuel.Get()) >= units
	c.in.charge(units)
	return enough
}

// Now returns the time as guests see it.
func (c *Call) Now() time.Time {
	t := c.in.pool.runtime.now()
	if c.recording != nil {
		c.recording.now(t)
	}
	return t
}

// Random fills b with random bytes. Each costs the guest a unit of fuel, as they take the host longer than the call.
func (c *Call) Random(b []byte) {
	c.in.charge(int64(len(b)))
	c.in.pool.runtime.random(b)
	if c.recording != nil {
		c.recording.add(HostCall{Function: "random", Out: bytes.Clone(b)})
	}
}

// GrantedIdentities reports whether the policy may look identities up.
func (c *Call) GrantedIdentities() bool { return c.grants.identities }

// AdmitKV counts a call of a function that keeps state. The code is OK if the policy may call it now.
func (c *Call) AdmitKV() abi.Code {
	switch {
	case c.Hook >= abi.NumHooks: // instances come up as often as the host likes, and are tried before they serve
		return abi.WrongHook
	case !c.grants.kv:
		return abi.NotGranted
	case c.kvCalls == maxKVCalls:
		return abi.OverQuota
	}
	c.kvCalls++
	return abi.OK
}

// ChargeKV takes the call's cap and its fuel for keys and values that a function is about to move. The code is OK if it
// may.
func (c *Call) ChargeKV(bytes int64) abi.Code {
	if bytes > maxKVBytes-c.kvBytes || !c.Charge(bytes) {
		return abi.OverQuota
	}
	c.kvBytes += bytes
	return abi.OK
}

// GrantedField reports whether the policy may read a field that needs a grant.
func (c *Call) GrantedField(field abi.FieldID) bool {
	_, found := slices.BinarySearch(c.grants.fields, field)
	if found && c.recording != nil && field == abi.FieldCredential {
		c.recording.decision.CredentialRead = true // a host function asks because it is about to be
	}
	return found
}

// GrantedName reports whether the policy may read the element called name of a field, and returns that name as a
// string that outlives the guest's memory, so that looking it up costs no allocation.
func (c *Call) GrantedName(field abi.FieldID, name []byte) (string, bool) {
	for _, g := range c.grants.named {
		if g.field == field && string(name) == g.name {
			return g.name, true
		}
	}
	return "", false
}

// GrantedNames returns the names of a field's elements that the policy may read.
func (c *Call) GrantedNames(field abi.FieldID) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, g := range c.grants.named {
			if g.field == field && !yield(g.name) {
				return
			}
		}
	}
}

// Lookup finds a stored identity by the digest of its credential and returns its handle, which is above 0 and valid
// during this call. The identity fields show it from then on, unless a veto is asked for: those show whom the
// verdict allowed.
func (c *Call) Lookup(digest []byte) abi.Code {
	code := c.lookUp(digest)
	if c.recording != nil {
		h := HostCall{Function: "identity_lookup", In: [][]byte{bytes.Clone(digest)}, Result: int64(code)}
		if code > abi.OK {
			h.Identity = c.found[code-1]
		}
		c.recording.add(h)
	}
	return code
}

func (c *Call) lookUp(digest []byte) abi.Code {
	if c.Authentication == nil {
		return abi.WrongHook
	}
	if len(digest) != abi.DigestSize {
		return abi.BadArgument
	}
	if c.searches == maxLookups { // also those in vain: they may go to the disk
		return abi.OverQuota
	}
	c.searches++
	c.digest = abi.Digest(digest)
	if c.Authentication.Identities == nil {
		return abi.NotFound
	}
	identity, ok := c.Authentication.Identities.Lookup(&c.digest)
	if !ok {
		return abi.NotFound
	}
	c.found[c.lookups] = identity
	c.lookups++
	if !c.Veto {
		c.Identity = identity
	}
	return abi.Code(c.lookups)
}

// begin prepares the call for a question.
func (c *Call) begin(p *binding, q question) {
	c.Policy = p.name
	c.Hook = q.hook
	c.Veto = q.veto
	c.grants, c.inputs, c.recording = &p.grants, p.inputs, q.recording
	switch q.hook {
	case abi.Authenticate:
		c.Authentication, c.Request = q.authentication, q.authentication.Request
		if q.veto {
			c.Identity = q.authentication.Identity
		}
	case abi.ChooseStep:
		c.StepChoice, c.Request, c.Identity = q.choice, q.choice.Request, q.choice.Identity
	case abi.PriceResponse:
		c.Pricing, c.Request, c.Identity = q.pricing, q.pricing.Request, q.pricing.Identity
	}
	if q.recording != nil && c.Request != nil {
		c.Request = &q.recording.request
	}
}

// end forgets the question: an idle instance holds on to nothing of a request.
func (c *Call) end() {
	c.flushStreams()
	c.Hook = abi.NumHooks
	c.Veto = false
	c.Authentication, c.StepChoice, c.Pricing, c.Request, c.Identity, c.recording = nil, nil, nil, nil, nil, nil
	clear(c.found[:c.lookups])
	c.lookups, c.searches, c.hostCalls, c.logLines, c.printed, c.zoneLoads = 0, 0, 0, 0, 0, 0
	c.accesses, c.kvCalls, c.kvBytes = 0, 0, 0
	c.digest = abi.Digest{}
	c.out.forget()
	if c.session != nil {
		c.session.Reset()
	}
}
