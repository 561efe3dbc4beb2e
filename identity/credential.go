package identity

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"regexp"

	"github.com/sallyport-dev/sallyport/abi"
)

// DefaultPrefix begins the keys that Sallyport generates unless another prefix is asked for.
const DefaultPrefix = "aigw_"

// A generated key is
//
//	prefix  random part  checksum
//	aigw_   22 digits    6 digits
//
// in base 62 with the digits 0-9, A-Z, a-z. The random part is a 128-bit number, most significant digit first, padded
// with zeros on the left. The checksum is the CRC-32 (IEEE) of the prefix and the random part, written the same way.
// It protects nothing: it tells a typing error from an unknown key, and lets a leak scanner be sure of what it found.
// With the random bytes 00 01 02 … 0f:
//
//	aigw_ 000SYW7RiJxkEgOGusQGwp 26KScI  ->  aigw_000SYW7RiJxkEgOGusQGwp26KScI
const (
	randomLength   = 22 // 62^22 > 2^128
	checksumLength = 6  // 62^6 > 2^32
	secretLength   = randomLength + checksumLength
	base           = 62
	digits         = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

const prefixPattern = `^[a-z][a-z0-9]*([_-][a-z0-9]+)*[_-]$`

// CheckPrefix says what is wrong with a key's prefix: 2 to 16 lower-case letters, digits, "-" and "_", which begins
// with a letter and ends with a separator, as "sk-", "sk-ant-" and "gm_" do.
func CheckPrefix(prefix string) error {
	if ok, _ := regexp.MatchString(prefixPattern, prefix); !ok || len(prefix) > 16 {
		return fmt.Errorf("%w %q: it must be 2 to 16 lower-case letters, digits, \"-\" and \"_\", "+
			"begin with a letter and end with \"-\" or \"_\"", ErrPrefix, prefix)
	}
	return nil
}

// Generate makes the secret of a new key from 128 bits of random. An empty prefix means DefaultPrefix.
func Generate(prefix string, random io.Reader) (string, error) {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	if err := CheckPrefix(prefix); err != nil {
		return "", err
	}
	var raw [16]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", fmt.Errorf("reading random bytes: %w", err)
	}
	key := make([]byte, len(prefix)+secretLength)
	copy(key, prefix)
	body := key[:len(prefix)+randomLength]
	putBase62(body[len(prefix):], binary.BigEndian.Uint64(raw[:8]), binary.BigEndian.Uint64(raw[8:]))
	putBase62(key[len(body):], 0, uint64(crc32.ChecksumIEEE(body)))
	return string(key), nil
}

// putBase62 fills dst with the number hi·2^64 + lo, most significant digit first.
func putBase62(dst []byte, hi, lo uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		var digit uint64
		hi, digit = hi/base, hi%base
		lo, digit = bits.Div64(digit, lo, base)
		dst[i] = digits[digit]
	}
}

// Shape says what the characters of a credential tell about it. It looks nothing up and allocates nothing.
func Shape(credential []byte) abi.CredentialShape {
	switch {
	case len(credential) == 0:
		return abi.CredentialNone
	case checksumFits(credential):
		return abi.CredentialGenerated
	case len(credential) >= len(DefaultPrefix) && string(credential[:len(DefaultPrefix)]) == DefaultPrefix:
		return abi.CredentialMistyped
	default:
		return abi.CredentialForeign
	}
}

// checksumFits reports whether the last digits are the checksum of all before them, and the random part's length is
// that of its prefix: the prefix itself is not compared, because any could have been asked for.
func checksumFits(credential []byte) bool {
	prefix := len(credential) - secretLength
	if prefix < 2 || credential[prefix-1] != '_' && credential[prefix-1] != '-' {
		return false
	}
	body := credential[:len(credential)-checksumLength]
	var want [checksumLength]byte
	putBase62(want[:], 0, uint64(crc32.ChecksumIEEE(body)))
	return string(credential[len(body):]) == string(want[:])
}
