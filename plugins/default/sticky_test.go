package main

import (
	"fmt"
	"math/rand/v2"
	"testing"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
	"github.com/sallyport-dev/sallyport/sdk/go/hosttest"
)

// pool is a sticky chain of so many steps, each of the weight of its place.
func pool(size int) hosttest.StepChoice {
	c := hosttest.StepChoice{Strategy: "sticky"}
	for i := range size {
		c.Steps = append(c.Steps, hosttest.Step{Model: fmt.Sprintf("model-%d", i), Provider: "p", Weight: int64(i + 1)})
		c.States = append(c.States, up)
	}
	return c
}

// numbers are affinities as the gateway makes them.
func numbers(count int) []int64 {
	random := rand.New(rand.NewPCG(10, 11))
	all := make([]int64, count)
	for i := range all {
		all[i] = random.Int64N(1 << 53)
	}
	return all
}

func owner(t *testing.T, c hosttest.StepChoice, affinity int64) hosttest.StepChosen {
	t.Helper()
	c.Affinity = &affinity
	got := c.Ask(chooseStep)
	if got.Failed != "" || got.Passed || got.Stop {
		t.Fatalf("got %s", answered(got))
	}
	return got
}

func TestStickySharesAreThoseOfTheWeights(t *testing.T) {
	const rounds = 20_000
	for name, affinities := range map[string][]int64{"hashes": numbers(rounds), "numbers in a row": inARow(rounds)} {
		c := pool(4)
		count := shares(t, c, rounds, func(i int, c *hosttest.StepChoice) { c.Affinity = &affinities[i] })
		for i := range c.Steps {
			if share := float64(i+1) / 10; !fits(count[i], rounds, share) {
				t.Errorf("%s: step %d owns %d of %d, share %.1f", name, i, count[i], rounds, share)
			}
		}
	}
}

func inARow(count int) []int64 {
	all := make([]int64, count)
	for i := range all {
		all[i] = int64(i)
	}
	return all
}

// A step that is added takes over its share, and nobody goes anywhere else; what the chain's order is does not matter.
func TestStickyMovesFew(t *testing.T) {
	const rounds = 5000
	before, after := pool(4), pool(5)
	after.Steps[0], after.Steps[3] = after.Steps[3], after.Steps[0]
	moved := 0
	for _, affinity := range numbers(rounds) {
		was, is := owner(t, before, affinity), owner(t, after, affinity)
		if before.Steps[was.Step].Model == after.Steps[is.Step].Model {
			continue
		}
		if is.Step != 4 {
			t.Fatalf("%d went from %d to %d, which is not the new one", affinity, was.Step, is.Step)
		}
		moved++
	}
	if !fits(moved, rounds, 5./15) {
		t.Errorf("%d of %d moved, want a third", moved, rounds)
	}
}

func TestStickyYields(t *testing.T) {
	c := pool(4)
	affinity := numbers(1)[0]
	first := owner(t, c, affinity)
	if first.Reason != "sticky" {
		t.Fatalf("got %s", answered(first))
	}
	for health, reason := range map[sallyport.StepHealth]string{
		sallyport.StepOpen: "open", sallyport.StepParked: "parked", sallyport.StepRefused: "refused", sallyport.StepDrained: "drained",
		sallyport.StepFull: "full", sallyport.StepProbing: "probing", sallyport.StepHealthy: "not available", 99: "not available",
	} {
		c.States[first.Step] = hosttest.StepState{Health: health}
		second := owner(t, c, affinity)
		if second.Step == first.Step || second.Reason != "sticky: yielded, "+reason {
			t.Errorf("got %s", answered(second))
		}
		if again := owner(t, c, affinity); again.Step != second.Step {
			t.Errorf("the second choice is %d, and then %d", second.Step, again.Step)
		}
	}
	c.States[first.Step] = up
	if back := owner(t, c, affinity); back.Step != first.Step || back.Reason != "sticky" {
		t.Errorf("got %s, want it back at %d", answered(back), first.Step)
	}
}

// Those of a step that is down spread over the others by weight.
func TestStickySpreadsWhatYields(t *testing.T) {
	c := pool(4)
	yielding, count := 0, make([]int, 4)
	for _, affinity := range numbers(20_000) {
		c.States[3] = up
		if owner(t, c, affinity).Step != 3 {
			continue
		}
		c.States[3] = down
		yielding++
		count[owner(t, c, affinity).Step]++
	}
	for i := range 3 {
		if !fits(count[i], yielding, float64(i+1)/6) {
			t.Errorf("step %d has %d of the %d that yielded", i, count[i], yielding)
		}
	}
}

func TestStickyKeepsToPrioritiesAndSpares(t *testing.T) {
	c := pool(3)
	c.Steps[0].Priority, c.Steps[1].Weight = 1, 0
	for _, affinity := range numbers(200) {
		c.States = []hosttest.StepState{up, up, up}
		if got := owner(t, c, affinity); got.Step != 2 {
			t.Fatalf("got %s", answered(got))
		}
		c.States[2] = down
		if got := owner(t, c, affinity); answered(got) != "1: sticky: yielded, open" {
			t.Fatalf("got %s", answered(got))
		}
		c.States[1] = down
		if got := owner(t, c, affinity); answered(got) != "0: sticky: yielded, open" {
			t.Fatalf("got %s", answered(got))
		}
	}
}

func TestStickyAfterAnAttempt(t *testing.T) {
	c := pool(3)
	affinity := numbers(1)[0]
	first := owner(t, c, affinity).Step
	c.States[first] = down
	second := owner(t, c, affinity).Step
	c.Attempt, c.LastError, c.LastStep = 2, sallyport.Transient, first
	if got := owner(t, c, affinity); got.Step != second || got.Reason != "failover" {
		t.Errorf("got %s, want %d: failover", answered(got), second)
	}
}
