package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serving runs a server for the length of a test and returns its address.
func serving(t *testing.T, serve func(net.Listener) error) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = serve(l) // it ends with its listener
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return l.Addr().String()
}

// The upstream, straight and behind the bare proxy, answers what the body asks for.
func TestAnswers(t *testing.T) {
	upstream := serving(t, serveUpstream)
	whole := serving(t, func(l net.Listener) error { return serveBare(l, upstream, false) })
	pieces := serving(t, func(l net.Listener) error { return serveBare(l, upstream, true) })
	for _, address := range []string{upstream, whole, pieces} {
		for _, size := range []int{300, 64 << 10, 512 << 10} {
			resp, err := http.Post("http://"+address+chatPath, "application/json", strings.NewReader(chatBody(size)))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK || string(text) != wholeAnswer || resp.Body.Close() != nil {
				t.Errorf("%s, %d bytes: %d, %q, %v", address, size, resp.StatusCode, text, err)
			}
		}
	}
	ask := fmt.Sprint(askStream, " 5 ", 20*time.Millisecond)
	for _, address := range []string{upstream, pieces} {
		seen, err := watchStreams(address, streamBody(ask), 2, 3)
		if err != nil || len(seen.first) != 6 || len(seen.jitter) != 6*4 {
			t.Fatalf("%s: %d streams with %d gaps: %v", address, len(seen.first), len(seen.jitter), err)
		}
		if first := seen.first[len(seen.first)-1]; first > 5*time.Second {
			t.Errorf("%s: the first event came after %v", address, first)
		}
	}
	release, err := holdStreams(pieces, 10)
	if err != nil {
		t.Fatal(err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
}

// Accounts that do not add up are a failure of the bench, not a footnote.
func TestHonesty(t *testing.T) {
	hooks := func(authenticate, choose, price int64) map[string]int64 {
		return map[string]int64{"authenticate": authenticate, "choose_step": choose, "price_response": price}
	}
	for _, tt := range []struct {
		name  string
		h     honest
		asked int
		ok    bool
	}{
		{"all is there", honest{Answers: 100, Records: 100, Ledger: 100, Hooks: hooks(100, 100, 200)}, 1, true},
		{"some were cut off", honest{Answers: 100, CutOff: 64, Records: 130, Ledger: 130, Hooks: hooks(130, 130, 260)}, 1, true},
		{"three policies", honest{Answers: 100, Records: 100, Ledger: 100, Hooks: hooks(300, 300, 600)}, 3, true},
		{"records are missing", honest{Answers: 100, Records: 99, Ledger: 99, Hooks: hooks(100, 100, 200)}, 1, false},
		{"records too many", honest{Answers: 100, CutOff: 5, Records: 106, Ledger: 106, Hooks: hooks(106, 106, 212)}, 1, false},
		{"attempts are missing", honest{Answers: 100, Records: 100, Ledger: 99, Hooks: hooks(100, 100, 200)}, 1, false},
		{"a hook was left out", honest{Answers: 100, Records: 100, Ledger: 100, Hooks: hooks(100, 0, 200)}, 1, false},
		{"no estimates", honest{Answers: 100, Records: 100, Ledger: 100, Hooks: hooks(100, 100, 100)}, 1, false},
	} {
		if err := tt.h.problem(tt.asked); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestReport(t *testing.T) {
	b := &bench{plan: plan{rounds: 3}}
	for i := range 3 {
		b.note("1 KB", cpuFigure(1), bareName, float64(10+i))
		b.note("1 KB", cpuFigure(1), sallyportName, float64(21+i))
		b.note("1 KB", "requests/s", bareName, 1000)
	}
	r := b.report()
	var text bytes.Buffer
	if err := r.text(&text); err != nil {
		t.Fatal(err)
	}
	if len(r.Figures) != 3 || r.Figures[1].Median != 22 || r.Figures[1].Ratio != 2 || r.Figures[0].Ratio != 0 {
		t.Errorf("got %+v", r.Figures)
	}
	if !strings.Contains(text.String(), "21.0 to 23.0") {
		t.Errorf("got\n%s", text.String())
	}
	dir := t.TempDir()
	picture := filepath.Join(dir, "r.svg")
	if err := r.picture(picture); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(picture)
	if err != nil || xml.Unmarshal(content, new(struct{})) != nil || !bytes.Contains(content, []byte(sallyportName)) {
		t.Errorf("the picture has %d bytes: %v", len(content), err)
	}
	if err := r.json(filepath.Join(dir, "r.json")); err != nil {
		t.Error(err)
	}
}
