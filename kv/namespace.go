package kv

import (
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// Namespace is what one policy remembers. All methods may be called by many goroutines at once, and keep nothing of the
// bytes that they are given. What has expired is gone for all of them.
//
// A key is 1 to Quota.Key bytes, any bytes, and holds a value, a counter or a window. Get reads a counter as decimal
// text, and Incr counts on from a value that is such a text; Set and CAS make anything a value, and Delete removes
// anything. Every change gives a key a new version, which no key of the namespace had before.
type Namespace struct {
	prefix string // of the keys of rows
	opts   *Options
	log    *slog.Logger
	stop   <-chan struct{}
	fault  error // why it cannot be used, found by Open

	group   group // of the flush that is running
	failing bool  // the last flush did; known to the goroutine that flushes

	mu      sync.Mutex // guards everything below; never held while the store is asked
	entries map[string]*entry
	order   order // the entries but those that are gone
	dirty   queue
	warm    queue
	bytes   int64    // that the entries weigh
	heat    int64    // bytes of the values that are in warm
	version uint64   // the last one that was given
	swept   string   // the name that the sweep goes on from
	ripe    []*entry // that it has found, while it runs
	closed  bool
	blind   bool // the last read of the store failed
	counts  Figures
}

// rowPrefix is before the keys of all rows of this package; the namespace's name, "/" and the key follow.
const rowPrefix = "kv/"

func newNamespace(name string, opts *Options, stop <-chan struct{}) *Namespace {
	return &Namespace{
		prefix: rowPrefix + name + "/", opts: opts, log: opts.Log.With("namespace", name), stop: stop,
		entries: map[string]*entry{}, dirty: queue{number: dirtyQueue}, warm: queue{number: warmQueue},
		// After a kill the rows do not know the last versions that were given; the time in microseconds is above them
		// all unless there was more than one change in each. It also fits the numbers of JavaScript.
		version: uint64(max(0, opts.Clock().UnixMicro())),
	}
}

// now is the time in Unix nanoseconds.
func (n *Namespace) now() int64 { return max(0, n.opts.Clock().UnixNano()) }

// Get copies a key's value into buf if it fits there, and returns its length, whether or not it does, and its version.
// The code is NotFound; BadArgument for a window; or Unavailable for a value that is not in memory and cannot be read.
func (n *Namespace) Get(key, buf []byte) (length int, version uint64, code abi.Code) {
	n.mu.Lock()
	defer n.mu.Unlock()
	e := n.live(key)
	if e != nil && e.cold() {
		if e, code = n.readBack(key, e); code != abi.OK {
			return 0, 0, code
		}
	}
	switch {
	case e == nil:
		return 0, 0, abi.NotFound
	case e.kind == sliding:
		return 0, 0, abi.BadArgument
	case e.kind == counter:
		var digits [maxDigits]byte
		text := appendNumber(digits[:0], e.number)
		if length = len(text); length <= len(buf) {
			copy(buf, text)
		}
		return length, e.version, abi.OK
	}
	if e.size <= len(buf) {
		copy(buf, e.value)
	}
	n.keepWarm(e)
	return e.size, e.version, abi.OK
}

// Set stores a value, for ttl, or for good if that is 0. The code is BadArgument for a key or value that is too long,
// an empty key or a negative ttl; OverQuota; or Unavailable after Close.
func (n *Namespace) Set(key, value []byte, ttl time.Duration) abi.Code {
	if len(value) > n.opts.Quota.Value || ttl < 0 {
		return abi.BadArgument
	}
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return abi.Unavailable
	}
	_, code := n.put(n.unexpired(n.entries[string(key)], now), key, value, now, ttl)
	return code
}

// CAS is Set, if the key has a certain version; version 0 is for a key that is not there. It returns the new version.
// If the key has another one, the code is Conflict and that version is returned; NotFound if there is no such key.
// The other codes are those of Set.
func (n *Namespace) CAS(key []byte, version uint64, value []byte, ttl time.Duration) (newVersion uint64, code abi.Code) {
	if len(value) > n.opts.Quota.Value || ttl < 0 {
		return 0, abi.BadArgument
	}
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return 0, abi.Unavailable
	}
	e := n.unexpired(n.entries[string(key)], now)
	switch {
	case e == nil && version != 0:
		return 0, abi.NotFound
	case e != nil && version != e.version:
		return e.version, abi.Conflict
	}
	return n.put(e, key, value, now, ttl)
}

// Delete removes a key, whatever it holds. The code is NotFound, or Unavailable after Close.
func (n *Namespace) Delete(key []byte) abi.Code {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return abi.Unavailable
	}
	e := n.live(key)
	if e == nil {
		return abi.NotFound
	}
	n.remove(e)
	return abi.OK
}

// Bounds of one List.
const (
	maxList  = 1000 // keys that it returns
	listSkip = 1000 // keys that it passes over because they have expired
)

// List returns the keys that begin with prefix, in the order of their bytes: up to limit of those behind cursor, and
// never more than 1,000. With next as its cursor the next call goes on; an empty one begins, and an empty next says that
// there are no more. There may be fewer than limit, even none, although more follow. Keys that come or go between two
// calls may be seen or not, all others are seen once. The code is BadArgument for a limit below 1.
func (n *Namespace) List(prefix, cursor []byte, limit int) (keys []string, next string, code abi.Code) {
	if limit < 1 {
		return nil, "", abi.BadArgument
	}
	limit = min(limit, maxList)
	begin, behind := string(prefix), string(cursor)
	now := n.now()
	n.mu.Lock()
	defer n.mu.Unlock()
	skipped, last := 0, ""
	n.order.walk(max(begin, behind), func(e *entry) bool {
		switch {
		case !strings.HasPrefix(e.name, begin):
			return false
		case e.name == behind:
			return true
		case len(keys) == limit || skipped == listSkip:
			next = last
			return false
		case e.over(now):
			skipped++
		default:
			keys = append(keys, e.name)
		}
		last = e.name
		return true
	})
	return keys, next, abi.OK
}

// over reports whether the entry has expired.
func (e *entry) over(now int64) bool { return e.expires != 0 && now >= e.expires }

// live finds what a key holds; nil if that is nothing. It asks for the time only if that matters.
func (n *Namespace) live(key []byte) *entry {
	e := n.entries[string(key)]
	if e == nil || e.expires == 0 {
		return n.unexpired(e, 0)
	}
	return n.unexpired(e, n.now())
}

// unexpired returns the entry, or nil if it is gone or has expired. Then it is removed, so that it does not come back
// when the clock is put back.
func (n *Namespace) unexpired(e *entry, now int64) *entry {
	switch {
	case e == nil || e.kind == gone:
		return nil
	case e.over(now):
		if !n.closed {
			n.remove(e)
		}
		return nil
	}
	return e
}

// put makes what a key holds a value. e is what it holds now.
func (n *Namespace) put(e *entry, key, value []byte, now int64, ttl time.Duration) (version uint64, code abi.Code) {
	if e == nil {
		if e, code = n.create(key, int64(len(value)), now); code != abi.OK {
			return 0, code
		}
	} else {
		more := int64(len(key)+len(value)) - e.weight()
		if more > 0 && !n.room(0, more, now) {
			return 0, abi.OverQuota
		}
		n.bytes += more
	}
	n.letCool(e)
	e.fill(value)
	e.expires = until(now, ttl)
	n.touch(e)
	n.keepWarm(e)
	n.evict(evictions)
	return e.version, abi.OK
}

// create takes in a key that is not there. The caller makes it something that counts as size bytes.
func (n *Namespace) create(key []byte, size, now int64) (*entry, abi.Code) {
	if len(key) == 0 || len(key) > n.opts.Quota.Key {
		return nil, abi.BadArgument
	}
	if size += int64(len(key)); !n.room(1, size, now) {
		return nil, abi.OverQuota
	}
	e := n.entries[string(key)]
	if e == nil {
		e = n.newEntry(string(key))
	}
	n.order.add(e)
	n.bytes += size
	return e, abi.OK
}

func (n *Namespace) newEntry(key string) *entry {
	row := n.prefix + key
	e := &entry{row: row, name: row[len(n.prefix):]}
	n.entries[e.name] = e
	return e
}

// room reports whether the quota has room for that many more keys and bytes. If it has not, it sweeps a step first.
func (n *Namespace) room(keys int, bytes int64, now int64) bool {
	q := &n.opts.Quota
	for swept := false; n.order.len+keys > q.Keys || n.bytes+bytes > q.Bytes; swept = true {
		if swept {
			n.counts.Refused++
			return false
		}
		n.sweep(now)
	}
	return true
}

// touch notes that a caller has changed an entry.
func (n *Namespace) touch(e *entry) {
	n.version++
	e.version = n.version
	n.soil(e)
}

// soil sees to it that the entry's row is written.
func (n *Namespace) soil(e *entry) {
	if !n.dirty.has(e) {
		n.dirty.push(e)
	}
}

// remove makes what a key holds nothing. The entry stays as long as there may be a row of it.
func (n *Namespace) remove(e *entry) {
	n.order.remove(e)
	n.bytes -= e.weight()
	n.letCool(e)
	e.kind, e.expires = gone, 0
	e.value, e.size, e.number, e.window = nil, 0, 0, nil
	if e.stored || e.flight {
		n.soil(e)
		return
	}
	n.dirty.remove(e)
	delete(n.entries, e.name)
}

// keepWarm notes that a value was used.
func (n *Namespace) keepWarm(e *entry) {
	if e.size <= small || e == n.warm.last {
		return
	}
	n.letCool(e)
	n.warm.push(e)
	n.heat += int64(e.size)
}

// letCool takes a value out of the order of use.
func (n *Namespace) letCool(e *entry) {
	if n.warm.has(e) {
		n.warm.remove(e)
		n.heat -= int64(e.size)
	}
}

// evictions is how many values a change looks at when there are too many in memory.
const evictions = 8

// evict forgets values that were not used for the longest, down to the bound, but for those that are not in the store
// yet and the one that was used last. It looks at that many.
func (n *Namespace) evict(looks int) {
	for e := n.warm.first; n.heat > n.opts.Resident && looks > 0 && e != n.warm.last; looks-- {
		next := n.warm.after(e)
		if !n.dirty.has(e) && !e.flight {
			n.letCool(e)
			e.value = nil
		}
		e = next
	}
}

// close refuses changes from now on.
func (n *Namespace) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
}

func (n *Namespace) figures() Figures {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := n.counts
	f.Keys, f.Bytes, f.Resident, f.Dirty = int64(n.order.len), n.bytes, n.heat, int64(n.dirty.len)
	return f
}
