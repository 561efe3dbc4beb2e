//go:build !race

// Under the race detector a sync.Pool forgets at random what was put into it.

package state

import (
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

func TestLookupAllocatesNothingWhenCached(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	known, unknown := storeKey(t, s, "ci"), digestOf(t, "nobody")
	const many = 100_000 // what the state and its database do meanwhile allocates too, and is far less than once for each
	for name, digest := range map[string]*abi.Digest{"known": &known, "unknown": &unknown} {
		s.Lookup(digest)
		if n := testing.AllocsPerRun(many, func() { s.Lookup(digest) }); n != 0 {
			t.Errorf("looking up an %s digest allocates %v times, want 0", name, n)
		}
	}
}

func TestRecordAllocatesNothing(t *testing.T) {
	l := stalledLog(1)
	r := exchange(time.Now())
	n := testing.AllocsPerRun(100, func() {
		l.record(r)
		l.waiting.frames, l.waiting.records = l.waiting.frames[:0], 0
	})
	if n != 0 {
		t.Errorf("record allocates %v times, want 0", n)
	}
}
