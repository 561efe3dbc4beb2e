//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/identity"
	"github.com/sallyport-dev/sallyport/internal/testutil/faults"
	"github.com/sallyport-dev/sallyport/record"
)

// faultTimeouts lie between what a behaviour calls late and what it calls too late.
const faultTimeouts = "{connect: 1s, first_byte: 2500ms, first_content: 3s, gap: 2500ms, total: 12s}"

// faultTotal is how long an exchange may take, with room for a machine that is busy.
const faultTotal = 18 * time.Second

// setting is what stands behind the alias that a client asks for.
type setting uint8

const (
	alone        setting = iota // the step that misbehaves
	withNext                    // and a second one that does well
	withComplete                // the same, and nothing is committed before it is complete
	numSettings
)

func (s setting) String() string { return []string{"alone", "next", "complete"}[s] }

// faultCase is one behaviour in one form and one setting.
type faultCase struct {
	row       *row
	behaviour *faults.Behaviour
	model     faults.Model // of the step that misbehaves; its name is that of the provider too
	setting   setting
	answers   []faultAnswer
}

// faultAnswer is what a client got for one request.
type faultAnswer struct {
	*answer
	err    error
	took   time.Duration
	record record.Record
}

func (c *faultCase) name() string { return c.model.String() }

// alias is what the client asks for.
func (c *faultCase) alias() string {
	if c.setting == alone {
		return c.name()
	}
	return "chain." + c.name()
}

// TestFaults shows what comes of every way in which a provider may fail, in each form of answer, with another step
// behind it and without. Each has one declared outcome, checked from both sides: what the client got, what the
// provider saw, what the record says of every attempt, and what the ledger booked for it.
func TestFaults(t *testing.T) {
	p := faults.New(t)
	cases := faultCases(t)
	g := start(t, faultConfig(p, cases), nil)
	// A connection on which a stream was cut is closed behind it: each request has its own.
	f := &faultRun{gateway: g, provider: p, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	f.id, f.secret = g.issue(identity.Wish{Name: "faults", Budgets: total(1_000_000_000_000_000)})
	began := time.Now()
	f.askAll(cases)
	g.settled()
	f.readRecords(cases)
	entries := map[string][]attempt{}
	for _, a := range g.export() {
		entries[a.Request] = append(entries[a.Request], a)
	}
	for _, b := range declared {
		t.Run(b.name, func(t *testing.T) {
			for _, c := range cases {
				if c.row.name == b.name {
					f.judge(t, c, entries)
				}
			}
		})
	}
	g.verify()
	for _, r := range p.Seen("") {
		t.Errorf("the provider saw %q for no model", r.Path)
	}
	t.Logf("%d behaviours, %d cases in %v", len(declared), len(cases), time.Since(began).Round(time.Millisecond))
}

// faultCases makes the cases: every behaviour has a row, and every row a behaviour.
func faultCases(t *testing.T) (cases []*faultCase) {
	behaviours := faults.Behaviours()
	if len(behaviours) < 60 || len(behaviours) != len(declared) {
		t.Errorf("there are %d behaviours, and %d of them are declared", len(behaviours), len(declared))
	}
	for i := range declared {
		d := &declared[i]
		at := slices.IndexFunc(behaviours, func(b faults.Behaviour) bool { return b.Name == d.name })
		if at < 0 {
			t.Fatalf("no behaviour is called %q", d.name)
		}
		for api := range faults.NumAPIs {
			for _, streamed := range []bool{false, true} {
				for s := range numSettings {
					if !behaviours[at].In(api, streamed) || s == withComplete && !streamed {
						continue
					}
					m := faults.Model{Behaviour: d.name, API: api, Streamed: streamed, Case: s.String()}
					cases = append(cases, &faultCase{row: d, behaviour: &behaviours[at], model: m, setting: s})
				}
			}
		}
	}
	return cases
}

// faultConfig gives every case a provider of its own, so that none sees the health of another.
func faultConfig(p *faults.Provider, cases []*faultCase) string {
	var providers, models, chains strings.Builder
	add := func(m faults.Model, contextSize int) {
		fmt.Fprintf(&providers, "  - {name: %q, format: %s, base_url: %q, api_key: %q, timeouts: %s}\n",
			m, m.API.Format(), p.URL(m)+m.API.Base(), providerKey, faultTimeouts)
		fmt.Fprintf(&models, "  - {alias: %q, provider: %q, model: %q, context: %d, price: {input: 1, output: 2}}\n", m, m, m, contextSize)
	}
	for api := range faults.NumAPIs {
		for _, streamed := range []bool{false, true} {
			add(second(api, streamed), 200_000_000)
		}
	}
	for _, c := range cases {
		add(c.model, 100_000_000)
		if c.setting == alone {
			continue
		}
		commit := "first_content"
		if c.setting == withComplete {
			commit = "complete"
		}
		fmt.Fprintf(&chains, "  - {name: %q, commit: %s, timeouts: {total: 12s}, steps: [{model: %q, priority: 1}, {model: %q, priority: 2}]}\n",
			c.alias(), commit, c.name(), second(c.model.API, c.model.Streamed))
	}
	return "max_body: 32MiB\nproviders:\n" + providers.String() + "models:\n" + models.String() + "chains:\n" + chains.String()
}

// second is the model that does well.
func second(api faults.API, streamed bool) faults.Model {
	return faults.Model{Behaviour: "well", API: api, Streamed: streamed, Case: "second"}
}

// faultRun is the battery at work.
type faultRun struct {
	*gateway
	provider   *faults.Provider
	client     *http.Client
	id, secret string
}

// askAll asks for all cases: many at once, but few of those whose requests are large.
func (f *faultRun) askAll(cases []*faultCase) {
	var all sync.WaitGroup
	work := func(workers int, heavy bool) {
		queue := make(chan *faultCase)
		for range workers {
			all.Go(func() {
				for c := range queue {
					f.askCase(c)
				}
			})
		}
		all.Go(func() {
			defer close(queue)
			for _, c := range cases {
				if (c.behaviour.Big || c.behaviour.Heavy) == heavy {
					queue <- c
				}
			}
		})
	}
	work(6, true)
	work(56, false)
	all.Wait()
}

func (f *faultRun) askCase(c *faultCase) {
	size := 0
	if c.behaviour.Big {
		size = faults.BigBody
	}
	for n := range max(1, c.behaviour.Asks) {
		if n > 0 {
			f.settle(c)
		}
		path, body := c.model.API.Request(c.alias(), c.model.Streamed, c.canary(n), size)
		c.answers = append(c.answers, f.askOnce(path, body))
	}
}

// settle waits until the provider has sent what it sends behind its answer, and the gateway has had the time to see that.
func (f *faultRun) settle(c *faultCase) {
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for plays := true; plays && time.Now().Before(deadline); {
		<-tick.C
		plays = slices.ContainsFunc(f.provider.Seen(c.name()), func(r faults.Request) bool { return r.Played.IsZero() })
	}
	<-tick.C
}

func (c *faultCase) canary(n int) string { return c.name() + "-" + strconv.Itoa(n) }

func (f *faultRun) askOnce(path, body string) (a faultAnswer) {
	began := time.Now()
	got, err := f.exchange(f.client, f.secret, path, body)
	if got == nil {
		got = &answer{}
	}
	return faultAnswer{answer: got, err: err, took: time.Since(began)}
}

// exchange sends a request and reads its answer as far as it comes; nil if it has not even a head.
func (g *gateway) exchange(c *http.Client, secret, path, body string) (*answer, error) {
	ctx, cancel := context.WithTimeout(g.t.Context(), 2*patience)
	defer cancel()
	resp, err := c.Do(g.request(secret, path, body).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return &answer{resp.StatusCode, resp.Header, string(text)}, err
}

// readRecords fetches the record of every answer.
func (f *faultRun) readRecords(cases []*faultCase) {
	for _, c := range cases {
		for i := range c.answers {
			a := &c.answers[i]
			if a.header == nil {
				continue
			}
			f.until("the record of "+c.name()+" is there", func() (found bool) {
				var err error
				a.record, err = f.books().Find(f.t.Context(), a.id())
				return err == nil
			})
		}
	}
}

// judge compares a case with what is declared.
func (f *faultRun) judge(t *testing.T, c *faultCase, entries map[string][]attempt) {
	sends := 0
	for n := range c.answers {
		a := &c.answers[n]
		d := c.fate(n)
		fail := func(format string, args ...any) {
			t.Helper()
			t.Errorf("%s, %s: %s\n%d %.600q (%v) in %v; attempts %s", c.name(), c.setting, fmt.Sprintf(format, args...),
				a.status, a.body, a.err, a.took.Round(time.Millisecond), classesOf(&a.record))
		}
		moved := d.moves && c.setting != alone
		if problem := c.client(a, &d, moved, c.canary(n)); problem != "" {
			fail("the client got %s", problem)
		}
		if problem := c.attempts(a, &d, moved); problem != "" {
			fail("%s", problem)
		}
		if problem := c.booked(a, d.got, entries[a.id()]); problem != "" {
			fail("%s", problem)
		}
		if moved && d.nextSends > 0 {
			sends += d.nextSends
		} else {
			sends += d.sends
		}
	}
	whole := 0
	for _, r := range f.provider.Seen(c.name()) {
		if r.Whole {
			whole++
		}
	}
	if c.row.name == "answers-early" {
		whole = 0 // whether the rest of a request is still sent that is answered already is nobody's business
	}
	if whole != sends {
		t.Errorf("%s, %s: the provider saw %d whole requests, want %d", c.name(), c.setting, whole, sends)
	}
}

// fate is what is declared for a case, or for one of its requests.
func (c *faultCase) fate(n int) fate {
	d := c.row.whole
	if c.model.Streamed {
		d = c.row.stream
		if f, ok := c.row.except[c.model.API]; ok {
			d = f
		}
	}
	if n > 0 && c.row.then != nil {
		d = *c.row.then
	}
	if c.setting == withComplete && d.complete != nil {
		d = *d.complete
	}
	return d
}

func classesOf(r *record.Record) string {
	var all []string
	for i := range r.Attempts {
		all = append(all, r.Attempts[i].Class.String())
	}
	return strings.Join(all, " ")
}

// attempts says what is wrong with the attempts in the record.
func (c *faultCase) attempts(a *faultAnswer, d *fate, moved bool) string {
	want, provider := d.attempts, c.name()
	if moved {
		if d.next != "" {
			want = d.next
		}
		want, provider = "("+want+") none", second(c.model.API, c.model.Streamed).String()
	}
	if got := classesOf(&a.record); !regexp.MustCompile("^(" + want + ")$").MatchString(got) {
		return fmt.Sprintf("the record has the attempts %q, want %q", got, want)
	}
	if last := a.record.Attempts[len(a.record.Attempts)-1]; last.Provider != provider {
		return "the last attempt was at " + last.Provider
	}
	if a.record.Status != a.status {
		return fmt.Sprintf("the record says status %d", a.record.Status)
	}
	return ""
}

// booked says what is wrong with what the ledger has of a request: each attempt once, on the basis that it deserves.
func (c *faultCase) booked(a *faultAnswer, want got, entries []attempt) string {
	if len(entries) != len(a.record.Attempts) {
		return fmt.Sprintf("%d attempts are booked of %d", len(entries), len(a.record.Attempts))
	}
	bases := map[string]int{}
	for i := range a.record.Attempts {
		switch class := a.record.Attempts[i].Class.String(); {
		case class == "ambiguous" && a.record.Outcome != record.Interrupted:
			bases["ambiguous"]++
		case class != "none" && a.record.Outcome != record.Interrupted:
			bases["unbilled"]++
		case want == gotNothing && (c.model.API == faults.Chat || c.model.API == faults.Messages),
			want == gotTold && c.setting != withComplete && c.model.API == faults.Responses:
			bases["estimated"]++ // it came to its end and told no usage
		case a.record.Outcome == record.Interrupted:
			bases["interrupted"]++
		default:
			bases["authoritative"]++
		}
	}
	if got := count(entries, func(e *attempt) string { return e.Basis }); words(got) != words(bases) {
		return fmt.Sprintf("booked are %s, want %s", words(got), words(bases))
	}
	for i := range entries {
		if e := &entries[i]; e.State != "settled" || e.Reserved == 0 || e.Cost == 0 && e.Basis != "unbilled" {
			return fmt.Sprintf("booked is %+v", e)
		}
	}
	return ""
}

var (
	token  = regexp.MustCompile(`w\d\d `)
	canary = regexp.MustCompile(`canary:[^;"]*;`)
)

// tokensOf returns how many tokens a text has, -1 if they are not the first ones in their order.
func tokensOf(text string) int {
	all := token.FindAllString(text, -1)
	for i, s := range all {
		if s != faults.Token(i) {
			return -1
		}
	}
	return len(all)
}

// endMark is what only a whole stream has.
func endMark(m faults.Model) string {
	if !m.Streamed {
		return ""
	}
	return map[faults.API]string{faults.Chat: "data: [DONE]", faults.Responses: "event: response.completed", faults.Messages: "event: message_stop",
		faults.Gemini: `"finishReason":"STOP"`, faults.GeminiArray: `"finishReason":"STOP"`}[m.API]
}

// client says what is wrong with what the client got.
func (c *faultCase) client(a *faultAnswer, d *fate, moved bool, mark string) string {
	want, status := d.got, d.status
	if moved || status == 0 {
		status = http.StatusOK
	}
	if moved {
		want = gotWhole
	}
	switch {
	case a.status != status:
		return fmt.Sprintf("status %d, want %d", a.status, status)
	case a.err != nil && (want != gotCut && want != gotTold || !errors.Is(a.err, io.ErrUnexpectedEOF)):
		return "an error"
	case a.took > faultTotal:
		return "it late"
	case strings.Contains(a.body, faults.Foreign):
		return "what belongs to nobody"
	}
	ends := strings.Contains(a.body, endMark(c.model))
	if c.row.name == "json-for-stream" && !moved {
		ends = true
	}
	n := tokensOf(a.body)
	marks := canary.FindAllString(a.body, -1)
	if n > 0 && !slices.Equal(marks, []string{"canary:" + mark + ";"}) {
		return fmt.Sprintf("the canaries %q", marks)
	}
	return c.content(a, d, want, n, ends)
}

// toldOnce reports whether a stream has one error of the gateway's own. Responses say the code twice in it.
func toldOnce(api faults.API, body string) bool {
	said := strings.Count(body, "stream_interrupted")
	return said == 1 || api == faults.Responses && said == 2
}

// content says what is wrong with an answer's body, which has n tokens, and an end mark or none.
func (c *faultCase) content(a *faultAnswer, d *fate, want got, n int, ends bool) string {
	whole := n == faults.Tokens
	fails := strings.Contains(a.body, `"error"`)
	switch {
	case want == gotWhole && (!whole || !ends || fails),
		want == gotUnmarked && (!whole || fails || ends && c.model.API.Format() != "gemini"),
		want == gotNothing && (n != 0 || !ends || fails),
		want == gotTold && (n < 1 || whole || ends || !fails):
		return fmt.Sprintf("%d tokens, the end mark %v, an error %v", n, ends, fails)
	case want == gotCut && (n < 1 || ends && c.row.name != "length-short" || !toldOnce(c.model.API, a.body)):
		return fmt.Sprintf("%d tokens, the end mark %v, and no word of the cut", n, ends)
	case want == gotPassed && (!strings.Contains(a.body, faults.Secret) || a.header.Get("Content-Type") != "application/json"):
		return "not the provider's own words"
	case want != gotFailure:
		return ""
	case !strings.Contains(a.body, d.code) || strings.Contains(a.body, faults.Secret):
		return "not the code " + d.code + ", or the provider's words"
	case d.status == 504 && a.header.Get("X-Should-Retry") != "false", d.code == "upstream_auth" && a.header.Get("X-Should-Retry") != "false":
		return "no word that it should not try again"
	case d.status == 429 && !slices.Contains([]string{"1", "2", "59", "60"}, a.header.Get("Retry-After")):
		return fmt.Sprintf("Retry-After %q", a.header.Get("Retry-After"))
	}
	return ""
}
