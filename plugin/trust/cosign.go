package trust

import (
	"bytes"
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// The forms of cosign's signatures: its SIGNATURE_SPEC.md, and for bundles the in-toto statement of its "sign" predicate
// within a DSSE envelope.
const (
	cosignType      = "cosign container image signature"
	statementType   = "https://in-toto.io/Statement/v1"
	signPredicate   = "https://sigstore.dev/cosign/sign/v1"
	envelopePayload = "application/vnd.in-toto+json"
	maxCosign       = 1 << 20
)

// checkCosign checks a signature of cosign's. It names no key, so all are tried.
func (p Policy) checkCosign(f Facts, digest string, s Signature) (Signer, error) {
	signed, signature, err := s.cosignParts(f)
	if err != nil {
		return Signer{}, err
	}
	k := p.made(signed, signature)
	switch {
	case k == nil:
		return Signer{}, fmt.Errorf("%w: none of the %d keys of cosign that trust lists made this signature", ErrUntrusted, p.cosignKeys())
	case k.Revoked:
		return Signer{}, fmt.Errorf("%w: %s", ErrRevoked, k)
	}
	if s.Kind != CosignBlob {
		of, err := s.subject()
		if err != nil {
			return Signer{}, err
		}
		if want := f.Manifest; want == "" || of != want {
			return Signer{}, fmt.Errorf("%w: %s signed %s, and this is %s", ErrOtherDigest, k, printable(of), cmp.Or(want, "a file with the digest "+digest))
		}
	}
	// The content's own manifest says its name and version, and the digest binds that.
	return k.accept(f, f.Name, f.Version)
}

// cosignParts returns the bytes that were signed, and the signature.
func (s Signature) cosignParts(f Facts) (signed, signature []byte, err error) {
	if len(s.Text) > maxCosign || len(s.Encoded) > maxCosign {
		return nil, nil, fmt.Errorf("%w: it is too large", ErrForged)
	}
	encoded := s.Encoded
	switch s.Kind {
	case CosignPayload:
		signed = s.Text
	case CosignBlob:
		signed = f.Wasm
	default:
		b, err := readBundle(s.Text)
		if err != nil {
			return nil, nil, err
		}
		signed, encoded = b.authenticated(), b.Envelope.Signatures[0].Sig
	}
	signature, err = base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: it is not base64", ErrForged)
	}
	return signed, signature, nil
}

// made returns the key that made a signature.
func (p Policy) made(signed, signature []byte) *Key {
	sum := sha256.Sum256(signed)
	for i := range p {
		k := &p[i]
		if k.Public.ec != nil && ecdsa.VerifyASN1(k.Public.ec, sum[:], signature) || k.Public.ed != nil && ed25519.Verify(k.Public.ed, signed, signature) {
			return k
		}
	}
	return nil
}

func (p Policy) cosignKeys() (n int) {
	for i := range p {
		if p[i].Public.minisign == nil {
			n++
		}
	}
	return n
}

// subject returns the digest that a signature is of. The signature has been checked, so whoever wrote this holds the key.
func (s Signature) subject() (string, error) {
	if s.Kind == Bundle {
		b, err := readBundle(s.Text)
		if err != nil {
			return "", err
		}
		return b.subject()
	}
	var payload struct {
		Critical struct {
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
			Type string `json:"type"`
		} `json:"critical"`
	}
	if err := decodeJSON(s.Text, &payload); err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnbound, err)
	}
	if payload.Critical.Type != cosignType || payload.Critical.Image.Digest == "" {
		return "", fmt.Errorf("%w: its payload is none of cosign's", ErrUnbound)
	}
	return payload.Critical.Image.Digest, nil
}

// bundle is as much of a Sigstore bundle as a key pair needs: nothing of certificates and logs, which prove who held a key that
// nobody knows. Here the key is known.
type bundle struct {
	Envelope struct {
		Payload     []byte `json:"payload"`
		PayloadType string `json:"payloadType"`
		Signatures  []struct {
			Sig string `json:"sig"`
		} `json:"signatures"`
	} `json:"dsseEnvelope"`
}

func readBundle(text []byte) (*bundle, error) {
	var b bundle
	if err := decodeJSON(text, &b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrForged, err)
	}
	if len(b.Envelope.Signatures) != 1 || b.Envelope.PayloadType != envelopePayload {
		return nil, fmt.Errorf("%w: the bundle holds no statement with one signature", ErrForged)
	}
	return &b, nil
}

// authenticated is what a DSSE signature is over: the type and the payload, each behind its length.
func (b *bundle) authenticated() []byte {
	out := []byte("DSSEv1 " + strconv.Itoa(len(b.Envelope.PayloadType)) + " " + b.Envelope.PayloadType + " " + strconv.Itoa(len(b.Envelope.Payload)) + " ")
	return append(out, b.Envelope.Payload...)
}

func (b *bundle) subject() (string, error) {
	var statement struct {
		Type      string `json:"_type"`
		Predicate string `json:"predicateType"`
		Subject   []struct {
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
	}
	if err := decodeJSON(b.Envelope.Payload, &statement); err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnbound, err)
	}
	// Statements of other predicates (a list of materials, a scan that found something) are signed by the same keys.
	if statement.Type != statementType || statement.Predicate != signPredicate || len(statement.Subject) != 1 || statement.Subject[0].Digest["sha256"] == "" {
		return "", fmt.Errorf("%w: its statement is not that something was signed", ErrUnbound)
	}
	return "sha256:" + statement.Subject[0].Digest["sha256"], nil
}

func decodeJSON(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("it is not the JSON that it should be: %w", err)
	}
	if d.More() {
		return errors.New("something follows its JSON")
	}
	return nil
}
