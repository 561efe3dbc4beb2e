// Package admin is the operator's side of the gateway: metrics, readiness, and the admin API for keys, teams, money,
// records and chains, on a listener of its own. openapi.json describes the API. The package also holds the API's client,
// which the command line uses while a gateway is running.
//
// It declares the interfaces that it serves and imports neither gateway nor runtime nor state, and of ledger the types
// alone; cmd/sallyport joins them.
package admin

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/record"
)

// Errors of what this package serves. Implementations of its interfaces wrap them.
var (
	// ErrNotFound is a key, a team or a record that is not there.
	ErrNotFound = errors.New("not found")
	// ErrReadOnly is a change of something that the configuration file declares.
	ErrReadOnly = errors.New("declared in the configuration file: change it there")
	// ErrConflict is a change that what is there stands against.
	ErrConflict = errors.New("in conflict")
	// ErrUnavailable is that nothing can be stored now: a full disk, for instance.
	ErrUnavailable = errors.New("nothing can be stored now")
)

// Records is the request log.
type Records interface {
	// Find returns the record of one exchange.
	Find(ctx context.Context, id string) (record.Record, error)
	// Recent returns up to limit records, the newest first; before is the id that they have to be older than, "" for any.
	Recent(ctx context.Context, limit int, before string) ([]record.Record, error)
}

// Policy is what the API tells of a loaded policy.
type Policy struct {
	Name   string   `json:"name"`
	Digest string   `json:"digest"` // SHA-256 of the module
	Size   int      `json:"size_bytes"`
	Hooks  []string `json:"hooks"`
	Veto   bool     `json:"veto,omitempty"`
}

// Options are what the API serves.
type Options struct {
	Token    string // bearer token; "": everything that needs it answers 403
	Log      *slog.Logger
	Metrics  *Metrics
	Keys     Keys
	Teams    Teams
	Books    Books
	Backups  Backups
	Records  Records
	Chains   Chains
	Policies func() []Policy
	Ready    func() error     // nil error: ready for traffic
	Now      func() time.Time // default time.Now
}

// access says who may use a route.
type access uint8

const (
	guarded access = iota // with the admin token; the zero value, so that a forgotten one is not open
	open
)

// route is one endpoint. Every route states its access; a test enumerates them.
type route struct {
	pattern string
	access  access
	handler http.HandlerFunc
}

// api serves the routes.
type api struct{ Options }

// Handler returns the admin listener's handler.
func Handler(o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &api{o}
	mux := http.NewServeMux()
	for _, r := range a.routes() {
		h := r.handler
		if r.access != open {
			h = a.guard(h)
		}
		mux.HandleFunc(r.pattern, h)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fail(w, http.StatusNotFound, "route_not_found", "there is no such endpoint")
	})
	return mux
}

func (a *api) routes() []route {
	return slices.Concat(a.generalRoutes(), a.keyRoutes(), a.moneyRoutes(), a.chainRoutes())
}

func (a *api) generalRoutes() []route {
	return []route{
		{"GET /health", open, func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, status{"ok"}) }},
		{"GET /ready", open, a.ready},
		{"GET /metrics", open, promhttp.HandlerFor(a.Metrics.registry, promhttp.HandlerOpts{}).ServeHTTP},
		{"GET /admin/v1/openapi.json", open, describe},
		{"GET /admin/v1/requests", guarded, a.recentRecords},
		{"GET /admin/v1/requests/{id}", guarded, a.findRecord},
		{"GET /admin/v1/policies", guarded, a.listPolicies},
		{"GET /admin/v1/backup", guarded, a.backup},
		{"GET /debug/pprof/", guarded, pprof.Index},
		{"GET /debug/pprof/profile", guarded, pprof.Profile},
		{"GET /debug/pprof/trace", guarded, pprof.Trace},
		{"GET /debug/pprof/symbol", guarded, pprof.Symbol},
		{"GET /debug/pprof/cmdline", guarded, pprof.Cmdline},
	}
}

func (a *api) keyRoutes() []route {
	return []route{
		{"GET /admin/v1/keys", guarded, a.listKeys},
		{"POST /admin/v1/keys", guarded, a.issueKey},
		{"GET /admin/v1/keys/{key}", guarded, a.showKey},
		{"PATCH /admin/v1/keys/{key}", guarded, a.changeKey},
		{"POST /admin/v1/keys/{key}/rotate", guarded, a.rotateKey},
		{"POST /admin/v1/keys/{key}/disable", guarded, a.setKeyState(abi.KeyDisabled)},
		{"POST /admin/v1/keys/{key}/enable", guarded, a.setKeyState(abi.KeyActive)},
		{"POST /admin/v1/keys/{key}/revoke", guarded, a.setKeyState(abi.KeyRevoked)},
		{"GET /admin/v1/teams", guarded, a.listTeams},
		{"POST /admin/v1/teams", guarded, a.createTeam},
		{"GET /admin/v1/teams/{team}", guarded, a.showTeam},
		{"PATCH /admin/v1/teams/{team}", guarded, a.changeTeam},
		{"POST /admin/v1/teams/{team}/disable", guarded, a.setTeamState(abi.KeyDisabled)},
		{"POST /admin/v1/teams/{team}/enable", guarded, a.setTeamState(abi.KeyActive)},
		{"POST /admin/v1/teams/{team}/revoke", guarded, a.setTeamState(abi.KeyRevoked)},
	}
}

func (a *api) moneyRoutes() []route {
	return []route{
		{"GET /admin/v1/keys/{key}/usage", guarded, a.keyBalances},
		{"GET /admin/v1/teams/{team}/usage", guarded, a.teamBalances},
		{"GET /admin/v1/usage", guarded, a.usage},
		{"GET /admin/v1/ledger/export", guarded, a.exportLedger},
		{"POST /admin/v1/ledger/verify", guarded, a.verifyLedger},
	}
}

// guard lets a request pass that has the admin token.
func (a *api) guard(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if a.Token == "" {
			fail(w, http.StatusForbidden, "no_admin_token", "the admin API is off: set admin.token in the configuration")
			return
		}
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || subtle.ConstantTimeCompare([]byte(token), []byte(a.Token)) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			fail(w, http.StatusUnauthorized, "invalid_admin_token", "send the admin token as Authorization: Bearer")
			return
		}
		next(w, r)
	}
}

type status struct {
	Status string `json:"status"`
}

func (a *api) ready(w http.ResponseWriter, _ *http.Request) {
	if err := a.Ready(); err != nil {
		reply(w, http.StatusServiceUnavailable, status{err.Error()})
		return
	}
	reply(w, http.StatusOK, status{"ready"})
}

func (a *api) listPolicies(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, struct {
		Policies []Policy `json:"policies"`
	}{a.Policies()})
}

// reply writes a JSON answer. Nothing of this API may be kept by caches.
func reply(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client left; there is nobody to tell
}

// problem is the body of an error.
type problem struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func fail(w http.ResponseWriter, status int, code, message string) {
	var p problem
	p.Error.Code, p.Error.Message = code, message
	reply(w, status, p)
}

// failWith answers with what err means, and logs what it does not tell.
func (a *api) failWith(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, ErrNotFound):
		fail(w, http.StatusNotFound, "not_found", err.Error())
	case errors.Is(err, ErrReadOnly), errors.Is(err, ErrConflict), errors.Is(err, identity.ErrKeys):
		fail(w, http.StatusConflict, "conflict", err.Error())
	case errors.Is(err, ErrQuery):
		fail(w, http.StatusBadRequest, "invalid_query", err.Error())
	case errors.Is(err, identity.ErrWish), errors.Is(err, identity.ErrPrefix):
		fail(w, http.StatusBadRequest, invalidCode(r), err.Error())
	case errors.Is(err, ErrUnavailable):
		a.Log.Error("admin API", "route", r.Pattern, "error", err)
		fail(w, http.StatusServiceUnavailable, "storage_unavailable", err.Error())
	default:
		a.Log.Error("admin API", "route", r.Pattern, "error", err)
		fail(w, http.StatusInternalServerError, "internal_error", "the request failed; the log says why")
	}
}

// invalidCode names what was wished for and is impossible.
func invalidCode(r *http.Request) string {
	if strings.HasPrefix(r.URL.Path, "/admin/v1/teams") {
		return "invalid_team"
	}
	return "invalid_key"
}
