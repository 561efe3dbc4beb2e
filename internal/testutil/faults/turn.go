package faults

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Turn is one request on its way through a script, or a connection that has brought none yet. One goroutine drives it.
type Turn struct {
	Model  Model
	Number int // of the requests for this model, from 1
	Canary string

	provider   *Provider
	conn       net.Conn
	in         *bufio.Reader
	connection int
	seen       *Request
	length     int // of the request's body
	kept       []byte
	over       bool // the connection is not used again
	answer     answer
}

// begin begins a turn for a connection that has not been read from.
func (t *Turn) begin(model string) {
	t.seen = &Request{Connection: t.connection, Began: time.Now()}
	t.Model = parseModel(model)
	t.provider.note(model, t.seen)
	t.Number = t.seen.Number
	t.prepare()
}

// receive reads the next request; false if none comes.
func (t *Turn) receive() bool {
	if !t.await(time.Hour) {
		return false
	}
	t.seen = &Request{Connection: t.connection, Began: time.Now()}
	path, ok := t.readHead()
	if !ok {
		return false
	}
	whole := t.readBody(t.length)
	model := modelOf(path, t.kept)
	t.Model = parseModel(model)
	t.provider.note(model, t.seen)
	t.Number = t.seen.Number
	t.prepare()
	return whole
}

// Read reads the request, or as much of its body: -1 is all of it.
func (t *Turn) Read(most int) bool {
	if _, ok := t.readHead(); !ok {
		return false
	}
	return t.ReadMore(most)
}

// ReadMore reads more of the request's body: -1 is all of it. It reports whether that was there.
func (t *Turn) ReadMore(most int) bool {
	left := t.length - t.seen.Bytes
	if most < 0 || most > left {
		most = left
	}
	whole := t.readBody(most)
	t.prepare()
	return whole
}

// readHead reads the head of a request, as far as anybody here wants to know it.
func (t *Turn) readHead() (path string, ok bool) {
	_ = t.conn.SetReadDeadline(time.Now().Add(mercy))
	t.length = 0
	for n := 0; ; n++ {
		line, err := t.in.ReadString('\n')
		if err != nil {
			t.ended()
			return path, false
		}
		line = strings.TrimRight(line, "\r\n")
		switch name, value, _ := strings.Cut(line, ":"); {
		case n == 0:
			_, path, _ = strings.Cut(line, " ")
			path, _, _ = strings.Cut(path, " ")
			t.provider.change(func() { t.seen.Path = path })
		case line == "":
			return path, true
		case strings.EqualFold(name, "content-length"):
			t.length, _ = strconv.Atoi(strings.TrimSpace(value))
		}
	}
}

// readBody reads so many bytes of the body, and keeps the first of them all.
func (t *Turn) readBody(n int) (whole bool) {
	const most = 4 << 10
	if t.seen.Bytes == 0 {
		t.kept = t.kept[:0]
	}
	from := len(t.kept)
	t.kept = append(t.kept, make([]byte, min(n, most-from))...)
	got, err := io.ReadFull(t.in, t.kept[from:])
	t.kept = t.kept[:from+got]
	if rest := n - got; rest > 0 && err == nil {
		var more int64
		more, err = io.CopyN(io.Discard, t.in, int64(rest))
		got += int(more)
	}
	t.provider.change(func() {
		t.seen.Bytes += got
		if _, canary, ok := bytes.Cut(t.kept, []byte("canary:")); ok {
			if canary, _, ok = bytes.Cut(canary, []byte(";")); ok {
				t.seen.Canary = string(canary)
				t.Canary = t.seen.Canary
			}
		}
		if t.seen.Bytes == t.length && err == nil {
			t.seen.Whole, t.seen.Arrived = true, time.Now()
		}
	})
	if err != nil {
		t.ended()
	}
	return err == nil
}

// prepare makes the answer that would be the right one.
func (t *Turn) prepare() { t.answer = t.Model.answer(t.Canary) }

// Send writes; a peer that has gone is told nothing more.
func (t *Turn) Send(text string) {
	if t.over || text == "" {
		return
	}
	_ = t.conn.SetWriteDeadline(time.Now().Add(mercy))
	if _, err := io.WriteString(t.conn, text); err != nil {
		t.ended()
	}
}

// Slowly sends text in pieces of so many bytes.
func (t *Turn) Slowly(text string, piece int, pause time.Duration) {
	for len(text) > 0 && !t.over {
		n := min(piece, len(text))
		t.Send(text[:n])
		text = text[n:]
		t.Pause(pause)
	}
}

// Pause waits; false if the other end closed meanwhile, or the test is over.
func (t *Turn) Pause(d time.Duration) bool {
	if !t.over {
		t.await(d)
	}
	return !t.over
}

// Hold waits without looking at the connection: what was not read yet stays unread.
func (t *Turn) Hold(d time.Duration) {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-t.provider.over.Done():
	}
}

// await waits for a byte, the end or the time; true if there is a byte.
func (t *Turn) await(d time.Duration) bool {
	_ = t.conn.SetReadDeadline(time.Now().Add(d))
	_, err := t.in.Peek(1)
	if ne, ok := err.(net.Error); ok && ne.Timeout() { //nolint:errorlint // bufio returns the connection's own error
		return false
	}
	if err != nil {
		t.ended()
	}
	return err == nil
}

// Silence waits until the other end closes.
func (t *Turn) Silence() {
	t.Pause(mercy)
	t.over = true
}

// Linger says that nothing more comes, and closes when the other end has had the time to read what came.
func (t *Turn) Linger() {
	if c, ok := t.conn.(*net.TCPConn); ok {
		_ = c.CloseWrite()
	}
	t.Hold(Late)
	t.Fin()
}

// Fin closes the connection in good order.
func (t *Turn) Fin() {
	t.over = true
	_ = t.conn.Close()
}

// HalfFin says that nothing more comes, and waits until the other end closes.
func (t *Turn) HalfFin() {
	if c, ok := t.conn.(*net.TCPConn); ok {
		_ = c.CloseWrite()
	}
	t.Silence()
}

// Reset ends the connection with a reset.
func (t *Turn) Reset() {
	t.over = true
	if c, ok := t.conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	_ = t.conn.Close()
}

// ended notes that the other end has closed.
func (t *Turn) ended() {
	t.over = true
	if t.seen == nil {
		return
	}
	t.provider.change(func() {
		if t.seen.Ended.IsZero() {
			t.seen.Ended = time.Now()
		}
	})
}

// Over reports whether the connection has come to its end.
func (t *Turn) Over() bool { return t.over }

// head writes the head of an answer. The lines are whole header lines.
func head(status int, kind string, lines ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", status, reasonPhrase(status))
	if kind != "" {
		b.WriteString("Content-Type: " + kind + "\r\n")
	}
	for _, line := range lines {
		b.WriteString(line + "\r\n")
	}
	return b.String() + "\r\n"
}

func reasonPhrase(status int) string {
	if status < 400 {
		return "OK"
	}
	return "Failed"
}

// Refuse answers with a status and a body of JSON.
func (t *Turn) Refuse(status int, body string, lines ...string) {
	t.Send(head(status, jsonKind, append(lines, length(len(body)))...) + body)
}

func length(n int) string { return "Content-Length: " + strconv.Itoa(n) }

const (
	jsonKind   = "application/json"
	streamKind = "text/event-stream; charset=utf-8"
	isChunked  = "Transfer-Encoding: chunked"
	lastChunk  = "0\r\n\r\n"
)

// kind is the content type of the right answer.
func (t *Turn) kind() string {
	if t.Model.Streamed && t.Model.API != GeminiArray {
		return streamKind
	}
	return jsonKind
}

// Head sends the head of the right answer.
func (t *Turn) Head(lines ...string) { t.Send(t.head(lines...)) }

func (t *Turn) head(lines ...string) string {
	framing := isChunked
	if !t.Model.Streamed {
		framing = length(len(t.answer.whole))
	}
	return head(200, t.kind(), append(lines, framing)...)
}

// Part sends the right answer's events or bytes, from one token to another. From 0 it begins with what stands before
// the first token; up to Tokens it ends with what stands behind the last. The first token goes ahead of the others, so
// that what comes behind it comes after it has been seen.
func (t *Turn) Part(from, to int) {
	if from == 0 && to > 1 && t.Model.Streamed {
		t.Send(t.part(0, 1))
		t.Pause(2 * step)
		from = 1
	}
	t.Send(t.part(from, to))
}

func (t *Turn) part(from, to int) string {
	if !t.Model.Streamed {
		return t.answer.whole[t.cutAt(from):t.cutAt(to)]
	}
	var b strings.Builder
	events := t.answer.tokens[from:to]
	if from == 0 {
		b.WriteString(chunks(t.answer.opening...))
	}
	b.WriteString(chunks(events...))
	if to == Tokens {
		b.WriteString(chunks(t.answer.finish...) + chunks(t.answer.end...) + lastChunk)
	}
	return b.String()
}

// cutAt is where a whole answer's bytes belong to a token.
func (t *Turn) cutAt(token int) int { return len(t.answer.whole) * token / Tokens }

// chunks frames each text as a chunk.
func chunks(texts ...string) string {
	var b strings.Builder
	for _, s := range texts {
		if s != "" {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(s), s)
		}
	}
	return b.String()
}

// Answer answers as it should be.
func (t *Turn) Answer() {
	t.Head()
	for from := 0; from < Tokens; from += Tokens / 4 {
		t.Send(t.part(from, from+Tokens/4))
	}
}

// Event sends an event of a stream: its payload as the dialect frames it.
func (t *Turn) Event(kind, payload string, first bool) {
	t.Send(chunks(t.Model.API.event(kind, payload, first)))
}
