package main

import (
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/sdk/go/hosttest"
)

func TestLatency(t *testing.T) {
	state := func(latency time.Duration, active int64) hosttest.StepState {
		return hosttest.StepState{Available: true, Latency: latency, Active: active}
	}
	const ms = time.Millisecond
	facts := []struct {
		name    string
		weights []int64
		states  []hosttest.StepState
		want    []float64 // shares
	}{
		{"the faster of two", []int64{1, 1}, []hosttest.StepState{state(300*ms, 0), state(200*ms, 0)}, []float64{0, 1}},
		{"the slower one is idle", []int64{1, 1}, []hosttest.StepState{state(300*ms, 0), state(200*ms, 1)}, []float64{1, 0}},
		{"one that is not known is asked", []int64{1, 1}, []hosttest.StepState{state(0, 0), state(1, 0)}, []float64{1, 0}},
		{"by one at a time", []int64{1, 1}, []hosttest.StepState{state(0, 1), state(time.Hour, 99)}, []float64{0, 1}},
		{"nothing is known", []int64{1, 1}, []hosttest.StepState{state(0, 0), state(0, 0)}, []float64{.5, .5}},
		{"nothing is known yet", []int64{1, 1}, []hosttest.StepState{state(0, 2), state(0, 1)}, []float64{0, 1}},
		{"twice the weight, nearly twice the load", []int64{2, 1}, []hosttest.StepState{state(390*ms, 0), state(200*ms, 0)}, []float64{1, 0}},
		{"twice the weight, more than twice the load", []int64{2, 1}, []hosttest.StepState{state(410*ms, 0), state(200*ms, 0)}, []float64{0, 1}},
		{"a spare is none, however fast", []int64{0, 1}, []hosttest.StepState{state(1*ms, 0), state(900*ms, 9)}, []float64{0, 1}},
		{"two of three: never the slowest", []int64{1, 1, 1}, []hosttest.StepState{state(1*ms, 0), state(2*ms, 0), state(3*ms, 0)},
			[]float64{2. / 3, 1. / 3, 0}},
		{"numbers that overflow", []int64{1 << 62, 1 << 62}, []hosttest.StepState{state(1<<62, 1<<62), state(1<<62-1, 1)}, []float64{0, 1}},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			c := hosttest.StepChoice{Setting: seeded(8), Strategy: "latency", States: f.states}
			for _, weight := range f.weights {
				c.Steps = append(c.Steps, hosttest.Step{Weight: weight})
			}
			for i, count := range shares(t, c, 2000, nil) {
				if !fits(count, 2000, f.want[i]) {
					t.Errorf("step %d was chosen %d times of 2000, want %.2f", i, count, f.want[i])
				}
			}
			if got := c.Ask(chooseStep); got.Reason != "latency" {
				t.Errorf("the reason is %q", got.Reason)
			}
		})
	}
}

// Two steps that are equally fast share the exchanges that are under way at one time, and one that is three times as fast has three
// quarters of them.
func TestLatencySpreadsLoad(t *testing.T) {
	c := hosttest.StepChoice{
		Setting: seeded(9), Strategy: "latency",
		Steps: []hosttest.Step{{Weight: 1}, {Weight: 1}},
		States: []hosttest.StepState{
			{Available: true, Latency: 300 * time.Millisecond}, {Available: true, Latency: 100 * time.Millisecond},
		},
	}
	for range 100 {
		c.States[c.Ask(chooseStep).Step].Active++
	}
	if slow := c.States[0].Active; slow < 24 || slow > 26 {
		t.Errorf("the slow one has %d of 100", slow)
	}
}
