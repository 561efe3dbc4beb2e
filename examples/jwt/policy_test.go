package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/sdk/go/hosttest"
)

// Keys are made once, because RSA keys take a while.
var (
	rsaKey, _   = rsa.GenerateKey(rand.Reader, 2048)
	otherKey, _ = rsa.GenerateKey(rand.Reader, 2048)
	ecKey, _    = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, edKey, _ = ed25519.GenerateKey(nil)

	now        = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	goodClaims = map[string]any{"iss": "https://login.example.com", "aud": "sallyport", "sub": "u1", "exp": now.Unix() + 60}
)

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// ecPoint returns the coordinates of the P-256 key.
func ecPoint() (x, y string) {
	point, _ := ecKey.PublicKey.Bytes()
	return encode(point[1:33]), encode(point[33:])
}

func config() string {
	x, y := ecPoint()
	return fmt.Sprintf(`{"issuer": "https://login.example.com", "audience": "sallyport", "leeway_seconds": 30, "jwks": {"keys": [
		{"kty": "RSA", "use": "enc", "kid": "e1", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB"},
		{"kty": "RSA", "use": "sig", "kid": "r1", "alg": "RS256", "n": %q, "e": "AQAB"},
		{"kty": "EC", "kid": "c1", "crv": "P-256", "x": %q, "y": %q},
		{"kty": "OKP", "kid": "o1", "crv": "Ed25519", "alg": "EdDSA", "x": %q}]}}`,
		encode(rsaKey.N.Bytes()), x, y, encode(edKey.Public().(ed25519.PublicKey)))
}

// sign makes a token. Headers and claims replace those of a good one; nil takes one away.
func sign(alg, kid string, signer crypto.Signer, headers, claims map[string]any) string {
	signed := part(map[string]any{"alg": alg, "kid": kid, "typ": "JWT"}, headers) + "." + part(goodClaims, claims)
	digest := sha256.Sum256([]byte(signed))
	var signature []byte
	switch k := signer.(type) {
	case *rsa.PrivateKey:
		signature, _ = rsa.SignPKCS1v15(nil, k, crypto.SHA256, digest[:])
	case *ecdsa.PrivateKey:
		r, s, _ := ecdsa.Sign(rand.Reader, k, digest[:])
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case ed25519.PrivateKey:
		signature = ed25519.Sign(k, []byte(signed))
	}
	return signed + "." + encode(signature)
}

func part(members, changes map[string]any) string {
	all := map[string]any{}
	for _, m := range []map[string]any{members, changes} {
		for name, value := range m {
			all[name] = value
			if value == nil {
				delete(all, name)
			}
		}
	}
	text, _ := json.Marshal(all)
	return encode(text)
}

func ask(t *testing.T, credential string) hosttest.Authenticated {
	t.Helper()
	setting := hosttest.Setting{Config: config(), Inputs: []string{"credential"}, Now: now}
	if got := setting.Configure(configure); got.Failed != "" {
		t.Fatal(got.Log)
	}
	return hosttest.Authentication{Setting: setting, Credential: credential}.Ask(authenticate)
}

func TestGoodTokens(t *testing.T) {
	facts := map[string]string{
		"RS256":                 sign("RS256", "r1", rsaKey, nil, nil),
		"ES256":                 sign("ES256", "c1", ecKey, nil, nil),
		"EdDSA":                 sign("EdDSA", "o1", edKey, nil, nil),
		"without a key's id":    sign("ES256", "", ecKey, map[string]any{"kid": nil}, nil),
		"for several audiences": sign("EdDSA", "o1", edKey, nil, map[string]any{"aud": []string{"other", "sallyport"}}),
		"expired just now":      sign("EdDSA", "o1", edKey, nil, map[string]any{"exp": now.Unix() - 29}),
		"valid in a moment":     sign("EdDSA", "o1", edKey, nil, map[string]any{"nbf": now.Unix() + 29}),
	}
	for name, token := range facts {
		t.Run(name, func(t *testing.T) {
			if got := ask(t, token); got.Identity == nil || got.Identity.KeyID != "u1" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestAnIdentityHasWhatTheTokenSays(t *testing.T) {
	got := ask(t, sign("EdDSA", "o1", edKey, nil, map[string]any{"email": "ann@example.com", "team": "research", "models": []string{"coding", "claude-*"}}))
	i := got.Identity
	if i == nil || i.Name != "ann@example.com" || i.Team != "research" || strings.Join(i.Models, " ") != "coding claude-*" || !i.Expires.Equal(now.Add(90*time.Second)) {
		t.Errorf("got %+v", got)
	}
}

func TestBadTokens(t *testing.T) {
	good := sign("RS256", "r1", rsaKey, nil, nil)
	header, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	forged := part(goodClaims, map[string]any{"sub": "admin"})
	ecSignature := sign("ES256", "c1", ecKey, nil, nil)
	facts := []struct{ name, token, reason string }{
		{"another key's signature", sign("RS256", "r1", otherKey, nil, nil), "signature"},
		{"another's claims", header + "." + forged + "." + signature, "signature"},
		{"no signature", header + "." + payload + ".", "signature"},
		{"the algorithm none", part(map[string]any{"alg": "none", "kid": "r1"}, nil) + "." + payload + ".", "signature"},
		{"HMAC with the public key", part(map[string]any{"alg": "HS256", "kid": "r1"}, nil) + "." + payload + "." + signature, "signature"},
		{"a key of another algorithm", sign("RS256", "c1", rsaKey, nil, nil), "signature"},
		{"a signature that is too short", ecSignature[:len(ecSignature)-2], "signature"},
		{"an unknown key", sign("RS256", "r2", rsaKey, nil, nil), "signature"},
		{"a key for encryption", sign("RS256", "e1", rsaKey, nil, nil), "signature"},
		{"a demand that is not known", sign("RS256", "r1", rsaKey, map[string]any{"crit": []string{"b64"}}, nil), "signature"},
		{"another issuer", sign("RS256", "r1", rsaKey, nil, map[string]any{"iss": "https://evil.example.com"}), "somebody else"},
		{"another audience", sign("RS256", "r1", rsaKey, nil, map[string]any{"aud": "other"}), "not for this gateway"},
		{"no audience", sign("RS256", "r1", rsaKey, nil, map[string]any{"aud": nil}), "not for this gateway"},
		{"nobody's", sign("RS256", "r1", rsaKey, nil, map[string]any{"sub": ""}), "names nobody"},
		{"a name that is too long", sign("RS256", "r1", rsaKey, nil, map[string]any{"sub": strings.Repeat("x", 129)}), "names nobody"},
		{"without an end", sign("RS256", "r1", rsaKey, nil, map[string]any{"exp": nil}), "no end"},
		{"with an end beyond all time", sign("RS256", "r1", rsaKey, nil, map[string]any{"exp": 1e300}), "no end"},
		{"expired", sign("RS256", "r1", rsaKey, nil, map[string]any{"exp": now.Unix() - 30}), "expired"},
		{"not valid yet", sign("RS256", "r1", rsaKey, nil, map[string]any{"nbf": now.Unix() + 31}), "not valid yet"},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			got := ask(t, f.token)
			if got.Status != 401 || got.Code != "invalid_token" || !strings.Contains(got.Message, f.reason) || len(got.Log) != 1 {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestOtherCredentialsPass(t *testing.T) {
	for _, credential := range []string{"", "sk-1234567890123456", "a.b.c", "ey.ey", "ey!.ey.ey", "eyJh\n.e30.e30"} {
		if got := ask(t, credential); !got.Passed {
			t.Errorf("%q: got %+v", credential, got)
		}
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	good := config()
	x, y := ecPoint()
	facts := map[string]string{
		"nothing":                   "",
		"no issuer":                 strings.Replace(good, "https://login.example.com", "", 1),
		"no audience":               strings.Replace(good, `"sallyport"`, `""`, 1),
		"an unknown member":         strings.Replace(good, "leeway_seconds", "leeway", 1),
		"too much leeway":           strings.Replace(good, "30", "301", 1),
		"no keys":                   `{"issuer": "a", "audience": "b", "jwks": {"keys": []}}`,
		"a key that is too short":   strings.Replace(good, `"use": "enc"`, `"use": "sig"`, 1),
		"a curve that is not known": strings.Replace(good, "P-256", "P-521", 1),
		"a point off the curve":     strings.Replace(good, x, y, 1),
		"an algorithm of its own":   strings.Replace(good, `"RS256"`, `"PS256"`, 1),
	}
	for name, config := range facts {
		if got := (hosttest.Setting{Config: config}).Configure(configure); got.Failed == "" {
			t.Errorf("%s: accepted", name)
		}
	}
}

func FuzzToken(f *testing.F) {
	f.Add(sign("EdDSA", "o1", edKey, nil, nil))
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	if got := (hosttest.Setting{Config: config()}).Configure(configure); got.Failed != "" {
		f.Fatal(got.Log)
	}
	f.Fuzz(func(t *testing.T, credential string) {
		token, ok := split(credential)
		if !ok {
			return
		}
		if _, err := settings.keys.verify(token); err == nil && credential != token.signed+"."+encode(token.signature) {
			t.Errorf("%q and another form of it are both accepted", credential)
		}
	})
}
