//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/internal/testutil/faults"
)

// eventPace is the time between two events of a stream.
const eventPace = 200 * time.Millisecond

// TestProofStreams keeps thousands of streams open for minutes: no event is lost, doubled, or out of its order. Both
// ends are in this process, so that it needs two descriptors for a stream, and the gateway another two.
func TestProofStreams(t *testing.T) {
	streams, lasts := size(300, 5000), time.Duration(size(5, 120))*time.Second
	needDescriptors(t, uint64(2*streams+500))
	events := int(lasts / eventPace)
	p := faults.New(t, faults.Ticker(func(faults.Model) int { return events }, eventPace))
	m := faults.Model{Behaviour: "paced", API: faults.Chat, Streamed: true, Case: "x"}
	g := start(t, fmt.Sprintf("providers: [{name: paced, format: openai, base_url: %q}]\n"+
		"models: [{alias: paced, provider: paced, model: %q, price: {input: 1, output: 2}}]\n", p.URL(m)+"/v1", m), nil)
	_, secret := g.issue(identity.Wish{Name: "listeners", Budgets: total(1_000_000_000_000_000)})
	s := &streaming{gateway: g, secret: secret, client: callers(t, streams), events: events}
	if a := g.ask(secret, chatPath, hello("nobody")); a.status != http.StatusNotFound { // so that it has been at work
		t.Fatalf("before: %s", a)
	}
	idle := g.resident()
	began := time.Now()
	var all sync.WaitGroup
	pace := time.NewTicker(lasts / 8 / time.Duration(streams)) // they come over an eighth of the time
	defer pace.Stop()
	for range streams {
		<-pace.C
		all.Go(s.listen)
	}
	g.until("all are open", func() bool { return int(s.open.Load()+s.ended.Load()) == streams })
	atOnce := s.open.Load()
	middle := time.NewTimer(lasts / 2)
	<-middle.C
	busy := g.resident()
	all.Wait()
	took := time.Since(began)
	g.settled()
	g.verify()
	slices.Sort(s.late)
	each := (busy - idle) >> 10 / int64(streams)
	t.Logf("%d streams, %d at once, of %d events each in %v: %d events arrived; the gateway has %d MiB, %d MiB without them: %d KiB for a stream (the goal is 40); an event's delay is %v (p99)",
		streams, atOnce, events, took.Round(time.Second), s.arrived.Load(), busy>>20, idle>>20, each, quantile(s.late, 99))
	if s.arrived.Load() != int64(streams*events) || int(s.ended.Load()) != streams {
		t.Errorf("%d events of %d arrived, in %d whole streams of %d", s.arrived.Load(), streams*events, s.ended.Load(), streams)
	}
}

// needDescriptors raises the limit of open files as far as it may be, for the gateway too.
func needDescriptors(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	if limit.Max < n {
		t.Fatalf("%d open files are needed, the limit is %d", n, limit.Max)
	}
	limit.Cur = limit.Max
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
}

// resident is how many bytes of memory the gateway has.
func (g *gateway) resident() int64 {
	g.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.process.Process.Pid))
	must(g.t, err)
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			must(g.t, err)
			return kib << 10
		}
	}
	g.t.Fatalf("no VmRSS in %s", text)
	return 0
}

// quantile returns the nth of a hundred of sorted durations.
func quantile(sorted []time.Duration, n int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)-1)*n/100].Round(time.Millisecond)
}

// streaming is the test at work.
type streaming struct {
	*gateway
	secret  string
	client  *http.Client
	events  int
	open    atomic.Int64
	ended   atomic.Int64
	arrived atomic.Int64

	mu   sync.Mutex
	late []time.Duration // behind the pace, of every tenth event
}

// listen is one client: it holds every event against the one that has to come next.
func (s *streaming) listen() {
	resp, err := s.client.Do(s.request(s.secret, chatPath, `{"model":"paced","stream":true,"max_tokens":1000,"messages":[]}`).WithContext(s.t.Context()))
	if err != nil {
		s.t.Error(err)
		return
	}
	defer resp.Body.Close()
	s.open.Add(1)
	defer s.open.Add(-1)
	next, whole, first := 0, false, time.Time{}
	in := bufio.NewReaderSize(resp.Body, 1<<10)
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			break
		}
		_, tick, ok := strings.Cut(string(line), `"tick`)
		switch {
		case ok:
			number, _, _ := strings.Cut(tick, ".")
			if number != strconv.Itoa(next) {
				s.t.Errorf("event %s came, want %d", number, next)
				return
			}
			if next == 0 {
				first = time.Now()
			} else if next%10 == 0 {
				s.note(time.Since(first) - time.Duration(next)*eventPace)
			}
			next++
			s.arrived.Add(1)
		case strings.HasPrefix(string(line), "data: [DONE]"):
			whole = true
		}
	}
	if next != s.events || !whole {
		s.t.Errorf("a stream ended after %d events of %d, whole: %v", next, s.events, whole)
		return
	}
	s.ended.Add(1)
}

func (s *streaming) note(late time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late = append(s.late, late)
}
