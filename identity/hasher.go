package identity

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"sync"

	"github.com/sallyport-dev/sallyport/abi"
)

// PepperSize is the size of the secret under which credentials are digested.
const PepperSize = 32

// Hasher digests credentials: HMAC-SHA-256 under a secret, the pepper, without which digests that leaked are of no
// use to anyone, not even to test guesses. It may be used by many goroutines at once.
//
// A slow password hash would add nothing: a key has 128 random bits.
type Hasher struct{ pool sync.Pool }

// mac is one keyed hash with room for its sum. The standard library's HMAC keeps the state behind the padded key, so
// a reset one costs two blocks instead of four.
type mac struct {
	hash.Hash
	sum abi.Digest
}

// NewHasher makes a Hasher. The pepper must be PepperSize bytes.
func NewHasher(pepper []byte) (*Hasher, error) {
	if len(pepper) != PepperSize {
		return nil, fmt.Errorf("the pepper has %d bytes, want %d", len(pepper), PepperSize)
	}
	key := append([]byte(nil), pepper...)
	return &Hasher{pool: sync.Pool{New: func() any { return &mac{Hash: hmac.New(sha256.New, key)} }}}, nil
}

// Digest returns the digest of a credential. It keeps nothing of it and allocates nothing once it is warm.
func (h *Hasher) Digest(credential []byte) abi.Digest {
	m := h.pool.Get().(*mac) //nolint:errcheck // the pool makes nothing else
	m.Reset()
	m.Write(credential) // a hash.Hash never returns an error
	m.Sum(m.sum[:0])
	digest := m.sum
	h.pool.Put(m)
	return digest
}
