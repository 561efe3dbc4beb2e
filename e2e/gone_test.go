//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/internal/testutil/faults"
)

// gonePhase is a point of an exchange at which its client leaves, seen from the provider.
type gonePhase struct {
	name     string
	behave   string // of the step that the client waits for
	streamed bool
	read     string // what the client has read when it leaves; "": it leaves when the provider has its request
	before   string // the behaviour of a step in front of it; "" for none
	commit   string
	parked   bool // the provider has refused, and the gateway waits until it may ask again
}

var gonePhases = []gonePhase{
	{name: "before the first byte", behave: "silent", streamed: true},
	{name: "before the first byte, not streamed", behave: "silent"},
	{name: "within the head", behave: "stalls-in-head", streamed: true},
	{name: "before the content", behave: "stalls-before-content", streamed: true},
	{name: "within a whole answer", behave: "stalls-after-40"},
	{name: "within a stream that stalls", behave: "stalls-after-40", streamed: true, read: faults.Token(39)},
	{name: "within a stream that goes on", behave: "slow", streamed: true, read: faults.Token(5)},
	{name: "within a stream that is held", behave: "slow", streamed: true, commit: "complete"},
	{name: "at the second step", behave: "silent", streamed: true, before: "504"},
	{name: "while a limited step is waited for", behave: "429-seconds", streamed: true, parked: true},
}

// goneSoon is how long a provider may be left to answer nobody: 99 of 100 of them.
func goneSoon() time.Duration { return soon(150 * time.Millisecond) }

// TestProofClientGone has clients leave in every phase of an attempt: the provider's connection is closed at once,
// nothing more is sent, and everything is settled. What is booked then is shown by the gateway's own tests.
func TestProofClientGone(t *testing.T) {
	p := faults.New(t)
	crowd := size(10, 200)
	g := start(t, goneConfig(p), nil)
	_, secret := g.issue(identity.Wish{Name: "leavers", Budgets: total(1_000_000_000_000_000)})
	for i := range gonePhases {
		phase := &gonePhases[i]
		t.Run(phase.name, func(t *testing.T) {
			w := &leaving{gateway: g, provider: p, phase: phase, secret: secret, model: phase.model(i), left: make([]time.Time, crowd)}
			w.run(t, crowd)
		})
	}
	g.settled()
	g.verify()
}

func (p *gonePhase) model(i int) faults.Model {
	return faults.Model{Behaviour: p.behave, API: faults.Chat, Streamed: p.streamed, Case: "gone-" + strconv.Itoa(i)}
}

// goneConfig is a chain for each phase, with the timeouts that it has by itself.
func goneConfig(p *faults.Provider) string {
	var providers, models, chains strings.Builder
	add := func(m faults.Model) string {
		fmt.Fprintf(&providers, "  - {name: %q, format: openai, base_url: %q}\n", m, p.URL(m)+"/v1")
		fmt.Fprintf(&models, "  - {alias: %q, provider: %q, model: %q, price: {input: 1, output: 2}}\n", m, m, m)
		return fmt.Sprintf("{model: %q, priority: 2}", m)
	}
	for i := range gonePhases {
		phase := &gonePhases[i]
		steps := add(phase.model(i))
		if phase.before != "" {
			first := phase.model(i)
			first.Behaviour = phase.before
			steps = strings.Replace(add(first), "2", "1", 1) + ", " + steps
		}
		commit := phase.commit
		if commit == "" {
			commit = "first_content"
		}
		fmt.Fprintf(&chains, "  - {name: gone-%d, commit: %s, steps: [%s]}\n", i, commit, steps)
	}
	return "providers:\n" + providers.String() + "models:\n" + models.String() + "chains:\n" + chains.String()
}

// leaving is one phase.
type leaving struct {
	*gateway
	provider *faults.Provider
	phase    *gonePhase
	secret   string
	model    faults.Model
	left     []time.Time
}

// run lets all clients come and leave, and looks at when the provider found it out.
func (w *leaving) run(t *testing.T, crowd int) {
	var all sync.WaitGroup
	for n := range crowd {
		all.Go(func() {
			if err := w.visit(n); err != nil {
				t.Errorf("client %d: %v", n, err)
			}
		})
	}
	all.Wait()
	w.settled()
	if w.phase.parked {
		w.nothingMore(t)
		return
	}
	seen := w.provider.Seen(w.model.String())
	if len(seen) != crowd {
		t.Errorf("the provider saw %d requests of %d clients", len(seen), crowd)
	}
	w.until("the provider has found all gone", func() bool {
		seen = w.provider.Seen(w.model.String())
		return !slices.ContainsFunc(seen, func(r faults.Request) bool { return r.Ended.IsZero() })
	})
	var took []time.Duration
	for _, r := range seen {
		n, err := strconv.Atoi(r.Canary)
		must(t, err)
		took = append(took, r.Ended.Sub(w.left[n]))
	}
	slices.Sort(took)
	middle, p99 := took[len(took)/2], took[len(took)*99/100]
	if took[0] < 0 || p99 > goneSoon() {
		t.Errorf("the provider was left alone from %v to %v after its client", took[0], p99)
	}
	t.Logf("%d clients: the provider's connection is closed after %v in the middle, %v (p99)",
		len(took), middle.Round(time.Millisecond), p99.Round(time.Millisecond))
}

// nothingMore checks that the provider is not asked for clients that have left while it was waited for.
func (w *leaving) nothingMore(t *testing.T) {
	parking := time.NewTimer(1500 * time.Millisecond) // longer than it lasts
	<-parking.C
	last := slices.MaxFunc(w.left, time.Time.Compare)
	seen := w.provider.Seen(w.model.String())
	for _, r := range seen {
		if r.Began.After(last) {
			t.Errorf("client %s was asked for %v after the last had left", r.Canary, r.Began.Sub(last))
		}
	}
	t.Logf("%d clients: the provider was asked %d times before they left, and not once after", len(w.left), len(seen))
}

// visit is one client's: it comes, waits for the phase, and leaves.
func (w *leaving) visit(n int) error {
	path, body := w.model.API.Request("gone-"+w.model.Case[len("gone-"):], w.model.Streamed, strconv.Itoa(n), 0)
	ctx, leave := context.WithTimeout(w.t.Context(), 2*patience)
	defer leave()
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	head := "POST " + path + " HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + w.secret + "\r\nContent-Type: application/json\r\nContent-Length: "
	if _, err := io.WriteString(c, head+strconv.Itoa(len(body))+"\r\n\r\n"+body); err != nil {
		return err
	}
	switch {
	case w.phase.parked:
		refused := time.NewTimer(500 * time.Millisecond)
		<-refused.C
	case w.phase.read == "":
		w.until("the provider has the request of client "+strconv.Itoa(n), func() bool {
			return slices.ContainsFunc(w.provider.Seen(w.model.String()), func(r faults.Request) bool { return r.Whole && r.Canary == strconv.Itoa(n) })
		})
		answered := time.NewTimer(60 * time.Millisecond) // by as much of an answer as there will be
		<-answered.C
	}
	var got []byte
	for part := make([]byte, 4096); !strings.Contains(string(got), w.phase.read); {
		k, err := c.Read(part)
		if got = append(got, part[:k]...); err != nil {
			return fmt.Errorf("%w after %q", err, got)
		}
	}
	w.left[n] = time.Now()
	return nil
}
