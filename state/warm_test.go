package state

import (
	"context"
	"sync"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// warmed reads the rows of digests into memory.
func warmed(t testing.TB, s *State) {
	t.Helper()
	if err := s.fill(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestLookupTakesRowsFromMemory(t *testing.T) {
	dir := t.TempDir()
	s := openState(t, dir, Options{})
	digest := storeKey(t, s, "ci")
	want, _ := s.Lookup(&digest)
	closeState(t, s)

	s = openState(t, dir, Options{})
	warmed(t, s)
	if _, ok := s.cache.rows.find(nil, digest[:]); !ok {
		t.Fatal("the row was not read into memory")
	}
	if id, ok := s.Lookup(&digest); !ok || id.KeyID != want.KeyID || id.Name != want.Name {
		t.Errorf("found %v, want %v", id, want)
	}
	closeState(t, s)
	if _, ok := s.Lookup(&abi.Digest{}); ok {
		t.Error("a closed state finds somebody")
	}
}

// However often the rows are read into memory meanwhile, who looks up a key after it was changed sees the change.
func TestChangesCountWhileRowsAreReadIntoMemory(t *testing.T) {
	s := openState(t, t.TempDir(), Options{})
	digest := storeKey(t, s, "ci")
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for ctx.Err() == nil {
				_ = s.fill(ctx)
				s.Lookup(&digest)
			}
		})
	}
	for i := range 300 {
		_, err := s.ChangeKey(t.Context(), "ci", func(k *identity.Key) error {
			k.Limits[abi.RequestsPerMinute] = int64(i + 1)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if id, ok := s.Lookup(&digest); !ok || id.Limits[abi.RequestsPerMinute] != int64(i+1) {
				t.Fatalf("change %d: %v, %t", i, id.Limits, ok)
			}
		}
	}
	stop()
	all.Wait()
}
