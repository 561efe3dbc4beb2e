//go:build e2e

package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSharingPage runs every block of docs/sharing.md that is marked as sh, in order and in one shell, as its reader would. What the
// page says that a block prints has to be among what it prints. Only addresses are replaced, and the name of a registry with TLS.
func TestSharingPage(t *testing.T) {
	secure := startRegistry(t, true)
	text, err := os.ReadFile(filepath.Join("..", "docs", "sharing.md"))
	must(t, err)
	page := strings.NewReplacer(
		"127.0.0.1:5000", freeAddress(t), "127.0.0.1:8080", freeAddress(t), "127.0.0.1:9090", freeAddress(t),
		"registry.example", secure.host, "company-ca.pem", secure.ca,
	).Replace(string(text))
	blocks := pageBlocks(page)
	if len(blocks) < 10 {
		t.Fatalf("the page has %d sh blocks", len(blocks))
	}
	folder := t.TempDir()
	bin := filepath.Join(folder, "bin")
	must(t, os.Mkdir(bin, 0o700))
	path, err := filepath.Abs(binary(t))
	must(t, err)
	must(t, os.Symlink(path, filepath.Join(bin, "sallyport")))
	var script strings.Builder
	for i, b := range blocks {
		fmt.Fprintf(&script, "echo %s%d\n%s\n", blockMark, i, b.commands)
	}
	output, err := runPage(t, folder, bin, script.String())
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	for i, b := range blocks {
		_, printed, _ := strings.Cut(output, fmt.Sprintf("%s%d\n", blockMark, i))
		printed, _, _ = strings.Cut(printed, blockMark)
		for line := range strings.Lines(b.prints) {
			if line = strings.TrimSuffix(line, "\n"); line != "" && !printsLine(printed, line) {
				t.Errorf("the page says that this prints %q:\n%s\nIt prints\n%s", line, b.commands, printed)
			}
		}
	}
}

// blockMark is printed before each block.
const blockMark = "=== block "

// pageBlock is a block of commands with what stands below it.
type pageBlock struct{ commands, prints string }

// pageBlocks returns a page's sh blocks, each with the text block that follows it at once, if one does.
func pageBlocks(text string) (blocks []pageBlock) {
	for _, commands := range shellBlocks(text) {
		_, rest, _ := strings.Cut(text, "\n```sh\n"+commands+"\n```\n")
		text = "\n" + rest
		b := pageBlock{commands: commands}
		if prints, ok := strings.CutPrefix(rest, "\n```text\n"); ok {
			b.prints, _, _ = strings.Cut(prints, "\n```")
		}
		blocks = append(blocks, b)
	}
	return blocks
}

// printsLine says whether a line is among what was printed. What stands for anything is "…".
func printsLine(printed, want string) bool {
	parts := strings.Split(want, "…")
	for line := range strings.Lines(printed) {
		rest, ok := strings.TrimSuffix(line, "\n"), true
		for i, part := range parts {
			before, after, found := strings.Cut(rest, part)
			ok = ok && found && (i > 0 || before == "")
			rest = after
		}
		if ok && (rest == "" || parts[len(parts)-1] == "") {
			return true
		}
	}
	return false
}

// runPage runs commands, and ends what they left running.
func runPage(t *testing.T, folder, bin, script string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	c.Dir = folder
	c.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+folder, "NO_PROXY=*", "no_proxy=*")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	output := &buffer{}
	c.Stdout, c.Stderr = output, output
	must(t, c.Start())
	defer func() { _ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }()
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case err := <-ended:
		return output.String(), err
	case <-time.After(compiling):
		return output.String(), fmt.Errorf("not over after %v", compiling)
	}
}

// dockerRegistry is Debian's docker-registry, which knows no referrers.
type dockerRegistry struct {
	t       *testing.T
	host    string
	ca      string // its certificate; "" without TLS
	folder  string
	process *exec.Cmd
	ended   chan error
	output  *buffer
}

// registryUsers has the user me with the password s3cret, by bcrypt with little work.
const registryUsers = "me:$2b$05$vyrxMySM7pVl1Yi/2PWnluPqLahsl9Ndsew1S8Io7MusYJu53K3s6\n"

// startRegistry starts a registry on loopback: a plain one, or one with TLS and a password.
func startRegistry(t *testing.T, secure bool) *dockerRegistry {
	t.Helper()
	r := &dockerRegistry{t: t, host: freeAddress(t), folder: t.TempDir(), output: &buffer{}}
	text := fmt.Sprintf("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp:\n  addr: %s\n", filepath.Join(r.folder, "data"), r.host)
	if secure {
		r.ca = filepath.Join(r.folder, "cert.pem")
		key, users := filepath.Join(r.folder, "key.pem"), filepath.Join(r.folder, "htpasswd")
		writeCertificate(t, r.ca, key)
		must(t, os.WriteFile(users, []byte(registryUsers), 0o600))
		text += fmt.Sprintf("  tls: {certificate: %q, key: %q}\nauth: {htpasswd: {realm: test, path: %q}}\n", r.ca, key, users)
	}
	must(t, os.WriteFile(filepath.Join(r.folder, "config.yml"), []byte(text), 0o600))
	r.start()
	t.Cleanup(func() {
		r.stop()
		if t.Failed() {
			t.Logf("the registry said:\n%s", r.output)
		}
	})
	return r
}

func (r *dockerRegistry) start() {
	r.t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		r.t.Fatal("Debian's docker-registry is not installed: make deps-registry")
	}
	r.process = exec.Command(program, "serve", filepath.Join(r.folder, "config.yml"))
	r.process.Stdout, r.process.Stderr = r.output, r.output
	must(r.t, r.process.Start())
	r.ended = make(chan error, 1)
	go func(p *exec.Cmd, ended chan<- error) { ended <- p.Wait() }(r.process, r.ended)
	url := "http://" + r.host + "/v2/"
	if r.ca != "" {
		url = "https://" + r.host + "/v2/"
	}
	probe := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // only whether it is up
	defer probe.CloseIdleConnections()
	g := &gateway{t: r.t, log: r.output}
	g.until("the registry answers", func() bool {
		resp, err := probe.Get(url)
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil
	})
}

func (r *dockerRegistry) stop() {
	if r.process == nil {
		return
	}
	_ = r.process.Process.Signal(syscall.SIGTERM)
	<-r.ended
	r.process = nil
}

// writeCertificate writes a certificate for loopback, signed by itself.
func writeCertificate(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		var b bytes.Buffer
		must(t, pem.Encode(&b, block))
		must(t, os.WriteFile(file, b.Bytes(), 0o600))
	}
}
