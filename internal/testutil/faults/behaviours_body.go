package faults

import (
	"strings"
	"time"
)

// cuts end an answer before its end.
func cuts() []Behaviour {
	after := func(tokens int, end func(*Turn)) func(*Turn) {
		return func(t *Turn) {
			t.Head()
			t.Part(0, tokens)
			end(t)
		}
	}
	onlyHead := func(end func(*Turn)) func(*Turn) { return func(t *Turn) { t.Head(); end(t) } }
	return []Behaviour{
		{Name: "reset-after-head", Play: onlyHead((*Turn).Reset)},
		{Name: "fin-after-head", Play: onlyHead((*Turn).Fin)},
		{Name: "stalls-after-head", Play: onlyHead((*Turn).Silence)},
		{Name: "reset-before-content", Streams: true, Play: after(0, (*Turn).Reset)},
		{Name: "fin-before-content", Streams: true, Play: after(0, (*Turn).Fin)},
		{Name: "stalls-before-content", Streams: true, Play: after(0, (*Turn).Silence)},
		{Name: "ends-before-content", Streams: true, Play: after(0, func(t *Turn) { t.Send(lastChunk) })},
		{Name: "cut-after-40", Play: after(40, (*Turn).Fin)},
		{Name: "reset-after-40", Play: after(40, (*Turn).Reset)},
		{Name: "half-closes-after-40", Play: after(40, (*Turn).HalfFin)},
		{Name: "stalls-after-40", Play: after(40, (*Turn).Silence)},
		{Name: "ends-after-40", Play: func(t *Turn) {
			if t.Model.Streamed {
				after(40, func(t *Turn) { t.Send(lastChunk) })(t)
				return
			}
			part := t.part(0, 40)
			t.Refuse(200, part)
		}},
		{Name: "cut-in-event", Play: after(40, func(t *Turn) {
			if t.Model.Streamed {
				event := t.part(40, 41)
				t.Send(event[:len(event)/2])
			}
			t.Fin()
		})},
		{Name: "malformed-first", Play: malformed(0)},
		{Name: "malformed-tenth", Play: malformed(10)},
		{Name: "no-sentinel", Streams: true, Play: func(t *Turn) { unended(t); t.Send(lastChunk) }},
		{Name: "no-sentinel-fin", Streams: true, Play: func(t *Turn) { unended(t); t.Fin() }},
		{Name: "no-sentinel-open", Streams: true, Play: func(t *Turn) { unended(t); t.Silence() }},
		{Name: "stays-open", Streams: true, Play: func(t *Turn) {
			t.Head()
			t.Send(strings.TrimSuffix(t.part(0, Tokens), lastChunk))
			t.Silence()
		}},
		{Name: "end-mark-only", Streams: true, Play: func(t *Turn) {
			t.Head()
			if end := t.answer.end; t.Model.API == Gemini || t.Model.API == GeminiArray {
				t.Send(chunks(t.answer.opening...) + chunks(t.answer.finish...) + chunks(end...))
			} else {
				t.Send(chunks(end...))
			}
			t.Send(lastChunk)
		}},
	}
}

// unended sends all of a stream but its end mark.
func unended(t *Turn) {
	t.Head()
	t.Send(strings.TrimSuffix(t.part(0, Tokens), chunks(t.answer.end...)+lastChunk))
}

// malformed puts something that is not JSON before a token.
func malformed(at int) func(*Turn) {
	return func(t *Turn) {
		if !t.Model.Streamed {
			whole := t.answer.whole[:t.cutAt(at)] + `}"{` + t.answer.whole[t.cutAt(at):]
			t.Refuse(200, whole)
			return
		}
		t.Head()
		if at == 0 {
			t.Event("", `{"choices":[}{`, true)
		} else {
			t.Part(0, at)
			t.Event("", `{"choices":[}{`, false)
		}
		t.Part(at, Tokens)
	}
}

// errorsInBand are errors, and what is no answer at all, where an answer should stand.
func errorsInBand() []Behaviour {
	inBand := func(status int, at int) func(*Turn) {
		return func(t *Turn) {
			t.Head()
			if at > 0 {
				t.Part(0, at)
			}
			t.Event(t.Model.API.errorEvent(), t.Model.API.inBand(status), at == 0)
			if at > 0 && t.Model.API == GeminiArray {
				t.Send(chunks("]"))
			}
			t.Send(lastChunk)
		}
	}
	return []Behaviour{
		{Name: "error-first", Streams: true, Play: inBand(500, 0)},
		{Name: "error-first-once", Streams: true, Play: once(inBand(500, 0))},
		{Name: "overloaded-first", Streams: true, Only: []API{Chat, Messages, Gemini, GeminiArray}, Play: inBand(503, 0)},
		{Name: "error-behind-opening", Streams: true, Play: func(t *Turn) {
			t.Head()
			t.Part(0, 0)
			t.Event(t.Model.API.errorEvent(), t.Model.API.inBand(500), false)
			t.Send(lastChunk)
		}},
		{Name: "error-tenth", Streams: true, Play: inBand(500, 9)},
		{Name: "error-body-200", Play: func(t *Turn) { t.Refuse(200, t.Model.API.failure(500, "", "")) }},
		{Name: "empty", Play: func(t *Turn) { t.Send(head(200, t.kind(), length(0))) }},
		{Name: "html", Play: func(t *Turn) {
			const page = "<!doctype html><title>Captive portal</title>"
			t.Send(head(200, "text/html", length(len(page))) + page)
		}},
	}
}

// contents say something else than the right answer does, or say it in another way.
func contents() []Behaviour {
	return []Behaviour{
		{Name: "well", Play: (*Turn).Answer},
		{Name: "json-for-stream", Streams: true, Only: []API{Chat, Responses, Messages, Gemini}, Play: func(t *Turn) {
			m := t.Model
			m.Streamed = false
			t.Refuse(200, m.answer(t.Canary).whole)
		}},
		{Name: "stream-for-json", Play: func(t *Turn) {
			if t.Model.Streamed {
				t.Answer()
				return
			}
			m := t.Model
			m.Streamed = true
			a := m.answer(t.Canary)
			t.Send(head(200, streamKind, isChunked) + chunks(a.opening...) + chunks(a.tokens...) + chunks(a.finish...) + chunks(a.end...) + lastChunk)
		}},
		{Name: "comments-first", Streams: true, Play: func(t *Turn) {
			t.Head()
			t.Send(chunks(t.answer.opening...))
			for range 10 {
				t.Send(chunks(t.Model.API.comment()))
				t.Pause(step)
			}
			t.Send(strings.TrimPrefix(t.part(0, Tokens), chunks(t.answer.opening...)))
		}},
		{Name: "comments-only", Streams: true, Play: func(t *Turn) {
			t.Head()
			t.Part(0, 0)
			for t.Pause(step) {
				t.Send(chunks(t.Model.API.comment()))
			}
		}},
		{Name: "bytewise", Play: func(t *Turn) {
			t.Head()
			t.Part(0, 50)
			t.Slowly(t.part(50, Tokens), 1, 0)
		}},
		{Name: "slow", Play: func(t *Turn) {
			t.Head()
			for i := range Tokens {
				t.Part(i, i+1)
				t.Pause(step)
			}
		}},
		{Name: "huge-event", Heavy: true, Play: func(t *Turn) { t.stuff(1 << 20) }},
		{Name: "oversized-event", Heavy: true, Streams: true, Play: func(t *Turn) { t.stuff(9 << 20) }},
		{Name: "oversized-first", Heavy: true, Streams: true, Play: func(t *Turn) {
			t.Head()
			t.Event("", `{"filler":"`+strings.Repeat("z", 9<<20)+`"}`, true)
			t.Silence()
		}},
	}
}

// stuff answers with so many bytes more within it.
func (t *Turn) stuff(n int) {
	filler := `{"filler":"` + strings.Repeat("z", n) + `",`
	if !t.Model.Streamed {
		t.Refuse(200, filler+t.answer.whole[1:])
		return
	}
	t.Head()
	t.Part(0, 40)
	event := t.answer.tokens[40]
	t.Send(chunks(strings.Replace(event, "{", filler, 1)))
	t.Part(41, Tokens)
}

// framings are at odds with HTTP, or at its edges.
func framings() []Behaviour {
	return []Behaviour{
		{Name: "length-short", Play: func(t *Turn) { sized(t, -300); t.Silence() }},
		{Name: "length-long", Play: func(t *Turn) { sized(t, +300); t.Fin() }},
		{Name: "length-long-open", Play: func(t *Turn) { sized(t, +300); t.Silence() }},
		{Name: "trailers", Play: func(t *Turn) {
			chunkedWhole(t, "0\r\nX-Trailer: unasked\r\nSet-Cookie: a=b\r\n\r\n")
		}},
		{Name: "no-last-chunk", Play: func(t *Turn) { chunkedWhole(t, ""); t.Silence() }},
		{Name: "chunk-extensions", Play: func(t *Turn) {
			body := body(t)
			t.Send(head(200, t.kind(), isChunked) + strings.Replace(chunks(body), "\r\n", ";name=\"value\"\r\n", 1) + lastChunk)
		}},
		{Name: "chunk-rubbish-first", Play: func(t *Turn) { t.Send(head(200, t.kind(), isChunked) + "zz\r\n" + body(t)); t.Silence() }},
		{Name: "chunk-rubbish-late", Play: func(t *Turn) {
			if t.Model.Streamed {
				t.Head()
				t.Part(0, 40)
			} else {
				t.Send(head(200, t.kind(), isChunked) + chunks(t.part(0, 40)))
			}
			t.Send("-5\r\nwrong\r\n")
			t.Silence()
		}},
		{Name: "http10", Play: func(t *Turn) { t.Send(http10(t) + body(t)); t.Fin() }},
		{Name: "http10-cut", Play: func(t *Turn) {
			text := body(t)
			t.Send(http10(t))
			t.inTwo(text[:len(text)*2/3])
			t.Fin()
		}},
		{Name: "close-delimited", Play: func(t *Turn) { t.Send(head(200, t.kind()) + body(t)); t.Fin() }},
		{Name: "connection-close", Asks: 2, Play: func(t *Turn) { t.Head("Connection: close"); t.Part(0, Tokens); t.Fin() }},
	}
}

// body is the whole right answer, without any framing of HTTP.
func body(t *Turn) string {
	a := &t.answer
	return a.whole + strings.Join(a.opening, "") + strings.Join(a.tokens, "") + strings.Join(a.finish, "") + strings.Join(a.end, "")
}

func sized(t *Turn, wrong int) {
	text := body(t)
	t.Send(head(200, t.kind(), length(len(text)+wrong)))
	t.inTwo(text)
}

// inTwo sends a body in two parts: the second after the first has been seen.
func (t *Turn) inTwo(text string) {
	t.Send(text[:len(text)/2])
	t.Pause(2 * step)
	t.Send(text[len(text)/2:])
}

func chunkedWhole(t *Turn, last string) {
	t.Send(head(200, t.kind(), isChunked) + chunks(body(t)) + last)
}

func http10(t *Turn) string {
	return "HTTP/1.0 200 OK\r\nContent-Type: " + t.kind() + "\r\n\r\n"
}

// Foreign is in everything that belongs to no request: who sees it has been given another's answer.
const Foreign = "canary:foreign;"

// foreign is a whole answer that nobody asked for.
func (t *Turn) foreign() string {
	m := t.Model
	m.Streamed = false
	text := m.answer("foreign").whole
	return head(200, jsonKind, length(len(text))) + text
}

// reuses misbehave between one request and the next on the same connection. All of them answer well as far as any one
// request goes, if the other end uses no connection that it must not use.
func reuses() []Behaviour {
	firstOn := func(first func(*Turn)) func(*Turn) {
		return func(t *Turn) {
			t.Answer()
			if t.Number == 1 {
				first(t)
			}
		}
	}
	return []Behaviour{
		{Name: "double-answer", Asks: 2, Play: func(t *Turn) {
			t.Head()
			t.Send(t.part(0, Tokens) + t.foreign())
		}},
		{Name: "extra-answer-later", Asks: 2, Play: firstOn(func(t *Turn) { t.Pause(5 * time.Millisecond); t.Send(t.foreign()) })},
		{Name: "extra-bytes", Asks: 2, Play: func(t *Turn) { t.Head(); t.Send(t.part(0, Tokens) + Foreign) }},
		{Name: "fin-when-idle", Asks: 2, Play: firstOn((*Turn).Fin)},
		{Name: "reset-when-idle", Asks: 2, Play: firstOn((*Turn).Reset)},
		{Name: "dies-on-reuse", Asks: 2, Play: func(t *Turn) {
			if t.Number == 2 {
				t.Fin()
				return
			}
			t.Answer()
		}},
	}
}

// inASecond is the date of the second after the next.
func inASecond() string {
	return time.Now().Add(2 * time.Second).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")
}
