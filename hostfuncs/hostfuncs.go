// Package hostfuncs implements the functions that a guest may call: the import module abi.ModulePolicy, as
// abi.Functions describes it. Its one job is to serve hostile callers: whatever a guest passes, it gets a code or a
// value, and no call touches more than the running exchange and the guest's own memory.
//
// It imports abi and runtime, and never state: what needs storage is handed in. Only cmd/sallyport imports it, and
// tests that run guests.
package hostfuncs

import (
	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// maxRandom is how many bytes one call of random fills at most.
const maxRandom = 4 << 10

// Functions returns every function of the contract. They share nothing that changes, so one list serves any number
// of runtimes.
func Functions() []runtime.Function {
	t := newTable()
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
	answer(stack, output(c, value{bytes: c.Config()}, word(stack, 0), word(stack, 1)))
}
