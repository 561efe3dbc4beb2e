package idempotency_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/idempotency"
	"github.com/sallyport-dev/sallyport/internal/testutil"
)

const day = 24 * time.Hour

func claim(t *testing.T, k *idempotency.Keys, identity, key, body string) (*idempotency.Claim, idempotency.Entry, bool) {
	t.Helper()
	c, taken, same, err := k.Claim(identity, key, "/v1/x", []byte(body), "req_"+body, day)
	if err != nil {
		t.Fatal(err)
	}
	return c, taken, same
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAKeyIsTakenOnce(t *testing.T) {
	clock := testutil.NewClock("2026-11-21T12:00:00Z")
	store := testutil.NewMemory()
	k := idempotency.New(idempotency.Options{Store: store, Now: clock.Now})
	first, _, _ := claim(t, k, "key_1", "a", "x")
	if c, taken, same := claim(t, k, "key_1", "a", "x"); c != nil || taken.State != idempotency.UnderWay || !same {
		t.Errorf("under way: %+v, same %v", taken, same)
	}
	if c, _, same := claim(t, k, "key_1", "a", "y"); c != nil || same {
		t.Error("another body is the same")
	}
	for _, other := range [][2]string{{"key_2", "a"}, {"key_1", "b"}} {
		if c, _, _ := claim(t, k, other[0], other[1], "x"); c == nil {
			t.Errorf("%v is taken by another key, or another identity", other)
		}
	}
	must(t, first.Finish(200, "application/json", []byte("{}")))
	c, taken, same := claim(t, k, "key_1", "a", "x")
	if c != nil || !same || taken.State != idempotency.Finished || taken.Status != 200 || string(taken.Answer) != "{}" || taken.Request != "req_x" {
		t.Errorf("finished: %+v, same %v", taken, same)
	}
	clock.Add(day)
	if c, _, _ := claim(t, k, "key_1", "a", "x"); c == nil {
		t.Error("it is taken for more than its time")
	}
}

func TestAReleasedKeyIsFree(t *testing.T) {
	store := testutil.NewMemory()
	k := idempotency.New(idempotency.Options{Store: store})
	c, _, _ := claim(t, k, "key_1", "a", "x")
	must(t, c.Release())
	if c, _, _ = claim(t, k, "key_1", "a", "y"); c == nil {
		t.Fatal("it is taken")
	}
	must(t, c.Lose())
	if c, taken, _ := claim(t, k, "key_1", "a", "y"); c != nil || taken.State != idempotency.Lost {
		t.Errorf("lost: %+v", taken)
	}
}

// What was under way when the process ended is lost: it may have been charged.
func TestARestartLosesWhatWasUnderWay(t *testing.T) {
	store := testutil.NewMemory()
	if c, _, _ := claim(t, idempotency.New(idempotency.Options{Store: store}), "key_1", "a", "x"); c == nil {
		t.Fatal("not claimed")
	}
	c, taken, same := claim(t, idempotency.New(idempotency.Options{Store: store}), "key_1", "a", "x")
	if c != nil || taken.State != idempotency.Lost || !same {
		t.Errorf("%+v", taken)
	}
}

// What could not be noted when a request ended is lost too: nobody will ever end it.
func TestWhatCannotBeNotedIsLost(t *testing.T) {
	store := testutil.NewMemory()
	k := idempotency.New(idempotency.Options{Store: store})
	c, _, _ := claim(t, k, "key_1", "a", "x")
	store.Break(errors.New("the disk is full"))
	if err := c.Finish(200, "application/json", nil); err == nil {
		t.Fatal("it was written")
	}
	store.Break(nil)
	if c, taken, same := claim(t, k, "key_1", "a", "x"); c != nil || taken.State != idempotency.Lost || !same {
		t.Errorf("%+v", taken)
	}
}

func TestSweep(t *testing.T) {
	clock := testutil.NewClock("2026-11-21T12:00:00Z")
	store := testutil.NewMemory()
	k := idempotency.New(idempotency.Options{Store: store, Now: clock.Now})
	old, _, _ := claim(t, k, "key_1", "old", "x")
	must(t, old.Finish(200, "", nil))
	clock.Add(day / 2)
	claim(t, k, "key_1", "new", "x")
	clock.Add(day / 2)
	must(t, k.Sweep(t.Context()))
	left := 0
	must(t, store.Scan(t.Context(), "", "", func(string, []byte) error { left++; return nil }))
	if left != 1 {
		t.Errorf("%d rows are left, want 1", left)
	}
}

// scanned is a store that calls back when it was scanned.
type scanned struct {
	*testutil.Memory
	then func()
}

func (s *scanned) Scan(ctx context.Context, prefix, from string, f func(string, []byte) error) error {
	err := s.Memory.Scan(ctx, prefix, from, f)
	s.then()
	return err
}

// A key that has expired may be taken again while a sweep has it on its list.
func TestSweepSparesWhatWasClaimedMeanwhile(t *testing.T) {
	for name, finish := range map[string]bool{"under way": false, "finished": true} {
		t.Run(name, func(t *testing.T) {
			clock := testutil.NewClock("2026-11-21T12:00:00Z")
			store := &scanned{Memory: testutil.NewMemory()}
			k := idempotency.New(idempotency.Options{Store: store, Now: clock.Now})
			old, _, _ := claim(t, k, "key_1", "a", "x")
			must(t, old.Finish(200, "", nil))
			clock.Add(day)
			store.then = func() {
				again, _, _ := claim(t, k, "key_1", "a", "x")
				if finish {
					must(t, again.Finish(200, "", nil))
				}
			}
			must(t, k.Sweep(t.Context()))
			restarted := idempotency.New(idempotency.Options{Store: store, Now: clock.Now})
			if c, _, _ := claim(t, restarted, "key_1", "a", "x"); c != nil {
				t.Error("the request would be made twice")
			}
		})
	}
}

// Of many that come at once one gets the key.
func TestClaimHammer(t *testing.T) {
	k := idempotency.New(idempotency.Options{Store: testutil.NewMemory()})
	var got atomic.Int32
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			c, _, _, err := k.Claim("key_1", "a", "/", nil, "req", day)
			if err != nil {
				t.Error(err)
			}
			if c != nil {
				got.Add(1)
				if err := c.Finish(200, "", nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got.Load() != 1 {
		t.Errorf("%d got it", got.Load())
	}
}
