package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// No load tool that is known tells when each event of a stream arrived, so the client of streams is ours. It shares a
// clock with the upstream, which writes the moment of sending into each event.

// timings are what clients saw of streams.
type timings struct {
	first  []time.Duration // from the request to the first event
	jitter []time.Duration // by how much a gap between two events differs from the one that the upstream made
}

// stagger is how long after one client the next begins. Without it the first events of all would be those of a burst, and
// tell how long the last of them had to queue.
const stagger = 7 * time.Millisecond

// watchStreams has so many clients read streams, one after the other, and returns what they saw, sorted.
func watchStreams(address, body string, clients, each int) (*timings, error) {
	var mu sync.Mutex
	var all timings
	var errs error
	var done sync.WaitGroup
	for i := range clients {
		done.Go(func() {
			<-time.After(time.Duration(i) * stagger)
			t, err := watch(address, body, each)
			mu.Lock()
			defer mu.Unlock()
			errs = errors.Join(errs, err)
			all.first, all.jitter = append(all.first, t.first...), append(all.jitter, t.jitter...)
		})
	}
	done.Wait()
	slices.Sort(all.first)
	slices.Sort(all.jitter)
	return &all, errs
}

// watch reads streams over one connection.
func watch(address, body string, streams int) (t timings, err error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	in := bufio.NewReader(c)
	request := streamRequest(address, body)
	for range streams {
		sent := time.Now()
		if _, err := c.Write(request); err != nil {
			return t, err
		}
		var last time.Duration
		events := 0
		err := readEvents(in, func(moment, arrived time.Time) {
			way := arrived.Sub(moment)
			if events == 0 {
				t.first = append(t.first, arrived.Sub(sent))
			} else {
				t.jitter = append(t.jitter, (way - last).Abs())
			}
			last = way
			events++
		})
		if err != nil || events == 0 {
			return t, fmt.Errorf("a stream with %d events: %w", events, err)
		}
	}
	return t, nil
}

func streamRequest(address, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		chatPath, address, benchKey, len(body), body)
}

// readEvents reads one answer and tells of each event that bears a moment.
func readEvents(in *bufio.Reader, saw func(moment, arrived time.Time)) error {
	if err := readOK(in); err != nil {
		return err
	}
	for {
		size, err := chunkSize(in)
		if err != nil {
			return err
		}
		chunk, err := in.Peek(size + 2)
		if err != nil {
			return err
		}
		arrived := time.Now()
		for rest := chunk[:size]; ; {
			_, after, found := bytes.Cut(rest, []byte(eventMark))
			if !found {
				break
			}
			digits, _, _ := bytes.Cut(after, []byte{','})
			if len(digits) > 12 { // a moment, and not the usage's
				n, err := strconv.ParseInt(string(digits), 10, 64)
				if err != nil {
					return err
				}
				saw(time.Unix(0, n), arrived)
			}
			rest = after
		}
		if _, err := in.Discard(size + 2); err != nil || size == 0 {
			return err
		}
	}
}

// readOK reads the head of an answer.
func readOK(in *bufio.Reader) error {
	status, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.Contains(status, " 200 ") {
		return fmt.Errorf("a stream was answered %q", strings.TrimSpace(status))
	}
	for {
		line, err := in.ReadSlice('\n')
		if err != nil || len(line) <= 2 {
			return err
		}
	}
}

func chunkSize(in *bufio.Reader) (int, error) {
	line, err := in.ReadString('\n')
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(line), 16, 31)
	return int(n), err
}

// holdStreams opens streams that stay open after their first event. They are closed by the returned function.
func holdStreams(address string, n int) (release func() error, err error) {
	var open []net.Conn
	release = func() (err error) {
		for _, c := range open {
			err = errors.Join(err, c.Close())
		}
		return err
	}
	request := streamRequest(address, streamBody(askHold))
	for range n {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return nil, errors.Join(err, release())
		}
		open = append(open, c)
		if _, err := c.Write(request); err != nil {
			return nil, errors.Join(err, release())
		}
	}
	piece := make([]byte, 4096)
	for _, c := range open {
		for got := ""; !strings.Contains(got, eventMark); {
			n, err := c.Read(piece)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("opening streams: %w", err), io.ErrUnexpectedEOF, release())
			}
			got += string(piece[:n])
		}
	}
	return release, nil
}
