//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"strconv"
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
	swapPause   = 20 * time.Millisecond
	// swapLooks is how often the test looks at what the gateway holds. Each figure's least of the first looks is compared with
	// that of the last ones: a leak raises them all, and a collection that is late does not.
	swapLooks = 10
)

// swapConfig leaves out what is not the matter: what else fills the disk; that a busy machine stands still for longer than a
// policy may take; and the built-in policy, of which one instance more weighs what all that is looked for does.
const swapConfig = `
disk: {log_below: 2MiB, ledger_below: 1MiB, ballast: 0}
keys: [{name: caller, key: "${E2E_CLIENT_KEY}"}]
policies:
  - {name: keys, wasm: ./plugins/keys.wasm, grants: {identities: read}, limits: {time: 10s}}
  - {name: rule, wasm: ./plugins/rule.wasm, limits: {time: 10s}}
`

// letKeysIn is a policy that lets stored keys in.
func letKeysIn() []byte {
	m := wasmtest.NewGuest()
	const size = abi.DigestSize
	m.Hook(abi.Authenticate.String(),
		m.Host("get", wasmtest.I32Const(int32(abi.FieldCredentialDigest)), wasmtest.I32Const(0), wasmtest.I32Const(0), wasmtest.I32Const(size)), wasmtest.Drop,
		m.Host("identity_lookup", wasmtest.I32Const(0), wasmtest.I32Const(size)), wasmtest.Drop,
		m.SetInt(abi.FieldAllowHandle, 0, 1), wasmtest.Verdict)
	return m.Bytes()
}

// TestProofSwaps: a policy is replaced again and again while it is asked, each version with a manifest and a self-test of its
// own, and every tenth a bad one. No request fails, every version that is good takes effect, and what is swapped out is gone:
// goroutines and memory are what they were.
func TestProofSwaps(t *testing.T) {
	p := newTill(t)
	g := prepare(t, tillConfig+swapConfig, map[string]string{"Provider": p.URL})
	s := &swaps{gateway: g, client: callers(t, swapCallers), stop: make(chan struct{}), version: 1}
	g.drop("keys.wasm", letKeysIn())
	g.drop("rule.wasm", s.rule(true))
	g.run()
	all := size(50, 1000)
	s.load()
	began := time.Now()
	var held []taken
	for range swapLooks {
		s.swap(all / swapLooks)
		held = append(held, s.take())
	}
	took := time.Since(began)
	s.unload()
	s.settled()
	t.Logf("%d swaps in %v (%v each) under %d requests, %d failed; then and then: %v",
		all, took.Round(time.Millisecond), (took / time.Duration(all)).Round(time.Millisecond), s.served.Load(), s.failed.Load(), held)
	if s.failed.Load() > 0 || s.served.Load() < int64(all) {
		t.Errorf("%d requests were served, %d failed; the last: %v", s.served.Load(), s.failed.Load(), s.last.Load())
	}
	early, late := least(held[1:swapLooks/2+1]), least(held[swapLooks/2:]) // what is made once has been made by the first look
	if late.goroutines > early.goroutines+4 {
		t.Errorf("%.0f goroutines became %.0f", early.goroutines, late.goroutines)
	}
	if more := late.live - early.live; more > 2<<20 {
		t.Errorf("%d KiB more are alive than before", more>>10)
	}
	if more := late.own - early.own; more > 12<<20 {
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
	live       int64 // bytes in the heap that the collector found in use
	own        int64 // bytes of the process: the heap, compiled code, instances
}

func (t taken) String() string {
	return fmt.Sprintf("%.0f goroutines, %d KiB alive, %d KiB", t.goroutines, t.live>>10, t.own>>10)
}

// take looks at what the gateway holds when the collector has come by twice: what finalizers let go is gone then.
func (s *swaps) take() (now taken) {
	s.t.Helper()
	const collections, goal = "go_gc_duration_seconds_count", "go_memstats_next_gc_bytes"
	before := s.figure(collections)
	s.until("the collector has come by", func() bool { return s.figure(collections) >= before+2 })
	now.goroutines = s.figure("go_goroutines")
	now.live = int64(s.figure(goal)) / 2 // at which it collects next: twice of what is in use
	now.own, _ = s.memory()
	return now
}

// least is the least of each figure.
func least(all []taken) taken {
	out := all[0]
	for _, t := range all {
		out = taken{min(out.goroutines, t.goroutines), min(out.live, t.live), min(out.own, t.own)}
	}
	return out
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
		before := s.log.Size()
		s.drop("rule.wasm", s.rule(good))
		s.until(fmt.Sprintf("version %d is %s", s.version, word), func() bool { return s.log.Says(word, before) })
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
