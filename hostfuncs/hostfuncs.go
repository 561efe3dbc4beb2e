// Package hostfuncs implements the functions that a guest may call: the import module abi.ModulePolicy, as
// abi.Functions describes it. Its one job is to serve hostile callers: whatever a guest passes, it gets a code or a
// value, and no call touches more than the running exchange and the guest's own memory.
//
// It imports abi and runtime, and never kv or state: what needs storage is handed in. cmd/sallyport and plugin/host
// import it, and tests that run guests.
package hostfuncs

import (
	"crypto/sha256"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// Bounds of one call.
const (
	maxRandom = 4 << 10 // bytes that random fills
	maxDigest = 1 << 20 // bytes that digest reads
	// digestFuel is what a byte costs a guest: about what hashing it takes, on machines that have no instruction for it.
	digestFuel = 4
)

// Options are what the functions need from outside. The zero value works: then nothing can be stored.
type Options struct {
	// KV returns the namespace of a policy, always the same one for the same name. It is asked until it has answered
	// one, and so may fail for a time. nil: the functions that keep state answer abi.Unavailable.
	KV func(policy string) (Namespace, error)
	// Meter gets what policies count. nil: nobody does.
	Meter Meter
}

// Functions returns every function of the contract. What they share is the options', by the policies' names, so one
// list serves any number of runtimes whose policies are the same ones.
func Functions(o Options) []runtime.Function {
	t, s, m := newTable(), &store{open: o.KV}, &counters{meter: o.Meter}
	return []runtime.Function{
		{Name: "get", Call: t.get},
		{Name: "get_i64", Call: t.getInt},
		{Name: "get_named", Call: t.getNamed},
		{Name: "set", Call: t.set},
		{Name: "set_i64", Call: t.setInt},
		{Name: "identity_lookup", Call: identityLookup},
		{Name: "log", Call: writeLog},
		{Name: "now", Call: now},
		{Name: "random", Call: random},
		{Name: "config", Call: readConfig},
		{Name: "script", Call: readScript},
		{Name: "digest", Call: digest},
		{Name: "metric", Call: m.metric},
		{Name: "kv_get", Call: s.get},
		{Name: "kv_version", Call: s.version},
		{Name: "kv_set", Call: s.set},
		{Name: "kv_delete", Call: s.remove},
		{Name: "kv_cas", Call: s.cas},
		{Name: "kv_incr", Call: s.incr},
		{Name: "kv_window_add", Call: s.windowAdd},
		{Name: "kv_list", Call: s.list},
	}
}

// Parameters come as 64-bit words; an i32 is the low half of one.
func word(stack []uint64, i int) uint32   { return uint32(stack[i]) }
func signed(stack []uint64, i int) int32  { return int32(uint32(stack[i])) }
func answer(stack []uint64, length int32) { stack[0] = uint64(uint32(length)) }
func answerCode(stack []uint64, code abi.Code) {
	answer(stack, int32(code))
}

// identityLookup is identity_lookup(digest, digest_len) -> handle.
func identityLookup(c *runtime.Call, stack []uint64) {
	answerCode(stack, lookUp(c, word(stack, 0), word(stack, 1)))
}

func lookUp(c *runtime.Call, ptr, length uint32) abi.Code {
	switch {
	case c.Hook != abi.Authenticate:
		return abi.WrongHook
	case !c.GrantedIdentities():
		return abi.NotGranted
	case length != abi.DigestSize:
		return abi.BadArgument
	}
	digest, ok := c.Read(ptr, length)
	if !ok {
		return abi.BadArgument
	}
	return c.Lookup(digest)
}

// writeLog is log(level, ptr, len) -> code. A longer text is cut, so only the part that is logged has to lie within
// the memory.
func writeLog(c *runtime.Call, stack []uint64) {
	text, ok := c.Read(word(stack, 1), min(word(stack, 2), runtime.MaxLogLine))
	if !ok {
		answerCode(stack, abi.BadArgument)
		return
	}
	answerCode(stack, c.WriteLog(signed(stack, 0), text))
}

// now is now() -> unix milliseconds.
func now(c *runtime.Call, stack []uint64) { stack[0] = uint64(c.Now().UnixMilli()) }

// random is random(ptr, len) -> code.
func random(c *runtime.Call, stack []uint64) {
	length := word(stack, 1)
	if length > maxRandom {
		answerCode(stack, abi.BadArgument)
		return
	}
	view, ok := c.Read(word(stack, 0), length)
	if !ok {
		answerCode(stack, abi.BadArgument)
		return
	}
	c.Random(view)
	answerCode(stack, abi.OK)
}

// readConfig is config(buf, cap) -> length.
func readConfig(c *runtime.Call, stack []uint64) {
	answer(stack, outputBytes(c, c.Config(), word(stack, 0), word(stack, 1)))
}

// readScript is script(buf, cap) -> length.
func readScript(c *runtime.Call, stack []uint64) {
	answer(stack, outputBytes(c, c.Script(), word(stack, 0), word(stack, 1)))
}

// digest is digest(ptr, len, out) -> code.
func digest(c *runtime.Call, stack []uint64) {
	length := word(stack, 1)
	text, ok := c.Read(word(stack, 0), length)
	out, room := c.Read(word(stack, 2), sha256.Size)
	switch {
	case !ok || !room || length > maxDigest:
		answerCode(stack, abi.BadArgument)
	case !c.Charge(int64(length) * digestFuel):
		answerCode(stack, abi.OverQuota)
	default:
		sum := sha256.Sum256(text)
		copy(out, sum[:])
		answerCode(stack, abi.OK)
	}
}
