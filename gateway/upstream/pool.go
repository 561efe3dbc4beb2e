package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// DefaultMaxConns is how many connections to one provider may be open where nothing is said: two thirds more than
// 10,000 streams need.
const DefaultMaxConns = 16384

const (
	maxQueue     = 1024            // round trips that wait for a connection when all are taken
	maxQueueTime = 2 * time.Second // how long each does
	maxIdle      = 4 * time.Second // below the 5 s after which common servers close idle connections
	maxAge       = 5 * time.Minute // so that DNS changes and new replicas are seen; shortened by up to a fifth
	sessions     = 64              // TLS sessions that are kept to resume
)

// Options say where a pool's connections lead. Two pools with the same options may stand for each other.
type Options struct {
	Addr         string         // host:port
	ServerName   string         // the name in the certificate; "" for plain HTTP
	RootCAs      *x509.CertPool // whom certificates are trusted from; nil: whom the system trusts
	AllowPrivate bool           // also dial addresses that are not public
	MaxConns     int            // open connections at most; 0: DefaultMaxConns
	Resolver     Resolver       // nil: the system's
}

// Pool is the connections to one provider. It is safe for concurrent use. It has no goroutine of its own: idle
// connections are ended by a timer that runs only while there are some.
type Pool struct {
	dialer       dialer
	tls          *tls.Config // nil for plain HTTP
	maxConns     int
	maxQueue     int
	maxQueueTime time.Duration
	maxIdle      time.Duration
	buffers      buffers

	mu             sync.Mutex
	newest, oldest *conn // the idle ones, by when they became so
	open           int   // connections: idle, in use, and being opened
	queue          queue // who waits for one; empty while there are idle ones or room for more
	closed         bool
	expiry         *time.Timer
	expiring       bool // expiry runs
}

// NewPool returns a pool. It opens nothing by itself.
func NewPool(o Options) *Pool {
	p := &Pool{
		dialer: newDialer(&o), maxConns: o.MaxConns,
		maxQueue: maxQueue, maxQueueTime: maxQueueTime, maxIdle: maxIdle,
	}
	if p.maxConns == 0 {
		p.maxConns = DefaultMaxConns
	}
	if o.ServerName != "" {
		// The cache of sessions is the pool's own, so none outlives a change of whom to trust.
		p.tls = &tls.Config{ServerName: o.ServerName, RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12,
			NextProtos: []string{"http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(sessions)}
	}
	return p
}

// Close ends the idle connections, and those in use when their round trips end. The pool can still be used by who
// holds it: it only keeps nothing any more.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	idle := p.takeIdle(func(*conn) bool { return true })
	if p.expiry != nil {
		p.expiry.Stop()
	}
	p.expiring = false
	p.mu.Unlock()
	p.endAll(idle)
}

// claim returns the idle connection that was used last, if one is fit. Without one, turn reports whether there is
// room to open another; if not, the caller has to queue.
func (p *Pool) claim(now time.Time) (c *conn, turn bool) {
	for {
		p.mu.Lock()
		c = p.newest
		if c == nil {
			if turn = p.open < p.maxConns; turn {
				p.open++
			}
			p.mu.Unlock()
			return nil, turn
		}
		p.unlink(c)
		p.mu.Unlock()
		if now.Sub(c.idleSince) < p.maxIdle && c.clean(now) {
			return c, true
		}
		p.release(c, false)
	}
}

// dial opens a connection, for which the caller has been given its turn.
func (p *Pool) dial(ctx context.Context, t *Timeouts) (*conn, error) {
	c, err := p.connect(ctx, t)
	if err != nil {
		p.pass()
		return nil, err
	}
	return c, nil
}

func (p *Pool) connect(ctx context.Context, t *Timeouts) (*conn, error) {
	dialing, cancel := context.WithTimeout(ctx, t.Connect)
	defer cancel()
	socket, err := p.dialer.dial(dialing)
	if err != nil {
		return nil, err
	}
	age := maxAge - rand.N(maxAge/5) //nolint:gosec // jitter, not a secret
	c, err := newConn(socket, time.Now().Add(age))
	if err == nil && p.tls != nil {
		shaking, cancel := context.WithTimeout(ctx, t.TLS)
		defer cancel()
		if err = c.handshake(shaking, p.tls); err != nil {
			err = fmt.Errorf("TLS: %w", err)
		}
	}
	if err != nil {
		_ = socket.Close()
		return nil, err
	}
	return c, nil
}

// release takes a connection back: to use it again, or to end it.
func (p *Pool) release(c *conn, reuse bool) {
	if reuse {
		c.reused = true
		now := time.Now()
		if now.Before(c.retire) && p.keep(c, now) {
			return
		}
	}
	_ = c.Close()
	p.pass()
}

// keep gives the connection to who waits longest, or makes it the first of the idle ones. It reports whether the
// pool wants it.
func (p *Pool) keep(c *conn, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	c.idleSince = now
	if p.queue.serve(c) {
		return true
	}
	if c.older = p.newest; c.older != nil {
		c.older.newer = c
	} else {
		p.oldest = c
	}
	p.newest = c
	p.expireAfter(p.maxIdle)
	return true
}

// pass gives the place of a connection that has ended, or was never opened, to who waits longest.
func (p *Pool) pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.queue.serve(nil) {
		p.open--
	}
}

// unlink takes a connection out of the idle ones.
func (p *Pool) unlink(c *conn) {
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		p.newest = c.older
	}
	if c.older != nil {
		c.older.newer = c.newer
	} else {
		p.oldest = c.newer
	}
	c.newer, c.older = nil, nil
}

// expireAfter lets the timer run, if it does not. It is not stopped when the last idle connection is taken, because
// that would happen with every request of a quiet provider.
func (p *Pool) expireAfter(d time.Duration) {
	switch {
	case p.expiring:
		return
	case p.expiry == nil:
		p.expiry = time.AfterFunc(d, p.expire)
	default:
		p.expiry.Reset(d)
	}
	p.expiring = true
}

// expire ends the connections that have been idle for too long.
func (p *Pool) expire() {
	now := time.Now()
	p.mu.Lock()
	p.expiring = false
	old := p.takeIdle(func(c *conn) bool { return now.Sub(c.idleSince) >= p.maxIdle })
	if p.oldest != nil {
		p.expireAfter(p.maxIdle - now.Sub(p.oldest.idleSince))
	}
	p.mu.Unlock()
	p.endAll(old)
}

// takeIdle takes connections out of the idle ones, the oldest first, while which says so. They are linked by newer, and count
// as open until they have ended.
func (p *Pool) takeIdle(which func(*conn) bool) (taken *conn) {
	last := &taken
	for c := p.oldest; c != nil && which(c); c = p.oldest {
		p.unlink(c)
		*last = c
		last = &c.newer
	}
	return taken
}

func (p *Pool) endAll(c *conn) {
	for c != nil {
		next := c.newer
		p.release(c, false)
		c = next
	}
}
