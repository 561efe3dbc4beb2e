package main

import (
	"math"
	"math/bits"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
)

// pick picks a candidate, of which there is at least one, and says why. What a strategy does not look at is not read.
func pick(c *sallyport.StepChoice, left candidates, size, first int) (step int, why string, err error) {
	strategy := c.Strategy()
	if string(strategy) == "sticky" {
		if affinity, ok := c.Affinity(); ok {
			step, why = pickSticky(c, left, uint64(affinity))
			return step, why, nil
		}
	}
	if size == 1 {
		return first, "only one left", nil
	}
	if size, first := keepLowest(left, c.Priorities()); size == 1 {
		return first, "priority", nil
	}
	weights := c.Weights()
	switch string(strategy) {
	case "latency":
		left.dropSpares(weights)
		return pickFaster(c, left, weights)
	case "cost":
		left.dropSpares(weights)
		if size, first := keepLowest(left, mixes(c)); size == 1 {
			return first, "cost", nil
		}
		return pickByWeight(left, weights, "cost")
	default:
		return pickByWeight(left, weights, "weighted")
	}
}

func pickByWeight(left candidates, weights []int64, why string) (int, string, error) {
	random, err := sallyport.RandomUint64()
	return left.byWeight(weights, random), why, err
}

func pickFaster(c *sallyport.StepChoice, left candidates, weights []int64) (int, string, error) {
	err := keepFaster(c, left, weights)
	if size, first := left.count(); size == 1 || err != nil {
		return first, "latency", err
	}
	return pickByWeight(left, weights, "latency")
}

// keepFaster draws two candidates and keeps the one that is expected to answer sooner, or both if they are alike. Always to
// take the fastest of all would send every exchange there until its latency has shown that it is too many.
func keepFaster(c *sallyport.StepChoice, left candidates, weights []int64) error {
	size, _ := left.count()
	if size < 2 {
		return nil
	}
	n, m := uint64(0), uint64(1)
	if size > 2 {
		random, err := sallyport.RandomUint64()
		if err != nil {
			return err
		}
		n, random = bits.Mul64(random, uint64(size))
		if m, _ = bits.Mul64(random, uint64(size-1)); m >= n {
			m++ // another one than the first
		}
	}
	one, other := left.nth(int(n)), left.nth(int(m))
	latencies, active := c.Latencies(), c.Active()
	loads := [2]uint64{load(latencies[one], active[one]), load(latencies[other], active[other])}
	clear(left)
	left[one], left[other] = 1, 1
	switch {
	case slower(loads[0], weights[one], loads[1], weights[other]):
		left[one] = 0
	case slower(loads[1], weights[other], loads[0], weights[one]):
		left[other] = 0
	}
	return nil
}

// load is how long an answer will take, more or less: latency × (active + 1). A step whose latency is not known is
// asked, by one exchange at a time until it is.
func load(latency, active int64) uint64 {
	const mostActive = 1 << 20
	waiting := uint64(min(max(active, 0), mostActive))
	switch {
	case latency > 0:
		return uint64(min(latency, 1<<40)) * (waiting + 1)
	case waiting == 0:
		return 0
	default:
		return 1<<61 + waiting // above all loads that are known
	}
}

// slower compares two loads, each by its weight: a step of twice the weight may have twice the load.
func slower(one uint64, weight int64, other uint64, otherWeight int64) bool {
	high, low := bits.Mul64(one, max(bounded(otherWeight), 1))
	otherHigh, otherLow := bits.Mul64(other, max(bounded(weight), 1))
	return high > otherHigh || high == otherHigh && low > otherLow
}

// mixes are the prices by which steps are compared: three parts of input and one of output, as prompts are mostly longer
// than answers. What has no price comes last.
func mixes(c *sallyport.StepChoice) []sallyport.NanoUSD {
	const most = sallyport.NanoUSD(1 << 60)
	mixes, outputs := c.InputPrices(), c.OutputPrices() // in place of the inputs: it costs no memory
	for step, input := range mixes {
		mixes[step] = math.MaxInt64
		if output := outputs[step]; input >= 0 && output >= 0 {
			mixes[step] = 3*min(input, most) + min(output, most)
		}
	}
	return mixes
}

// pickSticky picks the step that the affinity belongs to or, where that is not available, the next one. Which that is
// follows from a hash of the affinity and of each step by itself, so that a step that is added takes over its share of
// all affinities and moves no other.
func pickSticky(c *sallyport.StepChoice, left candidates, affinity uint64) (step int, why string) {
	h := rendezvous{c, mix(affinity), c.Priorities(), c.Weights()}
	owner := h.best(nil)
	if left[owner] == 1 {
		return owner, "sticky"
	}
	return h.best(left), yielded(c.Health()[owner])
}

func yielded(health sallyport.StepHealth) string {
	switch health {
	case sallyport.StepProbing:
		return "sticky: yielded, probing"
	case sallyport.StepOpen:
		return "sticky: yielded, open"
	case sallyport.StepParked:
		return "sticky: yielded, parked"
	case sallyport.StepRefused:
		return "sticky: yielded, refused"
	case sallyport.StepDrained:
		return "sticky: yielded, drained"
	case sallyport.StepFull:
		return "sticky: yielded, full"
	default:
		return "sticky: yielded, not available"
	}
}

// rendezvous gives each step a score for an affinity. The least wins, which each does by its weight.
type rendezvous struct {
	c                   *sallyport.StepChoice
	affinity            uint64
	priorities, weights []int64
}

// best returns the winner among the candidates of the lowest priority; nil stands for every step.
func (h *rendezvous) best(among candidates) int {
	priority, spares := int64(math.MaxInt64), true
	for step, p := range h.priorities {
		switch {
		case among != nil && among[step] == 0 || p > priority:
		case p < priority:
			priority, spares = p, h.weights[step] <= 0
		default:
			spares = spares && h.weights[step] <= 0
		}
	}
	winner, least := -1, 0.0
	for step, p := range h.priorities {
		if among != nil && among[step] == 0 || p != priority || h.weights[step] <= 0 && !spares {
			continue
		}
		if score := h.score(step); winner < 0 || score < least {
			winner, least = step, score
		}
	}
	return winner
}

// score is exponentially distributed, with the weight as its rate: the least of several is that of a step with a
// probability in proportion to its weight.
func (h *rendezvous) score(step int) float64 {
	hash := fnv(fnv(fnvBasis, h.c.Provider(step))*fnvPrime, h.c.Model(step)) // multiplied as by a zero between them
	uniform := (float64(mix(hash^h.affinity)>>11) + 0.5) / (1 << 53)
	return -math.Log(uniform) / float64(max(h.weights[step], 1))
}

// FNV-1a of 64 bits.
const (
	fnvBasis uint64 = 14695981039346656037
	fnvPrime uint64 = 1099511628211
)

func fnv(hash uint64, text []byte) uint64 {
	for _, b := range text {
		hash = (hash ^ uint64(b)) * fnvPrime
	}
	return hash
}

// mix spreads every bit over all others: the finalizer of SplitMix64.
func mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}
