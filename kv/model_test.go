package kv

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"pgregory.net/rapid"
)

// memo is what the model knows of a key: a text, which may be a number, or a window.
type memo struct {
	text    string
	version uint64
	expires int64
	units   map[int64]int64 // of a window, by part; nil: it is none
	part    int64
	last    int64
}

// used is how many units of the window count.
func (m *memo) used() (sum int64) {
	for at, n := range m.units {
		if at >= m.last-parts {
			sum += n
		}
	}
	return sum
}

// machine runs a namespace and its model side by side.
type machine struct {
	t     *rapid.T
	clock *testutil.Clock
	disk  *disk
	kv    *KV
	n     *Namespace
	model map[string]memo

	written map[string]memo // the model as it was when the store was written last
	rows    *disk
}

var (
	modelKeys   = []string{"a", "aa", "ab", "b/c", "\x00\xff"}
	modelValues = []string{"", "7", "-3", "+1", strings.Repeat("large", 20), strings.Repeat("huge", 40)}
)

func newMachine(t *rapid.T) *machine {
	m := &machine{t: t, clock: newClock(), disk: newDisk(), model: map[string]memo{}, written: map[string]memo{}}
	m.rows = m.disk.snapshot()
	m.start()
	return m
}

func (m *machine) start() {
	opts := quiet(m.disk, m.clock)
	opts.Resident = 150
	kv, err := Open(m.t.Context(), opts)
	if err != nil {
		m.t.Fatal(err)
	}
	if m.kv, m.n, err = kv, nil, nil; err == nil {
		m.n, err = kv.Namespace("p")
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// draw draws a key, and finds what the model has of it. What has expired leaves the model when it is asked for.
func (m *machine) draw(t *rapid.T) (key string, known memo, ok bool) {
	key = rapid.SampledFrom(modelKeys).Draw(t, "key")
	m.prune(key)
	known, ok = m.model[key]
	return key, known, ok
}

func (m *machine) prune(key string) {
	if known, ok := m.model[key]; ok && m.over(&known) {
		delete(m.model, key)
	}
}

// over reports whether the key has expired.
func (m *machine) over(k *memo) bool {
	if k.units != nil {
		at := *k
		at.last = max(at.last, m.clock.Now().UnixNano()/at.part)
		return at.used() == 0
	}
	return k.expires != 0 && m.clock.Now().UnixNano() >= k.expires
}

func (m *machine) ttl(t *rapid.T) (ttl time.Duration, expires int64) {
	ttl = time.Duration(rapid.IntRange(0, 3).Draw(t, "ttl")) * 10 * time.Second
	if ttl == 0 {
		return 0, 0
	}
	return ttl, m.clock.Now().Add(ttl).UnixNano()
}

// version reads a key's version after a change: it must be a new one.
func (m *machine) version(t *rapid.T, key string, before uint64) uint64 {
	_, version, _ := m.n.Get([]byte(key), nil)
	if version <= before {
		t.Fatalf("%q: version %d after %d", key, version, before)
	}
	return version
}

func (m *machine) set(t *rapid.T) {
	key, known, _ := m.draw(t)
	text := rapid.SampledFrom(modelValues).Draw(t, "value")
	ttl, expires := m.ttl(t)
	if code := m.n.Set([]byte(key), []byte(text), ttl); code != abi.OK {
		t.Fatal(name(code))
	}
	m.model[key] = memo{text: text, expires: expires, version: m.version(t, key, known.version)}
}

func (m *machine) remove(t *rapid.T) {
	key, _, ok := m.draw(t)
	if code := m.n.Delete([]byte(key)); (code == abi.OK) != ok || !ok && code != abi.NotFound {
		t.Fatalf("deleting %q: %s; the model has it: %t", key, name(code), ok)
	}
	delete(m.model, key)
}

func (m *machine) cas(t *rapid.T) {
	key, known, ok := m.draw(t)
	if known.units != nil {
		t.Skip("nobody is told the version of a window")
	}
	version := rapid.SampledFrom([]uint64{0, known.version, known.version, known.version - 1}).Draw(t, "version")
	text := rapid.SampledFrom(modelValues).Draw(t, "value")
	ttl, expires := m.ttl(t)
	got, code := m.n.CAS([]byte(key), version, []byte(text), ttl)
	switch {
	case !ok && version != 0:
		if code != abi.NotFound || got != 0 {
			t.Fatalf("%q is not there: %d, %s", key, got, name(code))
		}
	case version != known.version:
		if code != abi.Conflict || got != known.version {
			t.Fatalf("%q has version %d, not %d: %d, %s", key, known.version, version, got, name(code))
		}
	default:
		if code != abi.OK || got != m.version(t, key, known.version) {
			t.Fatalf("%q: %d, %s", key, got, name(code))
		}
		m.model[key] = memo{text: text, expires: expires, version: got}
	}
}

func (m *machine) incr(t *rapid.T) {
	key, known, ok := m.draw(t)
	delta, floor := rapid.Int64Range(-4, 4).Draw(t, "delta"), rapid.Int64Range(-10, 0).Draw(t, "floor")
	ceiling := rapid.SampledFrom([]int64{0, 5, 20, math.MaxInt64}).Draw(t, "ceiling")
	ttl, expires := m.ttl(t)
	value, applied, code := m.n.Incr([]byte(key), delta, floor, ceiling, ttl)
	var number int64
	if ok {
		_, err := fmt.Sscanf(known.text, "%d", &number)
		if err != nil || fmt.Sprint(number) != known.text || known.units != nil {
			if code != abi.BadArgument {
				t.Fatalf("%q is no number: %s", key, name(code))
			}
			return
		}
	}
	sum := number + delta
	within := sum >= floor && sum <= ceiling
	if !within {
		sum = number
	}
	if value != sum || applied != within || code != abi.OK {
		t.Fatalf("%d and %d within %d and %d: %d, %t, %s", number, delta, floor, ceiling, value, applied, name(code))
	}
	if within && delta != 0 {
		if ok {
			expires = known.expires
		}
		m.model[key] = memo{text: fmt.Sprint(sum), expires: expires, version: m.version(t, key, known.version)}
	}
}

func (m *machine) window(t *rapid.T) {
	key, known, ok := m.draw(t)
	units, limit := rapid.Int64Range(0, 5).Draw(t, "units"), rapid.Int64Range(0, 12).Draw(t, "limit")
	length := rapid.SampledFrom([]time.Duration{16 * time.Second, 50 * time.Second}).Draw(t, "length")
	now, part := m.clock.Now().UnixNano(), partOf(length)
	if ok && known.units != nil && known.part != part {
		t.Skip("a window has one length")
	}
	allowed, used, reset, code := m.n.WindowAdd([]byte(key), units, limit, length)
	if ok && known.units == nil {
		if code != abi.BadArgument {
			t.Fatalf("%q is no window: %s", key, name(code))
		}
		return
	}
	w := memo{units: maps.Clone(known.units), part: part, last: max(known.last, now/part)}
	if w.units == nil {
		w.units, w.last = map[int64]int64{}, now/part
	}
	fits := units == 0 || w.used()+units <= limit
	if fits {
		w.units[w.last] += units
	}
	wait, later := w, int64(0) // until it is empty, or has room
	for wait.used() > 0 && (fits || units > limit || wait.used()+units > limit) {
		wait.last++
		later = wait.last*part - now
	}
	if allowed != fits || used != w.used() || int64(reset) != later || code != abi.OK {
		t.Fatalf("%q: %t, %d, %d, %s; the model says %t, %d, %d", key, allowed, used, reset, name(code), fits, w.used(), later)
	}
	if w.used() > 0 {
		m.model[key] = w
	}
}

func (m *machine) list(t *rapid.T) {
	prefix := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "prefix")
	limit := rapid.IntRange(1, 6).Draw(t, "limit")
	var got, want []string
	for cursor := ""; ; {
		keys, next, code := m.n.List([]byte(prefix), []byte(cursor), limit)
		if got = append(got, keys...); code != abi.OK || len(keys) > limit || len(got) > len(modelKeys) {
			t.Fatalf("List(%q, %q): %q, %s", prefix, cursor, keys, name(code))
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	for key, known := range m.model {
		if strings.HasPrefix(key, prefix) && !m.over(&known) {
			want = append(want, key)
		}
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("it lists %q, the model %q", got, want)
	}
}

func (m *machine) wait(t *rapid.T) {
	m.clock.Add(time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "wait")))
}

// back puts the clock back. Which of the expired keys come back then is left open, and so is how windows go on: so
// there are none.
func (m *machine) back(t *rapid.T) {
	for _, key := range modelKeys {
		if known := m.model[key]; known.units != nil {
			m.n.Delete([]byte(key))
			delete(m.model, key)
		}
		m.prune(key)
	}
	m.n.sweepAll()
	m.flush(t)
	m.clock.Add(-time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "back")))
}

func (m *machine) sweep(t *rapid.T) {
	m.n.sweepAll()
	for _, key := range modelKeys {
		m.prune(key)
	}
}

func (m *machine) flush(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "fails") == 0 { // at first
		m.disk.failWith(errBroken, rapid.IntRange(0, 2).Draw(t, "after"))
		if err := m.n.flush(); err == nil && m.n.figures().Dirty > 0 {
			t.Fatal("a flush that failed says that it did not")
		}
		m.disk.failWith(nil, 0)
	}
	if err := m.n.flush(); err != nil {
		t.Fatal(err)
	}
	m.keep()
}

// keep notes what a kill leaves from now on.
func (m *machine) keep() {
	m.rows, m.written = m.disk.snapshot(), map[string]memo{}
	for key, known := range m.model {
		known.units = maps.Clone(known.units)
		m.written[key] = known
	}
}

func (m *machine) restart(t *rapid.T) {
	if err := m.kv.Close(); err != nil {
		t.Fatal(err)
	}
	m.keep()
	m.start()
}

func (m *machine) kill(t *rapid.T) {
	if err := m.kv.Close(); err != nil { // of what it writes nothing is seen
		t.Fatal(err)
	}
	m.clock.Add(time.Second) // so much a restart takes, and versions are from the clock
	m.disk, m.model = m.rows, m.written
	m.keep()
	m.start()
}

// agree compares everything.
func (m *machine) agree(t *rapid.T) {
	checked(t, m.n)
	for _, key := range modelKeys {
		m.prune(key)
		known, ok := m.model[key]
		want := known.text
		switch {
		case !ok:
			want = "not found"
		case known.units != nil:
			want = "bad argument"
		}
		if got := text(m.n, key); got != want {
			t.Fatalf("%q is %q, in the model %q", key, got, want)
		}
		if _, version, _ := m.n.Get([]byte(key), nil); version != known.version {
			t.Fatalf("%q has version %d, in the model %d", key, version, known.version)
		}
	}
	if f := m.n.figures(); f.Keys != int64(len(m.model)) {
		t.Fatalf("%d keys, in the model %d", f.Keys, len(m.model))
	}
	checked(t, m.n)
}

func TestNamespaceAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		defer func() { m.kv.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"set": m.set, "delete": m.remove, "cas": m.cas, "incr": m.incr, "window": m.window, "list": m.list,
			"wait": m.wait, "back": m.back, "sweep": m.sweep, "flush": m.flush, "restart": m.restart, "kill": m.kill,
			"agree": m.agree,
		})
		m.agree(t)
		if err := m.kv.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// The order of keys is that of a sorted list.
func TestOrderAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var o order
		model := map[string]*entry{}
		upTo := rapid.SampledFrom([]int{5, 3000}).Draw(t, "names")
		for i := range rapid.IntRange(0, 4000).Draw(t, "steps") {
			number := i * 7919 % upTo
			if upTo == 3000 && i < 1500 {
				number = i // in order
			}
			name := fmt.Sprintf("%04d", number)
			if e := model[name]; e == nil {
				model[name] = &entry{name: name}
				o.add(model[name])
			} else {
				o.remove(e)
				delete(model, name)
			}
		}
		want := slices.Sorted(maps.Keys(model))
		from := fmt.Sprintf("%04d", rapid.IntRange(0, upTo).Draw(t, "from"))
		begin, _ := slices.BinarySearch(want, from)
		var got []string
		o.walk(from, func(e *entry) bool { got = append(got, e.name); return true })
		if !slices.Equal(got, want[begin:]) || o.len != len(want) {
			t.Fatalf("from %s: %d of %d, want %d of %d", from, len(got), o.len, len(want)-begin, len(want))
		}
		for _, c := range o.chunks {
			if len(c) == 0 || len(c) > chunkSize {
				t.Fatalf("a chunk of %d", len(c))
			}
		}
	})
}
