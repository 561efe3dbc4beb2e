package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// keySet is the keys of a JSON Web Key Set that signatures may come from.
type keySet []key

// key is one of them. What it is for is decided by the key, never by the token: a token cannot choose a weaker algorithm.
type key struct {
	id     string
	alg    string
	public crypto.PublicKey
}

// The algorithms: RSA with PKCS #1 v1.5 and SHA-256, ECDSA with P-256 and SHA-256, Ed25519.
const (
	rs256 = "RS256"
	es256 = "ES256"
	eddsa = "EdDSA"
)

// jwk is a key as the set writes it.
type jwk struct {
	Type  string `json:"kty"`
	Use   string `json:"use"`
	ID    string `json:"kid"`
	Alg   string `json:"alg"`
	Curve string `json:"crv"`
	N     string `json:"n"`
	E     string `json:"e"`
	X     string `json:"x"`
	Y     string `json:"y"`
}

// parseKeys reads a set. Keys for encryption are left out; one that cannot be used is an error, because whoever listed it
// expects it to work.
func parseKeys(text []byte) (keySet, error) {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, err
	}
	var keys keySet
	for i, j := range set.Keys {
		if j.Use == "enc" {
			continue
		}
		k, err := j.parse()
		if err == nil && j.Alg != "" && j.Alg != k.alg {
			err = fmt.Errorf("the algorithm is %q, but such a key is used with %s", j.Alg, k.alg)
		}
		if err != nil {
			return nil, fmt.Errorf("key %d (%q): %w", i, j.ID, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no key for signatures")
	}
	return keys, nil
}

func (j *jwk) parse() (key, error) {
	switch {
	case j.Type == "RSA":
		return j.rsa()
	case j.Type == "EC" && j.Curve == "P-256":
		return j.p256()
	case j.Type == "OKP" && j.Curve == "Ed25519":
		x, err := decode(j.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return key{}, errors.New("x is no Ed25519 key")
		}
		return key{j.ID, eddsa, ed25519.PublicKey(x)}, nil
	default:
		return key{}, fmt.Errorf("the type %q with the curve %q is not known here", j.Type, j.Curve)
	}
}

func (j *jwk) rsa() (key, error) {
	n, errN := decode(j.N)
	e, errE := decode(j.E)
	if errN != nil || errE != nil || len(e) == 0 || len(e) > 4 {
		return key{}, errors.New("n and e are no RSA key")
	}
	public := &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	if bits := public.N.BitLen(); bits < 2048 || bits > 4096 {
		return key{}, fmt.Errorf("an RSA key has 2048 to 4096 bits, not %d", bits)
	}
	return key{j.ID, rs256, public}, nil
}

func (j *jwk) p256() (key, error) {
	x, errX := decode(j.X)
	y, errY := decode(j.Y)
	if errX != nil || errY != nil || len(x) != 32 || len(y) != 32 {
		return key{}, errors.New("x and y are no point of P-256")
	}
	public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		return key{}, err
	}
	return key{j.ID, es256, public}, nil
}

// token is the three parts of a JSON Web Token, and what its signature is over.
type token struct {
	header, payload, signature []byte

	signed string
}

// split takes a credential apart, if it looks like a token: three parts, the first an object of JSON.
func split(credential string) (token, bool) {
	parts := strings.Split(credential, ".")
	if len(parts) != 3 || !strings.HasPrefix(credential, "ey") { // the beginning of {" in Base64
		return token{}, false
	}
	header, errH := decode(parts[0])
	payload, errP := decode(parts[1])
	signature, errS := decode(parts[2])
	if errH != nil || errP != nil || errS != nil {
		return token{}, false
	}
	return token{header, payload, signature, parts[0] + "." + parts[1]}, true
}

// decode reads Base64 as JSON Web Tokens have it: without padding, and strictly, so that a token has one form only.
func decode(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") { // which the standard library skips
		return nil, errors.New("a line break in Base64")
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}

// verify finds the key of the token's signature and returns what it vouches for.
func (s keySet) verify(t token) (*claims, error) {
	var header struct {
		Alg      string   `json:"alg"`
		ID       string   `json:"kid"`
		Critical []string `json:"crit"`
	}
	if err := json.Unmarshal(t.header, &header); err != nil {
		return nil, fmt.Errorf("reading the header: %w", err)
	}
	if header.Critical != nil {
		return nil, fmt.Errorf("the header demands %q, which this policy does not know", header.Critical)
	}
	for _, k := range s {
		if k.alg != header.Alg || header.ID != "" && k.id != header.ID || !k.fits(t) {
			continue
		}
		c := &claims{}
		if err := json.Unmarshal(t.payload, c); err != nil {
			return nil, fmt.Errorf("reading the claims: %w", err)
		}
		return c, nil
	}
	return nil, fmt.Errorf("no key with the id %q and the algorithm %q made the signature", header.ID, header.Alg)
}

// fits reports whether the key made the signature.
func (k *key) fits(t token) bool {
	digest := sha256.Sum256([]byte(t.signed))
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, digest[:], t.signature) == nil
	case *ecdsa.PublicKey:
		if len(t.signature) != 64 {
			return false
		}
		r, s := new(big.Int).SetBytes(t.signature[:32]), new(big.Int).SetBytes(t.signature[32:])
		return ecdsa.Verify(public, digest[:], r, s)
	case ed25519.PublicKey:
		return ed25519.Verify(public, []byte(t.signed), t.signature)
	default:
		return false
	}
}
