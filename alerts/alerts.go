// Package alerts tells an operator's own endpoint that spending has reached a share of a budget.
//
// It imports ledger, for what an alert is, and the standard library. cmd/sallyport hands it what the ledger says.
//
// An alert is one POST with a JSON body:
//
//	{"id":"team/research/month/Europe/Berlin/1793487600/80","type":"budget_reached","time":"2026-11-21T08:15:30Z",
//	 "account":"team/research","percent":80,"per":"month","timezone":"Europe/Berlin",
//	 "start":"2026-10-31T23:00:00Z","resets":"2026-11-30T23:00:00Z",
//	 "limit_nano_usd":50000000000,"spent_nano_usd":40012000000}
//
// With a secret, X-Sallyport-Signature is "sha256=" and the HMAC-SHA-256 of the body in hexadecimal digits. An answer
// of 2xx takes it; after anything else it is sent again, at growing intervals, with the same id.
package alerts

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-dev/sallyport/ledger"
)

// Target is where alerts go.
type Target struct {
	URL    string // "": nowhere; they are logged and counted all the same
	Secret string // of the signature; "": none
}

// Bounds of sending.
const (
	waiting = 1024             // alerts that may wait; more are dropped and logged
	tries   = 8                // of one alert
	timeout = 10 * time.Second // of one try
	pause   = time.Second      // before the second try; doubled before each further one
	grace   = 3 * time.Second  // for what is waiting when the Sender is closed
)

// Sender sends alerts, one after the other, without making anybody wait.
type Sender struct {
	log    *slog.Logger
	client *http.Client
	target atomic.Pointer[Target]
	queue  chan ledger.Alert
	ended  sync.WaitGroup
	ending chan struct{} // closed by Close
	stop   context.CancelFunc

	given, delivered, failed atomic.Uint64
}

// New returns a Sender that works until Close.
func New(log *slog.Logger, target Target) *Sender {
	ctx, stop := context.WithCancel(context.Background())
	s := &Sender{
		log: log, stop: stop, ending: make(chan struct{}), queue: make(chan ledger.Alert, waiting),
		client: &http.Client{
			Timeout:   timeout,
			Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConns: 1, IdleConnTimeout: timeout},
			// An alert names what an organisation spends: it goes where it was meant to go, or nowhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	s.target.Store(&target)
	s.ended.Go(func() { s.run(ctx) })
	return s
}

// Set changes where alerts go from now on.
func (s *Sender) Set(target Target) { s.target.Store(&target) }

// Give takes an alert. It never waits.
func (s *Sender) Give(a ledger.Alert) {
	s.given.Add(1)
	s.log.Warn("a budget is used to a share that was to be told of", "account", a.Account.String(), "percent", a.Percent,
		"per", a.Period.String(), "limit", a.Limit.String(), "spent", a.Spent.String())
	select {
	case s.queue <- a:
	default:
		s.failed.Add(1)
		s.log.Error("too many alerts are waiting: one is not sent", "alert", a.ID)
	}
}

// Figures are the counters of a Sender.
type Figures struct{ Given, Delivered, Failed uint64 }

// Figures returns how many alerts were given, delivered and given up.
func (s *Sender) Figures() Figures {
	return Figures{s.given.Load(), s.delivered.Load(), s.failed.Load()}
}

// Close ends the sending, once what is waiting has been sent or some seconds have passed. What was not delivered then
// is logged and lost. It is called once, and nothing is given after it.
func (s *Sender) Close() {
	defer time.AfterFunc(grace, s.stop).Stop()
	close(s.ending)
	s.ended.Wait()
	s.stop()
	s.client.CloseIdleConnections()
}

func (s *Sender) run(ctx context.Context) {
	for {
		select {
		case a := <-s.queue:
			s.deliver(ctx, &a)
			continue
		default:
		}
		select {
		case a := <-s.queue:
			s.deliver(ctx, &a)
		case <-s.ending:
			if len(s.queue) == 0 {
				return
			}
		}
	}
}

// deliver sends an alert until it is taken, or tried often enough.
func (s *Sender) deliver(ctx context.Context, a *ledger.Alert) {
	wait := pause
	for try := 1; ; try++ {
		target := s.target.Load()
		if target.URL == "" {
			return
		}
		err := s.send(ctx, target, a)
		if err == nil {
			s.delivered.Add(1)
			return
		}
		if try == tries || ctx.Err() != nil {
			s.failed.Add(1)
			s.log.Error("an alert could not be delivered", "alert", a.ID, "tries", try, "error", err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait *= 2
	}
}

// send makes one try.
func (s *Sender) send(ctx context.Context, target *Target, a *ledger.Alert) error {
	body := encode(a)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, target.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "sallyport")
	if target.Secret != "" {
		mac := hmac.New(sha256.New, []byte(target.Secret))
		mac.Write(body)
		r.Header.Set("X-Sallyport-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	resp, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("the webhook answered %d", resp.StatusCode)
	}
	return nil
}

// wire is an alert as it is sent.
type wire struct {
	ID       string     `json:"id"`
	Type     string     `json:"type"`
	Time     time.Time  `json:"time"`
	Account  string     `json:"account"`
	Percent  int        `json:"percent"`
	Per      string     `json:"per"`
	Timezone string     `json:"timezone"`
	Start    *time.Time `json:"start,omitempty"`
	Resets   *time.Time `json:"resets,omitempty"`
	Limit    int64      `json:"limit_nano_usd"`
	Spent    int64      `json:"spent_nano_usd"`
}

func encode(a *ledger.Alert) []byte {
	w := wire{
		ID: a.ID, Type: "budget_reached", Time: a.Time, Account: a.Account.String(), Percent: a.Percent,
		Per: a.Period.String(), Timezone: a.Zone, Limit: int64(a.Limit), Spent: int64(a.Spent),
	}
	if !a.Start.IsZero() {
		w.Start = &a.Start
	}
	if !a.Resets.IsZero() {
		w.Resets = &a.Resets
	}
	body, err := json.Marshal(w)
	if err != nil {
		panic("alerts: an alert that cannot be encoded: " + err.Error())
	}
	return body
}
