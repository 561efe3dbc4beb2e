package runtime

import (
	"context"

	"github.com/tetratelabs/wazero/experimental"
)

// linearMemory is the memory of an instance. What it grows by is at least doubled: a guest that grows page by page has its
// memory copied twice over then, where a slice that grows by a quarter is copied five times. It lies in Go's heap, so that
// nobody can meet it when it is gone.
type linearMemory struct {
	bytes []byte
	most  uint64
}

// Reallocate makes it so long.
func (m *linearMemory) Reallocate(size uint64) []byte {
	if size > uint64(cap(m.bytes)) {
		room := size
		if len(m.bytes) > 0 { // else it is what the module begins with, and may be all that it needs
			room = min(max(size, 2*uint64(cap(m.bytes))), m.most)
		}
		grown := make([]byte, size, room)
		copy(grown, m.bytes)
		m.bytes = grown
	}
	m.bytes = m.bytes[:size]
	return m.bytes
}

// Free leaves it to the collector.
func (m *linearMemory) Free() { m.bytes = nil }

// withMemory is the context by which instances are given their memory.
func withMemory() context.Context {
	return experimental.WithMemoryAllocator(context.Background(), experimental.MemoryAllocatorFunc(
		func(_, most uint64) experimental.LinearMemory { return &linearMemory{most: most} }))
}

var _ experimental.LinearMemory = (*linearMemory)(nil)
