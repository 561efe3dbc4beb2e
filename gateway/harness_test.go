package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/health"
	"github.com/sallyport-dev/sallyport/idempotency"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/prices"
	"github.com/sallyport-dev/sallyport/record"
	"github.com/valyala/fasthttp"
	"go.uber.org/goleak"
)

// TestMain looks for goroutines that outlive the tests. Only fasthttp sleeps: its pools look after themselves, and
// end some seconds after what they look after.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("time.Sleep"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// house is a gateway on loopback between a test's client and its scripted providers, with Go fakes for everything
// that cmd/sallyport joins to it.
type house struct {
	t        *testing.T
	gateway  *Gateway
	url      string
	address  string
	policies *fakePolicies
	ids      *fakeIdentities
	store    *testutil.Memory
	ledger   *ledger.Ledger
	records  *recordings
	config   *config.Snapshot
	clients  connections
	down     sync.Once
}

// testKey is the credential of the one identity that the fakes know.
const testKey = "test-key-0123456789"

// newHouse starts a gateway. Each provider is a base URL; the alias "m<i>" resolves to it as model "real-<i>", and
// the chain "chain" has all of them in order.
func newHouse(t *testing.T, format formats.Format, providers ...string) *house {
	t.Helper()
	return newTweakedHouse(t, format, func(*Gateway) {}, providers...)
}

// newTweakedHouse starts a gateway after tweak had its hands on it.
func newTweakedHouse(t *testing.T, format formats.Format, tweak func(*Gateway), providers ...string) *house {
	t.Helper()
	h := &house{
		t: t, policies: &fakePolicies{}, ids: newIdentities(), store: testutil.NewMemory(), records: &recordings{},
		config: testConfig(format, providers),
	}
	h.ledger = newLedger(t, h.store)
	snapshot := NewSnapshot(h.config, h.policies, h.ids, newTracker(), nil, nil)
	h.gateway = New(Parts{
		Log: slog.New(slog.DiscardHandler), Ledger: h.ledger, Recorder: h.records,
		Idempotency: idempotency.New(idempotency.Options{Store: h.store}),
	}, snapshot)
	h.gateway.server.ConnState = h.clients.note
	tweak(h.gateway)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h.address, h.url = l.Addr().String(), "http://"+l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- h.gateway.Serve(l) }()
	t.Cleanup(func() {
		h.clients.wait()
		h.shutdown(2 * time.Second)
		if err := <-served; err != nil {
			t.Errorf("serving: %v", err)
		}
		h.audit()
		for _, target := range snapshot.targets {
			target.pool.Close()
		}
	})
	return h
}

// connections counts the clients' connections. A server that is shut down while one is open looks again only after
// 100 ms, which many small tests would wait for.
type connections struct {
	mu   sync.Mutex
	open int
	none chan struct{} // closed when none is open any more; nil while nobody waits
}

func (c *connections) note(_ net.Conn, state fasthttp.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case fasthttp.StateNew:
		c.open++
	case fasthttp.StateClosed:
		c.open--
		if c.open == 0 && c.none != nil {
			close(c.none)
			c.none = nil
		}
	}
}

// wait gives the clients that have hung up a moment to be noticed.
func (c *connections) wait() {
	c.mu.Lock()
	none := make(chan struct{})
	if c.none = none; c.open == 0 {
		close(none)
		c.none = nil
	}
	c.mu.Unlock()
	select {
	case <-none:
	case <-time.After(20 * time.Millisecond):
	}
}

// shutdown ends the gateway, with so much time for the exchanges under way. It does so once.
func (h *house) shutdown(patience time.Duration) {
	h.down.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = h.gateway.Shutdown(ctx)
	})
}

// audit checks the books once every exchange is over: nothing is open, and everything adds up.
func (h *house) audit() {
	h.t.Helper()
	if f := h.ledger.Figures(); f.Open != 0 || f.Reserved != 0 || f.Discrepancy != 0 {
		h.t.Errorf("%d reservations of %s are open, %d checks failed", f.Open, f.Reserved, f.Discrepancy)
	}
	v, err := h.ledger.Verify(context.Background())
	if err != nil || len(v.Problems) > 0 || v.Open != 0 {
		h.t.Errorf("verifying: %v, %d open, problems %q", err, v.Open, v.Problems)
	}
}

// entries returns what the journal has of a request; of all if id is empty.
func (h *house) entries(id string) (found []ledger.Entry) {
	h.t.Helper()
	err := h.ledger.Export(h.t.Context(), time.Time{}, time.Time{}, func(e *ledger.Entry) error {
		if id == "" || e.ID == id {
			found = append(found, *e)
		}
		return nil
	})
	if err != nil {
		h.t.Error(err)
	}
	return found
}

// balance returns where the one budget of an account stands.
func (h *house) balance(kind ledger.Kind, id string, budget abi.Budget) ledger.Balance {
	h.t.Helper()
	all, err := h.ledger.Balances([]ledger.Level{{Account: ledger.Account{Kind: kind, ID: id}, Budgets: []abi.Budget{budget}}})
	if err != nil {
		h.t.Error(err)
		return ledger.Balance{}
	}
	return all[0]
}

// ledgerTime is the time of all ledgers here: no test meets the end of a day or of a month, and no budget begins anew in it.
const ledgerTime = "2026-03-14T12:00:00Z"

// newLedger opens a ledger that is closed after everything else of the test.
func newLedger(tb testing.TB, store ledger.Store) *ledger.Ledger {
	tb.Helper()
	l, err := ledger.Open(tb.Context(), ledger.Options{Store: store, Clock: testutil.NewClock(ledgerTime).Now})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil && !errors.Is(err, ledger.ErrUnavailable) {
			tb.Error(err)
		}
	})
	return l
}

func testConfig(format formats.Format, providers []string) *config.Snapshot {
	c := &config.Snapshot{MaxBody: 1 << 20, Chains: map[string]*config.Chain{}}
	c.Idempotency = config.Idempotency{Keep: time.Hour, MaxAnswer: 1 << 20}
	c.Ledger = config.Ledger{AssumedOutput: 4096, Ambiguous: config.BookInput, ClientGone: config.BookRelayed}
	limits := config.Timeouts{
		Connect: time.Second, TLS: time.Second, FirstByte: 5 * time.Second, FirstContent: 5 * time.Second,
		Gap: 5 * time.Second, Total: time.Minute,
	}
	failure := config.Failure{LargerContext: true} // no retries: a test that wants some says so
	whole := &config.Chain{Name: "chain", Format: format, Total: limits.Total, Failure: failure, Strategy: config.Weighted}
	for i, base := range providers {
		host, path, _ := strings.Cut(strings.TrimPrefix(base, "http://"), "/")
		if path != "" {
			path = "/" + path
		}
		p := &config.Provider{
			Name: fmt.Sprintf("p%d", i), Format: format, Host: host, HostHeader: host, Path: path,
			Credentials: []string{"provider-secret"}, AuthHeader: "Authorization", IncludeUsage: true,
			AllowPrivate: true,
		}
		model := fmt.Sprintf("real-%d", i)
		step := config.Step{
			Alias: fmt.Sprintf("m%d", i), Provider: p, Model: model, ModelJSON: []byte(`"` + model + `"`),
			Tariff: prices.Flat(testPrice, "test"), Patience: config.Patience{Streamed: limits, Whole: limits},
		}
		choice := abi.Step{Model: step.Alias, Provider: p.Name, Priority: int64(i), Weight: 1, Price: &testPrice}
		c.Providers = append(c.Providers, p)
		c.Chains[step.Alias] = &config.Chain{
			Name: step.Alias, Alias: true, Format: format, Steps: []config.Step{step}, Choices: []abi.Step{choice},
			Total: limits.Total, Failure: failure, Strategy: config.Weighted,
		}
		whole.Steps, whole.Choices = append(whole.Steps, step), append(whole.Choices, choice)
	}
	c.Chains[whole.Name] = whole
	for name := range c.Chains {
		c.Names = append(c.Names, name)
	}
	slices.Sort(c.Names)
	return c
}

// setPatience changes how long the steps of a chain are waited for, by whoever asks.
func setPatience(c *config.Chain, change func(*config.Timeouts)) {
	for i := range c.Steps {
		change(&c.Steps[i].Patience.Streamed)
		change(&c.Steps[i].Patience.Whole)
	}
}

// testPrice is what every model costs: 0.27 and 1.10 dollars per million tokens.
var testPrice = abi.PriceRow{abi.Input: 270_000_000, abi.Output: 1_100_000_000}

// fakePolicies answers the hooks with Go functions; those that are not set behave like the built-in policy.
type fakePolicies struct {
	authenticate func(*abi.Authentication) abi.Answer
	chooseStep   func(*abi.StepChoice) abi.Answer
	price        func(*abi.Pricing) abi.Answer
}

func (p *fakePolicies) Authenticate(c *abi.Authentication) abi.Answer {
	if p.authenticate != nil {
		return p.authenticate(c)
	}
	if id, ok := c.Identities.Lookup(&c.Digest); ok {
		c.Policy, c.Identity = "default", id
		return abi.Given
	}
	return abi.NoVerdict
}

func (p *fakePolicies) ChooseStep(c *abi.StepChoice) abi.Answer {
	if p.chooseStep != nil {
		return p.chooseStep(c)
	}
	return abi.NoVerdict
}

func (p *fakePolicies) PriceResponse(c *abi.Pricing) abi.Answer {
	if p.price != nil {
		return p.price(c)
	}
	return abi.NoVerdict
}

// fakeIdentities knows one key, and the teams that a test gives it.
type fakeIdentities struct {
	key   *abi.Identity
	teams map[string]*abi.Team
}

func newIdentities() *fakeIdentities {
	return &fakeIdentities{
		key:   &abi.Identity{KeyID: "key_1", Name: "tester", Team: "core"},
		teams: map[string]*abi.Team{"core": {Name: "core"}},
	}
}

func (*fakeIdentities) Digest(credential []byte) (d abi.Digest) {
	copy(d[:], credential)
	return d
}

func (f *fakeIdentities) Lookup(d *abi.Digest) (*abi.Identity, bool) {
	return f.key, *d == f.Digest([]byte(testKey))
}

func (f *fakeIdentities) Team(name string) (*abi.Team, bool) {
	team, ok := f.teams[name]
	return team, ok
}

// recordings keeps the records, and lets a test wait for one.
type recordings struct {
	mu    sync.Mutex
	begun int
	all   []record.Record
	more  chan struct{}
}

func (r *recordings) Begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.begun++
}

func (r *recordings) Record(rec *record.Record) {
	kept := *rec
	kept.Attempts = slices.Clone(rec.Attempts)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, kept)
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
}

// wait returns the n-th record, from 0, when it is there.
func (r *recordings) wait(t *testing.T, n int) record.Record {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		r.mu.Lock()
		if len(r.all) > n {
			defer r.mu.Unlock()
			return r.all[n]
		}
		if r.more == nil {
			r.more = make(chan struct{})
		}
		more := r.more
		r.mu.Unlock()
		select {
		case <-more:
		case <-limit:
			t.Fatalf("no record %d", n)
		}
	}
}

// counts returns how many exchanges began and ended.
func (r *recordings) counts() (begun, ended int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.begun, len(r.all)
}

// provider serves handler on loopback and returns the base URL.
func provider(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

// rawProvider serves each connection with script, which gets the connection after the request on it was read.
func rawProvider(t *testing.T, script func(n int, request []byte, c net.Conn)) string {
	t.Helper()
	return "http://" + testutil.ServeConns(t, func(n int, c net.Conn) {
		for {
			request, err := readRequest(c)
			if err != nil {
				return
			}
			script(n, request, c)
		}
	})
}

// readRequest reads one request with a Content-Length, byte for byte.
func readRequest(c net.Conn) ([]byte, error) {
	var seen []byte
	br := bufio.NewReader(io.TeeReader(c, writerFunc(func(p []byte) { seen = append(seen, p...) })))
	r, err := http.ReadRequest(br)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(io.Discard, r.Body)
	return seen, err
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

// post sends a JSON body with the test's key and returns the answer.
func (h *house) post(path, body string, headers ...string) *http.Response {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.url+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+testKey)
	for i := 0; i < len(headers); i += 2 {
		if r.Header.Del(headers[i]); headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	resp, err := client(h.t).Do(r)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// client is an HTTP client whose connections end with the test.
func client(t *testing.T) *http.Client {
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// text reads a body to its end.
func text(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("reading the body: %v (after %q)", err, b)
	}
	return string(b)
}

// newTracker returns a tracker that knows of no failure yet.
func newTracker() *health.Tracker { return health.New(health.Options{}) }
