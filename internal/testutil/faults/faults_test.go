package faults

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// send sends one request on a connection of its own, and returns the connection.
func send(t *testing.T, p *Provider, m Model) (net.Conn, error) {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(p.URL(m), "http://"))
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = c.Close() })
	path, body := m.API.Request(m.String(), m.Streamed, "bird", 0)
	_, err = io.WriteString(c, "POST "+path+" HTTP/1.1\r\nHost: x\r\n"+length(len(body))+"\r\n\r\n"+body)
	return c, err
}

// The right answers are right: JSON throughout, each token once, and the next request can follow.
func TestAnswersWell(t *testing.T) {
	p := New(t)
	for api := range NumAPIs {
		for _, streamed := range []bool{false, true} {
			if api == GeminiArray && !streamed {
				continue
			}
			m := Model{Behaviour: "well", API: api, Streamed: streamed, Case: "x"}
			c, err := send(t, p, m)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatalf("%s: %v after %q", m, err, text)
			}
			checkJSON(t, m, string(text))
			from := 0
			for i := range Tokens {
				at := strings.Index(string(text)[from:], Token(i))
				if at < 0 {
					t.Fatalf("%s: token %d is missing in %s", m, i, text)
				}
				from += at
			}
			if strings.Count(string(text), "canary:bird;") != 1 || strings.Count(string(text), Token(7)) != 1 {
				t.Errorf("%s: %s", m, text)
			}
			seen := p.Take(m.String())
			if len(seen) != 1 || !seen[0].Whole || seen[0].Canary != "bird" || seen[0].Number != 1 || len(p.Take(m.String())) != 0 {
				t.Errorf("%s: the provider saw %+v", m, seen)
			}
		}
	}
}

// checkJSON checks a body, or every event of one.
func checkJSON(t *testing.T, m Model, text string) {
	t.Helper()
	if !m.Streamed || m.API == GeminiArray {
		if !json.Valid([]byte(text)) {
			t.Errorf("%s: %s", m, text)
		}
		return
	}
	for line := range strings.Lines(text) {
		if data, ok := strings.CutPrefix(line, "data: "); ok && !strings.HasPrefix(data, "[DONE]") && !json.Valid([]byte(data)) {
			t.Errorf("%s: %s", m, line)
		}
	}
}

// Every behaviour but the good ones differs from the right answer, and errors are JSON.
func TestErrorsAreJSON(t *testing.T) {
	for api := range NumAPIs {
		for _, about := range []string{"", kindContext, kindPolicy, kindModel, kindQuota, kindCredit, kindKey} {
			for _, wait := range []string{"", "1s"} {
				if text := api.failure(429, about, wait); !json.Valid([]byte(text)) || !strings.Contains(text, Secret) {
					t.Errorf("%v: %s", api, text)
				}
			}
		}
		if text := api.inBand(500); !json.Valid([]byte(text)) {
			t.Errorf("%v: %s", api, text)
		}
	}
}

// Each behaviour can be played in each of its forms, and ends when the other end does, or with the test.
func TestBehaviours(t *testing.T) {
	p := New(t)
	refusing := map[string]bool{"refuses": true, "unanswered": true}
	for _, b := range Behaviours() {
		for api := range NumAPIs {
			for _, streamed := range []bool{false, true} {
				m := Model{Behaviour: b.Name, API: api, Streamed: streamed, Case: "x"}
				if refusing[b.Name] || !b.In(api, streamed) {
					continue
				}
				c, err := send(t, p, m)
				if err != nil {
					if !b.Own { // the others may end the connection before it is even used
						t.Errorf("%s: %v", m, err)
					}
					continue
				}
				_ = c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}
		}
	}
	if _, err := net.Dial("tcp", closedPort(t)); err == nil {
		t.Error("a closed port is open")
	}
	d := net.Dialer{Timeout: 50 * time.Millisecond}
	if c, err := d.Dial("tcp", fullPort(t)); err == nil {
		_ = c.Close()
		t.Error("a full port has room")
	}
}

// Big requests do not fit between both ends.
func TestBigBody(t *testing.T) {
	p := New(t)
	m := Model{Behaviour: "never-reads", API: Chat, Case: "x"}
	c, err := net.Dial("tcp", strings.TrimPrefix(p.URL(m), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := io.Copy(c, strings.NewReader(strings.Repeat("x", BigBody))); err == nil {
		t.Errorf("all %d bytes of %d fit", n, BigBody)
	}
}
