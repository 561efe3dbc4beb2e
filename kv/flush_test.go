package kv

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/testutil"
)

// A second after any change the store has it, and what has expired is gone from it.
func TestStoreIsAtMostASecondBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		n := namespace(t, opened(t, Options{Store: d}), "p")
		for i := range 20 {
			testutil.Pass(time.Duration(i) * 77 * time.Millisecond)
			key := fmt.Sprint("k", i)
			set(t, n, key, "v", 3*time.Second)
			if _, _, code := n.Incr([]byte("counter"), 1, 0, 100, 0); code != abi.OK {
				t.Fatal(name(code))
			}
			if _, _, _, code := n.WindowAdd([]byte("window"), 1, 100, time.Hour); code != abi.OK {
				t.Fatal(name(code))
			}
			testutil.Pass(time.Second)
			killed := namespace(t, opened(t, Options{Store: d.snapshot()}), "p")
			_, used, _, _ := killed.WindowAdd([]byte("window"), 0, 100, time.Hour)
			if got := fmt.Sprintf("%s %s %d", text(killed, key), text(killed, "counter"), used); got != fmt.Sprintf("v %d %d", i+1, i+1) {
				t.Errorf("a kill a second after change %d leaves %s", i, got)
			}
		}
		testutil.Pass(4 * time.Second)
		if d.len() != 2 {
			t.Errorf("%d rows are left, want those of the counter and the window", d.len())
		}
		written := d.written
		testutil.Pass(time.Minute)
		if d.written != written {
			t.Errorf("%d rows are written though nothing changes", d.written-written)
		}
	})
}

func TestStoreThatFails(t *testing.T) {
	for _, after := range []int{0, 1, 3} {
		synctest.Test(t, func(t *testing.T) {
			d := newDisk()
			kv := opened(t, Options{Store: d, Resident: 100})
			n := namespace(t, kv, "p")
			large := strings.Repeat("v", 90)
			set(t, n, "cold", large, 0)
			set(t, n, "warm", large, 0)
			set(t, n, "dropped", "", 0)
			testutil.Pass(time.Second)
			d.failWith(errBroken, after)
			if got := text(n, "cold") + ", " + text(n, "warm"); got != "unavailable, "+large {
				t.Errorf("reading while the store fails: %s", got)
			}
			set(t, n, "cold", "new", 0)
			set(t, n, "brief", "", 0)
			n.Delete([]byte("dropped"))
			if value, _, code := n.Incr([]byte("counter"), 1, 0, 10, 0); value != 1 || code != abi.OK {
				t.Errorf("counting while the store fails: %d, %s", value, name(code))
			}
			testutil.Pass(3 * time.Second)
			n.Delete([]byte("brief"))
			testutil.Pass(3 * time.Second)
			if f := n.figures(); !f.Failing || f.Failures < 3 || f.Dirty < 4 {
				t.Errorf("while the store fails: %+v", f)
			}
			checked(t, n)
			d.failWith(nil, 0)
			testutil.Pass(time.Second)
			if f := n.figures(); f.Failing || f.Dirty > 0 {
				t.Errorf("when it works again: %+v", f)
			}
			if d.len() != 3 {
				t.Errorf("%d rows, want 3", d.len())
			}
			checked(t, n)
			d.failWith(errBroken, 0)
			set(t, n, "late", "", 0)
			if err := kv.Close(); !errors.Is(err, ErrBehind) {
				t.Errorf("closing what cannot be written: %v, want %v", err, ErrBehind)
			}
		})
	}
}

func TestAfterClose(t *testing.T) {
	d := newDisk()
	c := newClock()
	kv := opened(t, quiet(d, c))
	n := namespace(t, kv, "p")
	set(t, n, "k", "v", time.Minute)
	if err := kv.Close(); err != nil {
		t.Fatal(err)
	}
	_, casCode := n.CAS([]byte("k"), 0, nil, 0)
	_, _, incrCode := n.Incr([]byte("k"), 1, 0, 1, 0)
	_, _, _, windowCode := n.WindowAdd([]byte("k"), 1, 1, 1)
	for _, code := range []abi.Code{n.Set([]byte("k"), nil, 0), n.Delete([]byte("k")), casCode, incrCode, windowCode} {
		if code != abi.Unavailable {
			t.Errorf("a change after Close: %s", name(code))
		}
	}
	if got := text(n, "k"); got != "v" {
		t.Errorf("reading after Close: %s", got)
	}
	c.Add(time.Hour)
	if got := text(n, "k"); got != "not found" {
		t.Errorf("reading what expired after Close: %s", got)
	}
	if _, err := kv.Namespace("p"); !errors.Is(err, ErrClosed) {
		t.Errorf("a namespace after Close: %v", err)
	}
	if err := kv.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

// A policy whose changes take long to write is slow alone.
func TestNamespacesDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		d.gate = make(chan struct{})
		kv := opened(t, Options{Store: d})
		slow, quick := namespace(t, kv, "slow"), namespace(t, kv, "quick")
		set(t, slow, "k", "v", 0)
		testutil.Pass(time.Second) // its flush hangs
		set(t, slow, "k", "still in memory", 0)
		set(t, quick, "k", "v", 0)
		if got := text(slow, "k") + ", " + text(quick, "k"); got != "still in memory, v" {
			t.Error(got)
		}
		close(d.gate)
		testutil.Pass(time.Second)
		if f := kv.Figures(); f["slow"].Dirty+f["quick"].Dirty > 0 {
			t.Errorf("%+v", f)
		}
	})
}

func TestRowThatCannotBeReadFailsItsNamespaceAlone(t *testing.T) {
	d, c := newDisk(), newClock()
	kv := opened(t, quiet(d, c))
	set(t, namespace(t, kv, "good"), "k", "v", 0)
	if err := kv.Close(); err != nil {
		t.Fatal(err)
	}
	d.rows["kv/bad/a"] = []byte{rowVersion + 1, byte(plain), 1, 0}
	d.rows["kv/bad/b"] = d.rows["kv/good/k"]
	kv = opened(t, quiet(d, c))
	if _, err := kv.Namespace("bad"); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "version 2") {
		t.Errorf("a row of a later version: %v", err)
	}
	if got := text(namespace(t, kv, "good"), "k"); got != "v" {
		t.Errorf("the other namespace: %s", got)
	}
	for _, row := range []string{"kv/", "kv/k", "kv//k", "kv/p/"} {
		d := newDisk()
		d.rows[row] = []byte{rowVersion, byte(plain), 1, 0}
		if _, err := Open(t.Context(), quiet(d, c)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("a row %q: %v, want %v", row, err, ErrCorrupt)
		}
	}
	d.failWith(errBroken, 0)
	if _, err := Open(t.Context(), quiet(d, c)); !errors.Is(err, errBroken) {
		t.Errorf("a store that cannot be read: %v", err)
	}
}

func TestColdValuesAreReadBack(t *testing.T) {
	d := newDisk()
	opts := quiet(d, newClock())
	opts.Resident = 1000
	kv := opened(t, opts)
	n := namespace(t, kv, "p")
	valueOf := func(i int) string { return strings.Repeat(fmt.Sprint(i%10), 100+i) }
	for i := range 50 {
		set(t, n, fmt.Sprint("k", i), valueOf(i), 0)
		set(t, n, fmt.Sprint("s", i), "small values stay in memory", 0)
	}
	if f := n.figures(); f.Resident < 5000 {
		t.Errorf("%d bytes are in memory, before they are written", f.Resident)
	}
	flushed(t, n)
	for round := range 2 {
		for i := range 50 {
			if got := text(n, fmt.Sprint("k", i)); got != valueOf(i) {
				t.Errorf("round %d: value %d is %s", round, i, got)
			}
			if f := n.figures(); f.Resident > 1000 {
				t.Fatalf("%d bytes are in memory, want 1000", f.Resident)
			}
		}
		checked(t, n)
	}
	before := n.figures().Reads
	for range 10 {
		text(n, "k49")
		text(n, "s0")
	}
	if f := n.figures(); f.Reads != before || before < 50 {
		t.Errorf("%d reads, then %d of what is in memory", before, f.Reads-before)
	}
	if err := kv.Close(); err != nil {
		t.Fatal(err)
	}
	opts.Resident = 1
	n = only(t, opts)
	if f := n.figures(); f.Resident != 0 || f.Keys != 100 {
		t.Errorf("after a restart: %+v", f)
	}
	if text(n, "k7") != valueOf(7) || text(n, "s7") != "small values stay in memory" {
		t.Error("after a restart the values are others")
	}
	delete(d.rows, "kv/p/k8")
	d.rows["kv/p/k9"] = d.rows["kv/p/k10"]
	d.rows["kv/p/k11"] = []byte("?")
	if got := text(n, "k8") + ", " + text(n, "k9") + ", " + text(n, "k11"); got != "unavailable, unavailable, unavailable" {
		t.Errorf("rows that are not what they were: %s", got)
	}
}

// While a value is read from its row, the key may change. The one who reads sees what is there then.
func TestChangesWhileAValueIsRead(t *testing.T) {
	old := strings.Repeat("old", 100)
	for _, test := range []struct {
		name string
		do   func(t *testing.T, n *Namespace, c *testutil.Clock)
		want string
	}{
		{"nothing happens", func(*testing.T, *Namespace, *testutil.Clock) {}, old},
		{"it is set", func(t *testing.T, n *Namespace, _ *testutil.Clock) { set(t, n, "k", "new", 0) }, "new"},
		{"it is deleted", func(_ *testing.T, n *Namespace, _ *testutil.Clock) { n.Delete([]byte("k")) }, "not found"},
		{"it is deleted and written", func(t *testing.T, n *Namespace, _ *testutil.Clock) {
			n.Delete([]byte("k"))
			flushed(t, n)
		}, "not found"},
		{"it expires", func(_ *testing.T, _ *Namespace, c *testutil.Clock) { c.Add(time.Hour) }, "not found"},
		{"it becomes a counter", func(t *testing.T, n *Namespace, _ *testutil.Clock) {
			n.Delete([]byte("k"))
			flushed(t, n)
			n.Incr([]byte("k"), 5, 0, 10, 0)
		}, "5"},
		{"it is set and is cold again", func(t *testing.T, n *Namespace, _ *testutil.Clock) {
			set(t, n, "k", strings.Repeat("new", 100), 0)
			set(t, n, "other", old, 0)
			flushed(t, n)
		}, strings.Repeat("new", 100)},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, c := newDisk(), newClock()
			opts := quiet(d, c)
			kv := opened(t, opts)
			set(t, namespace(t, kv, "p"), "k", old, time.Hour)
			if err := kv.Close(); err != nil {
				t.Fatal(err)
			}
			opts.Resident = 400
			n := only(t, opts)
			var once sync.Once
			d.reading = func() { once.Do(func() { test.do(t, n, c) }) }
			if got := text(n, "k"); got != test.want {
				t.Errorf("it is %s, want %s", got, test.want)
			}
			checked(t, n)
		})
	}
}

// While a row is written, the key may change. The next flush writes what came of it.
func TestChangesWhileARowIsWritten(t *testing.T) {
	large := strings.Repeat("v", 100)
	key := []byte("k")
	remove := func(_ *testing.T, n *Namespace) { n.Delete(key) }
	renew := func(t *testing.T, n *Namespace) { set(t, n, "k", "new", 0) }
	both := func(t *testing.T, n *Namespace) { remove(t, n); renew(t, n) }
	nothing := func(*testing.T, *Namespace) {}
	for _, test := range []struct {
		name             string
		before, meantime func(t *testing.T, n *Namespace)
		want             string
		written          int // rows, removals included; if no write fails
	}{
		{"nothing happens", nothing, nothing, large, 1},
		{"set", nothing, renew, "new", 2},
		{"deleted", nothing, remove, "not found", 2},
		{"deleted and set", nothing, both, "new", 2},
		{"a row, and nothing happens", func(t *testing.T, n *Namespace) { flushed(t, n); set(t, n, "k", large, 0) }, nothing, large, 2},
		{"a removal, and nothing happens", func(t *testing.T, n *Namespace) { flushed(t, n); remove(t, n) }, nothing, "not found", 2},
		{"a removal, and set", func(t *testing.T, n *Namespace) { flushed(t, n); remove(t, n) }, renew, "new", 3},
		{"a removal, set and deleted", func(t *testing.T, n *Namespace) { flushed(t, n); remove(t, n) },
			func(t *testing.T, n *Namespace) { renew(t, n); remove(t, n) }, "not found", 2},
		{"pushed out", nothing, func(t *testing.T, n *Namespace) {
			for i := range 20 {
				set(t, n, fmt.Sprint("other", i), large, 0)
			}
		}, large, 21},
	} {
		for _, broken := range []error{nil, errBroken} {
			for after := range 2 {
				d := newDisk()
				opts := quiet(d, newClock())
				opts.Resident = 150
				kv := opened(t, opts)
				n := namespace(t, kv, "p")
				set(t, n, "k", large, 0)
				test.before(t, n)
				var once sync.Once
				d.writing = func() { once.Do(func() { test.meantime(t, n) }) }
				d.failWith(broken, after)
				if err := n.flush(); !errors.Is(err, broken) {
					t.Errorf("%s: %v", test.name, err)
				}
				d.failWith(nil, 0)
				checked(t, n)
				if got := text(n, "k"); got != test.want {
					t.Errorf("%s: it is %s, want %s", test.name, got, test.want)
				}
				if err := kv.Close(); err != nil {
					t.Fatal(err)
				}
				if broken == nil && d.written != test.written {
					t.Errorf("%s: %d rows are written, want %d", test.name, d.written, test.written)
				}
				checked(t, n)
				if got := text(only(t, opts), "k"); got != test.want {
					t.Errorf("%s, after a restart: it is %s, want %s", test.name, got, test.want)
				}
			}
		}
	}
}

// What the policy removed before it was ever written leaves nothing behind.
func TestBriefKeysLeaveNothing(t *testing.T) {
	d := newDisk()
	n := only(t, quiet(d, newClock()))
	for round := range 3 {
		set(t, n, "k", "v", 0)
		if round == 1 {
			flushed(t, n)
		}
		n.Delete([]byte("k"))
		if round == 1 {
			flushed(t, n)
		}
		if len(n.entries) > 0 || n.dirty.len > 0 || len(n.order.chunks) > 0 {
			t.Errorf("round %d: %d entries, %d dirty, %d chunks", round, len(n.entries), n.dirty.len, len(n.order.chunks))
		}
	}
	if d.written != 2 {
		t.Errorf("%d rows are written, want one, and its removal", d.written)
	}
	set(t, n, "k", "v", 0)
	flushed(t, n)
	n.Delete([]byte("k"))
	var once sync.Once
	d.writing = func() { once.Do(func() { set(t, n, "k", "brief", 0) }) }
	flushed(t, n)
	n.Delete([]byte("k"))
	flushed(t, n)
	if len(n.entries) > 0 || d.written != 4 {
		t.Errorf("set while its row was removed: %d entries, %d rows written, want 0 and 4", len(n.entries), d.written)
	}
}
