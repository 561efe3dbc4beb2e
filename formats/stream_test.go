package formats

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// split returns the events of a stream that arrives in chunks: what is relayed, a bar, and the payload ("-" for none).
func split(framing Framing, stream string, chunk int) (events []string, rest string) {
	var s Splitter
	s.Reset(framing)
	var buf []byte
	for stream != "" {
		n := min(chunk, len(stream))
		buf = append(buf, stream[:n]...)
		stream = stream[n:]
		for {
			n, data, ok := s.Next(buf)
			if !ok {
				break
			}
			payload := "-"
			if data != nil {
				payload = string(data)
			}
			events = append(events, string(buf[:n])+"|"+payload)
			buf = buf[n:]
		}
	}
	rest = "-"
	if data := s.Rest(buf); data != nil {
		rest = string(data)
	}
	return events, rest
}

func TestSplitter(t *testing.T) {
	tests := []struct {
		name    string
		framing Framing
		stream  string
		events  []string
		rest    string
	}{
		{"line feeds", SSE, "data: a\n\ndata: b\n\n", []string{"data: a\n\n|a", "data: b\n\n|b"}, "-"},
		{"carriage returns and line feeds", SSE, "data: a\r\n\r\ndata: b\r\n\r\n", []string{"data: a\r\n\r\n|a", "data: b\r\n\r\n|b"}, "-"},
		{"carriage returns", SSE, "data: a\r\rdata: b\r\r", []string{"data: a\r\r|a", "data: b\r\r|b"}, "-"},
		{"mixed line ends", SSE, "event: x\rdata: a\n\r\ndata: b\r\n\n", []string{"event: x\rdata: a\n\r\n|a", "data: b\r\n\n|b"}, "-"},
		{"other fields", SSE, "id: 1\nevent: ping\nretry: 5\ndata:{}\n\n", []string{"id: 1\nevent: ping\nretry: 5\ndata:{}\n\n|{}"}, "-"},
		{"comments and stray blank lines", SSE, ": hi\n\n\n\ndata: a\n\n", []string{": hi\n\n|-", "\n|-", "\n|-", "data: a\n\n|a"}, "-"},
		{"several data lines", SSE, "data: a\ndata:  b\ndata\ndata:c\n\n", []string{"data: a\ndata:  b\ndata\ndata:c\n\n|a\n b\n\nc"}, "-"},
		{"an empty payload is a payload", SSE, "data:\n\n", []string{"data:\n\n|"}, "-"},
		{"a field that only begins like data", SSE, "database: a\ndata : b\n\n", []string{"database: a\ndata : b\n\n|-"}, "-"},
		{"a byte order mark", SSE, "\ufeffdata: a\n\n\ufeffdata: b\n\n", []string{"\ufeffdata: a\n\n|a", "\ufeffdata: b\n\n|-"}, "-"},
		{"a byte order mark and no end", SSE, "\ufeffdata: a", nil, "a"},
		{"no blank line at the end", SSE, "data: a\n\ndata: b\n", []string{"data: a\n\n|a"}, "b"},
		{"no line end at the end", SSE, "data: a\n\ndata: [DONE]", []string{"data: a\n\n|a"}, "[DONE]"},
		{"half a field at the end", SSE, "dat", nil, "-"},
		{"nothing", SSE, "", nil, "-"},

		{"an array", JSONArray, "[{\"a\":1}\n,\r\n{\"b\":[2]}]\n", []string{"[{\"a\":1}|{\"a\":1}", "\n,\r\n{\"b\":[2]}|{\"b\":[2]}", "]|-"}, "-"},
		{"brackets and escapes in strings", JSONArray, `[{"a":"}]\"\\"},{"\\":"["}]`, []string{`[{"a":"}]\"\\"}|{"a":"}]\"\\"}`, `,{"\\":"["}|{"\\":"["}`, "]|-"}, "-"},
		{"an empty array", JSONArray, " [ ] ", []string{" [ ]|-"}, "-"},
		{"values of other kinds", JSONArray, `[1,"a,\"b",null ,[{}]]`, []string{"[1|1", `,"a,\"b"|"a,\"b"`, ",null|null", " ,[{}]|[{}]", "]|-"}, "-"},
		{"a bare value before a bracket", JSONArray, `[[1],2]`, []string{"[[1]|[1]", ",2|2", "]|-"}, "-"},
		{"an error that is not in an array", JSONArray, `{"error":{"code":429}}`, []string{`{"error":{"code":429}}|{"error":{"code":429}}`}, "-"},
		{"cut within an element", JSONArray, `[{"a":1},{"b":"x`, []string{`[{"a":1}|{"a":1}`}, `{"b":"x`},
		{"cut behind a comma", JSONArray, `[{"a":1},`, []string{`[{"a":1}|{"a":1}`}, "-"},
		{"stray brackets", JSONArray, `[}]]`, []string{"[}|-", "]|-", "]|-"}, "-"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			events, rest := split(test.framing, test.stream, len(test.stream)+1)
			if !slices.Equal(events, test.events) || rest != test.rest {
				t.Errorf("\n got %q, rest %q\nwant %q, rest %q", events, rest, test.events, test.rest)
			}
		})
	}
}

// TestSplitterWaitsForNothing shows that an event is out with its last byte, whatever the line ends.
func TestSplitterWaitsForNothing(t *testing.T) {
	for _, end := range []string{"\n\n", "\r\r", "\r\n\r"} { // of \r\n\r\n the last \n may come later
		var s Splitter
		s.Reset(SSE)
		event := []byte("data: a" + end)
		if _, _, ok := s.Next(event[:len(event)-1]); ok {
			t.Errorf("%q: ended early", end)
		}
		if n, data, ok := s.Next(event); !ok || n != len(event) || string(data) != "a" {
			t.Errorf("%q: %d %q %v", end, n, data, ok)
		}
	}
}

func TestSplitterClosed(t *testing.T) {
	var s Splitter
	s.Reset(JSONArray)
	s.Next([]byte("[{}"))
	if s.Closed() {
		t.Error("closed before the bracket")
	}
	s.Next([]byte("]"))
	if !s.Closed() {
		t.Error("not closed behind the bracket")
	}
	if s.Reset(JSONArray); s.Closed() {
		t.Error("closed after a reset")
	}
}

// payloads are the payloads of a stream, the rest included: what must not depend on how the bytes arrived.
func payloads(events []string, rest string) (all []string, relayed string) {
	for _, e := range events {
		bar := strings.IndexByte(e, '|')
		relayed += e[:bar]
		if e[bar+1:] != "-" {
			all = append(all, e[bar+1:])
		}
	}
	return append(all, rest), relayed
}

// FuzzSplitter cuts a stream in pieces of one size and of two alternating ones, and in none at all. The events are
// the same, and what is relayed is the stream.
func FuzzSplitter(f *testing.F) {
	f.Add([]byte("\ufeffdata: a\r\n\r\n: x\n\nevent: b\rdata: c\rdata: d\r\rdata: e"), true, uint8(1), uint8(2))
	f.Add([]byte(`[{"a":"\"]"} , 1,"x",[{}]]`), false, uint8(3), uint8(1))
	f.Add([]byte("\r\n\r\n\r\r\n\n\ndata"), true, uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, sse bool, one, two uint8) {
		if bytes.IndexByte(stream, '|') >= 0 {
			return // the bar is ours
		}
		framing := JSONArray
		if sse {
			framing = SSE
		}
		whole, rest := split(framing, string(stream), len(stream)+1)
		want, relayed := payloads(whole, rest)
		if !bytes.HasPrefix(stream, []byte(relayed)) {
			t.Fatalf("relayed %q of %q", relayed, stream)
		}
		for _, chunk := range []uint8{one, two, 1} {
			events, rest := split(framing, string(stream), max(1, int(chunk)))
			got, again := payloads(events, rest)
			if !slices.Equal(got, want) {
				t.Fatalf("in pieces of %d: %q\nwhole: %q", chunk, got, want)
			}
			if len(again) > len(stream) || again != string(stream[:len(again)]) {
				t.Fatalf("in pieces of %d: relayed %q", chunk, again)
			}
		}
	})
}

func TestSplitterAllocatesNothing(t *testing.T) {
	var s Splitter
	stream := []byte("data: {\"a\":1}\n\ndata: a\ndata: b\n\n")
	array := []byte(`[{"a":1},{"b":"c"}]`)
	allocs := testing.AllocsPerRun(100, func() {
		for _, c := range []struct {
			framing Framing
			stream  []byte
		}{{SSE, stream}, {JSONArray, array}} {
			s.Reset(c.framing)
			for rest := c.stream; ; {
				n, _, ok := s.Next(rest)
				if !ok {
					break
				}
				rest = rest[n:]
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}

// BenchmarkSplitterLongEvent shows that an event that arrives in many pieces costs its length once: the time per byte
// does not grow with the event.
func BenchmarkSplitterLongEvent(b *testing.B) {
	for _, size := range []int{16 << 10, 1 << 20} {
		for _, framing := range []Framing{SSE, JSONArray} {
			event := []byte("data: \"" + strings.Repeat("x", size) + "\"\n\n")
			name := "sse"
			if framing == JSONArray {
				event, name = []byte("[\""+strings.Repeat("x", size)+"\""), "array"
			}
			b.Run(name+"/"+map[int]string{16 << 10: "16KB", 1 << 20: "1MB"}[size], func(b *testing.B) {
				var s Splitter
				b.SetBytes(int64(len(event)))
				b.ReportAllocs()
				for b.Loop() {
					s.Reset(framing)
					ok := false
					for n := 1024; !ok; n += 1024 {
						_, _, ok = s.Next(event[:min(n, len(event))])
					}
				}
			})
		}
	}
}
