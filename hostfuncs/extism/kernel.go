package extism

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// kernel is the memory that a guest of the portable tier shares with its host, and what stands in it for input, output
// and error. Guests name places in it by offsets, of which a block's first is its handle. A handle is only ever looked
// up among the blocks, which the guest cannot write to, so a forged one finds nothing.
//
// All of it belongs to one call: instances serve identities in turn, and nothing may be left for the next one.
type kernel struct {
	memory []byte  // from the offset base on; only grows within a call
	top    uint64  // offset of what is not allocated
	blocks []block // in the order of their offsets

	input  span
	output span
	failed uint64 // handle of the error message; 0 if there is none

	prepared bool     // the input was made, or done away with
	searched bool     // the stored identity was looked for
	stored   abi.Code // its handle, or why there is none

	vars     map[string][]byte
	varBytes int

	// Kept between calls, because it is the same in all of them or nothing that a guest can read.
	grammar *grammar
	config  map[string]string // of the policy
	buffer  []byte            // where the input is written, and texts are unescaped
}

// block is a part of the memory that was allocated.
type block struct {
	offset uint64
	length uint64
	freed  bool
}

// span is a part of the memory.
type span struct{ offset, length uint64 }

// Bounds of a call's memory.
const (
	base      = 64 // the first offset: 0 stands for nothing, and small numbers are no handles
	alignment = 8
	maxShared = 1 << 20  // bytes that may be allocated
	maxAnswer = 64 << 10 // bytes of output that are read
	maxVars   = 64 << 10 // bytes of variables, names included
	keptBytes = 64 << 10 // of memory that an idle instance keeps
	keptCount = 256      // blocks of which it keeps room
)

// newKernel makes the kernel of an instance.
func newKernel(g *grammar) *kernel { return &kernel{top: base, grammar: g} }

// lookUp finds the stored identity that has the request's own credential, once.
func (k *kernel) lookUp(c *runtime.Call) abi.Code {
	if k.searched {
		return k.stored
	}
	k.searched, k.stored = true, abi.NotFound
	if c.Authentication.Digest != (abi.Digest{}) {
		k.stored = c.Lookup(c.Authentication.Digest[:])
	}
	return k.stored
}

// alloc returns the handle of a new block, or 0 if there is no room for it. A byte that is used for the first time
// costs the guest a unit of fuel: it has to be cleared.
func (k *kernel) alloc(c *runtime.Call, length uint64) uint64 {
	if length == 0 || length > maxShared {
		return 0
	}
	if k.top+length > base+maxShared {
		k.reclaim()
	}
	offset := k.top
	if offset+length > base+maxShared {
		return 0
	}
	top := offset + (length+alignment-1)&^(alignment-1)
	if more := int(top-base) - len(k.memory); more > 0 {
		if !c.Charge(int64(more)) {
			return 0
		}
		k.memory = slices.Grow(k.memory, more)[:len(k.memory)+more] // what lies there is clear
	}
	k.blocks, k.top = append(k.blocks, block{offset: offset, length: length}), top
	return offset
}

// put allocates a block that holds b.
func put[T string | []byte](k *kernel, c *runtime.Call, b T) uint64 {
	handle := k.alloc(c, uint64(len(b)))
	if handle != 0 {
		copy(k.memory[handle-base:], b)
	}
	return handle
}

// find returns the block that has this handle, unless it was freed.
func (k *kernel) find(handle uint64) *block {
	i, found := slices.BinarySearchFunc(k.blocks, handle, func(b block, handle uint64) int {
		switch {
		case b.offset < handle:
			return -1
		case b.offset > handle:
			return 1
		default:
			return 0
		}
	})
	if !found || k.blocks[i].freed {
		return nil
	}
	return &k.blocks[i]
}

// reclaim makes room of the last blocks if they were freed. Only when there is no other room: a handle that was freed
// finds nothing until then, where one that is used anew would find what is somebody else's.
func (k *kernel) reclaim() {
	for last := len(k.blocks) - 1; last >= 0 && k.blocks[last].freed; last-- {
		k.top = k.blocks[last].offset
		k.blocks = k.blocks[:last]
	}
}

// free gives a block back.
func (k *kernel) free(handle uint64) {
	b := k.find(handle)
	if b == nil {
		return
	}
	b.freed = true
	if handle == k.input.offset {
		k.input.length = 0
	}
}

// length returns how long a block is; 0 if nothing has this handle.
func (k *kernel) length(handle uint64) uint64 {
	if b := k.find(handle); b != nil {
		return b.length
	}
	return 0
}

// bytes returns what a block holds; nothing if nothing has this handle. It is the memory itself.
func (k *kernel) bytes(handle uint64) []byte { return k.view(span{handle, k.length(handle)}) }

// view returns a span that is within the memory. What was freed can still be read until something else is put there,
// as PDKs may free their output once they have named it.
func (k *kernel) view(s span) []byte {
	if s.length == 0 {
		return nil
	}
	return k.memory[s.offset-base:][:s.length]
}

// within reports whether a span lies in what is allocated.
func (k *kernel) within(s span) bool {
	return s.offset >= base && s.offset <= k.top && s.length <= k.top-s.offset
}

// access returns n bytes of the allocated memory, or ends the guest's call if they lie outside it. Hosts of Extism let
// some of these through, to memory that is not the guest's.
func (k *kernel) access(c *runtime.Call, offset, n uint64) []byte {
	if s := (span{offset, n}); k.within(s) {
		return k.view(s)
	}
	c.Stop(fmt.Errorf("the guest used %d bytes at the offset %d, outside of what it had allocated", n, offset))
	return nil
}

// prepare makes the input when the guest first looks for it, so that one that does not is spared it.
func (k *kernel) prepare(c *runtime.Call) {
	if k.prepared {
		return
	}
	k.prepared = true
	k.buffer = appendQuestion(k.buffer[:0], k, c)
	for len(k.buffer)%alignment != 0 { // guests read whole words at once, and what is left byte by byte
		k.buffer = append(k.buffer, ' ')
	}
	if handle := put(k, c, k.buffer); handle != 0 {
		k.input = span{handle, uint64(len(k.buffer))}
	}
}

// accessInput returns n bytes of the input, at an offset that counts from its beginning.
func (k *kernel) accessInput(c *runtime.Call, offset, n uint64) []byte {
	if offset <= k.input.length && n <= k.input.length-offset {
		return k.view(span{k.input.offset + offset, n})
	}
	c.Stop(fmt.Errorf("the guest read %d bytes at %d of its input of %d bytes", n, offset, k.input.length))
	return nil
}

// setVar keeps a value under a name, until the call ends.
func (k *kernel) setVar(name, value []byte) error {
	size := k.varBytes + len(name) + len(value)
	if old, ok := k.vars[string(name)]; ok {
		size -= len(name) + len(old)
	}
	if size > maxVars {
		return errors.New("the guest's variables are over 64 KiB")
	}
	if k.vars == nil {
		k.vars = map[string][]byte{}
	}
	k.vars[string(name)] = slices.Clone(value)
	k.varBytes = size
	return nil
}

func (k *kernel) deleteVar(name []byte) {
	if old, ok := k.vars[string(name)]; ok {
		k.varBytes -= len(name) + len(old)
		delete(k.vars, string(name))
	}
}

// clear gives back all memory, and with it input, output and error.
func (k *kernel) clear() {
	clear(k.memory)
	if cap(k.memory) > keptBytes {
		k.memory = nil
	}
	if cap(k.blocks) > keptCount {
		k.blocks = nil
	}
	k.memory, k.blocks, k.top = k.memory[:0], k.blocks[:0], base
	k.input, k.output, k.failed = span{}, span{}, 0
}

// Answered implements runtime.Session.
func (k *kernel) Answered() bool { return k.output.length > 0 }

// Complaint implements runtime.Session.
func (k *kernel) Complaint() string {
	if k.failed == 0 {
		return ""
	}
	message := k.bytes(k.failed)
	return string(message[:min(len(message), runtime.MaxLogLine)])
}

// Reset implements runtime.Session.
func (k *kernel) Reset() {
	k.clear()
	k.vars, k.varBytes = nil, 0
	k.prepared, k.searched, k.stored = false, false, 0
}

var _ runtime.Session = (*kernel)(nil)
