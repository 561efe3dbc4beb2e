package gateway

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/formats"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"github.com/sallyport-dev/sallyport/record"
)

// answers returns a provider that always answers so, and a counter of what it was asked.
func answers(t *testing.T, status int, body string, headers ...string) (url string, asked *atomic.Int32) {
	asked = new(atomic.Int32)
	return provider(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}), asked
}

// closedPort is a base URL at which nothing listens.
func closedPort(t *testing.T) string {
	return "http://" + testutil.ClosedAddress(t, 0)
}

// What the first provider does decides whether the second is asked, and what the client is told if not.
func TestFailover(t *testing.T) {
	const secret = `{"error":{"message":"key sk-123 of org-9"}}`
	facts := []struct {
		name   string
		first  func(*testing.T) string
		class  abi.ErrorClass
		next   bool // the second step is tried
		status int  // without a second step
		code   string
	}{
		{"refuses connections", closedPort, abi.NotSent, true, 502, "upstream_error"},
		{"500", status(500, secret), abi.Transient, true, 502, "upstream_error"},
		{"503", status(503, secret), abi.Transient, true, 503, "upstream_error"},
		{"529", status(529, secret), abi.Transient, true, 503, "upstream_error"},
		{"429", status(429, secret), abi.RateLimited, true, 429, "upstream_rate_limited"},
		{"401", status(401, secret), abi.BadCredential, true, 502, "upstream_auth"},
		{"403", status(403, secret), abi.BadCredential, true, 502, "upstream_auth"},
		{"redirect", status(302, secret), abi.Transient, true, 502, "upstream_error"},
		{"504", status(504, secret), abi.Ambiguous, true, 504, "upstream_timeout"},
		{"closes after the request", closing(""), abi.Ambiguous, true, 504, "upstream_timeout"},
		{"closes in the header", closing("HTTP/1.1 200 O"), abi.Ambiguous, true, 504, "upstream_timeout"},
		{"closes in the body", closing("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{\"a\""), abi.Ambiguous, true, 502, "upstream_error"},
		{"cuts a chunked body", closing("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n"), abi.Ambiguous, true, 502, "upstream_error"},
		{"ends a body too early by closing", closing("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":"), abi.Ambiguous, true, 502, "upstream_error"},
		{"not HTTP", closing("hello\r\n\r\n"), abi.Ambiguous, true, 504, "upstream_timeout"},
		{"compressed", status(200, "{}", "Content-Encoding", "gzip"), abi.Ambiguous, true, 502, "upstream_error"},
		{"400", status(400, `{"error":{"message":"no"}}`), abi.Rejected, false, 400, ""},
		{"404", status(404, `{"error":{"message":"no"}}`), abi.Rejected, false, 404, ""},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			second, asked := answers(t, 200, wholeAnswer)
			h := newHouse(t, formats.OpenAI, f.first(t), second)
			resp := h.post("/v1/chat/completions", `{"model":"chain"}`)
			body := text(t, resp.Body)
			if f.next != (resp.StatusCode == 200) || f.next != (asked.Load() == 1) {
				t.Errorf("chain: %d %s, second asked %d times", resp.StatusCode, body, asked.Load())
			}
			if r := h.records.wait(t, 0); r.Attempts[0].Class != f.class {
				t.Errorf("class %v, want %v", r.Attempts[0].Class, f.class)
			}
			resp = h.post("/v1/chat/completions", `{"model":"m0"}`)
			body = text(t, resp.Body)
			if resp.StatusCode != f.status || !strings.Contains(body, f.code) || strings.Contains(body, "sk-123") {
				t.Errorf("alone: %d %s, want %d %s", resp.StatusCode, body, f.status, f.code)
			}
			if f.next && !strings.Contains(body, `\"p0\"`) {
				t.Errorf("the provider is not named: %s", body)
			}
		})
	}
}

func status(code int, body string, headers ...string) func(*testing.T) string {
	return func(t *testing.T) string { url, _ := answers(t, code, body, headers...); return url }
}

func closing(sent string) func(*testing.T) string {
	return func(t *testing.T) string {
		return rawProvider(t, func(_ int, _ []byte, c net.Conn) { _, _ = io.WriteString(c, sent); _ = c.Close() })
	}
}

// A policy's choice is followed as far as it may be: no step twice, and a stop ends the exchange.
func TestChooseStepVerdicts(t *testing.T) {
	first, _ := answers(t, 500, "{}")
	second, _ := answers(t, 500, "{}")
	third, _ := answers(t, 500, "{}")
	facts := []struct {
		name   string
		choose func(*abi.StepChoice) abi.Answer
		tried  []string
	}{
		{"no verdict: by priority", func(*abi.StepChoice) abi.Answer { return abi.NoVerdict }, []string{"m0", "m1", "m2"}},
		{"failed: by priority", func(*abi.StepChoice) abi.Answer { return abi.Failed }, []string{"m0", "m1", "m2"}},
		{"last first", func(c *abi.StepChoice) abi.Answer { c.Step = 3 - int(c.Attempt); return abi.Given }, []string{"m2", "m1", "m0"}},
		{"the same again", func(c *abi.StepChoice) abi.Answer { c.Step = 1; return abi.Given }, []string{"m1", "m0", "m2"}},
		{"stop after one", func(c *abi.StepChoice) abi.Answer { c.Stop = c.Attempt > 1; return abi.Given }, []string{"m0"}},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			h := newHouse(t, formats.OpenAI, first, second, third)
			h.policies.chooseStep = f.choose
			if resp := h.post("/v1/chat/completions", `{"model":"chain"}`); resp.StatusCode != 502 {
				t.Errorf("status %d", resp.StatusCode)
			}
			var tried []string
			r := h.records.wait(t, 0)
			for _, a := range r.Attempts {
				tried = append(tried, a.Step)
			}
			if !slices.Equal(tried, f.tried) || r.Outcome != record.UpstreamError {
				t.Errorf("tried %v, want %v; %v", tried, f.tried, r.Outcome)
			}
		})
	}
}

func TestRetryAfterReachesTheClient(t *testing.T) {
	url, _ := answers(t, 429, "{}", "Retry-After", "17")
	resp := newHouse(t, formats.OpenAI, url).post("/v1/chat/completions", `{"model":"m0"}`)
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "17" {
		t.Errorf("%d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
}

// What one provider asks for says nothing of another that could not be reached.
func TestRetryAfterIsTheLastAttempts(t *testing.T) {
	url, _ := answers(t, 429, "{}", "Retry-After", "17")
	resp := newHouse(t, formats.OpenAI, url, closedPort(t)).post("/v1/chat/completions", `{"model":"chain"}`)
	if resp.StatusCode != 502 || resp.Header.Get("Retry-After") != "" {
		t.Errorf("%d, Retry-After %q", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
}

func TestAuthenticateVerdicts(t *testing.T) {
	vetoed := &abi.Identity{KeyID: "key_1", Name: "tester"}
	facts := []struct {
		name   string
		ask    func(*abi.Authentication) abi.Answer
		status int
		code   string
	}{
		{"nobody answers", func(*abi.Authentication) abi.Answer { return abi.NoVerdict }, 401, "invalid_api_key"},
		{"a policy failed", func(*abi.Authentication) abi.Answer { return abi.Failed }, 503, "policy_failed"},
		{"denied", func(c *abi.Authentication) abi.Answer { c.Status, c.Message = 403, "closed today"; return abi.Given }, 403, "policy_denied"},
		{"vetoed", func(c *abi.Authentication) abi.Answer {
			c.Status, c.Message, c.Vetoed = 403, "not today", vetoed
			return abi.Given
		}, 403, "policy_denied"},
		{"may use another model", func(c *abi.Authentication) abi.Answer {
			c.Identity = &abi.Identity{Name: "n", Models: []string{"m1", "x*"}}
			return abi.Given
		}, 403, "model_not_allowed"},
		{"may use it by name", func(c *abi.Authentication) abi.Answer {
			c.Identity = &abi.Identity{Name: "n", Models: []string{"m0"}}
			return abi.Given
		}, 200, ""},
		{"may use what its name only begins", func(c *abi.Authentication) abi.Answer {
			c.Identity = &abi.Identity{Name: "n", Models: []string{"m"}}
			return abi.Given
		}, 403, "model_not_allowed"},
		{"may use it by prefix", func(c *abi.Authentication) abi.Answer {
			c.Identity = &abi.Identity{Name: "n", Models: []string{"m*"}}
			return abi.Given
		}, 200, ""},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			url, asked := answers(t, 200, wholeAnswer)
			h := newHouse(t, formats.OpenAI, url)
			h.policies.authenticate = f.ask
			resp := h.post("/v1/chat/completions", `{"model":"m0"}`)
			if body := text(t, resp.Body); resp.StatusCode != f.status || !strings.Contains(body, f.code) {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			if f.status >= 500 && resp.Header.Get("X-Should-Retry") != "false" {
				t.Error("clients are not told that trying again is no use")
			}
			if r := h.records.wait(t, 0); f.name == "vetoed" && (r.Key != vetoed.Name || r.Cause != "not today") {
				t.Errorf("record: %+v", r)
			}
			if (asked.Load() > 0) != (f.status == 200) {
				t.Errorf("provider asked %d times", asked.Load())
			}
		})
	}
}

func TestModelErrors(t *testing.T) {
	url, _ := answers(t, 200, wholeAnswer)
	h := newHouse(t, formats.OpenAI, url)
	for body, want := range map[string]string{
		`{"model":"nope"}`:                "404 model_not_found",
		`{}`:                              "400 model_missing",
		`{"model":"m0","model":"m0"}`:     "400 duplicate_field",
		`{"Model":"m0"}`:                  "400 ambiguous_field",
		`{"\u006dodel":"m0"}`:             "400 ambiguous_field",
		"\xef\xbb\xbf" + `{"model":"m0"}`: "400 ",
		`{"model":"m0"} x`:                "400 invalid_json",
	} {
		resp := h.post("/v1/chat/completions", body)
		if got := text(t, resp.Body); !strings.HasPrefix(itoa(resp.StatusCode)+" "+got, want[:4]) || !strings.Contains(got, want[4:]) {
			t.Errorf("%s: %d %s, want %s", body, resp.StatusCode, got, want)
		}
	}
	resp := h.post("/anthropic/v1/messages", `{"model":"m0"}`)
	if got := text(t, resp.Body); resp.StatusCode != 400 || !strings.Contains(got, "speaks the openai format") {
		t.Errorf("wrong format: %d %s", resp.StatusCode, got)
	}
}
