package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxRedirects is how often one request is sent on.
const maxRedirects = 5

// maxHeader bounds the header of an answer.
const maxHeader = 64 << 10

// guard carries the requests that belong to one registry. A registry chooses where we are sent, by redirects and token
// realms; the guard looks at every address before it is dialled, so that this is no way into a private network, and at
// every name again when it is looked up, so that a name that changes between checking and use is none either.
type guard struct {
	base    *http.Transport
	host    string // of the registry, host:port
	options HostOptions
	stall   time.Duration
	lookup  func(ctx context.Context, host string) ([]net.IP, error)
	dialer  func(ctx context.Context, network, address string) (net.Conn, error)
	near    atomic.Int32 // where the registry is, as a zone; 0 before it was dialled
	proxies sync.Map     // addresses of the proxies that the environment names
}

// zone says from where an address can be reached.
type zone int32

const (
	unknown zone = iota
	public
	private   // this organisation's network
	loopback  // this machine
	linkLocal // this wire: clouds serve the credentials of machines there
)

func (c *Client) newGuard(endpoint string, options HostOptions) (*guard, error) {
	roots, err := trusted(options.CAFile)
	if err != nil {
		return nil, err
	}
	g := &guard{options: options, stall: c.limits.Stall, lookup: c.lookup, dialer: c.dial}
	g.host = canonicalHost(endpoint, options.PlainHTTP)
	g.base = &http.Transport{
		Proxy: g.proxy, DialContext: g.dial, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true, MaxResponseHeaderBytes: maxHeader, TLSHandshakeTimeout: 10 * time.Second,
		ResponseHeaderTimeout: c.limits.Stall, IdleConnTimeout: 30 * time.Second, MaxIdleConnsPerHost: 2,
		DisableCompression: true, // what is transferred is what has the digest
	}
	return g, nil
}

// trusted are the system's authorities and those of a file.
func trusted(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil // the system's
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the certificates of the registry: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s has no certificate in PEM", file)
	}
	return roots, nil
}

func (g *guard) proxy(r *http.Request) (*url.URL, error) {
	p, err := http.ProxyFromEnvironment(r)
	if err != nil || p == nil {
		return p, err
	}
	g.proxies.Store(canonicalHost(p.Host, p.Scheme == "http"), true)
	if hostOf(r.URL) == g.host {
		return p, nil
	}
	// The proxy looks the name up, so only an address that is written out can be judged here.
	if addr, err := netip.ParseAddr(r.URL.Hostname()); err == nil {
		return p, g.allow(r.URL.Hostname(), addr)
	}
	return p, nil
}

// dial connects to the registry wherever it is, and to others where that is allowed.
func (g *guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ips, err := g.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	own := strings.EqualFold(address, g.host)
	if _, proxy := g.proxies.Load(strings.ToLower(address)); proxy && !own {
		return g.dialer(ctx, network, address)
	}
	var failed error
	for _, ip := range ips {
		if !own {
			if err := g.allow(host, ip); err != nil {
				return nil, err
			}
		}
		conn, err := g.dialer(ctx, network, net.JoinHostPort(ip.String(), port))
		if err == nil {
			if own {
				g.near.Store(int32(zoneOf(ip)))
			}
			return conn, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

func (g *guard) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr.Unmap()}, nil
	}
	ips, err := g.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	for _, ip := range ips {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			addrs = append(addrs, addr.Unmap())
		}
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%s has no address", host)
	}
	return addrs, nil
}

// allow says whether the registry may send us to an address that is not its own: from a private network into it, from this
// machine to it, and to public addresses from everywhere.
func (g *guard) allow(host string, addr netip.Addr) error {
	near, far := zone(g.near.Load()), zoneOf(addr)
	switch {
	case g.options.AllowPrivateRealms, far == public,
		far == private && (near == private || near == loopback),
		far == loopback && near == loopback:
		return nil
	}
	return fmt.Errorf("%s at %s, where %s sends us, %w", host, addr, g.host, ErrPrivate)
}

// sharedSpace is for carriers' NAT, and clouds have services there. RFC 6598.
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// translated addresses have an IPv4 address in their last four bytes. RFC 6052.
var translated = netip.MustParsePrefix("64:ff9b::/96")

func zoneOf(addr netip.Addr) zone {
	addr = addr.Unmap()
	if translated.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	switch {
	case addr.IsLoopback(), addr.IsUnspecified(): // which connects to this machine
		return loopback
	case addr.IsLinkLocalUnicast(), addr.IsMulticast():
		return linkLocal
	case addr.IsPrivate(), sharedSpace.Contains(addr):
		return private
	case !addr.IsGlobalUnicast():
		return linkLocal
	}
	return public
}

// tokenRequest marks, in a context, a request to a token server.
type tokenRequest struct{}

// redirect decides whether a request is sent on, and takes the credential away when it leaves the registry. A request that
// has left stays without one, also where a later hop leads back.
func (g *guard) redirect(r *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > maxRedirects {
		return fmt.Errorf("%s sends us on more than %d times", g.host, maxRedirects)
	}
	if r.URL.Scheme != "https" && (r.URL.Scheme != "http" || first.URL.Scheme == "https") {
		return fmt.Errorf("the redirect of %s to %s %w", first.URL.Host, r.URL.Host, ErrPlainHTTP)
	}
	left := hostOf(r.URL) != hostOf(first.URL)
	for _, hop := range via[1:] {
		left = left || hostOf(hop.URL) != hostOf(first.URL)
	}
	if !left {
		return nil
	}
	if r.Context().Value(tokenRequest{}) != nil || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return fmt.Errorf("%s sends us on to %s, where what we have for it does not belong", first.URL.Host, r.URL.Host)
	}
	r.Header.Del("Authorization")
	return nil
}

// RoundTrip sends one request, and gives up when nothing moves any more.
func (g *guard) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(g.stall, func() {
		cancel(fmt.Errorf("%w: %s has sent and taken nothing for %s", ErrAway, r.URL.Host, g.stall))
	})
	m := &moving{timer: timer, stall: g.stall, ctx: ctx, stop: func() { timer.Stop(); cancel(nil) }, meter: meterOf(ctx)}
	sent := r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		sent.Body = &movingBody{moving: m, ReadCloser: r.Body}
	}
	resp, err := g.base.RoundTrip(sent)
	if err != nil {
		defer m.stop()
		return nil, m.cause(err)
	}
	resp.Request = r // whose context is not ours
	resp.Body = &movingBody{moving: m, ReadCloser: resp.Body, last: true}
	return resp, nil
}

// moving watches one exchange of a request and its answer.
type moving struct {
	timer *time.Timer
	stall time.Duration
	ctx   context.Context //nolint:containedctx // it lives as long as the exchange
	stop  func()
	meter *meter
}

// cause says why an exchange ended, where it was us who ended it.
func (m *moving) cause(err error) error {
	if cause := context.Cause(m.ctx); cause != nil && errors.Is(cause, ErrAway) {
		return cause
	}
	return err
}

// movingBody is the body of either direction.
type movingBody struct {
	*moving
	io.ReadCloser
	last bool // it is the answer's: what is read after it is nothing
	done int64
}

func (b *movingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.timer.Reset(b.stall)
		b.done += int64(n)
		b.meter.tell(b.done)
	}
	if err != nil && err != io.EOF { //nolint:errorlint // readers return it bare
		err = b.cause(err)
	}
	return n, err
}

func (b *movingBody) Close() error {
	if b.last {
		b.stop()
	}
	return b.ReadCloser.Close()
}

// meter tells of one transfer. A nil meter tells nobody.
type meter struct {
	tellTo   func(Progress)
	progress Progress
}

type meterKey struct{}

func meterOf(ctx context.Context) *meter {
	m, _ := ctx.Value(meterKey{}).(*meter)
	return m
}

func (c *Client) metered(ctx context.Context, p Progress) context.Context {
	if c.options.Progress == nil {
		return ctx
	}
	return context.WithValue(ctx, meterKey{}, &meter{tellTo: c.options.Progress, progress: p})
}

func (m *meter) tell(done int64) {
	if m == nil {
		return
	}
	p := m.progress
	p.Done = min(done, p.Size) // the body of an error may be longer than what was asked for
	m.tellTo(p)
}

// hostOf is the host:port that a URL leads to.
func hostOf(u *url.URL) string { return canonicalHost(u.Host, u.Scheme == "http") }

func canonicalHost(host string, plain bool) string {
	host = strings.ToLower(host)
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	port := "443"
	if plain {
		port = "80"
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

// isLoopbackName says whether a registry is on this machine by its name alone.
func isLoopbackName(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

var _ http.RoundTripper = (*guard)(nil)
