package health

import (
	"math"
	"time"
)

// latencyDecay is how long a latency takes to fall to 1/e.
const latencyDecay = float64(10 * time.Second)

// latency is a moving mean that rises to each peak at once and falls slowly. It falls also while nothing is measured,
// so that a step which was slow once is tried again some time.
type latency struct {
	value float64 // nanoseconds; 0: unknown
	at    int64
}

func (l *latency) observe(now int64, d time.Duration) {
	sample := max(float64(d), 1)
	if sample < l.value {
		keep := l.keep(now)
		sample = l.value*keep + sample*(1-keep)
	}
	l.value, l.at = sample, now
}

func (l *latency) read(now int64) time.Duration {
	if l.value == 0 {
		return 0
	}
	return max(time.Duration(l.value*l.keep(now)), 1) // 0 would mean that it is unknown
}

// keep is the share of the value that is left by now.
func (l *latency) keep(now int64) float64 {
	return math.Exp(-float64(max(now-l.at, 0)) / latencyDecay)
}
