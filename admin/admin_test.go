package admin

import (
	"context"
	"errors"
	"fmt"

	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/record"
)

// shelf is keys and records in memory.
type shelf struct {
	keys    []identity.Key
	records []record.Record
	broken  error
}

func (s *shelf) Issue(_ context.Context, w identity.Wish) (identity.Key, string, error) {
	for _, k := range s.keys {
		if k.Name == w.Name {
			return identity.Key{}, "", fmt.Errorf("%w: %q exists", identity.ErrKeys, w.Name)
		}
	}
	key, secret, err := identity.Issue(w, time.Now(), strings.NewReader(strings.Repeat("x", 64)))
	if err == nil {
		s.keys = append(s.keys, key)
	}
	return key, secret, err
}

func (s *shelf) Keys(context.Context) ([]identity.Key, error) { return s.keys, s.broken }

func (s *shelf) Revoke(_ context.Context, idOrName string) (identity.Key, error) {
	for i := range s.keys {
		if k := &s.keys[i]; k.ID == idOrName || k.Name == idOrName {
			if k.ID == identity.FileKeyID(k.Name) {
				return *k, fmt.Errorf("key %q is %w", k.Name, ErrReadOnly)
			}
			k.State = abi.KeyRevoked
			return *k, nil
		}
	}
	return identity.Key{}, fmt.Errorf("key %q: %w", idOrName, ErrNotFound)
}

func (s *shelf) Find(_ context.Context, id string) (record.Record, error) {
	for _, r := range s.records {
		if r.ID == id {
			return r, nil
		}
	}
	return record.Record{}, fmt.Errorf("request %q: %w", id, ErrNotFound)
}

func (s *shelf) Recent(_ context.Context, limit int, _ string) ([]record.Record, error) {
	return s.records[:min(limit, len(s.records))], nil
}

const testToken = "test-admin-token"

func options(s *shelf, token string) Options {
	now := time.Now()
	return Options{
		Token: token, Log: slog.New(slog.DiscardHandler), Metrics: testMetrics(&now), Keys: s, Records: s,
		Policies: func() []Policy { return []Policy{{Name: "default", Hooks: []string{"authenticate"}}} },
		Ready:    func() error { return nil },
	}
}

func request(t *testing.T, h http.Handler, method, path, token, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Every route is enumerated: only the listed ones are open, and what is guarded is guarded against everything but
// the token.
func TestEveryRouteStatesItsAccess(t *testing.T) {
	openRoutes := map[string]bool{"GET /health": true, "GET /ready": true, "GET /metrics": true}
	h, off := Handler(options(&shelf{}, testToken)), Handler(options(&shelf{}, ""))
	for _, r := range (&api{options(&shelf{}, testToken)}).routes() {
		method, path, _ := strings.Cut(r.pattern, " ")
		path = strings.NewReplacer("{key}", "k", "{id}", "r").Replace(path)
		if openRoutes[r.pattern] {
			if w := request(t, h, method, path, "", ""); w.Code != 200 {
				t.Errorf("%s without a token: %d", r.pattern, w.Code)
			}
			continue
		}
		for _, token := range []string{"", "wrong", testToken + "x", testToken[:5]} {
			if w := request(t, h, method, path, token, ""); w.Code != 401 {
				t.Errorf("%s with token %q: %d, want 401", r.pattern, token, w.Code)
			}
		}
		for _, token := range []string{"", testToken} {
			if w := request(t, off, method, path, token, ""); w.Code != 403 {
				t.Errorf("%s where no token is set: %d, want 403", r.pattern, w.Code)
			}
		}
		if path != "/debug/pprof/profile" && path != "/debug/pprof/trace" { // these take their time
			if w := request(t, h, method, path, testToken, "{}"); w.Code == 401 || w.Code == 403 {
				t.Errorf("%s with the token: %d", r.pattern, w.Code)
			}
		}
	}
}

func TestBadRequests(t *testing.T) {
	s := &shelf{keys: []identity.Key{{ID: identity.FileKeyID("ci"), Name: "ci"}}}
	h := Handler(options(s, testToken))
	facts := []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "/admin/v1/keys", `{"name":"a","extra":1}`, 400, "invalid_json"},
		{"POST", "/admin/v1/keys", `{"name":"a"} {}`, 400, "invalid_json"},
		{"POST", "/admin/v1/keys", `{"name":""}`, 400, "invalid_key"},
		{"POST", "/admin/v1/keys", `{"name":"a","prefix":"!"}`, 400, "invalid_key"},
		{"POST", "/admin/v1/keys", `{"name":"ci"}`, 409, "conflict"},
		{"POST", "/admin/v1/keys", `{"name":"` + strings.Repeat("a", maxBody) + `"}`, 400, "invalid_json"},
		{"POST", "/admin/v1/keys/ci/revoke", ``, 409, "conflict"},
		{"POST", "/admin/v1/keys/nobody/revoke", ``, 404, "not_found"},
		{"GET", "/admin/v1/requests/req_x", ``, 404, "not_found"},
		{"GET", "/admin/v1/requests?limit=0", ``, 400, "invalid_limit"},
		{"GET", "/admin/v1/requests?limit=x", ``, 400, "invalid_limit"},
		{"GET", "/admin/v1/nothing", ``, 404, "route_not_found"},
	}
	for _, f := range facts {
		w := request(t, h, f.method, f.path, testToken, f.body)
		if w.Code != f.status || !strings.Contains(w.Body.String(), `"code":"`+f.code+`"`) {
			t.Errorf("%s %s %.40s: %d %s, want %d %s", f.method, f.path, f.body, w.Code, w.Body, f.status, f.code)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s may be cached", f.method, f.path)
		}
	}
	s.broken = errors.New("the disk of /secret/place is full")
	if w := request(t, h, "GET", "/admin/v1/keys", testToken, ""); w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("an internal error: %d %s", w.Code, w.Body)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/admin/v1/keys", strings.NewReader("{}"))
	r.Header.Set("Authorization", "Bearer "+testToken)
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 415 {
		t.Errorf("without a content type: %d", w.Code)
	}
}

func TestReadiness(t *testing.T) {
	o := options(&shelf{}, testToken)
	o.Ready = func() error { return errors.New("draining") }
	if w := request(t, Handler(o), "GET", "/ready", "", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "draining") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// The client and the API understand each other.
func TestClient(t *testing.T) {
	s := &shelf{records: []record.Record{{ID: "req_1", Status: 200, Time: time.Unix(5, 0).UTC()}}}
	server := httptest.NewServer(Handler(options(s, testToken)))
	defer server.Close()
	c := NewClient(strings.TrimPrefix(server.URL, "http://"), testToken)
	defer c.http.CloseIdleConnections()
	ctx := t.Context()
	if err := c.Running(ctx); err != nil {
		t.Fatal(err)
	}
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	key, secret, err := c.Issue(ctx, identity.Wish{Name: "a b", Team: "t", Models: []string{"x*"}, Expires: expires})
	if err != nil || !strings.HasPrefix(secret, identity.DefaultPrefix) || !key.Expires.Equal(expires) || key.Models[0] != "x*" {
		t.Fatalf("%+v, %q, %v", key, secret, err)
	}
	if _, _, err := c.Issue(ctx, identity.Wish{Name: "a b"}); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a second one of the name: %v", err)
	}
	if key, err = c.Revoke(ctx, "a b"); err != nil || key.State != abi.KeyRevoked {
		t.Errorf("revoked: %+v, %v", key, err)
	}
	if _, err := c.Revoke(ctx, "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoking nobody: %v", err)
	}
	if keys, err := c.Keys(ctx); err != nil || len(keys) != 1 || keys[0].State != abi.KeyRevoked {
		t.Errorf("keys: %+v, %v", keys, err)
	}
	if r, err := c.Find(ctx, "req_1"); err != nil || r.Status != 200 {
		t.Errorf("record: %+v, %v", r, err)
	}
	if _, err := c.Find(ctx, "req_2"); !errors.Is(err, ErrNotFound) {
		t.Errorf("no record: %v", err)
	}
	if all, err := c.Recent(ctx, 5, ""); err != nil || len(all) != 1 {
		t.Errorf("records: %+v, %v", all, err)
	}
	if _, err := NewClient(strings.TrimPrefix(server.URL, "http://"), "another").Keys(ctx); !errors.Is(err, ErrToken) {
		t.Errorf("another gateway's token: %v", err)
	}
	server.Close()
	if err := c.Running(ctx); !errors.Is(err, ErrNotRunning) {
		t.Errorf("nobody listens: %v", err)
	}
}
