package testutil

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"
)

// ClosedAddress is an address on loopback at which nobody listens until the test ends: port, or any if that is 0. Who asks the
// system for any port is not given this one, unlike one that was free a moment ago. A process that asks for this one can have
// it too.
func ClosedAddress(t testing.TB, port int) string {
	t.Helper()
	_, address := bound(t, port)
	return address
}

// UnansweredAddress is an address on loopback at which a dial never completes: a listener whose queue is full.
func UnansweredAddress(t testing.TB) string {
	t.Helper()
	fd, address := bound(t, 0)
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		c, err := net.DialTimeout("tcp", address, 50*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Skip("this system queues more connections than it was told to")
	return ""
}

// bound is a socket with an address, which it keeps until the test ends.
func bound(t testing.TB, port int) (fd int, address string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	to := syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}
	if err := errors.Join(syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1), syscall.Bind(fd, &to)); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	at, ok := name.(*syscall.SockaddrInet4)
	if err != nil || !ok {
		t.Fatal(name, err)
	}
	return fd, fmt.Sprintf("127.0.0.1:%d", at.Port)
}
