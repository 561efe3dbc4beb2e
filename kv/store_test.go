package kv

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/internal/testutil"
)

var errBroken = errors.New("no space left")

// disk is a Store in memory. What it holds is what would be on the disk.
type disk struct {
	mu         sync.Mutex
	rows       map[string][]byte
	written    int // rows, removals included
	readFails  error
	writeFails error
	fails      int           // how many rows a Write that fails stores before
	gate       chan struct{} // if not nil, Write waits for it
	reading    func()        // if not nil, is called before a row is read
	writing    func()        // if not nil, is called before rows are written
}

func newDisk() *disk { return &disk{rows: map[string][]byte{}} }

func (d *disk) Write(rows iter.Seq2[string, []byte]) error {
	if d.gate != nil {
		<-d.gate
	}
	if d.writing != nil {
		d.writing()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	stored := 0
	for key, row := range rows {
		if d.writeFails != nil && stored == d.fails {
			return d.writeFails
		}
		if stored++; row == nil {
			delete(d.rows, key)
		} else {
			d.rows[key] = slices.Clone(row)
		}
		d.written++
	}
	return d.writeFails
}

func (d *disk) Read(key string) ([]byte, bool, error) {
	if d.reading != nil {
		d.reading()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	row, ok := d.rows[key]
	return slices.Clone(row), ok, d.readFails
}

func (d *disk) Scan(_ context.Context, prefix, from string, f func(string, []byte) error) error {
	d.mu.Lock()
	keys, broken := slices.Sorted(maps.Keys(d.rows)), d.readFails
	d.mu.Unlock()
	for _, key := range keys {
		if row, ok, _ := d.Read(key); ok && strings.HasPrefix(key, prefix) && key >= from {
			err := f(key, row)
			clear(row) // the bytes are f's only during the call
			if err != nil {
				return err
			}
		}
	}
	return broken
}

// failWith makes Write fail after some rows, and Read, or both work again.
func (d *disk) failWith(err error, after int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.readFails, d.writeFails, d.fails = err, err, after
}

// snapshot is the store as a kill would leave it now.
func (d *disk) snapshot() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := newDisk()
	maps.Copy(c.rows, d.rows)
	return c
}

func (d *disk) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.rows)
}

func newClock() *testutil.Clock { return testutil.NewClock("2026-11-21T08:00:00Z") }

// opened opens a KV for the length of a test.
func opened(t testing.TB, opts Options) *KV {
	t.Helper()
	kv, err := Open(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := kv.Close(); err != nil && !errors.Is(err, ErrBehind) {
			t.Error(err)
		}
	})
	return kv
}

// quiet are options under which nothing is written but when a test says so.
func quiet(d *disk, c *testutil.Clock) Options {
	return Options{Store: d, Clock: c.Now, interval: time.Hour}
}

// namespace returns the namespace of a policy.
func namespace(t testing.TB, kv *KV, name string) *Namespace {
	t.Helper()
	n, err := kv.Namespace(name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// only opens a KV and returns one namespace of it.
func only(t testing.TB, opts Options) *Namespace {
	t.Helper()
	return namespace(t, opened(t, opts), "p")
}

// text is what Get says of a key.
func text(n *Namespace, key string) string {
	var buf [64 << 10]byte
	length, _, code := n.Get([]byte(key), buf[:])
	if code != abi.OK {
		return name(code)
	}
	return string(buf[:length])
}

// name is a code, for people.
func name(code abi.Code) string {
	return map[abi.Code]string{
		abi.OK: "OK", abi.BadArgument: "bad argument", abi.OverQuota: "over quota", abi.NotFound: "not found",
		abi.Unavailable: "unavailable", abi.Conflict: "conflict",
	}[code]
}

// set sets a value that must be taken.
func set(t testing.TB, n *Namespace, key, value string, ttl time.Duration) {
	t.Helper()
	if code := n.Set([]byte(key), []byte(value), ttl); code != abi.OK {
		t.Fatalf("setting %q: %s", key, name(code))
	}
}

// flushed writes what has changed.
func flushed(t testing.TB, n *Namespace) {
	t.Helper()
	if err := n.flush(); err != nil {
		t.Fatal(err)
	}
}

// checked fails the test unless the namespace's sums and lists say what its entries do.
func checked(t interface {
	Helper()
	Errorf(string, ...any)
}, n *Namespace) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	var weight, heat int64
	keys := 0
	for key, e := range n.entries {
		if e.name != key || e.row != n.prefix+key {
			t.Errorf("%q stands under %q", e.name, key)
		}
		_, _, ordered := n.order.find(key)
		if ordered != (e.kind != gone) {
			t.Errorf("%q: its kind is %d, in order: %t", key, e.kind, ordered)
		}
		if e.kind == gone {
			if !e.stored && !e.flight {
				t.Errorf("%q is gone and has no row, but has an entry", key)
			}
			continue
		}
		if keys, weight = keys+1, weight+e.weight(); n.warm.has(e) {
			heat += int64(len(e.value))
		}
		if e.cold() && (n.dirty.has(e) || e.flight) {
			t.Errorf("%q is not written and not in memory", key)
		}
		if warm := e.kind == plain && e.size > small && e.value != nil; warm != n.warm.has(e) {
			t.Errorf("%q: warm %t, in the queue %t", key, warm, n.warm.has(e))
		}
	}
	if keys != n.order.len || weight != n.bytes || heat != n.heat {
		t.Errorf("it says %d keys, %d bytes, %d in memory; it has %d, %d, %d", n.order.len, n.bytes, n.heat, keys, weight, heat)
	}
	for _, q := range []*queue{&n.dirty, &n.warm} {
		length := 0
		for e := q.first; e != nil; e = q.after(e) {
			length++
		}
		if length != q.len {
			t.Errorf("queue %d says %d entries, and has %d", q.number, q.len, length)
		}
	}
}
