package runtime_test

import (
	"bytes"
	"slices"
	"sync"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// notebook is a Tracer that keeps what it is given, as far as the tests look at it. It wants requests by the first byte of
// their ids: those with an r.
type notebook struct {
	mu  sync.Mutex
	all []runtime.Decision
}

func (n *notebook) Wants(id []byte) bool { return len(id) > 0 && id[0] == 'r' }

func (n *notebook) Trace(d *runtime.Decision) {
	n.mu.Lock()
	defer n.mu.Unlock()
	kept := *d
	kept.Calls = slices.Clone(d.Calls)
	n.all = append(n.all, kept)
}

// What a policy looks at and what it is answered is recorded, in its order, and nothing that it did not look at.
func TestDecisionsAreRecorded(t *testing.T) {
	wasm := guest(abi.ChooseStep, func(g *w.Guest) []byte {
		named := func(name string) []byte {
			return w.Code(g.Host("get_named", w.I32Const(int32(abi.FieldRequestHeaders)), g.Text(name), w.I32Const(0), w.I32Const(64)), w.Drop)
		}
		return w.Code(named("x-team"), named("x-team"), named("x-none"), g.Host("now"), w.Drop, g.Host("now"), w.Drop,
			g.Host("random", w.I32Const(0), w.I32Const(3)), w.Drop, g.SetInt(abi.FieldChosenStep, 0, 1), w.Verdict)
	})
	var notes notebook
	set := load(t, runtime.Options{Tracer: &notes, Now: clock, Random: func(b []byte) { copy(b, "abc") }},
		runtime.Policy{Name: "p", Wasm: wasm, Grants: runtime.Grants{Inputs: []string{"request.headers.x-team", "request.headers.x-none", "request.headers.cookie"}}})
	c := choice()
	c.Request.Headers = header{"x-team": []byte("r"), "cookie": []byte("secret")}
	set.ChooseStep(c)
	if len(notes.all) != 0 {
		t.Fatal("a request that nobody wants was recorded")
	}
	c.Request.ID = []byte("req")
	if answer := set.ChooseStep(c); answer != abi.Given || len(notes.all) != 1 {
		t.Fatalf("answer %d, %d decisions", answer, len(notes.all))
	}
	d := notes.all[0]
	if d.Policy != "p" || d.Answer != abi.Given || d.StepChoice.Step != 1 || d.Identity != c.Identity || d.Request.Headers != nil || d.Fuel <= 0 || d.Took <= 0 {
		t.Errorf("%+v", d)
	}
	if len(d.Headers) != 2 || d.Headers[0].Name != "x-team" || string(d.Headers[0].Value) != "r" || d.Headers[1].Name != "x-none" || d.Headers[1].Found {
		t.Errorf("headers %+v", d.Headers)
	}
	if len(d.Calls) != 2 || d.Calls[0].Function != "now" || d.Calls[0].Result != clock().UnixMilli() || string(d.Calls[1].Out) != "abc" {
		t.Errorf("calls %+v", d.Calls)
	}
	if v, ok := c.Request.Headers.Header("cookie"); !ok || string(v) != "secret" {
		t.Error("the request was changed")
	}
}

func TestFailuresAndPassesAreRecorded(t *testing.T) {
	guests := authenticators()
	for word, want := range map[string]abi.Answer{"pass": abi.NoVerdict, "trap": abi.Failed, "allow": abi.Given} {
		var notes notebook
		set := load(t, runtime.Options{Tracer: &notes}, runtime.Policy{Name: "p", Wasm: guests[word]})
		set.Authenticate(&abi.Authentication{Request: &abi.Request{ID: []byte("req")}, Credential: []byte("c")})
		if len(notes.all) != 1 || notes.all[0].Answer != want || notes.all[0].CredentialRead || (notes.all[0].Cause != "") != (want == abi.Failed) {
			t.Errorf("%s: %+v", word, notes.all)
		}
	}
}

// A recording has an end, whatever a guest does.
func TestRecordingsAreBounded(t *testing.T) {
	var notes notebook
	set := load(t, runtime.Options{Tracer: &notes}, runtime.Policy{Name: "p", Wasm: guest(abi.PriceResponse, func(g *w.Guest) []byte {
		return w.Code(bytes.Repeat(w.Code(g.Host("random", w.I32Const(0), w.I32Const(4096)), w.Drop), 300), w.Pass)
	})})
	set.PriceResponse(&abi.Pricing{Request: &abi.Request{ID: []byte("req")}})
	size := 0
	for _, c := range notes.all[0].Calls {
		size += len(c.Out)
	}
	if !notes.all[0].Cut || size > 256<<10 || size < 200<<10 {
		t.Errorf("%d calls of %d bytes, cut %t", len(notes.all[0].Calls), size, notes.all[0].Cut)
	}
}

// Nobody pays for a tracer that does not want a request.
func TestTracingThatIsOffDoesNotAllocate(t *testing.T) {
	set := load(t, runtime.Options{Tracer: &notebook{}}, runtime.Policy{Name: "reads", Wasm: reader(), Grants: runtime.Grants{Inputs: []string{"request.headers.x-team"}}})
	c := choice()
	c.Request.ID = []byte("other")
	if n := testing.AllocsPerRun(100, func() { set.ChooseStep(c) }); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

func BenchmarkTracing(b *testing.B) {
	for name, id := range map[string]string{"off": "other", "on": "req"} {
		b.Run(name, func(b *testing.B) {
			set := load(b, runtime.Options{Tracer: forgetful{}}, runtime.Policy{Name: "p", Wasm: passes(abi.PriceResponse)})
			p := &abi.Pricing{Request: &abi.Request{ID: []byte(id)}}
			b.ReportAllocs()
			for b.Loop() {
				set.PriceResponse(p)
			}
		})
	}
}

// forgetful is a Tracer that keeps nothing.
type forgetful struct{}

func (forgetful) Wants(id []byte) bool    { return id[0] == 'r' }
func (forgetful) Trace(*runtime.Decision) {}
