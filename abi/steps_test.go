package abi

import (
	"testing"
	"time"
)

func TestStatesOnTheWire(t *testing.T) {
	facts := []struct {
		state             StepState
		cooldown, latency int64
	}{
		{StepState{}, 0, 0},
		{StepState{Cooldown: 1, Latency: 1}, 1, 1}, // what is known is not 0
		{StepState{Cooldown: time.Millisecond, Latency: time.Millisecond}, 1, 1000},
		{StepState{Cooldown: time.Millisecond + 1, Latency: time.Microsecond + 999}, 2, 1},
		{StepState{Cooldown: -time.Hour, Latency: -time.Hour}, 0, 0},
		{StepState{Cooldown: 1<<63 - 1, Latency: 1<<63 - 1}, (1<<63-1)/1_000_000 + 1, (1<<63 - 1) / 1000},
	}
	for _, f := range facts {
		if c, l := f.state.CooldownMillis(), f.state.LatencyMicros(); c != f.cooldown || l != f.latency {
			t.Errorf("%+v: cooldown %d, latency %d, want %d, %d", f.state, c, l, f.cooldown, f.latency)
		}
	}
}

func TestStateOfAStep(t *testing.T) {
	full := StepState{Health: StepFull, Active: 8}
	facts := []struct {
		name   string
		choice StepChoice
		step   int
		want   StepState
	}{
		{"nothing is known, not tried", StepChoice{Tries: []int64{1, 0}}, 1, StepState{Available: true}},
		{"nothing is known, tried", StepChoice{Tries: []int64{1, 0}}, 0, StepState{}},
		{"nothing is known at all", StepChoice{}, 0, StepState{Available: true}},
		{"known", StepChoice{States: []StepState{full}}, 0, full},
		{"others are known", StepChoice{States: []StepState{full}}, 1, StepState{}},
	}
	for _, f := range facts {
		if got := f.choice.State(f.step); got != f.want {
			t.Errorf("%s: got %+v, want %+v", f.name, got, f.want)
		}
	}
}

// No affinity is NoValue, or more than JavaScript keeps of a number.
func TestAffinityNumber(t *testing.T) {
	for affinity, want := range map[uint64]int64{0: 0, 1<<11 - 1: 0, 1 << 11: 1, 1 << 63: 1 << 52, 1<<64 - 1: 1<<53 - 1} {
		c := StepChoice{Affinity: affinity, Sticks: true}
		if got, ok := c.AffinityNumber(); got != want || !ok {
			t.Errorf("%#x: %d, %t, want %d", affinity, got, ok, want)
		}
	}
	if _, ok := (&StepChoice{Affinity: 5}).AffinityNumber(); ok {
		t.Error("there is one where nothing sticks")
	}
}
