package host

import (
	"context"
	goruntime "runtime"
	"strings"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/plugin/cases"
	"github.com/sallyport-dev/sallyport/runtime"
)

// Figures are what a case costs, a call.
type Figures struct {
	Case   *cases.Case
	Answer string
	Calls  int
	Time   time.Duration
	Allocs float64 // on the host's side
	Bytes  float64 // of them
	Fuel   int64   // of a call of an instance that has served before
}

// Bench asks the question of a case over and over, for about this long. What the policy remembers is set once, before.
func (h *Host) Bench(ctx context.Context, c *cases.Case, long time.Duration) (*Figures, error) {
	free := *c // a bound would only say whether the case is fine
	free.Want.Fuel = 0
	got, err := h.Ask(ctx, &free)
	if err != nil {
		return nil, err
	}
	f := &Figures{Case: c, Answer: got.Answer}
	if got.Answer == cases.Failed {
		return f, nil // its time is that of a failure
	}
	if f.Fuel, err = h.fuel(ctx, &free); err != nil {
		return nil, err
	}
	if err := h.load(ctx, &free, 0); err != nil {
		return nil, err
	}
	h.measure(f, question(h.loaded, &free), long)
	return f, nil
}

// measure calls until enough time has passed, ever more often between two looks at the clock.
func (h *Host) measure(f *Figures, call func(), long time.Duration) {
	var before, after goruntime.MemStats
	call()
	goruntime.ReadMemStats(&before)
	began := time.Now()
	for batch := 1; f.Time < long; batch *= 2 {
		for range batch {
			call()
		}
		f.Calls += batch
		f.Time = time.Since(began)
	}
	goruntime.ReadMemStats(&after)
	h.log.take()
	calls := float64(f.Calls)
	f.Time /= time.Duration(f.Calls)
	f.Allocs = float64(after.Mallocs-before.Mallocs) / calls
	f.Bytes = float64(after.TotalAlloc-before.TotalAlloc) / calls
}

// question returns a function that asks the same question each time.
func question(set *runtime.Set, c *cases.Case) func() {
	switch abi.Hook(c.Hook) {
	case abi.Authenticate:
		a := c.Authentication()
		return func() { set.Authenticate(a) }
	case abi.ChooseStep:
		s := c.StepChoice()
		return func() { set.ChooseStep(s) }
	default:
		p := c.Pricing()
		return func() { set.PriceResponse(p) }
	}
}

// fuel finds the smallest budget that a call comes to its end with, by trying. Each try is after a call with all that there
// is, because an instance's first call may do what later ones need not.
func (h *Host) fuel(ctx context.Context, c *cases.Case) (int64, error) {
	low, high := int64(0), h.policy.Limits.Fuel // it is between, high included
	if high == 0 {
		high = runtime.DefaultFuel
	}
	for high-low > 1+high/1000 {
		middle := low + (high-low)/2
		enough, err := h.enough(ctx, c, middle)
		if err != nil {
			return 0, err
		}
		if enough {
			high = middle
		} else {
			low = middle
		}
	}
	return high, nil
}

func (h *Host) enough(ctx context.Context, c *cases.Case, fuel int64) (bool, error) {
	if _, err := h.Ask(ctx, c); err != nil {
		return false, err
	}
	bounded := *c
	bounded.Want.Fuel = fuel
	got, err := h.Ask(ctx, &bounded)
	if err != nil {
		return false, err
	}
	return got.Answer != cases.Failed || !strings.HasPrefix(got.Failure, runtime.OutOfFuel.String()), nil
}
