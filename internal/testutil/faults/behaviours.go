package faults

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Behaviours are all of them.
func Behaviours() []Behaviour {
	return slices.Concat(connections(), heads(), refusals(), cuts(), errorsInBand(), contents(), framings(), reuses())
}

// connections misbehave before the request is read whole.
func connections() []Behaviour {
	forms := []API{Chat, Messages, Gemini} // one of each dialect: they differ in nothing here, and cost much
	return []Behaviour{
		{Name: "refuses", port: closedPort},
		{Name: "unanswered", port: fullPort},
		{Name: "never-reads", Own: true, Big: true, Only: forms, Play: func(t *Turn) { t.Hold(mercy); t.over = true }},
		{Name: "reset-at-accept", Own: true, Big: true, Only: forms, Play: (*Turn).Reset},
		{Name: "fin-at-accept", Own: true, Big: true, Only: forms, Play: (*Turn).Fin},
		{Name: "reset-in-request", Own: true, Big: true, Only: forms, Play: func(t *Turn) { t.Read(100_000); t.Reset() }},
		{Name: "fin-in-request", Own: true, Big: true, Only: forms, Play: func(t *Turn) { t.Read(100_000); t.Fin() }},
		{Name: "stalls-in-request", Own: true, Big: true, Only: forms, Play: func(t *Turn) { t.Read(100_000); t.Hold(mercy); t.over = true }},
		{Name: "reads-slowly", Own: true, Big: true, Only: forms, Play: func(t *Turn) {
			t.Read(1)
			for range 8 {
				t.Hold(step)
				t.ReadMore(BigBody / 8)
			}
			t.ReadMore(-1)
			t.Answer()
			t.Silence()
		}},
		{Name: "answers-early", Own: true, Big: true, Only: forms, Play: func(t *Turn) { t.Read(1000); t.Answer(); t.ReadMore(-1); t.Silence() }},
		{Name: "refuses-early", Own: true, Big: true, Only: forms, Play: func(t *Turn) {
			t.Read(100)
			t.Refuse(413, t.Model.API.failure(413, "", ""), "Connection: close")
			t.Linger()
		}},
	}
}

// heads misbehave between the request and the answer's body.
func heads() []Behaviour {
	before := func(text string, end func(*Turn)) func(*Turn) { return func(t *Turn) { t.Send(text); end(t) } }
	const half = "HTTP/1.1 200 OK\r\nContent-Ty"
	return []Behaviour{
		{Name: "reset-before-head", Play: (*Turn).Reset},
		{Name: "fin-before-head", Play: (*Turn).Fin},
		{Name: "silent", Play: (*Turn).Silence},
		{Name: "late", Play: func(t *Turn) { t.Pause(Late); t.Answer() }},
		{Name: "too-late", Play: func(t *Turn) { t.Pause(TooLate); t.Answer() }},
		{Name: "fin-in-status", Play: before("HTTP/1.1 2", (*Turn).Fin)},
		{Name: "fin-in-head", Play: before(half, (*Turn).Fin)},
		{Name: "reset-in-head", Play: before(half, (*Turn).Reset)},
		{Name: "stalls-in-head", Play: before(half, (*Turn).Silence)},
		{Name: "slow-head", Play: func(t *Turn) {
			t.Slowly(t.head(), 4, step/4)
			t.Part(0, Tokens)
		}},
		{Name: "endless-head", Play: func(t *Turn) {
			t.Send("HTTP/1.1 200 OK\r\n")
			for i := 0; i < 10_000 && !t.over; i++ {
				t.Send("X-Filler-" + strconv.Itoa(i) + ": and so on\r\n")
			}
			t.Silence()
		}},
		{Name: "long-line", Play: func(t *Turn) { t.Head("X-Long: " + strings.Repeat("y", 5<<10)); t.Part(0, Tokens) }},
		{Name: "huge-line", Play: func(t *Turn) { t.Head("X-Huge: " + strings.Repeat("y", 64<<10)); t.Part(0, Tokens) }},
		{Name: "not-http", Play: before("220 mail.example.org ESMTP\r\n\r\n", (*Turn).Fin)},
		{Name: "tls-alert", Play: before("\x15\x03\x01\x00\x02\x02\x28", (*Turn).Fin)},
		{Name: "strange-status", Play: before("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n", (*Turn).Silence)},
		{Name: "interim", Play: func(t *Turn) { t.Send("HTTP/1.1 100 Continue\r\n\r\n"); t.Answer() }},
		{Name: "interim-hints", Play: func(t *Turn) {
			t.Send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
			t.Answer()
		}},
		{Name: "interim-some", Play: func(t *Turn) { t.Send(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 8)); t.Answer() }},
		{Name: "interim-storm", Play: func(t *Turn) { t.Send(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 2000)); t.Answer() }},
		{Name: "interim-forever", Play: func(t *Turn) {
			for !t.over {
				t.Send("HTTP/1.1 102 Processing\r\n\r\n")
				t.Pause(step)
			}
		}},
		{Name: "switches", Play: before("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", (*Turn).Silence)},
		{Name: "redirect-301", Play: redirect(301)},
		{Name: "redirect-307", Play: redirect(307)},
		{Name: "gzip-rubbish", Play: func(t *Turn) { t.Head("Content-Encoding: gzip"); t.Part(0, Tokens) }},
	}
}

func redirect(status int) func(*Turn) {
	return func(t *Turn) {
		t.Refuse(status, "", "Location: http://"+t.provider.shared+"/elsewhere/v1/chat/completions")
	}
}

// refusals answer with another status than 200.
func refusals() []Behaviour {
	all := []Behaviour{
		{Name: "429-seconds-once", Play: once(limited("Retry-After: 1", ""))},
		{Name: "429-seconds", Play: limited("Retry-After: 1", "")},
		{Name: "429-ms-once", Play: once(limited("Retry-After-Ms: 900", ""))},
		{Name: "429-date-once", Play: once(func(t *Turn) { limited("Retry-After: "+inASecond(), "")(t) })},
		{Name: "429-retryinfo-once", Play: once(limited("", "0.9s"))},
		{Name: "429-once", Play: once(limited("", ""))},
		{Name: "429-always", Play: limited("Retry-After-Ms: 900", "")},
		{Name: "429-bare", Play: limited("", "")},
		{Name: "429-long", Play: limited("Retry-After: 60", "")},
		{Name: "429-long-retryinfo", Play: limited("", "60s")},
		{Name: "503-twice", Play: func(t *Turn) {
			if t.Number > 2 {
				t.Answer()
				return
			}
			refuse(503, "")(t)
		}},
		{Name: "context-length", Play: refuse(400, kindContext)},
		{Name: "content-policy", Play: refuse(400, kindPolicy)},
		{Name: "model-not-found", Play: refuse(404, kindModel)},
		{Name: "quota-spent", Only: []API{Chat, Responses}, Play: refuse(429, kindQuota)},
		{Name: "credit-spent", Only: []API{Messages}, Play: refuse(400, kindCredit)},
		{Name: "key-invalid", Only: []API{Gemini, GeminiArray}, Play: refuse(400, kindKey)},
	}
	for _, status := range []int{500, 502, 503, 529, 408, 409} {
		name := strconv.Itoa(status)
		all = append(all, Behaviour{Name: name + "-once", Play: once(refuse(status, ""))}, Behaviour{Name: name, Play: refuse(status, "")})
	}
	for _, status := range []int{504, 400, 401, 402, 403, 404, 405, 413, 422} {
		all = append(all, Behaviour{Name: strconv.Itoa(status), Play: refuse(status, "")})
	}
	return all
}

// once does something at the first request, and answers the next ones.
func once(first func(*Turn)) func(*Turn) {
	return func(t *Turn) {
		if t.Number == 1 {
			first(t)
			return
		}
		t.Answer()
	}
}

func refuse(status int, kind string) func(*Turn) {
	return func(t *Turn) { t.Refuse(status, t.Model.API.failure(status, kind, "")) }
}

func limited(line, retryInfo string) func(*Turn) {
	return func(t *Turn) {
		var lines []string
		if line != "" {
			lines = append(lines, line)
		}
		t.Refuse(429, t.Model.API.failure(429, "", retryInfo), lines...)
	}
}

// closedPort is an address at which nobody listens, and nobody will while the test lasts: it is taken.
func closedPort(t testing.TB) string { return port(t, false) }

// fullPort is an address at which connecting takes until the caller gives up: the kernel's queue is full.
func fullPort(t testing.TB) string {
	address := port(t, true)
	c, err := net.Dial("tcp", address) // the one that has room
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return address
}

func port(t testing.TB, listens bool) string {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if listens {
		if err := syscall.Listen(fd, 0); err != nil {
			t.Fatal(err)
		}
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	at, ok := name.(*syscall.SockaddrInet4)
	if !ok {
		t.Fatalf("the socket is at %v", name)
	}
	return "127.0.0.1:" + strconv.Itoa(at.Port)
}
