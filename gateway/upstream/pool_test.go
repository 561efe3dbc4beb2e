package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// echo serves whole answers, and counts connections.
func echo(t *testing.T) (pool *Pool, connections *atomic.Int64) {
	t.Helper()
	connections = new(atomic.Int64)
	pool = provider(t, func(_ int, c net.Conn, next func() bool) {
		connections.Add(1)
		for next() {
			_, _ = io.WriteString(c, answer("fine"))
		}
	})
	return pool, connections
}

// take checks a connection out, as a trip does.
func take(t testing.TB, pool *Pool) *conn {
	t.Helper()
	limits := testRequest().Timeouts
	var trip Trip
	trip.pool = pool
	c, err := trip.connect(&limits, time.Now(), time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wants fails unless the pool counts so many connections, idle ones and waiting trips.
func (p *Pool) wants(t testing.TB, open, idle, waiting int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for c := p.newest; c != nil; c = c.older {
		n++
	}
	back := 0
	for c := p.oldest; c != nil; c = c.newer {
		back++
	}
	if p.open != open || n != idle || back != idle || p.queue.length != waiting {
		t.Errorf("%d open, %d (%d) idle, %d waiting; want %d, %d, %d", p.open, n, back, p.queue.length, open, idle, waiting)
	}
}

// until waits for what other goroutines are about to do.
func until(t testing.TB, what func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for limit := time.After(10 * time.Second); !what(); {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("waited in vain")
		}
	}
}

func (p *Pool) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.length
}

// ended reports whether no connection is left, and no timer that would end one.
func (p *Pool) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.open == 0 && !p.expiring
}

// seesMore waits until the look at the idle connection that would be used next sees what its peer has done: that may be on
// its way for a moment, also on one machine.
func (p *Pool) seesMore(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	c := p.newest
	p.mu.Unlock()
	until(t, func() bool { return !c.clean(time.Now()) })
}

// The connection that was used last is used next, so that those that are not needed can end.
func TestLastInFirstOut(t *testing.T) {
	pool, _ := echo(t)
	a, b, c := take(t, pool), take(t, pool), take(t, pool)
	for _, c := range []*conn{b, c, a} {
		pool.release(c, true)
	}
	pool.wants(t, 3, 3, 0)
	for i, want := range []*conn{a, c, b} {
		if got := take(t, pool); got != want {
			t.Errorf("take %d: another connection", i)
		}
	}
	pool.wants(t, 3, 0, 0)
	for _, c := range []*conn{a, b, c} {
		pool.release(c, false)
	}
	pool.wants(t, 0, 0, 0)
}

// Who waits longest is served first: with a connection that is given back, or with the place of one that ended.
func TestFirstComeFirstServed(t *testing.T) {
	pool, connections := echo(t)
	pool.maxConns = 1
	first := take(t, pool)
	served := make(chan int, 4)
	got := make(chan *conn, 4)
	for i := range 4 {
		go func() {
			c := take(t, pool)
			served <- i
			got <- c
		}()
		until(t, func() bool { return pool.waiting() == i+1 })
	}
	pool.release(first, true)
	for i := range 4 {
		if n := <-served; n != i {
			t.Errorf("%d was served as number %d", n, i)
		}
		c := <-got
		if (c == first) != (i < 2) {
			t.Errorf("number %d got another connection: %v", i, c != first)
		}
		pool.release(c, i != 1) // the third gets the place of one that ended
	}
	pool.wants(t, 1, 1, 0)
	until(t, func() bool { return connections.Load() == 2 })
}

// A connection that ended while it was on its way to who waits is not used.
func TestWaiterGetsNoStaleConnection(t *testing.T) {
	end, ended := make(chan struct{}), make(chan struct{})
	pool := provider(t, func(n int, c net.Conn, next func() bool) {
		if n == 0 {
			<-end
			_ = c.Close()
			close(ended)
			return
		}
		for next() {
			_, _ = io.WriteString(c, answer("fine"))
		}
	})
	pool.maxConns = 1
	first := take(t, pool)
	done := make(chan error, 1)
	go func() {
		_, err := roundTrip(pool, new(Trip))
		done <- err
	}()
	until(t, func() bool { return pool.waiting() == 1 })
	close(end)
	<-ended
	until(t, func() bool { return !first.clean(time.Now()) })
	pool.release(first, true)
	if err := <-done; err != nil {
		t.Error(err)
	}
	pool.wants(t, 1, 1, 0)
}

func TestPoolFull(t *testing.T) {
	pool, _ := echo(t)
	pool.maxConns, pool.maxQueue, pool.maxQueueTime = 1, 1, 50*time.Millisecond
	held := take(t, pool)
	check := func(err error) {
		t.Helper()
		var e *Error
		if !errors.As(err, &e) || e.Phase != Connecting || !errors.Is(err, ErrPoolFull) {
			t.Errorf("error %v", err)
		}
	}
	check(new(Trip).Send(pool, testRequest())) // waits in vain
	pool.wants(t, 1, 0, 0)

	pool.maxQueueTime = time.Minute
	var waiting Trip
	ended := make(chan error, 1)
	go func() { ended <- waiting.Send(pool, testRequest()) }()
	until(t, func() bool { return pool.waiting() == 1 })
	check(new(Trip).Send(pool, testRequest())) // the queue is full
	waiting.Cancel()
	if err := <-ended; !errors.Is(err, ErrCanceled) {
		t.Errorf("canceled in the queue: %v", err)
	}
	pool.wants(t, 1, 0, 0)
	req := testRequest()
	req.Timeouts.Total = 20 * time.Millisecond
	if err := new(Trip).Send(pool, req); !errors.Is(err, ErrTimeout) {
		t.Errorf("no time left in the queue: %v", err)
	}
	pool.release(held, true)
	pool.wants(t, 1, 1, 0)
}

// What was given to somebody who left in the same moment goes to the next, or back.
func TestLeftWithAConnection(t *testing.T) {
	pool, _ := echo(t)
	pool.maxConns = 1
	c := take(t, pool)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, give := range []*conn{c, nil} {
		w := &waiter{served: make(chan *conn, 1)}
		pool.mu.Lock()
		pool.queue.add(w)
		pool.queue.serve(give)
		pool.mu.Unlock()
		if err := pool.leave(w, ctx.Err()); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if give != nil {
			pool.wants(t, 1, 1, 0)
			take(t, pool)
		}
	}
	pool.wants(t, 0, 0, 0)
	_ = c.Close()
}

// Idle connections end by themselves, and nothing runs then.
func TestIdleConnectionsExpire(t *testing.T) {
	pool := provider(t, func(_ int, c net.Conn, _ func() bool) { _, _ = io.Copy(io.Discard, c) })
	pool.maxIdle = 30 * time.Millisecond
	a, b := take(t, pool), take(t, pool)
	pool.release(a, true)
	pool.release(b, true)
	until(t, pool.ended)
	pool.wants(t, 0, 0, 0)
	until(t, func() bool { return !a.clean(time.Now()) && !b.clean(time.Now()) })
	// One whose time is over is not used, even if nothing has ended it yet.
	pool.maxIdle = time.Hour
	c := take(t, pool)
	pool.release(c, true)
	c.idleSince = time.Now().Add(-time.Hour)
	other := take(t, pool)
	if other == c {
		t.Error("a connection was used that had been idle for too long")
	}
	pool.wants(t, 1, 0, 0)
	pool.release(other, true)
}

// Connections have a maximum age, and not all the same.
func TestConnectionsRetire(t *testing.T) {
	pool, _ := echo(t)
	ages := map[time.Duration]bool{}
	for range 5 {
		began := time.Now()
		c := take(t, pool)
		age := c.retire.Sub(began)
		if age < maxAge*4/5 || c.retire.After(time.Now().Add(maxAge)) {
			t.Errorf("retires after %s", age)
		}
		ages[age.Truncate(time.Millisecond)] = true
		c.retire = time.Now()
		pool.release(c, true)
		pool.wants(t, 0, 0, 0)
	}
	if len(ages) < 2 {
		t.Error("all retire at the same time")
	}
	c := take(t, pool)
	pool.release(c, true)
	c.retire = time.Now()
	other := take(t, pool)
	if other == c {
		t.Error("used again after it should have retired")
	}
	pool.release(other, true)
}

func TestClose(t *testing.T) {
	pool, _ := echo(t)
	idle, busy := take(t, pool), take(t, pool)
	pool.release(idle, true)
	pool.Close()
	pool.wants(t, 1, 0, 0)
	if idle.clean(time.Now()) {
		t.Error("an idle connection survived")
	}
	if !busy.clean(time.Now()) {
		t.Error("a busy connection was ended")
	}
	pool.release(busy, true)
	if busy.clean(time.Now()) {
		t.Error("a connection that was released later survived")
	}
	pool.wants(t, 0, 0, 0)
	if got, err := roundTrip(pool, new(Trip)); err != nil || got != "fine" { // whoever holds an old snapshot goes on
		t.Errorf("%q, %v", got, err)
	}
	pool.wants(t, 0, 0, 0)
	pool.Close()
}

// tally counts a pool's open sockets, and the most that there were at one time.
type tally struct {
	mu         sync.Mutex
	open, most int
}

// of has the connections of a pool counted.
func (y *tally) of(pool *Pool) {
	pool.dialer.connect = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		c, err := connectTCP(ctx, to)
		if err != nil {
			return nil, err
		}
		y.add(1)
		return &tallied{c.(*net.TCPConn), sync.OnceFunc(func() { y.add(-1) })}, nil
	}
}

func (y *tally) add(n int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.open += n
	y.most = max(y.most, y.open)
}

// tallied is a connection that is counted.
type tallied struct {
	*net.TCPConn
	ended func() // once
}

func (c *tallied) Close() error {
	err := c.TCPConn.Close()
	c.ended()
	return err
}

// Many goroutines, few connections, cancellations at any moment: nothing is lost, and no more connections are open
// than may be.
func TestPoolHammer(t *testing.T) {
	pool := provider(t, func(n int, c net.Conn, next func() bool) {
		for i := 0; next(); i++ {
			if i == 5+n%7 {
				return
			}
			_, _ = io.WriteString(c, answer("fine"))
		}
	})
	var sockets tally
	sockets.of(pool)
	pool.maxConns, pool.maxIdle, pool.maxQueueTime = 4, 2*time.Millisecond, 20*time.Millisecond
	var all sync.WaitGroup
	var fine atomic.Int64
	for g := range 16 {
		all.Go(func() {
			for i := range 60 {
				var trip Trip
				if (g+i)%5 == 0 {
					timer := time.AfterFunc(time.Duration(i*20)*time.Microsecond, trip.Cancel)
					defer timer.Stop()
				}
				if got, err := roundTrip(pool, &trip); err == nil && got == "fine" {
					fine.Add(1)
				} else if err == nil {
					t.Errorf("got %q", got)
				}
			}
		})
	}
	all.Wait()
	until(t, pool.ended)
	pool.wants(t, 0, 0, 0)
	if sockets.open != 0 || sockets.most > 4 || fine.Load() < 100 {
		t.Errorf("%d connections at once, %d left; %d round trips were fine", sockets.most, sockets.open, fine.Load())
	}
}
