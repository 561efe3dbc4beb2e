package faults

import (
	"strconv"
	"strings"
	"time"
)

// Point is a moment of an attempt at which the connection may end.
type Point struct {
	Name string
	Behaviour
}

// period is how often a point's provider fails: at one request of so many, so that its circuit stays closed.
const period = 3

// Points are the moments of an attempt, from its beginning to behind its end. At each of them the connection ends,
// once well and once with a reset, for one request in three; the others are answered.
func Points() []Point {
	const headBytes = 40
	all := []Point{
		{"dialling", Behaviour{port: closedPort}},
		{"at accept", early(func(*Turn) {})},
		{"in the request's head", early(func(t *Turn) { t.readSome(headBytes) })},
		{"in the request's body", early(func(t *Turn) { t.Read(100) })},
		{"behind the request", sometimes(func(*Turn) {})},
		{"in the status line", sometimes(func(t *Turn) { t.Send("HTTP/1.1 20") })},
		{"in the head", sometimes(func(t *Turn) { t.Send("HTTP/1.1 200 OK\r\nContent-Type: text/") })},
		{"behind the head", sometimes(func(t *Turn) { t.Head() })},
		{"before the content", sometimes(func(t *Turn) { t.Send(t.head() + t.part(0, 0)) })},
		{"in the content", sometimes(func(t *Turn) { t.Send(t.head() + t.part(0, 40)) })},
		{"before the end", sometimes(func(t *Turn) { t.Send(t.head() + t.part(0, Tokens-1)) })},
		{"behind the end", sometimes(func(t *Turn) { t.Head(); t.Send(strings.TrimSuffix(t.part(0, Tokens), lastChunk)) })},
	}
	for i := range all {
		all[i].Behaviour.Name = "point-" + strconv.Itoa(i)
	}
	return all
}

// endHere ends the connection: with a reset at every other fault.
func (t *Turn) endHere() {
	if t.Number/period%2 == 0 {
		t.Fin()
	} else {
		t.Reset()
	}
}

func sometimes(f func(*Turn)) Behaviour {
	return Behaviour{Play: func(t *Turn) {
		if t.Number%period != 1 {
			t.Answer()
			return
		}
		f(t)
		t.endHere()
	}}
}

// early is sometimes for what happens before the request is read. Each connection carries one request.
func early(f func(*Turn)) Behaviour {
	return Behaviour{Own: true, Play: func(t *Turn) {
		if t.Number%period != 1 {
			if t.Read(-1) {
				t.Head("Connection: close")
				t.Send(t.part(0, Tokens))
			}
			t.Fin()
			return
		}
		f(t)
		t.endHere()
	}}
}

// readSome reads bytes, whatever they are.
func (t *Turn) readSome(n int) {
	_ = t.conn.SetReadDeadline(time.Now().Add(mercy))
	_, _ = t.in.Discard(n)
}

// Poisoned is a provider that leaves on its connections what belongs to nobody: whole answers, too much and too little
// of one. Most of its answers are well all the same. What is left over comes in one piece with the answer before it:
// if it came later, and a request had left meanwhile, nobody could tell it from the answer to that. See PoisonedLate.
func Poisoned() Behaviour {
	return Behaviour{Name: "poisoned", Play: func(t *Turn) {
		whole := t.head() + t.part(0, Tokens)
		switch kind := t.Number % 64; {
		case kind < 8 && !t.Model.Streamed:
			t.Send(whole + t.foreign())
		case kind < 16 && !t.Model.Streamed:
			t.Send(whole + Foreign)
		case kind == 20:
			sized(t, +30)
			t.Fin()
		case kind == 30:
			sized(t, -30)
			t.Send(t.foreign())
			t.Silence()
		case kind == 40:
			t.Send(whole[:len(whole)/2])
			t.Reset()
		case kind > 40 && kind < 44:
			t.Send(whole)
			t.Fin()
		case kind > 44 && kind < 48:
			t.Send(whole)
			t.Reset()
		default:
			t.Send(whole)
		}
	}}
}

// PoisonedLate is a provider whose every answer is followed by another one, a little later. Who asks it has to leave
// it alone for a while after each answer.
func PoisonedLate() Behaviour {
	return Behaviour{Name: "poisoned-late", Play: func(t *Turn) {
		t.Answer()
		t.Pause(time.Millisecond)
		t.Send(t.foreign())
	}}
}

// Ticker is a provider of streams whose events come in step, each with its number.
func Ticker(events func(m Model) int, every time.Duration) Behaviour {
	return Behaviour{Name: "paced", Play: func(t *Turn) {
		t.Head()
		t.Send(chunks(t.answer.opening...))
		next := time.Now()
		token := t.answer.tokens[1]
		for i := range events(t.Model) {
			t.Send(chunks(strings.Replace(token, Token(1), Tick(i), 1)))
			next = next.Add(every)
			if t.Hold(time.Until(next)); t.over {
				return
			}
		}
		t.Send(chunks(t.answer.finish...) + chunks(t.answer.end...) + lastChunk)
	}}
}

// Tick is the text of a ticker's event.
func Tick(i int) string { return "tick" + strconv.Itoa(i) + "." }
