package host

import (
	"context"
	"fmt"
	"iter"
	"math"
	"time"
	"unicode/utf8"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/kv"
	"github.com/sallyport-dev/sallyport/plugin/cases"
)

// memory is a store that keeps nothing: what a case remembers fits into the namespace's own memory, and goes with it.
type memory struct{}

// Write implements kv.Store.
func (memory) Write(iter.Seq2[string, []byte]) error { return nil }

// Read implements kv.Store.
func (memory) Read(string) ([]byte, bool, error) { return nil, false, nil }

// Scan implements kv.Store.
func (memory) Scan(context.Context, string, string, func(string, []byte) error) error { return nil }

// page is how many keys are listed at a time.
const page = 1000

// keysOf returns every key of a namespace.
func keysOf(n *kv.Namespace) (all []string, err error) {
	for cursor := ""; ; {
		keys, next, code := n.List(nil, []byte(cursor), page)
		if code != abi.OK {
			return nil, fmt.Errorf("listing what the policy remembers: code %d", code)
		}
		all = append(all, keys...)
		if next == "" {
			return all, nil
		}
		cursor = next
	}
}

// remember makes a namespace hold a case's state, and nothing else.
func remember(n *kv.Namespace, c *cases.Case) error {
	keys, err := keysOf(n)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if code := n.Delete([]byte(key)); code != abi.OK {
			return fmt.Errorf("forgetting %q: code %d", key, code)
		}
	}
	for i := range c.StateCount {
		if code := n.Set(fmt.Appendf(nil, "user/%03d", i), nil, 0); code != abi.OK {
			return fmt.Errorf("storing %d values: code %d", c.StateCount, code)
		}
	}
	for key, entry := range c.State {
		code := abi.OK
		if entry.Used != nil {
			_, _, _, code = n.WindowAdd([]byte(key), *entry.Used, math.MaxInt64, time.Duration(entry.Window)*time.Millisecond)
		} else {
			code = n.Set([]byte(key), entry.Content(), time.Duration(entry.TTL)*time.Millisecond)
		}
		if code != abi.OK {
			return fmt.Errorf("state %q cannot be stored: code %d", key, code)
		}
	}
	return nil
}

// remembered returns what a namespace holds. How much a window has used can be asked only with its length, which the wanted
// state knows.
func remembered(n *kv.Namespace, want cases.State) (cases.State, error) {
	keys, err := keysOf(n)
	if err != nil {
		return nil, err
	}
	state := cases.State{}
	for _, key := range keys {
		entry, code := readEntry(n, key, want[key])
		if code != abi.OK {
			return nil, fmt.Errorf("state %q cannot be read: code %d", key, code)
		}
		state[key] = entry
	}
	return state, nil
}

func readEntry(n *kv.Namespace, key string, want cases.Entry) (cases.Entry, abi.Code) {
	length, _, code := n.Get([]byte(key), nil)
	if code == abi.BadArgument { // a window
		const unknown = 60_000
		e := cases.Entry{Window: unknown}
		if want.Window > 0 {
			e.Window = want.Window
		}
		_, used, _, code := n.WindowAdd([]byte(key), 0, math.MaxInt64, time.Duration(e.Window)*time.Millisecond)
		e.Used = &used
		return e, code
	}
	value := make([]byte, length)
	if _, _, code = n.Get([]byte(key), value); utf8.Valid(value) {
		return cases.Entry{Value: string(value)}, code
	}
	return cases.Entry{Bytes: value}, code
}

// namespace is what a policy remembers, unless nothing can be stored or read.
type namespace struct {
	hostfuncs.Namespace
	away *bool
}

// namespace returns what a policy remembers.
func (h *Host) namespace(policy string) (hostfuncs.Namespace, error) {
	n, err := h.kv.Namespace(policy)
	if err != nil {
		return nil, err
	}
	return &namespace{n, &h.away}, nil
}

// Get implements hostfuncs.Namespace.
func (n *namespace) Get(key, buf []byte) (int, uint64, abi.Code) {
	if *n.away {
		return 0, 0, abi.Unavailable
	}
	return n.Namespace.Get(key, buf)
}

// Set implements hostfuncs.Namespace.
func (n *namespace) Set(key, value []byte, ttl time.Duration) abi.Code {
	if *n.away {
		return abi.Unavailable
	}
	return n.Namespace.Set(key, value, ttl)
}

// Delete implements hostfuncs.Namespace.
func (n *namespace) Delete(key []byte) abi.Code {
	if *n.away {
		return abi.Unavailable
	}
	return n.Namespace.Delete(key)
}

// CAS implements hostfuncs.Namespace.
func (n *namespace) CAS(key []byte, version uint64, value []byte, ttl time.Duration) (uint64, abi.Code) {
	if *n.away {
		return 0, abi.Unavailable
	}
	return n.Namespace.CAS(key, version, value, ttl)
}

// Incr implements hostfuncs.Namespace.
func (n *namespace) Incr(key []byte, delta, floor, ceiling int64, ttl time.Duration) (int64, bool, abi.Code) {
	if *n.away {
		return 0, false, abi.Unavailable
	}
	return n.Namespace.Incr(key, delta, floor, ceiling, ttl)
}

// WindowAdd implements hostfuncs.Namespace.
func (n *namespace) WindowAdd(key []byte, units, limit int64, length time.Duration) (bool, int64, time.Duration, abi.Code) {
	if *n.away {
		return false, 0, 0, abi.Unavailable
	}
	return n.Namespace.WindowAdd(key, units, limit, length)
}

// List implements hostfuncs.Namespace.
func (n *namespace) List(prefix, cursor []byte, limit int) ([]string, string, abi.Code) {
	if *n.away {
		return nil, "", abi.Unavailable
	}
	return n.Namespace.List(prefix, cursor, limit)
}

// meter keeps what policies count.
type meter struct{ counted map[string]int64 }

// Add implements hostfuncs.Meter.
func (m *meter) Add(_, name string, value int64) {
	if m.counted == nil {
		m.counted = map[string]int64{}
	}
	m.counted[name] += value
}

// take returns what was counted, and forgets it.
func (m *meter) take() map[string]int64 {
	counted := m.counted
	m.counted = nil
	return counted
}

var (
	_ kv.Store            = memory{}
	_ hostfuncs.Namespace = (*namespace)(nil)
	_ hostfuncs.Meter     = (*meter)(nil)
)
