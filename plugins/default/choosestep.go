package main

import (
	"math/bits"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
)

// chooseByWeight tries each step once: the lowest priority that has an untried step, and within it a random one in
// proportion to the weights. It looks at why the attempt before failed for one thing only: what a provider has rejected
// for good, every other would reject too. What was ambiguous goes on to the next step, never to the same one.
func chooseByWeight(c *sallyport.StepChoice) sallyport.Verdict {
	if c.LastError() == sallyport.Rejected {
		return c.Stop()
	}
	t := findTier(c.Priorities(), c.Tries())
	switch t.size {
	case 0:
		return c.Stop()
	case 1:
		return c.Choose(t.first)
	}
	random, err := sallyport.RandomUint64()
	if err != nil {
		return sallyport.Fail(err)
	}
	return c.Choose(t.pick(c.Weights(), random))
}

// tier is the untried steps of the lowest priority that has any.
type tier struct {
	priorities, tries []int64

	priority int64
	first    int
	size     int
}

func findTier(priorities, tries []int64) tier {
	t := tier{priorities: priorities, tries: tries}
	for step, tried := range tries {
		switch {
		case tried > 0:
		case t.size == 0 || priorities[step] < t.priority:
			t.priority, t.first, t.size = priorities[step], step, 1
		case priorities[step] == t.priority:
			t.size++
		}
	}
	return t
}

func (t *tier) has(step int) bool { return t.tries[step] == 0 && t.priorities[step] == t.priority }

// pick maps a random number to a step of the tier. A weight of 0 is that of a spare: it is picked when no other is left,
// and then all of them alike.
func (t *tier) pick(weights []int64, random uint64) int {
	spare, total := uint64(0), t.total(weights)
	if total == 0 {
		spare, total = 1, uint64(t.size)
	}
	point, _ := bits.Mul64(random, total) // random/2^64 of the total
	for step := t.first; step < len(t.tries); step++ {
		if !t.has(step) {
			continue
		}
		share := max(bounded(weights[step]), spare)
		if point < share {
			return step
		}
		point -= share
	}
	return -1 // not reached, because point is below the sum of the shares; the host would refuse it
}

func (t *tier) total(weights []int64) uint64 {
	sum := uint64(0)
	for step := range t.tries {
		if t.has(step) {
			sum += bounded(weights[step])
		}
	}
	return sum
}

// bounded keeps the sum of the weights of any chain that fits into a guest's memory from overflowing.
func bounded(weight int64) uint64 { return uint64(min(max(weight, 0), 1<<40)) }
