package runtime_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// wasiResult calls a WASI function and returns its error number and the 32-bit word that is then at address 64. The
// guest brings them out as a cost, which has room for both.
func wasiResult(t *testing.T, o runtime.Options, name string, prepare []byte, args ...int64) (errno, word uint32) {
	t.Helper()
	var m w.Module
	var params []w.Type
	var push []byte
	for i, a := range args {
		if name == "clock_time_get" && i == 1 {
			params, push = append(params, w.I64), w.Code(push, w.I64Const(a))
			continue
		}
		params, push = append(params, w.I32), w.Code(push, w.I32Const(int32(a)))
	}
	f := m.Import(abi.ModuleWASI, name, params, []w.Type{w.I32})
	set := m.Import(abi.ModulePolicy, "set_i64", []w.Type{w.I32, w.I32, w.I64}, []w.Type{w.I32})
	m.Memory(1)
	m.Hook("price_response", prepare,
		w.I32Const(int32(abi.FieldCost)), w.I32Const(0),
		push, w.Call(f), w.I64ExtendU, w.I64Const(32), w.I64Shl, w.I32Const(64), w.I32Load(0), w.I64ExtendU, w.I64Or,
		w.Call(set), w.Drop, w.Verdict)
	var p abi.Pricing
	if answer := load(t, o, runtime.Policy{Name: "p", Wasm: m.Bytes()}).PriceResponse(&p); answer != abi.Given {
		t.Fatalf("%s: answer %d", name, answer)
	}
	return uint32(p.Cost >> 32), uint32(p.Cost)
}

func TestWASI(t *testing.T) {
	const success, badF, fault, inval, noSys = 0, 8, 21, 28, 52
	const milliseconds = 1_700_000_000_123_000_000 & 0xffffffff
	dirty := w.Code(w.I32Const(64), w.I32Const(99), w.I32Store(0), w.I32Const(68), w.I32Const(99), w.I32Store(0))
	// Two buffers at 80: "one\ntw" and "o\n", which lie at 16 and 22.
	vectors := w.Code(w.I32Const(80), w.I32Const(16), w.I32Store(0), w.I32Const(84), w.I32Const(6), w.I32Store(0),
		w.I32Const(88), w.I32Const(22), w.I32Store(0), w.I32Const(92), w.I32Const(2), w.I32Store(0))
	for i, c := range []byte("one\ntwo\n") {
		vectors = w.Code(vectors, w.I32Const(int32(16+i)), w.I32Const(int32(c)), w.I32Store8(0))
	}
	for _, test := range []struct {
		name     string
		function string
		prepare  []byte
		args     []int64
		errno    uint32
		word     uint32 // at 64, after
	}{
		{"no arguments", "args_sizes_get", dirty, []int64{64, 68}, success, 0},
		{"no environment", "environ_sizes_get", dirty, []int64{68, 64}, success, 0},
		{"sizes to nowhere", "args_sizes_get", nil, []int64{64, -1}, fault, 0},
		{"no argument", "args_get", dirty, []int64{64, 64}, success, 99},
		{"a clock in milliseconds", "clock_time_get", nil, []int64{0, 1, 64}, success, milliseconds},
		{"a monotonic clock", "clock_time_get", nil, []int64{1, 1, 64}, success, milliseconds},
		{"an unknown clock", "clock_time_get", nil, []int64{9, 1, 64}, inval, 0},
		{"a clock to nowhere", "clock_time_get", nil, []int64{1, 1, 65530}, fault, 0},
		{"random bytes", "random_get", nil, []int64{64, 2}, success, 0x0707},
		{"too many random bytes", "random_get", nil, []int64{0, 4097}, inval, 0},
		{"4 GiB of random bytes", "random_get", nil, []int64{0, -1}, inval, 0},
		{"random bytes past the end", "random_get", nil, []int64{65535, 2}, fault, 0},
		{"a sleep is over at once", "poll_oneoff", dirty, []int64{0, 128, 1, 64}, success, 1},
		{"a sleep's event", "poll_oneoff", w.Code(dirty, w.I32Const(0), w.I32Const(7), w.I32Store(0)), []int64{0, 64, 1, 128}, success, 7},
		{"waiting for a file", "poll_oneoff", w.Code(w.I32Const(8), w.I32Const(1), w.I32Store(0)), []int64{0, 128, 1, 64}, noSys, 0},
		{"waiting for two things", "poll_oneoff", nil, []int64{0, 128, 2, 64}, noSys, 0},
		{"a sleep from nowhere", "poll_oneoff", nil, []int64{-1, 128, 1, 64}, fault, 0},
		{"a sleep to nowhere", "poll_oneoff", nil, []int64{0, 65535, 1, 64}, fault, 0},
		{"a sleep without telling", "poll_oneoff", nil, []int64{0, 128, 1, 65533}, fault, 0},
		{"no files", "path_open", nil, []int64{0, 0, 0, 0, 0}, noSys, 0},
		{"no folders", "fd_prestat_get", nil, []int64{3, 64}, badF, 0},
		{"yielding", "sched_yield", nil, nil, success, 0},
		{"standard input is a device", "fd_fdstat_get", dirty, []int64{0, 64}, success, 2},
		{"descriptor 3 is not", "fd_fdstat_get", nil, []int64{3, 64}, badF, 0},
		{"a descriptor's state to nowhere", "fd_fdstat_get", nil, []int64{1, 65530}, fault, 0},
		{"writing", "fd_write", vectors, []int64{1, 80, 2, 64}, success, 8},
		{"writing to standard input", "fd_write", vectors, []int64{0, 80, 2, 64}, badF, 0},
		{"writing a buffer that is not there", "fd_write", w.Code(w.I32Const(80), w.I32Const(-8), w.I32Store(0), w.I32Const(84), w.I32Const(9), w.I32Store(0)),
			[]int64{1, 80, 1, 64}, fault, 0},
		{"writing buffers that are not there", "fd_write", nil, []int64{1, 65530, 1, 64}, fault, 0},
		{"writing 2^29 + 1 buffers", "fd_write", nil, []int64{1, 0, 1<<29 + 1, 64}, inval, 0},
		{"writing without telling how much", "fd_write", vectors, []int64{1, 80, 2, 65534}, fault, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := runtime.Options{Now: clock, Random: func(b []byte) {
				for i := range b {
					b[i] = 7
				}
			}}
			errno, word := wasiResult(t, o, test.function, test.prepare, test.args...)
			if errno != test.errno {
				t.Errorf("error number %d, want %d", errno, test.errno)
			}
			if word != test.word {
				t.Errorf("the word at 64 is %#x, want %#x", word, test.word)
			}
		})
	}
}

func TestStandardOutputIsTheLog(t *testing.T) {
	var m w.Module
	write := m.Import(abi.ModuleWASI, "fd_write", []w.Type{w.I32, w.I32, w.I32, w.I32}, []w.Type{w.I32})
	m.Memory(1)
	m.Data(0, []byte{16, 0, 0, 0, 9, 0, 0, 0}) // one buffer: 9 bytes at 16
	m.Data(16, []byte("one\n\ntwo…"[:9]))
	say := w.Code(w.I32Const(1), w.I32Const(0), w.I32Const(1), w.I32Const(8), w.Call(write), w.Drop)
	m.Hook("price_response", say, say, w.Unreachable)
	var lines messages
	set := load(t, runtime.Options{Log: slog.New(&lines)}, runtime.Policy{Name: "p", Wasm: m.Bytes()})
	set.PriceResponse(&abi.Pricing{})
	// The second line is completed by the second write, and what is left at the trap is logged as it is.
	if got := strings.Join(lines, "|"); got != `one|two\xe2one|two\xe2|a policy failed` {
		t.Errorf("logged %q", got)
	}
}
