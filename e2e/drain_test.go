//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/internal/testutil/faults"
)

// drainDeadline is how long streams may go on after the gateway was asked to end.
const drainDeadline = 5 * time.Second

// Streams of the drain: half of them end by themselves before the deadline, the others would go on for minutes.
const (
	drainShort = 7 * time.Second / drainPace // from their beginning, which is some seconds before the end is asked for
	drainLong  = 300 * time.Second / drainPace
	drainPace  = 250 * time.Millisecond
)

// TestProofDrain asks a gateway to end that has many streams open: those that end before the deadline are whole, the
// others are told in-band when it has come, and not before; all are settled, and the process ends well.
func TestProofDrain(t *testing.T) {
	streams := size(100, 1000)
	needDescriptors(t, uint64(2*streams+500))
	p := faults.New(t, faults.Ticker(func(m faults.Model) int {
		if m.Case == "short" {
			return int(drainShort)
		}
		return int(drainLong)
	}, drainPace))
	d := &draining{streams: make([]drained, streams), models: drainModels()}
	var providers, models strings.Builder
	for _, m := range d.models {
		fmt.Fprintf(&providers, "  - {name: %q, format: %s, base_url: %q}\n", m, m.API.Format(), p.URL(m)+m.API.Base())
		fmt.Fprintf(&models, "  - {alias: %q, provider: %q, model: %q, price: {input: 1, output: 2}}\n", m, m, m)
	}
	d.gateway = start(t, fmt.Sprintf("drain: {timeout: %s, delay: 0s}\nproviders:\n%smodels:\n%s", drainDeadline, &providers, &models), nil)
	_, d.secret = d.issue(identity.Wish{Name: "listeners", Budgets: total(1_000_000_000_000_000)})
	d.client = callers(t, streams)
	var all sync.WaitGroup
	pace := time.NewTicker(2 * time.Millisecond)
	defer pace.Stop()
	for n := range d.streams {
		<-pace.C
		all.Go(func() { d.listen(n) })
	}
	d.until("all streams have begun", func() bool { return int(d.begun.Load()) == streams })
	lull := time.NewTimer(4 * time.Second) // the short ones have up to three more to go
	<-lull.C
	asked := time.Now()
	must(t, d.process.Process.Signal(syscall.SIGTERM))
	d.until("it accepts nothing more", func() bool { return status(d.url+"/health") == 0 })
	closed := time.Since(asked)
	all.Wait()
	d.stop(syscall.SIGTERM) // it has been asked already: this waits, and wants an exit without an error
	ended := time.Since(asked)
	if ended > drainDeadline+5*time.Second {
		t.Errorf("it ended %v after it was asked to", ended)
	}
	d.judge(t, asked)
	d.run()
	d.settled()
	d.audit(t)
	t.Logf("%d streams: %d ended whole, %d were told %v to %v after the gateway was asked to end; it accepted nothing more after %v, and ended after %v",
		streams, d.whole, d.told, d.first.Round(time.Millisecond), d.last.Round(time.Millisecond), closed.Round(time.Millisecond), ended.Round(time.Millisecond))
}

// draining is the test at work.
type draining struct {
	*gateway
	models  []faults.Model
	secret  string
	client  *http.Client
	streams []drained
	begun   atomic.Int64

	whole, told int
	first, last time.Duration // after the signal, when streams were told
}

// drained is one stream as its client had it.
type drained struct {
	model faults.Model
	id    string
	body  string
	err   error
	ended time.Time
}

// drainModels are short and long streams of every form.
func drainModels() (all []faults.Model) {
	for api := range faults.NumAPIs {
		for _, length := range []string{"short", "long"} {
			all = append(all, faults.Model{Behaviour: "paced", API: api, Streamed: true, Case: length})
		}
	}
	return all
}

func (d *draining) listen(n int) {
	s := &d.streams[n]
	s.model = d.models[n%len(d.models)]
	path, body := s.model.API.Request(s.model.String(), true, "", 0)
	resp, err := d.client.Do(d.request(d.secret, path, body).WithContext(d.t.Context()))
	d.begun.Add(1)
	if err != nil {
		s.err = err
		return
	}
	defer resp.Body.Close()
	s.id = resp.Header.Get("X-Sallyport-Request-Id")
	text, err := io.ReadAll(resp.Body)
	s.body, s.err, s.ended = string(text), err, time.Now()
}

// judge looks at every stream.
func (d *draining) judge(t *testing.T, asked time.Time) {
	for n := range d.streams {
		s := &d.streams[n]
		whole := strings.Contains(s.body, endMark(s.model))
		after := s.ended.Sub(asked)
		ticks := len(tickMark.FindAllString(s.body, -1))
		switch short := s.model.Case == "short"; {
		case short && (s.err != nil || !whole || strings.Contains(s.body, `"error"`) || ticks != int(drainShort)):
			t.Errorf("%s, %d events: cut %v after the signal: %v\n…%s", s.model, ticks, after, s.err, lastOf(s.body))
		case short:
			d.whole++
		case whole || after < drainDeadline-50*time.Millisecond || !strings.Contains(s.body, "shutting_down"):
			t.Errorf("%s: ended %v after the signal: %v\n…%s", s.model, after, s.err, lastOf(s.body))
		default:
			d.told++
			if d.first == 0 || after < d.first {
				d.first = after
			}
			d.last = max(d.last, after)
		}
	}
}

// tickMark is the text of an event.
var tickMark = regexp.MustCompile(`"tick\d+\."`)

func lastOf(text string) string { return text[max(0, len(text)-300):] }

// audit looks into the ledger of the gateway as it was started again.
func (d *draining) audit(t *testing.T) {
	entries := map[string][]attempt{}
	for _, a := range d.export() {
		entries[a.Request] = append(entries[a.Request], a)
	}
	for n := range d.streams {
		s := &d.streams[n]
		want := "authoritative"
		if s.model.Case == "long" {
			want = "interrupted"
		}
		if e := entries[s.id]; len(e) != 1 || e[0].State != "settled" || e[0].Basis != want {
			t.Errorf("%s: booked is %+v, want %s", s.model, e, want)
		}
	}
	d.verify()
}

// restartSoon is how long a restart may take until requests are answered again.
func restartSoon() time.Duration { return soon(time.Second) }

// TestProofRestarts stops and starts a gateway again and again while it is asked: what a provider was asked reaches
// the client that asked for it, and the gateway is there again within a second.
func TestProofRestarts(t *testing.T) {
	p := newTill(t)
	p.slow = 60 * time.Millisecond
	g := start(t, tillConfig+"drain: {timeout: 5s, delay: 0s}\n", map[string]string{"Provider": p.URL})
	r := &restarting{gateway: g, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, answered: map[string]map[int64]bool{}}
	const callers = 24
	stop := make(chan struct{})
	var all sync.WaitGroup
	for n := range callers {
		name := fmt.Sprintf("caller-%02d", n)
		_, secret := g.issue(identity.Wish{Name: name, Budgets: total(1_000_000_000_000)})
		r.answered[name] = map[int64]bool{}
		all.Go(func() { r.work(name, secret, stop) })
	}
	for range size(3, 20) {
		load := time.NewTimer(700 * time.Millisecond)
		<-load.C
		r.restart()
	}
	close(stop)
	all.Wait()
	g.settled()
	g.verify()
	r.audit(p)
	middle, most := median(r.restarts)
	if middle > restartSoon() {
		t.Errorf("it took %v in the middle until it served again", middle)
	}
	t.Logf("%d restarts under load: %d requests answered, %d that found nobody there, none lost; from start to the first answer %v in the middle, %v at most; a drain took %v at most",
		len(r.restarts), r.whole.Load(), r.nobody.Load(), middle.Round(time.Millisecond), most.Round(time.Millisecond), r.drain.Round(time.Millisecond))
}

// restarting is the test at work.
type restarting struct {
	*gateway
	client        *http.Client
	whole, nobody atomic.Int64
	restarts      []time.Duration
	drain         time.Duration

	mu       sync.Mutex
	answered map[string]map[int64]bool // by user and number
}

// work sends one order after the other, half of them for streams, each on a connection of its own.
func (r *restarting) work(name, secret string, stop <-chan struct{}) {
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for number := int64(firstNumber); ; number++ {
		select {
		case <-stop:
			return
		case <-pace.C:
		}
		o := &order{User: name, Number: number, MaxTokens: 50, Stream: number%2 == 0}
		a, err := r.place(r.client, secret, o)
		switch {
		case a == nil: // nobody was there, or it stood in the queue of the one that has gone; audit tells the difference
			r.nobody.Add(1)
		case err != nil || !a.whole(o):
			r.t.Errorf("%s: request %d: %v (%v)", name, number, a, err)
		default:
			r.whole.Add(1)
			r.mu.Lock()
			r.answered[name][number] = true
			r.mu.Unlock()
		}
	}
}

// restart ends the gateway in good order and takes the time until it serves again.
func (r *restarting) restart() {
	began := time.Now()
	r.stop(syscall.SIGTERM)
	r.drain = max(r.drain, time.Since(began))
	began = time.Now()
	r.launch()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for status(r.url+"/health") != http.StatusOK {
		r.alive()
		if <-tick.C; time.Since(began) > patience {
			r.t.Fatal("it does not come back")
		}
	}
	took := time.Since(began)
	if r.restarts = append(r.restarts, took); full && took > restartSoon() {
		r.t.Errorf("it took %v until it served again", took)
	}
}

// audit holds what the provider was asked against what was answered.
func (r *restarting) audit(p *till) {
	seen := 0
	for user, tab := range p.take() {
		for i := range tab {
			if seen++; !r.answered[user][tab[i].number] {
				r.t.Errorf("%s: request %d was accepted, and never answered", user, tab[i].number)
			}
		}
	}
	if seen != int(r.whole.Load()) {
		r.t.Errorf("the provider saw %d requests, %d were answered", seen, r.whole.Load())
	}
}
