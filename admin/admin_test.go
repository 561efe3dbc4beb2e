package admin

import (
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
)

const testToken = "test-admin-token"

func options(s *shelf, token string) Options {
	now := time.Now()
	return Options{
		Token: token, Log: slog.New(slog.DiscardHandler), Metrics: testMetrics(&now), Records: s,
		Keys: s, Teams: s, Books: NewBooks(s, s, s), Backups: s, Chains: s,
		Policies: func() []Policy { return []Policy{{Name: "default", Hooks: []string{"authenticate"}}} },
		Ready:    func() error { return nil }, Now: time.Now,
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
	conform(t, r, body, w)
	w.Header().Set("X-Test-Pattern", r.Pattern)
	return w
}

// Every route is enumerated: only the listed ones are open, and what is guarded is guarded against everything but
// the token.
func TestEveryRouteStatesItsAccess(t *testing.T) {
	openRoutes := map[string]bool{
		"GET /health": true, "GET /ready": true, "GET /metrics": true, "GET /admin/v1/openapi.json": true,
	}
	h, off := Handler(options(&shelf{}, testToken)), Handler(options(&shelf{}, ""))
	for _, r := range (&api{options(&shelf{}, testToken)}).routes() {
		method, path, _ := strings.Cut(r.pattern, " ")
		path = strings.NewReplacer("{key}", "k", "{team}", "t", "{id}", "r", "{provider}", "p").Replace(path)
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
	s := &shelf{
		keys:  []identity.Key{{ID: identity.FileKeyID("ci"), Name: "ci"}, {ID: "key_1", Name: "gone", State: abi.KeyRevoked}},
		teams: []identity.Team{{Team: abi.Team{Name: "declared"}}, {Team: abi.Team{Name: "made"}, Created: time.Unix(7, 0)}},
	}
	h := Handler(options(s, testToken))
	facts := []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"POST", "/admin/v1/keys", `{"name":"a","extra":1}`, 400, "invalid_json"},
		{"POST", "/admin/v1/keys", `{"name":"a"} {}`, 400, "invalid_json"},
		{"POST", "/admin/v1/keys", `{"name":"a"}} {"name":"b"}`, 400, "invalid_json"},
		{"POST", "/admin/v1/keys", `{"name":"a"}]`, 400, "invalid_json"},
		{"POST", "/admin/v1/keys", `{"name":""}`, 400, "invalid_key"},
		{"POST", "/admin/v1/keys", `{"name":"a","prefix":"!"}`, 400, "invalid_key"},
		{"POST", "/admin/v1/keys", `{"name":"ci"}`, 409, "conflict"},
		{"POST", "/admin/v1/keys", `{"name":"` + strings.Repeat("a", maxBody) + `"}`, 400, "invalid_json"},
		{"POST", "/admin/v1/keys", `{"name":"a","limits":{"rpm":0}}`, 400, "invalid_key"},
		{"POST", "/admin/v1/keys", `{"name":"a","limits":{"rpn":1}}`, 400, "invalid_key"},
		{"POST", "/admin/v1/keys", `{"name":"a","limits":{"rpm":1.5}}`, 400, "invalid_json"},
		{"POST", "/admin/v1/keys", `{"name":"a","limits":{"rpm":1000000000000001}}`, 400, "invalid_key"},
		{"POST", "/admin/v1/keys", `{"name":"a","budgets":[{"usd":"0.0000000001","per":"day"}]}`, 400, "invalid_key"},
		{"POST", "/admin/v1/keys", `{"name":"a","budgets":[{"usd":"-1","per":"day"}]}`, 400, "invalid_key"},
		{"POST", "/admin/v1/keys", `{"name":"a","budgets":[{"usd":5,"per":"day"}]}`, 400, "invalid_json"},
		{"POST", "/admin/v1/keys", `{"name":"a","budgets":[{"usd":"5","per":"year"}]}`, 400, "invalid_key"},
		{"POST", "/admin/v1/keys", `{"name":"a","budgets":[{"usd":"5","per":"day","timezone":"Local"}]}`, 400, "invalid_key"},
		{"POST", "/admin/v1/keys", `{"name":"a","budgets":[{"usd":"5","per":"day"},{"usd":"6","per":"day"}]}`, 400, "invalid_key"},
		{"POST", "/admin/v1/keys", `{"name":"a","expires":"2020-01-01T00:00:00Z"}`, 400, "invalid_key"},
		{"GET", "/admin/v1/keys/nobody", ``, 404, "not_found"},
		{"GET", "/admin/v1/keys/nobody/usage", ``, 404, "not_found"},
		{"GET", "/admin/v1/keys?limit=0", ``, 400, "invalid_limit"},
		{"GET", "/admin/v1/keys?limit=1001", ``, 400, "invalid_limit"},
		{"PATCH", "/admin/v1/keys/gone", `{"name":"b"}`, 400, "invalid_json"},
		{"PATCH", "/admin/v1/keys/gone", `{"budgets":[{"usd":"5","per":"day","timezon":"UTC"}]}`, 400, "invalid_json"},
		{"PATCH", "/admin/v1/keys/gone", `{"team":"b"}`, 409, "conflict"},
		{"PATCH", "/admin/v1/keys/ci", `{"team":null}`, 409, "conflict"},
		{"PATCH", "/admin/v1/keys/nobody", `{}`, 404, "not_found"},
		{"POST", "/admin/v1/keys/gone/enable", ``, 409, "conflict"},
		{"POST", "/admin/v1/keys/ci/disable", ``, 409, "conflict"},
		{"POST", "/admin/v1/keys/ci/revoke", ``, 409, "conflict"},
		{"POST", "/admin/v1/keys/nobody/revoke", ``, 404, "not_found"},
		{"POST", "/admin/v1/keys/ci/rotate", `{"grace":"1h"}`, 409, "conflict"},
		{"POST", "/admin/v1/keys/ci/rotate", `{"grace":"a day"}`, 400, "invalid_key"},
		{"POST", "/admin/v1/keys/nobody/rotate", ``, 404, "not_found"},
		{"POST", "/admin/v1/teams", `{"name":" "}`, 400, "invalid_team"},
		{"POST", "/admin/v1/teams", `{"name":"made"}`, 409, "conflict"},
		{"POST", "/admin/v1/teams", `{"name":"x","budgets":[{"usd":"five","per":"day"}]}`, 400, "invalid_team"},
		{"GET", "/admin/v1/teams/nobody", ``, 404, "not_found"},
		{"GET", "/admin/v1/teams/nobody/usage", ``, 404, "not_found"},
		{"GET", "/admin/v1/teams?limit=x", ``, 400, "invalid_limit"},
		{"PATCH", "/admin/v1/teams/declared", `{"parent":"made"}`, 409, "conflict"},
		{"PATCH", "/admin/v1/teams/made", `{"limits":{"rpm":-1}}`, 400, "invalid_team"},
		{"POST", "/admin/v1/teams/declared/revoke", ``, 409, "conflict"},
		{"POST", "/admin/v1/teams/nobody/enable", ``, 404, "not_found"},
		{"GET", "/admin/v1/usage?by=hour", ``, 400, "invalid_query"},
		{"GET", "/admin/v1/usage?from=yesterday", ``, 400, "invalid_query"},
		{"GET", "/admin/v1/ledger/export?format=xml", ``, 400, "invalid_query"},
		{"GET", "/admin/v1/ledger/export?from=noon", ``, 400, "invalid_query"},
		{"GET", "/admin/v1/ledger/export?to=2026-13-01", ``, 400, "invalid_query"},
		{"GET", "/admin/v1/requests/req_x", ``, 404, "not_found"},
		{"GET", "/admin/v1/requests?limit=0", ``, 400, "invalid_limit"},
		{"GET", "/admin/v1/requests?limit=x", ``, 400, "invalid_limit"},
		{"GET", "/admin/v1/nothing", ``, 404, "route_not_found"},
	}
	for _, f := range facts {
		w := request(t, h, f.method, f.path, testToken, f.body)
		if w.Code != f.status || !strings.Contains(w.Body.String(), `"code":"`+f.code+`"`) {
			t.Errorf("%s %s %.80s: %d %s, want %d %s", f.method, f.path, f.body, w.Code, w.Body, f.status, f.code)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s may be cached", f.method, f.path)
		}
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/admin/v1/keys", strings.NewReader("{}"))
	r.Header.Set("Authorization", "Bearer "+testToken)
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 415 {
		t.Errorf("without a content type: %d", w.Code)
	}
	conform(t, r, "{}", w)
}

// What fails inside is told to the log alone; that nothing can be stored is told to the operator, too.
func TestInternalErrors(t *testing.T) {
	s := &shelf{keys: []identity.Key{{ID: "key_1", Name: "one"}}, broken: errors.New("the disk of /secret/place is broken")}
	h := Handler(options(s, testToken))
	asked := []struct{ method, path, body string }{
		{"GET", "/admin/v1/keys", ""}, {"GET", "/admin/v1/keys/one", ""}, {"PATCH", "/admin/v1/keys/one", "{}"},
		{"GET", "/admin/v1/teams", ""}, {"GET", "/admin/v1/usage", ""}, {"GET", "/admin/v1/backup", ""},
		{"GET", "/admin/v1/ledger/export", ""}, {"POST", "/admin/v1/ledger/verify", ""},
	}
	for _, a := range asked {
		if w := request(t, h, a.method, a.path, testToken, a.body); w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s %s: %d %s", a.method, a.path, w.Code, w.Body)
		}
	}
	s.broken = fmt.Errorf("%w: too little free space", ErrUnavailable)
	if w := request(t, h, "PATCH", "/admin/v1/keys/one", testToken, "{}"); w.Code != 503 || !strings.Contains(w.Body.String(), "free space") {
		t.Errorf("a full disk: %d %s", w.Code, w.Body)
	}
}

func TestReadiness(t *testing.T) {
	o := options(&shelf{}, testToken)
	o.Ready = func() error { return errors.New("draining") }
	if w := request(t, Handler(o), "GET", "/ready", "", ""); w.Code != 503 || !strings.Contains(w.Body.String(), "draining") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
