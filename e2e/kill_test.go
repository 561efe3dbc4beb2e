//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

const (
	workers    = 60
	workerPace = 100 * time.Millisecond // between two requests of one worker on the average: some 500 a second in all
	workerSlow = 12 * time.Millisecond  // what the provider takes at most
	workerMost = 900                    // output tokens
)

// restartTime is how long a restart after a kill may take.
func restartTime() time.Duration { return soon(2 * time.Second) }

// TestProofKill kills the gateway with SIGKILL at random moments under 500 requests a second. After every restart the
// ledger has every request that the provider has seen, once: at its true cost, or, where the end came before its
// settlement was written, at its estimate and marked as such.
func TestProofKill(t *testing.T) {
	for _, run := range []struct {
		durability string
		kills      int
	}{{"process", size(8, 200)}, {"power", size(2, 20)}} {
		t.Run(run.durability, func(t *testing.T) {
			p := newTill(t)
			p.slow = workerSlow
			g := start(t, tillConfig+"ledger: {durability: "+run.durability+"}\n", map[string]string{"Provider": p.URL})
			k := newKilling(g, p)
			var all sync.WaitGroup
			stop := make(chan struct{})
			for i := range k.workers {
				all.Go(func() { k.workers[i].work(stop) })
			}
			for range run.kills {
				k.life()
				if t.Failed() {
					break
				}
			}
			close(stop)
			k.open.Unlock()
			all.Wait()
			g.settled()
			k.audit()
			k.report(run.kills)
		})
	}
}

// killing is a gateway that is killed again and again, and what came of it.
type killing struct {
	*gateway
	till    *till
	workers []*worker
	open    sync.RWMutex // read-held by workers while they send; held while the gateway is down

	requests, crashed, unseen, answered int
	lived                               time.Duration
	restarts                            []time.Duration
	entries                             int64
}

// worker sends one request after the other, with a key of its own.
type worker struct {
	*killing
	name, id, secret string
	client           *http.Client
	number           int64
	answered         []int64 // numbers of the orders that it has whole answers to, in this life
}

func newKilling(g *gateway, p *till) *killing {
	k := &killing{gateway: g, till: p}
	_, err := g.books().CreateTeam(g.t.Context(), &abi.Team{Name: "workers", Budgets: total(1_000_000_000_000)})
	must(g.t, err)
	for i := range workers {
		w := &worker{killing: k, name: fmt.Sprintf("worker-%02d", i), client: callers(g.t, 1), number: firstNumber}
		w.id, w.secret = g.issue(identity.Wish{Name: w.name, Team: "workers", Budgets: total(100_000_000_000)})
		k.workers = append(k.workers, w)
	}
	k.open.Lock()
	return k
}

// work sends requests at random moments, half of them for streams, while the gateway is up.
func (w *worker) work(stop <-chan struct{}) {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-stop:
			return
		case <-next.C:
			if w.open.TryRLock() {
				w.ask()
				w.open.RUnlock()
			}
			next.Reset(rand.N(2 * workerPace))
		}
	}
}

func (w *worker) ask() {
	w.number++
	o := &order{User: w.name, Number: w.number, MaxTokens: workerMost, Stream: w.number%2 == 0}
	a, err := w.place(w.client, w.secret, o)
	switch {
	case err != nil: // it was killed
	case a.whole(o):
		w.answered = append(w.answered, o.Number)
	case a.status != http.StatusOK:
		w.t.Errorf("%s: request %d is answered %s", w.name, o.Number, a)
	}
}

// life lets the workers work for a while, kills the gateway, starts it again, and compares what is in the ledger with
// what the provider saw. The workers wait meanwhile, so that what is found open was left so.
func (k *killing) life() {
	began := time.Now()
	k.open.Unlock()
	end := time.NewTimer(50*time.Millisecond + rand.N(300*time.Millisecond))
	<-end.C
	k.stop(syscall.SIGKILL)
	k.lived += time.Since(began)
	k.open.Lock()
	k.lastWords()
	seen := k.till.take()
	k.restart()
	if n := k.figure("sallyport_ledger_open_reservations"); n != 0 {
		k.t.Errorf("%v reservations are open after a restart", n)
	}
	crashed := k.figure("sallyport_ledger_crashed_total")
	entries := map[string][]attempt{}
	for _, a := range k.export("--from", began.UTC().Format(time.RFC3339Nano)) {
		entries[a.KeyID] = append(entries[a.KeyID], a)
	}
	before := k.crashed + k.unseen
	for _, w := range k.workers {
		w.compare(seen[w.name], entries[w.id])
	}
	if n := k.crashed + k.unseen - before; float64(n) != crashed {
		k.t.Errorf("%v crashed attempts are counted, %d are in the ledger", crashed, n)
	}
	k.entries = k.verify().Entries
}

// lastWords waits until the provider has read what the gateway had sent when it was killed: the kernel delivers that, and
// closes the connections, on which the provider then finds nobody.
func (k *killing) lastWords() {
	k.t.Helper()
	probe := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := probe.Get(k.till.URL) // it is accepted behind those that wait to be
	must(k.t, err)
	must(k.t, resp.Body.Close())
	k.until("the provider has read all that was sent", func() bool { return k.till.callers.Load() == 0 })
}

// restart starts the gateway again and takes the time until it is ready.
func (k *killing) restart() {
	began := time.Now()
	k.launch()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for status(k.admin+"/ready") != http.StatusOK || status(k.url+"/health") != http.StatusOK {
		k.alive()
		if <-tick.C; time.Since(began) > patience {
			k.t.Fatal("it does not become ready")
		}
	}
	took := time.Since(began)
	if k.restarts = append(k.restarts, took); took > restartTime() {
		k.t.Errorf("it took %v to restart", took)
	}
}

// compare holds what the ledger has of one life of a worker against what the provider saw of it. The worker sent one
// request after the other, so both are in one order: the settled attempts are the first that the provider saw, and
// only the last ones, whose settlement was not written yet or never made, were left to the restart.
func (w *worker) compare(seen []bill, entries []attempt) {
	slices.SortStableFunc(entries, func(a, b attempt) int { return a.Time.Compare(b.Time) }) // a clock may stand still
	settled := slices.IndexFunc(entries, func(a attempt) bool { return a.Basis != "authoritative" })
	if settled < 0 {
		settled = len(entries)
	}
	if settled > len(seen) || len(seen) > len(entries) {
		w.t.Errorf("%s: the provider saw %d attempts, the ledger has %d, %d of them settled", w.name, len(seen), len(entries), settled)
		return
	}
	for i, a := range entries[:settled] {
		if b := seen[i]; a.State != "settled" || a.Usage["input"] != b.input || a.Usage["output"] != b.output || a.Cost != b.cost() || a.Cost > a.Reserved {
			w.t.Errorf("%s: attempt %d is %+v, the provider saw %+v", w.name, i, a, b)
		}
	}
	for _, a := range entries[settled:] {
		if a.Basis != "crashed" || a.State != "settled" || a.Cost != a.Reserved || a.Reserved == 0 {
			w.t.Errorf("%s: an attempt that was left over is %+v", w.name, a)
		}
	}
	for _, number := range w.answered {
		at := slices.IndexFunc(seen, func(b bill) bool { return b.number == number })
		if at < 0 {
			w.t.Errorf("%s: request %d was answered, and the provider did not see it", w.name, number)
		} else if at >= settled {
			w.killing.answered++
		}
	}
	w.requests += len(seen)
	w.crashed += len(seen) - settled
	w.unseen += len(entries) - len(seen)
	w.answered = nil
}

// audit compares the whole ledger with the balances.
func (k *killing) audit() {
	all := k.export()
	requests := map[string]bool{}
	for i := range all {
		if requests[all[i].Request] {
			k.t.Errorf("request %s is in the ledger twice", all[i].Request)
		}
		requests[all[i].Request] = true
	}
	sums := costs(all, byKey)
	for _, w := range k.workers {
		if b := k.balance("key/" + w.id); b.Spent != sums[w.id] || b.Reserved != 0 {
			k.t.Errorf("%s: %d are exported, %d are the balance, %d reserved", w.name, sums[w.id], b.Spent, b.Reserved)
		}
	}
	if b := k.balance("team/workers"); b.Spent != costs(all, byTeam)["workers"] {
		k.t.Errorf("the team: %d are exported, %d are the balance", costs(all, byTeam)["workers"], b.Spent)
	}
	k.verify()
}

func (k *killing) report(kills int) {
	middle, largest := median(k.restarts)
	k.t.Logf("%d kills under %.0f requests a second: the provider saw %d attempts, all are in the ledger once; %d of them were under way and are booked at their estimate "+
		"(%d of these had been answered at that very moment); %d more were journaled and had not reached the provider",
		kills, float64(k.requests)/k.lived.Seconds(), k.requests, k.crashed, k.answered, k.unseen)
	k.t.Logf("%d attempts in the ledger; from start to ready %v in the middle, %v at most", k.entries, middle.Round(time.Millisecond), largest.Round(time.Millisecond))
}
