package ledger

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"pgregory.net/rapid"
)

func TestLimitsAreCountedAllOrNone(t *testing.T) {
	c := testutil.NewClock("2026-11-21T10:00:00Z")
	l := opened(t, newMemory(), c, Settings{})
	key := keyLevel("key_1", abi.Limits{abi.RequestsPerMinute: 3})
	team := keyLevel("team", abi.Limits{abi.TokensPerMinute: 1000})
	ask := func(tokens int64) (*Admission, *Refusal) {
		a := &Admission{Levels: []Level{key, team}, Input: tokens}
		no, err := l.Admit(a)
		if err != nil {
			t.Fatal(err)
		}
		return a, no
	}
	a, no := ask(600)
	if no != nil || a.Rates.Requests != (Rate{3, 2, 20 * time.Second}) || a.Rates.Tokens != (Rate{1000, 400, 36 * time.Second}) {
		t.Fatalf("first: %v, %+v", no, a.Rates)
	}
	_, no = ask(600) // 200 tokens too many: 12 seconds away
	if no == nil || no.Limit != abi.TokensPerMinute || no.RetryAfter != 12*time.Second || no.Level.Account != team.Account {
		t.Fatalf("second: %+v", no)
	}
	l.Leave(a, &abi.Usage{abi.Input: 100}) // it was far less
	if _, no = ask(600); no != nil {
		t.Errorf("after the correction: %v", no)
	}
	if _, no = ask(10); no != nil {
		t.Errorf("third: %v; the refused one must not count", no)
	}
	if _, no = ask(10); no == nil || no.Limit != abi.RequestsPerMinute || no.RetryAfter != 20*time.Second {
		t.Errorf("fourth: %+v", no)
	}
	c.Add(20 * time.Second)
	if _, no = ask(10); no != nil {
		t.Errorf("20 seconds later: %v", no)
	}
}

func TestRequestLargerThanTheLimitTakesAllOfIt(t *testing.T) {
	c := testutil.NewClock("2026-11-21T10:00:00Z")
	l := opened(t, newMemory(), c, Settings{})
	level := keyLevel("key_1", abi.Limits{abi.TokensPerMinute: 1000})
	a := &Admission{Levels: []Level{level}, Input: 5000, Output: 5000}
	if no, err := l.Admit(a); no != nil || err != nil || a.Rates.Tokens.Remaining != 0 {
		t.Fatalf("%v, %v, %+v", no, err, a.Rates)
	}
	l.Leave(a, &abi.Usage{abi.Input: 5000, abi.Output: 3000})
	c.Add(time.Minute)
	if no, err := l.Admit(a); no != nil || err != nil {
		t.Errorf("a minute later: %v, %v", no, err)
	}
}

// An endpoint of which nobody expects tokens may answer with some, as those for images do.
func TestWhatWasNotEstimatedIsCounted(t *testing.T) {
	l := opened(t, newMemory(), nil, Settings{})
	a := admitted(t, l, keyLevel("key_1", abi.Limits{abi.OutputTokensPerMinute: 1000}))
	l.Leave(a, &abi.Usage{abi.ImageOutput: 1000})
	a.Output = 1
	if no, err := l.Admit(a); err != nil || no == nil || no.Limit != abi.OutputTokensPerMinute {
		t.Errorf("%v, %v, want a refusal", no, err)
	}
}

// Rates run by the time that passes, not by what somebody makes of the clock.
func TestRatesAndAClockThatIsSet(t *testing.T) {
	c, elapsed := testutil.NewClock("2026-11-21T10:00:00Z"), time.Duration(0)
	l, err := Open(t.Context(), Options{Store: newMemory(), Clock: c.Now, Elapsed: func() time.Duration { return elapsed }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	level := keyLevel("key_1", abi.Limits{abi.RequestsPerMinute: 2})
	passes := func() (n int) {
		for ; ; n++ {
			if no, err := l.Admit(&Admission{Levels: []Level{level}}); err != nil || no != nil {
				return n
			}
		}
	}
	if n := passes(); n != 2 {
		t.Errorf("%d requests pass at first, want 2", n)
	}
	for _, set := range []time.Duration{-time.Hour, 24 * time.Hour} {
		c.Add(set)
		if n := passes(); n != 0 {
			t.Errorf("%d requests pass as the clock is set by %s", n, set)
		}
		if elapsed += 30 * time.Second; passes() != 1 {
			t.Errorf("half a minute after the clock was set by %s there is not the one request that may pass", set)
		}
	}
}

func TestConcurrentRequests(t *testing.T) {
	l := opened(t, newMemory(), nil, Settings{})
	level := keyLevel("key_1", abi.Limits{abi.Concurrent: 2})
	first, second := admitted(t, l, level), admitted(t, l, level)
	third := &Admission{Levels: []Level{level}}
	if no, err := l.Admit(third); err != nil || no == nil || no.Limit != abi.Concurrent {
		t.Fatalf("third: %v, %v", no, err)
	}
	l.Leave(third, &abi.Usage{}) // it was not admitted
	l.Leave(first, &abi.Usage{})
	l.Leave(first, &abi.Usage{}) // it has left before
	if no, err := l.Admit(third); no != nil || err != nil {
		t.Errorf("after one left: %v, %v", no, err)
	}
	fourth := &Admission{Levels: []Level{level}}
	if no, err := l.Admit(fourth); err != nil || no == nil {
		t.Errorf("fourth: %v, %v", no, err)
	}
	l.Leave(second, &abi.Usage{})
	l.Leave(third, &abi.Usage{})
}

// A restart grants no fresh burst beyond a second's worth.
func TestRatesSurviveRestart(t *testing.T) {
	for _, killed := range []bool{false, true} {
		c := testutil.NewClock("2026-11-21T10:00:00Z")
		store := newMemory()
		l := opened(t, store, c, Settings{})
		level := keyLevel("key_1", abi.Limits{abi.RequestsPerHour: 60})
		for range 60 {
			l.Leave(admitted(t, l, level), &abi.Usage{})
		}
		if killed {
			l.journalRates() // as it does every second
			if err := l.sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			store = store.Snapshot()
		} else if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = opened(t, store, c, Settings{})
		if no, err := l.Admit(&Admission{Levels: []Level{level}}); err != nil || no == nil || no.RetryAfter != time.Minute {
			t.Errorf("killed %t: %v, %v; want a refusal for a minute", killed, no, err)
		}
	}
}

// While the journal cannot be written, rates wait without taking more and more memory. Afterwards they are written.
func TestRatesWaitForTheJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemory()
		l, err := Open(t.Context(), Options{Store: store, Settings: Settings{Unbudgeted: true}})
		if err != nil {
			t.Fatal(err)
		}
		level := keyLevel("key_1", abi.Limits{abi.RequestsPerDay: 60})
		a := admitted(t, l, level)
		store.Break(errors.New("the disk is full"))
		if no, err := l.Reserve(a, reservation("req_1", 0)); no != nil || err != nil || l.Available() == nil {
			t.Fatal(no, err)
		}
		l.Leave(a, &abi.Usage{})
		before := l.journal
		for range 59 {
			l.Leave(admitted(t, l, level), &abi.Usage{})
			l.journalRates()
		}
		if l.journal != before {
			t.Errorf("%d bytes wait to be written", l.journal-before)
		}
		store.Break(nil)
		<-time.After(3 * time.Second) // of the test's own time: the journal is tried again, and then rates are written
		synctest.Wait()
		killed, err := Open(t.Context(), Options{Store: store.Snapshot()})
		if err != nil {
			t.Fatal(err)
		}
		if no, err := killed.Admit(&Admission{Levels: []Level{level}}); err != nil || no == nil {
			t.Errorf("after a kill: %v, %v; want a refusal", no, err)
		}
		if err := errors.Join(l.Close(), killed.Close()); err != nil {
			t.Error(err)
		}
	})
}

// Against a plain simulation: a bucket of limit units that fills up again over the period.
func TestRateIsABucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(1, 1_000_000).Draw(t, "limit")
		period := rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "period")
		var a arrival
		now := int64(1_795_000_000_000_000_000)
		level := float64(limit)
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			passed := rapid.Int64Range(0, int64(period)/4).Draw(t, "passed")
			now += passed
			level = min(float64(limit), level+float64(passed)*float64(limit)/float64(period))
			n := rapid.Int64Range(1, limit).Draw(t, "units")
			took := span(n, limit, period)
			// Each step may round by a nanosecond's worth; near the edge both answers are right.
			slack := 60 * float64(limit) / float64(period)
			switch wait := a.wait(now, took, period); {
			case wait == 0:
				if level < float64(n)-slack-1e-6 {
					t.Fatalf("%d units passed with %f of %d left", n, level, limit)
				}
				a.move(now, took)
				level -= float64(n)
			case level > float64(n)+slack+1e-6:
				t.Fatalf("%d units have to wait %s with %f of %d left", n, wait, level, limit)
			}
			if left, _ := a.remaining(now, limit, period); float64(left) > level+slack+1e-6 {
				t.Fatalf("%d are said to be left of %f", left, level)
			}
		}
	})
}

func TestBounds(t *testing.T) {
	tests := []struct {
		period     abi.Period
		zone       string
		now        string
		start, end string
	}{
		{abi.PerDay, "UTC", "2026-11-21T23:59:59Z", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"},
		{abi.PerDay, "Europe/Berlin", "2026-11-21T23:30:00Z", "2026-11-22T00:00:00+01:00", "2026-11-23T00:00:00+01:00"},
		{abi.PerDay, "Europe/Berlin", "2026-03-29T10:00:00Z", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"},    // 23 hours
		{abi.PerDay, "Europe/Berlin", "2026-10-25T10:00:00Z", "2026-10-25T00:00:00+02:00", "2026-10-26T00:00:00+01:00"},    // 25 hours
		{abi.PerDay, "America/Asuncion", "2023-10-01T12:00:00Z", "2023-10-01T01:00:00-03:00", "2023-10-02T00:00:00-03:00"}, // no midnight
		{abi.PerWeek, "UTC", "2026-11-22T12:00:00Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"},                       // a Sunday
		{abi.PerWeek, "UTC", "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"},                       // a Monday
		{abi.PerMonth, "UTC", "2028-02-29T23:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"},
		{abi.PerMonth, "Asia/Kolkata", "2026-12-31T18:30:00Z", "2027-01-01T00:00:00+05:30", "2027-02-01T00:00:00+05:30"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.period, " ", tt.zone, " ", tt.now), func(t *testing.T) {
			zone, err := time.LoadLocation(tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			at := func(text string) int64 {
				parsed, err := time.Parse(time.RFC3339, text)
				if err != nil {
					t.Fatal(err)
				}
				return parsed.Unix()
			}
			start, end := bounds(tt.period, time.Unix(at(tt.now), 0), zone)
			if start != at(tt.start) || end != at(tt.end) {
				t.Errorf("from %s to %s, want %s to %s", time.Unix(start, 0).In(zone), time.Unix(end, 0).In(zone), tt.start, tt.end)
			}
		})
	}
}

// In every zone and at every time: the period holds the moment, and the next one begins where it ends.
func TestBoundsFollowEachOther(t *testing.T) {
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "America/Asuncion", "Africa/Cairo", "Asia/Kolkata",
		"Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo", "Asia/Beirut"}
	rapid.Check(t, func(t *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		period := rapid.SampledFrom([]abi.Period{abi.PerDay, abi.PerWeek, abi.PerMonth}).Draw(t, "period")
		now := rapid.Int64Range(1_000_000_000, 2_000_000_000).Draw(t, "now")
		start, end := bounds(period, time.Unix(now, 0), zone)
		if now < start || now >= end {
			t.Fatalf("%d is not in %d to %d", now, start, end)
		}
		if again, _ := bounds(period, time.Unix(end-1, 0), zone); again != start {
			t.Fatalf("its last second is of a period that begins at %d, not %d", again, start)
		}
		if next, _ := bounds(period, time.Unix(end, 0), zone); next != end {
			t.Fatalf("the next one begins at %d, not %d", next, end)
		}
	})
}

func FuzzReadSegment(f *testing.F) {
	r := reservation("req_1", dime)
	r.windows = []*window{{account: &account{Account: Account{KeyAccount, "key_1"}}, zone: "UTC", start: 5}}
	open := r.appendEvent([]byte{segmentVersion})
	r.settle(Settlement{Basis: Authoritative, Cost: dime, Usage: abi.Usage{abi.Input: 3}}, time.Unix(7, 0))
	f.Add(open)
	f.Add(r.appendEvent(open))
	f.Add([]byte{segmentVersion})
	f.Add([]byte{9})
	f.Fuzz(func(t *testing.T, segment []byte) {
		settled := abi.NanoUSD(0)
		err := readSegment(segment, func(ev *event) error {
			if ev.kind == settlementEvent {
				settled += ev.Cost * abi.NanoUSD(len(ev.shares))
			}
			return nil
		})
		if err != nil {
			return
		}
		skimmed := abi.NanoUSD(0)
		skimSegment(segment, func(_ []byte, cost abi.NanoUSD) { skimmed += cost })
		if skimmed != settled {
			t.Errorf("skimmed %d, read %d", skimmed, settled)
		}
	})
}
