package trust

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
)

var wasm = []byte("\x00asm\x01\x00\x00\x00")

const manifestDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func facts() Facts {
	return Facts{Name: "office-hours", Version: "1.2.0", Wasm: wasm, Manifest: manifestDigest, Place: "registry.example/acme/office-hours"}
}

func TestVerifyMinisign(t *testing.T) {
	team, other, stranger := newKey(t), newKey(t), newKey(t)
	p := Policy{
		{Name: "team-a", Public: team.Public(), Names: []string{"acme/*", "quota"}},
		{Name: "old", Public: other.Public(), Names: []string{"*"}, Revoked: true},
	}
	good := sign(t, team, "office-hours", "1.2.0", wasm)
	change := func(from, to string) Signature {
		return Signature{Text: []byte(strings.Replace(string(good.Text), from, to, 1))}
	}
	k := &SecretKey{id: team.id, key: stranger.key}
	for _, test := range []struct {
		name       string
		facts      func(*Facts)
		signatures []Signature
		want       error
		words      string
	}{
		{"good", nil, []Signature{good}, nil, ""},
		{"good among bad ones", nil, []Signature{sign(t, other, "office-hours", "1.2.0", wasm), {Text: []byte("x")}, good}, nil, ""},
		{"missing", nil, nil, ErrUnsigned, "is not signed"},
		{"a key that nobody trusts", nil, []Signature{sign(t, stranger, "office-hours", "1.2.0", wasm)}, ErrUntrusted, stranger.id.String()},
		{"a revoked key", nil, []Signature{sign(t, other, "office-hours", "1.2.0", wasm)}, ErrRevoked, "old"},
		{"another name", func(f *Facts) { f.Name = "quota" }, []Signature{good}, ErrOtherName, "team-a signed office-hours, and this is quota"},
		{"another version", func(f *Facts) { f.Version = "1.3.0" }, []Signature{good}, ErrOtherVersion, "signed office-hours 1.2.0, and this is version 1.3.0"},
		{"other content", func(f *Facts) { f.Wasm = []byte("x") }, []Signature{good}, ErrOtherDigest, Digest(wasm)},
		{"a key for other plugins", func(f *Facts) { f.Place = "registry.example/evil/office-hours" }, []Signature{good}, ErrNotAllowed, "trusted for acme/*, quota, and not for office-hours at registry.example/evil"},
		{"a changed comment", nil, []Signature{change("1.2.0", "1.2.1")}, ErrForged, "bears the number of team-a"},
		{"a changed signature", nil, []Signature{change("\nRU", "\nRW")}, ErrForged, ""},
		{"a key with a stolen number", nil, []Signature{sign(t, k, "office-hours", "1.2.0", wasm)}, ErrForged, "not made by it"},
		{"cut off", nil, []Signature{{Text: good.Text[:len(good.Text)-10]}}, ErrForged, "fourth line"},
		{"something else", nil, []Signature{{Text: []byte("hello")}}, ErrForged, "no file of minisign"},
		{"too long", nil, []Signature{{Text: make([]byte, maxSignatureText+1)}}, ErrForged, "bytes"},
		{"all reasons, each once", nil, []Signature{{Text: []byte("x")}, {Text: []byte("x")}, sign(t, other, "a", "1", wasm)}, ErrRevoked, "minisign; is signed by a key that was revoked: old"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := facts()
			if test.facts != nil {
				test.facts(&f)
			}
			signer, err := p.Verify(f, test.signatures)
			if test.want == nil {
				if want := (Signer{"team-a", team.Public().ID(), "office-hours", "1.2.0"}); err != nil || signer != want {
					t.Errorf("%+v, %v", signer, err)
				}
				return
			}
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.words) || signer != (Signer{}) {
				t.Errorf("%+v, %v", signer, err)
			}
		})
	}
	unnamed := facts()
	unnamed.Name, unnamed.Version = "", ""
	if signer, err := p.Verify(unnamed, []Signature{sign(t, team, "quota", "3.0.0", wasm)}); err != nil || signer.Plugin != "quota" || signer.PluginVersion != "3.0.0" {
		t.Errorf("a module without a manifest is what its signature says: %+v, %v", signer, err)
	}
	if _, err := (Policy)(nil).Verify(facts(), []Signature{good}); !errors.Is(err, ErrUntrusted) {
		t.Errorf("who trusts nobody: %v", err)
	}
}

// The comment that minisign writes by itself says nothing of the plugin, and neither does one that says it twice.
func TestCommentsThatBindNothing(t *testing.T) {
	digest := Digest(wasm)
	for _, comment := range []string{
		"timestamp:1700000000\tfile:x.wasm\thashed", "name=a version=1.0.0", "name=a version=1.0.0 digest=" + digest + " name=b", "name=a name= version=1.0.0 digest=" + digest,
		"name=a version= digest=" + digest, "Name=a version=1.0.0 digest=" + digest,
	} {
		if c, err := readClaims(comment); !errors.Is(err, ErrUnbound) {
			t.Errorf("%q: %+v, %v", comment, c, err)
		}
	}
	c, err := readClaims("timestamp:1 digest=" + digest + " more=x name=a version=1.0.0")
	if err != nil || c != (claims{"a", "1.0.0", digest}) {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestNames(t *testing.T) {
	const place = "registry.example/acme/office-hours"
	for _, test := range []struct {
		pattern, name, place string
		want                 bool
	}{
		{"*", "a", place, true},
		{"*", "", place, false},
		{"office-*", "office-hours", place, true},
		{"office-hours", "office-hours2", place, false},
		{"office-hours", "", place, false},
		{"acme/*", "a", place, true},
		{"acme/office-hours", "a", place, true},
		{"acme/office", "a", place, false},
		{"acm/*", "a", place, false},
		{"registry.example/acme/*", "a", place, true},
		{"registry.example/*", "a", "evil.example/registry.example/x", false}, // a repository that is named like a registry
		{"localhost:5000/*", "a", "evil.example/localhost:5000/x", false},
		{"acme/*", "a", "", false},
		{"acme/*", "acme/x", "", false},
		{"/srv/policies/*", "a", "/srv/policies/x", true},
		{"srv/*", "a", "/srv/policies/x", false},
	} {
		if got := (&Key{Names: []string{"nothing", test.pattern}}).allows(test.name, test.place); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
	for pattern, fine := range map[string]bool{"a": true, "*": true, "acme/*": true, "": false, "a*b": false, "**": false, "a b": false, "a\\b": false, strings.Repeat("a", 600): false} {
		if got := CheckPattern(pattern) == ""; got != fine {
			t.Errorf("%q: %v", pattern, got)
		}
	}
}

// pair is one of cosign's key pairs.
type pair struct {
	public PublicKey
	sign   func(message []byte) string
}

func publicPEM(t testing.TB, key any) PublicKey {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
}

func ecdsaPair(t testing.TB) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pair{publicPEM(t, key.Public()), func(message []byte) string {
		sum := sha256.Sum256(message)
		signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(signature)
	}}
}

func ed25519Pair(t testing.TB) pair {
	t.Helper()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pair{publicPEM(t, public), func(message []byte) string {
		return base64.StdEncoding.EncodeToString(ed25519.Sign(key, message))
	}}
}

func (k pair) payload(text string) Signature {
	return Signature{Kind: CosignPayload, Text: []byte(text), Encoded: k.sign([]byte(text))}
}

func payloadOf(digest string) string {
	return `{"critical":{"identity":{"docker-reference":"registry.example/acme/office-hours"},"image":{"docker-manifest-digest":"` + digest +
		`"},"type":"cosign container image signature"},"optional":null}`
}

func (k pair) bundle(t testing.TB, statement string) Signature {
	t.Helper()
	signed := fmt.Appendf(nil, "DSSEv1 28 application/vnd.in-toto+json %d %s", len(statement), statement)
	text, err := json.Marshal(map[string]any{
		"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
		"dsseEnvelope": map[string]any{
			"payload": []byte(statement), "payloadType": "application/vnd.in-toto+json", "signatures": []any{map[string]any{"sig": k.sign(signed)}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return Signature{Kind: Bundle, Text: text}
}

func statementOf(digest, predicate string) string {
	return `{"_type":"https://in-toto.io/Statement/v1","subject":[{"digest":{"sha256":"` + strings.TrimPrefix(digest, "sha256:") + `"}}],"predicateType":"` + predicate + `","predicate":{}}`
}

func TestVerifyCosign(t *testing.T) {
	team, ed, old, stranger := ecdsaPair(t), ed25519Pair(t), ecdsaPair(t), ecdsaPair(t)
	p := Policy{
		{Name: "team-a", Public: team.public, Names: []string{"office-hours"}},
		{Name: "ed", Public: ed.public, Names: []string{"acme/*"}},
		{Name: "old", Public: old.public, Names: []string{"*"}, Revoked: true},
		{Name: "mini", Public: newKey(t).Public(), Names: []string{"*"}},
	}
	other := strings.Replace(manifestDigest, "a", "b", 1)
	good := team.payload(payloadOf(manifestDigest))
	for _, test := range []struct {
		name      string
		facts     func(*Facts)
		signature Signature
		want      error
		words     string
	}{
		{"payload", nil, good, nil, "team-a"},
		{"payload of an ed25519 key", nil, ed.payload(payloadOf(manifestDigest)), nil, "ed"},
		{"bundle", nil, team.bundle(t, statementOf(manifestDigest, signPredicate)), nil, "team-a"},
		{"bundle of an ed25519 key", nil, ed.bundle(t, statementOf(manifestDigest, signPredicate)), nil, "ed"},
		{"blob", func(f *Facts) { f.Manifest = "" }, Signature{Kind: CosignBlob, Encoded: team.sign(wasm)}, nil, "team-a"},
		{"a key that nobody trusts", nil, stranger.payload(payloadOf(manifestDigest)), ErrUntrusted, "none of the 3 keys"},
		{"a revoked key", nil, old.payload(payloadOf(manifestDigest)), ErrRevoked, "old"},
		{"another digest", nil, team.payload(payloadOf(other)), ErrOtherDigest, "team-a signed " + other},
		{"another digest in a bundle", nil, team.bundle(t, statementOf(other, signPredicate)), ErrOtherDigest, other},
		{"a statement of something else", nil, team.bundle(t, statementOf(manifestDigest, "https://cosign.sigstore.dev/attestation/vuln/v1")), ErrUnbound, "not that something was signed"},
		{"a payload of something else", nil, team.payload(`{"critical":{"image":{"docker-manifest-digest":"` + manifestDigest + `"},"type":"atomic container signature"}}`), ErrUnbound, "none of cosign's"},
		{"a payload that is no JSON", nil, team.payload("hello"), ErrUnbound, "JSON"},
		{"a payload with something behind it", nil, team.payload(payloadOf(manifestDigest) + "{}"), ErrUnbound, "follows"},
		{"a payload for a file", func(f *Facts) { f.Manifest = "" }, good, ErrOtherDigest, "a file with the digest"},
		{"a changed payload", nil, Signature{Kind: CosignPayload, Text: []byte(payloadOf(other)), Encoded: good.Encoded}, ErrUntrusted, ""},
		{"a blob of other content", nil, Signature{Kind: CosignBlob, Encoded: team.sign([]byte("x"))}, ErrUntrusted, ""},
		{"not base64", nil, Signature{Kind: CosignPayload, Text: good.Text, Encoded: "!"}, ErrForged, "base64"},
		{"too large", nil, Signature{Kind: CosignPayload, Text: make([]byte, maxCosign+1)}, ErrForged, "too large"},
		{"a bundle of nothing", nil, Signature{Kind: Bundle, Text: []byte("{}")}, ErrForged, "no statement"},
		{"a bundle that is no JSON", nil, Signature{Kind: Bundle, Text: []byte("hello")}, ErrForged, "JSON"},
		{"a key for other plugins", func(f *Facts) { f.Name = "quota" }, good, ErrNotAllowed, "trusted for office-hours, and not for quota"},
		{"a plugin without a name", func(f *Facts) { f.Name = "" }, good, ErrNotAllowed, "a plugin without a name at registry.example"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := facts()
			if test.facts != nil {
				test.facts(&f)
			}
			signer, err := p.Verify(f, []Signature{test.signature})
			if test.want == nil {
				if err != nil || signer.Name != test.words || !strings.HasPrefix(signer.Key, "sha256:") {
					t.Errorf("%+v, %v", signer, err)
				}
				return
			}
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.words) || signer != (Signer{}) {
				t.Errorf("%+v, %v", signer, err)
			}
		})
	}
}

// Keys of kinds that cosign can make and this package does not check are refused when they are configured, and not later.
func TestOtherKeysAreRefused(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParsePublicKey(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})); err == nil || !strings.Contains(err.Error(), "P-256") {
		t.Errorf("%v", err)
	}
}

// What is signed by a stranger is shown without what a terminal would obey.
func TestMessagesArePrintable(t *testing.T) {
	if got := printable("a\x1b[2Jb\n" + strings.Repeat("x", 200)); strings.ContainsAny(got, "\x1b\n") || len(got) > 120 {
		t.Errorf("%q", got)
	}
}

func FuzzCosign(f *testing.F) {
	k := ecdsaPair(f)
	p := Policy{{Public: k.public, Names: []string{"*"}}}
	f.Add([]byte(payloadOf(manifestDigest)), true)
	f.Add([]byte(statementOf(manifestDigest, signPredicate)), false)
	f.Add([]byte("{}"), true)
	f.Fuzz(func(t *testing.T, text []byte, payload bool) {
		s := Signature{Kind: CosignPayload, Text: text, Encoded: k.sign(text)}
		if !payload {
			s = k.bundle(t, string(text))
		}
		if _, err := p.Verify(facts(), []Signature{s}); err == nil && !strings.Contains(string(text), strings.Repeat("a", 64)) {
			t.Errorf("accepted %q", text)
		}
		_, _ = p.Verify(facts(), []Signature{{Kind: Bundle, Text: text}})
	})
}
