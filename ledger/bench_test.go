package ledger

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"github.com/sallyport-dev/sallyport/state/journal"
)

// onDisk is a store whose journal is in files, as the real one's is.
type onDisk struct {
	*testutil.Memory
	journal *journal.Journal
}

func newOnDisk(tb testing.TB) *onDisk {
	j, err := journal.Open(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := j.Close(); err != nil {
			tb.Error(err)
		}
	})
	return &onDisk{newMemory(), j}
}

func (d *onDisk) Append(number uint64, segment []byte, sync bool) error {
	return d.journal.Append(number, segment, sync)
}

func (d *onDisk) Segments(ctx context.Context, from uint64, f func(uint64, []byte) error) error {
	return d.journal.Segments(ctx, from, f)
}

func (d *onDisk) LastSegment() (uint64, error) { return d.journal.Last(), nil }

func (d *onDisk) Drop(_ context.Context, before uint64) error { return d.journal.Drop(before) }

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		panic(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// levelsOf is a caller with all that a request can count against.
func levelsOf(key string) []Level {
	limits := abi.Limits{abi.RequestsPerMinute: 1e9, abi.TokensPerMinute: 1e12, abi.Concurrent: 1e6}
	return []Level{
		keyLevel(key, limits, abi.Budget{Amount: 1e17, Period: abi.PerDay}),
		teamLevel("research", abi.Budget{Amount: 1e17, Period: abi.PerMonth}),
		teamLevel("all", abi.Budget{Amount: 1e17, Period: abi.PerMonth}),
	}
}

// BenchmarkExchange is what the ledger costs an exchange: admit, reserve, settle and leave, with the journal on the
// disk. It is paced like 64 callers who make 10,000 requests a second together, and prints the CPU time of an
// exchange, beside that of the same callers doing nothing.
func BenchmarkExchange(b *testing.B) {
	for _, keys := range []int{10, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			levels := make([][]Level, keys)
			for i := range levels {
				levels[i] = levelsOf(fmt.Sprint("key_", i))
			}
			idle := paced(b.N, func(int, *Admission, *Reservation) {})
			store := newOnDisk(b)
			l, err := Open(b.Context(), Options{Store: store})
			if err != nil {
				b.Fatal(err)
			}
			b.ResetTimer()
			busy := paced(b.N, func(i int, a *Admission, r *Reservation) {
				a.Levels, a.Input, a.Output = levels[i*7919%keys], 100, 100
				r.Entry = Entry{
					ID: "req_01KAJ5ZK2V8Q4W6YB0C3D7E9FG", Attempt: 1, KeyID: a.Levels[0].Account.ID, Key: "ci", Team: "research",
					Model: "coding", Provider: "openai", ProviderModel: "gpt-5-mini", Reserved: 4_100_000, Input: 100_000,
				}
				if no, err := l.Admit(a); no != nil || err != nil {
					b.Error(no, err)
				}
				if no, err := l.Reserve(a, r); no != nil || err != nil {
					b.Error(no, err)
				}
				usage := abi.Usage{abi.Input: 80, abi.Output: 90, abi.Requests: 1}
				l.Settle(r, Settlement{Basis: Authoritative, Cost: 3_000_000, Usage: usage})
				l.Leave(a, &usage)
			})
			b.StopTimer()
			b.ReportMetric(float64((busy-idle).Nanoseconds())/float64(b.N), "cpu-ns/exchange")
			b.ReportMetric(float64(l.Figures().Segments)/float64(b.N), "segments/exchange")
			b.ReportMetric(0, "ns/op")
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// paced calls f n times, from 64 goroutines, 10,000 times a second, and returns the CPU time that this took.
func paced(n int, f func(i int, a *Admission, r *Reservation)) time.Duration {
	const callers, interval = 64, 64 * 100 * time.Microsecond
	before := cpuTime()
	var all sync.WaitGroup
	start := time.Now()
	for c := range callers {
		all.Go(func() {
			var a Admission
			var r Reservation
			tick := time.NewTimer(0)
			defer tick.Stop()
			for k, i := 0, c; i < n; k, i = k+1, i+callers {
				<-tick.C
				f(i, &a, &r)
				tick.Reset(time.Until(start.Add(time.Duration(k+1)*interval + time.Duration(c)*100*time.Microsecond)))
			}
		})
	}
	all.Wait()
	return cpuTime() - before
}
