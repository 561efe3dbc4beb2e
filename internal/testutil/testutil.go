// Package testutil is what the tests of several packages share: scripted peers, addresses, logs and shared folders. Only
// tests import it; it imports the standard library.
package testutil

import (
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
)

// ServeConns listens on loopback and gives every connection to serve, on a goroutine of its own; n counts them from 0.
// It returns the address. When the test ends, it stops listening and waits until every serve has returned; closing
// what makes them return, pools of connections for instance, is registered as a cleanup after this call.
func ServeConns(t *testing.T, serve func(n int, c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				serve(n, c)
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return l.Addr().String()
}

// RunWithFolder runs a package's tests with a folder that goes when they are done, and exits. folder is set before.
func RunWithFolder(m *testing.M, folder *string) {
	dir, err := os.MkdirTemp("", "sallyport-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	*folder = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
