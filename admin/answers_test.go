package admin

import (
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/record"
)

// Every route is asked for something that it grants, in the order of a life; request compares each answer with the
// description.
func TestEveryRouteAnswers(t *testing.T) {
	s := testBooks(t)
	s.records = []record.Record{{ID: "req_1", Status: 200}}
	h := Handler(options(s, testToken))
	const terms = `"models":["coding","x*"],"labels":{"env":"prod"},"limits":{"rpm":60,"max_output_tokens":100},` +
		`"budgets":[{"usd":"5","per":"day"},{"usd":"50.5","per":"month","timezone":"Europe/Berlin"}]`
	facts := []struct {
		method, path, body string
		status             int
		want               string // in the answer
	}{
		{"GET", "/health", "", 200, `"ok"`},
		{"GET", "/ready", "", 200, `"ready"`},
		{"GET", "/metrics", "", 200, "ai_gateway_requests_in_progress"},
		{"GET", "/admin/v1/openapi.json", "", 200, `"openapi"`},
		{"POST", "/admin/v1/teams", `{"name":"core","parent":"research",` + terms + `}`, 201, `"usd":"50.50"`},
		{"GET", "/admin/v1/teams", "", 200, `"name":"core"`},
		{"GET", "/admin/v1/teams?limit=1", "", 200, `"next":"all"`},
		{"GET", "/admin/v1/teams?limit=1&after=core", "", 200, `"name":"research"`},
		{"GET", "/admin/v1/teams/core", "", 200, `"source":"stored"`},
		{"GET", "/admin/v1/teams/research", "", 200, `"source":"file"`},
		{"PATCH", "/admin/v1/teams/core", `{"parent":null,"limits":{"tpm":5,"rpm":null},"labels":null}`, 200, `"limits":{"max_output_tokens":100,"tpm":5}`},
		{"GET", "/admin/v1/teams/core/usage", "", 200, `"account":"team/core","per":"day","timezone":"UTC","limit_nano_usd":5000000000,"spent_nano_usd":1500000000,"reserved_nano_usd":250000000,"left_nano_usd":3250000000`},
		{"POST", "/admin/v1/teams/core/disable", "", 200, `"state":"disabled"`},
		{"POST", "/admin/v1/teams/core/enable", "", 200, `"state":"active"`},
		{"POST", "/admin/v1/teams/core/revoke", "", 200, `"state":"revoked"`},
		{"POST", "/admin/v1/keys", `{"name":"laptop","team":"research","prefix":"sk-","default_model":"coding","expires":"2100-01-01T00:00:00Z",` + terms + `}`, 201, `"key":"sk-`},
		{"GET", "/admin/v1/keys?team=research&limit=1", "", 200, `"next":"key_`},
		{"GET", "/admin/v1/keys?after=zzz", "", 200, `{"keys":[]}`},
		{"GET", "/admin/v1/keys/laptop", "", 200, `"hint"`},
		{"PATCH", "/admin/v1/keys/laptop", `{"models":null,"expires":null,"budgets":[{"usd":"0","per":"total"}]}`, 200, `"budgets":[{"usd":"0.00","per":"total","timezone":"UTC"}]`},
		{"GET", "/admin/v1/keys/laptop/usage", "", 200, `"resets"`},
		{"POST", "/admin/v1/keys/laptop/rotate", `{"grace":"0s"}`, 200, `"rotated"`},
		{"POST", "/admin/v1/keys/laptop/rotate", ``, 200, `"grace_ends"`},
		{"POST", "/admin/v1/keys/laptop/disable", "", 200, `"state":"disabled"`},
		{"POST", "/admin/v1/keys/laptop/enable", "", 200, `"state":"active"`},
		{"POST", "/admin/v1/keys/laptop/revoke", "", 200, `"state":"revoked"`},
		{"GET", "/admin/v1/usage?by=day,key,team,model&from=2026-11-01&to=2026-11-30", "", 200, `"attempts":3,"usage":{"input":7,"output":8},"cost_nano_usd":20`},
		{"GET", "/admin/v1/usage?key=nobody", "", 200, `{"usage":[]}`},
		{"GET", "/admin/v1/ledger/export", "", 200, `"request_id":"req_2"`},
		{"GET", "/admin/v1/ledger/export?format=csv&from=2026-11-21T00:00:00Z", "", 200, "usage_input"},
		{"POST", "/admin/v1/ledger/verify", "", 200, `"ok":true`},
		{"GET", "/admin/v1/backup", "", 200, "a backup"},
		{"GET", "/admin/v1/requests?limit=5", "", 200, `"req_1"`},
		{"GET", "/admin/v1/requests/req_1", "", 200, `"req_1"`},
		{"GET", "/admin/v1/policies", "", 200, `"authenticate"`},
		{"GET", "/admin/v1/chains", "", 200, `"latency_ms":80`},
		{"POST", "/admin/v1/providers/a%2Fb/drain", `{"model":"x/y"}`, 200, `{"chains":[{"name":"coding"`},
		{"POST", "/admin/v1/providers/a%2Fb/restore", "", 200, `{"chains":[{"name":"coding"`},
		{"GET", "/debug/pprof/", "", 200, "goroutine"},
		{"GET", "/debug/pprof/symbol", "", 200, "num_symbols"},
		{"GET", "/debug/pprof/cmdline", "", 200, "test"},
	}
	asked := map[string]bool{"GET /debug/pprof/profile": true, "GET /debug/pprof/trace": true} // these take their time
	for _, f := range facts {
		w := request(t, h, f.method, f.path, testToken, f.body)
		if w.Code != f.status || !strings.Contains(w.Body.String(), f.want) {
			t.Errorf("%s %s: %d %s, want %d and %s", f.method, f.path, w.Code, w.Body, f.status, f.want)
		}
		asked[w.Header().Get("X-Test-Pattern")] = true
	}
	for _, r := range (&api{options(s, testToken)}).routes() {
		if !asked[r.pattern] {
			t.Errorf("%s was not asked", r.pattern)
		}
	}
}

// Nobody may keep a secret or a backup in a cache.
func TestNothingIsCached(t *testing.T) {
	h := Handler(options(testBooks(t), testToken))
	for _, path := range []string{"/admin/v1/keys", "/admin/v1/backup", "/admin/v1/ledger/export", "/admin/v1/usage"} {
		if w := request(t, h, "GET", path, testToken, ""); w.Code != 200 || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, Cache-Control %q", path, w.Code, w.Header().Get("Cache-Control"))
		}
	}
}
