//go:build e2e

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/internal/testutil"
)

// reloads changes the configuration and expects that it is taken.
func (s *sharedPolicy) reloads(old, changed string) {
	s.t.Helper()
	from := len(s.log.String())
	s.edit(old, changed)
	s.wait(compiling, "the change is taken", func() bool { return strings.Contains(s.log.String()[from:], "configuration changed") })
}

// TestKeyRotationAndRevocation: a key is replaced by the next one and then revoked, while the gateway runs. What only the old key has
// signed is refused at the next reload, loudly, and at the next start; what the next one has signed goes on.
func TestKeyRotationAndRevocation(t *testing.T) {
	s := startShared(t)
	s.byAuthor("plugin", "keygen", "-o", "next", "--no-password")
	old := fmt.Sprintf("key: %q, names: [\"acme/*\"]", s.author+"/team-a.pub")
	next := fmt.Sprintf("\n  - {name: next, key: %q, names: [\"acme/*\"]}\npolicies:", s.author+"/next.pub")
	s.reloads("\npolicies:", next)
	s.serves("closed by 1.0.0")

	// Too early: nothing is signed by the next key yet.
	revoked := strings.Replace(old, "]", "], revoked: true", 1)
	s.refuses(old, revoked, "policies[1].wasm: policy \\\"closed\\\": is signed by a key that was revoked")
	refusal := grep(s.log.String(), "a key that was revoked")
	if !strings.Contains(refusal, "level=ERROR") || !strings.Contains(refusal, "team-a") {
		t.Errorf("it is not told loudly, and of whose key: %s", refusal)
	}

	// A start is a load like any other: there is no old configuration that could serve.
	s.stop(syscall.SIGTERM)
	s.edit(old, revoked)
	from := len(s.log.String())
	s.launch()
	select {
	case err := <-s.exited:
		if said := s.log.String()[from:]; err == nil || !strings.Contains(said, "a key that was revoked") {
			t.Errorf("it ended with %v and said\n%s", err, said)
		}
		s.process = nil
	case <-time.After(compiling):
		t.Fatal("it starts with a policy that only a revoked key has signed")
	}

	// The same bytes, signed by the next key too: nothing has to be locked anew.
	s.byAuthor("plugin", "sign", s.registry.host+"/acme/closed:1.0.0", "--key", "next.key")
	s.run()
	s.serves("closed by 1.0.0")
	s.log.expect(t, `signer="next (RW`)
	s.log.expect(t, "was signed by team-a")

	// And so is the next version, which the old key alone may not bring any more.
	s.publish("1.1.0", "closed by 1.1.0", "team-a.key")
	if out, err := s.command("plugin", "update", "closed", "--to", "1.1.0", "--yes"); err == nil || !strings.Contains(out, "is signed by a key that was revoked") {
		t.Errorf("an update that the revoked key has signed: %v\n%s", err, out)
	}
	s.byAuthor("plugin", "sign", s.registry.host+"/acme/closed:1.1.0", "--key", "next.key")
	from = len(s.log.String())
	s.mustCommand("plugin", "update", "closed", "--to", "1.1.0", "--yes")
	s.wait(compiling, "the update is taken", func() bool { return strings.Contains(s.log.String()[from:], "configuration changed") })
	s.serves("closed by 1.1.0")
}

// TestLockNeedsNoSecrets: who locks policies need not have the environment of the gateway.
func TestLockNeedsNoSecrets(t *testing.T) {
	s := startShared(t)
	must(t, os.Remove(filepath.Join(s.folder, "plugins.lock")))
	for _, command := range []string{"lock", "outdated"} {
		c := exec.CommandContext(t.Context(), binary(t), "plugin", command, "--config", s.file)
		c.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "E2E_") })
		out, err := c.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "closed") || strings.Contains(string(out), "not set") {
			t.Errorf("plugin %s without the environment: %v\n%s", command, err, out)
		}
	}
}

// TestTryOfASharedPolicy: what a version would have decided is told by the trace of a gateway that runs another one, and changes nothing.
func TestTryOfASharedPolicy(t *testing.T) {
	s := startShared(t)
	s.reloads("# the end", "trace: {mode: all}\n# the end")
	for range 3 {
		s.serves("closed by 1.0.0")
	}
	s.traced(2 * 3)                                       // by both policies
	s.publish("2.0.0", "closed by 2.0.0", "stranger.key") // it need not be trusted to be tried
	from := len(s.log.String())
	for version, differ := range map[string]string{"1.0.0": "3         3          0", "2.0.0": "3         0          3"} {
		out := s.mustCommand("plugin", "try", s.registry.host+"/acme/closed:"+version, "--replay", filepath.Join(s.folder, "data"))
		if !strings.Contains(strings.Join(strings.Fields(out), " "), "authenticate "+strings.Join(strings.Fields(differ), " ")) {
			t.Errorf("%s:\n%s", version, out)
		}
		if shows := strings.Contains(out, "closed by 1.0.0") && strings.Contains(out, "closed by 2.0.0"); shows != (version == "2.0.0") {
			t.Errorf("%s shows what was and what would have been: %v\n%s", version, shows, out)
		}
	}
	s.serves("closed by 1.0.0")
	if said := grep(s.log.String()[from:], "configuration"); said != "" {
		t.Errorf("the gateway noticed: %s", said)
	}
}

// sourceOf is the file of a new project in which its one policy is written.
var sourceOf = map[string]string{"go": "policy.go", "rust": "policy.rs", "c": "policy.c", "assemblyscript": "policy.ts", "js": "policy.js"}

// TestRebuild: for every language, what was published is known to come from its source, in another folder, and not from one that
// differs by one character.
func TestRebuild(t *testing.T) {
	registry := startRegistry(t, false)
	for lang, source := range sourceOf {
		t.Run(lang, func(t *testing.T) {
			folder := t.TempDir()
			run := func(args ...string) (string, error) {
				c := exec.CommandContext(t.Context(), binary(t), args...)
				c.Dir = folder
				out, err := c.CombinedOutput()
				return string(out), err
			}
			mustRun := func(args ...string) string {
				t.Helper()
				out, err := run(args...)
				if err != nil {
					t.Fatalf("sallyport %s: %v\n%s", strings.Join(args, " "), err, out)
				}
				return out
			}
			project, copied := filepath.Join(folder, "guest-pass"), filepath.Join(folder, "somewhere", "else", "of another length", "copy")
			mustRun("plugin", "init", "--lang", lang, project)
			if lang == "assemblyscript" { // in place of npm install, which needs a network
				modules, err := filepath.Abs("../sdk/assemblyscript/node_modules")
				must(t, err)
				must(t, os.Symlink(modules, filepath.Join(project, "node_modules")))
			}
			ref := registry.host + "/acme/" + lang + ":1.0.0"
			must(t, os.MkdirAll(filepath.Dir(copied), 0o700))
			must(t, exec.CommandContext(t.Context(), "cp", "-a", project, copied).Run())
			mustRun("plugin", "push", project, ref)
			before := listing(t, copied)
			if out := mustRun("plugin", "verify", ref, "--rebuild", copied); !strings.Contains(out, "comes from "+copied) {
				t.Errorf("%s", out)
			}
			if after := listing(t, copied); !slices.Equal(before, after) {
				t.Errorf("the folder had %q and has %q", before, after)
			}
			text, err := os.ReadFile(filepath.Join(copied, source))
			must(t, err)
			changed := strings.Replace(string(text), `"guest"`, `"guess"`, 1)
			if changed == string(text) {
				t.Fatalf("nothing to change in\n%s", text)
			}
			must(t, os.WriteFile(filepath.Join(copied, source), []byte(changed), 0o600))
			if out, err := run("plugin", "verify", ref, "--rebuild", copied); err == nil || !strings.Contains(out, "is not what comes of "+copied) {
				t.Errorf("with another character: %v\n%s", err, out)
			}
		})
	}
}

// listing names the files under a folder.
func listing(t *testing.T, folder string) (names []string) {
	t.Helper()
	must(t, filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return err
	}))
	return names
}

// TestTwoGatewaysAndOneCache: gateways that start at once, and commands beside them, all pull into one folder: each gets what it wants,
// and nothing in the folder is half of something.
func TestTwoGatewaysAndOneCache(t *testing.T) {
	s := startShared(t)
	s.stop(syscall.SIGTERM)
	cache := filepath.Join(t.TempDir(), "cache")
	must(t, os.Mkdir(cache, 0o700))
	text, err := os.ReadFile(s.file)
	must(t, err)
	lock, err := os.ReadFile(filepath.Join(s.folder, "plugins.lock"))
	must(t, err)
	var both [2]*sharedPolicy
	for i := range both {
		folder := t.TempDir()
		data, admin := testutil.ClosedAddress(t, 0), testutil.ClosedAddress(t, 0)
		own := strings.NewReplacer(strings.TrimPrefix(s.url, "http://"), data, strings.TrimPrefix(s.admin, "http://"), admin).Replace(string(text))
		g := &gateway{t: t, folder: folder, file: filepath.Join(folder, "policies.yaml"), log: &buffer{}, url: "http://" + data, admin: "http://" + admin}
		must(t, os.WriteFile(g.file, []byte(own), 0o600))
		must(t, os.WriteFile(filepath.Join(folder, "plugins.lock"), lock, 0o600))
		must(t, os.Mkdir(filepath.Join(folder, "data"), 0o700))
		must(t, os.Symlink(cache, filepath.Join(folder, "data", "plugins")))
		t.Cleanup(func() { g.stop(syscall.SIGTERM) })
		both[i] = &sharedPolicy{gateway: g}
	}
	for _, g := range both {
		g.launch()
	}
	var pulling sync.WaitGroup
	for i := range 4 {
		pulling.Go(func() {
			file := filepath.Join(both[0].folder, fmt.Sprintf("pulled-%d.wasm", i))
			c := both[0].exec(t.Context(), "plugin", "pull", s.registry.host+"/acme/closed:1.0.0", "-o", file, "--config", both[0].file)
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
	pulling.Wait()
	for _, g := range both {
		g.wait(compiling, "it serves", func() bool { return status(g.url+"/health") == 200 })
		g.serves("closed by 1.0.0")
	}
	wholeCache(t, cache)
}

// wholeCache expects a cache with something in it, all of it whole.
func wholeCache(t *testing.T, cache string) {
	t.Helper()
	blobs, err := os.ReadDir(filepath.Join(cache, "blobs", "sha256"))
	must(t, err)
	if len(blobs) < 5 {
		t.Errorf("the cache has %d files", len(blobs))
	}
	for _, b := range blobs {
		content, err := os.ReadFile(filepath.Join(cache, "blobs", "sha256", b.Name()))
		must(t, err)
		if digest := sha256.Sum256(content); hex.EncodeToString(digest[:]) != b.Name() {
			t.Errorf("%s is not what it is called", b.Name())
		}
	}
}

// spoiled answers in place of a registry, or changes what that answers.
type spoiled func(w http.ResponseWriter, r *http.Request, honest http.Handler)

// answering answers everything with a status.
func answering(status int, name, value string) spoiled {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set(name, value)
		w.WriteHeader(status)
	}
}

// layers changes the module on its way, and announces the length that it had.
func layers(change func(content []byte) []byte) spoiled {
	return func(w http.ResponseWriter, r *http.Request, honest http.Handler) {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			honest.ServeHTTP(w, r)
			return
		}
		recorded := httptest.NewRecorder()
		honest.ServeHTTP(recorded, r)
		content, _ := io.ReadAll(recorded.Body) // from memory
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(change(content))
	}
}

// TestRegistriesThatAreWrong: whatever a registry does, the gateway says what it did, goes on with the policies that it had, and keeps
// nothing of it.
func TestRegistriesThatAreWrong(t *testing.T) {
	s := startShared(t)
	target, err := url.Parse("http://" + s.registry.host)
	must(t, err)
	honest := httputil.NewSingleHostReverseProxy(target)
	var acts atomic.Pointer[spoiled]
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*acts.Load())(w, r, honest) }))
	defer liar.Close()
	published := s.publish("3.0.0", "never", "team-a.key")
	at := func(host string) string {
		return strings.Replace(published, s.registry.host, host, 1)
	}
	for _, c := range []struct {
		name   string
		acts   spoiled
		reason string
	}{
		{"401", answering(http.StatusUnauthorized, "Www-Authenticate", `Basic realm="x"`), "the registry wants other credentials"},
		{"a realm at a private address", answering(http.StatusUnauthorized, "Www-Authenticate", `Bearer realm="http://169.254.169.254/token"`), "leads to a private address"},
		{"403", answering(http.StatusForbidden, "X", ""), "the registry does not allow it"},
		{"429", answering(http.StatusTooManyRequests, "X", ""), "cannot be asked now"},
		{"500", answering(http.StatusInternalServerError, "X", ""), "cannot be asked now"},
		{"a redirect to another host", answering(http.StatusTemporaryRedirect, "Location", "http://169.254.169.254/v2/"), "leads to a private address"},
		{"a layer that is cut", layers(func(b []byte) []byte { return b[:len(b)/2] }), "ended after"},
		{"a layer that is another", layers(func(b []byte) []byte { b[len(b)-1] ^= 1; return b }), "the content is not what its digest names"},
	} {
		acts.Store(&c.acts)
		t.Log(c.name)
		s.refuses("\n# the end", fmt.Sprintf("\n  - {name: another, wasm: %q}\n# the end", at(strings.TrimPrefix(liar.URL, "http://"))), c.reason)
	}
	t.Log("down")
	s.refuses("\n# the end", fmt.Sprintf("\n  - {name: another, wasm: %q}\n# the end", at(testutil.ClosedAddress(t, 0))), "cannot be asked now")
	wholeCache(t, filepath.Join(s.folder, "data", "plugins"))
}
