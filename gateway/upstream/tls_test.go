package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
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

// secure starts a server that says whether it knew the session, and returns its address and whom to trust.
func secure(t *testing.T, version uint16) (address string, roots *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, strconv.FormatBool(r.TLS.DidResume))
	}))
	s.TLS = &tls.Config{MinVersion: version, MaxVersion: version} //nolint:gosec // old versions are what is tested
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots = x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.Listener.Addr().String(), roots
}

// A second connection goes on with the session of the first; another pool, with another idea of whom to trust, knows
// nothing of it.
func TestTLSSessions(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			address, roots := secure(t, version)
			pool := localPool(address, "example.com", roots)
			defer pool.Close()
			for i, want := range []string{"false", "true", "true"} {
				var trip Trip
				if err := trip.Send(pool, testRequestTLS()); err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(&trip); string(got) != want || err != nil {
					t.Errorf("connection %d: resumed %s, %v", i, got, err)
				}
				trip.Close()
			}
			var e *Error
			for name, other := range map[string]*Pool{
				"another authority": localPool(address, "example.com", x509.NewCertPool()),
				"another name":      localPool(address, "example.net.invalid", roots),
			} {
				if err := new(Trip).Send(other, testRequestTLS()); !errors.As(err, &e) || e.Phase != Connecting {
					t.Errorf("%s: %v", name, err)
				}
				other.wants(t, 0, 0, 0)
			}
		})
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	address, roots := secure(t, tls.VersionTLS11)
	var e *Error
	if err := new(Trip).Send(localPool(address, "example.com", roots), testRequestTLS()); !errors.As(err, &e) || e.Phase != Connecting {
		t.Errorf("error %v", err)
	}
}

// A refusal comes through TLS too while the request is still being written: what is read and what is written do not
// wait for each other.
func TestEarlyAnswerOverTLS(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "9")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, "too large")
		_ = http.NewResponseController(w).Flush()
		<-release // and reads no more
	}))
	s.StartTLS()
	defer s.Close()
	defer close(release)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	pool := localPool(s.Listener.Addr().String(), "example.com", roots)
	req := longRequest()
	req.Timeouts.TLS = 5 * time.Second
	req.Timeouts.Write = time.Minute
	var trip Trip
	if err := trip.Send(pool, req); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(&trip); string(got) != "too large" || err != nil || trip.Header.StatusCode() != 413 {
		t.Errorf("%d %q, %v", trip.Header.StatusCode(), got, err)
	}
	trip.Close()
	pool.wants(t, 0, 0, 0)
}
