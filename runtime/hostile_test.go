package runtime_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/hostfuncs/extism"
	w "github.com/sallyport-dev/sallyport/internal/wasmtest"
	"github.com/sallyport-dev/sallyport/runtime"
)

// hostile is a guest that does its worst, and what must come of it.
type hostile struct {
	name    string
	wasm    []byte
	refused string            // what Load says; "" if the guest loads and is asked
	want    []runtime.Failure // how successive calls fail; the last stands for all that follow
}

// corpus is every hostile guest. What is not here yet: floods of the key-value store, and scripts.
func corpus() []hostile {
	return slices.Concat(spinners(), flooders(), liars(), breakers(), portables(), misfits(), oddModules())
}

// calls is how often each guest is asked: fewer than take a policy out.
const calls = 4

// askHostile asks every hook. A guest exports one of them.
func askHostile(set *runtime.Set) {
	set.Authenticate(authentication())
	set.ChooseStep(choice())
	set.PriceResponse(pricing())
}

func pricing() *abi.Pricing {
	return &abi.Pricing{Request: &abi.Request{ID: []byte("req_1")}, Phase: abi.Final, Model: "m", Price: &abi.PriceRow{}}
}

// byPolicy is an Observer that keeps the last failure of each policy.
type byPolicy struct{ last sync.Map }

func (o *byPolicy) HookDone(policy string, _ abi.Hook, _ time.Duration, failure runtime.Failure) {
	o.last.Store(policy, failure)
}
func (o *byPolicy) PolicyOut(string, abi.Hook, time.Duration) {}

func (o *byPolicy) of(policy string) runtime.Failure {
	failure, _ := o.last.Load(policy)
	f, _ := failure.(runtime.Failure)
	return f
}

// TestHostileCorpus runs every hostile guest while calls to a good policy go on beside.
func TestHostileCorpus(t *testing.T) {
	told := &byPolicy{}
	r := newRuntime(t, runtime.Options{Observer: told, Functions: hostileFunctions(), Portable: extism.New()})
	neighbour := newNeighbour(t, r)
	all := corpus()
	if len(all) < 40 {
		t.Errorf("the corpus has %d guests", len(all))
	}
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	var before resources
	var took durations
	for round := range rounds {
		for _, h := range all {
			took.add(h.name, h.run(t, r, told, runtime.Limits{}))
		}
		if round == 0 {
			before = measure() // what is made once has been made
		}
	}
	neighbour.stop()
	after := measure()
	best := took.best()
	t.Logf("%d guests, %d rounds; the slowest calls of their best rounds: %s; of all: %s", len(all), rounds, best.slowest(6), took.slowest(3))
	t.Logf("beside them: %s", neighbour.report())
	t.Logf("after the first round %s, after the last %s", before, after)
	if slowest := best.max(); slowest > ends {
		t.Errorf("a call took %s of a processor", slowest)
	}
	if p99 := neighbour.took.quantile(0.99); p99 > 10*50*time.Millisecond {
		t.Errorf("the neighbour's p99 is %s", p99)
	}
	if after.goroutines > before.goroutines+5 || after.heap > before.heap+32<<20 {
		t.Error("something leaks")
	}
}

// ends is how much of a processor's time a call may take in these tests to count as one that ends: what else the machine does
// is not in it. At the default limits it is 100 ms.
const ends = 3 * time.Second

// plenty is time enough on any machine, for what is not about time.
const plenty = time.Minute

// With time enough it is fuel that ends a flood: no single host call takes long for what it costs the guest.
func TestFloodsEndByFuel(t *testing.T) {
	told := &byPolicy{}
	r := newRuntime(t, runtime.Options{Observer: told, Portable: extism.New()})
	for _, h := range slices.Concat(flooders(), portableFlooders()) {
		if took := h.run(t, r, told, runtime.Limits{Time: plenty}); took > ends || told.of(h.name) != runtime.OutOfFuel {
			t.Errorf("%s: ended after %s by %s", h.name, took, told.of(h.name))
		}
	}
}

// run loads a guest, asks it and returns how much of a processor the slowest call took.
func (h *hostile) run(t *testing.T, r *runtime.Runtime, told *byPolicy, limits runtime.Limits) (slowest time.Duration) {
	t.Helper()
	if !slices.Contains(h.want, runtime.OutOfFuel) {
		limits.Time = plenty // it is over at once, and its call fails for another reason than how slow the machine is
	}
	set, err := r.Load(t.Context(), []runtime.Policy{{Name: h.name, Wasm: h.wasm, Limits: limits,
		Grants: runtime.Grants{Identities: true, Inputs: []string{"credential", "request.headers.x-team"}}}})
	switch {
	case err != nil && (h.refused == "" || !strings.Contains(err.Error(), h.refused)):
		t.Errorf("%s: refused with %v, want %q", h.name, err, h.refused)
		return 0
	case err != nil:
		return 0
	}
	defer set.Close()
	if h.refused != "" {
		t.Errorf("%s: it was loaded", h.name)
		return 0
	}
	for i := range calls {
		began := time.Now()
		slowest = max(slowest, processorTime(t, func() { askHostile(set) }))
		if took := time.Since(began); took > plenty {
			t.Errorf("%s: call %d took %s", h.name, i+1, took)
		}
		got, want := told.of(h.name), h.want[min(i, len(h.want)-1)]
		if want == runtime.OutOfFuel && got == runtime.TimedOut {
			continue // on a slow machine the time is up first
		}
		if got != want {
			t.Errorf("%s: call %d failed by %s, want %s", h.name, i+1, got, want)
		}
	}
	return slowest
}

// processorTime is how much of a processor a call takes on its own thread.
func processorTime(t *testing.T, call func()) time.Duration {
	t.Helper()
	goruntime.LockOSThread()
	defer goruntime.UnlockOSThread()
	used := func() time.Duration {
		var u unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
			t.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	began := used()
	call()
	return used() - began
}

// hostileFunctions are those of the contract, one of which has a bug: it panics when it is asked for 13 random bytes.
func hostileFunctions() []runtime.Function {
	all := hostfuncs.Functions(hostfuncs.Options{})
	for i, f := range all {
		if f.Name != "random" {
			continue
		}
		all[i].Call = func(c *runtime.Call, stack []uint64) {
			if stack[1] == 13 {
				panic("a bug of the host")
			}
			f.Call(c, stack)
		}
	}
	return all
}

// neighbour asks a good policy all the while.
type neighbour struct {
	set     *runtime.Set
	quit    atomic.Bool
	ended   sync.WaitGroup
	took    durations
	refused int
}

func newNeighbour(t *testing.T, r *runtime.Runtime) *neighbour {
	t.Helper()
	set, err := r.Load(t.Context(), []runtime.Policy{{Name: "good", Wasm: authenticator(), Grants: runtime.Grants{Identities: true},
		Limits: runtime.Limits{Time: plenty}}}) // that it has to wait shows in how long it takes
	if err != nil {
		t.Fatal(err)
	}
	n := &neighbour{set: set}
	n.ended.Go(func() {
		pause := time.NewTicker(500 * time.Microsecond) // as requests come, not as fast as it goes
		defer pause.Stop()
		for !n.quit.Load() {
			<-pause.C
			began := time.Now()
			if n.set.Authenticate(authentication()) != abi.Given {
				n.refused++
			}
			n.took.add("", time.Since(began))
		}
	})
	t.Cleanup(func() {
		n.stop()
		set.Close()
		if n.refused > 0 {
			t.Errorf("the neighbour was refused %d times", n.refused)
		}
	})
	return n
}

func (n *neighbour) stop() {
	n.quit.Store(true)
	n.ended.Wait()
}

func (n *neighbour) report() string {
	return fmt.Sprintf("%d calls, p50 %s, p99 %s, max %s", len(n.took.all), n.took.quantile(0.5), n.took.quantile(0.99), n.took.max())
}

// durations collects how long things took.
type durations struct {
	all   []time.Duration
	names []string
}

func (d *durations) add(name string, took time.Duration) {
	d.all, d.names = append(d.all, took), append(d.names, name)
}

// best keeps the least of each name: what else the machine does is in the others.
func (d *durations) best() *durations {
	var out durations
	for i, name := range d.names {
		if at := slices.Index(out.names, name); at < 0 {
			out.add(name, d.all[i])
		} else {
			out.all[at] = min(out.all[at], d.all[i])
		}
	}
	return &out
}

func (d *durations) max() time.Duration { return slices.Max(d.all) }

func (d *durations) quantile(q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(d.all))
	return sorted[int(q*float64(len(sorted)-1))]
}

func (d *durations) slowest(n int) string {
	order := make([]int, len(d.all))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return int(d.all[b] - d.all[a]) })
	var out []string
	for _, i := range order {
		if entry := d.names[i]; len(out) < n && !slices.ContainsFunc(out, func(o string) bool { return strings.HasPrefix(o, entry) }) {
			out = append(out, fmt.Sprintf("%s %s", entry, d.all[i].Round(10*time.Microsecond)))
		}
	}
	return strings.Join(out, ", ")
}

// resources is what the process uses.
type resources struct {
	goroutines int
	heap       uint64
	resident   string
}

func measure() resources {
	goruntime.GC()
	goruntime.GC() // what had a finalizer goes in the second
	var m goruntime.MemStats
	goruntime.ReadMemStats(&m)
	statm, _ := os.ReadFile("/proc/self/statm")
	var size, resident int
	_, _ = fmt.Sscan(string(statm), &size, &resident)
	return resources{goruntime.NumGoroutine(), m.HeapAlloc, fmt.Sprintf("%d MiB resident", resident*os.Getpagesize()>>20)}
}

func (r resources) String() string {
	return fmt.Sprintf("%d goroutines, %d MiB of heap, %s", r.goroutines, r.heap>>20, r.resident)
}

// Whatever is broken off or flipped in a module, it is refused, or its calls end.
func TestDamagedModules(t *testing.T) {
	r := newRuntime(t, runtime.Options{})
	good := authenticator()
	var slowest time.Duration
	loaded := 0
	try := func(wasm []byte) {
		set, err := r.Load(t.Context(), []runtime.Policy{{Name: "p", Wasm: wasm, Grants: runtime.Grants{Identities: true}}})
		if err != nil {
			return
		}
		defer set.Close()
		loaded++
		slowest = max(slowest, processorTime(t, func() { askHostile(set) }))
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	for n := 0; n < len(good); n += step {
		try(good[:n])
	}
	if loaded > 0 {
		t.Errorf("%d truncated modules were loaded", loaded)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < 8*len(good); i += step {
		flipped := slices.Clone(good)
		flipped[i/8] ^= 1 << (i % 8)
		if i%5 == 0 { // and another one elsewhere
			flipped[random.IntN(len(good))] ^= 1 << random.IntN(8)
		}
		try(flipped)
	}
	t.Logf("%d of %d flipped modules were loaded; the slowest call took %s", loaded, 8*len(good)/step, slowest)
	if slowest > time.Second {
		t.Errorf("a call took %s of a processor", slowest)
	}
}

// A compile bomb ends with an error that names the limit, and a neighbour does not notice.
func TestACompileBombBesideANeighbour(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles for seconds")
	}
	dir := t.TempDir()
	r := newRuntime(t, runtime.Options{CacheDir: dir, Compiler: compiler, CompileLimits: runtime.CompileLimits{Time: 2 * time.Second}})
	neighbour := newNeighbour(t, r)
	began := time.Now()
	_, err := r.Load(context.WithoutCancel(t.Context()), []runtime.Policy{{Name: "bomb", Wasm: compileBomb(500)}})
	took := time.Since(began)
	neighbour.stop()
	t.Logf("after %s: %v; beside it: %s", took, err, neighbour.report())
	if !stoppedCompiling(err, 2*time.Second) || took > time.Minute {
		t.Errorf("after %s: error %v", took, err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*.tmp")); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

// priced assembles a guest with one hook, price_response.
func priced(body func(g *w.Guest) []byte) []byte { return guest(abi.PriceResponse, body) }
