package gateway

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net"
	"sync/atomic"

	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/gateway/upstream"
	"github.com/sallyport-dev/sallyport/health"
)

// Snapshot is one version of everything that decides about an exchange. It is immutable; exchanges hold it while
// they are under way.
type Snapshot struct {
	Config     *config.Snapshot
	Policies   Policies
	Identities Identities

	targets map[*config.Provider]*target
	handles map[*config.Chain][]*health.Step    // by the index of the chain's steps
	models  [formats.NumFormats][]formats.Model // what the model lists choose from, by name
	close   func()
	holds   atomic.Int64
}

// NewSnapshot joins the parts of a configuration. tracker knows how the providers do, whatever the configuration.
// previous, which may be nil, lends its connections to providers that did not move. onClose, which may be nil, is called when the snapshot has been swapped out and its last
// exchange is over.
func NewSnapshot(
	c *config.Snapshot, p Policies, ids Identities, tracker *health.Tracker, previous *Snapshot, onClose func(),
) *Snapshot {
	s := &Snapshot{
		Config: c, Policies: p, Identities: ids, close: onClose,
		targets: map[*config.Provider]*target{}, handles: map[*config.Chain][]*health.Step{},
	}
	for _, provider := range c.Providers {
		s.targets[provider] = newTarget(provider, previous)
	}
	for _, name := range c.Names {
		chain := c.Chains[name]
		for i := range chain.Steps {
			s.handles[chain] = append(s.handles[chain], tracker.Step(HealthTarget(chain, &chain.Steps[i])))
		}
		s.models[chain.Format] = append(s.models[chain.Format], formats.Model{
			ID: name, Provider: chain.Steps[0].Provider.Name, Context: chain.Context,
		})
	}
	s.holds.Store(1)
	return s
}

// HealthTarget is what the health of a step is kept by. A credential's id is the start of its SHA-256.
func HealthTarget(chain *config.Chain, step *config.Step) health.Target {
	t := health.Target{
		Provider: step.Provider.Name, Address: step.Provider.Host, Model: step.Model,
		Concurrent: step.Concurrent, Chain: chain.Name, Alias: step.Alias,
	}
	for _, secret := range step.Provider.Credentials {
		digest := sha256.Sum256([]byte(secret))
		t.Credentials = append(t.Credentials, hex.EncodeToString(digest[:6]))
	}
	if t.Credentials == nil {
		t.Credentials = []string{""}
	}
	return t
}

// hold returns the current snapshot with a hold on it; nil after the shutdown.
func (g *Gateway) hold() *Snapshot {
	for {
		s := g.current.Load()
		n := s.holds.Load()
		if n > 0 && s.holds.CompareAndSwap(n, n+1) {
			return s
		}
		if n == 0 && g.current.Load() == s { // nobody swapped it out, and yet it is given up
			return nil
		}
	}
}

// release gives up one hold; with the last one the snapshot is closed.
func (s *Snapshot) release() {
	if s.holds.Add(-1) == 0 && s.close != nil {
		s.close()
	}
}

// target is a provider as the request path needs it: its connections, and the header lines that never change.
type target struct {
	pool    *upstream.Pool
	address address
	lines   [][]byte // by credential: Host, credential, extra headers, Accept-Encoding; each with its line end
	names   []string
}

// address is what decides whether connections can be lent to another snapshot. It has the provider's name, because two
// providers of one host have as many connections each after a reload as before it.
type address struct {
	name             string
	host, serverName string
	ca               string
	allowPrivate     bool
	maxConnections   int
}

func newTarget(p *config.Provider, previous *Snapshot) *target {
	t := &target{address: address{
		name: p.Name, host: p.Host, ca: p.CA, allowPrivate: p.AllowPrivate, maxConnections: p.MaxConnections,
	}}
	if p.TLS {
		t.address.serverName, _, _ = net.SplitHostPort(p.Host)
	}
	t.pool = previous.lend(t.address)
	if t.pool == nil {
		t.pool = newPool(&t.address)
	}
	t.names = headerNames(p)
	if len(p.Credentials) == 0 {
		t.lines = [][]byte{headerLines(p, "")}
	}
	for _, credential := range p.Credentials {
		t.lines = append(t.lines, headerLines(p, credential))
	}
	return t
}

// headerNames are the names of the headers that the provider's own lines set.
func headerNames(p *config.Provider) []string {
	names := []string{"Host", "Accept-Encoding", p.AuthHeader}
	for _, h := range p.Headers {
		names = append(names, h.Name)
	}
	return names
}

// headerLines are the header lines of a provider under one of its credentials.
func headerLines(p *config.Provider, credential string) []byte {
	lines := appendLine(nil, "Host", p.HostHeader)
	if credential != "" {
		if p.AuthHeader == authorization {
			credential = "Bearer " + credential
		}
		lines = appendLine(lines, p.AuthHeader, credential)
	}
	for _, h := range p.Headers {
		lines = appendLine(lines, h.Name, h.Value)
	}
	// Usage has to be read from the answer as it passes, so it must come as it is.
	return appendLine(lines, "Accept-Encoding", "identity")
}

// newPool makes the connections to an address.
func newPool(a *address) *upstream.Pool {
	o := upstream.Options{
		Addr: a.host, ServerName: a.serverName, AllowPrivate: a.allowPrivate, MaxConns: a.maxConnections,
	}
	if a.ca != "" {
		o.RootCAs = x509.NewCertPool()
		o.RootCAs.AppendCertsFromPEM([]byte(a.ca)) // config has checked it; what it would not take is not trusted
	}
	return upstream.NewPool(o)
}

// authorization is the header whose credential is prefixed with "Bearer ".
const authorization = "Authorization"

func appendLine(dst []byte, name, value string) []byte {
	return append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
}

// lend finds the connections to an address. A nil snapshot has none.
func (s *Snapshot) lend(a address) *upstream.Pool {
	if s == nil {
		return nil
	}
	for _, t := range s.targets {
		if t.address == a {
			return t.pool
		}
	}
	return nil
}
