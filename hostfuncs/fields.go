package hostfuncs

import (
	"encoding/binary"
	"math"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// get is get(field, index, buf, cap) -> length.
func (t table) get(c *runtime.Call, stack []uint64) {
	id, index, buf, size := abi.FieldID(signed(stack, 0)), signed(stack, 1), word(stack, 2), word(stack, 3)
	f, code := t.find(c, id, false)
	switch {
	case code != abi.OK:
		answerCode(stack, code)
	case f.kind == abi.IntList && index == abi.AllIndexes:
		answer(stack, outputAll(c, id, buf, size))
	case f.kind == abi.Named || !f.indexable(index):
		answerCode(stack, abi.BadArgument)
	case f.isInt():
		answer(stack, outputNumber(c, id, index, buf, size))
	default:
		answer(stack, output(c, lookupText(c, id, index), buf, size))
	}
}

// indexable reports whether index can be one of the field: 0 where there is no list, else not negative.
func (f field) indexable(index int32) bool { return index == 0 || f.isList() && index > 0 }

// getInt is get_i64(field, index) -> value.
func (t table) getInt(c *runtime.Call, stack []uint64) {
	id, index := abi.FieldID(signed(stack, 0)), signed(stack, 1)
	stack[0] = math.MaxInt64 + 1 // abi.NoValue
	f, code := t.find(c, id, false)
	if code != abi.OK || !f.isInt() || !f.indexable(index) {
		return
	}
	if n, ok := lookupNumber(c, id, index); ok {
		stack[0] = uint64(n)
	}
}

// getNamed is get_named(field, name, name_len, buf, cap) -> length.
func (t table) getNamed(c *runtime.Call, stack []uint64) {
	id, buf, size := abi.FieldID(signed(stack, 0)), word(stack, 3), word(stack, 4)
	f, code := t.find(c, id, false)
	name, ok := c.Read(word(stack, 1), word(stack, 2))
	switch {
	case code != abi.OK:
		answerCode(stack, code)
		return
	case f.kind != abi.Named || !ok:
		answerCode(stack, abi.BadArgument)
		return
	}
	granted, ok := c.GrantedName(id, name)
	if !ok {
		answerCode(stack, abi.NotGranted)
		return
	}
	var header []byte
	if c.Request != nil && c.Request.Headers != nil {
		header, _ = c.Request.Headers.Header(granted)
	}
	answer(stack, outputBytes(c, header, buf, size))
}

// set is set(field, index, ptr, len) -> code.
func (t table) set(c *runtime.Call, stack []uint64) {
	answerCode(stack, t.store(c, abi.FieldID(signed(stack, 0)), signed(stack, 1), word(stack, 2), word(stack, 3)))
}

func (t table) store(c *runtime.Call, id abi.FieldID, index int32, ptr, length uint32) abi.Code {
	f, code := t.find(c, id, true)
	if code != abi.OK {
		return code
	}
	text, ok := c.Read(ptr, length)
	switch {
	case !ok:
		return c.Refuse(id)
	case f.kind == abi.IntList && index == abi.AllIndexes:
		return storeAll(c, id, text)
	case f.isInt() || !f.indexable(index):
		return c.Refuse(id)
	default:
		return c.SetText(id, index, text)
	}
}

// storeAll writes a list of numbers from its packed form.
func storeAll(c *runtime.Call, id abi.FieldID, packed []byte) abi.Code {
	if len(packed)%8 != 0 {
		return c.Refuse(id)
	}
	for i := int32(0); len(packed) > 0; i++ {
		if code := c.SetInt(id, i, int64(binary.LittleEndian.Uint64(packed))); code != abi.OK {
			return code
		}
		packed = packed[8:]
	}
	return abi.OK
}

// setInt is set_i64(field, index, value) -> code.
func (t table) setInt(c *runtime.Call, stack []uint64) {
	id, index := abi.FieldID(signed(stack, 0)), signed(stack, 1)
	f, code := t.find(c, id, true)
	switch {
	case code != abi.OK:
		answerCode(stack, code)
	case !f.isInt() || !f.indexable(index):
		answerCode(stack, c.Refuse(id))
	default:
		answerCode(stack, c.SetInt(id, index, int64(stack[2])))
	}
}

// output answers a text by the rule of the contract: its length, and if that is at most size, the text is at buf.
func output(c *runtime.Call, t text, buf, size uint32) int32 {
	switch {
	case t.label != nil:
		return outputLabel(c, t.label, buf, size)
	case t.string == "":
		return outputBytes(c, t.bytes, buf, size)
	case len(t.string) > int(size):
		return int32(len(t.string))
	case !c.WriteString(buf, t.string):
		return int32(abi.BadArgument)
	default:
		return int32(len(t.string))
	}
}

// outputNumber writes in place: a buffer of its own would escape to the heap.
func outputNumber(c *runtime.Call, id abi.FieldID, index int32, buf, size uint32) int32 {
	n, known := lookupNumber(c, id, index)
	if !known {
		return int32(abi.Absent)
	}
	if size < 8 {
		return 8
	}
	view, ok := c.Read(buf, 8)
	if !ok {
		return int32(abi.BadArgument)
	}
	binary.LittleEndian.PutUint64(view, uint64(n))
	return 8
}

// outputLabel joins name and value in the guest's memory: joined here they would be garbage.
func outputLabel(c *runtime.Call, l *abi.Label, buf, size uint32) int32 {
	length := len(l.Name) + 1 + len(l.Value)
	if length > int(size) {
		return int32(length)
	}
	view, ok := c.Read(buf, uint32(length))
	if !ok {
		return int32(abi.BadArgument)
	}
	n := copy(view, l.Name)
	view[n] = '='
	copy(view[n+1:], l.Value)
	return int32(length)
}

func outputBytes(c *runtime.Call, b []byte, buf, size uint32) int32 {
	switch {
	case len(b) == 0:
		return int32(abi.Absent)
	case len(b) > int(size):
		return int32(len(b))
	case !c.Write(buf, b):
		return int32(abi.BadArgument)
	default:
		return int32(len(b))
	}
}

// outputAll answers a list of numbers in its packed form, written straight into the guest's memory.
func outputAll(c *runtime.Call, id abi.FieldID, buf, size uint32) int32 {
	switch id {
	case abi.FieldUsage:
		return outputList(c, c.Pricing.Usage[:], buf, size)
	case abi.FieldPrice:
		if c.Pricing.Price == nil {
			return int32(abi.Absent)
		}
		return outputList(c, c.Pricing.Price[:], buf, size)
	case abi.FieldStepTries:
		return outputList(c, c.StepChoice.Tries, buf, size)
	case abi.FieldIdentityLimits:
		if c.Identity == nil {
			return int32(abi.Absent)
		}
		return outputList(c, c.Identity.Limits[:], buf, size)
	default:
		return outputOfSteps(c, id, buf, size)
	}
}

// outputList packs a list as it stands.
func outputList[T ~int64](c *runtime.Call, list []T, buf, size uint32) int32 {
	view, answer := room(c, len(list), buf, size)
	for i := range len(view) / 8 {
		binary.LittleEndian.PutUint64(view[8*i:], uint64(list[i]))
	}
	return answer
}

// outputOfSteps packs one number of each step.
func outputOfSteps(c *runtime.Call, id abi.FieldID, buf, size uint32) int32 {
	s := c.StepChoice
	view, answer := room(c, len(s.Steps), buf, size)
	for i := range len(view) / 8 {
		var n int64
		if isState(id) {
			n = ofState(s.State(i), id)
		} else {
			n = ofStep(&s.Steps[i], id)
		}
		binary.LittleEndian.PutUint64(view[8*i:], uint64(n))
	}
	return answer
}

// room is where n packed numbers go; nil where they do not, and answer then says why.
func room(c *runtime.Call, n int, buf, size uint32) (view []byte, answer int32) {
	length := 8 * n
	if length == 0 {
		return nil, int32(abi.Absent)
	}
	if length > int(size) {
		return nil, int32(length)
	}
	view, ok := c.Read(buf, uint32(length))
	if !ok {
		return nil, int32(abi.BadArgument)
	}
	return view, int32(length)
}
