// Package extism is the portable tier of policies: it serves guests that were built with any PDK of Extism, by the import
// module of that name, with a JSON message for the fields of a hook and another for its verdict. Its one job is to do for
// hostile guests what a host of Extism does for good ones: whatever a guest passes, no call touches more than the running
// exchange and a memory that is the call's own.
//
// It imports abi and runtime. Only cmd/sallyport imports it, and tests that run guests. Extism's own host is not used:
// it is the oracle of the tests.
package extism

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// New returns the portable tier. It does without what reaches out of the sandbox: requests over HTTP answer 0, as does
// every function that is not here.
func New() *runtime.Portable {
	g := newGrammar()
	return &runtime.Portable{Functions: functions(), NewSession: func() runtime.Session { return newKernel(g) }}
}

// function is a function of Extism's with the kernel that it works on. It answers what its result is.
type function func(k *kernel, c *runtime.Call, stack []uint64) uint64

func functions() []runtime.PortableFunction {
	const one, two = 1, 2
	no, i32, i64 := []abi.Type(nil), []abi.Type{abi.I32}, []abi.Type{abi.I64}
	byteAt := []abi.Type{abi.I64, abi.I32}
	return []runtime.PortableFunction{
		counted("alloc", handles(one), i64, allocate),
		counted("free", handles(one), no, freeBlock),
		counted("length", handles(one), i64, blockLength),
		counted("length_unsafe", handles(one), i64, blockLength),
		counted("reset", no, no, resetAll),
		counted("memory_bytes", no, i64, memoryBytes),
		access("load_u8", handles(one), i32, loadByte),
		access("load_u64", handles(one), i64, loadWord),
		access("store_u8", byteAt, no, storeByte),
		access("store_u64", handles(two), no, storeWord),

		counted("input_length", no, i64, inputLength),
		counted("input_offset", no, i64, inputOffset),
		counted("input_set", handles(two), no, inputSet),
		access("input_load_u8", handles(one), i32, inputByte),
		access("input_load_u64", handles(one), i64, inputWord),
		counted("output_set", handles(two), no, outputSet),
		counted("output_length", no, i64, outputLength),
		counted("output_offset", no, i64, outputOffset),
		counted("error_set", handles(one), no, errorSet),
		counted("error_get", no, i64, errorGet),

		counted("config_get", handles(one), i64, configGet),
		counted("var_get", handles(one), i64, varGet),
		counted("var_set", handles(two), no, varSet),

		counted("get_log_level", no, i32, logLevel),
		counted("log_trace", handles(one), no, logAt(abi.LogDebug)),
		counted("log_debug", handles(one), no, logAt(abi.LogDebug)),
		counted("log_info", handles(one), no, logAt(abi.LogInfo)),
		counted("log_warn", handles(one), no, logAt(abi.LogWarn)),
		counted("log_error", handles(one), no, logAt(abi.LogError)),
	}
}

// handles is the parameters of a function that takes n handles, or offsets, or lengths.
func handles(n int) []abi.Type {
	types := make([]abi.Type, n)
	for i := range types {
		types[i] = abi.I64
	}
	return types
}

func counted(name string, params, results []abi.Type, f function) runtime.PortableFunction {
	return runtime.PortableFunction{Name: name, Params: params, Results: results, Call: func(c *runtime.Call, stack []uint64) {
		k := c.Session().(*kernel) //nolint:errcheck // New makes no other
		if result := f(k, c, stack); len(results) > 0 {
			stack[0] = result
		}
	}}
}

func access(name string, params, results []abi.Type, f function) runtime.PortableFunction {
	out := counted(name, params, results, f)
	out.Access = true
	return out
}

func allocate(k *kernel, c *runtime.Call, stack []uint64) uint64 { return k.alloc(c, stack[0]) }

func freeBlock(k *kernel, _ *runtime.Call, stack []uint64) uint64 {
	k.free(stack[0])
	return 0
}

func blockLength(k *kernel, _ *runtime.Call, stack []uint64) uint64 { return k.length(stack[0]) }

// resetAll takes the input, too: what was there is gone for this call.
func resetAll(k *kernel, _ *runtime.Call, _ []uint64) uint64 {
	k.clear()
	k.prepared = true
	return 0
}

func memoryBytes(k *kernel, _ *runtime.Call, _ []uint64) uint64 { return k.top - base }

func loadByte(k *kernel, c *runtime.Call, stack []uint64) uint64 {
	if b := k.access(c, stack[0], 1); b != nil {
		return uint64(b[0])
	}
	return 0
}

func loadWord(k *kernel, c *runtime.Call, stack []uint64) uint64 {
	if b := k.access(c, stack[0], 8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func storeByte(k *kernel, c *runtime.Call, stack []uint64) uint64 {
	if b := k.access(c, stack[0], 1); b != nil {
		b[0] = byte(stack[1])
	}
	return 0
}

func storeWord(k *kernel, c *runtime.Call, stack []uint64) uint64 {
	if b := k.access(c, stack[0], 8); b != nil {
		binary.LittleEndian.PutUint64(b, stack[1])
	}
	return 0
}

func inputLength(k *kernel, c *runtime.Call, _ []uint64) uint64 {
	k.prepare(c)
	return k.input.length
}

func inputOffset(k *kernel, c *runtime.Call, _ []uint64) uint64 {
	k.prepare(c)
	return k.input.offset
}

func inputSet(k *kernel, c *runtime.Call, stack []uint64) uint64 {
	s := span{stack[0], stack[1]}
	switch {
	case s.length == 0:
		k.prepared, k.input = true, span{}
	case k.within(s):
		k.prepared, k.input = true, s
	default:
		c.Stop(fmt.Errorf("the guest made %d bytes at the offset %d its input, outside of what it had allocated", s.length, s.offset))
	}
	return 0
}

func inputByte(k *kernel, c *runtime.Call, stack []uint64) uint64 {
	k.prepare(c)
	if b := k.accessInput(c, stack[0], 1); b != nil {
		return uint64(b[0])
	}
	return 0
}

func inputWord(k *kernel, c *runtime.Call, stack []uint64) uint64 {
	k.prepare(c)
	if b := k.accessInput(c, stack[0], 8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// outputSet only notes where the output is. It is read when the hook has returned.
func outputSet(k *kernel, c *runtime.Call, stack []uint64) uint64 {
	s := span{stack[0], stack[1]}
	switch {
	case s.length == 0:
		k.output = span{}
	case k.within(s):
		k.output = s
	default:
		c.Stop(fmt.Errorf("the guest made %d bytes at the offset %d its output, outside of what it had allocated", s.length, s.offset))
	}
	return 0
}

func outputLength(k *kernel, _ *runtime.Call, _ []uint64) uint64 { return k.output.length }
func outputOffset(k *kernel, _ *runtime.Call, _ []uint64) uint64 { return k.output.offset }

func errorSet(k *kernel, _ *runtime.Call, stack []uint64) uint64 {
	k.failed = stack[0]
	return 0
}

func errorGet(k *kernel, _ *runtime.Call, _ []uint64) uint64 { return k.failed }

// configGet finds a member of the policy's configuration: a text as it is, anything else as JSON.
func configGet(k *kernel, c *runtime.Call, stack []uint64) uint64 {
	if k.config == nil {
		k.config = readTexts(c.Config())
	}
	name := k.bytes(stack[0])
	if !c.Charge(int64(len(name))) {
		return 0
	}
	return put(k, c, k.config[string(name)])
}

// readTexts makes texts of the members of a JSON object. What is no object has none.
func readTexts(config []byte) map[string]string {
	texts := map[string]string{}
	var members map[string]json.RawMessage
	if json.Unmarshal(config, &members) != nil {
		return texts
	}
	for name, member := range members {
		var text string
		if json.Unmarshal(member, &text) != nil {
			text = string(member)
		}
		texts[name] = text
	}
	return texts
}

// varGet frees the name, as all hosts of Extism do.
func varGet(k *kernel, c *runtime.Call, stack []uint64) uint64 {
	name := k.bytes(stack[0])
	if !c.Charge(int64(len(name))) {
		return 0
	}
	value := k.vars[string(name)]
	k.free(stack[0])
	if !c.Charge(int64(len(value))) {
		return 0
	}
	return put(k, c, value)
}

// varSet frees name and value. A value of 0 takes the variable away.
func varSet(k *kernel, c *runtime.Call, stack []uint64) uint64 {
	name, value := k.bytes(stack[0]), k.bytes(stack[1])
	defer k.free(stack[0])
	defer k.free(stack[1])
	switch {
	case !c.Charge(int64(len(name) + len(value))):
	case stack[1] == 0:
		k.deleteVar(name)
	default:
		if err := k.setVar(name, value); err != nil {
			c.Stop(err)
		}
	}
	return 0
}

// logLevel answers the lowest level that is logged, as Extism counts them: from 0, which is one below debug.
func logLevel(_ *kernel, c *runtime.Call, _ []uint64) uint64 {
	switch level := c.LogLevel(); {
	case level > abi.LogError:
		return math.MaxInt32
	case level == abi.LogDebug:
		return 0 // traces are logged as debug lines
	default:
		return uint64(level + 1)
	}
}

// logAt logs a text at a level, and frees it.
func logAt(level int32) function {
	return func(k *kernel, c *runtime.Call, stack []uint64) uint64 {
		text := k.bytes(stack[0])
		c.WriteLog(level, text[:min(len(text), runtime.MaxLogLine)])
		k.free(stack[0])
		return 0
	}
}
