package sallyport

import (
	"unsafe"

	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/host"
)

// answers is the memory that the host's answers are read into. It is shared by all calls, which an instance serves
// one at a time, and grows to what the largest call needs: so reading costs no allocation and makes no garbage.
var answers buffers

// buffers hand out consecutive pieces. One that is too small is replaced; what was handed out of it stays valid.
type buffers struct {
	text []byte
	ints []int64
}

// What buffers hold at first: some headers, a chain of a few dozen steps.
const (
	textSize = 1024
	intsSize = 256
)

func (b *buffers) reset() {
	b.text = b.text[:0]
	b.ints = b.ints[:0]
}

// freeText returns what is left of the buffer, at least size bytes.
func (b *buffers) freeText(size int) []byte {
	if free := b.text[len(b.text):cap(b.text)]; len(free) >= size && len(free) > 0 {
		return free
	}
	b.text = make([]byte, 0, max(textSize, 2*cap(b.text), size))
	return b.text[:cap(b.text)]
}

// takeText turns the answer to a read into what was read: a piece of the buffer, nil if there is nothing.
func (b *buffers) takeText(name string, answer int32) ([]byte, error) {
	switch {
	case answer == int32(Absent):
		return nil, nil
	case answer < 0:
		return nil, check(name, answer)
	}
	return b.cutText(int(answer)), nil
}

// cutText is what the host has just written to the buffer.
func (b *buffers) cutText(length int) []byte {
	begin := len(b.text)
	b.text = b.text[:begin+length]
	return b.text[begin:len(b.text):len(b.text)]
}

// element reads a text, or an element of a list of them.
func (b *buffers) element(field abi.Field, index int32) ([]byte, error) {
	free := b.text[len(b.text):cap(b.text)]
	n := host.Get(field, index, free)
	if int(n) > len(free) {
		n = host.Get(field, index, b.freeText(int(n)))
	}
	if n < 0 {
		return b.takeText(field.Name(), n)
	}
	return b.cutText(int(n)), nil
}

// named reads a text by its name.
func (b *buffers) named(field abi.Field, name string) ([]byte, error) {
	free := b.freeText(0)
	n := host.GetNamed(field, name, free)
	if int(n) > len(free) {
		n = host.GetNamed(field, name, b.freeText(int(n)))
	}
	if n < 0 && n != int32(Absent) {
		return nil, check(field.Name()+"."+name, n)
	}
	return b.takeText(field.Name(), n)
}

// config reads the configuration.
func (b *buffers) config() ([]byte, error) {
	free := b.freeText(0)
	n := host.Config(free)
	if int(n) > len(free) {
		n = host.Config(b.freeText(int(n)))
	}
	return b.takeText("config", n)
}

// freeInts returns what is left of the buffer, at least size numbers.
func (b *buffers) freeInts(size int) []int64 {
	if free := b.ints[len(b.ints):cap(b.ints)]; len(free) >= size && len(free) > 0 {
		return free
	}
	b.ints = make([]int64, 0, max(intsSize, 2*cap(b.ints), size))
	return b.ints[:cap(b.ints)]
}

// list reads a whole list of numbers, nil if there is none.
func (b *buffers) list(field abi.Field) []int64 {
	free := b.ints[len(b.ints):cap(b.ints)]
	n := host.GetInts(field, free)
	if int(n) > 8*len(free) {
		n = host.GetInts(field, b.freeInts(int(n)/8))
	}
	if n <= 0 {
		return nil
	}
	begin := len(b.ints)
	b.ints = b.ints[:begin+int(n)/8]
	return b.ints[begin:len(b.ints):len(b.ints)]
}

// padded reads a list that has an element for each dimension or limit, and this package knows size of them. A host that
// knows fewer leaves the rest 0, so that indexing by any constant is safe.
func (b *buffers) padded(field abi.Field, size int) []int64 {
	list := b.list(field)
	if list == nil || len(list) >= size {
		return list
	}
	grown := b.freeInts(size)[:size]
	clear(grown[copy(grown, list):])
	b.ints = b.ints[:len(b.ints)+size]
	return grown[:size:size]
}

// text reads a field that every policy may read. There is no error to hand on: it has a value or it has none.
func text(field abi.Field) []byte {
	value, _ := answers.element(field, 0)
	return value
}

// number reads a number, or 0 if there is none.
func number(field abi.Field) int64 {
	return max(host.GetInt(field), 0) // abi.NoValue is negative, and no number that is read so can be
}

// asMoney sees numbers as amounts, which have the same form. It is the header that is seen as another one: unsafe.Slice would
// check the length, at the price of two calls.
func asMoney(list []int64) []NanoUSD { return *(*[]NanoUSD)(unsafe.Pointer(&list)) }

// asHealth sees numbers as states of steps, which have the same form.
func asHealth(list []int64) []StepHealth { return *(*[]StepHealth)(unsafe.Pointer(&list)) }

// asNumbers sees amounts as numbers.
func asNumbers(amounts []NanoUSD) []int64 { return *(*[]int64)(unsafe.Pointer(&amounts)) }
