package gateway

import (
	"context"
	"sync"
	"time"

	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/gateway/upstream"
	"github.com/sallyport-dev/sallyport/health"
)

// probeLook is how often the providers are looked at for one that is due. The shortest interval is not shorter.
const probeLook = time.Second

// Probe asks providers that are out whether they are back, as their configuration says, until ctx is done. Where it
// says nothing, the next request finds out. A provider that is in health is left alone: it is asked often enough.
func (g *Gateway) Probe(ctx context.Context) error {
	tick := time.NewTicker(probeLook)
	defer tick.Stop()
	asked := map[string]time.Time{} // by provider
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			g.probeDue(ctx, now, asked)
		}
	}
}

// probeDue asks every provider whose time has come about each of its models that are out. With ctx that ends.
func (g *Gateway) probeDue(ctx context.Context, now time.Time, asked map[string]time.Time) {
	s := g.hold()
	if s == nil {
		return
	}
	defer s.release()
	var all sync.WaitGroup
	defer all.Wait()
	for _, p := range s.Config.Providers {
		if p.Probe.Every == 0 || now.Sub(asked[p.Name]) < p.Probe.Every {
			continue
		}
		asked[p.Name] = now
		for _, step := range s.outOf(p) {
			all.Go(func() { s.probe(ctx, p, step) })
		}
	}
}

// outOf are the aliases' steps at a provider whose circuit is open.
func (s *Snapshot) outOf(p *config.Provider) (out []*health.Step) {
	for _, name := range s.Config.Names {
		chain := s.Config.Chains[name]
		if !chain.Alias || chain.Steps[0].Provider != p {
			continue
		}
		if state := s.handles[chain][0].View().State; state == health.Open || state == health.Probing {
			out = append(out, s.handles[chain][0])
		}
	}
	return out
}

// probe makes one request, and tells the tracker what came of it. Any answer but a failure of the provider's own says
// that it is there; what a model costs is not spent for that.
func (s *Snapshot) probe(ctx context.Context, p *config.Provider, step *health.Step) {
	attempt, ok := step.Begin(health.Begin{Force: true})
	if !ok {
		return
	}
	t := s.targets[p]
	head := append([]byte("GET "+p.Path+p.Probe.Path+" HTTP/1.1\r\n"), t.lines[attempt.Credential]...)
	limits := s.patienceOf(p)
	request := upstream.Request{Head: append(head, "\r\n"...), Timeouts: limits}
	var trip upstream.Trip
	defer context.AfterFunc(ctx, trip.Cancel)()
	err := trip.Send(t.pool, &request)
	v := verdict{}
	if err != nil {
		v = notAnswered(err)
	} else {
		v.class = classOfStatus(trip.Header.StatusCode())
	}
	trip.Close()
	attempt.End(health.Result{Outcome: v.outcome()})
}

// patienceOf is how long a provider is waited for by a probe: as by the first of its aliases.
func (s *Snapshot) patienceOf(p *config.Provider) upstream.Timeouts {
	for _, name := range s.Config.Names {
		if chain := s.Config.Chains[name]; chain.Steps[0].Provider == p {
			t := &chain.Steps[0].Patience.Streamed
			return upstream.Timeouts{
				Connect: t.Connect, TLS: t.TLS, Write: t.FirstByte, FirstByte: t.FirstByte, Gap: t.Gap,
				Total: t.Connect + t.TLS + t.FirstByte,
			}
		}
	}
	return upstream.Timeouts{}
}
