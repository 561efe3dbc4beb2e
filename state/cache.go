package state

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/sallyport-dev/sallyport/abi"
)

// Sizes of the cache: 16,384 identities, some 8 MB if each has a team, models, a label, limits and a budget, and 4,096
// digests that belong to nobody. The rows of a million others are kept as they are, and taken apart when they are asked
// for: the collector looks at each identity again and again, and at the rows never.
const (
	knownSets   = 2048
	unknownSets = 512
	ways        = 8 // entries of a set
)

// cache remembers what digests stand for. Finding takes no lock and writes nothing, so cores do not slow each other
// down. What belongs to nobody has a table of its own: a flood of made-up credentials cannot push out real ones.
type cache struct {
	known, unknown table

	// An answer may be read from the database, then be outdated by a change, and only then be put here. So whoever
	// looks up notes the epoch first, every change begins a new one, and put refuses answers of an older epoch.
	epoch atomic.Uint64
	mu    sync.Mutex // held while anything is put or forgotten

	rows *rowMemory // of digests
}

func newCache(known, unknown int) *cache {
	return &cache{known: newTable(known), unknown: newTable(unknown)}
}

// find returns what is known of a digest. A nil identity that was found means that it belongs to nobody.
func (c *cache) find(digest *abi.Digest) (*abi.Identity, bool) {
	if e := c.known.find(digest); e != nil {
		return e.identity, true
	}
	return nil, c.unknown.find(digest) != nil
}

// put remembers what was read from the database after epoch was noted.
func (c *cache) put(e *entry, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch.Load() != epoch {
		return
	}
	if e.identity != nil {
		c.known.put(e)
	} else {
		c.unknown.put(e)
	}
}

// forget makes the next lookup of a digest read the database again. It is called after every change of a key.
func (c *cache) forget(digest *abi.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rows.forget(digest[:]) // before the new epoch, so that nobody finds the row in it
	c.epoch.Add(1)
	c.known.forget(digest)
	c.unknown.forget(digest)
}

// table holds entries in sets that their digest chooses. Digests are keyed hashes, spread evenly whatever clients
// send, so no set can be flooded on purpose.
type table struct {
	slots []slot
	hand  int // the way that the next entry takes in a full set
}

// slot is where an entry is. The tag is a part of its digest, so that the entries of other digests need not be looked at:
// each of them is far from the processor. For a moment it may be that of the entry before.
type slot struct {
	tag   atomic.Uint64
	entry atomic.Pointer[entry]
}

// entry is immutable.
type entry struct {
	digest   abi.Digest
	identity *abi.Identity // nil: the digest belongs to nobody
}

// newTable makes a table. sets is a power of two.
func newTable(sets int) table { return table{slots: make([]slot, sets*ways)} }

func tagOf(digest *abi.Digest) uint64 { return binary.LittleEndian.Uint64(digest[8:]) }

func (t *table) set(digest *abi.Digest) []slot {
	sets := uint64(len(t.slots) / ways)
	first := ways * (binary.LittleEndian.Uint64(digest[:]) & (sets - 1))
	return t.slots[first : first+ways]
}

func (t *table) find(digest *abi.Digest) *entry {
	set, tag := t.set(digest), tagOf(digest)
	for i := range set {
		if set[i].tag.Load() != tag {
			continue
		}
		if e := set[i].entry.Load(); e != nil && e.digest == *digest {
			return e
		}
	}
	return nil
}

func (t *table) put(e *entry) {
	set, tag := t.set(&e.digest), tagOf(&e.digest)
	free := -1
	for i := range set {
		old := set[i].entry.Load()
		if old == nil {
			free = i
		} else if set[i].tag.Load() == tag && old.digest == e.digest {
			set[i].entry.Store(e)
			return
		}
	}
	if free < 0 {
		free = t.hand
		t.hand = (t.hand + 1) % ways
	}
	set[free].entry.Store(e)
	set[free].tag.Store(tag)
}

func (t *table) forget(digest *abi.Digest) {
	set := t.set(digest)
	for i := range set {
		if e := set[i].entry.Load(); e != nil && e.digest == *digest {
			set[i].entry.Store(nil)
		}
	}
}
