package main

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
	"github.com/sallyport-dev/sallyport/sdk/go/hosttest"
)

// seeded is a world whose random numbers are the same in every run.
func seeded(seed uint64) hosttest.Setting {
	random := rand.New(rand.NewPCG(seed, 1))
	return hosttest.Setting{Random: func(b []byte) { binary.BigEndian.PutUint64(b, random.Uint64()) }}
}

// answered says in one line what came of a choice.
func answered(got hosttest.StepChosen) string {
	switch {
	case got.Failed != "":
		return "failed: " + got.Failed
	case got.Passed:
		return "pass"
	case got.Stop:
		return "stop: " + got.Reason
	default:
		return fmt.Sprintf("%d: %s", got.Step, got.Reason)
	}
}

// up and down are steps that may be chosen, and that may not.
var (
	up   = hosttest.StepState{Available: true}
	down = hosttest.StepState{Health: sallyport.StepOpen, Cooldown: time.Second}
)

func TestFirstChoice(t *testing.T) {
	two := []hosttest.Step{{Weight: 1}, {Weight: 1}}
	facts := []struct {
		name, strategy string
		steps          []hosttest.Step
		states         []hosttest.StepState
		want           string
	}{
		{"one step", "", []hosttest.Step{{}}, []hosttest.StepState{up}, "0: only one left"},
		{"one of two", "weighted", two, []hosttest.StepState{down, up}, "1: only one left"},
		{"none of two", "weighted", two, []hosttest.StepState{down, down}, "pass"},
		{"one of its priority", "latency", []hosttest.Step{{Priority: 2}, {Priority: 1}}, []hosttest.StepState{up, up}, "1: priority"},
		{"the next priority", "", []hosttest.Step{{Priority: 3}, {Priority: 1}, {Priority: 2}}, []hosttest.StepState{up, down, up}, "2: priority"},
		{"by weight", "weighted", two, []hosttest.StepState{up, up}, "0: weighted"},
		{"no strategy", "", two, []hosttest.StepState{up, up}, "0: weighted"},
		{"a strategy of the future", "auction", two, []hosttest.StepState{up, up}, "0: weighted"},
		{"sticky without an affinity", "sticky", two, []hosttest.StepState{up, up}, "0: weighted"},
		{"a spare", "weighted", []hosttest.Step{{Weight: 1}, {}, {}}, []hosttest.StepState{down, up, up}, "1: weighted"},
		{"no step at all", "weighted", nil, nil, "pass"},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			c := hosttest.StepChoice{Steps: f.steps, States: f.states, Strategy: f.strategy}
			if got := answered(c.Ask(chooseStep)); got != f.want {
				t.Errorf("got %s, want %s", got, f.want)
			}
		})
	}
}

func TestChoiceAfterAnAttempt(t *testing.T) {
	facts := []struct {
		last   sallyport.ErrorClass
		states []hosttest.StepState // of steps of one priority each; the attempt was at 1
		want   string
	}{
		{sallyport.Transient, []hosttest.StepState{up, up, up}, "1: retry"},
		{sallyport.Transient, []hosttest.StepState{up, down, up}, "0: failover"},
		{sallyport.Transient, []hosttest.StepState{down, down, down}, "stop: nothing left"},
		{sallyport.RateLimited, []hosttest.StepState{up, up, up}, "1: retry"},
		{sallyport.RateLimited, []hosttest.StepState{down, down, up}, "2: failover"},
		{sallyport.NotSent, []hosttest.StepState{down, up, up}, "2: failover"},
		{sallyport.NotSent, []hosttest.StepState{down, up, down}, "1: retry"},
		{sallyport.NotSent, []hosttest.StepState{down, down, down}, "stop: nothing left"},
		{sallyport.Ambiguous, []hosttest.StepState{down, up, up}, "2: failover"},
		{sallyport.Ambiguous, []hosttest.StepState{down, up, down}, "1: retry"},
		{sallyport.BadCredential, []hosttest.StepState{up, up, up}, "0: failover"},
		{sallyport.BadCredential, []hosttest.StepState{down, up, down}, "1: retry"},
		{sallyport.ContextLength, []hosttest.StepState{up, up, up}, "2: failover"},
		{sallyport.ContextLength, []hosttest.StepState{up, up, down}, "stop: no larger context left"},
		{sallyport.ModelNotFound, []hosttest.StepState{up, up, up}, "0: failover"},
		{sallyport.ModelNotFound, []hosttest.StepState{down, up, down}, "stop: nothing left"},
		{sallyport.Rejected, []hosttest.StepState{up, up, up}, "stop: rejected"},
		{sallyport.ContentPolicy, []hosttest.StepState{up, up, up}, "stop: rejected"},
		{99, []hosttest.StepState{up, up, up}, "0: failover"},
		{99, []hosttest.StepState{down, up, down}, "1: retry"},
	}
	for _, f := range facts {
		c := hosttest.StepChoice{
			Steps: []hosttest.Step{
				{Priority: 1, Weight: 1, Context: 8_000}, {Priority: 2, Weight: 1, Context: 16_000}, {Priority: 3, Weight: 1, Context: 32_000},
			},
			States: f.states, Attempt: 2, LastStep: 1, LastError: f.last,
		}
		if got := answered(c.Ask(chooseStep)); got != f.want {
			t.Errorf("after %d with %v: got %s, want %s", f.last, f.states, got, f.want)
		}
	}
}

// What is not known is not larger.
func TestContextsThatAreNotKnown(t *testing.T) {
	for _, contexts := range [][2]int64{{0, 128_000}, {8_000, 0}, {0, 0}, {8_000, 8_000}} {
		c := hosttest.StepChoice{
			Steps: []hosttest.Step{{Context: contexts[0]}, {Context: contexts[1]}}, States: []hosttest.StepState{up, up},
			Attempt: 2, LastError: sallyport.ContextLength,
		}
		if got := c.Ask(chooseStep); !got.Stop {
			t.Errorf("%d: got %s", contexts, answered(got))
		}
	}
}

// shares asks often, and counts who was chosen.
func shares(t *testing.T, c hosttest.StepChoice, rounds int, each func(i int, c *hosttest.StepChoice)) []int {
	t.Helper()
	chosen := make([]int, len(c.Steps))
	for i := range rounds {
		if each != nil {
			each(i, &c)
		}
		got := c.Ask(chooseStep)
		if got.Failed != "" || got.Passed || got.Stop {
			t.Fatalf("got %s", answered(got))
		}
		chosen[got.Step]++
	}
	return chosen
}

// fits reports whether a count is within five standard deviations of what a share makes likely.
func fits(count, rounds int, share float64) bool {
	n := float64(rounds)
	return math.Abs(float64(count)-n*share) <= 5*math.Sqrt(n*share*(1-share))
}

// Over 20,000 choices each step has its share, whatever the weights are, and whoever of them is down.
func TestSharesByWeight(t *testing.T) {
	const rounds = 20_000
	random := rand.New(rand.NewPCG(5, 6))
	for chain := range 12 {
		c := hosttest.StepChoice{Setting: seeded(uint64(chain)), Strategy: "weighted"}
		total := int64(0)
		for range 2 + random.IntN(6) {
			weight, state := random.Int64N(100), up
			if random.IntN(4) == 0 {
				state = down
			}
			c.Steps, c.States = append(c.Steps, hosttest.Step{Weight: weight}), append(c.States, state)
			if state.Available {
				total += weight
			}
		}
		if total == 0 {
			continue
		}
		for i, count := range shares(t, c, rounds, nil) {
			share := float64(c.Steps[i].Weight) / float64(total)
			if !c.States[i].Available {
				share = 0
			}
			if !fits(count, rounds, share) {
				t.Errorf("chain %d: step %d was chosen %d times of %d, share %.3f", chain, i, count, rounds, share)
			}
		}
	}
}

// Over time the shares are exact to one part in a hundred of each.
func TestSharesAreExactOverTime(t *testing.T) {
	const rounds = 400_000
	c := hosttest.StepChoice{
		Setting: seeded(8), Strategy: "weighted",
		Steps: []hosttest.Step{{Weight: 70}, {Weight: 20}, {Weight: 10}}, States: []hosttest.StepState{up, up, up},
	}
	for i, count := range shares(t, c, rounds, nil) {
		want := float64(rounds) * float64(c.Steps[i].Weight) / 100
		off := float64(count)/want - 1
		t.Logf("step %d: %d of %d, %+.2f %% off its share", i, count, rounds, 100*off)
		if math.Abs(off) > 0.01 {
			t.Errorf("step %d is more than 1 %% off its share", i)
		}
	}
}

func TestCost(t *testing.T) {
	usd := func(input, output int64) []sallyport.NanoUSD {
		return []sallyport.NanoUSD{sallyport.Input: sallyport.NanoUSD(input), sallyport.Output: sallyport.NanoUSD(output)}
	}
	facts := []struct {
		name  string
		steps []hosttest.Step
		want  []float64 // shares
	}{
		{"three parts of input, one of output", []hosttest.Step{{Weight: 1, Price: usd(2, 1)}, {Weight: 1, Price: usd(1, 3)}}, []float64{0, 1}},
		{"the same, by weight", []hosttest.Step{{Weight: 3, Price: usd(1, 4)}, {Weight: 1, Price: usd(2, 1)}, {Weight: 9, Price: usd(3, 3)}}, []float64{.75, .25, 0}},
		{"no price comes last", []hosttest.Step{{Weight: 1}, {Weight: 1, Price: usd(1e18, 1e18)}}, []float64{0, 1}},
		{"nobody has a price", []hosttest.Step{{Weight: 1}, {Weight: 1}}, []float64{.5, .5}},
		{"free is a price", []hosttest.Step{{Weight: 1, Price: usd(0, 1)}, {Weight: 1, Price: usd(0, 0)}}, []float64{0, 1}},
		{"a spare is none, however cheap", []hosttest.Step{{Price: usd(0, 0)}, {Weight: 1, Price: usd(5, 5)}, {Weight: 1, Price: usd(6, 6)}}, []float64{0, 1, 0}},
		{"not of a later priority", []hosttest.Step{{Weight: 1, Price: usd(5, 5)}, {Weight: 1, Price: usd(5, 6)}, {Priority: 1, Weight: 1, Price: usd(1, 1)}}, []float64{1, 0, 0}},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			c := hosttest.StepChoice{Setting: seeded(7), Strategy: "cost", Steps: f.steps}
			for i, count := range shares(t, c, 2000, nil) {
				if !fits(count, 2000, f.want[i]) {
					t.Errorf("step %d was chosen %d times of 2000, want %.2f", i, count, f.want[i])
				}
			}
			if got := c.Ask(chooseStep); got.Reason != "cost" {
				t.Errorf("the reason is %q", got.Reason)
			}
		})
	}
}
