package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// registry4 is IANA's registry of special-purpose IPv4 addresses, with multicast and two addresses that clouds use.
var registry4 = []string{
	"0.0.0.0/8", "0.0.0.0/32", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
	"192.0.0.0/29", "192.0.0.8/32", "192.0.0.9/32", "192.0.0.10/32", "192.0.0.170/32", "192.0.0.171/32", "192.0.2.0/24",
	"192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.88.99.2/32", "192.168.0.0/16", "192.175.48.0/24",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4", "255.255.255.255/32",
	"224.0.0.0/4", "168.63.129.16/32", "169.254.169.254/32", "100.100.100.200/32",
}

// registry6 is the same for IPv6. 64:ff9b::/96 is not here: it is what its last four bytes are.
var registry6 = []string{
	"::1/128", "::/128", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001::/23", "2001::/32", "2001:1::1/128", "2001:1::2/128",
	"2001:1::3/128", "2001:2::/48", "2001:3::/32", "2001:4:112::/48", "2001:10::/28", "2001:20::/28", "2001:30::/28",
	"2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
	"::/96", "::ffff:0:0:0/96", "fd00:ec2::254/128",
}

// ends are the first and the last address of a block, and one in the middle.
func ends(t *testing.T, block string) []netip.Addr {
	t.Helper()
	p := netip.MustParsePrefix(block)
	first := p.Addr().As16()
	last, middle := first, first
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	for i := bits; i < 128; i++ {
		last[i/8] |= 0x80 >> (i % 8)
		if i%2 == 0 {
			middle[i/8] |= 0x80 >> (i % 8)
		}
	}
	all := []netip.Addr{netip.AddrFrom16(first), netip.AddrFrom16(last), netip.AddrFrom16(middle)}
	if p.Addr().Is4() {
		for i, a := range all {
			all[i] = a.Unmap()
		}
	}
	for _, a := range all {
		if !p.Contains(a) {
			t.Fatalf("%s is not in %s", a, p)
		}
	}
	return all
}

// in6 returns the IPv6 addresses in which an IPv4 address can stand.
func in6(a netip.Addr) []netip.Addr {
	b := a.As4()
	with := func(prefix string, at int) netip.Addr {
		c := netip.MustParseAddr(prefix).As16()
		copy(c[at:], b[:])
		return netip.AddrFrom16(c)
	}
	return []netip.Addr{
		with("::ffff:0:0", 12), with("::ffff:0:0", 12).WithZone("eth0"), with("64:ff9b::", 12), with("::", 12), with("2002::", 2),
		with("64:ff9b:1::", 12), with("::ffff:0:0:0", 12),
	}
}

func TestSpecialAddressesAreNotPublic(t *testing.T) {
	for _, block := range registry4 {
		for _, a := range ends(t, block) {
			for _, a := range append(in6(a), a) {
				if isPublic(a) {
					t.Errorf("%s of %s counts as public", a, block)
				}
			}
		}
	}
	for _, block := range registry6 {
		for _, a := range ends(t, block) {
			for _, a := range []netip.Addr{a, a.WithZone("eth0")} {
				if isPublic(a) {
					t.Errorf("%s of %s counts as public", a, block)
				}
			}
		}
	}
	if isPublic(netip.Addr{}) {
		t.Error("no address counts as public")
	}
}

// The neighbours of the blocks are public, so the blocks are not too large either.
func TestOtherAddressesArePublic(t *testing.T) {
	for _, a := range []string{
		"1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "168.63.129.15",
		"168.63.129.17", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.3.0",
		"192.31.195.255", "192.31.197.0", "192.52.192.255", "192.52.194.0", "192.88.98.255", "192.88.100.0", "192.167.255.255",
		"192.169.0.0", "192.175.47.255", "192.175.49.0", "198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0", "203.0.112.255",
		"203.0.114.0", "223.255.255.255", "2000::", "2001:200::", "2001:db7:ffff::", "2001:db9::", "2003::", "2620:4f:7fff::", "2620:4f:8001::",
		"3ffe:ffff::", "3fff:1000::", "2606:4700::6812:1", "64:ff9b::808:808", "::ffff:8.8.8.8",
	} {
		if !isPublic(netip.MustParseAddr(a)) {
			t.Errorf("%s counts as special", a)
		}
	}
}

// names is a resolver of one answer after the other.
type names struct {
	answers [][]string
	asked   []string
	err     error
}

func (n *names) LookupNetIP(_ context.Context, network, host string) (found []netip.Addr, err error) {
	n.asked = append(n.asked, network+" "+host)
	if n.err != nil {
		return nil, n.err
	}
	answer := n.answers[min(len(n.asked), len(n.answers))-1]
	for _, a := range answer {
		found = append(found, netip.MustParseAddr(a))
	}
	return found, nil
}

// dials notes what is dialled, and connects to nothing.
type dials struct{ to []string }

var errNobody = errors.New("nobody is there")

func (d *dials) connect(_ context.Context, to netip.AddrPort) (net.Conn, error) {
	d.to = append(d.to, to.String())
	return nil, errNobody
}

// However an address is written, what is not public is never dialled unless it may be.
func TestPrivateAddressesAreNotDialled(t *testing.T) {
	var all []string
	for _, block := range registry4 {
		for _, a := range ends(t, block) {
			all = append(all, a.String())
			for _, a := range in6(a) {
				all = append(all, a.String())
			}
		}
	}
	for _, block := range registry6 {
		for _, a := range ends(t, block) {
			all = append(all, a.String())
		}
	}
	for _, a := range all {
		byName := Options{Addr: "provider.example:443", Resolver: &names{answers: [][]string{{a}}}}
		for _, o := range []Options{byName, {Addr: net.JoinHostPort(a, "443")}} {
			var d dials
			pool := NewPool(o)
			pool.dialer.connect = d.connect
			err := new(Trip).Send(pool, testRequest())
			var e *Error
			if !errors.As(err, &e) || e.Phase != Connecting || !errors.Is(err, ErrPrivate) || len(d.to) > 0 {
				t.Errorf("%s for %s: %v, dialled %q", a, o.Addr, err, d.to)
			}
			if !strings.Contains(err.Error(), "set allow_private: true on the provider") {
				t.Errorf("%s: %v does not say what to do", a, err)
			}
			o.AllowPrivate = true
			pool = NewPool(o)
			pool.dialer.connect = d.connect
			if err := new(Trip).Send(pool, testRequest()); !errors.Is(err, errNobody) || len(d.to) != 1 {
				t.Errorf("%s may be dialled for %s: %v, dialled %q", a, o.Addr, err, d.to)
			}
		}
	}
	t.Logf("%d addresses", len(all))
}

// A name that means something else the second time is asked once for each connection, and what was checked is dialled.
func TestRebinding(t *testing.T) {
	n := &names{answers: [][]string{{"93.184.216.34"}, {"127.0.0.1"}, {"93.184.216.34", "10.0.0.1", "::1", "2606:4700::1"}}}
	var d dials
	pool := NewPool(Options{Addr: "rebind.example:443", Resolver: n})
	pool.dialer.connect = d.connect
	for i, want := range [][]string{{"93.184.216.34:443"}, nil, {"93.184.216.34:443", "[2606:4700::1]:443"}} {
		d.to = nil
		err := new(Trip).Send(pool, testRequest())
		if !slices.Equal(d.to, want) || errors.Is(err, ErrPrivate) != (want == nil) {
			t.Errorf("connection %d: %v, dialled %q", i, err, d.to)
		}
	}
	if want := []string{"ip rebind.example", "ip rebind.example", "ip rebind.example"}; !slices.Equal(n.asked, want) {
		t.Errorf("asked for %q", n.asked)
	}
}
