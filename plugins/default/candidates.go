package main

import (
	"math"
	"math/bits"
)

// candidates are the steps that may still be chosen: 1 where one may. It is what the gateway says is available, made
// smaller step by step.
type candidates []int64

func (s candidates) count() (size, first int) {
	first = -1
	for step, may := range s {
		if may == 0 {
			continue
		}
		if size == 0 {
			first = step
		}
		size++
	}
	return size, first
}

func (s candidates) empty() bool {
	size, _ := s.count()
	return size == 0
}

func (s candidates) has(step int) bool { return step >= 0 && step < len(s) && s[step] == 1 }

// drop reports whether it was one.
func (s candidates) drop(step int) bool {
	was := s.has(step)
	if was {
		s[step] = 0
	}
	return was
}

// nth returns the candidate that has n others before it.
func (s candidates) nth(n int) int {
	for step, may := range s {
		if may == 0 {
			continue
		}
		if n == 0 {
			return step
		}
		n--
	}
	return -1
}

// keepLowest drops all but those of the lowest value, and counts those that it keeps.
func keepLowest[T ~int64](s candidates, values []T) (size, first int) {
	lowest := T(math.MaxInt64)
	for step, may := range s {
		if may == 1 {
			lowest = min(lowest, values[step])
		}
	}
	first = -1
	for step, may := range s {
		switch {
		case may == 0:
		case values[step] != lowest:
			s[step] = 0
		default:
			if size == 0 {
				first = step
			}
			size++
		}
	}
	return size, first
}

// keepLarger drops all but those that are known to have a larger context than a step.
func (s candidates) keepLarger(contexts []int64, than int) {
	for step := range s {
		if than < 0 || contexts[than] == 0 || contexts[step] <= contexts[than] {
			s[step] = 0
		}
	}
}

// dropSpares drops those of weight 0 as long as there are others: a spare is for when no other is left.
func (s candidates) dropSpares(weights []int64) {
	if s.total(weights) == 0 {
		return
	}
	for step := range s {
		if bounded(weights[step]) == 0 {
			s[step] = 0
		}
	}
}

// byWeight maps a random number to a candidate, each by its share. Without any weight they are all alike.
func (s candidates) byWeight(weights []int64, random uint64) int {
	spare, total := uint64(0), s.total(weights)
	if total == 0 {
		size, _ := s.count()
		spare, total = 1, uint64(size)
	}
	point, _ := bits.Mul64(random, total) // random/2^64 of the total
	for step, may := range s {
		if may == 0 {
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

func (s candidates) total(weights []int64) uint64 {
	sum := uint64(0)
	for step, may := range s {
		if may == 1 {
			sum += bounded(weights[step])
		}
	}
	return sum
}

// bounded keeps the sum of the weights of any chain that fits into a guest's memory from overflowing.
func bounded(weight int64) uint64 { return uint64(min(max(weight, 0), 1<<40)) }
