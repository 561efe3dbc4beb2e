package health

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/internal/testutil"
)

// bench is a tracker with a clock that stands, and no jitter.
type bench struct {
	*Tracker
	clock *testutil.Clock
	told  []string
}

func newBench() *bench {
	b := &bench{clock: testutil.NewClock("2026-11-21T10:00:00Z")}
	b.Tracker = New(Options{Now: b.clock.Now, Random: func() float64 { return 0.5 }, Changed: func(c Change) {
		b.told = append(b.told, strings.TrimSpace(fmt.Sprintf("%v %s/%s/%s %v>%v %s %v", c.Scope, c.Provider, c.Credential, c.Model, c.From, c.To, c.Cause, c.For)))
	}})
	return b
}

func (b *bench) step(model string, credentials ...string) *Step {
	return b.Step(Target{Provider: "p", Address: "p:443", Model: model, Credentials: credentials, Chain: "c", Alias: model})
}

// run makes attempts one by one, as these letters end them.
func run(t *testing.T, s *Step, outcomes string) {
	t.Helper()
	for i, o := range outcomes {
		a, ok := s.Begin(Begin{})
		if !ok {
			t.Fatalf("attempt %d of %q: %+v", i+1, outcomes, s.View())
		}
		a.End(Result{Outcome: letters[o]})
	}
}

var letters = map[rune]Outcome{
	'.': Succeeded, 'F': Failed, 'U': Unreachable, 'L': RateLimited, 'C': CredentialRefused, '-': Neutral,
}

func wantView(t *testing.T, what string, s *Step, state State, cooldown time.Duration, available bool) {
	t.Helper()
	if v := s.View(); v.State != state || v.Cooldown != cooldown || v.Available != available {
		t.Errorf("%s: %v for %v, available %v; want %v for %v, %v", what, v.State, v.Cooldown, v.Available, state, cooldown, available)
	}
}

// What attempts that end like this, one after the other, do to their place.
func TestOutcomes(t *testing.T) {
	facts := []struct {
		outcomes string
		state    State
		cooldown time.Duration
	}{
		{"FF", Healthy, 0},
		{"FFF", Open, 5 * time.Second},
		{"FF.FF", Healthy, 0},
		{"FF--F", Open, 5 * time.Second},
		{"UU", Healthy, 0},
		{"UUU", Open, 5 * time.Second},
		{"UUFUU", Healthy, 0}, // what answers, if only with a failure, is reached
		{"FFUF", Open, 5 * time.Second},
		{"UUC", Refused, time.Minute},
		{"FFL", Parked, time.Second},
		{strings.Repeat("F.", 10), Healthy, 0},            // a success opens nothing
		{strings.Repeat(".F", 9) + "F", Healthy, 0},       // 10 of 19
		{strings.Repeat(".F", 10), Open, 5 * time.Second}, // 10 of 20
		{strings.Repeat(".", 11) + strings.Repeat("F.", 9), Healthy, 0},
		{strings.Repeat(".U", 10), Open, 5 * time.Second},
		{strings.Repeat("-", 50), Healthy, 0},
	}
	for _, f := range facts {
		b := newBench()
		s := b.step("m", "k")
		run(t, s, f.outcomes)
		wantView(t, f.outcomes, s, f.state, f.cooldown, f.state == Healthy)
	}
}

// Half of the attempts count only as long as they are of the last 30 seconds.
func TestWindowSlides(t *testing.T) {
	for after, want := range map[time.Duration]State{29 * time.Second: Open, 30 * time.Second: Healthy} {
		b := newBench()
		s := b.step("m", "k")
		run(t, s, strings.Repeat(".F", 9)+".")
		b.clock.Add(after)
		run(t, s, "F")
		if v := s.View(); v.State != want {
			t.Errorf("after %v: %v, want %v", after, v.State, want)
		}
	}
}

func TestCircuitDoublesAndCloses(t *testing.T) {
	b := newBench()
	s := b.step("m", "k")
	run(t, s, "FFF")
	for _, want := range []time.Duration{5, 10, 20, 40, 80, 160, 300, 300} {
		want *= time.Second
		wantView(t, "open", s, Open, want, false)
		b.clock.Add(want - 1)
		wantView(t, "nearly", s, Open, 1, false)
		b.clock.Add(1)
		wantView(t, "half open", s, Probing, 0, true)
		run(t, s, "F")
	}
	b.clock.Add(5 * time.Minute)
	run(t, s, ".")
	wantView(t, "closed", s, Healthy, 0, true)
	run(t, s, "FFF")
	wantView(t, "open again", s, Open, 5*time.Second, false)
}

func TestJitter(t *testing.T) {
	for random, want := range map[float64]time.Duration{0: 4500 * time.Millisecond, 0.5: 5 * time.Second, 0.75: 5250 * time.Millisecond} {
		c := circuit{}
		c.shut(0, func() float64 { return random })
		if got := time.Duration(c.until); (got - want).Abs() > time.Microsecond {
			t.Errorf("random %v: open for %v, want %v", random, got, want)
		}
		c.length = openMost
		c.shut(0, func() float64 { return random })
		if got := time.Duration(c.until); got > 5*time.Minute || got < 5*time.Minute*9/10 {
			t.Errorf("random %v: open for %v at most", random, got)
		}
	}
}

// While a circuit is half open, one attempt probes. It is given up when it does not end.
func TestOneProbe(t *testing.T) {
	b := newBench()
	s := b.step("m", "k")
	run(t, s, "FFF")
	b.clock.Add(5 * time.Second)
	probe, ok := s.Begin(Begin{})
	if !ok || !probe.Probe {
		t.Fatalf("the probe began: %v, %+v", ok, probe)
	}
	wantView(t, "under way", s, Probing, 0, false)
	if _, ok := s.Begin(Begin{}); ok {
		t.Error("two probes at once")
	}
	probe.End(Result{Outcome: Neutral})
	wantView(t, "without a result", s, Probing, 0, true)
	lost, _ := s.Begin(Begin{})
	b.clock.Add(5*time.Minute - 1)
	wantView(t, "nearly lost", s, Probing, 0, false)
	b.clock.Add(1)
	second, ok := s.Begin(Begin{})
	if !ok || !second.Probe {
		t.Fatal("no probe after one that was lost")
	}
	lost.End(Result{Outcome: Neutral})
	wantView(t, "the lost one has ended", s, Probing, 0, false)
	second.End(Result{Outcome: Succeeded})
	wantView(t, "the second succeeded", s, Healthy, 0, true)
}

// A probe that is a long stream keeps nobody out once its answer began. Its end still counts.
func TestProbeBeginsToAnswer(t *testing.T) {
	for outcome, want := range map[Outcome]time.Duration{Failed: 10 * time.Second, Succeeded: 0} {
		b := newBench()
		s := b.step("m", "k")
		run(t, s, "FFF")
		b.clock.Add(5 * time.Second)
		stream, _ := s.Begin(Begin{})
		stream.FirstContent(time.Second)
		wantView(t, "after the first content", s, Probing, 0, true)
		next, ok := s.Begin(Begin{})
		if !ok || !next.Probe {
			t.Fatal("no second probe")
		}
		wantView(t, "two at once", s, Probing, 0, false)
		stream.End(Result{Outcome: outcome})
		if v := s.View(); v.Cooldown != want || (v.State == Healthy) != (want == 0) {
			t.Errorf("the first one ended with %v: %+v", outcome, v)
		}
		next.End(Result{Outcome: Failed}) // of an era that is over
		if v := s.View(); v.Cooldown != want {
			t.Errorf("the second one changed it: %+v", v)
		}
	}
}

// The first content shows that a provider is reached, also in an attempt that was forced.
func TestContentProvesReach(t *testing.T) {
	b := newBench()
	s := b.step("m", "k")
	run(t, s, "UUU")
	forced, _ := s.Begin(Begin{Force: true})
	forced.FirstContent(time.Second)
	wantView(t, "reached", s, Healthy, 0, true)
	forced.End(Result{Outcome: Failed})
	if got := b.told[len(b.told)-1]; got != "provider p// open>healthy it answered 0s" {
		t.Errorf("told %q", got)
	}
}

// What was under way when a circuit opened says nothing of whether it may close, and cannot lengthen it.
func TestLateResults(t *testing.T) {
	b := newBench()
	s := b.step("m", "k")
	var late [4]Attempt
	for i := range late {
		late[i], _ = s.Begin(Begin{})
	}
	run(t, s, "FFF")
	late[0].End(Result{Outcome: Failed})
	late[1].End(Result{Outcome: Succeeded})
	wantView(t, "late ones", s, Open, 5*time.Second, false)
	b.clock.Add(5 * time.Second)
	run(t, s, ".FF")
	late[2].End(Result{Outcome: Failed})
	late[3].End(Result{Outcome: Succeeded})
	wantView(t, "late ones after it closed", s, Healthy, 0, true)
	run(t, s, "F")
	wantView(t, "the third of its time", s, Open, 5*time.Second, false)
}

func TestForce(t *testing.T) {
	b := newBench()
	s := b.step("m", "k")
	run(t, s, "FFF")
	forced := func(o Outcome) {
		t.Helper()
		a, ok := s.Begin(Begin{Force: true})
		if !ok || a.Probe {
			t.Fatalf("forced: %v, probe %v", ok, a.Probe)
		}
		a.End(Result{Outcome: o})
	}
	forced(Failed)
	forced(Failed)
	wantView(t, "forced ones failed", s, Open, 5*time.Second, false)
	forced(Succeeded)
	wantView(t, "a forced one succeeded", s, Healthy, 0, true)
	run(t, s, "C")
	b.clock.Add(time.Second)
	forced(CredentialRefused)
	wantView(t, "refused again by force", s, Refused, 59*time.Second, false)
	forced(Succeeded)
	run(t, s, "L")
	if _, ok := s.Begin(Begin{Force: true}); ok {
		t.Error("forced past a 429")
	}
	if err := errors.Join(b.Restore("p", ""), b.Drain("p", "m")); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Begin(Begin{Force: true}); ok {
		t.Error("forced past a drain")
	}
}

func TestParking(t *testing.T) {
	b := newBench()
	s := b.step("m", "k")
	park := func(retryAfter, want time.Duration) {
		t.Helper()
		a, ok := s.Begin(Begin{})
		if !ok {
			t.Fatal("still parked")
		}
		a.End(Result{Outcome: RateLimited, RetryAfter: retryAfter})
		wantView(t, "parked", s, Parked, want, false)
		b.clock.Add(want)
		wantView(t, "over", s, Healthy, 0, true)
	}
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		park(0, want*time.Second)
	}
	park(7*time.Second, 7*time.Second)
	park(time.Hour, 5*time.Minute)
	park(0, time.Minute)
	run(t, s, ".")
	park(0, time.Second)
	var together [3]Attempt
	for i := range together {
		together[i], _ = s.Begin(Begin{})
	}
	for i := range together {
		together[i].End(Result{Outcome: RateLimited})
	}
	wantView(t, "three 429s at once are one reason", s, Parked, 2*time.Second, false)
	b.clock.Add(2 * time.Second)
	for i := range together {
		together[i], _ = s.Begin(Begin{})
	}
	for i, wait := range []time.Duration{3 * time.Second, 30 * time.Second, time.Second} {
		together[i].End(Result{Outcome: RateLimited, RetryAfter: wait})
	}
	wantView(t, "the longest wait counts", s, Parked, 30*time.Second, false)
}

// A refused credential is refused for all models; other credentials go on.
func TestRefusedCredential(t *testing.T) {
	b := newBench()
	one, both := b.step("m1", "k1"), b.step("m2", "k1", "k2")
	for _, want := range []time.Duration{1, 2, 4, 8, 15, 15} {
		run(t, one, "C")
		wantView(t, "refused", one, Refused, want*time.Minute, false)
		for range 3 {
			if a, ok := both.Begin(Begin{}); !ok || a.Credential != 1 {
				t.Fatalf("credential %d, %v; want the other one", a.Credential, ok)
			}
		}
		wantView(t, "the other one", both, Healthy, 0, true)
		b.clock.Add(want * time.Minute)
	}
	run(t, one, ".C")
	wantView(t, "after a success", one, Refused, time.Minute, false)
}

func TestRotation(t *testing.T) {
	b := newBench()
	s := b.step("m", "a", "b", "c")
	order := func(n int) (got string) {
		for range n {
			a, _ := s.Begin(Begin{})
			got += string("abc"[a.Credential])
			a.End(Result{Outcome: Succeeded})
		}
		return got
	}
	if got := order(6); got != "abcabc" {
		t.Errorf("in turn: %s", got)
	}
	order(1)
	run(t, s, "L") // b
	if got := order(4); got != "caca" {
		t.Errorf("with b parked: %s", got)
	}
	b.clock.Add(time.Second)
	if got := order(3); got != "bca" && got != "abc" && got != "cab" {
		t.Errorf("with b back: %s", got)
	}
}

// An unreachable provider is so for all its models, and for no other address of that name.
func TestUnreachable(t *testing.T) {
	b := newBench()
	s, other := b.step("m1", "k"), b.step("m2", "k")
	moved := b.Step(Target{Provider: "p", Address: "p:8443", Model: "m1", Credentials: []string{"k"}})
	run(t, s, "UUU")
	wantView(t, "the other model", other, Open, 5*time.Second, false)
	wantView(t, "the other address", moved, Healthy, 0, true)
	b.clock.Add(5 * time.Second)
	probe, _ := other.Begin(Begin{})
	if _, ok := s.Begin(Begin{}); ok || !probe.Probe {
		t.Error("one probe for the provider")
	}
	probe.End(Result{Outcome: Failed})
	wantView(t, "it was reached", s, Healthy, 0, true)
}

func TestConcurrent(t *testing.T) {
	b := newBench()
	target := Target{Provider: "p", Model: "m", Credentials: []string{"k"}, Concurrent: 2, Chain: "c", Alias: "a"}
	s := b.Step(target)
	first, _ := s.Begin(Begin{})
	s = b.Step(target) // a reload
	if _, ok := s.Begin(Begin{}); !ok {
		t.Fatal("there was room for a second one")
	}
	wantView(t, "two under way", s, Full, 0, false)
	if _, ok := s.Begin(Begin{Force: true}); ok {
		t.Error("a third one")
	}
	target.Chain = "another"
	wantView(t, "of another chain", b.Step(target), Healthy, 0, true)
	first.End(Result{})
	wantView(t, "one ended", s, Healthy, 0, true)
	if v := s.View(); v.Active != 1 {
		t.Errorf("%d active, want 1", v.Active)
	}
}

// Full stands before what force gets past: nobody tries to force a step that is full.
func TestFullAndOpen(t *testing.T) {
	b := newBench()
	s := b.Step(Target{Provider: "p", Model: "m", Credentials: []string{"k"}, Concurrent: 1})
	run(t, s, "FFF")
	if _, ok := s.Begin(Begin{Force: true}); !ok {
		t.Fatal("not forced")
	}
	wantView(t, "full and open", s, Full, 5*time.Second, false)
}

func TestRetryBudget(t *testing.T) {
	b := newBench()
	s := b.step("m", "k")
	repeats := func(n int) (begun int) {
		for range n {
			if _, ok := s.Begin(Begin{Repeat: true}); ok {
				begun++
			}
		}
		return begun
	}
	if got := repeats(9); got != 3 || s.MayRepeat() {
		t.Errorf("%d repetitions within a second, want 3", got)
	}
	b.clock.Add(time.Second - 1)
	if got := repeats(1); got != 0 {
		t.Error("a fourth one within a second")
	}
	b.clock.Add(1)
	if got := repeats(9); got != 3 {
		t.Errorf("%d repetitions within the next second, want 3", got)
	}
	for range 28 {
		s.Begin(Begin{})
	}
	if got := repeats(9); got != 1 { // 7 of 35 under way are a fifth
		t.Errorf("%d repetitions with 34 under way, want 1", got)
	}
	want := Budget{Provider: "p", Address: "p:443", Active: 35, Repeats: 7, Refused: 6 + 1 + 1 + 6 + 8}
	if got := b.Budgets(); len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestLatency(t *testing.T) {
	b := newBench()
	s := b.step("m", "k")
	a, _ := s.Begin(Begin{})
	facts := []struct{ wait, sample, want time.Duration }{
		{0, 0, 0}, // none yet
		{0, 100 * time.Millisecond, 100 * time.Millisecond},
		{0, 900 * time.Millisecond, 900 * time.Millisecond}, // up at once
		{0, 100 * time.Millisecond, 900 * time.Millisecond}, // no time has passed
		{10 * time.Second, 0, 331091497},                    // 1/e of it
		{0, 100 * time.Millisecond, 394303552},              // 0.9 s / e + 0.1 s (1 - 1/e)
		{time.Hour, 0, 1},                                   // known, and as good as forgotten
		{0, 200 * time.Millisecond, 200 * time.Millisecond},
	}
	for _, f := range facts {
		b.clock.Add(f.wait)
		if f.sample > 0 {
			a.FirstContent(f.sample)
		}
		if got := s.View().Latency; got != f.want {
			t.Errorf("after %v and %v: %v, want %v", f.wait, f.sample, got, f.want)
		}
	}
}

func TestChangesAreTold(t *testing.T) {
	b := newBench()
	s := b.step("m", "k")
	run(t, s, "FFF")
	b.clock.Add(5 * time.Second)
	run(t, s, "F")
	b.clock.Add(10 * time.Second)
	run(t, s, ".UUU")
	b.clock.Add(5 * time.Second)
	run(t, s, "C")
	b.clock.Add(time.Minute)
	run(t, s, "L")
	b.clock.Add(time.Second)
	run(t, s, ".")
	if err := errors.Join(b.Drain("p", ""), b.Drain("p", "m"), b.Restore("p", "")); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"model p/k/m healthy>open three failures in a row 5s",
		"model p/k/m open>probing the time is over 0s",
		"model p/k/m probing>open the probe failed 10s",
		"model p/k/m open>probing the time is over 0s",
		"model p/k/m probing>healthy it answered 0s",
		"provider p// healthy>open three failures in a row 5s",
		"provider p// open>probing the time is over 0s",
		"provider p// probing>healthy it answered 0s",
		"credential p/k/ healthy>refused the credential was refused 1m0s",
		"credential p/k/ refused>healthy the time is over 0s",
		"model p/k/m healthy>parked it answered 429 1s",
		"model p/k/m parked>healthy the time is over 0s",
		"provider p// healthy>drained by hand 0s",
		"model p/k/m healthy>drained by hand 0s",
		"provider p// drained>healthy by hand 0s",
		"model p/k/m drained>healthy by hand 0s",
	}
	if !slices.Equal(b.told, want) {
		t.Errorf("told\n%s\nwant\n%s", strings.Join(b.told, "\n"), strings.Join(want, "\n"))
	}
}

func TestByHand(t *testing.T) {
	b := newBench()
	s, other := b.step("m1", "k"), b.step("m2", "k")
	for _, err := range []error{b.Drain("q", ""), b.Drain("p", "m3"), b.Restore("p", "m3"), b.Restore("q", "")} {
		if !errors.Is(err, ErrUnknown) {
			t.Errorf("%v, want %v", err, ErrUnknown)
		}
	}
	if err := b.Drain("p", "m1"); err != nil {
		t.Fatal(err)
	}
	wantView(t, "drained", s, Drained, 0, false)
	wantView(t, "another model", other, Healthy, 0, true)
	moved := b.Step(Target{Provider: "p", Address: "elsewhere", Model: "m1"})
	wantView(t, "drained, though it moved", moved, Drained, 0, false)
	if err := b.Drain("p", ""); err != nil {
		t.Fatal(err)
	}
	wantView(t, "all drained", other, Drained, 0, false)
	third := b.Step(Target{Provider: "p", Address: "a third one", Model: "m4"})
	wantView(t, "drained from the start", third, Drained, 0, false)
	if err := b.Restore("p", "m1"); !errors.Is(err, ErrDrained) {
		t.Errorf("one model of a drained provider: %v", err)
	}
	if err := b.Restore("p", ""); err != nil {
		t.Fatal(err)
	}
	wantView(t, "restored", s, Healthy, 0, true)
	run(t, s, "FFF")
	run(t, other, "C")
	if err := b.Restore("p", "m1"); err != nil {
		t.Fatal(err)
	}
	wantView(t, "its circuit is closed, the credential still refused", s, Refused, time.Minute, false)
	if err := b.Restore("p", ""); err != nil {
		t.Fatal(err)
	}
	wantView(t, "all restored", s, Healthy, 0, true)
}

// What nobody used for a day is forgotten, but not what was drained and not what is under way.
func TestForgets(t *testing.T) {
	b := newBench()
	old, held := b.step("old", "k1"), b.step("held", "k2")
	if err := b.Drain("p", "old"); err != nil {
		t.Fatal(err)
	}
	a, _ := held.Begin(Begin{})
	run(t, held, "F")
	b.Step(Target{Provider: "gone", Model: "m"})
	b.clock.Add(25 * time.Hour)
	b.Step(Target{Provider: "new", Model: "m"})
	var got []string
	for _, s := range b.Snapshot() {
		got = append(got, s.Provider+"/"+s.Model)
	}
	if want := []string{"new/m", "p/held"}; !slices.Equal(got, want) {
		t.Errorf("%v are known, want %v", got, want)
	}
	wantView(t, "old, as its holder sees it", old, Drained, 0, false)
	wantView(t, "old, come back", b.step("old", "k1"), Drained, 0, false)
	a.End(Result{Outcome: Succeeded})
	if v := held.View(); v.Active != 0 {
		t.Errorf("%d under way, want none", v.Active)
	}
}

func TestSnapshot(t *testing.T) {
	b := newBench()
	s := b.step("m", "k2", "k1")
	a, _ := s.Begin(Begin{})
	a.FirstContent(80 * time.Millisecond)
	b.clock.Add(time.Minute)
	run(t, s, "F.F.F") // k1, k2, k1 and so on
	b.clock.Add(2 * time.Second)
	start := b.clock.Now()
	want := []Status{
		{
			Provider: "p", Address: "p:443", Credential: "k1", Model: "m", State: Open, Cooldown: 3 * time.Second,
			Requests: 3, Failures: 3, Consecutive: 3, LastError: "failed", Since: start.Add(-2 * time.Second),
		},
		{
			Provider: "p", Address: "p:443", Credential: "k2", Model: "m", Active: 1, Requests: 2,
			Latency: b.Snapshot()[1].Latency, Since: start.Add(-62 * time.Second),
		},
	}
	if got := b.Snapshot(); !slices.Equal(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	b.clock.Add(10 * time.Second)
	if got := b.Snapshot()[0]; got.State != Probing || !got.Since.Equal(start.Add(3*time.Second)) {
		t.Errorf("nobody asked since it became half open: %v since %v", got.State, got.Since)
	}
}

// An attempt that never began can be ended, and a clock that goes back does no harm.
func TestOddities(t *testing.T) {
	var none Attempt
	none.FirstContent(time.Second)
	none.End(Result{Outcome: Failed})
	b := newBench()
	s := b.step("m", "k")
	run(t, s, "UUU")
	over, _ := s.Begin(Begin{Force: true})
	over.End(Result{Outcome: Unreachable})
	over.FirstContent(time.Second)
	if v := s.View(); v.State != Open || v.Latency != 0 {
		t.Errorf("content of an attempt that is over: %+v", v)
	}
	b = newBench()
	s = b.step("m", "k")
	run(t, s, "F")
	b.clock.Add(-time.Hour)
	run(t, s, "F.FFF")
	if v := s.View(); v.State != Open || v.Cooldown != 5*time.Second {
		t.Errorf("after the clock went back: %+v", v)
	}
	if got := State(99).String() + Outcome(99).String() + Scope(99).String(); got != "unknownunknownunknown" {
		t.Errorf("names of what is not: %s", got)
	}
	a, _ := b.step("m2", "k").Begin(Begin{})
	a.End(Result{Outcome: Outcome(99)})
	wantView(t, "an outcome that is not", b.step("m2", "k"), Healthy, 0, true)
}
