package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
)

// testCA returns a certificate in PEM, and its key.
func testCA(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, private.Public(), private)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	block := func(name string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: name, Bytes: b}))
	}
	return block("CERTIFICATE", der), block("PRIVATE KEY", secret)
}

func TestCAFile(t *testing.T) {
	certificate, key := testCA(t)
	broken := strings.Replace(certificate, "\nM", "\n*", 1)
	for _, fact := range []struct{ name, base, content, want string }{
		{"one", "https://x", certificate, ""},
		{"two and comments", "https://x", "# ours\n" + certificate + "between\n" + certificate, ""},
		{"plain HTTP", "http://x", certificate, "has no meaning: base_url begins with http://"},
		{"empty", "https://x", "", "holds no certificate in PEM"},
		{"something else", "https://x", "hello", "holds no certificate in PEM"},
		{"a key", "https://x", certificate + key, "holds a private key, which does not belong there"},
		{"a request", "https://x", strings.ReplaceAll(certificate, "CERTIFICATE", "CERTIFICATE REQUEST"), `holds a block "CERTIFICATE REQUEST" where a CERTIFICATE should be`},
		{"damaged", "https://x", broken, "holds 1 blocks of PEM, of which 0 can be read"},
		{"damaged second", "https://x", certificate + broken, "holds 2 blocks of PEM, of which 1 can be read"},
		{"not a certificate", "https://x", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate 1 cannot be read: x509: malformed certificate"},
		{"large", "https://x", certificate + strings.Repeat("x", maxCA), "is larger than 1MiB"},
	} {
		t.Run(fact.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "tls/ca.pem", fact.content)
			file := write(t, dir, "p.yaml", "version: 1\nproviders:\n  - {name: p, format: anthropic, base_url: '"+fact.base+"',\n     ca_file: ./tls/ca.pem}")
			s, err := Load(file, environment())
			if fact.want != "" {
				if want := file + ":4: providers[0].ca_file: " + fact.want; err == nil || err.Error() != want {
					t.Fatalf("got  %v\nwant %s", err, want)
				}
				return
			}
			must(t, err)
			p := s.Providers[0]
			if !x509.NewCertPool().AppendCertsFromPEM([]byte(p.CA)) || strings.Contains(p.CA, "between") || p.CAFile != dir+"/tls/ca.pem" {
				t.Errorf("CA %q from %s", p.CA, p.CAFile)
			}
		})
	}
	for _, fact := range []struct{ path, want string }{
		{"./none.pem", `there is no file "./none.pem"`},
		{"/dev/zero", `there is no file "/dev/zero"`},
		{".", `there is no file "."`},
	} {
		got := problemsOf(t, "version: 1\nproviders: [{name: p, format: anthropic, base_url: 'https://x', ca_file: "+fact.path+"}]")
		if want := "p.yaml:2: providers[0].ca_file: " + fact.want; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestAPIKeys(t *testing.T) {
	const head = "version: 1\nproviders: [{name: p, format: anthropic, base_url: 'https://x', "
	s := mustLoad(t, head+"api_keys: [first, second]}]")
	if p := s.Providers[0]; !slices.Equal(p.Credentials, []string{"first", "second"}) {
		t.Errorf("credentials %q", p.Credentials)
	}
	s = mustLoad(t, head+"api_key: only}]")
	if p := s.Providers[0]; !slices.Equal(p.Credentials, []string{"only"}) {
		t.Errorf("credentials %q", p.Credentials)
	}
	for _, fact := range []struct{ fields, want string }{
		{"api_key: a, api_keys: [b]", "api_keys: stands beside api_key: give one of them"},
		{"api_keys: []", "api_keys: names no credential: take the field out if the provider wants none"},
		{"api_keys: [a, b, a]", "api_keys[2]: stands here twice"},
		{"api_keys: [a, '']", "api_keys[1]: is empty"},
		{"api_keys: a", "api_keys: must be a list, not a single value"},
		{"api_keys: [a], headers: {X-Api-Key: b}", "headers.X-Api-Key: is given twice: once by another spelling, or as the header of the credential"},
		{"max_connections: 0", "max_connections: must be a whole number from 1 to 1000000"},
		{"allow_private: maybe", "allow_private: must be true or false"},
	} {
		if got, want := problemsOf(t, head+fact.fields+"}]"), "p.yaml:2: providers[0]."+fact.want; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// An address, and the name of the machine itself, say where they lead; any other name needs leave to be private.
func TestAllowPrivate(t *testing.T) {
	for _, fact := range []struct {
		base string
		want bool
	}{
		{"http://localhost:11434", true}, {"http://LocalHost.", true}, {"http://models.localhost", true},
		{"http://127.0.0.1:8000", true}, {"http://[::1]:80", true}, {"http://10.1.2.3", true}, {"https://[fd00::1]", true},
		{"http://localhost.example.com", false}, {"http://ollama:11434", false}, {"https://api.example.com", false},
		{"http://notlocalhost", false},
	} {
		text := "version: 1\nproviders: [{name: p, format: anthropic, base_url: '" + fact.base + "'"
		if got := mustLoad(t, text+"}]").Providers[0].AllowPrivate; got != fact.want {
			t.Errorf("%s: %v", fact.base, got)
		}
		if p := mustLoad(t, text+", allow_private: true, max_connections: 7}]").Providers[0]; !p.AllowPrivate || p.MaxConnections != 7 {
			t.Errorf("%s: what the file says does not count", fact.base)
		}
	}
}

// Spellings of addresses that only some resolvers take for one are no hosts, so none can lead where no check looks.
func TestOtherSpellingsOfAddresses(t *testing.T) {
	for _, host := range []string{
		"2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "127.0.0.0x1", "127.0.0.1.", "0x", "1.2.3.4.5", "017700000001",
		"127.0.0.256", "[::ffff:127.0.0.1%25lo]",
	} {
		got := problemsOf(t, "version: 1\nproviders: [{name: p, format: anthropic, base_url: 'http://"+host+"'}]")
		if want := "p.yaml:2: providers[0].base_url: must name a host"; got != want {
			t.Errorf("%s: got %q", host, got)
		}
	}
	for _, host := range []string{"1e.example", "0xdead.example", "a.0xg", "4.models"} {
		if got := problemsOf(t, "version: 1\nproviders: [{name: p, format: anthropic, base_url: 'http://"+host+"'}]"); got != "" {
			t.Errorf("%s: %s", host, got)
		}
	}
}
