package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/internal/prune"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// teams are team A, which publishes, and team B, which takes, each in a folder, with a registry between them.
type teams struct {
	t        *testing.T
	a, b     string
	registry *httptest.Server
	host     string
}

func newTeams(t *testing.T) *teams {
	t.Helper()
	s := &teams{t: t, a: t.TempDir(), b: t.TempDir()}
	s.registry = httptest.NewServer(ggcr.New(ggcr.WithReferrersSupport(true), ggcr.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.registry.Close)
	s.host = strings.TrimPrefix(s.registry.URL, "http://")
	t.Setenv("HOME", s.a) // no credentials of the machine's
	t.Setenv("DOCKER_CONFIG", s.a)
	return s
}

// run runs a command in a folder.
func (s *teams) run(dir string, args ...string) (string, error) {
	s.t.Helper()
	s.t.Chdir(dir)
	return command(s.t, args...)
}

func (s *teams) must(dir string, args ...string) string {
	s.t.Helper()
	out, err := s.run(dir, args...)
	if err != nil {
		s.t.Fatalf("sallyport %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// says runs a command that has to work, and to say this.
func (s *teams) says(want string, dir string, args ...string) {
	s.t.Helper()
	if out := s.must(dir, args...); !strings.Contains(out, want) {
		s.t.Errorf("sallyport %s does not say %q:\n%s", strings.Join(args, " "), want, out)
	}
}

// refuses runs a command that must not work, and has to say this.
func (s *teams) refuses(want string, dir string, args ...string) {
	s.t.Helper()
	if out, err := s.run(dir, args...); err == nil || !strings.Contains(err.Error(), want) {
		s.t.Errorf("sallyport %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (s *teams) write(path, text string) {
	s.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *teams) read(path string) string {
	s.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// publish makes a version of the plugin and pushes it, signed.
func (s *teams) publish(version, more string) {
	s.t.Helper()
	guest := w.NewGuest()
	guest.Hook("authenticate", w.Pass)
	wasm, err := manifest.Embed(guest.Bytes(), fmt.Appendf(nil, `{"name": "office-hours", "version": %q, "abi": 1%s}`, version, more))
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(filepath.Join(s.a, version+".wasm"), string(wasm))
	s.says("signed  yes", s.a, "plugin", "push", version+".wasm", s.ref(version), "--key", "team-a.key")
}

func (s *teams) ref(version string) string { return s.host + "/acme/office-hours:" + version }

// configure writes team B's policies.yaml.
func (s *teams) configure(version, entry, trust string) {
	s.write(filepath.Join(s.b, "policies.yaml"), fmt.Sprintf("version: 1\ntrust:\n  - {name: team-a, key: ../%s/team-a.pub, names: [acme/*]%s}\npolicies:\n  - {name: hours, wasm: \"oci://%s\"%s}\n",
		filepath.Base(s.a), trust, s.ref(version), entry))
}

// load loads team B's policies as its gateway does.
func (s *teams) load(dir string) ([]runtime.Policy, error) {
	s.t.Helper()
	c, err := config.Load(filepath.Join(dir, "policies.yaml"), os.LookupEnv)
	if err != nil {
		s.t.Fatal(err)
	}
	policies, err := readPolicies(s.t.Context(), c, slog.New(slog.DiscardHandler))
	if err == nil {
		err = checkManifests(c, policies)
	}
	return policies, err
}

// loads expects the policies to load, or a problem at the policy's line that says this.
func (s *teams) loads(problem string) {
	s.t.Helper()
	policies, err := s.load(s.b)
	if problem == "" {
		if err != nil || len(policies) != 1 || len(policies[0].Wasm) == 0 {
			s.t.Errorf("%d policies, %v", len(policies), err)
		}
		return
	}
	problems, ok := errors.AsType[config.Problems](err)
	if !ok || problems[0].Line != 5 || !strings.Contains(err.Error(), problem) {
		s.t.Errorf("want %q: %v", problem, err)
	}
}

// Team A writes and publishes, team B takes, checks, locks, runs and upgrades.
func TestSharing(t *testing.T) {
	s := newTeams(t)
	s.says("wrote team-a.key, which is secret, and team-a.pub", s.a, "plugin", "keygen", "-o", "team-a", "--no-password")
	s.refuses("file exists", s.a, "plugin", "keygen", "-o", "team-a", "--no-password")
	s.publish("1.2.0", "")
	s.configure("1.2.0", "", "")
	lockFile := filepath.Join(s.b, "plugins.lock")

	s.says("1.2.0\n", s.b, "plugin", "list", s.host+"/acme/office-hours")
	s.says("signer      team-a (RW", s.b, "plugin", "inspect", s.ref("1.2.0"))
	s.says(`wasm: "oci://`+s.ref("1.2.0"), s.b, "plugin", "inspect", s.ref("1.2.0"))
	s.says(`"signer":"team-a (RW`, s.b, "plugin", "inspect", "--json", s.ref("1.2.0"))
	s.loads("run sallyport plugin lock")
	s.says("hours: office-hours 1.2.0", s.b, "plugin", "lock")
	s.loads("")
	s.says("is locked", s.b, "plugin", "lock")
	s.says("as locked", s.b, "plugin", "outdated")

	s.publish("1.3.0", `, "grants": [{"kv": "own", "reason": "to count"}]`)
	s.says("hours   1.2.0   1.3.0   as locked", s.b, "plugin", "outdated")
	before, locked := s.read(filepath.Join(s.b, "policies.yaml")), s.read(lockFile)
	s.says("hours stays as it was", s.b, "plugin", "update", "hours", "--to", "1.3.0") // nobody is there to say yes
	if s.read(filepath.Join(s.b, "policies.yaml")) != before || s.read(lockFile) != locked {
		t.Error("what was declined was written")
	}
	s.says(`! grants        now asks for kv: own, with the reason "to count"`, s.b, "plugin", "update", "hours", "--to", "1.3.0", "--yes")
	if got := s.read(filepath.Join(s.b, "policies.yaml")); got != strings.Replace(before, "1.2.0", "1.3.0", 1) {
		t.Errorf("%s", got)
	}
	s.loads("asks for more than was approved: it asks for kv: own")
	s.says("policies.yaml does not give it yet", s.b, "plugin", "approve", "hours", "--yes")
	s.loads("add kv: own to grants")
	s.configure("1.3.0", ", grants: {kv: own}", "")
	s.loads("")
	s.says("nothing that was not approved", s.b, "plugin", "approve", "hours")

	s.refuses("is older than what is locked: it is version 1.2.0, and plugins.lock has 1.3.0", s.b, "plugin", "update", "hours", "--to", "1.2.0", "--yes")
	s.says("! grants        now asks for kv: own", s.b, "plugin", "diff", s.ref("1.2.0"), s.ref("1.3.0"))
	s.says("is signed by nobody who is trusted", s.b, "plugin", "diff", s.ref("1.2.0"), filepath.Join(s.a, "1.2.0.wasm"))
	s.says("both are the same to the byte", s.b, "plugin", "diff", s.ref("1.2.0"), s.ref("1.2.0"))
	s.refuses(`has the name "hour", did you mean "hours"?`, s.b, "plugin", "update", "hour")

	s.configure("1.3.0", ", grants: {kv: own}", ", revoked: true")
	s.loads("is signed by a key that was revoked: team-a")
	s.says("it would not be loaded: it is signed by a key that was revoked", s.b, "plugin", "lock")
}

func TestSharingWithoutANetwork(t *testing.T) {
	s := newTeams(t)
	s.must(s.a, "plugin", "keygen", "-o", "team-a", "--no-password")
	s.publish("1.2.0", "")
	s.configure("1.2.0", "", "")
	s.must(s.b, "plugin", "lock")
	s.says("signatures: 1", s.b, "plugin", "bundle", "all.tar")
	s.registry.Close()
	s.loads("") // from the cache

	other := filepath.Join(filepath.Dir(s.b), "other")
	if err := os.Mkdir(other, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"policies.yaml", "plugins.lock"} {
		s.write(filepath.Join(other, name), s.read(filepath.Join(s.b, name)))
	}
	if _, err := s.load(other); err == nil {
		t.Fatal("it has nothing yet")
	}
	s.says("office-hours: oci://", other, "plugin", "import", filepath.Join(s.b, "all.tar"))
	if policies, err := s.load(other); err != nil || len(policies) != 1 {
		t.Errorf("%v", err)
	}
	s.refuses("no such file", other, "plugin", "import", "none.tar")
}

// What nobody has needed for long goes from the cache, and what is locked stays, however old it is.
func TestWhatIsLockedStaysInTheCache(t *testing.T) {
	s := newTeams(t)
	s.must(s.a, "plugin", "keygen", "-o", "team-a", "--no-password")
	s.publish("1.2.0", "")
	s.configure("1.2.0", "", "")
	s.must(s.b, "plugin", "lock")
	s.publish("1.3.0", "")
	s.must(s.b, "plugin", "pull", s.ref("1.3.0"))
	cached, err := filepath.Glob(filepath.Join(s.b, "data", "plugins", "*", "*", "*"))
	if err != nil || len(cached) == 0 {
		t.Fatalf("nothing is cached: %v", err)
	}
	then := time.Now().Add(-2 * prune.DefaultUnused)
	for _, name := range cached {
		if err := os.Chtimes(name, then, then); err != nil {
			t.Fatal(err)
		}
	}
	s.registry.Close()
	c, err := config.Load(filepath.Join(s.b, "policies.yaml"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	pruneShared(c, slog.New(slog.DiscardHandler))
	s.loads("")
	s.refuses("is not in the cache", s.b, "plugin", "pull", s.ref("1.3.0"))
}

func TestPluginPullAndVerify(t *testing.T) {
	s := newTeams(t)
	s.must(s.a, "plugin", "keygen", "-o", "team-a", "--no-password")
	s.must(s.a, "plugin", "keygen", "-o", "other", "--no-password")
	s.publish("1.2.0", "")
	s.says(`wasm: "oci://`+s.host, s.b, "plugin", "pull", s.ref("1.2.0"))
	if s.read(filepath.Join(s.b, "office-hours.wasm")) != s.read(filepath.Join(s.a, "1.2.0.wasm")) {
		t.Error("what was pulled is not what was pushed")
	}
	s.says("office-hours 1.2.0 is signed by RW", s.b, "plugin", "verify", "office-hours.wasm", "--key", filepath.Join(s.a, "team-a.pub"))
	s.refuses("is signed by nobody who is trusted", s.b, "plugin", "verify", "office-hours.wasm", "--key", filepath.Join(s.a, "other.pub"))
	s.refuses("no key is trusted", s.b, "plugin", "verify", s.ref("1.2.0"))
	s.says("signed office-hours 1.2.0", s.b, "plugin", "sign", s.ref("1.2.0"), "--key", filepath.Join(s.a, "other.key"))
	s.says("is signed by RW", s.b, "plugin", "verify", s.ref("1.2.0"), "--key", filepath.Join(s.a, "other.pub"))
	s.says("signed office-hours 1.2.0", s.b, "plugin", "sign", "office-hours.wasm", "--key", filepath.Join(s.a, "other.key"))
	s.says("is signed by RW", s.b, "plugin", "verify", "office-hours.wasm", "--key", filepath.Join(s.a, "other.pub"))
	s.refuses("as a reference it is wrong", s.b, "plugin", "verify", "nothing.wasm", "--key", filepath.Join(s.a, "other.pub"))
}

func TestSecretKeyPasswords(t *testing.T) {
	s := newTeams(t)
	s.refuses("there is nobody to ask", s.a, "plugin", "keygen")
	s.write(filepath.Join(s.a, "password"), "open sesame\n")
	s.must(s.a, "plugin", "keygen", "--password-file", "password")
	if info, err := os.Stat(filepath.Join(s.a, "sallyport.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	s.write(filepath.Join(s.a, "x.js"), "1")
	s.must(s.a, "plugin", "sign", "x.js", "--key", "sallyport.key", "--password-file", "password", "--name", "x", "--as-version", "1")
	t.Setenv(envPassword, "wrong")
	s.refuses("the password is not the secret key's", s.a, "plugin", "sign", "x.js", "--key", "sallyport.key", "--name", "x", "--as-version", "1")
}
