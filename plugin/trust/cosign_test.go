package trust

import (
	"errors"
	"testing"
)

// What cosign made: `cosign generate-key-pair`, then `cosign sign --key cosign.key --tlog-upload=false` by its version 2.5.3, and
// with another key and --new-bundle-format by 2.6.2.
const (
	theirCosignPublic = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEh4QFGDhysGuO6mI++ZIRGYx4vdmX
LB1oLiFto3TcpPbqQz/cqFllIZIQn3wKH445nY4NZOGI5e88xEleRPsCCw==
-----END PUBLIC KEY-----
`
	theirPayload = `{"critical":{"identity":{"docker-reference":"127.0.0.1:44431/acme/office-hours"},"image":{"docker-manifest-digest":"sha256:f440d1f41dcfbc9fa1c1691c6929fbf55f7e3f0e3f3cadabddfc2527af1d7a1b"},"type":"cosign container image signature"},"optional":null}`
	theirEncoded = "MEUCIQCqQBFJOHVxEfabQxWzLyIBcETleY7K1P9/k9ER5Cp4MwIgfrDvVopI8DvqQCZiBI6SFo69X0qJJeck0uku/BJFYUw="

	theirSecondPublic = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEQK7XJA8HHPzigDcMuCBtDlsEv9yE
bhyAPYdEBIItzQfTFmG2PkULwitNjHIR8QCKioEUVZpPDQfUutoi/z7Fdw==
-----END PUBLIC KEY-----
`
	theirBundle = `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"1DmXORX1/6eWRYwHVGTtd58rffSLW8s2VsL1JVJ7xp4="}},"dsseEnvelope":{"payload":"eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEiLCJzdWJqZWN0IjpbeyJkaWdlc3QiOnsic2hhMjU2IjoiZjQ0MGQxZjQxZGNmYmM5ZmExYzE2OTFjNjkyOWZiZjU1ZjdlM2YwZTNmM2NhZGFiZGRmYzI1MjdhZjFkN2ExYiJ9fV0sInByZWRpY2F0ZVR5cGUiOiJodHRwczovL3NpZ3N0b3JlLmRldi9jb3NpZ24vc2lnbi92MSJ9","payloadType":"application/vnd.in-toto+json","signatures":[{"sig":"MEUCIQDm2ggKzMTfrJS3C/fGa5WITBk6LYtrM/NzrxFwpLv7AgIgeZlsH/eNH/nVxw73IxX6jFugaxbl1x3jx7lttIWgoDM="}]}}`
)

func TestCosignsOwnSignatures(t *testing.T) {
	for name, test := range map[string]struct {
		key string
		s   Signature
	}{
		"payload": {theirCosignPublic, Signature{Kind: CosignPayload, Text: []byte(theirPayload), Encoded: theirEncoded}},
		"bundle":  {theirSecondPublic, Signature{Kind: Bundle, Text: []byte(theirBundle)}},
	} {
		p := Policy{{Name: "them", Public: parse(t, test.key), Names: []string{"*"}}}
		f := Facts{Name: "office-hours", Version: "1.2.0", Manifest: "sha256:f440d1f41dcfbc9fa1c1691c6929fbf55f7e3f0e3f3cadabddfc2527af1d7a1b"}
		if signer, err := p.Verify(f, []Signature{test.s}); err != nil || signer.Name != "them" || signer.Plugin != "office-hours" {
			t.Errorf("%s: %+v, %v", name, signer, err)
		}
		f.Manifest = manifestDigest
		if _, err := p.Verify(f, []Signature{test.s}); !errors.Is(err, ErrOtherDigest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
