package trust

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What Debian's minisign 0.11 wrote: `minisign -G -W`, then `minisign -S -t …` over "hello\n", the second time with -l.
const (
	theirPublic = `untrusted comment: minisign public key 84456C4309E6456
RWRWZJ4wxFZECOyg7k6SXOhSeZa3lBjxegDMGyn72R6BpY5wlL6MLSXE
`
	theirSecret = `untrusted comment: minisign encrypted secret key
RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAVmSeMMRWRAjsH9jTJd2m2ufomT30YQGdaYNmCbJsGCrKYGQAgjDueuyg7k6SXOhSeZa3lBjxegDMGyn72R6BpY5wlL6MLSXEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
`
	theirSignature = `untrusted comment: signature from minisign secret key
RURWZJ4wxFZECKjxSWKpAFuFVKmk0hqNDEThBHp+AaDhDdqSwo0fMFAG4TTf/SvsGrrTpkeNUaVkmK48j4iAKGkXzkS4DzfLzAw=
trusted comment: name=hello version=1.0.0 digest=sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
PNsv9JasTHfDLUFDR2IaiPH12Q3a0kLdmzSSRr/gR/Mudp4Mtqv3hISaAl/0GpxjC877ERtojzAa/6eKfnpHBg==
`
	theirLegacy = `untrusted comment: signature from minisign secret key
RWRWZJ4wxFZECC9/cr2oefedU2nfUk6pCF0r1uMYUHcu8nl4QonJaYSC3Ov/NJJsbVZW8EAdLTlXJ8wkVCnR3ZLy45eYRJa7kAU=
trusted comment: timestamp:1 name=hello version=1.0.0 digest=sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
3TqvoHcgwSfvxUtTeR1MP1MD6NxSE5T0MgHEpiUOFqIpWla+PbLfn5+HR9Ttos8ZrVTTVuDY/+Grz2hyFMoJBA==
`
)

// cosignPublic is a public key as cosign writes it.
const cosignPublic = `-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEfBLN/uWRfIEAf5R29OyCRoM4+LQq
Ini43WqY2ETdBUprNItNijhxfbe4FMJ2ftVa+Q+DOPA7X/CUODeqD7ouEw==
-----END PUBLIC KEY-----
`

var hello = []byte("hello\n")

func parse(t testing.TB, text string) PublicKey {
	t.Helper()
	k, err := ParsePublicKey([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newKey(t testing.TB) *SecretKey {
	t.Helper()
	k, err := NewSecretKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t testing.TB, k *SecretKey, name, version string, wasm []byte) Signature {
	t.Helper()
	text, err := k.Sign(name, version, wasm)
	if err != nil {
		t.Fatal(err)
	}
	return Signature{Kind: Minisign, Text: text}
}

func TestMinisignsOwnFiles(t *testing.T) {
	p := Policy{{Name: "them", Public: parse(t, theirPublic), Names: []string{"*"}}}
	f := Facts{Name: "hello", Version: "1.0.0", Wasm: hello}
	for name, text := range map[string]string{"hashed": theirSignature, "legacy": theirLegacy, "with line ends of Windows": strings.ReplaceAll(theirSignature, "\n", "\r\n")} {
		signer, err := p.Verify(f, []Signature{{Text: []byte(text)}})
		if want := (Signer{"them", "RWRWZJ4wxFZECOyg7k6SXOhSeZa3lBjxegDMGyn72R6BpY5wlL6MLSXE", "hello", "1.0.0"}); err != nil || signer != want {
			t.Errorf("%s: %+v, %v", name, signer, err)
		}
	}
	k, err := ParseSecretKey([]byte(theirSecret), "")
	if err != nil || IsEncrypted([]byte(theirSecret)) || string(k.Public().Encode()) != strings.Replace(theirPublic, "84456C4309E6456", "084456C4309E6456", 1) {
		t.Fatalf("their secret key: %v", err)
	}
	ours, err := k.Sign("hello", "1.0.0", hello)
	if err != nil || string(ours) != strings.Replace(theirSignature, "secret key", "secret key 084456C4309E6456", 1) { // Ed25519 signs the same the same way
		t.Errorf("%v\n%s", err, ours)
	}
}

// The tool itself takes our keys and signatures, and we take its.
func TestMinisignTool(t *testing.T) {
	tool, err := exec.LookPath("minisign")
	if err != nil {
		t.Skip("needs minisign, of Debian's package of this name")
	}
	dir := t.TempDir()
	run := func(input string, args ...string) string {
		t.Helper()
		c := exec.CommandContext(context.Background(), tool, args...)
		c.Dir, c.Stdin = dir, strings.NewReader(input)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("minisign %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	k := newKey(t)
	costs := defaultCost()
	if testing.Short() {
		costs = cost{ops: 1 << 19, memory: 1 << 24}
	}
	secret, err := k.encode("open sesame", costs)
	if err != nil {
		t.Fatal(err)
	}
	wasm := []byte("\x00asm and so on")
	write("m.wasm", wasm)
	write("our.pub", k.Public().Encode())
	write("our.key", secret)
	write("m.wasm.minisig", sign(t, k, "m", "1.0.0", wasm).Text)
	if out := run("", "-V", "-m", "m.wasm", "-p", "our.pub"); !strings.Contains(out, "name=m version=1.0.0 digest="+Digest(wasm)) {
		t.Errorf("it says of our signature:\n%s", out)
	}
	comment := "name=m version=1.0.0 digest=" + Digest(wasm)
	run("open sesame\n", "-S", "-m", "m.wasm", "-s", "our.key", "-t", comment) // it opens our key
	p := Policy{{Public: k.Public(), Names: []string{"m"}}}
	if _, err := p.Verify(Facts{Name: "m", Version: "1.0.0", Wasm: wasm}, []Signature{{Text: read("m.wasm.minisig")}}); err != nil {
		t.Errorf("its signature with our key: %v", err)
	}
	if testing.Short() {
		return // its own keys take 1 GiB to open
	}
	run("theirs\ntheirs\n", "-G", "-p", "their.pub", "-s", "their.key")
	their, err := ParseSecretKey(read("their.key"), "theirs")
	if err != nil || their.Public().ID() != parse(t, string(read("their.pub"))).ID() {
		t.Errorf("its encrypted key: %v", err)
	}
}

func TestSecretKeys(t *testing.T) {
	k := newKey(t)
	small := cost{ops: 1 << 15, memory: 1 << 20}
	text, err := k.encode("secret", small)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseSecretKey(text, "secret")
	if err != nil || !IsEncrypted(text) || !again.key.Equal(k.key) || again.id != k.id {
		t.Fatalf("read again: %v", err)
	}
	plain, err := k.Encode("")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ParseSecretKey(plain, "whatever"); err != nil || !again.key.Equal(k.key) {
		t.Errorf("unencrypted: %v", err)
	}
	greedy, err := k.encode("secret", small)
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := rawSecret(greedy)
	raw[costOffset+5] = 0xff // 2^40 operations
	damaged, _ := rawSecret(plain)
	damaged[boxOffset+8+40] ^= 1
	unknown, _ := rawSecret(plain)
	unknown[2] = 'X'
	secretFile := func(raw []byte) string {
		return untrustedPrefix + "x\n" + base64.StdEncoding.EncodeToString(raw) + "\n"
	}
	for name, test := range map[string]struct{ text, password, want string }{
		"no password":      {string(text), "", ErrPasswordNeeded.Error()},
		"another password": {string(text), "sekret", ErrPasswordWrong.Error()},
		"too much work":    {secretFile(raw), "secret", "more work"},
		"damaged":          {secretFile(damaged), "", "damaged"},
		"unknown cipher":   {secretFile(unknown), "", "unknown way"},
		"a public key":     {string(k.Public().Encode()), "", "is no secret key"},
		"nothing":          {"", "", "is no secret key"},
		"too long":         {strings.Repeat("A", maxKeyText+1), "", "is no secret key"},
	} {
		if _, err := ParseSecretKey([]byte(test.text), test.password); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The parameters are libsodium's: those of minisign's keys are N = 2^20, r = 8, p = 1.
func TestCost(t *testing.T) {
	for _, test := range []struct {
		c       cost
		n, r, p int
	}{{maxCost(), 1 << 20, 8, 1}, {defaultCost(), 1 << 17, 8, 1}, {cost{1 << 19, 1 << 24}, 1 << 14, 8, 1}, {cost{}, 2, 8, 512}, {cost{0, 1 << 30}, 1 << 10, 8, 1}} {
		if n, r, p := test.c.scrypt(); n != test.n || r != test.r || p != test.p {
			t.Errorf("%+v: %d, %d, %d", test.c, n, r, p)
		}
	}
}

// What a key signs is one name, one version and one digest to every reader.
func TestSignRefusesWhatItCannotBind(t *testing.T) {
	k := newKey(t)
	for _, test := range [][2]string{{"", "1.0.0"}, {"a", ""}, {"a b", "1"}, {"a name=b", "1"}, {"a", "1\n"}, {"a", "1 digest=x"}, {"a\x1b", "1"}, {"a", "1\u00a0"}} {
		if text, err := k.Sign(test[0], test[1], hello); err == nil {
			t.Errorf("%q was signed:\n%s", test, text)
		}
	}
}

func TestPublicKeys(t *testing.T) {
	k := newKey(t)
	bare := k.Public().ID()
	for _, text := range []string{bare, bare + "\n", string(k.Public().Encode()), " " + bare} {
		if got := parse(t, text); got.ID() != bare || !IsKeyText(text) {
			t.Errorf("%q: %v", text, got.ID())
		}
	}
	for text, want := range map[string]string{
		"":                                     "is no public key",
		"RWQ":                                  "is no public key",
		bare[:55] + "!":                        "is no public key",
		"a\n" + bare:                           "is no public key",
		theirSecret:                            "is no public key",
		strings.Repeat("A", maxKeyText+1):      "bytes",
		cosignPublic + "more":                  "something follows",
		"-----BEGIN X-----\n-----END X-----\n": "and no PUBLIC KEY",
		strings.Replace(cosignPublic, "M", "N", 1): "reading the public key",
	} {
		if _, err := ParsePublicKey([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	if IsKeyText("keys/RWQ.pub") || IsKeyText("team-a.pub") {
		t.Error("files' names are no keys")
	}
}

func FuzzMinisign(f *testing.F) {
	key := parse(f, theirPublic)
	f.Add([]byte(theirSignature))
	f.Add([]byte(theirLegacy))
	f.Add([]byte(""))
	f.Add([]byte("untrusted comment: \n\ntrusted comment: \n\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := Policy{{Public: key, Names: []string{"*"}}}.Verify(Facts{Name: "hello", Version: "1.0.0", Wasm: hello}, []Signature{{Text: text}})
		if err == nil {
			s, parseErr := parseMinisign(text)
			if parseErr != nil || !bytes.Contains([]byte(theirSignature+theirLegacy), []byte(s.comment)) {
				t.Errorf("accepted %q", text)
			}
		}
		_, _ = ParsePublicKey(text)
		if k, err := ParseSecretKey(text, ""); err == nil && len(k.key) == 0 || errors.Is(err, ErrPasswordWrong) {
			t.Errorf("%v", err)
		}
	})
}
