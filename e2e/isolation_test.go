//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/internal/testutil/faults"
)

// isolationKeys is how many callers there are, each with a key and a canary of its own.
const isolationKeys = 200

// TestProofIsolation lets many keys ask a provider that leaves answers, late bytes and too much or too little on its
// connections, through a gateway that overwrites every buffer that it gives back: nobody is given what is another's.
func TestProofIsolation(t *testing.T) {
	t.Setenv("SALLYPORT_BIN", poisonedBinary(t))
	p := faults.New(t, faults.Poisoned(), faults.PoisonedLate())
	models, config := isolationModels(p)
	g := start(t, config, nil)
	i := &isolation{gateway: g, provider: p, models: models, client: callers(t, isolationKeys)}
	began := time.Now()
	var all sync.WaitGroup
	for n := range isolationKeys {
		_, secret := g.issue(identity.Wish{Name: fmt.Sprintf("key-%03d", n), Budgets: total(1_000_000_000_000)})
		all.Go(func() { i.work(n, secret, size(20_000, 1_000_000)/isolationKeys) })
	}
	_, secret := g.issue(identity.Wish{Name: "late", Budgets: total(1_000_000_000_000)})
	all.Go(func() { i.workLate(secret, size(200, 5000)) })
	all.Wait()
	took := time.Since(began)
	g.settled()
	g.verify()
	sum := i.whole.Load() + i.failed.Load()
	t.Logf("%d answers to %d keys in %v (%.0f/s), %d of them whole: %d foreign canaries",
		sum, isolationKeys, took.Round(time.Millisecond), float64(sum)/took.Seconds(), i.whole.Load(), i.foreign.Load())
	if i.whole.Load() < sum*8/10 {
		t.Errorf("only %d of %d answers are whole", i.whole.Load(), sum)
	}
}

// poisonedBinary builds the gateway so that it overwrites its buffers as it gives them back.
func poisonedBinary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sallyport-poison")
	c := exec.CommandContext(t.Context(), "go", "build", "-tags", "poison", "-o", path, "../cmd/sallyport")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("building it: %v\n%s", err, out)
	}
	return path
}

// isolation is the test at work.
type isolation struct {
	*gateway
	provider               *faults.Provider
	models                 []faults.Model
	client                 *http.Client
	whole, failed, foreign atomic.Int64
}

// isolationModels are one for every format, streamed and not, each with connections of its own.
func isolationModels(p *faults.Provider) (all []faults.Model, config string) {
	var providers, models strings.Builder
	for api := range faults.NumAPIs {
		for _, streamed := range []bool{false, true} {
			if api == faults.GeminiArray && !streamed {
				continue
			}
			for _, behaviour := range []string{"poisoned", "poisoned-late"} {
				m := faults.Model{Behaviour: behaviour, API: api, Streamed: streamed, Case: "x"}
				fmt.Fprintf(&providers, "  - {name: %q, format: %s, base_url: %q}\n", m, api.Format(), p.URL(m)+api.Base())
				fmt.Fprintf(&models, "  - {alias: %q, provider: %q, model: %q, price: {input: 1, output: 2}}\n", m, m, m)
				all = append(all, m)
			}
		}
	}
	return all, "providers:\n" + providers.String() + "models:\n" + models.String()
}

// work is one key's caller. Streams are one answer in eight.
func (i *isolation) work(key int, secret string, requests int) {
	var whole, streams []faults.Model
	for _, m := range i.models {
		switch {
		case m.Behaviour != "poisoned":
		case m.Streamed:
			streams = append(streams, m)
		default:
			whole = append(whole, m)
		}
	}
	for n := range requests {
		m := whole[(key+n)%len(whole)]
		if n%8 == 0 {
			m = streams[(key+n/8)%len(streams)]
		}
		i.ask(m, fmt.Sprintf("key-%03d-%d", key, n), secret)
		if key == 0 {
			i.provider.Take(m.String()) // a million of them would fill the memory
		}
	}
}

// quiet is how long a provider is left alone that sends more than it was asked for.
const quiet = 25 * time.Millisecond

// workLate asks the providers whose answers are followed by others, one request after the other.
func (i *isolation) workLate(secret string, requests int) {
	left := time.NewTicker(quiet)
	defer left.Stop()
	for n := range requests {
		if m := i.models[n%len(i.models)]; m.Behaviour == "poisoned-late" {
			i.ask(m, fmt.Sprintf("late-%d", n), secret)
			left.Reset(quiet)
			<-left.C
		}
	}
}

// ask asks once, with a canary of its own.
func (i *isolation) ask(m faults.Model, own, secret string) {
	path, body := m.API.Request(m.String(), m.Streamed, own, 0)
	a, err := i.exchange(i.client, secret, path, body)
	if a == nil { // the connection was closed behind a cut stream just as it was used again
		a, err = i.exchange(i.client, secret, path, body)
	}
	if a == nil {
		i.t.Errorf("%s: no answer: %v", own, err)
		return
	}
	i.check(own, a, err)
}

func (i *isolation) check(own string, a *answer, err error) {
	marks := canary.FindAllString(a.body, -1)
	if slices.ContainsFunc(marks, func(s string) bool { return s != "canary:"+own+";" }) || strings.Contains(a.body, "canary:foreign") {
		i.foreign.Add(1)
		i.t.Errorf("%s got %q", own, marks)
	}
	if strings.Contains(a.body, "\xdb\xdb\xdb\xdb") {
		i.t.Errorf("%s got a buffer that was given back", own)
	}
	if err == nil && a.status == http.StatusOK && len(marks) == 1 && tokensOf(a.body) == faults.Tokens {
		i.whole.Add(1)
		return
	}
	i.failed.Add(1)
	if a.status == http.StatusOK && !strings.Contains(a.body, "stream_interrupted") {
		i.t.Errorf("%s got %s (%v)", own, a, err)
	}
}
