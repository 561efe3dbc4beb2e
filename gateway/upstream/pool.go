package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// Limits of a pool. They are not settable until somebody needs them to be.
const (
	maxConns       = 16384           // open connections to one provider; two thirds more than 10,000 streams need
	maxConnWait    = 2 * time.Second // in the queue for one when all are taken
	maxIdle        = 4 * time.Second // below the 5 s after which common servers close idle connections
	maxAge         = 5 * time.Minute // so that DNS changes and new replicas are seen
	readBufferSize = 8 << 10         // bounds the answer's headers
)

// Pool is the connections to one provider. It is safe for concurrent use.
type Pool struct {
	host fasthttp.HostClient
	tls  *tls.Config // nil for plain HTTP
}

// NewPool returns a pool that dials addr, a host:port, and speaks TLS to serverName unless that is empty. It opens
// nothing by itself.
func NewPool(addr, serverName string) *Pool {
	p := &Pool{}
	if serverName != "" {
		p.tls = &tls.Config{ServerName: serverName, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(64)}
	}
	p.host = fasthttp.HostClient{
		Addr:                addr,
		DialTimeout:         dial,
		MaxConns:            maxConns,
		MaxConnWaitTimeout:  maxConnWait,
		MaxIdleConnDuration: maxIdle,
		ReadBufferSize:      readBufferSize,
		ConnPoolStrategy:    fasthttp.LIFO,
	}
	return p
}

// Close ends the idle connections. Those in use end with their round trips' Close.
func (p *Pool) Close() { p.host.CloseIdleConnections() }

// dial opens a socket. The handshake is not its business: it has a timeout of its own.
func dial(addr string, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var d net.Dialer
	socket, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	age := maxAge - rand.N(maxAge/5) //nolint:gosec // jitter, not a secret
	return newConn(socket, time.Now().Add(age))
}

// checkout returns a connection that is ready for a request: a pooled one that passed the look, or a fresh one.
func (p *Pool) checkout(t *Timeouts) (*conn, error) {
	for {
		cc, err := p.host.AcquireConn(t.Connect, false)
		if err != nil {
			if errors.Is(err, fasthttp.ErrNoFreeConns) {
				err = ErrPoolFull
			}
			return nil, err
		}
		c, ok := cc.Conn().(*conn)
		if !ok {
			p.host.CloseConn(cc)
			return nil, fmt.Errorf("pool holds a %T", cc.Conn())
		}
		if c.release == nil { // once per connection: the pool keeps cc and c together
			c.release = func(reuse bool) {
				if reuse {
					p.host.ReleaseConn(cc)
				} else {
					p.host.CloseConn(cc)
				}
			}
		}
		if c.used {
			if c.clean(time.Now()) {
				return c, nil
			}
			c.release(false)
			continue
		}
		if p.tls != nil {
			if err := c.handshake(p.tls, t.TLS); err != nil {
				c.release(false)
				return nil, fmt.Errorf("TLS: %w", err)
			}
		}
		c.used = true
		return c, nil
	}
}
