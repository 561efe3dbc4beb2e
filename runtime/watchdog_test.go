package runtime

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-dev/sallyport/internal/testutil"
)

func marked(in *instance) bool { return in.overdue.Load() == in.deadline.Load() }

func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		epoch := time.Now()
		w := newWatchdog(func() time.Duration { return time.Since(epoch) })
		defer w.close()
		short, long := &instance{}, &instance{}
		w.add(short)
		w.add(long)
		testutil.Pass(time.Hour)
		if !w.parked.Load() {
			t.Error("it is awake though nothing runs")
		}
		for range 3 { // each call begins while it is parked
			w.begin(short, 100*time.Millisecond)
			w.begin(long, time.Second)
			if testutil.Pass(99 * time.Millisecond); marked(short) || w.parked.Load() {
				t.Errorf("before the end it was marked: %t, parked: %t", marked(short), w.parked.Load())
			}
			if testutil.Pass(longStep + watchEvery + time.Millisecond); !marked(short) || marked(long) {
				t.Errorf("at the end: marked %t, the longer one %t", marked(short), marked(long))
			}
			if w.begin(short, 100*time.Millisecond); marked(short) {
				t.Error("the mark of one call met the next")
			}
			if testutil.Pass(time.Minute); !marked(long) || !w.parked.Load() {
				t.Errorf("later: marked %t, parked %t", marked(long), w.parked.Load())
			}
		}
		w.begin(short, 7*time.Millisecond)
		if testutil.Pass(6 * time.Millisecond); marked(short) {
			t.Error("a short call was marked too early")
		}
		w.remove(short)
		w.begin(short, time.Millisecond)
		if testutil.Pass(time.Minute); marked(short) {
			t.Error("it marks who left")
		}
	})
}

// While the whole process stands still, no call uses up its time.
func TestStandstillsDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		epoch := time.Now()
		var skipped atomic.Int64
		w := newWatchdog(func() time.Duration { return time.Since(epoch) + time.Duration(skipped.Load()) })
		defer w.close()
		in := &instance{}
		w.add(in)
		w.begin(in, 100*time.Millisecond)
		for range 5 { // 50 ms, and five hours
			time.Sleep(10 * time.Millisecond) //nolint:forbidigo // the time of a bubble
			skipped.Add(int64(time.Hour))
		}
		if synctest.Wait(); marked(in) {
			t.Error("a call was marked that had no time to do anything")
		}
		if time.Sleep(100 * time.Millisecond); !marked(in) { //nolint:forbidigo // the time of a bubble
			t.Error("a call was not marked after its time")
		}
	})
}

// However calls and pauses interleave, a call that lasts is marked, and one that does not is not.
func TestWatchdogHammer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		epoch := time.Now()
		w := newWatchdog(func() time.Duration { return time.Since(epoch) })
		defer w.close()
		var callers sync.WaitGroup
		for n := range 16 {
			callers.Go(func() {
				in := &instance{}
				w.add(in)
				defer w.remove(in)
				for i := range 200 {
					const allowed = 10 * time.Millisecond
					takes := time.Duration(i*(n+1)%40) * time.Millisecond
					w.begin(in, allowed)
					time.Sleep(takes) //nolint:forbidigo // the time of a bubble
					switch {
					case takes < allowed && marked(in):
						t.Errorf("a call of %s was marked", takes)
					case takes > allowed+longStep+watchEvery && !marked(in):
						t.Errorf("a call of %s was not marked", takes)
					}
					if i%20 == 0 {
						time.Sleep(time.Second) //nolint:forbidigo // long enough to park
					}
				}
			})
		}
		callers.Wait()
	})
}
