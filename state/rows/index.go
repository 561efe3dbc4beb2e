package rows

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"

	"golang.org/x/sys/unix"
)

// A hash stands for a key. It has 128 bits, so that no two keys ever share one: of a million, with a chance of 1 in 10^27.
type hash struct{ home, other uint64 }

// hasher makes hashes. Its seeds are those of one start, so that nobody can choose keys that crowd together.
type hasher struct{ home, other maphash.Seed }

func newHasher() hasher { return hasher{maphash.MakeSeed(), maphash.MakeSeed()} }

func (h *hasher) of(key []byte) hash {
	return hash{maphash.Bytes(h.home, key), maphash.Bytes(h.other, key)}
}

func (h *hasher) ofString(key string) hash {
	return hash{maphash.String(h.home, key), maphash.String(h.other, key)}
}

// index leads from the hash of a key to the place of its row. It is a table with linear probing, outside of Go's heap:
// the collector does not look at it, and it lies in large pages where the machine has them, as places are asked for all
// over it. A slot has 16 bytes of hash and 8 of place, the place 0 is free, and gone was taken once.
type index struct {
	slots []byte
	taken int // slots that are not free
	live  int // slots that lead to a row
}

const (
	slotSize  = 24
	fewSlots  = 1 << 12
	gone      = place(1) // there is no file 0
	largeFrom = 2 << 20  // bytes from which large pages may help
)

func newIndex(places int) (x index, err error) {
	bytes := places * slotSize
	if x.slots, err = unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE); err != nil {
		return x, fmt.Errorf("taking memory for the index of rows: %w", err)
	}
	if bytes >= largeFrom {
		_ = unix.Madvise(x.slots, unix.MADV_HUGEPAGE) // a machine without them does without
	}
	return x, nil
}

func (x *index) close() {
	if x.slots != nil {
		_ = unix.Munmap(x.slots) // it was mapped
	}
	*x = index{}
}

func (x *index) places() uint64 { return uint64(len(x.slots)) / slotSize }

func (x *index) slot(i uint64) (h hash, at place) {
	s := x.slots[i*slotSize : i*slotSize+slotSize]
	h = hash{binary.LittleEndian.Uint64(s), binary.LittleEndian.Uint64(s[8:])}
	return h, place(binary.LittleEndian.Uint64(s[16:]))
}

func (x *index) put(i uint64, h hash, at place) {
	s := x.slots[i*slotSize : i*slotSize+slotSize]
	binary.LittleEndian.PutUint64(s, h.home)
	binary.LittleEndian.PutUint64(s[8:], h.other)
	binary.LittleEndian.PutUint64(s[16:], uint64(at))
}

// find returns the slot of a hash, or the free one that ends the search for it.
func (x *index) find(h hash) (i uint64, at place) {
	last := x.places() - 1 // there is a power of two of them
	for i = h.home & last; ; i = (i + 1) & last {
		switch other, at := x.slot(i); {
		case at == 0:
			return i, 0
		case other == h && at != gone:
			return i, at
		}
	}
}

// get returns where the row of a hash lies.
func (x *index) get(h hash) (at place, ok bool) {
	if x.slots == nil {
		return 0, false
	}
	_, at = x.find(h)
	return at, at != 0
}

// set says where the row of a hash lies.
func (x *index) set(h hash, at place) {
	i, old := x.find(h)
	if old == 0 {
		x.taken++
		x.live++
	}
	x.put(i, h, at)
}

func (x *index) remove(h hash) {
	if i, old := x.find(h); old != 0 {
		x.put(i, h, gone)
		x.live--
	}
}

// reserve sees to it that so many more rows have room. It is asked before they are written, because it can fail.
func (x *index) reserve(more int) error {
	if x.slots != nil && uint64(x.taken+more) <= x.places()/4*3 {
		return nil
	}
	places := fewSlots
	for x.live+more > places/2 {
		places *= 2
	}
	bigger, err := newIndex(places)
	if err != nil {
		return err
	}
	for i := range x.places() {
		if h, at := x.slot(i); at != 0 && at != gone {
			bigger.set(h, at)
		}
	}
	x.close()
	*x = bigger
	return nil
}
