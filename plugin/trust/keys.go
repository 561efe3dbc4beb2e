package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// PublicKey is one of minisign, or one of cosign's key pairs. Its zero value is none and fits no signature.
type PublicKey struct {
	id       keyID             // of minisign
	minisign ed25519.PublicKey // nil if it is cosign's
	ec       *ecdsa.PublicKey
	ed       ed25519.PublicKey
	text     string
}

// keyID tells minisign's keys apart. It is a hint and proves nothing.
type keyID [8]byte

// String writes the number as minisign does.
func (id keyID) String() string {
	var reversed [len(id)]byte
	for i, b := range id {
		reversed[len(id)-1-i] = b
	}
	return strings.ToUpper(hex.EncodeToString(reversed[:]))
}

// minisignKeyPrefix is how a public key of minisign begins in base64.
const minisignKeyPrefix = "RW"

// maxKeyText is how long the text of a key may be.
const maxKeyText = 16 << 10

// IsKeyText says whether a text is meant to be a key, and not the name of a file.
func IsKeyText(s string) bool {
	s = strings.TrimSpace(s)
	return strings.HasPrefix(s, pemPrefix) || strings.Contains(s, "\n") ||
		len(s) == base64.StdEncoding.EncodedLen(publicKeySize) && strings.HasPrefix(s, minisignKeyPrefix)
}

const pemPrefix = "-----BEGIN"

// ParsePublicKey reads a key of minisign, as its tool prints it or as its file has it, or one of cosign in PEM.
func ParsePublicKey(text []byte) (PublicKey, error) {
	if len(text) > maxKeyText {
		return PublicKey{}, fmt.Errorf("a public key has no %d bytes", len(text))
	}
	if block, rest := pem.Decode(text); block != nil {
		if len(bytes.TrimSpace(rest)) > 0 {
			return PublicKey{}, errors.New("something follows the public key")
		}
		return parsePEM(block)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) == 2 && strings.HasPrefix(lines[0], untrustedPrefix) {
		lines = lines[1:]
	}
	if len(lines) != 1 {
		return PublicKey{}, errNoKey
	}
	raw, err := decode(lines[0], publicKeySize)
	if err != nil || string(raw[:2]) != algorithmPlain {
		return PublicKey{}, errNoKey
	}
	k := PublicKey{id: keyID(raw[2:10]), minisign: ed25519.PublicKey(raw[10:])}
	k.text = base64.StdEncoding.EncodeToString(raw)
	return k, nil
}

var errNoKey = errors.New(`is no public key: neither one of minisign, which begins with "RW", nor one of cosign in PEM`)

func parsePEM(block *pem.Block) (PublicKey, error) {
	if block.Type != "PUBLIC KEY" {
		return PublicKey{}, fmt.Errorf("the PEM text holds %q, and no PUBLIC KEY", printable(block.Type))
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return PublicKey{}, fmt.Errorf("reading the public key: %w", err)
	}
	sum := sha256.Sum256(block.Bytes)
	k := PublicKey{text: "sha256:" + hex.EncodeToString(sum[:])}
	switch key := parsed.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return PublicKey{}, errors.New("the public key is of another curve than P-256")
		}
		k.ec = key
	case ed25519.PublicKey:
		k.ed = key
	default:
		return PublicKey{}, errors.New("the public key is neither of ECDSA on P-256 nor of Ed25519")
	}
	return k, nil
}

// ID is the key of minisign as its tool prints it, and the digest of cosign's.
func (k PublicKey) ID() string { return k.text }

// Encode writes a key of minisign as the file that its tool reads; nil for others.
func (k PublicKey) Encode() []byte {
	if k.minisign == nil {
		return nil
	}
	return []byte(untrustedPrefix + "minisign public key " + k.id.String() + "\n" + k.text + "\n")
}

// decode reads base64 of a length that is known.
func decode(text string, size int) ([]byte, error) {
	text = strings.TrimSuffix(text, "\r")
	if len(text) != base64.StdEncoding.EncodedLen(size) { // longer texts are not even decoded; line ends within it are none
		return nil, errors.New("has another length")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != size {
		return nil, errors.New("is not base64")
	}
	return raw, nil
}
