//go:build e2e

// Package e2e starts the real binary and drives it with real clients: the official SDKs for Node.js and Python, curl,
// and the gateway's own command line. Behind it stand the demo provider and a provider that replays recorded traffic,
// both within the test, which so sees what went upstream. Nothing within the binary is replaced.
//
// `make e2e` builds the binary, installs the SDKs and runs it; see README.md.
package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"github.com/sallyport-dev/sallyport/internal/testutil"
)

// Credentials of the test.
const (
	clientKey   = "e2e-key-of-the-file"
	adminToken  = "e2e-admin-token-1234"
	providerKey = "e2e-key-of-the-provider"
)

// patience is how long the test waits for what has to happen at once, on a machine that is busy with other things.
const patience = time.Minute

// compiling is how long may take what compiles: a gateway that starts on an empty folder, or make as it builds everything.
const compiling = 5 * time.Minute

// soon is how soon something has to happen: as it is promised where the proofs run in full, on a machine that does nothing
// else. Elsewhere it is ten times that: whether a busy machine keeps a promise says nothing.
func soon(promised time.Duration) time.Duration {
	if full {
		return promised
	}
	return 10 * promised
}

// binary is the path of the binary under test.
func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("SALLYPORT_BIN")
	if path == "" {
		t.Fatal("SALLYPORT_BIN names no binary: run `make e2e` or `make test`")
	}
	return path
}

// gateway is a running binary with a folder of its own.
type gateway struct {
	t       *testing.T
	folder  string
	file    string // its policies.yaml
	url     string
	admin   string
	log     *buffer
	process *exec.Cmd
	exited  chan error
	within  []string // what runs the binary and its commands: nothing, or a program and its arguments
}

// listeners are what a configuration has in common in all tests.
const listeners = `version: 1
listen: {{.Listen}}
data: ./data
policy_dir: ./plugins
admin: {listen: "{{.Admin}}", token: "${E2E_ADMIN_TOKEN}"}
`

// start starts the binary with a configuration: the listeners and the rest, which is a template too. It is stopped
// at the end of the test.
func start(t *testing.T, rest string, facts map[string]string) *gateway {
	t.Helper()
	g := prepare(t, rest, facts)
	g.run()
	return g
}

// prepare is start without starting.
func prepare(t *testing.T, rest string, facts map[string]string) *gateway {
	t.Helper()
	folder := t.TempDir()
	g := &gateway{t: t, folder: folder, file: filepath.Join(folder, "policies.yaml"), log: &buffer{}}
	must(t, os.Mkdir(filepath.Join(folder, "plugins"), 0o700))
	all := map[string]string{"Listen": testutil.ClosedAddress(t, 0), "Admin": testutil.ClosedAddress(t, 0)}
	maps.Copy(all, facts)
	g.url, g.admin = "http://"+all["Listen"], "http://"+all["Admin"]
	must(t, os.WriteFile(g.file, []byte(fill(t, listeners+rest, all)), 0o600))
	t.Cleanup(func() {
		g.stop(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the gateway's log:\n%s", g.log)
		}
	})
	return g
}

func fill(t *testing.T, text string, facts map[string]string) string {
	t.Helper()
	var b strings.Builder
	must(t, template.Must(template.New("policies.yaml").Option("missingkey=error").Parse(text)).Execute(&b, facts))
	return b.String()
}

// environment is what the configuration expands. The test's own variables are not passed on to it by accident.
func environment() []string {
	return append(os.Environ(), "E2E_ADMIN_TOKEN="+adminToken, "E2E_CLIENT_KEY="+clientKey, "E2E_PROVIDER_KEY="+providerKey)
}

// run starts the process and waits until it serves.
func (g *gateway) run() {
	g.t.Helper()
	g.launch()
	g.wait(compiling, "it serves", func() bool {
		select {
		case err := <-g.exited:
			g.t.Fatalf("the gateway ended: %v\n%s", err, g.log)
		default:
		}
		return status(g.url+"/health") == http.StatusOK
	})
}

// launch starts the process.
func (g *gateway) launch() {
	g.t.Helper()
	g.process = g.exec(context.Background(), "serve", "--config", g.file)
	g.process.Stdout, g.process.Stderr = g.log, g.log
	must(g.t, g.process.Start())
	g.exited = make(chan error, 1)
	go func(p *exec.Cmd, exited chan<- error) { exited <- p.Wait() }(g.process, g.exited)
}

// exec is the binary with these arguments.
func (g *gateway) exec(ctx context.Context, args ...string) *exec.Cmd {
	line := append(append(slices.Clone(g.within), binary(g.t)), args...)
	c := exec.CommandContext(ctx, line[0], line[1:]...)
	c.Env = environment()
	return c
}

// status is what a GET is answered with; 0 if it is not.
func status(url string) int {
	r, err := http.Get(url)
	if err != nil {
		return 0
	}
	defer r.Body.Close()
	_, _ = io.Copy(io.Discard, r.Body) // so that the connection can be used again
	return r.StatusCode
}

// stop ends the process and waits for it.
func (g *gateway) stop(signal syscall.Signal) {
	if g.process == nil {
		return
	}
	_ = g.process.Process.Signal(signal) // it may be over
	select {
	case err := <-g.exited:
		if signal == syscall.SIGTERM && err != nil {
			g.t.Errorf("the gateway did not end well: %v", err)
		}
	case <-time.After(patience):
		g.t.Error("the gateway did not end")
		_ = g.process.Process.Kill()
	}
	g.process = nil
}

// until waits for something that the test cannot be told of.
func (g *gateway) until(what string, done func() bool) {
	g.t.Helper()
	g.wait(patience, what, done)
}

// wait is until for what may take longer, or must not take so long.
func (g *gateway) wait(most time.Duration, what string, done func() bool) {
	g.t.Helper()
	deadline := time.After(most)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			g.t.Fatalf("waited in vain until %s\n%s", what, g.log)
		}
	}
}

// command runs one of the binary's commands on the gateway's configuration and returns what it printed.
func (g *gateway) command(args ...string) (output string, err error) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	out, err := g.exec(ctx, append(args, "--config", g.file)...).CombinedOutput()
	return string(out), err
}

// mustCommand is command for those that have to work.
func (g *gateway) mustCommand(args ...string) string {
	g.t.Helper()
	out, err := g.command(args...)
	if err != nil {
		g.t.Fatalf("sallyport %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// edit replaces text of the configuration.
func (g *gateway) edit(old, new string) {
	g.t.Helper()
	text, err := os.ReadFile(g.file)
	must(g.t, err)
	if !bytes.Contains(text, []byte(old)) {
		g.t.Fatalf("the configuration does not hold %q", old)
	}
	must(g.t, os.WriteFile(g.file, bytes.ReplaceAll(text, []byte(old), []byte(new)), 0o600))
}

// answer is what came back for a request.
type answer struct {
	status int
	header http.Header
	body   string
}

// id is the request's id.
func (a *answer) id() string { return a.header.Get("X-Sallyport-Request-Id") }

func (a *answer) String() string { return fmt.Sprintf("%d %s", a.status, a.body) }

// ask sends a request with a key and reads the whole answer. An empty body is a GET.
func (g *gateway) ask(key, path, body string) *answer {
	g.t.Helper()
	a, err := g.tryAsk(key, path, body)
	must(g.t, err)
	return a
}

// tryAsk is ask for requests whose connection may break.
func (g *gateway) tryAsk(key, path, body string) (*answer, error) {
	return g.try(g.request(key, path, body))
}

// try sends a request and reads the answer.
func (g *gateway) try(r *http.Request) (*answer, error) {
	ctx, cancel := context.WithTimeout(g.t.Context(), patience)
	defer cancel()
	resp, err := http.DefaultClient.Do(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return &answer{resp.StatusCode, resp.Header, string(text)}, err
}

// request makes a request with the credential in its dialect's own header; "" is none.
func (g *gateway) request(key, path, body string) *http.Request {
	method := http.MethodPost
	if body == "" {
		method = http.MethodGet
	}
	r, err := http.NewRequest(method, g.url+path, strings.NewReader(body))
	must(g.t, err)
	r.Header.Set("Content-Type", "application/json")
	switch {
	case key == "": // no credential at all
	case strings.Contains(path, "/messages"):
		r.Header.Set("X-Api-Key", key)
		r.Header.Set("Anthropic-Version", "2023-06-01")
	case strings.Contains(path, "/v1beta/"):
		r.Header.Set("X-Goog-Api-Key", key)
	default:
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return r
}

// hello is a chat request for a model.
func hello(alias string) string {
	return `{"model":"` + alias + `","messages":[{"role":"user","content":"hi"}]}`
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// buffer is a log that is read while it is written.
type buffer struct{ testutil.Log }

// expect fails the test if a word is not in the log.
func (b *buffer) expect(t *testing.T, word string) {
	t.Helper()
	if !strings.Contains(b.String(), word) {
		t.Errorf("the log does not say %q", word)
	}
}
