//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/plugin/manifest"
)

// swapCallers ask while policies are swapped, each as often as this.
const (
	swapCallers = 8
	swapPause   = 5 * time.Millisecond
)

// TestProofSwaps: a policy is replaced again and again while it is asked, each version with a manifest and a self-test of its
// own, and every tenth a bad one. No request fails, every version that is good takes effect, and what is swapped out is gone:
// goroutines and memory are what they were.
func TestProofSwaps(t *testing.T) {
	p := newTill(t)
	g := start(t, tillConfig+"disk: {log_below: 2MiB, ledger_below: 1MiB, ballast: 0}\n"+ // what else fills the disk is not the matter
		"keys: [{name: caller, key: \"${E2E_CLIENT_KEY}\"}]\n"+
		"policies:\n  - {name: default, wasm: \"builtin:default\", grants: {identities: read}}\n", map[string]string{"Provider": p.URL})
	s := &swaps{gateway: g, client: callers(t, swapCallers), stop: make(chan struct{})}
	all := size(50, 1000)
	s.swap(all / 10) // what is made once has been made then
	s.load()
	before := s.take()
	began := time.Now()
	s.swap(all / 2)
	half := s.take()
	s.swap(all - all/2)
	took := time.Since(began)
	after := s.take()
	s.unload()
	s.settled()
	t.Logf("%d swaps in %v (%v each) under %d requests, %d failed; goroutines %.0f, then %.0f; own memory %d, %d, %d KiB",
		all, took.Round(time.Millisecond), (took / time.Duration(all)).Round(time.Millisecond), s.served.Load(), s.failed.Load(),
		before.goroutines, after.goroutines, before.memory>>10, half.memory>>10, after.memory>>10)
	if s.failed.Load() > 0 || s.served.Load() < int64(all) {
		t.Errorf("%d requests were served, %d failed; the last: %v", s.served.Load(), s.failed.Load(), s.last.Load())
	}
	if after.goroutines > before.goroutines+10 {
		t.Errorf("%.0f goroutines became %.0f", before.goroutines, after.goroutines)
	}
	if more := after.memory - before.memory; more > 64<<20 {
		t.Errorf("the gateway has %d KiB more of its own memory than before", more>>10)
	}
}

// swaps is the test's gateway under load.
type swaps struct {
	*gateway
	client  *http.Client
	stop    chan struct{}
	workers sync.WaitGroup

	served, failed atomic.Int64
	last           atomic.Value // what failed last
	version        int          // of the policy
}

// taken is what the gateway holds at a time.
type taken struct {
	goroutines float64
	memory     int64
}

// take looks at what the gateway holds.
func (s *swaps) take() (now taken) {
	s.t.Helper()
	now.goroutines = s.figure("go_goroutines")
	now.memory, _ = s.memory()
	return now
}

// load has callers ask, streams and others, until unload.
func (s *swaps) load() {
	for n := range swapCallers {
		s.workers.Go(func() {
			tick := time.NewTicker(swapPause)
			defer tick.Stop()
			for i := int64(0); ; i++ {
				select {
				case <-s.stop:
					return
				case <-tick.C:
				}
				o := &order{User: "caller" + strconv.Itoa(n), Number: firstNumber + i, MaxTokens: 10, Stream: i%4 == 0}
				if a, err := s.place(s.client, clientKey, o); err != nil || !a.whole(o) {
					s.failed.Add(1)
					s.last.Store(fmt.Sprint(a, err))
					continue
				}
				s.served.Add(1)
			}
		})
	}
}

func (s *swaps) unload() {
	close(s.stop)
	s.workers.Wait()
	s.client.CloseIdleConnections()
}

// swap drops so many versions in, one after the other; of every bad the gateway says that it is one.
func (s *swaps) swap(times int) {
	s.t.Helper()
	const changed, refused = "configuration changed", "configuration refused"
	for range times {
		s.version++
		word, good := changed, s.version%10 != 0
		if !good {
			word = refused
		}
		before := strings.Count(s.log.String(), word)
		s.drop("rule.wasm", s.rule(good))
		s.until(fmt.Sprintf("version %d is %s", s.version, word), func() bool { return strings.Count(s.log.String(), word) > before })
		if s.failed.Load() > 0 {
			return // it is not going to get better
		}
	}
}

// rule is a version of the policy, which prices by its number. Its self-test says so; that of a bad one says something else.
func (s *swaps) rule(good bool) []byte {
	s.t.Helper()
	cost := s.version
	m := wasmtest.NewGuest()
	m.Hook(abi.PriceResponse.String(), m.SetInt(abi.FieldCost, 0, int64(cost)), wasmtest.Verdict)
	m.Hook(abi.Authenticate.String(), wasmtest.Pass)
	m.Hook(abi.ChooseStep.String(), wasmtest.Pass)
	if !good {
		cost++
	}
	wasm, err := manifest.Embed(m.Bytes(), fmt.Appendf(nil,
		`{"name": "rule", "version": "1.0.%d", "abi": 1, "tests": [{"name": "price", "hook": "price_response", "want": {"cost": %d}}]}`, s.version, cost))
	must(s.t, err)
	return wasm
}
