package gateway

import (
	"net"
	"sync/atomic"

	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/gateway/upstream"
)

// Snapshot is one version of everything that decides about an exchange. It is immutable; exchanges hold it while
// they are under way.
type Snapshot struct {
	Config     *config.Snapshot
	Policies   Policies
	Identities Identities

	targets map[*config.Provider]*target
	models  [formats.NumFormats][]formats.Model // what the model lists choose from, by name
	close   func()
	holds   atomic.Int64
}

// NewSnapshot joins the parts of a configuration. previous, which may be nil, lends its connections to providers
// that did not move. onClose, which may be nil, is called when the snapshot has been swapped out and its last
// exchange is over.
func NewSnapshot(c *config.Snapshot, p Policies, ids Identities, previous *Snapshot, onClose func()) *Snapshot {
	s := &Snapshot{Config: c, Policies: p, Identities: ids, close: onClose, targets: map[*config.Provider]*target{}}
	for _, provider := range c.Providers {
		s.targets[provider] = newTarget(provider, previous)
	}
	for _, name := range c.Names {
		chain := c.Chains[name]
		s.models[chain.Format] = append(s.models[chain.Format], formats.Model{
			ID: name, Provider: chain.Steps[0].Provider.Name, Context: chain.Context,
		})
	}
	s.holds.Store(1)
	return s
}

// hold returns the current snapshot with a hold on it.
func (g *Gateway) hold() *Snapshot {
	for {
		s := g.current.Load()
		if n := s.holds.Load(); n > 0 && s.holds.CompareAndSwap(n, n+1) {
			return s
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
	lines   []byte // Host, credential, extra headers, Accept-Encoding; each with its line end
	names   []string
}

// address is what decides whether connections can be lent to another snapshot.
type address struct {
	host, serverName string
}

func newTarget(p *config.Provider, previous *Snapshot) *target {
	t := &target{address: address{host: p.Host}}
	if p.TLS {
		t.address.serverName, _, _ = net.SplitHostPort(p.Host)
	}
	t.pool = previous.lend(t.address)
	if t.pool == nil {
		t.pool = upstream.NewPool(t.address.host, t.address.serverName)
	}
	t.line("Host", p.HostHeader)
	if p.Credential != "" {
		value := p.Credential
		if p.AuthHeader == authorization {
			value = "Bearer " + value
		}
		t.line(p.AuthHeader, value)
	}
	for _, h := range p.Headers {
		t.line(h.Name, h.Value)
	}
	// Usage has to be read from the answer as it passes, so it must come as it is.
	t.line("Accept-Encoding", "identity")
	return t
}

// authorization is the header whose credential is prefixed with "Bearer ".
const authorization = "Authorization"

// line adds one header line.
func (t *target) line(name, value string) {
	t.lines = append(t.lines, name...)
	t.lines = append(t.lines, ": "...)
	t.lines = append(t.lines, value...)
	t.lines = append(t.lines, "\r\n"...)
	t.names = append(t.names, name)
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
