package trust

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/crypto/blake2b"
)

// The parts of minisign's files, as https://jedisct1.github.io/minisign/ describes them under "Signature format".
const (
	untrustedPrefix  = "untrusted comment: "
	trustedPrefix    = "trusted comment: "
	algorithmPlain   = "Ed" // of keys, and of signatures over the bytes themselves
	algorithmHashed  = "ED" // of signatures over the bytes' BLAKE2b-512, which are made since version 0.10
	publicKeySize    = 2 + 8 + ed25519.PublicKeySize
	signatureSize    = 2 + 8 + ed25519.SignatureSize
	maxSignatureText = 10 << 10 // minisign's own bounds are 1 KiB for the one comment and 8 KiB for the other
)

// SignatureSuffix is what the name of a signature's file ends in, behind that of what it signs.
const SignatureSuffix = ".minisig"

// minisignature is a parsed signature.
type minisignature struct {
	hashed  bool
	id      keyID
	content []byte // the signature of the bytes
	comment string // the trusted one
	global  []byte // the signature of content and comment
}

func parseMinisign(text []byte) (*minisignature, error) {
	if len(text) > maxSignatureText {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrForged, len(text))
	}
	lines := strings.Split(strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], untrustedPrefix) || !strings.HasPrefix(lines[2], trustedPrefix) {
		return nil, fmt.Errorf("%w: it is no file of minisign", ErrForged)
	}
	raw, err := decode(lines[1], signatureSize)
	if err != nil {
		return nil, fmt.Errorf("%w: its second line %w", ErrForged, err)
	}
	s := &minisignature{id: keyID(raw[2:10]), content: raw[10:]}
	s.comment = strings.TrimSuffix(strings.TrimPrefix(lines[2], trustedPrefix), "\r")
	switch string(raw[:2]) {
	case algorithmHashed:
		s.hashed = true
	case algorithmPlain:
	default:
		return nil, fmt.Errorf("%w: its algorithm is unknown", ErrForged)
	}
	if s.global, err = decode(lines[3], ed25519.SignatureSize); err != nil {
		return nil, fmt.Errorf("%w: its fourth line %w", ErrForged, err)
	}
	return s, nil
}

// claims is what a signature's trusted comment says that it is of.
type claims struct{ name, version, digest string }

// comment writes claims as they are signed.
func (c claims) comment() string {
	return "name=" + c.name + " version=" + c.version + " digest=" + c.digest
}

// readClaims finds the claims among the words of a trusted comment. Each stands there once: readers that took the first or the
// last of several would not agree.
func readClaims(comment string) (c claims, err error) {
	seen := map[string]*string{"name": &c.name, "version": &c.version, "digest": &c.digest}
	for word := range strings.FieldsSeq(comment) {
		key, value, found := strings.Cut(word, "=")
		target, known := seen[key]
		if !found || !known {
			continue
		}
		if *target != "" || value == "" {
			return c, fmt.Errorf("%w: %s= stands in its trusted comment twice, or says nothing", ErrUnbound, key)
		}
		*target = value
	}
	if c.name == "" || c.version == "" || c.digest == "" {
		return c, fmt.Errorf("%w: its trusted comment has to hold name=, version= and digest=, as `sallyport plugin sign` writes them", ErrUnbound)
	}
	return c, nil
}

// checkMinisign checks one signature. The comment is checked before the bytes: who changed neither can then be told what the
// signature is good for instead.
func (p Policy) checkMinisign(f Facts, digest string, text []byte) (Signer, error) {
	s, err := parseMinisign(text)
	if err != nil {
		return Signer{}, err
	}
	k := p.find(s)
	if k == nil {
		return Signer{}, p.explainUnknown(s)
	}
	if k.Revoked {
		return Signer{}, fmt.Errorf("%w: %s", ErrRevoked, k)
	}
	c, err := readClaims(s.comment)
	if err != nil {
		return Signer{}, err
	}
	switch {
	case f.Name != "" && c.name != f.Name:
		return Signer{}, fmt.Errorf("%w: %s signed %s, and this is %s", ErrOtherName, k, printable(c.name), f.Name)
	case f.Version != "" && c.version != f.Version:
		return Signer{}, fmt.Errorf("%w: %s signed %s %s, and this is version %s", ErrOtherVersion, k, printable(c.name), printable(c.version), f.Version)
	case c.digest != digest:
		return Signer{}, fmt.Errorf("%w: %s signed %s %s with the digest %s, and this has %s", ErrOtherDigest, k, printable(c.name), printable(c.version),
			printable(c.digest), digest)
	case !ed25519.Verify(k.Public.minisign, s.signed(f.Wasm), s.content):
		return Signer{}, fmt.Errorf("%w: the comment is %s's, and the signature of the content is not", ErrForged, k)
	}
	return k.accept(f, c.name, c.version)
}

// find returns the key whose number a signature has and whose comment it signed.
func (p Policy) find(s *minisignature) *Key {
	for i := range p {
		if k := &p[i]; k.Public.minisign != nil && k.Public.id == s.id && ed25519.Verify(k.Public.minisign, append(slices.Clip(s.content), s.comment...), s.global) {
			return k
		}
	}
	return nil
}

func (p Policy) explainUnknown(s *minisignature) error {
	for i := range p {
		if p[i].Public.minisign != nil && p[i].Public.id == s.id {
			return fmt.Errorf("%w: it bears the number of %s, and was not made by it, or was changed", ErrForged, &p[i])
		}
	}
	return fmt.Errorf("%w: the minisign key %s is not among those of trust", ErrUntrusted, s.id)
}

// signed returns what the signature is over.
func (s *minisignature) signed(content []byte) []byte {
	if !s.hashed {
		return content
	}
	sum := blake2b.Sum512(content)
	return sum[:]
}

// Sign signs a plugin, as `minisign -S` with a trusted comment does. name and version are those of its manifest, or what it is
// to be called if it has none.
func (k *SecretKey) Sign(name, version string, wasm []byte) ([]byte, error) {
	c := claims{name, version, Digest(wasm)}
	if again, err := readClaims(c.comment()); err != nil || again != c || strings.ContainsFunc(c.comment(), func(r rune) bool { return !unicode.IsPrint(r) }) {
		return nil, errors.New("a signature needs the plugin's name and version, each of them one printable word")
	}
	s := &minisignature{hashed: true, id: k.id, comment: c.comment()}
	s.content = ed25519.Sign(k.key, s.signed(wasm))
	s.global = ed25519.Sign(k.key, append(slices.Clip(s.content), s.comment...))
	raw := append([]byte(algorithmHashed), k.id[:]...)
	raw = append(raw, s.content...)
	return []byte(untrustedPrefix + "signature from minisign secret key " + k.id.String() + "\n" +
		base64.StdEncoding.EncodeToString(raw) + "\n" +
		trustedPrefix + s.comment + "\n" +
		base64.StdEncoding.EncodeToString(s.global) + "\n"), nil
}

// printable is a text of a stranger as messages show it.
func printable(s string) string {
	const most = 100
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
