package hostfuncs_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"github.com/sallyport-dev/sallyport/kv"
	"github.com/sallyport-dev/sallyport/runtime"
)

// remembering opens what policies remember, in memory, with a clock of the test's.
func remembering(t testing.TB, clock func() time.Time) func(policy string) (hostfuncs.Namespace, error) {
	t.Helper()
	all, err := kv.Open(t.Context(), kv.Options{Store: testutil.NewMemory(), Clock: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := all.Close(); err != nil {
			t.Error(err)
		}
	})
	return func(policy string) (hostfuncs.Namespace, error) { return all.Namespace(policy) }
}

// Where the tests put things in the guest's memory.
const (
	keyAt   = 0
	valueAt = 1 << 10
	outAt   = 8 << 10
)

// Calls of the functions, with texts for pointers.
func (h host) kvGet(key string, size int64) (string, int64) {
	h.put(keyAt, key)
	h.put(outAt, strings.Repeat("?", 64))
	n := h.call("kv_get", keyAt, int64(len(key)), outAt, size)
	return h.memory(outAt, uint32(max(0, min(n, 64)))), n
}

func (h host) kvVersion(key string) int64 {
	h.put(keyAt, key)
	return h.call("kv_version", keyAt, int64(len(key)))
}

func (h host) kvSet(key, value string, ttl int64) int64 {
	h.put(keyAt, key)
	h.put(valueAt, value)
	return h.call("kv_set", keyAt, int64(len(key)), valueAt, int64(len(value)), ttl)
}

func (h host) kvDelete(key string) int64 {
	h.put(keyAt, key)
	return h.call("kv_delete", keyAt, int64(len(key)))
}

func (h host) kvCAS(key string, version int64, value string, ttl int64) int64 {
	h.put(keyAt, key)
	h.put(valueAt, value)
	return h.call("kv_cas", keyAt, int64(len(key)), version, valueAt, int64(len(value)), ttl)
}

func (h host) kvIncr(key string, delta, floor, ceiling, ttl int64) (value, answer int64) {
	h.put(keyAt, key)
	h.put(outAt, "????????")
	answer = h.call("kv_incr", keyAt, int64(len(key)), delta, floor, ceiling, ttl, outAt)
	return int64(binary.LittleEndian.Uint64([]byte(h.memory(outAt, 8)))), answer
}

func (h host) kvWindowAdd(key string, n, limit, window int64) (used, reset, answer int64) {
	h.put(keyAt, key)
	answer = h.call("kv_window_add", keyAt, int64(len(key)), n, limit, window, outAt)
	out := []byte(h.memory(outAt, 16))
	return int64(binary.LittleEndian.Uint64(out)), int64(binary.LittleEndian.Uint64(out[8:])), answer
}

func (h host) kvList(prefix, cursor string, size int64) (keys []string, answer int64) {
	h.put(keyAt, prefix)
	h.put(valueAt, cursor)
	answer = h.call("kv_list", keyAt, int64(len(prefix)), valueAt, int64(len(cursor)), outAt, size)
	if answer < 0 || answer > size {
		return nil, answer
	}
	for rest := h.memory(outAt, uint32(answer)); rest != ""; {
		n := binary.LittleEndian.Uint32([]byte(rest))
		keys, rest = append(keys, rest[4:4+n]), rest[4+n:]
	}
	return keys, answer
}

// clock is a clock that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// withMemory asks a policy that may remember, once, at choose_step.
func withMemory(t *testing.T, name string, open func(string) (hostfuncs.Namespace, error), inside func(h host)) {
	t.Helper()
	policy := passing(runtime.Policy{Name: name, Grants: runtime.Grants{KV: true}})
	called := false
	set := loadWith(t, hostfuncs.Options{KV: open}, policy, runtime.Options{}, func(h host) {
		called = true
		inside(h)
	})
	if answer := full().of(set, abi.ChooseStep); answer != abi.NoVerdict || !called {
		t.Errorf("answer %d, called %t", answer, called)
	}
}

func TestValuesAreKept(t *testing.T) {
	c := &clock{time.UnixMilli(1_800_000_000_000)}
	withMemory(t, "p", remembering(t, c.now), func(h host) {
		if text, n := h.kvGet("a", 64); n != int64(abi.NotFound) {
			t.Errorf("before anything: %q, %d", text, n)
		}
		if v := h.kvVersion("a"); v != abi.NoValue {
			t.Errorf("the version of nothing is %d", v)
		}
		if code := h.kvSet("a", "apple", 0); code != 0 {
			t.Errorf("set answers %d", code)
		}
		if text, n := h.kvGet("a", 64); text != "apple" || n != 5 {
			t.Errorf("it is %q, %d", text, n)
		}
		if text, n := h.kvGet("a", 4); text != "?????" || n != 5 {
			t.Errorf("without room for it: %q, %d", text, n)
		}
		if code := h.kvSet("b", "", 1000); code != 0 {
			t.Errorf("an empty value answers %d", code)
		}
		if _, n := h.kvGet("b", 64); n != 0 {
			t.Errorf("an empty value reads as %d", n)
		}
		c.at = c.at.Add(time.Second)
		if _, n := h.kvGet("b", 64); n != int64(abi.NotFound) {
			t.Errorf("after its time it answers %d", n)
		}
		if code := h.kvDelete("a"); code != 0 {
			t.Errorf("delete answers %d", code)
		}
		if code := h.kvDelete("a"); code != int64(abi.NotFound) {
			t.Errorf("a second delete answers %d", code)
		}
	})
}

func TestCompareAndSwap(t *testing.T) {
	withMemory(t, "p", remembering(t, nil), func(h host) {
		first := h.kvCAS("a", 0, "one", 0)
		if first <= 0 || h.kvVersion("a") != first {
			t.Errorf("the first version is %d, and %d", first, h.kvVersion("a"))
		}
		if code := h.kvCAS("a", 0, "two", 0); code != int64(abi.Conflict) {
			t.Errorf("a key that is there: %d", code)
		}
		second := h.kvCAS("a", first, "two", 0)
		if text, _ := h.kvGet("a", 64); second <= first || text != "two" {
			t.Errorf("version %d after %d, value %q", second, first, text)
		}
		if code := h.kvCAS("a", first, "three", 0); code != int64(abi.Conflict) {
			t.Errorf("an old version: %d", code)
		}
		if code := h.kvCAS("b", first, "three", 0); code != int64(abi.NotFound) {
			t.Errorf("a version of nothing: %d", code)
		}
		if code := h.kvCAS("b", -1, "three", 0); code != int64(abi.BadArgument) {
			t.Errorf("version -1: %d", code)
		}
	})
}

func TestCounters(t *testing.T) {
	const least, most = math.MinInt64, math.MaxInt64
	withMemory(t, "p", remembering(t, nil), func(h host) {
		for i, f := range []struct {
			delta, floor, ceiling int64
			value, answer         int64
		}{
			{0, least, most, 0, 1},
			{5, 0, 10, 5, 1},
			{5, 0, 10, 10, 1},
			{1, 0, 10, 10, 0},
			{-10, 0, 10, 0, 1},
			{-1, 0, 10, 0, 0},
			{-1, least, most, -1, 1},
			{most, least, most, most - 1, 1},
			{2, least, most, most - 1, 0},
		} {
			if value, answer := h.kvIncr("n", f.delta, f.floor, f.ceiling, 0); value != f.value || answer != f.answer {
				t.Errorf("%d: %+d is %d, %d; want %d, %d", i, f.delta, value, answer, f.value, f.answer)
			}
		}
		if text, _ := h.kvGet("n", 64); text != "9223372036854775806" {
			t.Errorf("it reads as %q", text)
		}
		if _, answer := h.kvIncr("n", 1, 1, 0, 0); answer != int64(abi.BadArgument) {
			t.Errorf("a floor above the ceiling: %d", answer)
		}
		h.kvSet("text", "x", 0)
		if value, answer := h.kvIncr("text", 1, 0, 9, 0); answer != int64(abi.BadArgument) || value != 0x3f3f3f3f3f3f3f3f {
			t.Errorf("a text: %d, written %x", answer, value)
		}
	})
}

func TestWindows(t *testing.T) {
	c := &clock{time.UnixMilli(1_800_000_000_000)}
	withMemory(t, "p", remembering(t, c.now), func(h host) {
		for _, want := range []int64{1, 0} { // SPEC.md's example
			if used, reset, answer := h.kvWindowAdd("spec", 3, 5, 1000); used != 3 || reset != 1063 || answer != want {
				t.Errorf("3 of 5: %d, %d, %d", used, reset, answer)
			}
		}
		if used, reset, answer := h.kvWindowAdd("w", 2, 3, 60_000); used != 2 || reset < 60_000 || reset > 64_000 || answer != 1 {
			t.Errorf("2 of 3: %d, %d, %d", used, reset, answer)
		}
		used, reset, answer := h.kvWindowAdd("w", 2, 3, 60_000)
		if used != 2 || answer != 0 {
			t.Errorf("4 of 3: %d, %d, %d", used, reset, answer)
		}
		if used, _, answer := h.kvWindowAdd("w", 0, 3, 60_000); used != 2 || answer != 1 {
			t.Errorf("asking only: %d, %d", used, answer)
		}
		c.at = c.at.Add(time.Duration(reset) * time.Millisecond)
		if used, _, answer := h.kvWindowAdd("w", 2, 3, 60_000); used != 2 || answer != 1 {
			t.Errorf("after the time that it named: %d, %d", used, answer)
		}
	})
}

func TestKeysAreListed(t *testing.T) {
	c := &clock{time.UnixMilli(1_800_000_000_000)}
	open := remembering(t, c.now)
	n, err := open("p")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3000 { // more than a namespace passes over at a time
		n.Set(fmt.Appendf(nil, "gone/%04d", i), nil, time.Second)
	}
	c.at = c.at.Add(2 * time.Second)
	for _, key := range []string{"gone/last", "user/a", "user/bb", "user/c", "zoo"} {
		n.Set([]byte(key), []byte("x"), 0)
	}
	withMemory(t, "p", open, func(h host) {
		for _, f := range []struct {
			prefix, cursor string
			size           int64
			want           string
			answer         int64
		}{
			{"user/", "", 64, "user/a user/bb user/c", 31},
			{"user/", "", 21, "user/a user/bb", 21},
			{"user/", "", 20, "user/a", 10},
			{"user/", "", 9, "", 10}, // one key needs that much
			{"user/", "", 0, "", 10},
			{"user/", "user/bb", 64, "user/c", 10},
			{"user/", "user/c", 64, "", 0},
			{"nothing", "", 64, "", 0},
			{"gone/", "", 64, "gone/last", 13},
			{"", "user/c", 64, "zoo", 7},
		} {
			keys, answer := h.kvList(f.prefix, f.cursor, f.size)
			if got := strings.Join(keys, " "); got != f.want || answer != f.answer {
				t.Errorf("%q behind %q in %d bytes: %q, %d; want %q, %d", f.prefix, f.cursor, f.size, got, answer, f.want, f.answer)
			}
		}
	})
}

func TestNoPolicySeesWhatAnotherRemembers(t *testing.T) {
	open := remembering(t, nil)
	withMemory(t, "mine", open, func(h host) { h.kvSet("a", "secret", 0) })
	withMemory(t, "theirs", open, func(h host) {
		for _, key := range []string{"a", "mine/a", "../mine/a", "kv/mine/a", "\x00a"} {
			if text, n := h.kvGet(key, 64); n != int64(abi.NotFound) {
				t.Errorf("%q is %q, %d", key, text, n)
			}
		}
		if keys, n := h.kvList("", "", 64); n != 0 {
			t.Errorf("it sees %q", keys)
		}
	})
	withMemory(t, "mine", open, func(h host) { // loaded anew
		if text, _ := h.kvGet("a", 64); text != "secret" {
			t.Errorf("it remembers %q", text)
		}
	})
}

func TestWhoMayNotRemember(t *testing.T) {
	failing := func(string) (hostfuncs.Namespace, error) { return nil, errors.New("closed") }
	for _, f := range []struct {
		name    string
		granted bool
		open    func(string) (hostfuncs.Namespace, error)
		want    abi.Code
	}{
		{"without a grant", false, remembering(t, nil), abi.NotGranted},
		{"without a store", true, nil, abi.Unavailable},
		{"with a store that cannot be opened", true, failing, abi.Unavailable},
	} {
		t.Run(f.name, func(t *testing.T) {
			p := passing(runtime.Policy{Grants: runtime.Grants{KV: f.granted}})
			set := loadWith(t, hostfuncs.Options{KV: f.open}, p, runtime.Options{}, func(h host) {
				for _, function := range []string{"kv_get", "kv_version", "kv_set", "kv_delete", "kv_cas", "kv_incr", "kv_window_add", "kv_list"} {
					if got := h.call(function, 0, 1, 0, 0, 0, 0, 0); got != int64(f.want) {
						t.Errorf("%s answers %d, want %d", function, got, f.want)
					}
				}
			})
			full().of(set, abi.PriceResponse)
		})
	}
}

// A namespace that could not be opened is asked for again.
func TestRememberingAgain(t *testing.T) {
	open, failures := remembering(t, nil), 2
	withMemory(t, "p", func(policy string) (hostfuncs.Namespace, error) {
		if failures--; failures >= 0 {
			return nil, errors.New("not yet")
		}
		return open(policy)
	}, func(h host) {
		for i, want := range []abi.Code{abi.Unavailable, abi.Unavailable, abi.OK, abi.OK} {
			if got := h.kvSet("a", "x", 0); got != int64(want) {
				t.Errorf("call %d answers %d, want %d", i, got, want)
			}
		}
		if failures != -1 {
			t.Errorf("a namespace that is known was opened again")
		}
	})
}

func TestWhatACallMayDoWithItsState(t *testing.T) {
	t.Run("64 calls", func(t *testing.T) {
		open := remembering(t, nil)
		for range 2 { // the cap is of a call
			withMemory(t, "p", open, func(h host) {
				for i := range 64 {
					if got := h.kvSet("a", "x", 0); got != 0 {
						t.Fatalf("call %d answers %d", i, got)
					}
				}
				if got := h.kvSet("a", "x", 0); got != int64(abi.OverQuota) {
					t.Errorf("the 65th answers %d", got)
				}
				if got := h.kvVersion("a"); got != int64(abi.OverQuota) {
					t.Errorf("the version answers %d", got)
				}
			})
		}
	})
	t.Run("a mebibyte", func(t *testing.T) {
		const value = 32 << 10
		withMemory(t, "p", remembering(t, nil), func(h host) {
			set := func() int64 { return h.call("kv_set", keyAt, 1, valueAt, value, 0) }
			for i := range 31 {
				if got := set(); got != 0 {
					t.Fatalf("call %d answers %d", i, got)
				}
			}
			if got := h.call("kv_get", keyAt, 1, valueAt, value); got != int64(abi.OverQuota) {
				t.Errorf("reading answers %d", got)
			}
			if got := set(); got != int64(abi.OverQuota) {
				t.Errorf("the 32nd answers %d", got)
			}
			if got := h.kvSet("b", "x", 0); got != 0 {
				t.Errorf("what still fits answers %d", got)
			}
		})
	})
	t.Run("fuel", func(t *testing.T) {
		p := passing(runtime.Policy{Grants: runtime.Grants{KV: true}, Limits: runtime.Limits{Fuel: 20_000}})
		set := loadWith(t, hostfuncs.Options{KV: remembering(t, nil)}, p, runtime.Options{}, func(h host) {
			if got := h.call("kv_set", keyAt, 1, valueAt, 30_000, 0); got != int64(abi.OverQuota) {
				t.Errorf("more bytes than fuel: %d", got)
			}
			if text, got := h.kvGet("a", 64); got != int64(abi.OverQuota) {
				t.Errorf("without fuel: %q, %d", text, got)
			}
		})
		full().of(set, abi.ChooseStep)
	})
}

func TestHostileState(t *testing.T) {
	const bad, none = int64(abi.BadArgument), int64(abi.NotFound)
	const tooLong = int64(math.MaxInt64/1_000_000) + 1 // milliseconds
	for _, test := range []struct {
		name     string
		function string
		args     []int64
		want     int64
	}{
		{"a key from nowhere", "kv_get", []int64{-1, 4, 0, 64}, bad},
		{"a key past the end of memory", "kv_get", []int64{memory - 1, 2, 0, 64}, bad},
		{"a key of 4 GiB", "kv_get", []int64{0, -1, 0, 64}, bad},
		{"no key", "kv_get", []int64{0, 0, 0, 64}, none},
		{"a value to nowhere", "kv_get", []int64{16, 1, -1, 64}, bad},
		{"a value past the end of memory", "kv_get", []int64{16, 1, memory - 1, 64}, bad},
		{"more room than there is memory", "kv_get", []int64{16, 1, 0, -1}, 5},
		{"no room, nowhere", "kv_get", []int64{16, 1, -1, 0}, 5},
		{"the version of no key", "kv_version", []int64{0, 0}, abi.NoValue},
		{"the version of a key from nowhere", "kv_version", []int64{-1, 1}, bad},
		{"a value from nowhere", "kv_set", []int64{0, 1, -1, 1, 0}, bad},
		{"a value of 4 GiB", "kv_set", []int64{0, 1, 0, -1, 0}, bad},
		{"nothing for no key", "kv_set", []int64{0, 0, 0, 0, 0}, bad},
		{"a key too long", "kv_set", []int64{0, 257, 0, 0, 0}, bad},
		{"a time below 0", "kv_set", []int64{0, 1, 0, 1, -1}, bad},
		{"more time than there is", "kv_set", []int64{0, 1, 0, 1, tooLong}, bad},
		{"the least time", "kv_set", []int64{0, 1, 0, 1, math.MinInt64}, bad},
		{"deleting no key", "kv_delete", []int64{0, 0}, none},
		{"deleting from nowhere", "kv_delete", []int64{-1, 1}, bad},
		{"the least version", "kv_cas", []int64{16, 1, math.MinInt64, 0, 1, 0}, bad},
		{"the greatest version", "kv_cas", []int64{16, 1, math.MaxInt64, 0, 1, 0}, int64(abi.Conflict)},
		{"a swap from nowhere", "kv_cas", []int64{16, 1, 0, -1, 1, 0}, bad},
		{"a sum to nowhere", "kv_incr", []int64{0, 1, 1, 0, 9, 0, -1}, bad},
		{"a sum past the end of memory", "kv_incr", []int64{0, 1, 1, 0, 9, 0, memory - 7}, bad},
		{"a counter for less than no time", "kv_incr", []int64{0, 1, 1, 0, 9, -1, 0}, bad},
		{"a counter that is a text", "kv_incr", []int64{16, 1, 1, 0, 9, 0, 32}, bad},
		{"a window to nowhere", "kv_window_add", []int64{0, 1, 1, 9, 1000, memory - 15}, bad},
		{"less than no units", "kv_window_add", []int64{0, 1, -1, 9, 1000, 32}, bad},
		{"a limit below 0", "kv_window_add", []int64{0, 1, 1, -1, 1000, 32}, bad},
		{"a window of no time", "kv_window_add", []int64{0, 1, 1, 9, 0, 32}, bad},
		{"a window that is too long", "kv_window_add", []int64{0, 1, 1, 9, 367 * 86_400_000, 32}, bad},
		{"a window that overflows", "kv_window_add", []int64{0, 1, 1, 9, tooLong, 32}, bad},
		{"a prefix from nowhere", "kv_list", []int64{-1, 1, 0, 0, 0, 64}, bad},
		{"a cursor from nowhere", "kv_list", []int64{0, 0, -1, 1, 0, 64}, bad},
		{"keys to nowhere", "kv_list", []int64{0, 0, 0, 0, -1, 64}, bad},
		{"keys past the end of memory", "kv_list", []int64{0, 0, 0, 0, memory - 2, 64}, bad},
		{"room for more keys than there is memory", "kv_list", []int64{0, 0, 0, 0, 64, -1}, 5},

		{"a digest of what is nowhere", "digest", []int64{-1, 1, 0}, bad},
		{"a digest of 4 GiB", "digest", []int64{0, -1, 0}, bad},
		{"a digest to past the end of memory", "digest", []int64{0, 1, memory - 31}, bad},
		{"a digest of nothing", "digest", []int64{-1, 0, 64}, 0},
		{"a metric from nowhere", "metric", []int64{-1, 1, 1}, bad},
		{"a metric without a name", "metric", []int64{0, 0, 1}, bad},
		{"a script past the end of memory", "script", []int64{memory - 1, 64}, bad},
		{"a script without room", "script", []int64{-1, 0}, 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := passing(runtime.Policy{Grants: runtime.Grants{KV: true}, Script: []byte("pass()")})
			set := loadWith(t, hostfuncs.Options{KV: remembering(t, nil)}, p, runtime.Options{}, func(h host) {
				h.put(16, "a")
				h.put(32, "apple")
				h.call("kv_set", 16, 1, 32, 5, 0)
				if got := h.call(test.function, test.args...); got != test.want {
					t.Errorf("%s%v answers %d, want %d", test.function, test.args, got, test.want)
				}
			})
			if answer := full().of(set, abi.ChooseStep); answer != abi.NoVerdict {
				t.Errorf("the guest did not survive: answer %d", answer)
			}
		})
	}
}

// What a policy remembers is read and counted on the request path.
func TestStateMakesNoGarbage(t *testing.T) {
	withMemory(t, "p", remembering(t, nil), func(h host) {
		h.put(keyAt, "key")
		h.call("kv_set", keyAt, 3, valueAt, 100, 0)
		h.kvIncr("n", 1, 0, 1<<40, 0)
		h.kvWindowAdd("w", 1, 1<<40, 1000)
		h.put(keyAt, "keynw")
		stack := make([]uint64, 7)
		for name, args := range map[string][]uint64{
			"kv_get":        {keyAt, 3, outAt, 200},
			"kv_version":    {keyAt, 3},
			"kv_incr":       {keyAt + 3, 1, 1, 0, 1 << 40, 0, outAt},
			"kv_window_add": {keyAt + 4, 1, 1, 1 << 40, 1000, outAt},
			"digest":        {keyAt, 100, outAt},
		} {
			call := h.functions[name]
			if n := testing.AllocsPerRun(10, func() {
				copy(stack, args)
				call(h.c, stack)
				if int64(stack[0]) < 0 || name != "kv_version" && int32(uint32(stack[0])) < 0 {
					t.Errorf("%s answers %d", name, int64(stack[0]))
				}
			}); n != 0 {
				t.Errorf("%s allocates %v times", name, n)
			}
		}
	})
}

// fixed is a namespace that answers at once, so that a benchmark shows what the host adds.
type fixed struct{ hostfuncs.Namespace }

func (fixed) Get(_, buf []byte) (int, uint64, abi.Code) { return copy(buf, "apple!!!"), 1, abi.OK }
func (fixed) Incr([]byte, int64, int64, int64, time.Duration) (int64, bool, abi.Code) {
	return 1, true, abi.OK
}

func BenchmarkState(b *testing.B) {
	for _, f := range []struct {
		name, function string
		args           []uint64
	}{
		{"get", "kv_get", []uint64{keyAt, 3, outAt, 64}},
		{"incr", "kv_incr", []uint64{keyAt, 3, 1, 0, 9, 0, outAt}},
	} {
		b.Run(f.name, func(b *testing.B) {
			p := passing(runtime.Policy{Grants: runtime.Grants{KV: true}, Limits: runtime.Limits{Fuel: 1 << 40, Time: time.Hour}})
			open := func(string) (hostfuncs.Namespace, error) { return fixed{}, nil }
			set := loadWith(b, hostfuncs.Options{KV: open}, p, runtime.Options{}, func(h host) {
				stack, call := make([]uint64, 7), h.functions[f.function]
				for range 64 {
					copy(stack, f.args)
					call(h.c, stack)
				}
			})
			question := full()
			b.ReportAllocs()
			for b.Loop() {
				question.of(set, abi.ChooseStep)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/call")
		})
	}
}

// counts is a Meter.
type counts map[string]int64

func (c counts) Add(policy, name string, value int64) { c[policy+" "+name] += value }

func TestMetrics(t *testing.T) {
	sum := counts{}
	p := passing(runtime.Policy{})
	set := loadWith(t, hostfuncs.Options{Meter: sum}, p, runtime.Options{}, func(h host) {
		metric := func(name string, value int64) int64 {
			h.put(keyAt, name)
			return h.call("metric", keyAt, int64(len(name)), value)
		}
		for _, f := range []struct {
			name  string
			value int64
			want  abi.Code
		}{
			{"denied_total", 1, abi.OK},
			{"denied_total", 2, abi.OK},
			{"nothing", 0, abi.OK},
			{"denied_total", -1, abi.BadArgument},
			{"Denied", 1, abi.BadArgument},
			{"denied-total", 1, abi.BadArgument},
			{"denied\n", 1, abi.BadArgument},
			{"ü", 1, abi.BadArgument},
			{strings.Repeat("a", 64), 1, abi.OK},
			{strings.Repeat("a", 65), 1, abi.BadArgument},
		} {
			if got := metric(f.name, f.value); got != int64(f.want) {
				t.Errorf("%q %+d answers %d, want %d", f.name, f.value, got, f.want)
			}
		}
		for i := range 13 {
			if got := metric(fmt.Sprintf("m%d", i), 1); got != 0 {
				t.Errorf("name %d answers %d", i+4, got)
			}
		}
		if got := metric("one_more", 1); got != int64(abi.OverQuota) {
			t.Errorf("the 17th name answers %d", got)
		}
		if got := metric("denied_total", 4); got != 0 {
			t.Errorf("a name that is known answers %d", got)
		}
	})
	full().of(set, abi.ChooseStep)
	if sum["p denied_total"] != 7 || len(sum) != 16 {
		t.Errorf("counted %v", sum)
	}
}

func TestDigestAndScript(t *testing.T) {
	full().of(in(t, runtime.Policy{Script: []byte("pass()")}, runtime.Options{}, func(h host) {
		h.put(keyAt, "abc")
		if code := h.call("digest", keyAt, 3, outAt); code != 0 {
			t.Errorf("digest answers %d", code)
		}
		const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
		if got := fmt.Sprintf("%x", h.memory(outAt, 32)); got != want {
			t.Errorf("the digest is %s", got)
		}
		if n := h.call("script", outAt, 64); n != 6 || h.memory(outAt, 6) != "pass()" {
			t.Errorf("the script has %d bytes: %q", n, h.memory(outAt, 6))
		}
	}), abi.ChooseStep)
	full().of(in(t, runtime.Policy{}, runtime.Options{}, func(h host) {
		if n := h.call("script", outAt, 64); n != int64(abi.Absent) {
			t.Errorf("no script answers %d", n)
		}
	}), abi.ChooseStep)
}

// Policies with other scripts share no instances.
func TestAScriptIsPartOfAPolicy(t *testing.T) {
	r, err := runtime.New(t.Context(), runtime.Options{Functions: hostfuncs.Functions(hostfuncs.Options{})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(context.WithoutCancel(t.Context())) })
	p := passing(runtime.Policy{Name: "p", Script: []byte("one")})
	first, err := r.Load(t.Context(), []runtime.Policy{p})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	p.Script = []byte("two")
	second, err := r.Load(t.Context(), []runtime.Policy{p})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if n := first.Policies()[0].Instances + second.Policies()[0].Instances; n != 2 {
		t.Errorf("%d instances", n)
	}
}
