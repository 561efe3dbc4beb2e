package gateway

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"github.com/sallyport-dev/sallyport/record"
	"github.com/valyala/fasthttp"
)

// silent counts nothing and keeps nothing.
type silent struct{}

func (silent) Begin()                {}
func (silent) Record(*record.Record) {}

// desk is a gateway without a network: requests are put on it as if fasthttp had just read them.
type desk struct {
	gateway *Gateway
	ctx     fasthttp.RequestCtx
}

func newDesk(tb testing.TB, request *fasthttp.Request) *desk {
	tb.Helper()
	c := testConfig(formats.OpenAI, []string{"http://127.0.0.1:1/v1"})
	policies := &fakePolicies{chooseStep: func(c *abi.StepChoice) abi.Answer { c.Policy = "default"; return abi.Given }}
	snapshot := NewSnapshot(c, policies, newIdentities(), newTracker(), nil, nil)
	d := &desk{gateway: New(Parts{Log: slog.New(slog.DiscardHandler), Ledger: newLedger(tb, testutil.NewMemory()), Recorder: silent{}}, snapshot)}
	d.ctx.Init2(&clientConn{addr: "127.0.0.1"}, nil, false)
	request.CopyTo(&d.ctx.Request)
	return d
}

// toForward takes the request through every stage up to forward, and lets it go.
func (d *desk) toForward() *refusal {
	x := d.gateway.begin(&d.ctx)
	defer x.finish()
	for _, stage := range []func() *refusal{x.frame, x.inspect, x.authenticate, x.admit} {
		if no := stage(); no != nil {
			return no
		}
	}
	step, no := x.chooseStep()
	if no == nil {
		no = x.reserve(step)
	}
	if no == nil {
		x.rewrite(step)
	}
	return no
}

// chatRequest is a request of about 250 bytes of header and prompt bytes of body.
func chatRequest(prompt int) *fasthttp.Request {
	var r fasthttp.Request
	r.Header.SetMethod("POST")
	r.SetRequestURI("/v1/chat/completions")
	r.Header.SetHost("gateway")
	r.Header.SetContentType("application/json")
	r.Header.Set("Authorization", "Bearer "+testKey)
	r.Header.Set("User-Agent", "OpenAI/Python 2.8.0")
	r.Header.Set("Accept", "application/json")
	r.SetBodyString(`{"model":"m0","messages":[{"role":"user","content":"` + strings.Repeat("a", prompt) + `"}],"temperature":0.7,"max_tokens":512}`)
	return &r
}

// stagesAllocs is what the stages up to forward allocate: the request id as the record's string, the ledger's batch and
// its channel, which all that are in it share (here there is one), and the test's store that copies it.
const stagesAllocs = 4

func TestStagesUpToForwardAllocate(t *testing.T) {
	d := newDesk(t, chatRequest(200))
	if no := d.toForward(); no != nil {
		t.Fatal(no)
	}
	got := testing.AllocsPerRun(1000, func() { _ = d.toForward() })
	t.Logf("%v allocations", got)
	if got > stagesAllocs && !underRace {
		t.Errorf("%v allocations from begin to rewrite, want %d", got, stagesAllocs)
	}
}

func BenchmarkStagesUpToForward(b *testing.B) {
	for name, size := range map[string]int{"250B": 200, "64KB": 64 << 10, "512KB": 512 << 10} {
		b.Run(name, func(b *testing.B) {
			d := newDesk(b, chatRequest(size))
			if no := d.toForward(); no != nil {
				b.Fatal(no)
			}
			b.SetBytes(int64(len(d.ctx.Request.Body())))
			b.ReportAllocs()
			for b.Loop() {
				_ = d.toForward()
			}
		})
	}
}
