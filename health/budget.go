package health

import (
	"math"
	"time"
)

// How many of a provider's attempts may be repetitions.
const (
	budgetShare  = 5                  // one in so many of those under way
	budgetAlways = 3                  // so many may begin in
	budgetWithin = int64(time.Second) // this time whatever is under way
)

// budget bounds the repetitions at one provider, so that a failing one is not asked ever more often.
type budget struct {
	repeats int                 // under way
	begun   [budgetAlways]int64 // when the latest began, as a ring
	oldest  int                 // its oldest
	refused uint64
}

func newBudget() budget {
	b := budget{}
	for i := range b.begun {
		b.begun[i] = math.MinInt64 / 2
	}
	return b
}

// room says whether one more repetition may begin where so many attempts are under way.
func (b *budget) room(now int64, active int) bool {
	return (b.repeats+1)*budgetShare <= active+1 || now-b.begun[b.oldest] >= budgetWithin
}

func (b *budget) begin(now int64) {
	b.repeats++
	b.begun[b.oldest] = now
	b.oldest = (b.oldest + 1) % budgetAlways
}
