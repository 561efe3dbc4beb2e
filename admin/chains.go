package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Chains is the chains of the configuration in force, and how their steps do. It is served by the API, and answered by
// its client.
type Chains interface {
	// Chains lists the chains and, behind them, the aliases, each in the order of names.
	Chains(ctx context.Context) ([]Chain, error)
	// Drain takes a provider, or one model of it, out until it is restored or the gateway ends: no attempt begins
	// there, and those under way go on. model "" is all of the provider's. An unknown one is ErrNotFound.
	Drain(ctx context.Context, provider, model string) error
	// Restore ends that, and lets in again what failures keep out. One model of a provider of which all is drained is
	// ErrConflict.
	Restore(ctx context.Context, provider, model string) error
}

// Chain is what a name resolves to.
type Chain struct {
	Name     string      `json:"name"`
	Alias    bool        `json:"alias,omitempty"` // declared under models: a chain of one step
	Strategy string      `json:"strategy"`
	Steps    []ChainStep `json:"steps"`
}

// ChainStep is one step of a chain.
type ChainStep struct {
	Model         string       `json:"model"` // the alias
	Provider      string       `json:"provider"`
	ProviderModel string       `json:"provider_model"`
	Priority      int64        `json:"priority"`
	Weight        int64        `json:"weight"`
	Concurrent    int          `json:"concurrent,omitempty"` // attempts at once; absent: no limit
	State         string       `json:"state"`                // of the best of its credentials, or full
	Available     bool         `json:"available"`            // an attempt may begin now
	Credentials   []Credential `json:"credentials"`
}

// Credential is how a provider and a model do with one credential, whatever chain asks.
type Credential struct {
	Number      int        `json:"number"` // in the order of the file, from 1; 0 where the provider has none
	State       string     `json:"state"`
	Since       time.Time  `json:"since"`
	Until       *time.Time `json:"until,omitempty"`      // when it may be asked again, if that is known
	LatencyMS   int64      `json:"latency_ms,omitempty"` // to the first content; absent: unknown
	Active      int        `json:"active"`               // attempts under way
	Requests    uint64     `json:"requests"`             // of the last 30 seconds
	Failures    uint64     `json:"failures"`             // of these
	Consecutive int        `json:"consecutive_failures"` // the latest ones
	LastError   string     `json:"last_error,omitempty"` // absent: no attempt failed yet
}

// chainList is the answer of all routes of chains.
type chainList struct {
	Chains []Chain `json:"chains"`
}

// target is what is drained or restored.
type target struct {
	Model string `json:"model,omitempty"` // as the provider names it; "": all of the provider's
}

func (a *api) chainRoutes() []route {
	return []route{
		{"GET /admin/v1/chains", guarded, a.listChains},
		{"POST /admin/v1/providers/{provider}/drain", guarded, a.drainProvider},
		{"POST /admin/v1/providers/{provider}/restore", guarded, a.restoreProvider},
	}
}

func (a *api) listChains(w http.ResponseWriter, r *http.Request) { a.replyChains(w, r, "") }

func (a *api) drainProvider(w http.ResponseWriter, r *http.Request) {
	a.byHand(w, r, "drain", a.Chains.Drain)
}

func (a *api) restoreProvider(w http.ResponseWriter, r *http.Request) {
	a.byHand(w, r, "restore", a.Chains.Restore)
}

// byHand changes what the path and the body name, and answers how the chains stand then that ask it.
func (a *api) byHand(w http.ResponseWriter, r *http.Request, what string, do func(context.Context, string, string) error) {
	var body target
	if r.ContentLength != 0 && !decode(w, r, &body) {
		return
	}
	provider := r.PathValue("provider")
	if err := do(r.Context(), provider, body.Model); err != nil {
		a.failWith(w, r, err)
		return
	}
	a.Log.Info("provider changed by hand", "change", what, "provider", provider, "model", body.Model)
	a.replyChains(w, r, provider)
}

// replyChains answers with the chains that ask this provider; "" is all chains.
func (a *api) replyChains(w http.ResponseWriter, r *http.Request, provider string) {
	chains, err := a.Chains.Chains(r.Context())
	if err != nil {
		a.failWith(w, r, err)
		return
	}
	list := chainList{Chains: []Chain{}}
	for i := range chains {
		if provider == "" || chains[i].asks(provider) {
			list.Chains = append(list.Chains, chains[i])
		}
	}
	reply(w, http.StatusOK, list)
}

func (c *Chain) asks(provider string) bool {
	for i := range c.Steps {
		if c.Steps[i].Provider == provider {
			return true
		}
	}
	return false
}

// Chains implements Chains.
func (c *Client) Chains(ctx context.Context) ([]Chain, error) {
	var list chainList
	err := c.do(ctx, http.MethodGet, "/admin/v1/chains", nil, &list)
	return list.Chains, err
}

// Drain implements Chains.
func (c *Client) Drain(ctx context.Context, provider, model string) error {
	return c.do(ctx, http.MethodPost, providerPath(provider, "/drain"), target{model}, nil)
}

// Restore implements Chains.
func (c *Client) Restore(ctx context.Context, provider, model string) error {
	return c.do(ctx, http.MethodPost, providerPath(provider, "/restore"), target{model}, nil)
}

func providerPath(name, rest string) string {
	return "/admin/v1/providers/" + url.PathEscape(name) + rest
}

var _ Chains = (*Client)(nil)
