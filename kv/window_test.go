package kv

import (
	"math"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"pgregory.net/rapid"
)

func TestWindowSlides(t *testing.T) {
	const second = time.Second
	c := newClock()
	n := only(t, quiet(newDisk(), c))
	for i, test := range []struct {
		wait         time.Duration
		units, limit int64
		allowed      bool
		used         int64
		reset        time.Duration
	}{
		{0, 0, 10, true, 0, 0},
		{0, 11, 10, false, 0, 0},
		{0, 1, 0, false, 0, 0},
		{0, 4, 10, true, 4, 17 * second},
		{second / 2, 2, 10, true, 6, 17*second - second/2},
		{second / 2, 4, 10, true, 10, 17 * second},
		{0, 0, 10, true, 10, 17 * second},
		{0, 1, 10, false, 10, 16 * second},
		{0, 6, 10, false, 10, 16 * second},
		{0, 7, 10, false, 10, 17 * second},
		{0, 11, 10, false, 10, 17 * second},
		{0, math.MaxInt64, math.MaxInt64, false, 10, 17 * second},
		{0, math.MaxInt64, 0, false, 10, 17 * second},
		{16*second - 1, 6, 10, false, 10, 1},
		{1, 7, 10, false, 4, second},
		{0, 6, 10, true, 10, 17 * second},
		{0, 1, 5, false, 10, 17 * second},
		{second, 1, 10, true, 7, 17 * second},
		{17 * second, 0, 10, true, 0, 0},
		{0, 10, 10, true, 10, 17 * second},
		{0, math.MaxInt64 - 10, math.MaxInt64, true, math.MaxInt64, 17 * second},
		{0, 1, math.MaxInt64, false, math.MaxInt64, 17 * second},
	} {
		c.Add(test.wait)
		allowed, used, reset, code := n.WindowAdd([]byte("k"), test.units, test.limit, 16*second)
		if allowed != test.allowed || used != test.used || reset != test.reset || code != abi.OK {
			t.Errorf("step %d: %t, %d, %s, %s; want %t, %d, %s", i, allowed, used, reset, name(code), test.allowed, test.used, test.reset)
		}
	}
}

func TestWindowWhenTheClockIsSet(t *testing.T) {
	for _, test := range []struct {
		name       string
		jump, wait time.Duration
		used       int64
	}{
		{"a little back, it waits for the clock", -3 * time.Second, 19 * time.Second, 5},
		{"and no longer", -3 * time.Second, 20 * time.Second, 0},
		{"far back, it goes on from there", -time.Hour, 17 * time.Second, 5},
		{"and hardly longer than a window", -time.Hour, 18 * time.Second, 0},
		{"forward, time has passed", time.Hour, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, restart := range []bool{false, true} {
				c := newClock()
				opts := quiet(newDisk(), c)
				kv := opened(t, opts)
				n := namespace(t, kv, "p")
				add := func(units int64) int64 {
					_, used, _, _ := n.WindowAdd([]byte("k"), units, 10, 16*time.Second)
					return used
				}
				add(5)
				flushed(t, n)
				c.Add(test.jump)
				add(0)
				c.Add(test.wait / 2)
				if restart {
					if err := kv.Close(); err != nil {
						t.Fatal(err)
					}
					n = only(t, opts)
				}
				c.Add(test.wait - test.wait/2)
				if used := add(0); used != test.used {
					t.Errorf("restarted %t: %d are used, want %d", restart, used, test.used)
				}
			}
		})
	}
}

// A unit came late in its part, and the clock was put back to where it stands later still: by whole parts the unit would
// be forgotten before its window is over.
func TestWindowWhenTheClockIsPutBackWithinAPart(t *testing.T) {
	c := newClock()
	n := only(t, quiet(newDisk(), c))
	add := func(wait time.Duration) bool {
		c.Add(wait)
		allowed, _, _, _ := n.WindowAdd([]byte("k"), 1, 1, 16*time.Second)
		return allowed
	}
	if !add(900*time.Millisecond) || add(5100*time.Millisecond) || add(-17001*time.Millisecond) {
		t.Fatal("one may pass at once, and no more")
	}
	if add(10_800 * time.Millisecond) {
		t.Error("another passes 15.9 seconds after the first")
	}
}

func TestWindowOfAnotherLength(t *testing.T) {
	c := newClock()
	n := only(t, quiet(newDisk(), c))
	add := func(units int64, length time.Duration, want int64) {
		t.Helper()
		if _, used, _, _ := n.WindowAdd([]byte("k"), units, 100, length); used != want {
			t.Errorf("%d are used within %s, want %d", used, length, want)
		}
	}
	add(5, 160*time.Second, 5)
	c.Add(100 * time.Second)
	add(3, 160*time.Second, 8)
	add(0, 320*time.Second, 8)
	add(0, 16*time.Second, 3)
	c.Add(17 * time.Second)
	add(0, 16*time.Second, 0)
	add(1, 16*time.Second, 1)
	c.Add(15 * time.Second)
	add(0, time.Second, 0)
	if n.sweepAll(); n.figures().Keys > 0 {
		t.Error("a window of which nothing is used stays")
	}
}

// stretch drives one window by real time, and a clock that is put back at times.
type stretch struct {
	disk    *disk
	clock   *testutil.Clock
	kv      *KV
	length  time.Duration
	limit   int64
	held    time.Duration // how long a unit may count at most
	elapsed time.Duration // of real time
	jumped  bool          // the clock, since the window was asked
	excused time.Duration // until when what was before a jump may be held
	units   []unit
}

type unit struct {
	at time.Duration // of real time
	n  int64
}

func (s *stretch) open(t *rapid.T) {
	kv, err := Open(t.Context(), quiet(s.disk, s.clock))
	if err != nil {
		t.Fatal(err)
	}
	s.kv = kv
}

func (s *stretch) restart(t *rapid.T) {
	if err := s.kv.Close(); err != nil {
		t.Fatal(err)
	}
	s.open(t)
}

// upTo draws a time up to most. What rapid draws is mostly small; here every one is as likely.
func upTo(t *rapid.T, most time.Duration) time.Duration {
	return time.Duration(rapid.Uint64().Draw(t, "time") * 0x9e3779b97f4a7c15 % uint64(most+1))
}

func (s *stretch) wait(t *rapid.T) {
	d := upTo(t, s.length/4)
	s.elapsed += d
	s.clock.Add(d)
}

func (s *stretch) back(t *rapid.T) {
	s.clock.Add(-s.length*18/16 - upTo(t, s.length))
	s.jumped = true
}

// slew is what happens while the clock is corrected, or read by several at once.
func (s *stretch) slew(t *rapid.T) {
	s.clock.Add(-upTo(t, s.length/8))
	s.jumped = true
}

// within returns how many units were let in less than d ago.
func (s *stretch) within(d time.Duration) (sum int64) {
	for _, u := range s.units {
		if u.at > s.elapsed-d {
			sum += u.n
		}
	}
	return sum
}

func (s *stretch) add(t *rapid.T) {
	n, err := s.kv.Namespace("p")
	if err != nil {
		t.Fatal(err)
	}
	count := rapid.Int64Range(1, s.limit).Draw(t, "units")
	allowed, _, _, code := n.WindowAdd([]byte("k"), count, s.limit, s.length)
	if code != abi.OK {
		t.Fatal(name(code))
	}
	if s.jumped { // only whoever asks can see it; what was before may be held for two windows then
		s.jumped, s.excused = false, s.elapsed+2*s.held
	}
	if sum := s.within(s.length); allowed && sum+count > s.limit {
		t.Fatalf("%d units within %s, and the limit is %d", sum+count, s.length, s.limit)
	}
	if sum := s.within(s.held); !allowed && sum+count <= s.limit && s.elapsed >= s.excused {
		t.Fatalf("%d were refused though only %d were let in within %s, and the limit is %d", count, sum, s.held, s.limit)
	}
	if allowed {
		s.units = append(s.units, unit{s.elapsed, count})
	}
}

// However the clock is put back and whenever the process is restarted: in no stretch of real time as long as the window
// are more units let in than the limit; and none is held for longer than it may be.
func TestWindowNeverLetsMoreThrough(t *testing.T) {
	for _, test := range []struct {
		name string
		jump func(*stretch, *rapid.T)
	}{
		{"the clock goes well", nil},
		{"the clock is put back", (*stretch).back},
		{"the clock is corrected", (*stretch).slew},
	} {
		t.Run(test.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				s := &stretch{disk: newDisk(), clock: newClock(), limit: rapid.Int64Range(1, 20).Draw(t, "limit")}
				s.length = 1 + upTo(t, rapid.SampledFrom([]time.Duration{100, time.Second, time.Minute}).Draw(t, "scale"))
				s.held = time.Duration(partOf(s.length) * (parts + 1))
				s.open(t)
				defer func() { s.kv.Close() }()
				actions := map[string]func(*rapid.T){
					"wait": s.wait, "wait more": s.wait, "wait long": s.wait, "restart": s.restart,
					"add": s.add, "add more": s.add, "add much": s.add,
				}
				if test.jump != nil {
					actions["jump"] = func(t *rapid.T) { test.jump(s, t) }
				}
				t.Repeat(actions)
			})
		})
	}
}
