package alerts

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/ledger"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func anAlert() ledger.Alert {
	start := time.Date(2026, 10, 31, 23, 0, 0, 0, time.UTC)
	return ledger.Alert{
		ID: "team/research/month/Europe/Berlin/1793487600/80", Time: time.Date(2026, 11, 21, 8, 15, 30, 0, time.UTC),
		Account: ledger.Account{Kind: ledger.TeamAccount, ID: "research"}, Percent: 80, Period: abi.PerMonth, Zone: "Europe/Berlin",
		Start: start, Resets: start.AddDate(0, 1, 0), Limit: 50_000_000_000, Spent: 40_012_000_000,
	}
}

func TestAlertIsSentSignedUntilItIsTaken(t *testing.T) {
	const want = `{"id":"team/research/month/Europe/Berlin/1793487600/80","type":"budget_reached","time":"2026-11-21T08:15:30Z",` +
		`"account":"team/research","percent":80,"per":"month","timezone":"Europe/Berlin","start":"2026-10-31T23:00:00Z",` +
		`"resets":"2026-12-01T23:00:00Z","limit_nano_usd":50000000000,"spent_nano_usd":40012000000}`
	var asked atomic.Int64
	again := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte("0123456789abcdef"))
		mac.Write(body)
		if string(body) != want || r.Header.Get("X-Sallyport-Signature") != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("got %s, signed %s", body, r.Header.Get("X-Sallyport-Signature"))
		}
		switch asked.Add(1) {
		case 1:
			w.WriteHeader(500)
		case 2:
			close(again)
		}
	}))
	defer server.Close()
	s := New(slog.New(slog.DiscardHandler), Target{URL: server.URL, Secret: "0123456789abcdef"})
	s.Give(anAlert())
	select {
	case <-again:
	case <-time.After(time.Minute):
		t.Error("it is not sent a second time")
	}
	s.Close() // which waits for what is under way
	if f := s.Figures(); f.Given != 1 || f.Delivered != 1 || asked.Load() != 2 || f.Failed != 0 {
		t.Errorf("%+v after %d tries", f, asked.Load())
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	asked := make(chan struct{}, tries)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		asked <- struct{}{}
	}))
	defer server.Close()
	s := New(slog.New(slog.DiscardHandler), Target{URL: server.URL})
	s.Give(anAlert())
	<-asked
	s.Close()
	if elsewhere.Load() != 0 || s.Figures().Delivered != 0 {
		t.Errorf("the alert went to another host")
	}
}

func TestGivingNeverWaits(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	s := New(slog.New(slog.DiscardHandler), Target{URL: server.URL})
	for range waiting + 10 {
		s.Give(anAlert())
	}
	if f := s.Figures(); f.Given != waiting+10 || f.Failed == 0 {
		t.Errorf("%+v", f)
	}
	close(release)
	s.Close()
}
