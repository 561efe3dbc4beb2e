package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// How a request asks the upstream for its answer, in the field "user" of its body: every proxy passes that on as it is,
// so one upstream serves all scenarios.
const (
	askAnswer = "answer" // a whole answer at once
	askStream = "stream" // "stream EVENTS GAP": events with their moment in them, a gap before each but the first
	askHold   = "hold"   // the first event of a stream, and nothing more until the connection ends
)

// wholeAnswer is 400 bytes of a chat completion.
var wholeAnswer = sized(`{"id":"chatcmpl-bench","object":"chat.completion","created":1750000000,"model":"bench","choices":[{"index":0,`+
	`"message":{"role":"assistant","content":"`, `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":60,"completion_tokens":20,"total_tokens":80}}`, 400)

// sized puts as much text between head and tail as makes them n bytes.
func sized(head, tail string, n int) string {
	const text = "The quick brown fox jumps over the lazy dog. "
	fill := max(n-len(head)-len(tail), 0)
	return head + strings.Repeat(text, fill/len(text)+1)[:fill] + tail
}

// serveUpstream answers chat completions at once. It is written on bare connections, so that it costs less than any
// proxy in front of it: it must not be what is measured.
func serveUpstream(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			u := &upstream{in: bufio.NewReaderSize(c, 64<<10), out: c}
			for u.exchange() == nil {
			}
			_ = c.Close() // nothing was promised
		}()
	}
}

// upstream is one connection.
type upstream struct {
	in   *bufio.Reader
	out  net.Conn
	buf  []byte
	head [512]byte
}

var fullResponse = []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " +
	strconv.Itoa(len(wholeAnswer)) + "\r\n\r\n" + wholeAnswer)

// exchange reads one request and answers it.
func (u *upstream) exchange() error {
	length, err := u.readHead()
	if err != nil {
		return err
	}
	start := u.head[:min(length, len(u.head))]
	if _, err := io.ReadFull(u.in, start); err != nil {
		return err
	}
	ask := asked(start)
	if _, err := u.in.Discard(length - len(start)); err != nil {
		return err
	}
	kind, rest, _ := strings.Cut(ask, " ")
	switch kind {
	case askStream:
		return u.stream(rest)
	case askHold:
		return u.hold()
	default:
		_, err := u.out.Write(fullResponse)
		return err
	}
}

// readHead reads up to the empty line and returns the body's length.
func (u *upstream) readHead() (length int, err error) {
	for {
		line, err := u.in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		if len(line) <= 2 {
			return length, nil
		}
		const name = "content-length:"
		if len(line) > len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(name):]))); err != nil {
				return 0, err
			}
		}
	}
}

// asked finds what the body asks for.
func asked(body []byte) string {
	const name = `"user":"`
	_, rest, found := bytes.Cut(body, []byte(name))
	if !found {
		return askAnswer
	}
	ask, _, _ := bytes.Cut(rest, []byte{'"'})
	return string(ask)
}

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

// eventMark stands before the moment at which an event was written, in nanoseconds.
const eventMark = `"created":`

func (u *upstream) event(moment time.Time, content string) []byte {
	event := fmt.Sprintf(`data: {"id":"chatcmpl-bench","object":"chat.completion.chunk",`+eventMark+`%d,"model":"bench",`+
		`"choices":[{"index":0,"delta":{%s},"finish_reason":%s}]}`+"\n\n", moment.UnixNano(), content, finish(content))
	return u.chunk(event)
}

func finish(content string) string {
	if content == "" {
		return `"stop"`
	}
	return "null"
}

func (u *upstream) chunk(text string) []byte {
	u.buf = fmt.Appendf(u.buf[:0], "%x\r\n%s\r\n", len(text), text)
	return u.buf
}

const aWord = `"content":"word "`

// stream sends events with a gap between them, one write for each.
func (u *upstream) stream(how string) error {
	var events int
	var pause string
	if _, err := fmt.Sscan(how, &events, &pause); err != nil {
		return err
	}
	gap, err := time.ParseDuration(pause)
	if err != nil {
		return err
	}
	if _, err := u.out.Write(append([]byte(streamHead), u.event(time.Now(), aWord)...)); err != nil {
		return err
	}
	for i := 1; i < events; i++ {
		<-time.After(gap)
		content := aWord
		if i == events-1 {
			content = ""
		}
		if _, err := u.out.Write(u.event(time.Now(), content)); err != nil {
			return err
		}
	}
	end := u.chunk(`data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"bench","choices":[],` +
		`"usage":{"prompt_tokens":60,"completion_tokens":20,"total_tokens":80}}` + "\n\ndata: [DONE]\n\n")
	_, err = u.out.Write(append(end, "0\r\n\r\n"...))
	return err
}

// hold sends the first event and waits for the end of the connection.
func (u *upstream) hold() error {
	if _, err := u.out.Write(append([]byte(streamHead), u.event(time.Now(), aWord)...)); err != nil {
		return err
	}
	_, err := u.in.ReadByte()
	return errors.Join(err, io.EOF)
}
