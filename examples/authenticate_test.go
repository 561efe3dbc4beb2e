package examples_test

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
	"slices"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugins"
	"github.com/sallyport-dev/sallyport/runtime"
)

var base64URL = base64.RawURLEncoding.EncodeToString

// token makes a token with the README's issuer and audience.
func token(alg, kid string, expires time.Time, sign func(signed []byte) []byte) string {
	header := fmt.Sprintf(`{"alg":%q,"kid":%q}`, alg, kid)
	claims := fmt.Sprintf(`{"iss":"https://login.example.com","aud":"sallyport","sub":"ann","team":"research","exp":%d}`, expires.Unix())
	signed := base64URL([]byte(header)) + "." + base64URL([]byte(claims))
	return signed + "." + base64URL(sign([]byte(signed)))
}

// The key of the README is the one of RFC 8037, whose private half is known.
func readmeKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	seed, err := base64.RawURLEncoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	if err != nil {
		t.Fatal(err)
	}
	return ed25519.NewKeyFromSeed(seed)
}

func TestJWT(t *testing.T) {
	if testing.Short() {
		t.Skip("compiling a Go guest takes long: -short")
	}
	set := loadAsDocumented(t, "jwt")
	key := readmeKey(t)
	sign := func(signed []byte) []byte { return ed25519.Sign(key, signed) }
	facts := []struct {
		name, credential string
		answer           abi.Answer
		id, code         string
	}{
		{"a good token", token("EdDSA", "2026-11", now.Add(time.Hour), sign), abi.Given, "policy:jwt/ann", ""},
		{"an expired one", token("EdDSA", "2026-11", now.Add(-time.Hour), sign), abi.Given, "", "invalid_token"},
		{"a forged one", token("EdDSA", "2026-11", now.Add(time.Hour), func([]byte) []byte { return make([]byte, 64) }), abi.Given, "", "invalid_token"},
		{"a stored key", "aigw_0123456789", abi.NoVerdict, "", ""},
		{"nothing", "", abi.NoVerdict, "", ""},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			a := &abi.Authentication{Request: &abi.Request{}, Credential: []byte(f.credential)}
			answer, id := set.Authenticate(a), ""
			if a.Identity != nil {
				id = a.Identity.KeyID
			}
			if answer != f.answer || id != f.id || a.Code != f.code || (a.Status == 401) != (f.code != "") {
				t.Errorf("answer %d, identity %+v, denied %d %s %s", answer, a.Identity, a.Status, a.Code, a.Message)
			}
		})
	}
}

// Every algorithm, many times: what a verification takes, collecting its garbage now and then included, is within the
// README's fuel.
func TestJWTAlgorithms(t *testing.T) {
	if testing.Short() {
		t.Skip("compiling a Go guest takes long: -short")
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := ecKey.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	p := documented(t, "jwt")
	p.Config, err = json.Marshal(map[string]any{
		"issuer": "https://login.example.com", "audience": "sallyport",
		"jwks": map[string]any{"keys": []map[string]string{
			{"kty": "RSA", "kid": "r", "n": base64URL(rsaKey.N.Bytes()), "e": "AQAB"},
			{"kty": "EC", "kid": "e", "crv": "P-256", "x": base64URL(point[1:33]), "y": base64URL(point[33:])},
			{"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Wasm = build(t, "jwt")
	set := loadPolicies(t, p)
	end := now.Add(time.Hour)
	tokens := map[string]string{
		"EdDSA": token("EdDSA", "o", end, func(signed []byte) []byte { return ed25519.Sign(readmeKey(t), signed) }),
		"RS256": token("RS256", "r", end, func(signed []byte) []byte {
			digest := sha256.Sum256(signed)
			signature, _ := rsa.SignPKCS1v15(nil, rsaKey, crypto.SHA256, digest[:])
			return signature
		}),
		"ES256": token("ES256", "e", end, func(signed []byte) []byte {
			digest := sha256.Sum256(signed)
			r, s, _ := ecdsa.Sign(rand.Reader, ecKey, digest[:])
			return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}),
	}
	for alg, credential := range tokens {
		t.Run(alg, func(t *testing.T) {
			const calls = 200
			began := time.Now()
			for i := range calls {
				a := &abi.Authentication{Request: &abi.Request{}, Credential: []byte(credential)}
				if answer := set.Authenticate(a); answer != abi.Given || a.Identity == nil {
					t.Fatalf("call %d: answer %d, %+v", i, answer, a)
				}
			}
			t.Logf("%s takes %s", alg, time.Since(began)/calls)
		})
	}
}

// keys is a store of keys in memory.
type keys map[abi.Digest]*abi.Identity

func (k keys) Lookup(digest *abi.Digest) (*abi.Identity, bool) {
	identity, ok := k[*digest]
	return identity, ok
}

func TestOfficeHours(t *testing.T) {
	if testing.Short() {
		t.Skip("compiling a Go guest takes long: -short")
	}
	wasm, err := plugins.Builtin("default")
	if err != nil {
		t.Fatal(err)
	}
	set := loadAsDocumented(t, "office-hours", runtime.Policy{Name: "default", Wasm: wasm, Grants: runtime.Grants{Identities: true}})
	store := keys{{1}: {KeyID: "k1", Team: "interns"}, {2}: {KeyID: "k2", Team: "core"}}
	facts := []struct { // it is a Saturday
		name, model string
		digest      abi.Digest
		code        string
	}{
		{"what is for office hours", "coding", abi.Digest{1}, "model_only_in_office_hours"},
		{"what is for any hour", "llama", abi.Digest{1}, ""},
		{"a team that is not listed", "coding", abi.Digest{2}, ""},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			a := &abi.Authentication{
				Request: &abi.Request{Model: []byte(f.model)}, Digest: f.digest, Shape: abi.CredentialGenerated, Identities: store,
			}
			if answer := set.Authenticate(a); answer != abi.Given || a.Code != f.code || (a.Identity == nil) != (f.code != "") {
				t.Errorf("answer %d, %+v", answer, a)
			}
		})
	}
}

func TestTrial(t *testing.T) {
	set := loadAsDocumented(t, "trial")
	a := &abi.Authentication{Request: &abi.Request{ClientAddress: []byte("192.0.2.7")}}
	if answer := set.Authenticate(a); answer != abi.Given || a.Identity == nil {
		t.Fatalf("answer %d, %+v", answer, a)
	}
	i := a.Identity
	if i.KeyID != "policy:trial/192.0.2.7" || i.Name != "trial" || i.Team != "trials" || i.DefaultModel != "llama" || !slices.Equal(i.Models, []string{"llama"}) {
		t.Errorf("got %+v", i)
	}
	if want := (abi.Limits{abi.RequestsPerMinute: 5, abi.RequestsPerDay: 100, abi.Concurrent: 1, abi.MaxOutputTokens: 1024}); i.Limits != want {
		t.Errorf("the limits are %v", i.Limits)
	}
	if len(i.Budgets) != 1 || i.Budgets[0].Amount != 100_000_000 || i.Budgets[0].Period != abi.PerDay || i.Budgets[0].Zone() != "Europe/Berlin" {
		t.Errorf("the budgets are %+v", i.Budgets)
	}
	if !slices.Equal(i.Labels, []abi.Label{{Name: "kind", Value: "trial"}}) {
		t.Errorf("the labels are %v", i.Labels)
	}
	if with := (&abi.Authentication{Request: &abi.Request{ClientAddress: []byte("192.0.2.7")}, Shape: abi.CredentialMistyped}); set.Authenticate(with) != abi.NoVerdict {
		t.Errorf("who shows a credential is %+v", with)
	}
}

func TestTrialShared(t *testing.T) {
	set := loadPolicies(t, runtime.Policy{Name: "trial", Wasm: build(t, "trial"), Config: []byte(`{"models": ["llama"], "cents_per_day": 0, "shared": true}`)})
	a := &abi.Authentication{Request: &abi.Request{ClientAddress: []byte("::1")}}
	if answer := set.Authenticate(a); answer != abi.Given || a.Identity.KeyID != "policy:trial/everybody" || a.Identity.Budgets[0].Amount != 0 {
		t.Errorf("answer %d, %+v", answer, a.Identity)
	}
}
