package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
)

// reply is what a provider does with one request.
type reply func(http.ResponseWriter, *http.Request)

// inTurn is a provider that answers its requests one after another; the last answer stands for all that follow.
func inTurn(t *testing.T, replies ...reply) (url string, asked *atomic.Int32) {
	asked = new(atomic.Int32)
	return provider(t, func(w http.ResponseWriter, r *http.Request) {
		n := int(asked.Add(1))
		replies[min(n, len(replies))-1](w, r)
	}), asked
}

func fails(status int, body string, headers ...string) reply {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func fine(w http.ResponseWriter, r *http.Request) { fails(200, wholeAnswer)(w, r) }

// sends streams events and then, unless it ended well, breaks the connection.
func sends(events ...string) reply {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, e := range events {
			_, _ = io.WriteString(w, e)
			_ = http.NewResponseController(w).Flush()
		}
		if last := events[len(events)-1]; last != done {
			panic(http.ErrAbortHandler)
		}
	}
}

const (
	tooLong   = `{"error":{"code":"context_length_exceeded","message":"This model's maximum context length is 10 tokens."}}`
	noModel   = `{"error":{"code":"model_not_found","message":"The model does not exist"}}`
	indecent  = `{"error":{"code":"content_policy_violation","message":"No."}}`
	noQuota   = `{"error":{"code":"insufficient_quota","type":"insufficient_quota","message":"sk-123"}}`
	busy      = "data: {\"error\":{\"type\":\"server_error\",\"message\":\"overloaded\"}}\n\n"
	malformed = "data: {\"choices\":[{\"delta\":{\"content\":\n\n"
	opening   = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
	other1    = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"other\"}}]}\n\n"
)

// What the steps of a chain do, and what comes of it: each is asked as often as docs/failures.md says.
func TestChains(t *testing.T) {
	stream := sends(event1, event3, done)
	facts := []struct {
		name          string
		first, second []reply
		set           func(*config.Chain)
		stream        bool
		status        int
		answer        string // what the client gets begins with it
		classes       string
		asked         [2]int32
	}{
		{name: "500 once: the same step again", first: []reply{fails(500, "{}"), fine}, second: []reply{fine}, set: retries(1),
			status: 200, answer: wholeAnswer, classes: "transient none", asked: [2]int32{2, 0}},
		{name: "500 always: then the next", first: []reply{fails(500, "{}")}, second: []reply{fine}, set: retries(1),
			status: 200, answer: wholeAnswer, classes: "transient transient none", asked: [2]int32{2, 1}},
		{name: "500 that asks for much patience: the next at once", first: []reply{fails(503, "{}", "Retry-After", "60")}, second: []reply{fine},
			set: retries(1), status: 200, answer: wholeAnswer, classes: "transient none", asked: [2]int32{1, 1}},
		{name: "429: the next at once", first: []reply{fails(429, "{}", "Retry-After", "1")}, second: []reply{fine}, set: retries(1),
			status: 200, answer: wholeAnswer, classes: "rate_limited none", asked: [2]int32{1, 1}},
		{name: "429 everywhere, far off: the least of what they ask for", first: []reply{fails(429, "{}", "Retry-After", "90")},
			second: []reply{fails(429, "{}", "Retry-After-Ms", "60500")}, set: retries(1),
			status: 429, answer: `{"error":{"message":"Every step of \"chain\" is limiting requests."`, classes: "rate_limited rate_limited", asked: [2]int32{1, 1}},
		{name: "out of quota: as a bad credential", first: []reply{fails(429, noQuota)}, second: []reply{fine},
			status: 200, answer: wholeAnswer, classes: "bad_credential none", asked: [2]int32{1, 1}},
		{name: "too long: passes where no step takes more", first: []reply{fails(400, tooLong)}, second: []reply{fine},
			status: 400, answer: tooLong, classes: "context_length", asked: [2]int32{1, 0}},
		{name: "too long: a step that takes more", first: []reply{fails(400, tooLong)}, second: []reply{fine}, set: contexts(10, 20),
			status: 200, answer: wholeAnswer, classes: "context_length none", asked: [2]int32{1, 1}},
		{name: "too long: passes where told so", first: []reply{fails(400, tooLong)}, second: []reply{fine},
			set:    func(c *config.Chain) { contexts(10, 20)(c); c.LargerContext = false },
			status: 400, answer: tooLong, classes: "context_length", asked: [2]int32{1, 0}},
		{name: "unknown model: passes", first: []reply{fails(404, noModel)}, second: []reply{fine},
			status: 404, answer: noModel, classes: "model_not_found", asked: [2]int32{1, 0}},
		{name: "unknown model: the next where told so", first: []reply{fails(404, noModel)}, second: []reply{fine},
			set:    func(c *config.Chain) { c.OnModelNotFound = true },
			status: 200, answer: wholeAnswer, classes: "model_not_found none", asked: [2]int32{1, 1}},
		{name: "unknown model everywhere: the provider's words", first: []reply{fails(404, noModel)}, second: []reply{fails(404, noModel)},
			set:    func(c *config.Chain) { c.OnModelNotFound = true },
			status: 404, answer: noModel, classes: "model_not_found model_not_found", asked: [2]int32{1, 1}},
		{name: "content refused: the provider's reason", first: []reply{fails(400, indecent)}, second: []reply{fine},
			status: 400, answer: indecent, classes: "content_policy", asked: [2]int32{1, 0}},
		{name: "ambiguous: fail", first: []reply{fails(504, "{}")}, second: []reply{fine},
			set:    func(c *config.Chain) { c.OnAmbiguous = config.AmbiguousFail },
			status: 504, answer: `{"error":`, classes: "ambiguous", asked: [2]int32{1, 0}},
		{name: "ambiguous: the same again", first: []reply{fails(504, "{}"), fine}, second: []reply{fine},
			set:    func(c *config.Chain) { c.OnAmbiguous, c.Retries = config.AmbiguousSame, 1 },
			status: 200, answer: wholeAnswer, classes: "ambiguous none", asked: [2]int32{2, 0}},
		{name: "HTML with status 200", first: []reply{fails(200, "<html>", "Content-Type", "text/html")}, second: []reply{fine},
			status: 200, answer: wholeAnswer, classes: "ambiguous none", asked: [2]int32{1, 1}},
		{name: "an error with status 200", first: []reply{fails(200, `{"error":{"code":503,"message":"x"}}`)}, second: []reply{fine},
			status: 200, answer: wholeAnswer, classes: "transient none", asked: [2]int32{1, 1}},

		{name: "stream: an error first", first: []reply{sends(busy)}, second: []reply{stream}, stream: true,
			status: 200, answer: event1, classes: "transient none", asked: [2]int32{1, 1}},
		{name: "stream: an error after the opening", first: []reply{sends(opening, busy)}, second: []reply{stream}, stream: true,
			status: 200, answer: event1, classes: "transient none", asked: [2]int32{1, 1}},
		{name: "stream: an error first, without its blank line", first: []reply{sends(strings.TrimSuffix(busy, "\n"))}, second: []reply{stream}, stream: true,
			status: 200, answer: event1, classes: "transient none", asked: [2]int32{1, 1}},
		{name: "stream: a no without its blank line", first: []reply{sends("data: " + indecent)}, second: []reply{stream}, stream: true,
			status: 200, answer: "data: " + indecent + "\n\n", classes: "content_policy", asked: [2]int32{1, 0}},
		{name: "stream: cut after the opening", first: []reply{sends(opening)}, second: []reply{stream}, stream: true,
			status: 200, answer: event1, classes: "ambiguous none", asked: [2]int32{1, 1}},
		{name: "stream: malformed at once", first: []reply{sends(malformed, event1, event3, done)}, second: []reply{stream}, stream: true,
			status: 200, answer: event1, classes: "ambiguous none", asked: [2]int32{1, 1}},
		{name: "stream: an error that no other step would take back", first: []reply{sends("data: "+tooLong+"\n\n", done)}, second: []reply{stream},
			stream: true, status: 200, answer: "data: " + tooLong, classes: "context_length", asked: [2]int32{1, 0}},
		{name: "stream: cut after its content", first: []reply{sends(event1)}, second: []reply{stream}, stream: true,
			status: 200, answer: event1 + `data: {"error":`, classes: "none", asked: [2]int32{1, 0}},
		{name: "stream: cut after its content, but complete is wanted", first: []reply{sends(other1)}, second: []reply{stream}, stream: true,
			set:    func(c *config.Chain) { c.Commit = config.Complete },
			status: 200, answer: event1 + event3 + done, classes: "ambiguous none", asked: [2]int32{1, 1}},
		{name: "stream: malformed within, and complete is wanted", first: []reply{sends(other1, malformed, event3, done)}, second: []reply{stream},
			set:    func(c *config.Chain) { c.Commit = config.Complete },
			stream: true, status: 200, answer: event1 + event3 + done, classes: "ambiguous none", asked: [2]int32{1, 1}},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			first, asked1 := inTurn(t, f.first...)
			second, asked2 := inTurn(t, f.second...)
			h := newHouse(t, formats.OpenAI, first, second)
			h.policies.chooseStep = sameAgain
			if f.set != nil {
				f.set(h.config.Chains["chain"])
			}
			body := `{"model":"chain"}`
			if f.stream {
				body = `{"model":"chain","stream":true}`
			}
			resp := h.post("/v1/chat/completions", body)
			if got := text(t, resp.Body); resp.StatusCode != f.status || !strings.HasPrefix(got, f.answer) {
				t.Errorf("the client got %d %s", resp.StatusCode, got)
			}
			if f.status == 429 && resp.Header.Get("Retry-After") != "61" {
				t.Errorf("Retry-After %q", resp.Header.Get("Retry-After"))
			}
			if got := [2]int32{asked1.Load(), asked2.Load()}; got != f.asked {
				t.Errorf("the providers were asked %v times, want %v", got, f.asked)
			}
			r := h.records.wait(t, 0)
			if got := classes(&r); got != f.classes {
				t.Errorf("classes %s, want %s", got, f.classes)
			}
			if entries := h.entries(r.ID); len(entries) != len(r.Attempts) {
				t.Errorf("%d attempts are booked, want %d", len(entries), len(r.Attempts))
			}
		})
	}
}

// sameAgain is a policy that tries the step before again as long as it may, as the built-in one does after what may
// pass.
func sameAgain(c *abi.StepChoice) abi.Answer {
	again := c.LastError == abi.Transient || c.LastError == abi.Ambiguous || c.LastError == abi.BadCredential
	if again && c.States[c.LastStep].Available {
		c.Policy, c.Step, c.Reason = "again", int(c.LastStep), "retry"
		return abi.Given
	}
	return abi.NoVerdict
}

func retries(n int) func(*config.Chain) { return func(c *config.Chain) { c.Retries = n } }

func contexts(tokens ...int64) func(*config.Chain) {
	return func(c *config.Chain) {
		for i := range c.Steps {
			c.Steps[i].Context, c.Choices[i].Context = tokens[i], tokens[i]
		}
	}
}

// classes are those of a record's attempts.
func classes(r *record.Record) string {
	var all []string
	for i := range r.Attempts {
		all = append(all, r.Attempts[i].Class.String())
	}
	return strings.Join(all, " ")
}

// A provider that let an exchange wait in vain is not asked by it again, under whatever name.
func TestASilentProviderIsNotAskedAgain(t *testing.T) {
	arrived, release := make(chan struct{}, 10), make(chan struct{})
	silent, asked := inTurn(t, func(http.ResponseWriter, *http.Request) { arrived <- struct{}{}; <-release })
	second, _ := inTurn(t, fine)
	h := newHouse(t, formats.OpenAI, silent, second)
	defer close(release)
	chain := h.config.Chains["chain"]
	chain.OnAmbiguous, chain.Retries = config.AmbiguousSame, 3
	chain.Steps[0].Patience.Whole.FirstByte = 30 * time.Millisecond
	h.policies.chooseStep = sameAgain
	resp := h.post("/v1/chat/completions", `{"model":"chain"}`)
	<-arrived // which may be after the answer: the provider has the request, and does not know it yet
	if r := h.records.wait(t, 0); resp.StatusCode != 200 || classes(&r) != "ambiguous none" || asked.Load() != 1 {
		t.Errorf("status %d, attempts %s, asked %d times", resp.StatusCode, classes(&r), asked.Load())
	}
}

// Credentials take turns; one that is refused, or limited, is left alone while others do.
func TestCredentialsTakeTurns(t *testing.T) {
	var used []string
	url, _ := inTurn(t, func(w http.ResponseWriter, r *http.Request) {
		key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		used = append(used, key)
		switch key {
		case "refused":
			fails(401, "{}")(w, r)
		case "limited":
			fails(429, "{}", "Retry-After", "60")(w, r)
		default:
			fine(w, r)
		}
	})
	h := newHouse(t, formats.OpenAI, url)
	h.config.Providers[0].Credentials = []string{"refused", "limited", "good"}
	h.gateway.Swap(NewSnapshot(h.config, h.policies, h.ids, newTracker(), nil, nil))
	for range 4 {
		if resp := h.post("/v1/chat/completions", `{"model":"m0"}`); resp.StatusCode != 200 {
			t.Errorf("%d %s", resp.StatusCode, text(t, resp.Body))
		}
	}
	slices.Sort(used)
	if want := []string{"good", "good", "good", "good", "limited", "refused"}; !slices.Equal(used, want) {
		t.Errorf("used %v, want %v", used, want)
	}
}

// A step that is open is not asked while another is there; the last that is left is.
func TestOpenStepsAreLeftAlone(t *testing.T) {
	first, asked1 := inTurn(t, fails(500, "{}"))
	second, asked2 := inTurn(t, fine)
	h := newHouse(t, formats.OpenAI, first, second)
	for range 5 {
		if resp := h.post("/v1/chat/completions", `{"model":"chain"}`); resp.StatusCode != 200 {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	if asked1.Load() != 3 || asked2.Load() != 5 {
		t.Errorf("asked %d and %d times, want 3 and 5", asked1.Load(), asked2.Load())
	}
	if resp := h.post("/v1/chat/completions", `{"model":"m0"}`); resp.StatusCode != 502 || asked1.Load() != 4 {
		t.Errorf("the last that is left: %d, asked %d times in all", resp.StatusCode, asked1.Load())
	}
}

// All limits of a step in use: the next one; and if there is none, the client is told.
func TestConcurrentAttemptsAreLimited(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	url, _ := inTurn(t, func(w http.ResponseWriter, r *http.Request) { arrived <- struct{}{}; <-release; fine(w, r) })
	h := newHouse(t, formats.OpenAI, url)
	h.config.Chains["m0"].Steps[0].Concurrent = 1
	h.gateway.Swap(NewSnapshot(h.config, h.policies, h.ids, newTracker(), nil, nil))
	answered := make(chan int)
	go func() { answered <- h.post("/v1/chat/completions", `{"model":"m0"}`).StatusCode }()
	<-arrived
	resp := h.post("/v1/chat/completions", `{"model":"m0"}`)
	if got := text(t, resp.Body); resp.StatusCode != 503 || !strings.Contains(got, "no_step_available") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", resp.StatusCode, got)
	}
	close(release)
	if status := <-answered; status != 200 {
		t.Errorf("the first: %d", status)
	}
}

// An event that cannot be read is left out once the client has begun to read, and counted.
func TestMalformedEventsAreLeftOut(t *testing.T) {
	url, _ := inTurn(t, sends(event1, malformed, event3, usage, done))
	h := newHouse(t, formats.OpenAI, url)
	resp := h.post("/v1/chat/completions", `{"model":"m0","stream":true}`)
	if got := text(t, resp.Body); got != event1+event3+done && !strings.Contains(got, "broke off") {
		t.Errorf("%q", got)
	} else if r := h.records.wait(t, 0); got == event1+event3+done && (r.Malformed != 1 || r.Outcome != record.Served) {
		t.Errorf("record: %+v", r)
	}
}

// What a step made that was held back and then thrown away is booked: the provider bills it.
func TestLostContentIsBooked(t *testing.T) {
	first, _ := inTurn(t, sends(opening, other1, other1))
	second, _ := inTurn(t, sends(event1, event3, usage, done))
	h := newHouse(t, formats.OpenAI, first, second)
	h.ids.key.Budgets = []abi.Budget{plenty}
	h.config.Chains["chain"].Commit = config.Complete
	_ = text(t, h.post("/v1/chat/completions", strings.Replace(streamBody, "m0", "chain", 1)).Body)
	r := h.records.wait(t, 0)
	entries := h.entries(r.ID)
	if len(entries) != 2 || entries[0].Basis != ledger.Ambiguous || entries[0].Usage[abi.Output] == 0 || entries[0].Cost <= r.Attempts[0].Reserved/1000 {
		t.Errorf("booked: %+v", entries)
	}
	if r.Usage[abi.Output] != 2 || entries[1].Cost != r.Cost {
		t.Errorf("the answer's own cost: %+v, booked %+v", r, entries[1])
	}
}

func TestAnswersNameTheirStep(t *testing.T) {
	first, _ := inTurn(t, fails(500, "{}"))
	second, _ := inTurn(t, fine)
	h := newHouse(t, formats.OpenAI, first, second)
	h.policies.chooseStep = func(c *abi.StepChoice) abi.Answer {
		c.Policy, c.Step, c.Reason = "p", int(c.Attempt)-1, "in order"
		return abi.Given
	}
	resp := h.post("/v1/chat/completions", `{"model":"chain"}`, headerRouting, "summary")
	got := text(t, resp.Body)
	if resp.Header.Get(headerStep) != "m1" || resp.Header.Get(headerProvider) != "p1" || resp.Header.Get(headerModel) != "real-1" {
		t.Errorf("headers: %v", resp.Header)
	}
	begin, ok := strings.CutSuffix(wholeAnswer, "}")
	for _, want := range []string{
		begin + `,"routing_summary":{"chain":"chain","answered_by":"m1","attempts":[{"step":"m0","provider":"p0","model":"real-0","outcome":"transient","status":500,"reason":"in order","duration_ms":`,
		`{"step":"m1","provider":"p1","model":"real-1","outcome":"answered","status":200,"reason":"in order","duration_ms":`, "}]}}",
	} {
		if !ok || !strings.Contains(got, want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
	h.config.Chains["m0"].Summary = true
	if got := text(t, h.post("/v1/chat/completions", `{"model":"m0"}`).Body); !strings.Contains(got, `"routing_summary":{"chain":"m0","attempts":[{`) {
		t.Errorf("an error: %s", got)
	}
}

func TestStreamsEndWithTheirSummary(t *testing.T) {
	url, _ := inTurn(t, sends(event1, event3, done))
	h := newHouse(t, formats.OpenAI, url)
	got := text(t, h.post("/v1/chat/completions", `{"model":"m0","stream":true}`, headerRouting, "summary").Body)
	if rest, ok := strings.CutPrefix(got, event1+event3+done+`: routing_summary {"chain":"m0","answered_by":"m0"`); !ok || !strings.HasSuffix(rest, "}\n\n") {
		t.Errorf("%q", got)
	}
}

// The time of an exchange is for all its attempts, and the client may shorten it.
func TestTimeIsForAllAttempts(t *testing.T) {
	release := make(chan struct{})
	silent := rawProvider(t, func(_ int, _ []byte, c net.Conn) { <-release })
	second, asked := inTurn(t, fine)
	h := newHouse(t, formats.OpenAI, silent, second)
	defer close(release)
	for n, limit := 0, 0.05; ; n, limit = n+1, 4*limit {
		resp := h.post("/v1/chat/completions", `{"model":"chain"}`, headerTimeout, fmt.Sprint(limit))
		if r := h.records.wait(t, n); classes(&r) != "ambiguous" && limit < patience.Seconds() {
			continue // the machine was busy: the time was up before the provider had the request
		}
		if resp.StatusCode != 504 || asked.Load() != 0 || resp.Header.Get("X-Should-Retry") != "false" {
			t.Errorf("status %d, the next was asked %d times", resp.StatusCode, asked.Load())
		}
		return
	}
}

// A step that wants to be left alone for longer than the exchange has is not tried again, and nobody waits for that.
func TestNoTimeForAnotherTry(t *testing.T) {
	url, asked := inTurn(t, fails(503, "{}", "Retry-After", "5"))
	h := newHouse(t, formats.OpenAI, url)
	h.config.Chains["m0"].Retries = 1
	var choices atomic.Int32
	h.policies.chooseStep = func(*abi.StepChoice) abi.Answer { choices.Add(1); return abi.NoVerdict }
	resp := h.post("/v1/chat/completions", `{"model":"m0"}`, headerTimeout, "4.9")
	if resp.StatusCode != 503 || asked.Load() != 1 || choices.Load() != 1 {
		t.Errorf("%d, the provider was asked %d times, the policies %d", resp.StatusCode, asked.Load(), choices.Load())
	}
}

// Where less time is left than a pause may take, the pause is drawn within that.
func TestPauseFitsTheTime(t *testing.T) {
	x := &exchange{}
	x.choice.Tries = []int64{9}
	x.deadline = time.Now().Add(50 * time.Millisecond)
	for range 100 {
		if d := x.pauseBefore(0); d > 50*time.Millisecond {
			t.Fatalf("a pause of %s", d)
		}
	}
	x.deadline = time.Now().Add(-time.Second)
	if d := x.pauseBefore(0); d != 0 {
		t.Errorf("a pause of %s after the time", d)
	}
}

// A client that leaves while the exchange waits for a parked step ends it.
func TestClientLeavesInAPause(t *testing.T) {
	url, asked := inTurn(t, fails(429, "{}", "Retry-After", "4"))
	h := newHouse(t, formats.OpenAI, url)
	h.config.Chains["m0"].Retries = 1
	c, err := net.Dial("tcp", h.address)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, rawRequest(chatLine, chatBody))
	for asked.Load() == 0 {
		<-time.After(time.Millisecond)
	}
	_ = c.Close()
	if r := h.records.wait(t, 0); r.Outcome != record.ClientGone || r.Duration > 3*time.Second {
		t.Errorf("%v after %v", r.Outcome, r.Duration)
	}
}

func TestAffinity(t *testing.T) {
	url, _ := inTurn(t, fine)
	h := newHouse(t, formats.OpenAI, url)
	var seen []uint64
	h.policies.chooseStep = func(c *abi.StepChoice) abi.Answer {
		if c.Strategy != config.Sticky || !c.Sticks {
			t.Errorf("strategy %q, sticks %v", c.Strategy, c.Sticks)
		}
		seen = append(seen, c.Affinity)
		return abi.NoVerdict
	}
	chain := h.config.Chains["m0"]
	chain.Strategy = config.Sticky
	long := string(bytes.Repeat([]byte("x"), 2000))
	for _, f := range []struct {
		by     config.Affinity
		header string
		body   string
		same   bool // as the one before
	}{
		{config.ByKey, "", `{"model":"m0"}`, false},
		{config.ByKey, "a", `{"model":"m0","x":1}`, true},
		{config.ByHeader, "a", `{"model":"m0"}`, false},
		{config.ByHeader, "a", `{"model":"m0","x":1}`, true},
		{config.ByHeader, "b", `{"model":"m0"}`, false},
		{config.ByPromptStart, "b", `{"model":"m0","x":"` + long + `1"}`, false},
		{config.ByPromptStart, "c", `{"model":"m0","x":"` + long + `2"}`, true},
		{config.ByPromptStart, "c", `{"model":"m0","y":"` + long + `2"}`, false},
	} {
		chain.Affinity, chain.AffinityHeader = f.by, "X-Session"
		h.post("/v1/chat/completions", f.body, "X-Session", f.header)
		if n := len(seen); n > 1 && (seen[n-1] == seen[n-2]) != f.same {
			t.Errorf("%+v: %x after %x", f, seen[n-1], seen[n-2])
		}
	}
}
