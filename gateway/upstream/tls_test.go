package upstream

import (
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestTLS(t *testing.T) {
	connections := make(chan struct{}, 10)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") }))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections <- struct{}{}
		}
	}
	s.StartTLS()
	defer s.Close()
	stranger := localPool(s.Listener.Addr().String(), "example.com", nil)
	defer stranger.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	pool := localPool(s.Listener.Addr().String(), "example.com", roots)
	defer pool.Close()
	var trip Trip
	var e *Error
	if err := trip.Send(stranger, testRequestTLS()); !errors.As(err, &e) || e.Phase != Connecting {
		t.Fatalf("a certificate that nobody vouches for: %v", err)
	}
	for range 3 {
		if err := trip.Send(pool, testRequestTLS()); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(&trip); err != nil || string(got) != "fine" {
			t.Fatalf("%q, %v", got, err)
		}
		trip.Close()
	}
	if len(connections) != 2 {
		t.Errorf("%d connections for one refused and three good round trips", len(connections))
	}
}

func testRequestTLS() *Request {
	req := testRequest()
	req.Timeouts.TLS = 5 * time.Second
	return req
}

// A peer that takes the connection and says nothing is given up in the time for the handshake.
func TestHandshakeTimesOut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	req := testRequest()
	req.Timeouts.TLS = 50 * time.Millisecond
	var e *Error
	if err := new(Trip).Send(localPool(l.Addr().String(), "example.com", nil), req); !errors.As(err, &e) || e.Phase != Connecting || !errors.Is(err, ErrTimeout) {
		t.Errorf("error %v", err)
	}
}
