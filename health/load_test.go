package health

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Many goroutines do everything at once; in the end nothing is left under way, and no limit was ever passed.
func TestHammer(t *testing.T) {
	var changes atomic.Int64
	tracker := New(Options{Changed: func(Change) { changes.Add(1) }})
	target := func(i int) Target {
		return Target{
			Provider: string(rune('a' + i%2)), Model: string(rune('m' + i%3)), Credentials: []string{"k1", "k2"}[:1+i%2],
			Concurrent: 4, Chain: "c", Alias: string(rune('m' + i%3)),
		}
	}
	var inside [6]atomic.Int64
	work := func(seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test's dice
		for n := range 3000 {
			i := random.IntN(6)
			s := tracker.Step(target(i))
			s.View()
			s.MayRepeat()
			a, ok := s.Begin(Begin{Repeat: random.IntN(2) == 0, Force: random.IntN(2) == 0})
			if ok {
				if inside[i].Add(1) > 4 {
					t.Error("more attempts at once than are allowed")
				}
				a.FirstContent(time.Duration(random.IntN(1e6)))
				inside[i].Add(-1)
				a.End(Result{Outcome: Outcome(random.IntN(6)), RetryAfter: time.Duration(random.IntN(2))})
			}
			switch n % 500 {
			case 100:
				_ = tracker.Drain("a", "m") // unknown at first
			case 200:
				_ = tracker.Restore("a", "")
				_ = tracker.Restore("b", "")
			case 300:
				tracker.Snapshot()
				tracker.Budgets()
			}
		}
	}
	var all sync.WaitGroup
	for seed := range uint64(8) {
		all.Go(func() { work(seed) })
	}
	all.Wait()
	for _, s := range tracker.Snapshot() {
		if s.Active != 0 {
			t.Errorf("%+v", s)
		}
	}
	for _, b := range tracker.Budgets() {
		if b.Active != 0 || b.Repeats != 0 {
			t.Errorf("%+v", b)
		}
	}
	if changes.Load() == 0 {
		t.Error("no change was told")
	}
}

// One attempt that is ended by many is ended once.
func TestEndOnce(t *testing.T) {
	s := New(Options{}).Step(Target{Provider: "p", Model: "m", Credentials: []string{"k"}})
	a, _ := s.Begin(Begin{})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { a.End(Result{Outcome: Failed}) })
	}
	all.Wait()
	if v := s.View(); v.Active != 0 || v.State != Healthy {
		t.Errorf("%+v", v)
	}
}

// attempt is what one exchange does.
func attempt(s *Step) bool {
	if !s.View().Available {
		return false
	}
	a, ok := s.Begin(Begin{})
	a.FirstContent(300 * time.Millisecond)
	a.End(Result{Outcome: Succeeded})
	return ok
}

func TestNoAllocations(t *testing.T) {
	s := New(Options{}).Step(Target{Provider: "p", Model: "m", Credentials: []string{"k1", "k2"}, Concurrent: 5})
	ok := true
	if n := testing.AllocsPerRun(1000, func() { ok = attempt(s) && ok }); n != 0 || !ok {
		t.Errorf("an attempt allocates %v times (ok: %v)", n, ok)
	}
}

func BenchmarkView(b *testing.B) {
	s := New(Options{}).Step(Target{Provider: "p", Model: "m", Credentials: []string{"k"}})
	a, _ := s.Begin(Begin{})
	a.FirstContent(300 * time.Millisecond)
	b.ReportAllocs()
	for b.Loop() {
		s.View()
	}
}

func BenchmarkAttempt(b *testing.B) {
	s := New(Options{}).Step(Target{Provider: "p", Model: "m", Credentials: []string{"k"}})
	b.ReportAllocs()
	for b.Loop() {
		attempt(s)
	}
}

func BenchmarkAttemptParallel(b *testing.B) {
	s := New(Options{}).Step(Target{Provider: "p", Model: "m", Credentials: []string{"k"}})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			attempt(s)
		}
	})
}
