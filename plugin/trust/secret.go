package trust

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/scrypt"
)

// SecretKey signs plugins. It is one of minisign.
type SecretKey struct {
	id  keyID
	key ed25519.PrivateKey
}

// The layout of minisign's secret key: what it is for, how it is encrypted, the checksum's kind, salt, the two costs; then, as
// a stream cipher has left it, the number, the key and the checksum.
const (
	kdfNone      = "\x00\x00"
	kdfScrypt    = "Sc"
	checksumKind = "B2" // BLAKE2b-256
	saltSize     = 32
	costOffset   = 2 + 2 + 2 + saltSize
	boxOffset    = costOffset + 8 + 8
	boxSize      = 8 + ed25519.PrivateKeySize + blake2b.Size256
	secretSize   = boxOffset + boxSize
)

// cost is what deriving a key from a password takes, as libsodium's crypto_pwhash_scryptsalsa208sha256 counts it.
type cost struct{ ops, memory uint64 }

// defaultCost takes 128 MiB for half a second. minisign's own takes 1 GiB, which is more than many machines that build have. It
// stands in the file, so minisign reads such keys as its own.
func defaultCost() cost { return cost{ops: 1 << 22, memory: 1 << 27} }

// maxCost is what minisign's own keys take: a file must not ask for more.
func maxCost() cost { return cost{ops: 1 << 25, memory: 1 << 30} }

// The errors of reading a secret key.
var (
	ErrPasswordNeeded = errors.New("the secret key is encrypted: it needs its password")
	ErrPasswordWrong  = errors.New("the password is not the secret key's")
)

// NewSecretKey makes a key.
func NewSecretKey() (*SecretKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	k := &SecretKey{key: key}
	_, _ = rand.Read(k.id[:]) // never fails
	return k, nil
}

// Public returns the key that others get.
func (k *SecretKey) Public() PublicKey {
	public := ed25519.PublicKey(k.key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
	raw := append([]byte(algorithmPlain), k.id[:]...)
	return PublicKey{id: k.id, minisign: public, text: base64.StdEncoding.EncodeToString(append(raw, public...))}
}

// Encode writes the key as the file that minisign reads. An empty password leaves it unencrypted, as minisign's -W does.
func (k *SecretKey) Encode(password string) ([]byte, error) { return k.encode(password, defaultCost()) }

func (k *SecretKey) encode(password string, c cost) ([]byte, error) {
	raw := make([]byte, 0, secretSize)
	raw = append(raw, algorithmPlain...)
	kdf := kdfScrypt
	if password == "" {
		kdf = kdfNone
	}
	raw = append(append(raw, kdf...), checksumKind...)
	var salt [saltSize]byte
	box := append(append([]byte{}, k.id[:]...), k.key...)
	if password == "" {
		c = cost{}
		box = append(box, make([]byte, blake2b.Size256)...) // minisign leaves it out too
	} else {
		_, _ = rand.Read(salt[:]) // never fails
		sum := checksum(box)
		box = append(box, sum[:]...)
		if err := cipher(box, password, salt[:], c); err != nil {
			return nil, err
		}
	}
	raw = append(raw, salt[:]...)
	raw = binary.LittleEndian.AppendUint64(raw, c.ops)
	raw = binary.LittleEndian.AppendUint64(raw, c.memory)
	raw = append(raw, box...)
	return []byte(untrustedPrefix + "minisign encrypted secret key\n" + base64.StdEncoding.EncodeToString(raw) + "\n"), nil
}

// IsEncrypted says whether a secret key needs a password.
func IsEncrypted(text []byte) bool {
	raw, err := rawSecret(text)
	return err == nil && string(raw[2:4]) == kdfScrypt
}

// ParseSecretKey reads a secret key of minisign. password is not looked at where the key is not encrypted.
func ParseSecretKey(text []byte, password string) (*SecretKey, error) {
	raw, err := rawSecret(text)
	if err != nil {
		return nil, err
	}
	box := raw[boxOffset:]
	body := box[:boxSize-blake2b.Size256]
	if string(raw[2:4]) == kdfScrypt {
		if password == "" {
			return nil, ErrPasswordNeeded
		}
		c := cost{binary.LittleEndian.Uint64(raw[costOffset:]), binary.LittleEndian.Uint64(raw[costOffset+8:])}
		if err := cipher(box, password, raw[costOffset-saltSize:costOffset], c); err != nil {
			return nil, err
		}
		if sum := checksum(body); subtle.ConstantTimeCompare(sum[:], box[len(body):]) != 1 {
			return nil, ErrPasswordWrong
		}
	}
	k := &SecretKey{id: keyID(body[:8]), key: ed25519.PrivateKey(body[8:])}
	if !ed25519.NewKeyFromSeed(k.key.Seed()).Equal(k.key) { // it would sign what its own public key does not fit
		return nil, errors.New("the secret key is damaged")
	}
	return k, nil
}

func rawSecret(text []byte) ([]byte, error) {
	errNoSecret := errors.New("is no secret key of minisign")
	if len(text) > maxKeyText {
		return nil, errNoSecret
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], untrustedPrefix) {
		return nil, errNoSecret
	}
	raw, err := decode(lines[1], secretSize)
	if err != nil || string(raw[:2]) != algorithmPlain || string(raw[4:6]) != checksumKind {
		return nil, errNoSecret
	}
	if kdf := string(raw[2:4]); kdf != kdfNone && kdf != kdfScrypt {
		return nil, errors.New("is a secret key that is encrypted in an unknown way")
	}
	return raw, nil
}

func checksum(body []byte) [blake2b.Size256]byte {
	return blake2b.Sum256(append([]byte(algorithmPlain), body...))
}

// cipher encrypts and decrypts: both combine the box with what is derived from the password.
func cipher(box []byte, password string, salt []byte, c cost) error {
	if c.ops > maxCost().ops || c.memory > maxCost().memory {
		return errors.New("the secret key asks for more work than minisign's own do")
	}
	n, r, p := c.scrypt()
	stream, err := scrypt.Key([]byte(password), salt, n, r, p, len(box))
	if err != nil {
		return fmt.Errorf("deriving a key from the password: %w", err)
	}
	subtle.XORBytes(box, box, stream)
	return nil
}

// scrypt turns costs into the parameters of RFC 7914, as libsodium does.
func (c cost) scrypt() (n, r, p int) {
	const leastOps = 1 << 15
	r = 8
	ops := max(c.ops, leastOps)
	if ops < c.memory/32 {
		return powerAbove(ops / (uint64(r) * 4 * 2)), r, 1
	}
	n = powerAbove(c.memory / (uint64(r) * 128 * 2))
	return n, r, max(1, int(ops/4/uint64(n))/r)
}

// powerAbove is the smallest power of two, from 2, that is larger.
func powerAbove(least uint64) int {
	n := uint64(2)
	for n <= least {
		n <<= 1
	}
	return int(n)
}
