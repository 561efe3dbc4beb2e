//go:build !race

// Under the race detector a sync.Pool forgets at random what was put into it.

package identity

import "testing"

func TestDigestAllocatesNothing(t *testing.T) {
	h, credential := newHasher(t), []byte("aigw_000SYW7RiJxkEgOGusQGwp26KScI")
	if n := testing.AllocsPerRun(1000, func() { h.Digest(credential) }); n != 0 {
		t.Errorf("Digest allocates %v times, want 0", n)
	}
}
