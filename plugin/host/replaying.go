package host

import (
	"bytes"
	"slices"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/runtime"
)

// replaying is a decision of a trace that is being asked again.
type replaying struct {
	decision *runtime.Decision
	calls    []runtime.HostCall // that nobody has asked for yet
	missing  []string
	failure  string // why the policy failed
}

func newReplaying(d *runtime.Decision) *replaying {
	return &replaying{decision: d, calls: slices.Clone(d.Calls)}
}

func unixMilli(ms int64) time.Time { return time.UnixMilli(ms) }

// miss notes what the trace does not hold.
func (r *replaying) miss(what string) {
	if !slices.Contains(r.missing, what) {
		r.missing = append(r.missing, what)
	}
}

// ask asks a set the question once more.
func (r *replaying) ask(set *runtime.Set) *cases.Outcome {
	d, is := r.decision, &cases.Outcome{}
	switch d.Hook {
	case abi.Authenticate:
		a := &abi.Authentication{Request: r.request(), Digest: d.Authentication.Digest, Shape: d.Authentication.Shape, Identities: r}
		is.Answered(set.Authenticate(a))
		is.Authenticated(a)
		if d.Veto && is.Answer == cases.Verdict && is.Identity != nil {
			is = &cases.Outcome{Answer: cases.Pass} // the identity is whom the veto let through
		}
	case abi.ChooseStep:
		c := *d.StepChoice
		c.Request = r.request()
		is.Answered(set.ChooseStep(&c))
		is.Chose(&c)
	default:
		p := *d.Pricing
		p.Request = r.request()
		is.Answered(set.PriceResponse(&p))
		is.Priced(&p)
	}
	return is
}

func (r *replaying) request() *abi.Request {
	if r.decision.Request == nil {
		return nil
	}
	request := *r.decision.Request
	request.Headers = r
	return &request
}

// Header implements abi.Headers.
func (r *replaying) Header(name string) ([]byte, bool) {
	for _, h := range r.decision.Headers {
		if h.Name == name {
			return h.Value, h.Found
		}
	}
	r.miss("the header " + name)
	return nil, false
}

// Lookup implements abi.Identities.
func (r *replaying) Lookup(digest *abi.Digest) (*abi.Identity, bool) {
	if r.decision.Veto && *digest == cases.AllowedDigest {
		return r.decision.Identity, true
	}
	for i := range r.decision.Calls {
		if h := &r.decision.Calls[i]; h.Function == "identity_lookup" && len(h.In) == 1 && bytes.Equal(h.In[0], digest[:]) {
			return h.Identity, h.Identity != nil
		}
	}
	r.miss("the identity of a credential")
	return nil, false
}

// random fills b with what was drawn then, in its order.
func (r *replaying) random(b []byte) bool {
	for i := range r.calls {
		if h := &r.calls[i]; h.Function == "random" && len(h.Out) > 0 {
			n := copy(b, h.Out)
			h.Out = h.Out[n:]
			if b = b[n:]; len(b) == 0 {
				return true
			}
		}
	}
	r.miss("random numbers")
	return false
}

// answer answers a call as the same one was answered. A question can be asked again; a change was made once.
func (r *replaying) answer(c *runtime.Call, f *abi.Function, asked *runtime.HostCall, stack []uint64) bool {
	for i := range r.calls {
		h := &r.calls[i]
		if h.Function != f.Name || !slices.EqualFunc(h.In, asked.In, bytes.Equal) || !slices.Equal(h.Args, asked.Args) {
			continue
		}
		if code := c.AdmitKV(); code != abi.OK {
			stack[0] = uint64(uint32(int32(code)))
			if f.Results[0] == abi.I64 {
				stack[0] = uint64(int64(code))
			}
			return true
		}
		if !h.Answer(c, f, stack) {
			continue
		}
		again := slices.ContainsFunc(r.calls[i+1:], func(later runtime.HostCall) bool {
			return later.Function == h.Function && slices.EqualFunc(later.In, h.In, bytes.Equal)
		})
		if !reads(f.Name) || again {
			r.calls = slices.Delete(r.calls, i, i+1)
		}
		return true
	}
	return false
}

var (
	_ abi.Headers    = (*replaying)(nil)
	_ abi.Identities = (*replaying)(nil)
)
