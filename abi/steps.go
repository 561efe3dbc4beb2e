package abi

import "time"

// UnknownPrice is what a price is on the wire of choose_step where the operator gave none: 0 is a price too.
const UnknownPrice NanoUSD = -1

// State returns how a step does. Without States every step that was not tried in this exchange is available and healthy.
func (s *StepChoice) State(step int) StepState {
	if len(s.States) == 0 {
		return StepState{Available: step >= len(s.Tries) || s.Tries[step] == 0}
	}
	if step >= len(s.States) {
		return StepState{}
	}
	return s.States[step]
}

// AffinityNumber returns what guests see of Affinity, and false if there is none. It has the upper 53 bits: as many as a
// JSON reader or JavaScript keeps of a number, and never NoValue.
func (s *StepChoice) AffinityNumber() (n int64, ok bool) { return int64(s.Affinity >> 11), s.Sticks }

// CooldownMillis returns Cooldown in milliseconds. It is rounded up: who waits for so long does not come too early.
func (s StepState) CooldownMillis() int64 {
	if s.Cooldown <= 0 {
		return 0
	}
	return int64((s.Cooldown-1)/time.Millisecond) + 1
}

// LatencyMicros returns Latency in microseconds. What is known is at least 1, because 0 is not known.
func (s StepState) LatencyMicros() int64 {
	if s.Latency <= 0 {
		return 0
	}
	return max(s.Latency.Microseconds(), 1)
}

// PriceOf returns what the step's model charges for a dimension, or UnknownPrice.
func (s *Step) PriceOf(d Dimension) NanoUSD {
	if s.Price == nil {
		return UnknownPrice
	}
	return s.Price[d]
}
