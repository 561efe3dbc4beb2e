package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/health"
	"github.com/sallyport-dev/sallyport/internal/testutil"
)

const chainsConfig = `version: 1
admin: {listen: "%s", token: a-token-for-tests-alone}
providers:
  - {name: far, format: openai, base_url: "https://api.example.com/v1", api_keys: [far-key-number-one-, far-key-number-two-]}
  - {name: near, format: openai, base_url: "http://127.0.0.1:9/v1"}
models:
  - {alias: large, provider: far, model: org/large, price: {input: 1, output: 2}}
  - {alias: small, provider: near, model: small, price: {input: 0, output: 0}}
chains:
  - name: coding
    steps: [{model: large, priority: 1}, {model: small, priority: 2}]
policies: [{name: default, wasm: "builtin:default", grants: {identities: read}}]
`

// running is a gateway of which the chains' part runs alone.
type running struct {
	file    string
	clock   *testutil.Clock
	tracker *health.Tracker
	chains  *chainHealth
	config  *config.Snapshot
}

// testTarget is what the health of a step is kept by in these tests.
func testTarget(chain *config.Chain, step *config.Step) health.Target {
	t := health.Target{
		Provider: step.Provider.Name, Address: step.Provider.Host, Model: step.Model, Credentials: step.Provider.Credentials,
		Concurrent: step.Concurrent, Chain: chain.Name, Alias: step.Alias,
	}
	if t.Credentials == nil {
		t.Credentials = []string{""}
	}
	return t
}

func newRunning(t *testing.T) *running {
	t.Helper()
	r := &running{file: filepath.Join(t.TempDir(), "policies.yaml"), clock: testutil.NewClock("2026-11-21T10:00:00Z")}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(r.file, fmt.Appendf(nil, chainsConfig, l.Addr()), 0o600); err != nil {
		t.Fatal(err)
	}
	if r.config, err = config.Load(r.file, os.LookupEnv); err != nil {
		t.Fatal(err)
	}
	r.tracker = health.New(health.Options{Now: r.clock.Now, Random: func() float64 { return 0.5 }})
	r.chains = &chainHealth{r.tracker, func() *config.Snapshot { return r.config }, testTarget, r.clock.Now}
	handler := admin.Handler(admin.Options{
		Token: r.config.Admin.Token, Log: slog.New(slog.DiscardHandler), Chains: r.chains,
		Metrics: admin.NewMetrics("test", func() float64 { return 0 }, time.Now), Ready: func() error { return nil },
	})
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler, ReadHeaderTimeout: time.Second}}
	server.Start()
	t.Cleanup(server.Close)
	return r
}

// step returns the handle of a step of the chain coding.
func (r *running) step(i int) *health.Step {
	chain := r.config.Chains["coding"]
	return r.tracker.Step(testTarget(chain, &chain.Steps[i]))
}

// attempt makes an attempt that ends like this.
func (r *running) attempt(t *testing.T, step int, result health.Result) {
	t.Helper()
	a, ok := r.step(step).Begin(health.Begin{})
	if !ok {
		t.Fatalf("no attempt may begin: %+v", r.step(step).View())
	}
	a.FirstContent(812 * time.Millisecond)
	a.End(result)
}

// table is what a table of the chains shows now.
func (r *running) table(t *testing.T) string {
	t.Helper()
	all, err := r.chains.Chains(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := printChains(&out, all, r.clock.Now()); err != nil {
		t.Fatal(err)
	}
	return "\n" + out.String()
}

func TestChainTable(t *testing.T) {
	r := newRunning(t)
	for range 3 {
		r.attempt(t, 1, health.Result{Outcome: health.Failed})
	}
	r.attempt(t, 0, health.Result{Outcome: health.RateLimited, RetryAfter: 90 * time.Second})
	if _, ok := r.step(0).Begin(health.Begin{}); !ok {
		t.Fatal("the second credential is not asked")
	}
	r.clock.Add(500 * time.Millisecond)
	want := `
CHAIN   STEP   PROVIDER  MODEL      CREDENTIAL  STATE       UNTIL  LATENCY  ACTIVE
coding  large  far       org/large           1  parked   in 1m30s    772ms       0
coding  large  far       org/large           2  healthy         -        -       1
coding  small  near      small               -  open        in 5s    772ms       0
large   large  far       org/large           1  parked   in 1m30s    772ms       0
large   large  far       org/large           2  healthy         -        -       1
small   small  near      small               -  open        in 5s    772ms       0
`
	if got := r.table(t); got != want {
		t.Errorf("got%s\nwant%s", got, want)
	}
}

func TestChainFull(t *testing.T) {
	r := newRunning(t)
	r.config.Chains["coding"].Steps[0].Concurrent = 1
	if _, ok := r.step(0).Begin(health.Begin{}); !ok {
		t.Fatal("no attempt may begin")
	}
	all, err := r.chains.Chains(t.Context())
	if err != nil || all[0].Steps[0].State != "full" || all[0].Steps[0].Available || all[1].Steps[0].State != "healthy" {
		t.Errorf("%+v, %v", all, err)
	}
	if got := r.table(t); strings.Count(got, " full ") != 2 {
		t.Errorf("both credentials of the step are full:%s", got)
	}
}

// chainCommand runs a command below chain.
func chainCommand(t *testing.T, file string, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := newChain()
	c.SilenceErrors, c.SilenceUsage = true, true
	c.SetArgs(append(args, "--config", file))
	c.SetOut(&out)
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func TestChainCommands(t *testing.T) {
	r := newRunning(t)
	lines := func(want int, state string, args ...string) {
		t.Helper()
		out, err := chainCommand(t, r.file, args...)
		if got := strings.Count(out, "\n") - 1; err != nil || got != want || strings.Count(out, " "+state+" ") != want {
			t.Errorf("%q printed %v and\n%s\nwant %d lines, all %s", args, err, out, want, state)
		}
	}
	r.step(0)
	r.step(1)
	lines(6, "healthy", "status")
	lines(3, "healthy", "status", "coding")
	lines(1, "healthy", "status", "small")
	lines(4, "drained", "drain", "far", "org/large")
	lines(2, "drained", "status", "large")
	lines(1, "healthy", "status", "small")
	lines(4, "healthy", "restore", "far")
	lines(2, "drained", "drain", "near")
	out, err := chainCommand(t, r.file, "status", "coding", "--json")
	var chains []admin.Chain
	if err != nil || json.Unmarshal([]byte(out), &chains) != nil || len(chains) != 1 || chains[0].Steps[1].State != "drained" {
		t.Errorf("as JSON: %v and %s", err, out)
	}
}

func TestChainCommandsFail(t *testing.T) {
	r := newRunning(t)
	r.step(0)
	r.step(1)
	if err := r.tracker.Drain("near", ""); err != nil {
		t.Fatal(err)
	}
	facts := []struct{ args, want string }{
		{"status unknown", `there is no chain or alias "unknown"`},
		{"drain nobody", `provider "nobody": no step asks that`},
		{"drain far large", `"large" of "far": no step asks that`},
		{"restore near small", "restore the provider"},
		{"drain", "arg"},
	}
	for _, f := range facts {
		if _, err := chainCommand(t, r.file, strings.Fields(f.args)...); err == nil || !strings.Contains(err.Error(), f.want) {
			t.Errorf("%s: %v, want %s", f.args, err, f.want)
		}
	}
	nobody := testutil.ClosedAddress(t, 0)
	if err := os.WriteFile(r.file, fmt.Appendf(nil, chainsConfig, nobody), 0o600); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("no gateway is running at %s: only a running one knows how its providers do", nobody)
	if _, err := chainCommand(t, r.file, "status"); err == nil || err.Error() != want {
		t.Errorf("without a gateway: %v, want %s", err, want)
	}
}

func TestHandErrors(t *testing.T) {
	if err := handError(health.ErrUnknown); !errors.Is(err, admin.ErrNotFound) {
		t.Error(err)
	}
	if err := handError(health.ErrDrained); !errors.Is(err, admin.ErrConflict) {
		t.Error(err)
	}
	if err := handError(context.Canceled); err != context.Canceled { //nolint:errorlint // the very same
		t.Error(err)
	}
}

// Metrics tell of what the configuration asks, once for each credential, and know all states that there are.
func TestHealthFigures(t *testing.T) {
	r := newRunning(t)
	r.step(0)
	r.attempt(t, 1, health.Result{Outcome: health.RateLimited})
	r.tracker.Step(health.Target{Provider: "gone", Model: "m"})
	got := fmt.Sprint(r.chains.figures())
	if want := "{[{far org/large healthy} {far org/large healthy} {near small parked}] [{far 0 0} {near 0 0}]}"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for i, name := range admin.HealthStates() {
		if got := health.State(i).String(); got != name {
			t.Errorf("state %d is %s, metrics say %s", i, got, name)
		}
	}
	if got := health.State(len(admin.HealthStates())); got != health.Full {
		t.Errorf("metrics do not know %v", got)
	}
	r.config = nil
	if got := r.chains.figures(); len(got.Places) != 0 {
		t.Errorf("before the first configuration: %+v", got)
	}
}
