package runtime

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/sallyport-dev/sallyport/runtime/fuel"
)

// Error numbers of wasi_snapshot_preview1.
const (
	errnoSuccess = 0
	errnoAgain   = 6
	errnoBadF    = 8
	errnoFault   = 21
	errnoInval   = 28
	errnoNoSys   = 52
)

// Caps of single WASI calls.
const (
	maxRandom  = 4 << 10 // bytes of one random_get
	maxVectors = 64      // buffers of one fd_write
)

// wasiFunctions are the part of WASI that guests of the Go and C toolchains need to come up: clocks, random bytes,
// and standard output, which is the log. There are no arguments, no environment, no files and no sockets; what is not
// here answers ENOSYS.
func wasiFunctions() map[string]hostFunction {
	i32 := func(n int) (t fuel.Types) {
		for range n {
			t += fuel.I32
		}
		return t
	}
	errno := func(params fuel.Types, call func(*Call, []uint64) uint32) hostFunction {
		return hostFunction{
			kind:    fuel.FuncType{Params: params, Results: fuel.I32},
			refused: errnoAgain,
			call:    func(c *Call, stack []uint64) { stack[0] = uint64(call(c, stack)) },
		}
	}
	return map[string]hostFunction{
		"args_get":          errno(i32(2), func(*Call, []uint64) uint32 { return errnoSuccess }),
		"args_sizes_get":    errno(i32(2), wasiNoStrings),
		"environ_get":       errno(i32(2), func(*Call, []uint64) uint32 { return errnoSuccess }),
		"environ_sizes_get": errno(i32(2), wasiNoStrings),
		"clock_time_get":    errno(fuel.I32+fuel.I64+fuel.I32, wasiClock),
		"random_get":        errno(i32(2), wasiRandom),
		"poll_oneoff":       errno(i32(4), wasiSleep),
		"sched_yield":       errno("", func(*Call, []uint64) uint32 { return errnoSuccess }),
		"fd_write":          errno(i32(4), wasiWrite),
		"fd_fdstat_get":     errno(i32(2), wasiFdstat),
		"fd_prestat_get":    errno(i32(2), func(*Call, []uint64) uint32 { return errnoBadF }),
		"proc_exit": {
			kind: fuel.FuncType{Params: fuel.I32},
			call: func(c *Call, stack []uint64) {
				c.in.stop(Exited, fmt.Errorf("the guest called proc_exit(%d)", int32(stack[0])))
			},
		},
	}
}

// wasiNoStrings says that there are no arguments, or no environment: none, of no bytes.
func wasiNoStrings(c *Call, stack []uint64) uint32 {
	if !c.writeWord(uint32(stack[0]), 0) || !c.writeWord(uint32(stack[1]), 0) {
		return errnoFault
	}
	return errnoSuccess
}

// writeWord writes in place: a buffer of its own would escape to the heap.
func (c *Call) writeWord(ptr, v uint32) bool {
	view, ok := c.Read(ptr, 4)
	if ok {
		binary.LittleEndian.PutUint32(view, v)
	}
	return ok
}

// wasiClock serves the wall clock and the monotonic one alike, at a resolution of a millisecond: finer ones help to
// measure the neighbours, not to decide.
func wasiClock(c *Call, stack []uint64) uint32 {
	const realtime, monotonic = 0, 1
	if id := uint32(stack[0]); id != realtime && id != monotonic {
		return errnoInval
	}
	view, ok := c.Read(uint32(stack[2]), 8)
	if !ok {
		return errnoFault
	}
	binary.LittleEndian.PutUint64(view, uint64(c.Now().UnixMilli())*uint64(time.Millisecond))
	return errnoSuccess
}

func wasiRandom(c *Call, stack []uint64) uint32 {
	if uint32(stack[1]) > maxRandom {
		return errnoInval
	}
	view, ok := c.Read(uint32(stack[0]), uint32(stack[1]))
	if !ok {
		return errnoFault
	}
	c.Random(view)
	return errnoSuccess
}

// wasiSleep serves a single sleep, and answers that it is over: a guest that waits must not hold up the request, and
// one that insists spins until its fuel is used up. Go's runtime sleeps before it prints why it panics, so without
// this the reason would be lost. It takes a list of subscriptions of 48 bytes, room for as many events of 32, the
// number, and where to store how many events there are.
func wasiSleep(c *Call, stack []uint64) uint32 {
	const kindAt, clock = 8, 0
	if uint32(stack[2]) != 1 {
		return errnoNoSys
	}
	subscription, ok := c.Read(uint32(stack[0]), 48)
	if !ok {
		return errnoFault
	}
	if subscription[kindAt] != clock {
		return errnoNoSys
	}
	userData := binary.LittleEndian.Uint64(subscription)
	event, ok := c.Read(uint32(stack[1]), 32)
	if !ok || !c.writeWord(uint32(stack[3]), 1) {
		return errnoFault
	}
	clear(event) // no error, a clock
	binary.LittleEndian.PutUint64(event, userData)
	return errnoSuccess
}

// wasiWrite takes fd, a list of (pointer, length), its length, and where to store how much was written.
func wasiWrite(c *Call, stack []uint64) uint32 {
	const standardOutput, standardError = 1, 2
	fd, count := uint32(stack[0]), uint32(stack[2])
	if fd != standardOutput && fd != standardError {
		return errnoBadF
	}
	if count > maxVectors {
		return errnoInval
	}
	vectors, ok := c.Read(uint32(stack[1]), count*8)
	if !ok {
		return errnoFault
	}
	var written uint32
	for ; len(vectors) > 0; vectors = vectors[8:] {
		text, ok := c.Read(binary.LittleEndian.Uint32(vectors), binary.LittleEndian.Uint32(vectors[4:]))
		if !ok {
			return errnoFault
		}
		if fd == standardError {
			c.writeError(text)
		} else {
			c.writeOutput(text)
		}
		written += uint32(len(text))
	}
	if !c.writeWord(uint32(stack[3]), written) {
		return errnoFault
	}
	return errnoSuccess
}

// wasiFdstat says of the standard streams that they are character devices: 24 bytes of which only the first counts.
func wasiFdstat(c *Call, stack []uint64) uint32 {
	const characterDevice = 2
	if uint32(stack[0]) > 2 {
		return errnoBadF
	}
	view, ok := c.Read(uint32(stack[1]), 24)
	if !ok {
		return errnoFault
	}
	clear(view)
	view[0] = characterDevice
	return errnoSuccess
}
