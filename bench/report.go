package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
)

// report is what was measured.
type report struct {
	Machine  string   `json:"machine"`
	Rounds   int      `json:"rounds"`
	Figures  []figure `json:"figures"`
	Accounts []honest `json:"accounts"`
}

// figure is what one target came to in one scenario.
type figure struct {
	Scenario string    `json:"scenario"`
	What     string    `json:"figure"`
	Target   string    `json:"target"`
	Median   float64   `json:"median"`
	Least    float64   `json:"least"`
	Most     float64   `json:"most"`
	Ratio    float64   `json:"ratio"` // to the first target of the scenario; 0 for that itself
	Samples  []float64 `json:"samples"`
}

func (b *bench) report() *report {
	r := &report{Machine: machine(), Rounds: b.rounds, Accounts: b.accounts}
	for _, s := range b.samples {
		i := slices.IndexFunc(r.Figures, func(f figure) bool {
			return f.Scenario == s.scenario && f.What == s.figure && f.Target == s.target
		})
		if i < 0 {
			i = len(r.Figures)
			r.Figures = append(r.Figures, figure{Scenario: s.scenario, What: s.figure, Target: s.target})
		}
		r.Figures[i].Samples = append(r.Figures[i].Samples, s.value)
	}
	// Figures of one kind stand together, the target that the others are compared with first.
	var order []string
	for _, f := range r.Figures {
		if kind := f.Scenario + "\x00" + f.What; !slices.Contains(order, kind) {
			order = append(order, kind)
		}
	}
	place := func(f figure) int { return slices.Index(order, f.Scenario+"\x00"+f.What) }
	slices.SortStableFunc(r.Figures, func(a, b figure) int { return place(a) - place(b) })
	base := 0.0
	for i := range r.Figures {
		f := &r.Figures[i]
		sorted := slices.Sorted(slices.Values(f.Samples))
		f.Median, f.Least, f.Most = sorted[len(sorted)/2], sorted[0], sorted[len(sorted)-1]
		if i == 0 || place(r.Figures[i-1]) != place(*f) {
			base = f.Median
		} else if base > 0 {
			f.Ratio = f.Median / base
		}
	}
	return r
}

// machine says what was measured on.
func machine() string {
	model := "unknown CPU"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%d CPUs of %s, %s/%s", runtime.NumCPU(), model, runtime.GOOS, runtime.GOARCH)
}

// text prints the table for people.
func (r *report) text(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "%s; %d rounds, medians\n", r.Machine, r.Rounds)
	fmt.Fprintln(w, "SCENARIO\tFIGURE\tTARGET\tMEDIAN\tSPREAD\tRATIO")
	last := ""
	for i := range r.Figures {
		f := &r.Figures[i]
		kind := f.Scenario + "\t" + f.What
		if kind == last {
			kind = "\t"
		} else {
			last = kind
		}
		ratio := ""
		if f.Ratio > 0 {
			ratio = fmt.Sprintf("%.2f", f.Ratio)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s to %s\t%s\n", kind, f.Target, short(f.Median), short(f.Least), short(f.Most), ratio)
	}
	for _, h := range r.Accounts {
		fmt.Fprintf(w, "%s: %d answers were read, at most %d cut off; the gateway has %d records (%d dropped), %d attempts in its ledger, hook calls %v\n",
			h.Gateway, h.Answers, h.CutOff, h.Records, h.Dropped, h.Ledger, h.Hooks)
	}
	return w.Flush()
}

// short prints three digits that count.
func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func (r *report) json(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
