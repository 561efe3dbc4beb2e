package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/config"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/ledger"
	"github.com/sallyport-dev/sallyport/record"
)

// dialects are the endpoints of these tests, one in each format, with a body that says nothing of a maximum and the
// answer to it.
var dialects = [formats.NumFormats]struct{ path, body, answer string }{
	formats.OpenAI:    {"/v1/chat/completions", chatBody, wholeAnswer},
	formats.Anthropic: {"/anthropic/v1/messages", `{"model":"m0","messages":[]}`, message},
	formats.Gemini:    {"/v1beta/models/m0:generateContent", `{"contents":[]}`, geminiLast},
}

// inAllDialects runs a test in each format.
func inAllDialects(t *testing.T, check func(t *testing.T, b *books, f formats.Format)) {
	for f := range formats.NumFormats {
		t.Run(f.String(), func(t *testing.T) { check(t, newBooks(t, f), f) })
	}
}

// told takes the request id out of an answer's body.
func told(resp *http.Response, body string) string {
	return strings.ReplaceAll(body, resp.Header.Get(headerID), "ID")
}

// refusedRequest checks the record of a request that the gateway refused, and that nothing was booked for it.
func (b *books) refusedRequest(t *testing.T, n int, code string) {
	t.Helper()
	r := b.records.wait(t, n)
	if r.Outcome != record.Refused || r.Error != code || r.KeyID != b.ids.key.KeyID {
		t.Errorf("the record has %v, %q for %q; want a refusal by %s", r.Outcome, r.Error, r.KeyID, code)
	}
	if entries := b.entries(r.ID); len(entries) > 0 || r.Booked != 0 || len(r.Attempts) > 0 {
		t.Errorf("booked %+v, the record has %s and %+v", entries, r.Booked, r.Attempts)
	}
}

// Spent money is told in the way that a dialect's clients understand, and that it is no use to try again.
func TestBudgetRefusals(t *testing.T) {
	const text = `The key \"tester\" has a budget of $0.001 in total: $0.00 are spent, $0.00 are reserved, and this request may cost up to `
	want := [formats.NumFormats]struct {
		status int
		body   string
	}{
		formats.OpenAI: {429, `{"error":{"message":"` + text + `$0.00450938.","type":"insufficient_quota","param":null,` +
			`"code":"insufficient_quota","reason":"budget_exceeded","request_id":"ID"}}`},
		formats.Anthropic: {402, `{"type":"error","error":{"type":"billing_error","message":"` + text + `$0.00450938.","code":"budget_exceeded"},"request_id":"ID"}`},
		formats.Gemini: {429, `{"error":{"code":429,"message":"` + text + `$0.00450776.","status":"RESOURCE_EXHAUSTED","details":[` +
			`{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"budget_exceeded","domain":"sallyport"},` +
			`{"@type":"type.googleapis.com/google.rpc.RequestInfo","requestId":"ID"}]}}`},
	}
	inAllDialects(t, func(t *testing.T, b *books, f formats.Format) {
		b.begin(t, never, never)
		b.ids.key.Budgets = []abi.Budget{{Amount: 1_000_000, Period: abi.InTotal}}
		resp, body := b.send(t, dialects[f].path, dialects[f].body, "")
		if resp.StatusCode != want[f].status || told(resp, body) != want[f].body {
			t.Errorf("%d %s\nwant %d %s", resp.StatusCode, told(resp, body), want[f].status, want[f].body)
		}
		if resp.Header.Get("X-Should-Retry") != "false" || resp.Header.Get("Retry-After") != "" {
			t.Errorf("headers: %v", resp.Header)
		}
		b.refusedRequest(t, 0, formats.CodeBudgetExceeded)
	})
}

// A refusal names whose budget it was, and when it begins anew.
func TestBudgetRefusalsNameTheBudget(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	small := func(p abi.Period, zone *time.Location) []abi.Budget {
		return []abi.Budget{{Amount: 2_500_000, Period: p, Location: zone}}
	}
	facts := []struct {
		name string
		set  func(*books)
		want string
	}{
		{"a day of the key", func(b *books) { b.ids.key.Budgets = small(abi.PerDay, berlin) },
			`The key "tester" has a budget of $0.0025 per day: $0.00 are spent, $0.00 are reserved, and this request may cost up to $0.00450938. It begins anew at 2026-03-14T23:00:00Z.`},
		{"a month of its team", func(b *books) { b.ids.teams["core"] = &abi.Team{Name: "core", Budgets: small(abi.PerMonth, berlin)} },
			`The team "core" has a budget of $0.0025 per month: $0.00 are spent, $0.00 are reserved, and this request may cost up to $0.00450938. It begins anew at 2026-03-31T22:00:00Z.`},
		{"the team above", func(b *books) {
			b.ids.teams["core"] = &abi.Team{Name: "core", Parent: "all"}
			b.ids.teams["all"] = &abi.Team{Name: "all", Budgets: small(abi.InTotal, nil)}
		}, `The team "all" has a budget of $0.0025 in total: $0.00 are spent, $0.00 are reserved, and this request may cost up to $0.00450938.`},
	}
	b := newBooks(t, formats.OpenAI)
	for i, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			b.begin(t, never, never)
			f.set(b)
			_, body := b.send(t, "/v1/chat/completions", chatBody, "")
			var answer struct{ Error struct{ Message string } }
			if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Error.Message != f.want {
				t.Errorf("%v, %s\nwant %s", err, body, f.want)
			}
			b.refusedRequest(t, i, formats.CodeBudgetExceeded)
		})
	}
}

// rateHeaders are the headers that tell of limits, without those of the dialect's own that tell a time.
func rateHeaders(h http.Header) string {
	var found []string
	for name := range h {
		lower := strings.ToLower(name)
		tellsTime := strings.HasPrefix(lower, "anthropic") && strings.HasSuffix(lower, "reset")
		if strings.Contains(lower, "ratelimit") && !tellsTime {
			found = append(found, lower+": "+h.Get(name))
		}
	}
	slices.Sort(found)
	return strings.Join(found, ", ")
}

// Of two requests in a minute the third is one too many. All three tell where the limit stands, and what the provider
// says of its own stays behind.
func TestRateLimits(t *testing.T) {
	standard := "ratelimit-limit: 2, ratelimit-remaining: %s, ratelimit-reset: %s"
	own := [formats.NumFormats]string{
		formats.OpenAI:    ", x-ratelimit-limit-requests: 2, x-ratelimit-remaining-requests: %s, x-ratelimit-reset-requests: ",
		formats.Anthropic: "anthropic-ratelimit-requests-limit: 2, anthropic-ratelimit-requests-remaining: %s, ",
		formats.Gemini:    ", x-ratelimit-limit-requests: 2, x-ratelimit-remaining-requests: %s, x-ratelimit-reset-requests: ",
	}
	inAllDialects(t, func(t *testing.T, b *books, f formats.Format) {
		b.begin(t, says(200, dialects[f].answer, "X-RateLimit-Limit-Requests", "777", "Anthropic-RateLimit-Requests-Limit", "777"), never)
		b.ids.key.Limits[abi.RequestsPerMinute] = 2
		for n, left := range []string{"1", "0", "0"} {
			resp, body := b.send(t, dialects[f].path, dialects[f].body, "")
			got, reset := rateHeaders(resp.Header), resp.Header.Get("RateLimit-Reset")
			if status := []int{200, 200, 429}[n]; resp.StatusCode != status {
				t.Fatalf("request %d: %d %s", n, resp.StatusCode, body)
			}
			if !strings.Contains(got, fmt.Sprintf(standard, left, reset)) || !strings.Contains(got, fmt.Sprintf(own[f], left)) || strings.Contains(got, "777") {
				t.Errorf("request %d: %s", n, got)
			}
			if within := []int{30, 60, 60}[n]; !isAbout(reset, within) {
				t.Errorf("request %d: all of it is there again in %s s, want about %d", n, reset, within)
			}
			if n < 2 {
				continue
			}
			if wait := resp.Header.Get("Retry-After"); !isAbout(wait, 30) || resp.Header.Get("X-Should-Retry") != "" {
				t.Errorf("Retry-After %q, X-Should-Retry %q", wait, resp.Header.Get("X-Should-Retry"))
			}
			if !strings.Contains(body, `The key \"tester\" has used up its limit rpm of 2. Try again in `) || !strings.Contains(body, "rate_limit_exceeded") {
				t.Errorf("body %s", body)
			}
			b.refusedRequest(t, n, formats.CodeRateLimited)
		}
		if resp, _ := b.send(t, "/v1/nothing", "{}", ""); rateHeaders(resp.Header) != "" {
			t.Errorf("a request that counts against nothing is told %s", rateHeaders(resp.Header))
		}
	})
}

// isAbout says whether a number is what was wanted, or as much less as a slow test takes.
func isAbout(got string, want int) bool {
	n, err := strconv.Atoi(got)
	return err == nil && n <= want && n > want-15
}

// A client without limits of ours sees those of the provider.
func TestProvidersRateLimits(t *testing.T) {
	b := newBooks(t, formats.OpenAI)
	b.begin(t, says(200, wholeAnswer, "X-RateLimit-Limit-Requests", "777", "RateLimit-Limit", "888"), never)
	b.ids.key.Limits[abi.Concurrent] = 5 // of which no header tells
	resp, _ := b.send(t, "/v1/chat/completions", chatBody, "")
	if got := rateHeaders(resp.Header); got != "x-ratelimit-limit-requests: 777" {
		t.Errorf("headers: %s", got)
	}
}

// Limits hold over everything that a request counts against; what has no room is named.
func TestLimitsOfAllLevels(t *testing.T) {
	limits := func(l abi.Limit, n int64) (all abi.Limits) { all[l] = n; return all }
	facts := []struct {
		name string
		set  func(*books)
		want string
	}{
		{"key", func(b *books) { b.ids.key.Limits = limits(abi.RequestsPerHour, 1) }, `The key \"tester\" has used up its limit rph of 1.`},
		{"team", func(b *books) {
			b.ids.teams["core"] = &abi.Team{Name: "core", Limits: limits(abi.RequestsPerDay, 1)}
		}, `The team \"core\" has used up its limit rpd of 1.`},
		{"team above", func(b *books) {
			b.ids.teams["core"] = &abi.Team{Name: "core", Parent: "all"}
			b.ids.teams["all"] = &abi.Team{Name: "all", Limits: limits(abi.RequestsPerMinute, 1)}
		}, `The team \"all\" has used up its limit rpm of 1.`},
		{"model", func(b *books) { b.config.Chains["m0"].Limits = limits(abi.RequestsPerMinute, 1) }, `The model \"m0\" has used up its limit rpm of 1.`},
	}
	b := newBooks(t, formats.OpenAI)
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			b.begin(t, says(200, wholeAnswer), never)
			f.set(b)
			if resp, body := b.send(t, "/v1/chat/completions", chatBody, ""); resp.StatusCode != 200 {
				t.Fatalf("%d %s", resp.StatusCode, body)
			}
			if resp, body := b.send(t, "/v1/chat/completions", chatBody, ""); resp.StatusCode != 429 || !strings.Contains(body, f.want) {
				t.Errorf("%d %s, want %s", resp.StatusCode, body, f.want)
			}
		})
	}
}

// Tokens count as estimated while a request is under way, and as used from then on.
func TestTokenLimits(t *testing.T) {
	for _, limit := range []abi.Limit{abi.TokensPerMinute, abi.TokensPerDay, abi.OutputTokensPerMinute} {
		t.Run(limit.String(), func(t *testing.T) {
			b := newBooks(t, formats.OpenAI)
			b.begin(t, waits(streamOf(event1)), never)
			b.ids.key.Limits[limit] = 5000
			held := int64(4096)
			if limit != abi.OutputTokensPerMinute {
				held += 14
			}
			c, err := net.Dial("tcp", b.address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, _ = io.WriteString(c, rawRequest(chatLine, streamBody))
			readUntil(t, c, "X-Ratelimit-Remaining-Tokens: "+strconv.FormatInt(5000-held, 10))
			resp, body := b.send(t, "/v1/chat/completions", chatBody, "")
			if resp.StatusCode != 429 || !strings.Contains(body, "its limit "+limit.String()+" of 5000.") || resp.Header.Get("Retry-After") == "" {
				t.Errorf("while another is under way: %d %s", resp.StatusCode, body)
			}
			_ = c.Close()
			b.left(t)
			b.records.wait(t, 1)
			b.scripts[0] = says(200, wholeAnswer) // of 20 tokens
			for n := range 3 {
				if resp, body := b.send(t, "/v1/chat/completions", chatBody, ""); resp.StatusCode != 200 {
					t.Errorf("request %d: %d %s", n, resp.StatusCode, body)
				}
			}
		})
	}
}

// Counting tokens uses none.
func TestCountingTokensUsesNone(t *testing.T) {
	b := newBooks(t, formats.Anthropic)
	b.begin(t, says(200, `{"input_tokens":9}`), never)
	b.ids.key.Budgets = []abi.Budget{{Amount: 0, Period: abi.InTotal}}
	b.ids.key.Limits[abi.TokensPerMinute], b.ids.key.Limits[abi.RequestsPerMinute], b.ids.key.Limits[abi.MaxInputTokens] = 1, 2, 1
	for n, left := range []string{"1", "0"} {
		resp, body := b.send(t, "/v1/messages/count_tokens", chatBody, "")
		h := resp.Header
		if resp.StatusCode != 200 || h.Get("Anthropic-Ratelimit-Tokens-Remaining") != "1" || h.Get("Anthropic-Ratelimit-Requests-Remaining") != left {
			t.Errorf("request %d: %d %s %s", n, resp.StatusCode, body, rateHeaders(h))
		}
	}
}

// As many requests at a time as the limit says, and no more; who leaves makes room.
func TestConcurrentRequests(t *testing.T) {
	b := newBooks(t, formats.OpenAI)
	b.begin(t, waits(""), never)
	b.ids.key.Limits[abi.Concurrent] = 1
	c, err := net.Dial("tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, rawRequest(chatLine, chatBody))
	<-b.reached
	resp, body := b.send(t, "/v1/chat/completions", chatBody, "")
	if resp.StatusCode != 429 || !strings.Contains(body, `The key \"tester\" has 1 requests under way, which is its limit (concurrent).`) || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("%d %s, Retry-After %q", resp.StatusCode, body, resp.Header.Get("Retry-After"))
	}
	_ = c.Close()
	b.left(t)
	b.records.wait(t, 1)
	b.scripts[0] = says(200, wholeAnswer)
	for range 3 {
		if resp, body := b.send(t, "/v1/chat/completions", chatBody, ""); resp.StatusCode != 200 {
			t.Errorf("afterwards: %d %s", resp.StatusCode, body)
		}
	}
}

// One request may be only so large, on the way in and on the way out.
func TestLargestRequest(t *testing.T) {
	limit := func(l abi.Limit, n int64) func(*books) {
		return func(b *books) { b.ids.key.Limits[l] = n }
	}
	const tooMuchIn, tooMuchOut = "400 input_too_large", "400 output_too_large"
	facts := []struct {
		name, body string
		set        func(*books)
		want       string
	}{
		{"input that fits", chatBody, limit(abi.MaxInputTokens, 14), "200"},
		{"input of a token more", chatBody, limit(abi.MaxInputTokens, 13), tooMuchIn},
		{"input of a token a byte", chatBody, func(b *books) {
			limit(abi.MaxInputTokens, 27)(b)
			b.config.Ledger.Estimate = config.Bound
		}, tooMuchIn},
		{"output that fits", `{"model":"m0","max_tokens":500}`, limit(abi.MaxOutputTokens, 500), "200"},
		{"output of a token more", `{"model":"m0","max_tokens":501}`, limit(abi.MaxOutputTokens, 500), tooMuchOut},
		{"output of several answers that fits", `{"model":"m0","n":2,"max_tokens":250}`, limit(abi.MaxOutputTokens, 500), "200"},
		{"output of several answers", `{"model":"m0","n":2,"max_tokens":251}`, limit(abi.MaxOutputTokens, 500), tooMuchOut},
		{"the smallest of several", `{"model":"m0","max_tokens":300}`, func(b *books) {
			limit(abi.MaxOutputTokens, 500)(b)
			b.ids.teams["core"] = &abi.Team{Name: "core", Limits: abi.Limits{abi.MaxOutputTokens: 200}}
		}, tooMuchOut},
		{"the smallest of several, which is the key's", `{"model":"m0","max_tokens":300}`, func(b *books) {
			limit(abi.MaxOutputTokens, 200)(b)
			b.ids.teams["core"] = &abi.Team{Name: "core", Limits: abi.Limits{abi.MaxOutputTokens: 500}}
		}, tooMuchOut},
		{"the model's", `{"model":"m0","max_tokens":300}`, func(b *books) {
			b.config.Chains["m0"].Limits[abi.MaxOutputTokens] = 299
		}, tooMuchOut},
	}
	b := newBooks(t, formats.OpenAI)
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			b.begin(t, says(200, wholeAnswer), never)
			f.set(b)
			_, n := b.records.counts()
			resp, body := b.send(t, "/v1/chat/completions", f.body, "")
			status, code, refused := strings.Cut(f.want, " ")
			if strconv.Itoa(resp.StatusCode) != status || !strings.Contains(body, code) || refused == (len(b.asked) > 0) {
				t.Errorf("%d %s, want %s", resp.StatusCode, body, f.want)
			}
			if refused {
				if resp.Header.Get("X-Should-Retry") != "false" {
					t.Error("the client is not told that trying again is no use")
				}
				b.refusedRequest(t, n, code)
			}
		})
	}
}

// What is put into a body is what the request is held to: a model where it names none, a maximum where it states none.
func TestWhatIsPutIntoABody(t *testing.T) {
	most := func(b *books) { b.ids.key.Limits[abi.MaxOutputTokens] = 500 }
	inject := func(b *books) { b.config.Ledger.InjectMaximum = true }
	named := func(b *books) { b.ids.key.DefaultModel = "m0" }
	both := func(b *books) { most(b); named(b) }
	small := func(b *books) {
		inject(b)
		b.config.Chains["m0"].MaxOutput, b.config.Chains["m0"].Steps[0].MaxOutput = 100, 100
	}
	chat, gemini := "/v1/chat/completions", "/v1beta/models/m0:generateContent"
	facts := []struct {
		name       string
		format     formats.Format
		path, body string
		set        func(*books)
		want       string
	}{
		{"nothing", formats.OpenAI, chat, `{"model":"m0","messages":[]}`, func(*books) {}, `{"model":"real-0","messages":[]}`},
		{"the limit", formats.OpenAI, chat, `{"model":"m0","messages":[]}`, most, `{"model":"real-0","max_completion_tokens":500,"messages":[]}`},
		{"the limit for two answers", formats.OpenAI, chat, `{"model":"m0","n":2}`, most, `{"model":"real-0","max_completion_tokens":250,"n":2}`},
		{"the limit, stated", formats.OpenAI, chat, `{"model":"m0","max_tokens":7}`, most, `{"model":"real-0","max_tokens":7}`},
		{"the assumption", formats.OpenAI, chat, `{"messages":[],"model":"m0"}`, inject, `{"messages":[],"model":"real-0","max_completion_tokens":4096}`},
		{"no more than the model can write", formats.OpenAI, chat, `{"model":"m0"}`, small, `{"model":"real-0","max_completion_tokens":100}`},
		{"the limit of responses", formats.OpenAI, "/v1/responses", `{"model":"m0","input":"x"}`, most, `{"model":"real-0","max_output_tokens":500,"input":"x"}`},
		{"none of embeddings", formats.OpenAI, "/v1/embeddings", `{"model":"m0","input":"x"}`, most, `{"model":"real-0","input":"x"}`},
		{"the limit of messages", formats.Anthropic, "/v1/messages", `{"model":"m0"}`, most, `{"model":"real-0","max_tokens":500}`},
		{"the limit of gemini", formats.Gemini, gemini, `{"contents":[]}`, most, `{"generationConfig":{"maxOutputTokens":500},"contents":[]}`},
		{"the limit of gemini, beside others", formats.Gemini, gemini, `{"generationConfig":{"topK":1}}`, most, `{"generationConfig":{"maxOutputTokens":500,"topK":1}}`},
		{"the model", formats.OpenAI, chat, `{"messages":[]}`, named, `{"model":"real-0","messages":[]}`},
		{"the model of an empty body", formats.OpenAI, chat, ` { } `, named, ` {"model":"real-0" } `},
		{"the model, and a maximum", formats.OpenAI, chat, `{"messages":[]}`, both, `{"model":"real-0","max_completion_tokens":500,"messages":[]}`},
		{"the model, and a wish for usage", formats.OpenAI, chat, `{"stream":true}`, named, `{"model":"real-0","stream_options":{"include_usage":true},"stream":true}`},
		{"the model of messages", formats.Anthropic, "/v1/messages", `{"max_tokens":9}`, named, `{"model":"real-0","max_tokens":9}`},
		{"another model than the default", formats.OpenAI, chat, `{"model":"m0"}`, func(b *books) { b.ids.key.DefaultModel = "m1" }, `{"model":"real-0"}`},
	}
	houses := [formats.NumFormats]*books{}
	for f := range formats.NumFormats {
		houses[f] = newBooks(t, f)
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			b := houses[f.format]
			b.begin(t, says(200, dialects[f.format].answer), never)
			f.set(b)
			resp, body := b.send(t, f.path, f.body, "")
			if resp.StatusCode != 200 || len(b.asked) != 1 {
				t.Fatalf("%d %s, %d providers asked", resp.StatusCode, body, len(b.asked))
			}
			if _, got, _ := strings.Cut(b.asked[0], "\r\n\r\n"); got != f.want {
				t.Errorf("the provider got\n%s\nwant\n%s", got, f.want)
			}
		})
	}
}

// Whom the operator has shut out no policy lets in.
func TestStanding(t *testing.T) {
	identity := func(id abi.Identity) func(*books) {
		return func(b *books) {
			b.policies.authenticate = func(c *abi.Authentication) abi.Answer { c.Identity = &id; return abi.Given }
		}
	}
	team := func(teams ...*abi.Team) func(*books) {
		return func(b *books) {
			b.ids.teams = map[string]*abi.Team{}
			for _, team := range teams {
				b.ids.teams[team.Name] = team
			}
		}
	}
	facts := []struct {
		name string
		set  func(*books)
		want string
	}{
		{"active", identity(abi.Identity{KeyID: "key_1"}), "200"},
		{"disabled", identity(abi.Identity{KeyID: "key_1", State: abi.KeyDisabled}), "403 key_disabled"},
		{"revoked", identity(abi.Identity{KeyID: "key_1", State: abi.KeyRevoked}), "401 key_revoked"},
		{"of a state that is to come", identity(abi.Identity{KeyID: "key_1", State: 9}), "403 key_disabled"},
		{"expired", identity(abi.Identity{KeyID: "key_1", Expires: time.Now().Add(-time.Second)}), "401 key_expired"},
		{"not yet expired", identity(abi.Identity{KeyID: "key_1", Expires: time.Now().Add(time.Hour)}), "200"},
		{"a policy's, disabled", identity(abi.Identity{KeyID: "policy:p/x", State: abi.KeyDisabled}), "403 key_disabled"},
		{"without a team", identity(abi.Identity{KeyID: "key_1"}), "200"},
		{"team is gone", identity(abi.Identity{KeyID: "key_1", Team: "none"}), "403 team_unknown"},
		{"a policy's, in a team that exists nowhere", identity(abi.Identity{KeyID: "policy:p/x", Team: "none"}), "200"},
		{"team disabled", team(&abi.Team{Name: "core", State: abi.KeyDisabled}), "403 team_disabled"},
		{"team above disabled", team(&abi.Team{Name: "core", Parent: "all"}, &abi.Team{Name: "all", State: abi.KeyDisabled}), "403 team_disabled"},
		{"team above revoked", team(&abi.Team{Name: "core", Parent: "all"}, &abi.Team{Name: "all", State: abi.KeyRevoked}), "403 team_disabled"},
		{"team above is gone", team(&abi.Team{Name: "core", Parent: "all"}), "403 team_unknown"},
		{"teams in a circle", team(&abi.Team{Name: "core", Parent: "all"}, &abi.Team{Name: "all", Parent: "core"}), "500 internal_error"},
		{"a policy's, in a team that is disabled", func(b *books) {
			identity(abi.Identity{KeyID: "policy:p/x", Team: "core"})(b)
			team(&abi.Team{Name: "core", State: abi.KeyDisabled})(b)
		}, "403 team_disabled"},
		{"a policy's, in a team below one that is gone", func(b *books) {
			identity(abi.Identity{KeyID: "policy:p/x", Team: "core"})(b)
			team(&abi.Team{Name: "core", Parent: "all"})(b)
		}, "403 team_unknown"},
		{"a team that may not use it", team(&abi.Team{Name: "core", Models: []string{"m1", "c*"}}), "403 model_not_allowed"},
		{"a team above that may not use it", team(&abi.Team{Name: "core", Parent: "all"}, &abi.Team{Name: "all", Models: []string{"m1"}}), "403 model_not_allowed"},
		{"a team that may", team(&abi.Team{Name: "core", Models: []string{"m*"}}), "200"},
	}
	b := newBooks(t, formats.OpenAI)
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			b.begin(t, says(200, wholeAnswer), never)
			f.set(b)
			resp, body := b.send(t, "/v1/chat/completions", chatBody, "")
			status, code, refused := strings.Cut(f.want, " ")
			if strconv.Itoa(resp.StatusCode) != status || !strings.Contains(body, code) || refused == (len(b.asked) > 0) {
				t.Errorf("%d %s, want %s", resp.StatusCode, body, f.want)
			}
			if refused && resp.Header.Get("X-Should-Retry") != "false" {
				t.Error("the client is not told that trying again is no use")
			}
			if resp, body := b.send(t, "/v1/models", "", ""); refused != (resp.StatusCode != 200) && !strings.Contains(code, "model") {
				t.Errorf("the list of models: %d %s", resp.StatusCode, body)
			}
		})
	}
}

// A list has the models that the key and all of its teams may use.
func TestModelListsOfTeams(t *testing.T) {
	b := newBooks(t, formats.OpenAI)
	facts := []struct {
		name             string
		key, team, above []string
		want             []string
	}{
		{"all", nil, nil, nil, []string{"chain", "m0", "m1", "m2"}},
		{"the team's", nil, []string{"m0", "chain"}, nil, []string{"chain", "m0"}},
		{"what key and team share", []string{"m0", "m1"}, []string{"m1", "m2"}, nil, []string{"m1"}},
		{"what all three share", []string{"m*"}, []string{"m0", "m1"}, []string{"m1", "chain"}, []string{"m1"}},
		{"nothing", []string{"m0"}, []string{"m1"}, nil, nil},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			b.begin(t, never, never)
			b.ids.key.Models = f.key
			b.ids.teams = map[string]*abi.Team{"core": {Name: "core", Parent: "all", Models: f.team}, "all": {Name: "all", Models: f.above}}
			_, body := b.send(t, "/v1/models", "", "")
			var list struct{ Data []struct{ ID string } }
			if err := json.Unmarshal([]byte(body), &list); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range list.Data {
				got = append(got, m.ID)
			}
			if !slices.Equal(got, f.want) {
				t.Errorf("%v, want %v", got, f.want)
			}
		})
	}
}

// An identity that a policy makes up has its limits and budgets with it, and is booked under its own name.
func TestIdentityOfAPolicy(t *testing.T) {
	b := newBooks(t, formats.OpenAI)
	b.begin(t, says(200, wholeAnswer), never)
	budget := abi.Budget{Amount: chatHeld + 12870 - 1, Period: abi.PerDay}
	made := &abi.Identity{
		KeyID: "policy:directory/ada", Name: "ada", Team: "nowhere", Models: []string{"m0"}, DefaultModel: "m0",
		Limits: abi.Limits{abi.RequestsPerMinute: 3}, Budgets: []abi.Budget{budget},
	}
	b.policies.authenticate = func(c *abi.Authentication) abi.Answer { c.Policy, c.Identity = "directory", made; return abi.Given }
	want := []struct {
		body, code string
		status     int
	}{{`{"messages":[]}`, "", 200}, {chatBody, "insufficient_quota", 429}, {`{"model":"m1"}`, "model_not_allowed", 403}, {`{"model":"m0","max_tokens":1}`, "", 200}, {chatBody, "rate_limit_exceeded", 429}}
	for i, w := range want {
		if resp, body := b.send(t, "/v1/chat/completions", w.body, ""); resp.StatusCode != w.status || !strings.Contains(body, w.code) {
			t.Errorf("request %d: %d %s, want %d %s", i, resp.StatusCode, body, w.status, w.code)
		}
	}
	if spent := b.balance(ledger.KeyAccount, made.KeyID, budget).Spent; spent != 2*12870 {
		t.Errorf("%d are spent", spent)
	}
	for _, e := range b.entries("") {
		if e.KeyID != made.KeyID || e.Key != "ada" || e.Team != "nowhere" || e.Cost != 12870 {
			t.Errorf("%+v", e)
		}
	}
}

// Every budget that a request counts against holds the same money.
func TestBudgetsOfAllLevels(t *testing.T) {
	b := newBooks(t, formats.OpenAI)
	b.begin(t, says(200, wholeAnswer), never)
	day, month := abi.Budget{Amount: 1_000_000_000, Period: abi.PerDay}, abi.Budget{Amount: 2_000_000_000, Period: abi.PerMonth}
	b.ids.key.Budgets = []abi.Budget{day, month}
	b.ids.teams["core"] = &abi.Team{Name: "core", Parent: "all", Budgets: []abi.Budget{month}}
	b.ids.teams["all"] = &abi.Team{Name: "all", Budgets: []abi.Budget{plenty}}
	for range 3 {
		b.send(t, "/v1/chat/completions", chatBody, "")
	}
	for _, balance := range []ledger.Balance{
		b.balance(ledger.KeyAccount, b.ids.key.KeyID, day), b.balance(ledger.KeyAccount, b.ids.key.KeyID, month),
		b.balance(ledger.TeamAccount, "core", month), b.balance(ledger.TeamAccount, "all", plenty),
	} {
		if balance.Spent != 3*12870 || balance.Reserved != 0 {
			t.Errorf("%s per %s: %d spent, %d reserved", balance.Account, balance.Period, balance.Spent, balance.Reserved)
		}
	}
}

// What is answered in the background is not known to the budget, so that nobody who has one may ask for it.
func TestBackground(t *testing.T) {
	const body = `{"model":"m0","input":"x","background":true}`
	b := newBooks(t, formats.OpenAI)
	b.begin(t, never, never)
	resp, answer := b.send(t, "/v1/responses", body, "")
	if resp.StatusCode != 400 || !strings.Contains(answer, "background_refused") || resp.Header.Get("X-Should-Retry") != "false" {
		t.Errorf("with a budget: %d %s", resp.StatusCode, answer)
	}
	b.refusedRequest(t, 0, formats.CodeBackgroundRefused)
	b.begin(t, says(200, `{"status":"queued"}`), never)
	b.ids.key.Budgets = nil
	if resp, answer := b.send(t, "/v1/responses", body, ""); resp.StatusCode != 200 {
		t.Errorf("without one: %d %s", resp.StatusCode, answer)
	}
}

// A ledger that cannot be written refuses, or lets pass unbooked where the operator chose that, and recovers by itself.
func TestLedgerUnavailable(t *testing.T) {
	inAllDialects(t, func(t *testing.T, b *books, f formats.Format) {
		full := errors.New("the disk is full")
		b.begin(t, says(200, dialects[f].answer), never)
		ask := func() (*http.Response, string) { return b.send(t, dialects[f].path, dialects[f].body, "") }
		b.store.Break(full)
		for n := range 2 { // the first finds out, the second is told
			resp, body := ask()
			if resp.StatusCode != 503 || !strings.Contains(body, "ledger_unavailable") || strings.Contains(body, full.Error()) || resp.Header.Get("Retry-After") != "5" {
				t.Errorf("request %d: %d %s, Retry-After %q", n, resp.StatusCode, body, resp.Header.Get("Retry-After"))
			}
			if r := b.records.wait(t, n); r.Outcome != record.Broken || len(r.Attempts) != 0 {
				t.Errorf("record: %+v", r)
			}
		}
		if len(b.asked) > 0 {
			t.Error("the provider was asked")
		}
		b.ledger.Set(ledger.Settings{Unbudgeted: true})
		if resp, body := ask(); resp.StatusCode != 200 {
			t.Errorf("unbudgeted: %d %s", resp.StatusCode, body)
		}
		if r := b.records.wait(t, 2); !r.Unbooked || r.Booked != 0 || r.Cost == 0 || r.Attempts[0].Basis != "" || r.Attempts[0].Cost != 0 {
			t.Errorf("record: %+v", r)
		}
		b.store.Break(nil)
		b.recovered(t)
		b.asked = nil
		if resp, body := ask(); resp.StatusCode != 200 {
			t.Errorf("afterwards: %d %s", resp.StatusCode, body)
		}
		r := b.records.wait(t, 3)
		var cost abi.NanoUSD
		for _, e := range b.entries("") {
			if cost += e.Cost; e.ID != r.ID && e.Basis != ledger.Unbilled {
				t.Errorf("booked: %+v", e)
			}
		}
		if r.Unbooked || r.Booked != r.Cost || r.Cost != cost || cost == 0 {
			t.Errorf("the journal has %d, the record %+v", cost, r)
		}
	})
}

// recovered waits until the ledger is written again.
func (b *books) recovered(t *testing.T) {
	t.Helper()
	for limit := time.Now().Add(patience); b.ledger.Available() != nil; {
		if time.Now().After(limit) {
			t.Fatal("the ledger is still not written")
		}
		if _, err := b.ledger.Verify(t.Context()); err != nil { // waits for it to be written
			t.Log(err)
		}
	}
}
