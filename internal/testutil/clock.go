package testutil

import (
	"sync"
	"testing/synctest"
	"time"
)

// Clock is a clock that a test sets. Its methods may be called by many goroutines at once.
type Clock struct {
	mu sync.Mutex
	t  time.Time
}

// NewClock returns a clock that stands at a time, as RFC 3339 writes it.
func NewClock(text string) *Clock {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic("testutil: " + err.Error())
	}
	return &Clock{t: t}
}

// Now returns what the clock says.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// Add moves the clock, also back.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// Pass lets time pass in a bubble of synctest, and then waits until all is done that happens by itself at the end of it.
func Pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
