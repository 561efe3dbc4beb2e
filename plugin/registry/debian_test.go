package registry

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/internal/testutil"
)

// htpasswd is for the user me with the password s3cret, by bcrypt with little work.
const htpasswd = "me:$2b$05$vyrxMySM7pVl1Yi/2PWnluPqLahsl9Ndsew1S8Io7MusYJu53K3s6\n"

// debian starts Debian's docker-registry (2.8, which knows no referrers) on loopback, with TLS and a password where wanted.
// It skips the test where the package is not installed; make deps-registry installs it.
func debian(t *testing.T, withTLS, withPassword bool) (host, ca string) {
	t.Helper()
	binary, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Skip("Debian's docker-registry is not installed: make deps-registry")
	}
	dir := t.TempDir()
	host = testutil.ClosedAddress(t, 0)
	config := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp:\n  addr: %s\n", filepath.Join(dir, "data"), host)
	if withTLS {
		ca = filepath.Join(dir, "cert.pem")
		selfSigned(t, ca, filepath.Join(dir, "key.pem"))
		config += fmt.Sprintf("  tls: {certificate: %q, key: %q}\n", ca, filepath.Join(dir, "key.pem"))
	}
	if withPassword {
		file := filepath.Join(dir, "htpasswd")
		if err := os.WriteFile(file, []byte(htpasswd), 0o600); err != nil {
			t.Fatal(err)
		}
		config += fmt.Sprintf("auth: {htpasswd: {realm: test, path: %q}}\n", file)
	}
	file := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	command := exec.Command(binary, "serve", file)
	command.Stdout, command.Stderr = &output, &output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		<-ended
		if t.Failed() {
			t.Logf("the registry said:\n%s", output.String())
		}
	})
	awaitRegistry(t, host, withTLS, ended)
	return host, ca
}

// awaitRegistry asks until the registry answers.
func awaitRegistry(t *testing.T, host string, withTLS bool, ended <-chan error) {
	t.Helper()
	scheme := "http"
	if withTLS {
		scheme = "https"
	}
	probe := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // only whether it is up
	defer probe.CloseIdleConnections()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for {
		if resp, err := probe.Get(scheme + "://" + host + "/v2/"); err == nil {
			resp.Body.Close()
			return
		}
		select {
		case <-tick.C:
		case err := <-ended:
			t.Fatalf("the registry ended: %v", err)
		case <-late:
			t.Fatal("the registry does not answer")
		}
	}
}

func selfSigned(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDebiansRegistry goes the whole way against a registry that companies run.
func TestDebiansRegistry(t *testing.T) {
	for name, c := range map[string]struct{ tls, password bool }{
		"plain": {}, "password": {password: true}, "TLS": {tls: true}, "TLS and password": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			host, ca := debian(t, c.tls, c.password)
			credential := Credential{}
			if c.password {
				credential = Credential{Username: "me", Password: "s3cret"}
			}
			o := Options{CacheDir: t.TempDir(), Hosts: map[string]HostOptions{host: {CAFile: ca}}}
			o.Credentials = func(context.Context, string) (Credential, error) { return credential, nil }
			repo := parse(t, host+"/team/office-hours")
			goThrough(t, client(t, o), repo)
			if c.password {
				for _, wrong := range []Credential{{}, {Username: "me", Password: "wrong"}} {
					credential = wrong
					o.CacheDir = ""
					repo.Tag = "1.2.0"
					if _, err := client(t, o).Pull(t.Context(), repo); !errors.Is(err, ErrUnauthorized) {
						t.Errorf("with %+v: %v", wrong, err)
					}
				}
			}
			if c.tls {
				_, err := client(t, Options{Credentials: o.Credentials, Hosts: map[string]HostOptions{host: {CAFile: other509(t)}}}).Tags(t.Context(), repo)
				if err == nil || errors.Is(err, ErrAway) {
					t.Errorf("with another authority: %v", err)
				}
			}
		})
	}
}

func other509(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	selfSigned(t, filepath.Join(dir, "ca.pem"), filepath.Join(dir, "key.pem"))
	return filepath.Join(dir, "ca.pem")
}

func goThrough(t *testing.T, c *Client, repo Ref) {
	t.Helper()
	wasm := plugin(t, "office-hours", "1.2.0")
	pushed, err := c.Push(t.Context(), repo, Artifact{Wasm: wasm})
	if err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		a := Attachment{ArtifactType: "application/x.signature", MediaType: "text/plain", Data: fmt.Appendf(nil, "signature %d", n)}
		if _, err := c.Attach(t.Context(), repo, pushed.ManifestDigest, a); err != nil {
			t.Fatal(err)
		}
	}
	cosign(t, c, repo, pushed.ManifestDigest)
	repo.Tag = "1.2.0"
	b, err := c.Collect(t.Context(), repo)
	if err != nil || !bytes.Equal(b.Artifact.Wasm, wasm) || len(b.Attachments) != 4 {
		t.Fatalf("%d attachments, %v", len(b.Attachments), err)
	}
	if tags, err := c.Tags(t.Context(), repo); err != nil || len(tags) != 1 || tags[0] != "1.2.0" {
		t.Errorf("%q, %v", tags, err)
	}
	repo.Tag = "9.9.9"
	if _, err := c.Pull(t.Context(), repo); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	elsewhere := repo.Repo()
	elsewhere.Path = "other/copy"
	elsewhere.Tag = "1.2.0"
	if err := c.Send(t.Context(), elsewhere, b); err != nil {
		t.Fatal(err)
	}
	copied, err := c.Collect(t.Context(), elsewhere)
	if err != nil || copied.Artifact.ManifestDigest != pushed.ManifestDigest || len(copied.Attachments) != 4 {
		t.Errorf("%d attachments, %v", len(copied.Attachments), err)
	}
}
