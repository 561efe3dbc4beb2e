package runtime

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Tracer keeps what policies decide, and what they knew when they did. It is called on the request path, by many
// goroutines at once, and must not block.
type Tracer interface {
	// Wants reports whether decisions about a request are to be recorded; all of one request, or none. It is asked before
	// every call of a hook.
	Wants(requestID []byte) bool
	// Trace is given a decision. Nothing of it may be kept: it belongs to the request.
	Trace(d *Decision)
}

// Decision is what one policy decided, once. Exactly one of Authentication, StepChoice and Pricing is set; in it stand the
// question and, if Answer is Given, the verdict. The raw credential is there, too: a Tracer must not let it out.
type Decision struct {
	Time   time.Time
	Policy string
	Module [32]byte // SHA-256 of it
	Hook   abi.Hook
	Veto   bool
	Shadow bool

	Authentication *abi.Authentication
	StepChoice     *abi.StepChoice
	Pricing        *abi.Pricing

	Request        *abi.Request  // of whichever is set, without headers
	Headers        []HeaderRead  // that the policy looked at
	Identity       *abi.Identity // whom a veto was about; at the later hooks whose request it is
	CredentialRead bool          // the policy looked at the raw credential
	Calls          []HostCall    // in their order
	Cut            bool          // there were more calls than are recorded

	Answer  abi.Answer
	Failure Failure
	Cause   string // of a failure; what the guest chose of it is escaped
	Said    string // what it printed to standard error before it failed, likewise
	Took    time.Duration
	Fuel    int64 // that was used; 0 if it is not known
}

// HeaderRead is a header that a policy looked at.
type HeaderRead struct {
	Name  string
	Value []byte
	Found bool
}

// HostCall is a call of a function whose answer a decision may depend on: now, random, identity_lookup and those that keep
// state. A time that is the same as that before is left out.
type HostCall struct {
	Function string
	In       [][]byte      // what the guest handed in: keys, values, a digest
	Args     []int64       // the numbers among its arguments, except room for an answer
	Result   int64         // what the function returned
	Out      []byte        // what it wrote, where that has no fixed size; nil if it did not fit
	Values   []int64       // what it wrote where that is a list of numbers
	Identity *abi.Identity // that was found
}

// Caps of one recording.
const (
	maxRecordedCalls = 256
	maxRecordedBytes = 256 << 10
)

// recording is what a guest did while it was asked.
type recording struct {
	decision Decision
	request  abi.Request
	headers  abi.Headers // of the request
	bytes    int         // that calls hold
	fuel     int64       // that was used
}

// record begins a recording, unless nobody wants one.
func (b *binding) record(q question) *recording {
	var id []byte
	request := q.request()
	if request != nil {
		id = request.ID
	}
	if !b.tracer.Wants(id) {
		return nil
	}
	r := &recording{}
	r.decision = Decision{
		Time: b.pool.runtime.now(), Policy: b.name, Module: b.pool.key.module.wasm, Hook: q.hook, Veto: q.veto, Shadow: b.shadow != nil,
		Authentication: q.authentication, StepChoice: q.choice, Pricing: q.pricing,
	}
	switch {
	case q.veto:
		r.decision.Identity = q.authentication.Identity
	case q.hook == abi.ChooseStep:
		r.decision.Identity = q.choice.Identity
	case q.hook == abi.PriceResponse:
		r.decision.Identity = q.pricing.Identity
	}
	if request != nil {
		r.request = *request
		r.decision.Request = &r.request
		if r.headers = request.Headers; r.headers != nil {
			r.request.Headers = r
		}
	}
	return r
}

// trace hands a finished recording over.
func (b *binding) trace(q question, verdict bool, failed *failedCall, took time.Duration) {
	d := &q.recording.decision
	q.recording.request.Headers = nil
	d.Took, d.Fuel = took, q.recording.fuel
	switch {
	case failed != nil:
		d.Answer, d.Failure, d.Cause, d.Said = abi.Failed, failed.failure, onOneLine(failed.cause.Error()), onOneLine(failed.said)
	case verdict:
		d.Answer = abi.Given
	}
	b.tracer.Trace(d)
}

// Header implements abi.Headers: it notes what is looked at.
func (r *recording) Header(name string) ([]byte, bool) {
	value, ok := r.headers.Header(name)
	if !slices.ContainsFunc(r.decision.Headers, func(h HeaderRead) bool { return h.Name == name }) {
		r.decision.Headers = append(r.decision.Headers, HeaderRead{name, value, ok})
	}
	return value, ok
}

func (r *recording) add(h HostCall) {
	d := &r.decision
	size := len(h.Out)
	for _, in := range h.In {
		size += len(in)
	}
	if len(d.Calls) == maxRecordedCalls || r.bytes+size > maxRecordedBytes {
		d.Cut = true
		return
	}
	r.bytes += size
	d.Calls = append(d.Calls, h)
}

// now notes a time that differs from that before: Go's runtime asks for it again and again.
func (r *recording) now(t time.Time) {
	const name = "now"
	calls, ms := r.decision.Calls, t.UnixMilli()
	for _, before := range slices.Backward(calls) {
		if before.Function == name {
			if before.Result == ms {
				return
			}
			break
		}
	}
	r.add(HostCall{Function: name, Result: ms})
}

// ReadHostCall reads what a guest hands to a function that keeps state, from its stack and memory as they are when the
// function is called. Its slices are the guest's memory.
func ReadHostCall(c *Call, f *abi.Function, stack []uint64) HostCall {
	h := HostCall{Function: f.Name}
	for i := 0; i < len(f.Params); i++ {
		switch {
		case i+1 < len(f.Params) && isLength(f.Names[i+1]):
			in, _ := c.Read(uint32(stack[i]), uint32(stack[i+1]))
			h.In = append(h.In, in)
			i++
		case isRoom(f.Names[i]):
		default:
			h.Args = append(h.Args, int64(stack[i]))
		}
	}
	return h
}

// isLength reports whether a parameter is the length of what the one before points to.
func isLength(name string) bool {
	return name == "len" || len(name) > len("_len") && name[len(name)-len("_len"):] == "_len"
}

// isRoom reports whether a parameter says where an answer goes, or how much room there is.
func isRoom(name string) bool { return name == "buf" || name == "cap" || name == "out" }

// recorded is a function that keeps state, noted where somebody wants to know.
func recorded(f abi.Function, call func(c *Call, stack []uint64)) func(c *Call, stack []uint64) {
	return func(c *Call, stack []uint64) {
		if c.recording == nil {
			call(c, stack)
			return
		}
		h := ReadHostCall(c, &f, stack)
		for i, in := range h.In {
			h.In[i] = bytes.Clone(in)
		}
		args := slices.Clone(stack[:len(f.Params)])
		call(c, stack)
		h.Result = resultOf(&f, stack[0])
		h.Out, h.Values = h.readAnswer(c, &f, args)
		c.recording.add(h)
	}
}

func resultOf(f *abi.Function, word uint64) int64 {
	if f.Results[0] == abi.I64 {
		return int64(word)
	}
	return int64(int32(uint32(word)))
}

// numbersOf is how many numbers a function writes to its parameter out.
func numbersOf(function string) uint32 {
	if function == "kv_window_add" {
		return 2
	}
	return 1
}

// readAnswer reads what a function has written.
func (h *HostCall) readAnswer(c *Call, f *abi.Function, args []uint64) (out []byte, values []int64) {
	for i, name := range f.Names {
		switch {
		case name == "buf" && h.Result > 0 && h.Result <= int64(uint32(args[i+1])):
			text, _ := c.Read(uint32(args[i]), uint32(h.Result))
			out = bytes.Clone(text)
		case name == "out" && h.Result >= 0:
			text, _ := c.Read(uint32(args[i]), 8*numbersOf(f.Name))
			for ; len(text) > 0; text = text[8:] {
				values = append(values, int64(binary.LittleEndian.Uint64(text)))
			}
		}
	}
	return out, values
}

// Answer answers a guest's call in place of the function, with what this one was answered. It answers false, and does
// nothing, if that cannot be: a value that did not fit then is not known.
func (h *HostCall) Answer(c *Call, f *abi.Function, stack []uint64) bool {
	for i, name := range f.Names {
		switch {
		case name == "buf" && h.Result > 0:
			room := int64(uint32(stack[i+1]))
			if h.Result <= room && int64(len(h.Out)) != h.Result || f.Name == "kv_list" && h.Result > room {
				return false
			}
			if h.Result <= room && !c.Write(uint32(stack[i]), h.Out) {
				stack[0] = codeAs(f, abi.BadArgument)
				return true
			}
		case name == "out" && h.Result >= 0:
			packed := make([]byte, 0, 16)
			for _, v := range h.Values {
				packed = binary.LittleEndian.AppendUint64(packed, uint64(v))
			}
			if len(packed) != int(8*numbersOf(f.Name)) {
				return false
			}
			if !c.Write(uint32(stack[i]), packed) {
				stack[0] = codeAs(f, abi.BadArgument)
				return true
			}
		}
	}
	stack[0] = uint64(h.Result)
	if f.Results[0] == abi.I32 {
		stack[0] = uint64(uint32(int32(h.Result)))
	}
	return true
}

// codeAs is a code as a function's result.
func codeAs(f *abi.Function, code abi.Code) uint64 {
	if f.Results[0] == abi.I64 {
		return uint64(int64(code))
	}
	return uint64(uint32(int32(code)))
}

var _ abi.Headers = (*recording)(nil)
