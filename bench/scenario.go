package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// plan is how much is measured.
type plan struct {
	rounds      int
	warm        time.Duration // of the load before the first round; whole seconds, which is what the load tool knows
	run         time.Duration // of a run of the load tool; whole seconds too
	connections int
	rate        int // requests a second of the open loop
	streams     int // that are open at one time while their timing is watched
	held        int // that are held open while memory is read
	keys        []int
	sizes       []int
	only        string // scenarios, with commas between them; "" for all
	beside      string // another binary of the gateway, to compare with
	profiles    string // folder for CPU profiles; "" for none
}

var (
	fullPlan = plan{
		rounds: 5, warm: 2 * time.Second, run: 4 * time.Second, connections: 64, rate: 2000, streams: 32, held: 5000,
		keys: []int{10, 10_000, 1_000_000}, sizes: []int{1 << 10, 64 << 10, 512 << 10},
	}
	quickPlan = plan{
		rounds: 1, warm: time.Second, run: time.Second, connections: 64, rate: 2000, streams: 16, held: 1000,
		keys: []int{10, 10_000}, sizes: []int{1 << 10, 64 << 10}, only: "start,answers,streams",
	}
)

const (
	events    = 100
	loadedGap = 2 * time.Millisecond  // between events while CPU time is measured: many streams end within a run
	timedGap  = 10 * time.Millisecond // while it is watched when they arrive
)

// chatBody is a chat request of n bytes.
func chatBody(n int) string {
	return sized(`{"model":"bench","user":"`+askAnswer+`","max_tokens":64,"messages":[{"role":"user","content":"`, `"}]}`, n)
}

// streamBody is a request for a stream. It asks for the usage, so that nobody has to add that.
func streamBody(ask string) string {
	return sized(`{"model":"bench","user":"`+ask+`","max_tokens":256,"stream":true,"stream_options":{"include_usage":true},`+
		`"messages":[{"role":"user","content":"`, `"}]}`, 1<<10)
}

func eventsBody(gap time.Duration) string {
	return streamBody(fmt.Sprint(askStream, " ", events, " ", gap))
}

// sample is one measured figure of one target in one scenario.
type sample struct {
	scenario, figure, target string
	value                    float64
}

// bench measures.
type bench struct {
	plan
	shelf    *shelf
	samples  []sample
	gateways []*gateway
	accounts []honest
	progress func(format string, args ...any)
}

// target is what a load is sent to.
type target struct {
	*process
	gateway *gateway // nil for other proxies
	keys    int
}

func (b *bench) note(scenario, figure, target string, value float64) {
	b.samples = append(b.samples, sample{scenario, figure, target, value})
}

// interleaved runs something against each target in turn, round after round, so that what else the machine does meets
// all of them alike.
func (b *bench) interleaved(scenario string, targets []target, run func(t *target) error) error {
	for round := range b.rounds {
		for i := range targets {
			b.progress("%s: round %d of %d: %s", scenario, round+1, b.rounds, targets[i].name)
			if err := run(&targets[i]); err != nil {
				return fmt.Errorf("%s: %s: %w", scenario, targets[i].name, err)
			}
		}
	}
	return nil
}

// closedLoop measures CPU time and throughput with as many requests under way as there are connections.
func (b *bench) closedLoop(scenario, body string, targets []target, per float64) error {
	for i := range targets {
		if _, err := b.wrk(&targets[i], body, b.warm); err != nil {
			return fmt.Errorf("%s: warming %s: %w", scenario, targets[i].name, err)
		}
	}
	return b.interleaved(scenario, targets, func(t *target) error {
		before, err := t.cpu()
		if err != nil {
			return err
		}
		profiled := b.profile(scenario, t)
		r, err := b.wrk(t, body, b.run)
		if err = errors.Join(err, <-profiled); err != nil {
			return err
		}
		after, err := t.cpu()
		if err != nil {
			return err
		}
		work := float64(r.Requests) * per
		b.note(scenario, cpuFigure(per), t.name, float64((after-before).Nanoseconds())/1e3/work)
		b.note(scenario, "requests/s", t.name, float64(r.Requests)/r.Micros*1e6)
		return nil
	})
}

// profile has a gateway profile itself for as long as a run takes.
func (b *bench) profile(scenario string, t *target) <-chan error {
	ended := make(chan error, 1)
	if b.profiles == "" || t.gateway == nil {
		ended <- nil
		return ended
	}
	go func() {
		text, err := t.gateway.ask(http.MethodGet, fmt.Sprint("/debug/pprof/profile?seconds=", int(b.run.Seconds())))
		if err == nil {
			err = os.WriteFile(filepath.Join(b.profiles, scenario+" "+t.name+".pprof"), text, 0o600)
		}
		ended <- err
	}()
	return ended
}

func cpuFigure(per float64) string {
	if per > 1 {
		return "CPU µs/event"
	}
	return "CPU µs/request"
}

// wrk runs the load tool and accounts for what a gateway was asked.
func (b *bench) wrk(t *target, body string, long time.Duration) (*loaded, error) {
	r, err := runWrk(b.shelf.folder, t.address, &load{body: body, connections: b.connections, keys: t.keys, long: long})
	if err == nil && t.gateway != nil {
		t.gateway.answers += r.Requests
		t.gateway.cutOff += int64(b.connections)
	}
	return r, err
}

// latency measures how long answers take at a fixed rate, and what they cost then. All targets are asked equally often, so
// that they are woken and preempted by their peers equally often too; with as many requests as they can take, the slower
// of two is preempted at nearly each of its writes, and the faster one finds the next request there already.
func (b *bench) latency(targets []target) error {
	const scenario = "open loop"
	body := chatBody(1 << 10)
	return b.interleaved(scenario, targets, func(t *target) error {
		before, err := t.cpu()
		if err != nil {
			return err
		}
		profiled := b.profile(scenario, t)
		took, err := openLoop(t.address, body, b.rate, b.run)
		if err = errors.Join(err, <-profiled); err != nil {
			return err
		}
		after, err := t.cpu()
		if err != nil {
			return err
		}
		if t.gateway != nil {
			t.gateway.answers += int64(len(took))
		}
		b.note(scenario, cpuFigure(1), t.name, float64((after-before).Nanoseconds())/1e3/float64(len(took)))
		for _, q := range []struct {
			name string
			q    float64
		}{{"p50 µs", 0.5}, {"p99 µs", 0.99}, {"p99.9 µs", 0.999}} {
			b.note(scenario, q.name, t.name, float64(quantile(took, q.q).Nanoseconds())/1e3)
		}
		return nil
	})
}

// timing measures when the events of streams arrive.
func (b *bench) timing(targets []target) error {
	const scenario, each = "stream timing", 2
	return b.interleaved(scenario, targets, func(t *target) error {
		seen, err := watchStreams(t.address, eventsBody(timedGap), b.streams, each)
		if err != nil {
			return err
		}
		if t.gateway != nil {
			t.gateway.answers += int64(b.streams * each)
		}
		b.note(scenario, "first event p50 µs", t.name, float64(quantile(seen.first, 0.5).Nanoseconds())/1e3)
		b.note(scenario, "first event p99 µs", t.name, float64(quantile(seen.first, 0.99).Nanoseconds())/1e3)
		b.note(scenario, "gap jitter p50 µs", t.name, float64(quantile(seen.jitter, 0.5).Nanoseconds())/1e3)
		b.note(scenario, "gap jitter p99 µs", t.name, float64(quantile(seen.jitter, 0.99).Nanoseconds())/1e3)
		return nil
	})
}

// holding measures what open streams take of memory.
func (b *bench) holding(targets []target) error {
	const scenario, mebibyte = "memory", 1 << 20
	for i := range targets {
		t := &targets[i]
		b.progress("%s: %d streams: %s", scenario, b.held, t.name)
		before, err := t.memory()
		if err != nil {
			return err
		}
		release, err := holdStreams(t.address, b.held)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", scenario, t.name, err)
		}
		after, err := t.memory()
		if err != nil {
			return err
		}
		b.note(scenario, fmt.Sprintf("MiB with %d streams", b.held), t.name, float64(after)/mebibyte)
		b.note(scenario, "KiB/stream", t.name, float64(after-before)/1024/float64(b.held))
		if err := release(); err != nil {
			return err
		}
		if t.gateway != nil {
			t.gateway.answers += int64(b.held)
		}
	}
	return nil
}
