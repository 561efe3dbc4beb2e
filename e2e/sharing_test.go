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
	"io/fs"
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

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"github.com/sallyport-dev/sallyport/internal/wasmtest"
)

// TestSharingPage runs every block of docs/sharing.md that is marked as sh, in order and in one shell, as its reader would. What the
// page says that a block prints has to be among what it prints. Only addresses are replaced, and the name of a registry with TLS.
func TestSharingPage(t *testing.T) {
	secure := startRegistry(t, true)
	text, err := os.ReadFile(filepath.Join("..", "docs", "sharing.md"))
	must(t, err)
	page := strings.NewReplacer(
		"127.0.0.1:5000", testutil.ClosedAddress(t, 0), "127.0.0.1:8080", testutil.ClosedAddress(t, 0),
		"127.0.0.1:9090", testutil.ClosedAddress(t, 0),
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
		t.Fatalf("%v\n%s\n%s", err, output, logsIn(folder))
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

// logsIn returns the ends of all logs under a folder.
func logsIn(folder string) string {
	var all strings.Builder
	_ = filepath.WalkDir(folder, func(path string, _ fs.DirEntry, _ error) error { // what cannot be read is not shown
		if text, err := os.ReadFile(path); err == nil && filepath.Ext(path) == ".log" {
			fmt.Fprintf(&all, "%s:\n%s\n", path, text[max(0, len(text)-4096):])
		}
		return nil
	})
	return all.String()
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
	r := &dockerRegistry{t: t, host: testutil.ClosedAddress(t, 0), folder: t.TempDir(), output: &buffer{}}
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

// sharedPolicy is a policy that team A publishes and a gateway of team B runs.
type sharedPolicy struct {
	*gateway
	registry *dockerRegistry
	author   string // team A's folder
}

// byAuthor runs a command in team A's folder.
func (s *sharedPolicy) byAuthor(args ...string) string {
	s.t.Helper()
	c := s.exec(s.t.Context(), args...)
	c.Dir = s.author
	out, err := c.CombinedOutput()
	if err != nil {
		s.t.Fatalf("sallyport %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// publish publishes a version that refuses callers with a text, signed with a key; "" for nobody's. It returns its reference by digest.
func (s *sharedPolicy) publish(version, text, key string) string {
	s.t.Helper()
	g := wasmtest.NewGuest()
	g.Hook(abi.Authenticate.String(),
		g.SetInt(abi.FieldDenyStatus, 0, http.StatusForbidden), g.Set(abi.FieldDenyMessage, 0, text), wasmtest.Verdict)
	must(s.t, os.WriteFile(filepath.Join(s.author, "plain.wasm"), g.Bytes(), 0o600))
	must(s.t, os.WriteFile(filepath.Join(s.author, "manifest.yaml"), []byte("name: closed\nversion: "+version+"\nhooks: [authenticate]\n"), 0o600))
	s.byAuthor("plugin", "build", ".", "--wasm", "plain.wasm", "--out", "closed.wasm")
	line := []string{"plugin", "push", "closed.wasm", s.registry.host + "/acme/closed:" + version}
	if key != "" {
		line = append(line, "--key", key)
	}
	_, rest, _ := strings.Cut(s.byAuthor(line...), "@sha256:")
	digest, _, _ := strings.Cut(rest, "\n")
	return "oci://" + s.registry.host + "/acme/closed@sha256:" + digest
}

// serves expects a caller whom no key lets in to be refused with a text.
func (s *sharedPolicy) serves(text string) {
	s.t.Helper()
	if a := s.ask("somebody-elses-key", chatPath, hello("chat")); a.status != http.StatusForbidden || !strings.Contains(a.body, text) {
		s.t.Errorf("want %q: %s", text, a)
	}
}

// refuses changes the configuration and expects that it is refused for a reason, and that what served goes on. Then it is changed back.
func (s *sharedPolicy) refuses(old, changed, reason string) {
	s.t.Helper()
	from := len(s.log.String())
	s.edit(old, changed)
	s.until("the log says "+reason, func() bool {
		line := grep(s.log.String()[from:], "the old one keeps serving")
		return strings.Contains(line, reason)
	})
	s.serves("closed by 1.0.0")
	from = len(s.log.String())
	s.edit(changed, old)
	s.until("the good file is taken again", func() bool { return strings.Contains(s.log.String()[from:], "configuration changed") })
}

func startShared(t *testing.T) *sharedPolicy {
	t.Helper()
	u := newUpstream(t)
	s := &sharedPolicy{registry: startRegistry(t, false), author: t.TempDir()}
	rest := demoConfig + "trust:\n  - {name: team-a, key: \"{{.Author}}/team-a.pub\", names: [\"acme/*\"]}\n" +
		"policies:\n  - {name: default, wasm: \"builtin:default\", grants: {identities: read}}\n" +
		"  - {name: closed, wasm: \"oci://{{.Registry}}/acme/closed:1.0.0\"}\n# the end\n"
	s.gateway = prepare(t, rest, map[string]string{"Provider": u.URL, "Author": s.author, "Registry": s.registry.host})
	for _, name := range []string{"team-a", "stranger"} {
		s.byAuthor("plugin", "keygen", "-o", name, "--no-password")
	}
	s.publish("1.0.0", "closed by 1.0.0", "team-a.key")
	s.mustCommand("plugin", "lock")
	s.run()
	s.serves("closed by 1.0.0")
	return s
}

// TestSharedPoliciesThatAreWrong: whatever is wrong with a shared policy, the gateway says why and goes on with what it had.
func TestSharedPoliciesThatAreWrong(t *testing.T) {
	s := startShared(t)
	entry := "\n  - {name: another, wasm: \"%s\"}\n# the end"
	for _, c := range []struct{ version, key, reason string }{
		{"2.0.0", "", "is not signed"},
		{"2.1.0", "stranger.key", "is signed by nobody who is trusted"},
	} {
		s.refuses("\n# the end", fmt.Sprintf(entry, s.publish(c.version, "never", c.key)), c.reason)
	}
	s.refuses("names: [\"acme/*\"]", "names: [\"acme/*\"], revoked: true", "is signed by a key that was revoked")
	s.refuses("names: [\"acme/*\"]", "names: [\"umbrella/*\"]", "is signed by a key for other plugins")

	s.publish("0.9.0", "closed by 0.9.0", "team-a.key")
	s.refuses("closed:1.0.0", "closed:0.9.0", "run sallyport plugin lock")
	if out, err := s.command("plugin", "update", "closed", "--to", "0.9.0", "--yes"); err == nil || !strings.Contains(out, "is older than what is locked") {
		t.Errorf("a rollback: %v\n%s", err, out)
	}

	s.publish("1.0.0", "closed by somebody else", "team-a.key")
	if out := s.mustCommand("plugin", "outdated"); !strings.Contains(out, "moved since it was locked") {
		t.Errorf("a tag that was moved:\n%s", out)
	}
	must(t, os.RemoveAll(filepath.Join(s.folder, "data", "plugins")))
	from := len(s.log.String())
	s.edit("# the end", "# the real end")
	s.until("it is taken from the registry again", func() bool { return strings.Contains(s.log.String()[from:], "from=registry") })
	s.serves("closed by 1.0.0")
}

// TestSharedPolicyTamperedOnDisk: a copy in the cache that somebody changed is not loaded. While the registry is away the old policy
// serves; when it is back the copy is replaced.
func TestSharedPolicyTamperedOnDisk(t *testing.T) {
	s := startShared(t)
	copies, err := filepath.Glob(filepath.Join(s.folder, "data", "plugins", "blobs", "sha256", "*"))
	must(t, err)
	if len(copies) == 0 {
		t.Fatal("the cache is empty")
	}
	for _, name := range copies {
		content, err := os.ReadFile(name)
		must(t, err)
		content[len(content)/2] ^= 1
		must(t, os.WriteFile(name, content, 0o600))
	}
	s.registry.stop()
	s.edit("# the end", "# the first end")
	s.until("the log says why", func() bool {
		return strings.Contains(grep(s.log.String(), "the old one keeps serving"), "the copy in the cache was changed on disk")
	})
	s.serves("closed by 1.0.0")
	s.registry.start()
	s.edit("# the first end", "# the second end")
	s.until("it is taken from the registry", func() bool { return strings.Contains(s.log.String(), "configuration changed") })
	s.serves("closed by 1.0.0")
}

// TestPublishedByTheBuild: what make plugins-oci writes is a folder from which a gateway takes policies, signed by the key of the build,
// which minisign confirms. Each says what it is, who made it and from what, and is what comes of that.
func TestPublishedByTheBuild(t *testing.T) {
	path, err := filepath.Abs(binary(t))
	must(t, err)
	minisign, err := exec.LookPath("minisign")
	if err != nil {
		t.Fatal("Debian's minisign is not installed: make deps-registry")
	}
	folder := t.TempDir()
	out := filepath.Join(folder, "oci")
	run := func(environment []string, name string, args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), name, args...)
		c.Env = append(os.Environ(), environment...)
		if strings.HasPrefix(name, "/") {
			c.Dir = folder
		}
		printed, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, printed)
		}
		return string(printed)
	}
	key := filepath.Join(folder, "release")
	run(nil, path, "plugin", "keygen", "-o", key, "--no-password")
	run([]string{"SALLYPORT_BIN=" + path, "EXAMPLES=policy-c", "SALLYPORT_SIGNING_KEY=" + key + ".key"}, "../plugins/oci.sh", out)
	sources := map[string]string{"default": "plugins/default", "guest-pass": "examples/policy-c"}
	for name, says := range map[string][]string{
		"default": {"identities: read", `"finds the stored key that a credential belongs to"`, "built by    go1.", "tree/main/plugins/default"},
		"guest-pass": {"Lets callers from the gateway's own machine in without a key", "built by ", "clang", "licence     MIT", "author      The Sallyport authors",
			"source      https://github.com/sallyport-dev/sallyport/tree/main/examples/policy-c", "revision ", "no grants", "signer      release (RW"},
	} {
		ref := "dir://" + out + "/" + name + "@0.1.0"
		must(t, os.WriteFile(filepath.Join(folder, "policies.yaml"),
			[]byte("version: 1\ntrust:\n  - {name: release, key: "+out+"/signed-by.pub, names: [\"*\"]}\n"), 0o600))
		printed := run(nil, path, "plugin", "inspect", ref)
		for _, word := range says {
			if !strings.Contains(printed, word) {
				t.Errorf("inspect does not say %q:\n%s", word, printed)
			}
		}
		source, err := filepath.Abs("../" + sources[name])
		must(t, err)
		run(nil, path, "plugin", "verify", ref, "--key", key+".pub", "--rebuild", source)
		run(nil, path, "plugin", "pull", ref)
		run(nil, minisign, "-Vm", name+".wasm", "-p", filepath.Join(out, "signed-by.pub"))
	}

	u := newUpstream(t)
	rest := demoConfig + "require_signature: true\ntrust:\n  - {name: the-build, key: \"{{.Out}}/signed-by.pub\", names: [\"*\"]}\n" +
		"policies:\n  - {name: keys, wasm: \"dir://{{.Out}}/default@0.1.0\", grants: {identities: read}}\n" +
		"  - {name: guests, wasm: \"dir://{{.Out}}/guest-pass@0.1.0\"}\n"
	g := prepare(t, rest, map[string]string{"Provider": u.URL, "Out": out})
	if printed := g.mustCommand("plugin", "lock"); !strings.Contains(printed, "signed by  the-build") {
		t.Errorf("%s", printed)
	}
	g.run()
	if a := g.ask(clientKey, chatPath, hello("chat")); a.status != http.StatusOK {
		t.Errorf("a key of the file, by the built-in policy from the folder: %s", a)
	}
	g.log.expect(t, "signer=\"the-build (RW")
}
