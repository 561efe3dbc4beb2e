package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sallyport-dev/sallyport/record"
)

// send sends a request again and again over all connections for so long, and returns how long each took.
func (b *benching) send(ctx context.Context, url, body string, long time.Duration) ([]time.Duration, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: b.connections, DisableCompression: true}}
	defer client.CloseIdleConnections()
	end := time.Now().Add(long)
	var mu sync.Mutex
	var all []time.Duration
	var errs error
	var done sync.WaitGroup
	for range b.connections {
		done.Go(func() {
			var took []time.Duration
			var err error
			for began := time.Now(); err == nil && began.Before(end); {
				err = b.ask(ctx, client, url, body)
				now := time.Now()
				took = append(took, now.Sub(began))
				began = now
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			if errs == nil {
				errs = err // the others would say the same
			}
		})
	}
	done.Wait()
	return all, errs
}

// ask sends one request and reads its answer.
func (b *benching) ask(ctx context.Context, client *http.Client, url, body string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+b.secret)
	r.Header.Set("Anthropic-Version", "2023-06-01") // which the others ignore
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %d: %s", url, resp.StatusCode, record.Printable(string(text)))
	}
	return nil
}

// benchReport is what was measured.
type benchReport struct {
	Model       string       `json:"model"`
	Connections int          `json:"connections"`
	Direct      benchFigures `json:"direct"`
	Through     benchFigures `json:"through_sallyport"`
	Hooks       []hookFigure `json:"hooks"`
}

type benchFigures struct {
	Requests  int           `json:"requests"`
	PerSecond float64       `json:"requests_per_second"`
	P50       time.Duration `json:"p50_ns"`
	P99       time.Duration `json:"p99_ns"`
	P999      time.Duration `json:"p999_ns"`
}

// figuresOf sums up how long requests took within a time.
func figuresOf(took []time.Duration, within time.Duration) benchFigures {
	slices.Sort(took)
	at := func(q float64) time.Duration {
		if len(took) == 0 {
			return 0
		}
		return took[min(int(q*float64(len(took))), len(took)-1)]
	}
	return benchFigures{len(took), float64(len(took)) / within.Seconds(), at(0.5), at(0.99), at(0.999)}
}

// hookFigure is what one policy took at one hook.
type hookFigure struct {
	Policy string        `json:"policy"`
	Hook   string        `json:"hook"`
	Calls  int64         `json:"calls"`
	Mean   time.Duration `json:"mean_ns"`
}

// hookFigures reads the gateway's own metrics.
func hookFigures(ctx context.Context, url string) (all []hookFigure, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	var spent float64
	for line := range strings.Lines(string(text)) {
		name, rest, found := strings.Cut(strings.TrimSpace(line), "{")
		labels, value, ends := strings.Cut(rest, "} ")
		number, err := strconv.ParseFloat(value, 64)
		if !found || !ends || err != nil {
			continue
		}
		switch name { // the count follows its sum
		case "sallyport_hook_duration_seconds_sum":
			spent = number
		case "sallyport_hook_duration_seconds_count":
			if number > 0 {
				mean := time.Duration(spent / number * float64(time.Second))
				all = append(all, hookFigure{label(labels, "policy"), label(labels, "hook"), int64(number), mean})
			}
		}
	}
	return all, nil
}

// label is the value of one of a metric's labels.
func label(labels, name string) string {
	_, rest, _ := strings.Cut(labels, name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// write prints the report for people, or as JSON.
func (r *benchReport) write(out io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	micros := func(d time.Duration) string { return fmt.Sprintf("%.0f µs", float64(d.Nanoseconds())/1e3) }
	t := newTable("", ">STRAIGHT", ">SALLYPORT", ">ADDED")
	for _, row := range []struct {
		name           string
		direct, behind time.Duration
	}{{"p50", r.Direct.P50, r.Through.P50}, {"p99", r.Direct.P99, r.Through.P99}, {"p99.9", r.Direct.P999, r.Through.P999}} {
		t.row(row.name, micros(row.direct), micros(row.behind), micros(row.behind-row.direct))
	}
	t.row("requests/s", record.Grouped(int64(r.Direct.PerSecond)), record.Grouped(int64(r.Through.PerSecond)), "")
	if _, err := fmt.Fprintf(out, "%s, %d requests at one time\n\n", r.Model, r.Connections); err != nil {
		return err
	}
	if err := t.write(out); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out); err != nil {
		return err
	}
	h := newTable("POLICY", "HOOK", ">CALLS", ">MEAN")
	for _, f := range r.Hooks {
		h.row(f.Policy, f.Hook, record.Grouped(f.Calls), fmt.Sprintf("%.1f µs", float64(f.Mean.Nanoseconds())/1e3))
	}
	return h.write(out)
}
