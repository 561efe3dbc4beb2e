package kv

import (
	"slices"
	"strings"
)

// chunkSize is how many entries of an order lie together at most.
const chunkSize = 512

// order has entries in the order of their names, in chunks, so that adding one moves a few kilobytes however many
// there are. No chunk is empty.
type order struct {
	chunks [][]*entry
	len    int
}

// find returns where the first entry stands whose name is not before name, and whether it has that name. If all are
// before it, that is the end of the last chunk.
func (o *order) find(name string) (chunk, index int, found bool) {
	chunk, _ = slices.BinarySearchFunc(o.chunks, name, func(c []*entry, name string) int {
		return strings.Compare(c[len(c)-1].name, name)
	})
	if chunk == len(o.chunks) {
		if chunk--; chunk < 0 {
			return 0, 0, false
		}
		return chunk, len(o.chunks[chunk]), false
	}
	index, found = slices.BinarySearchFunc(o.chunks[chunk], name, func(e *entry, name string) int {
		return strings.Compare(e.name, name)
	})
	return chunk, index, found
}

// add takes in an entry whose name is not there.
func (o *order) add(e *entry) {
	o.len++
	if len(o.chunks) == 0 {
		o.chunks = [][]*entry{{e}}
		return
	}
	i, j, _ := o.find(e.name)
	c := slices.Insert(o.chunks[i], j, e)
	o.chunks[i] = c
	if len(c) <= chunkSize {
		return
	}
	half := len(c) / 2
	if i == len(o.chunks)-1 && j == len(c)-1 {
		half = len(c) - 1 // names that come in order leave full chunks behind
	}
	o.chunks = slices.Insert(o.chunks, i+1, slices.Clone(c[half:]))
	clear(c[half:])
	o.chunks[i] = c[:half]
}

// remove takes out an entry that is there.
func (o *order) remove(e *entry) {
	i, j, found := o.find(e.name)
	if !found {
		return
	}
	o.len--
	if o.chunks[i] = slices.Delete(o.chunks[i], j, j+1); len(o.chunks[i]) == 0 {
		o.chunks = slices.Delete(o.chunks, i, i+1)
	}
}

// walk calls f for the entries from name on, until it returns false. f changes nothing in the order.
func (o *order) walk(name string, f func(*entry) bool) {
	i, j, _ := o.find(name)
	for ; i < len(o.chunks); i, j = i+1, 0 {
		for _, e := range o.chunks[i][j:] {
			if !f(e) {
				return
			}
		}
	}
}
