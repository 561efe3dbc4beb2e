//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/admin"
	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/state"
)

const (
	fewKeys     = 10
	rate        = 1000                  // requests a second
	senders     = 64                    // that share them
	ticks       = 10 * time.Millisecond // of the clock that the kernel counts CPU time in
	memoryBound = 512 << 20             // bytes of memory of its own that a gateway with all those keys may take
)

// TestProofManyKeys compares what a request costs the gateway with a million keys and with ten: in CPU time of its
// process, at a fixed rate, with a budget on every key, both at once. Of the million, either all are used alike, which no cache
// helps with, or some far more than others, as people do.
func TestProofManyKeys(t *testing.T) {
	p := newTill(t)
	many := size(10_000, 1_000_000)
	few, all := startWithKeys(t, p, fewKeys), startWithKeys(t, p, many)
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 10, uint64(many-1))
	var mu sync.Mutex // of zipf
	base := &crowd{name: "ten keys", gateway: few, pick: func() int { return rand.IntN(fewKeys) }}
	runs := []*crowd{
		{name: "ten of them", gateway: all, pick: func() int { return rand.IntN(fewKeys) }},
		{name: "some more than others", gateway: all, pick: func() int { mu.Lock(); defer mu.Unlock(); return int(zipf.Uint64()) }},
		{name: "all alike", gateway: all, pick: func() int { return rand.IntN(many) }},
	}
	for _, c := range runs {
		c.beside(base, time.Second) // warm
	}
	for range size(1, 5) {
		for _, c := range runs {
			c.ratios = append(c.ratios, c.beside(base, time.Duration(size(1, 20))*time.Second))
			p.take()
		}
	}
	cost, _ := median(base.costs)
	t.Logf("%d keys: %v of CPU for a request", fewKeys, cost)
	for _, c := range runs {
		cost, _ := median(c.costs)
		slices.Sort(c.ratios)
		n := len(c.ratios)
		t.Logf("%d keys, %s: %v of CPU for a request, %.2f times that with ten keys (half of the rounds: %.2f to %.2f)",
			many, c.name, cost, c.ratios[n/2], c.ratios[n/4], c.ratios[n*3/4])
		if busy := int(c.busy.Load()); busy > c.sent/1000 {
			t.Errorf("%d of %d requests are turned away", busy, c.sent)
		}
	}
	for _, g := range []*gateway{few, all} {
		own, mapped := g.memory()
		t.Logf("memory: %d MiB of its own, %d MiB of mapped files; %v accounts are resident", own>>20, mapped>>20, g.figure("sallyport_ledger_resident_accounts"))
		if own > memoryBound {
			t.Errorf("it takes %d bytes of memory", own)
		}
		g.verify()
	}
}

// startWithKeys starts a gateway with so many keys, which are put into its data folder before.
func startWithKeys(t *testing.T, p *till, n int) *gateway {
	t.Helper()
	memory, memoryErr := os.MkdirTemp("/dev/shm", "sallyport-e2e-") //nolint:usetesting // in memory, where a sync for each key costs nothing
	t.Cleanup(func() { _ = os.RemoveAll(memory) })                  // it may not be there
	g := prepare(t, tillConfig, map[string]string{"Provider": p.URL})
	data := filepath.Join(g.folder, "data")
	if memoryErr == nil {
		must(t, os.Symlink(memory, data))
	}
	began := time.Now()
	makeKeys(t, data, n)
	t.Logf("%d keys made in %v", n, time.Since(began).Round(time.Millisecond))
	began = time.Now()
	g.run()
	t.Logf("started with them in %v", time.Since(began).Round(time.Millisecond))
	return g
}

// makeKeys fills a data folder with keys.
func makeKeys(t *testing.T, data string, n int) {
	t.Helper()
	s, err := state.Open(data, state.Options{Ballast: -1})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	pepper, err := s.Pepper()
	must(t, err)
	hasher, err := identity.NewHasher(pepper)
	must(t, err)
	for i := range n {
		digest := hasher.Digest([]byte(secretOf(i)))
		key := identity.Key{ID: fmt.Sprintf("key_%016x", i), Name: fmt.Sprintf("key-%d", i), Created: time.Now(), Budgets: total(1_000_000_000_000)}
		key.Limits[abi.RequestsPerMinute] = 1_000_000
		must(t, s.CreateKey(context.Background(), key, &digest))
	}
}

func secretOf(i int) string { return fmt.Sprintf("the-secret-of-key-%d", i) }

// crowd is one way to use the keys of a gateway.
type crowd struct {
	*gateway
	name   string
	pick   func() int
	costs  []time.Duration // CPU for a request, of each run
	ratios []float64       // of each run beside ten keys
	sent   int
	busy   atomic.Int64 // requests that were turned away because the machine was too busy
}

// beside runs two crowds at once, so that whatever else the machine does slows both of them down, and returns what a
// request of c cost the gateway, compared with one of the other.
func (c *crowd) beside(other *crowd, d time.Duration) (ratio float64) {
	var both sync.WaitGroup
	for _, crowd := range []*crowd{c, other} {
		both.Go(func() { crowd.costs = append(crowd.costs, crowd.run(d)) })
	}
	both.Wait()
	if c.t.Failed() {
		c.t.FailNow() // a run may have ended early
	}
	return float64(c.costs[len(c.costs)-1]) / float64(other.costs[len(other.costs)-1])
}

// run sends requests at the rate for a while, and returns what one of them cost the gateway.
func (c *crowd) run(d time.Duration) (cost time.Duration) {
	c.t.Helper()
	client := callers(c.t, senders)
	due := make(chan int, senders)
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for key := range due {
				o := &order{User: "someone", Number: firstNumber, MaxTokens: 50}
				switch a, err := c.place(client, secretOf(key), o); {
				case err == nil && a.whole(o):
				case err == nil && a.status == http.StatusServiceUnavailable:
					c.busy.Add(1) // this machine has other things to do
				default:
					c.t.Errorf("a request with key %d: %v %v", key, err, a)
				}
			}
		})
	}
	before, sent := c.cpu(), 0
	defer func() { c.sent += sent }()
	const batch = 10 // a tick for each would be more than this clock gives
	tick := time.NewTicker(batch * time.Second / rate)
	defer tick.Stop()
	for end := time.Now().Add(d); time.Now().Before(end); <-tick.C {
		for range batch {
			due <- c.pick()
			sent++
		}
	}
	close(due)
	all.Wait()
	client.CloseIdleConnections()
	c.keepBooks()
	return (c.cpu() - before) / time.Duration(sent)
}

// keepBooks has the ledger write what it puts off, so that a run pays for what it causes.
func (c *crowd) keepBooks() {
	c.t.Helper()
	const noDay = "2000-01-01" // all is written before any is read
	_, err := c.books().Usage(c.t.Context(), admin.UsageQuery{From: noDay, To: noDay})
	must(c.t, err)
}

// cpu is the CPU time that the gateway has used.
func (g *gateway) cpu() time.Duration {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(g.process.Process.Pid), "stat"))
	must(g.t, err)
	_, rest, _ := strings.Cut(string(text), ") ") // behind the name
	fields := strings.Fields(rest)
	const user, system = 11, 12 // utime and stime, counted from the state
	var sum time.Duration
	for _, field := range []int{user, system} {
		n, err := strconv.Atoi(fields[field])
		must(g.t, err)
		sum += time.Duration(n) * ticks
	}
	return sum
}

// memory is what the gateway has in memory, in bytes: its own, and that of files, which the kernel can take back.
func (g *gateway) memory() (own, files int64) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(g.process.Process.Pid), "status"))
	must(g.t, err)
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		if !slices.Contains([]string{"RssAnon", "RssFile", "RssShmem"}, name) {
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		must(g.t, err)
		if name == "RssAnon" {
			own = kilobytes << 10
		} else {
			files += kilobytes << 10
		}
	}
	return own, files
}
