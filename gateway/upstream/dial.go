package upstream

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

// Resolver finds the addresses of a name, as net.Resolver does.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const (
	// maxAddresses bounds how many addresses of a name are tried for one connection.
	maxAddresses = 8
	// dialStagger is how long an address is waited for before the next one is tried beside it (RFC 8305).
	dialStagger = 250 * time.Millisecond
)

// dialer opens sockets to one provider. It resolves the name itself, and dials exactly the addresses that it has
// checked: a name that means something else a moment later cannot lead anywhere else.
type dialer struct {
	host, port   string
	allowPrivate bool
	resolver     Resolver
	connect      func(context.Context, netip.AddrPort) (net.Conn, error)
}

func newDialer(o *Options) dialer {
	d := dialer{allowPrivate: o.AllowPrivate, resolver: o.Resolver, connect: connectTCP}
	d.host, d.port, _ = net.SplitHostPort(o.Addr)
	if d.resolver == nil {
		d.resolver = &net.Resolver{}
	}
	return d
}

func connectTCP(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialTCP(ctx, "tcp", netip.AddrPort{}, to)
	if err != nil {
		return nil, err // not c, which would be a net.Conn that is not nil
	}
	return c, nil
}

// dial opens a socket within ctx.
func (d *dialer) dial(ctx context.Context) (net.Conn, error) {
	addresses, err := d.addresses(ctx)
	if err != nil {
		return nil, err
	}
	if len(addresses) == 1 {
		return d.connect(ctx, addresses[0])
	}
	return d.race(ctx, addresses)
}

// addresses resolves the name and returns the addresses that may be dialled, the families in turn.
func (d *dialer) addresses(ctx context.Context) ([]netip.AddrPort, error) {
	port, err := strconv.ParseUint(d.port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("the address has no port: %w", err)
	}
	var found []netip.Addr
	if literal, err := netip.ParseAddr(d.host); err == nil {
		found = []netip.Addr{literal}
	} else if found, err = d.resolver.LookupNetIP(ctx, "ip", d.host); err != nil {
		return nil, fmt.Errorf("resolving: %w", err)
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("resolving: %s has no address", d.host)
	}
	var first, other []netip.AddrPort // of the family that the resolver prefers; of the other one
	for _, a := range found {
		a = a.Unmap()
		switch {
		case !d.allowPrivate && !isPublic(a):
		case a.Is4() == found[0].Unmap().Is4():
			first = append(first, netip.AddrPortFrom(a, uint16(port)))
		default:
			other = append(other, netip.AddrPortFrom(a, uint16(port)))
		}
	}
	if len(first)+len(other) == 0 {
		return nil, fmt.Errorf("%w: %s is %s; to allow it, set allow_private: true on the provider", ErrPrivate, d.host, found[0])
	}
	return inTurn(first, other), nil
}

// inTurn merges two lists, one of each at a time, and keeps the first few.
func inTurn(a, b []netip.AddrPort) []netip.AddrPort {
	var all []netip.AddrPort
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			all = append(all, a[i])
		}
		if i < len(b) {
			all = append(all, b[i])
		}
	}
	return all[:min(len(all), maxAddresses)]
}

// race tries the addresses one after another, the next one as soon as one has failed or keeps us waiting, and
// returns the first that connects. When it returns, all the others have ended.
func (d *dialer) race(ctx context.Context, addresses []netip.AddrPort) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	results := make(chan result, len(addresses))
	running := 0
	next := addresses
	start := func() {
		to := next[0]
		next = next[1:]
		running++
		go func() {
			c, err := d.connect(ctx, to)
			results <- result{c, err}
		}()
	}
	defer func() {
		cancel()
		for range running {
			if r := <-results; r.err == nil {
				_ = r.conn.Close()
			}
		}
	}()
	timer := time.NewTimer(dialStagger)
	defer timer.Stop()
	start()
	var failed error // the first failure: that of the address that the resolver prefers, as a rule
	for {
		select {
		case r := <-results:
			running--
			if r.err == nil {
				return r.conn, nil
			}
			if failed == nil {
				failed = r.err
			}
			if running == 0 && (len(next) == 0 || ctx.Err() != nil) {
				return nil, fmt.Errorf("none of %d addresses answers: %w", len(addresses), failed)
			}
		case <-timer.C:
		}
		if len(next) > 0 && ctx.Err() == nil {
			start()
			timer.Reset(dialStagger)
		}
	}
}

var _ Resolver = (*net.Resolver)(nil)
