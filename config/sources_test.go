package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/plugin/trust"
)

func minisignKey(t testing.TB) trust.PublicKey {
	t.Helper()
	k, err := trust.NewSecretKey()
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

func cosignKey(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestSources(t *testing.T) {
	dir := t.TempDir()
	inline, minisign, cosign := minisignKey(t), minisignKey(t), cosignKey(t)
	ca, _ := testCA(t)
	for name, text := range map[string]string{"a.pub": string(minisign.Encode()), "c.pub": string(cosign), "x.wasm": "x", "ca.pem": ca} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	text := `version: 1
trust:
  - {name: team-a, key: ` + inline.ID() + `, names: [acme/*, office-hours]}
  - {key: a.pub, names: ["*"], revoked: true}
  - {name: c, key: c.pub, names: [registry.example/acme/*]}
  - name: d
    names: [x]
    key: |
` + "      " + strings.ReplaceAll(strings.TrimSpace(string(cosignKey(t))), "\n", "\n      ") + `
require_lock: true
registries:
  - {host: "Registry.Example:5000", ca_file: ca.pem, allow_private_realm: true}
  - {host: localhost, plain_http: true}
policies:
  - {name: a, wasm: "oci://registry.example/team/office-hours:1.2"}
  - {name: b, wasm: "oci://localhost:5000/office-hours@` + digest + `"}
  - {name: c, wasm: "dir:///srv/shared/policies/office-hours@1.2"}
  - {name: d, wasm: ./x.wasm}
  - {name: e, wasm: "builtin:default"}
`
	s, err := newLoading("p.yaml", filepath.Join(dir, "p.yaml"), environment()).load([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	got := s.Sources
	if len(got.Trust) != 4 || got.Trust[0].Public.ID() != inline.ID() || got.Trust[1].Public.ID() != minisign.ID() || !got.Trust[1].Revoked ||
		!slices.Equal(got.Trust[0].Names, []string{"acme/*", "office-hours"}) || got.Trust[0].Name != "team-a" || !got.Locked {
		t.Errorf("%+v", got)
	}
	if want := (Registry{"registry.example:5000", filepath.Join(dir, "ca.pem"), false, true}); got.Registries[0] != want || got.Registries[1] != (Registry{Host: "localhost", PlainHTTP: true}) {
		t.Errorf("%+v", got.Registries)
	}
	for i, want := range []string{"oci://registry.example/team/office-hours:1.2", "oci://localhost:5000/office-hours@" + digest, "dir:///srv/shared/policies/office-hours@1.2", "", ""} {
		if p := s.Policies[i]; p.Source != want || (p.Path != "") != (i == 3) {
			t.Errorf("%+v", p)
		}
		if got, want := s.MustBeSigned(&s.Policies[i]), i < 2; got != want {
			t.Errorf("%s must be signed: %v", s.Policies[i].Name, got)
		}
	}
	for _, name := range []string{"plugins.lock", "a.pub", "c.pub", "x.wasm", "x.wasm.minisig"} {
		if !slices.Contains(s.Paths(), filepath.Join(dir, name)) {
			t.Errorf("%s is not watched", name)
		}
	}
}

func TestMustBeSigned(t *testing.T) {
	oci, file, builtin := &Policy{Source: "oci://x/y:1"}, &Policy{Path: "/x.wasm"}, &Policy{Builtin: "default"}
	key := trust.Policy{{Revoked: true}} // who trusts only what is revoked has thought of it
	for _, test := range []struct {
		sources                  Sources
		fromRegistry, fromFolder bool
	}{
		{Sources{}, false, false},
		{Sources{Trust: key}, true, false},
		{Sources{Trust: key, Signatures: SignedNever}, false, false},
		{Sources{Trust: key, Signatures: SignedAlways}, true, true},
	} {
		s := &Snapshot{Sources: test.sources}
		if s.MustBeSigned(oci) != test.fromRegistry || s.MustBeSigned(file) != test.fromFolder || s.MustBeSigned(builtin) {
			t.Errorf("%+v", test)
		}
	}
}

func TestSourceProblems(t *testing.T) {
	key, secret := minisignKey(t).ID(), "untrusted comment: minisign encrypted secret key"
	text := `version: 1
trust:
  - {name: a, key: ` + key + `, names: []}
  - {name: a, key: ` + key + `, names: ["a*b"]}
  - {key: none.pub, names: x}
  - {key: "` + secret + `\nRWQAAEIy", names: ["*"]}
  - {key: ` + key[:55] + `_, namess: ["*"]}
require_lock: yes please
registries:
  - {host: "https://registry.example"}
  - {host: registry.example, ca_file: none.pem, plain_http: 1}
  - {host: registry.example, ca_fil: x}
policies:
  - {name: a, wasm: "https://registry.example/x.wasm"}
  - {name: b, wasm: "oc://registry.example/x:1"}
  - {name: c, wasm: "oci://registry.example:5000/x"}
  - {name: d, wasm: "oci://x:1"}
  - {name: e, wasm: "oci://user:hunter2@registry.example/x:1"}
  - {name: f, wasm: "dir://srv/x@1"}
  - {name: g, wasm: "dir:///srv/../x@1"}
  - {name: h, wasm: "dir:///srv/x"}
  - {name: i, wasm: "dir:///srv/x@"}
`
	const want = `p.yaml:3: trust[0].names: names no plugin: write "*" for all of them
p.yaml:4: trust[1].name: "a" is already the name of trust[0]
p.yaml:4: trust[1].names[0]: must be the name of a plugin, or a place such as "registry.example/acme/*": a * may stand at the end only
p.yaml:4: trust[1]: holds the same key as trust[0]: write the names of both into one
p.yaml:5: trust[2].key: there is no file "none.pub"
p.yaml:5: trust[2].names: must be a list, not a single value
p.yaml:6: trust[3].key: is no public key: neither one of minisign, which begins with "RW", nor one of cosign in PEM
p.yaml:7: trust[4]: unknown field "namess", did you mean "names"?
p.yaml:7: trust[4].key: is no public key: neither one of minisign, which begins with "RW", nor one of cosign in PEM
p.yaml:7: trust[4].names: is missing
p.yaml:8: require_lock: must be true or false
p.yaml:10: registries[0].host: must be a registry's host or host:port, as references to it begin behind oci://
p.yaml:11: registries[1].ca_file: there is no file "none.pem"
p.yaml:11: registries[1].plain_http: must be true or false
p.yaml:12: registries[2]: unknown field "ca_fil", did you mean "ca_file"?
p.yaml:12: registries[2].host: "registry.example" is already the name of registries[1].host
p.yaml:14: policies[0].wasm: must be builtin:default, the path of a file, or begin with oci:// or dir://
p.yaml:15: policies[1].wasm: must be builtin:default, the path of a file, or begin with oci:// or dir://, did you mean "oci://"?
p.yaml:16: policies[2].wasm: names no version: write :VERSION or @sha256:… behind it
p.yaml:17: policies[3].wasm: must name a registry and a plugin in it, such as oci://registry.example/team/office-hours:1.2
p.yaml:18: policies[4].wasm: must not hold a user or a password: credentials of registries are Docker's
p.yaml:19: policies[5].wasm: must name a folder by an absolute path behind dir://, without empty and dot segments
p.yaml:20: policies[6].wasm: must name a folder by an absolute path behind dir://, without empty and dot segments
p.yaml:21: policies[7].wasm: names no version: write @VERSION or @sha256:… behind it
p.yaml:22: policies[8].wasm: names no version: write @VERSION or @sha256:… behind it`
	gotLines, wantLines := strings.Split(problemsOf(t, text), "\n"), strings.Split(want, "\n")
	slices.Sort(gotLines)
	slices.Sort(wantLines)
	if !slices.Equal(gotLines, wantLines) {
		for _, line := range gotLines {
			if !slices.Contains(wantLines, line) {
				t.Errorf("said, and not expected: %s", line)
			}
		}
		for _, line := range wantLines {
			if !slices.Contains(gotLines, line) {
				t.Errorf("not said: %s", line)
			}
		}
	}
	if got := problemsOf(t, "version: 1\nrequire_signature: true\n"); !strings.Contains(got, "p.yaml:2: require_signature: needs keys under trust") {
		t.Errorf("%s", got)
	}
	if got := problemsOf(t, "version: 1\nregistries: [{host: a.b, ca_file: p.pem, plain_http: true}]\n"); !strings.Contains(got, "there is no file") {
		t.Errorf("%s", got)
	}
}

// Who only wants to know where policies come from needs none of the variables of everything else.
func TestLoadSources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "p.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`version: 1
listen: "127.0.0.1:${PORT}"
data: "${DATA}"
admin: {token: "${TOKEN}"}
providers: [{name: p, format: openai, base_url: "https://${HOST}/v1", api_keys: ["${A}", "${B}"]}]
models: [{alias: m, provider: p, model: x, price: {input: "${PRICE}", output: 1}}]
chains: [{name: c, retries: "${N}", steps: [{model: m}]}]
keys: [{name: k, key: "${KEY}", models: [c], rpm: "${RPM}"}]
policies:
  - {name: a, wasm: "oci://${REGISTRY}/team/a:1", config: {url: "${URL}", list: ["${ITEM}"]}, limits: {fuel: 5000}, grants: {kv: own}}
`)
	s, err := LoadSources(file, environment("DATA", "/srv/data", "REGISTRY", "registry.example"))
	if err != nil {
		t.Fatal(err)
	}
	if p := s.Policies; s.Data != "/srv/data" || len(p) != 1 || p[0].Source != "oci://registry.example/team/a:1" || !p[0].Grants.KV {
		t.Errorf("data %q, policies %+v", s.Data, p)
	}
	if _, err := LoadSources(file, environment()); err == nil || !strings.Contains(err.Error(), "DATA is not set") ||
		!strings.Contains(err.Error(), "policies[0].wasm: the environment variable REGISTRY is not set") || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("without those that it needs: %v", err)
	}
	if _, err := Load(file, environment("DATA", "/srv/data", "REGISTRY", "registry.example")); err == nil || !strings.Contains(err.Error(), "ITEM is not set") {
		t.Errorf("a gateway needs all of them: %v", err)
	}
	write("version: 1\nadmin: {token: \"${TOKEN}\", tokn: x}\nlisten: nowhere\n")
	if _, err := LoadSources(file, environment()); err == nil || !strings.Contains(err.Error(), "tokn") || !strings.Contains(err.Error(), "listen") {
		t.Errorf("what else is wrong is told: %v", err)
	}
}
