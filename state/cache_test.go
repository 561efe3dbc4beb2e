package state

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
)

// numbered makes the n-th digest of a test. Its first bytes choose the set.
func numbered(n uint64) *abi.Digest {
	var d abi.Digest
	binary.LittleEndian.PutUint64(d[:], n)
	return &d
}

func TestCache(t *testing.T) {
	c := newCache(2, 2)
	if _, found := c.find(numbered(1)); found {
		t.Error("an empty cache finds something")
	}
	who := &abi.Identity{Name: "ci"}
	c.put(&entry{*numbered(1), who}, c.epoch.Load())
	c.put(&entry{*numbered(2), nil}, c.epoch.Load())
	if id, found := c.find(numbered(1)); !found || id != who {
		t.Errorf("known: %v, %t", id, found)
	}
	if id, found := c.find(numbered(2)); !found || id != nil {
		t.Errorf("unknown: %v, %t", id, found)
	}
	c.forget(numbered(1))
	c.forget(numbered(2))
	for n := range uint64(3) {
		if _, found := c.find(numbered(n)); found {
			t.Errorf("digest %d was not forgotten", n)
		}
	}
}

// The answer was read, then a key changed, and only now the answer is put: it may be the old one.
func TestCacheRefusesAnswersFromBeforeAChange(t *testing.T) {
	c := newCache(2, 2)
	epoch := c.epoch.Load()
	c.forget(numbered(1))
	c.put(&entry{*numbered(1), &abi.Identity{}}, epoch)
	if _, found := c.find(numbered(1)); found {
		t.Error("an outdated answer was remembered")
	}
}

func TestCacheReplacesWhatItHas(t *testing.T) {
	c := newCache(1, 1)
	for _, name := range []string{"a", "b", "c"} {
		c.put(&entry{*numbered(1), &abi.Identity{Name: name}}, c.epoch.Load())
	}
	if id, _ := c.find(numbered(1)); id.Name != "c" {
		t.Errorf("found %q, want the last", id.Name)
	}
	if n := remembered(&c.known); n != 1 {
		t.Errorf("%d entries for one digest", n)
	}
}

func TestCacheIsBounded(t *testing.T) {
	const sets = 4
	c := newCache(sets, sets)
	for n := range uint64(10_000) {
		c.put(&entry{*numbered(n), &abi.Identity{}}, c.epoch.Load())
		if _, found := c.find(numbered(n)); !found {
			t.Fatalf("digest %d is not found right after it was put", n)
		}
	}
	if n := remembered(&c.known); n != sets*ways {
		t.Errorf("%d entries, want %d", n, sets*ways)
	}
}

func TestFloodOfUnknownDigestsPushesNoKeyOut(t *testing.T) {
	c := newCache(1, 1)
	c.put(&entry{*numbered(0), &abi.Identity{}}, c.epoch.Load())
	for n := range uint64(10_000) {
		c.put(&entry{*numbered(n + 1), nil}, c.epoch.Load())
	}
	if id, _ := c.find(numbered(0)); id == nil {
		t.Error("the key is gone")
	}
}

func remembered(t *table) (n int) {
	for i := range t.slots {
		if t.slots[i].entry.Load() != nil {
			n++
		}
	}
	return n
}

func TestCacheInParallel(t *testing.T) {
	c := newCache(2, 2)
	identities := make([]*abi.Identity, 64)
	for i := range identities {
		identities[i] = &abi.Identity{}
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 5000 {
				n := (i*7 + g) % len(identities)
				switch i % 5 {
				case 0:
					c.put(&entry{*numbered(uint64(n)), identities[n]}, c.epoch.Load())
				case 1:
					c.forget(numbered(uint64(n)))
				default:
					if id, found := c.find(numbered(uint64(n))); found && id != identities[n] {
						t.Errorf("digest %d belongs to another", n)
						return
					}
				}
			}
		})
	}
	wg.Wait()
}
