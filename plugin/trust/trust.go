// Package trust makes and checks signatures of plugins: those of minisign, which bind a plugin's name, version and bytes, and
// those of cosign's key pairs, which bind the manifest that names the bytes. Nothing is asked over a network, and no clock:
// what a signature is worth is decided by the keys of policies.yaml alone.
//
// It imports nothing of ours. config, plugin/lock and cmd/sallyport import it.
package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// The errors that callers tell apart. What is wrapped in them says more.
var (
	ErrUnsigned     = errors.New("is not signed")
	ErrUntrusted    = errors.New("is signed by nobody who is trusted")        // by a key that is not among those of trust
	ErrRevoked      = errors.New("is signed by a key that was revoked")       // in policies.yaml
	ErrNotAllowed   = errors.New("is signed by a key for other plugins")      // the key is trusted, for other names
	ErrOtherName    = errors.New("has a signature of another plugin")         // a good one
	ErrOtherVersion = errors.New("has a signature of another version")        // a good one
	ErrOtherDigest  = errors.New("has a signature of other content")          // a good one
	ErrUnbound      = errors.New("has a signature that does not say of what") // a good one, by other tools' habits
	ErrForged       = errors.New("has a signature that is not right")         // damaged, or made up
)

// Facts is what is known of a plugin whose signatures are checked.
type Facts struct {
	Name, Version string // as the module's manifest says; empty where it has none: then the signature says it
	Wasm          []byte // the module, or the script
	Manifest      string // digest of the OCI manifest that names it; empty for files
	Place         string // HOST/REPOSITORY, or an absolute path: what names with a slash in them are about
}

// Digest is the digest of a module as references and signatures write it.
func Digest(wasm []byte) string {
	sum := sha256.Sum256(wasm)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// Signature is a signature as it was found. It proves nothing before Policy.Verify has accepted it.
type Signature struct {
	Kind    Kind
	Text    []byte // of Minisign the whole file; of CosignPayload and Bundle what they signed, and the bundle
	Encoded string // of CosignPayload and CosignBlob the signature in base64
}

// Kind is the form of a signature.
type Kind uint8

// The forms that are read.
const (
	Minisign      Kind = iota // a .minisig file
	CosignPayload             // cosign's "simple signing" payload with its signature
	CosignBlob                // what cosign's sign-blob writes for a file
	Bundle                    // what cosign writes since its version 3: an in-toto statement in a Sigstore bundle
)

// Key is a public key that somebody trusts, and for what.
type Key struct {
	Name    string // for people; the key's ID where nobody gave it one
	Public  PublicKey
	Names   []string // of plugins, or with a slash of places; one that ends in * is a beginning
	Revoked bool
}

// Policy says who may sign what. Its zero value trusts nobody.
type Policy []Key

// Signer is who signed a plugin, and as what.
type Signer struct {
	Name          string // of the key in the policy
	Key           string // PublicKey.ID
	Plugin        string // the plugin's name, as Facts or else the signature has it
	PluginVersion string
}

// Verify returns who signed a plugin. One good signature is enough: those of other keys beside it do not harm, so that a key
// can be replaced by signing anew with the next one. Without any, the error says of each what is wrong with it.
func (p Policy) Verify(f Facts, signatures []Signature) (Signer, error) {
	if len(signatures) == 0 {
		return Signer{}, ErrUnsigned
	}
	digest := Digest(f.Wasm)
	var all refusals
	for _, s := range signatures {
		signer, err := p.check(f, digest, s)
		if err == nil {
			return signer, nil
		}
		all = all.add(err)
	}
	return Signer{}, all
}

func (p Policy) check(f Facts, digest string, s Signature) (Signer, error) {
	if s.Kind == Minisign {
		return p.checkMinisign(f, digest, s.Text)
	}
	return p.checkCosign(f, digest, s)
}

// accept is the part that is the same for all forms: the key made it and counts, now it is about what it is trusted for.
func (k *Key) accept(f Facts, name, version string) (Signer, error) {
	if !k.allows(name, f.Place) {
		return Signer{}, fmt.Errorf("%w: %s is trusted for %s, and not for %s", ErrNotAllowed, k, strings.Join(k.Names, ", "), described(name, f.Place))
	}
	return Signer{Name: k.String(), Key: k.Public.ID(), Plugin: name, PluginVersion: version}, nil
}

// String is how messages call a key.
func (k *Key) String() string {
	if k.Name != "" {
		return k.Name
	}
	return k.Public.ID()
}

func described(name, place string) string {
	switch {
	case place == "":
		return name
	case name == "":
		return "a plugin without a name at " + place
	default:
		return name + " at " + place
	}
}

// allows says whether a key may sign a plugin of this name at this place.
func (k *Key) allows(name, place string) bool {
	for _, pattern := range k.Names {
		what := name
		if strings.Contains(pattern, "/") {
			what = part(place, pattern)
		}
		if what != "" && fits(pattern, what) {
			return true
		}
	}
	return false
}

// part is what of a place a pattern is about: all of it where the pattern begins with a registry or a folder, else the
// repository's name, so that "acme/*" holds in whatever registry. A repository that has a registry's name fits no registry.
func part(place, pattern string) string {
	host, _, _ := strings.Cut(pattern, "/")
	if host == "" || host == "localhost" || strings.ContainsAny(host, ".:") || strings.HasPrefix(place, "/") {
		return place
	}
	_, repository, _ := strings.Cut(place, "/")
	return repository
}

// fits compares a name with a pattern: the name itself, or its beginning with a * behind it.
func fits(pattern, name string) bool {
	if beginning, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(name, beginning)
	}
	return pattern == name
}

// CheckPattern says what is wrong with a name of Key.Names; "" if nothing is.
func CheckPattern(pattern string) string {
	name := strings.TrimSuffix(pattern, "*")
	if pattern == "" || len(pattern) > maxPattern || strings.Contains(name, "*") || strings.ContainsFunc(name, notInPattern) {
		return `must be the name of a plugin, or a place such as "registry.example/acme/*": a * may stand at the end only`
	}
	return ""
}

const maxPattern = 512

func notInPattern(r rune) bool { return r <= ' ' || r == 0x7f || r == '\\' }

// refusals are what is wrong with the signatures of one plugin, each message once.
type refusals []error

func (r refusals) add(err error) refusals {
	for _, other := range r {
		if other.Error() == err.Error() {
			return r
		}
	}
	return append(r, err)
}

// Error puts all of them into one line.
func (r refusals) Error() string {
	texts := make([]string, len(r))
	for i, err := range r {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap lets errors.Is find each.
func (r refusals) Unwrap() []error { return r }

var (
	_ error        = refusals(nil)
	_ fmt.Stringer = (*Key)(nil)
)
