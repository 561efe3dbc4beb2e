package record

import (
	"math/rand/v2"
	"time"
)

// A request id is "req_" and 26 digits of Crockford's base 32 in lower case: 48 bits of Unix milliseconds, then 80
// random bits, most significant first. It is a ULID with a prefix, so ids sort as their requests came in, to the
// millisecond; within one millisecond their order is random. With the time 1 ms and random bits that are all zero:
//
//	req_00000000010000000000000000
const (
	idPrefix  = "req_"
	idTime    = 10 // digits of the time; the first holds only 3 of its 5 bits
	idRandom  = 16 // digits of the random part
	IDLength  = len(idPrefix) + idTime + idRandom
	crockford = "0123456789abcdefghjkmnpqrstvwxyz"
)

// NewID appends a new request id to dst. The random bits need not be secret, only unlikely to meet again, so a fast
// generator does; Random is one that may be shared.
func NewID(dst []byte, now time.Time, random rand.Source) []byte {
	dst = append(dst, idPrefix...)
	dst = appendBase32(dst, uint64(now.UnixMilli()), idTime)
	dst = appendBase32(dst, random.Uint64(), idRandom/2)
	return appendBase32(dst, random.Uint64(), idRandom/2)
}

// appendBase32 appends the lowest 5*n bits of v.
func appendBase32(dst []byte, v uint64, n int) []byte {
	for shift := 5 * (n - 1); shift >= 0; shift -= 5 {
		dst = append(dst, crockford[v>>shift&31])
	}
	return dst
}

// Random is the runtime's own generator, ChaCha8 per thread: any number of goroutines may use it at once.
type Random struct{}

// Uint64 returns 64 random bits.
func (Random) Uint64() uint64 { return rand.Uint64() }

// IDTime returns the time that a request id holds, and whether id is a request id at all.
func IDTime(id string) (time.Time, bool) {
	if len(id) != IDLength || id[:len(idPrefix)] != idPrefix || id[len(idPrefix)] > '7' {
		return time.Time{}, false
	}
	var ms int64
	for i := len(idPrefix); i < IDLength; i++ {
		digit := base32Value(id[i])
		if digit < 0 {
			return time.Time{}, false
		}
		if i < len(idPrefix)+idTime {
			ms = ms<<5 | int64(digit)
		}
	}
	return time.UnixMilli(ms), true
}

// base32Value returns the value of a digit as NewID writes it, -1 for any other character.
func base32Value(c byte) int {
	for v := range len(crockford) {
		if crockford[v] == c {
			return v
		}
	}
	return -1
}

var _ rand.Source = Random{}
