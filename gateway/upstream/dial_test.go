package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-dev/sallyport/internal/testutil"
)

// script says how each address answers a dial: after how long, and whether it does. An address that is not named
// never answers.
type script struct {
	mu     sync.Mutex
	began  time.Time
	took   map[string]time.Duration
	fails  map[string]time.Duration
	dialed []string // with the time since began
	open   int      // connections that were handed out and not closed
}

type scripted struct {
	net.Conn
	script *script
	to     string
}

func (c *scripted) Close() error {
	c.script.mu.Lock()
	defer c.script.mu.Unlock()
	c.script.open--
	return nil
}

func (s *script) connect(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	host := to.Addr().String()
	s.mu.Lock()
	s.dialed = append(s.dialed, fmt.Sprintf("%s %s", host, time.Since(s.began)))
	s.mu.Unlock()
	var took, fails <-chan time.Time
	if d, ok := s.took[host]; ok {
		took = time.After(d)
	}
	if d, ok := s.fails[host]; ok {
		fails = time.After(d)
	}
	select {
	case <-took:
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open++
		return &scripted{script: s, to: host}, nil
	case <-fails:
		return nil, errNobody
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Addresses are tried in turn, the other family second; the next one as soon as one failed or kept us waiting. What
// connects too late is closed.
func TestDialInTurn(t *testing.T) {
	const ms = time.Millisecond
	both := []string{"2606:4700::1", "2606:4700::2", "1.1.1.1", "1.1.1.2"}
	for _, f := range []struct {
		name        string
		found       []string
		took, fails map[string]time.Duration
		want        string // "" none
		dialed      []string
	}{
		{"the first", both, map[string]time.Duration{"2606:4700::1": 10 * ms}, nil, "2606:4700::1", []string{"2606:4700::1 0s"}},
		{"the other family", both, map[string]time.Duration{"1.1.1.1": 10 * ms}, nil, "1.1.1.1", []string{"2606:4700::1 0s", "1.1.1.1 250ms"}},
		{"the last, all others silent", both, map[string]time.Duration{"1.1.1.2": 10 * ms}, nil, "1.1.1.2",
			[]string{"2606:4700::1 0s", "1.1.1.1 250ms", "2606:4700::2 500ms", "1.1.1.2 750ms"}},
		{"at once after a failure", both, map[string]time.Duration{"1.1.1.1": 10 * ms}, map[string]time.Duration{"2606:4700::1": 5 * ms}, "1.1.1.1",
			[]string{"2606:4700::1 0s", "1.1.1.1 5ms"}},
		{"the slow first beats the second", both, map[string]time.Duration{"2606:4700::1": 260 * ms, "1.1.1.1": 50 * ms}, nil, "2606:4700::1",
			[]string{"2606:4700::1 0s", "1.1.1.1 250ms"}},
		{"both at the same time", both, map[string]time.Duration{"2606:4700::1": 300 * ms, "1.1.1.1": 50 * ms}, nil, "any",
			[]string{"2606:4700::1 0s", "1.1.1.1 250ms"}},
		{"none", []string{"1.1.1.1", "2606:4700::1"}, nil, map[string]time.Duration{"1.1.1.1": 5 * ms, "2606:4700::1": 5 * ms}, "",
			[]string{"1.1.1.1 0s", "2606:4700::1 5ms"}},
		{"one that is silent", []string{"1.1.1.1"}, nil, nil, "", []string{"1.1.1.1 0s"}},
		{"two that are silent", []string{"1.1.1.1", "1.1.1.2"}, nil, nil, "", []string{"1.1.1.1 0s", "1.1.1.2 250ms"}},
	} {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{began: time.Now(), took: f.took, fails: f.fails}
				d := newDialer(&Options{Addr: "x.example:443", Resolver: &names{answers: [][]string{f.found}}})
				d.connect = s.connect
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				c, err := d.dial(ctx)
				got := ""
				if err == nil {
					got = c.(*scripted).to
				}
				if got != f.want && f.want != "any" || !slices.Equal(s.dialed, f.dialed) {
					t.Errorf("connected to %q, %v; dialled %q", got, err, s.dialed)
				}
				if want := len(got) > 0; (s.open == 1) != want || s.open > 1 {
					t.Errorf("%d connections are open", s.open)
				}
				if f.want == "" && f.fails == nil && time.Since(s.began) != 3*time.Second {
					t.Errorf("gave up after %s", time.Since(s.began))
				}
			})
		})
	}
}

// A name with many addresses does not cost more dials than a few.
func TestDialBounded(t *testing.T) {
	var many []string
	for i := range 100 {
		many = append(many, fmt.Sprintf("1.1.1.%d", i))
	}
	var d dials
	dialer := newDialer(&Options{Addr: "x.example:443", Resolver: &names{answers: [][]string{many}}})
	var mu sync.Mutex
	dialer.connect = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		mu.Lock()
		defer mu.Unlock()
		return d.connect(ctx, to)
	}
	if _, err := dialer.dial(t.Context()); !errors.Is(err, errNobody) || len(d.to) != maxAddresses {
		t.Errorf("%v, dialled %q", err, d.to)
	}
}

func TestDNSFailure(t *testing.T) {
	for _, f := range []struct {
		answer *names
		want   error
	}{
		{&names{err: &net.DNSError{Err: "no such host", Name: "x.example", IsNotFound: true}}, nil},
		{&names{err: &net.DNSError{Err: "i/o timeout", Name: "x.example", IsTimeout: true}}, ErrTimeout},
		{&names{answers: [][]string{{}}}, nil},
	} {
		pool := NewPool(Options{Addr: "x.example:443", Resolver: f.answer})
		err := new(Trip).Send(pool, testRequest())
		var e *Error
		if !errors.As(err, &e) || e.Phase != Connecting || f.want != nil && !errors.Is(err, f.want) || pool.open != 0 {
			t.Errorf("%v, %d connections", err, pool.open)
		}
	}
	if err := new(Trip).Send(NewPool(Options{Addr: "x.example"}), testRequest()); err == nil {
		t.Error("an address without a port was dialled")
	}
}

func TestDialThatNeverCompletes(t *testing.T) {
	address := testutil.UnansweredAddress(t)
	patient := func() *Request { // what does not end by the one thing in question lasts for a minute
		req := testRequest()
		req.Timeouts.Connect, req.Timeouts.Total = time.Minute, time.Minute
		return req
	}
	check := func(trip *Trip, req *Request, want error) {
		t.Helper()
		pool := localPool(address, "", nil)
		began := time.Now()
		err := trip.Send(pool, req)
		var e *Error
		if !errors.As(err, &e) || e.Phase != Connecting || !errors.Is(err, want) || time.Since(began) > 30*time.Second || pool.open != 0 {
			t.Errorf("%v after %s, %d connections", err, time.Since(began), pool.open)
		}
	}
	req := patient()
	req.Timeouts.Connect = 50 * time.Millisecond
	check(new(Trip), req, ErrTimeout)
	req = patient()
	req.Timeouts.Total = 50 * time.Millisecond
	check(new(Trip), req, ErrTimeout)
	var trip Trip
	timer := time.AfterFunc(50*time.Millisecond, trip.Cancel)
	defer timer.Stop()
	check(&trip, patient(), ErrCanceled)
}

// asking is a resolver that never answers.
type asking struct{ asked chan struct{} }

func (a asking) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) {
	close(a.asked)
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestCancelWhileResolving(t *testing.T) {
	a := asking{make(chan struct{})}
	var trip Trip
	go func() { <-a.asked; trip.Cancel() }()
	if err := trip.Send(NewPool(Options{Addr: "x.example:443", Resolver: a}), testRequest()); !errors.Is(err, ErrCanceled) {
		t.Errorf("error %v", err)
	}
}

func TestCancelDuringHandshake(t *testing.T) {
	reached := make(chan struct{})
	pool := provider(t, func(_ int, c net.Conn, _ func() bool) {
		close(reached)
		_, _ = io.Copy(io.Discard, c)
	})
	pool = localPool(net.JoinHostPort(pool.dialer.host, pool.dialer.port), "example.com", nil)
	var trip Trip
	go func() { <-reached; trip.Cancel() }()
	if err := trip.Send(pool, testRequestTLS()); !errors.Is(err, ErrCanceled) || pool.open != 0 {
		t.Errorf("error %v, %d connections", err, pool.open)
	}
}
