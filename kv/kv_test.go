package kv

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNamespacesAreApart(t *testing.T) {
	d := newDisk()
	opts := quiet(d, newClock())
	kv := opened(t, opts)
	a, b := namespace(t, kv, "a"), namespace(t, kv, "a.b")
	set(t, a, "k", "of a", 0)
	set(t, a, "../a.b/k", "outside?", 0)
	set(t, a, ".b/k", "outside?", 0)
	set(t, a, "\x00", "outside?", 0)
	if keys, _, _ := b.List(nil, nil, 100); len(keys) > 0 || text(b, "k") != "not found" {
		t.Errorf("one policy sees another's keys %q, and %q", keys, text(b, "k"))
	}
	set(t, b, "k", "of b", 0)
	if again := namespace(t, kv, "a"); again != a {
		t.Error("the policy was loaded anew, and has another namespace")
	}
	if err := kv.Close(); err != nil {
		t.Fatal(err)
	}
	kv = opened(t, opts)
	if got := text(namespace(t, kv, "a"), "k") + ", " + text(namespace(t, kv, "a.b"), "k"); got != "of a, of b" {
		t.Errorf("after a restart: %s", got)
	}
	for _, bad := range []string{"", "a/b", "/"} {
		if _, err := kv.Namespace(bad); !errors.Is(err, ErrName) {
			t.Errorf("a namespace %q: %v, want %v", bad, err, ErrName)
		}
	}
}

func TestOperationsAnswerWithCodes(t *testing.T) {
	n := only(t, quiet(newDisk(), newClock()))
	long, large := strings.Repeat("k", 257), strings.Repeat("v", 64<<10+1)
	set(t, n, "value", "hello", 0)
	set(t, n, strings.Repeat("k", 256), strings.Repeat("v", 64<<10), 0)
	set(t, n, "empty", "", 0)
	set(t, n, "huge", "9223372036854775808", 0)
	if _, _, code := n.Incr([]byte("counter"), 1, 0, 10, 0); code != abi.OK {
		t.Fatal(code)
	}
	if _, _, _, code := n.WindowAdd([]byte("window"), 1, 10, time.Minute); code != abi.OK {
		t.Fatal(code)
	}
	get := func(key string) abi.Code { _, _, code := n.Get([]byte(key), nil); return code }
	put := func(key, value string, ttl time.Duration) abi.Code { return n.Set([]byte(key), []byte(value), ttl) }
	cas := func(key string, version uint64, value string, ttl time.Duration) abi.Code {
		_, code := n.CAS([]byte(key), version, []byte(value), ttl)
		return code
	}
	incr := func(key string, floor, ceiling int64, ttl time.Duration) abi.Code {
		_, _, code := n.Incr([]byte(key), 1, floor, ceiling, ttl)
		return code
	}
	window := func(key string, units, limit int64, length time.Duration) abi.Code {
		_, _, _, code := n.WindowAdd([]byte(key), units, limit, length)
		return code
	}
	list := func(limit int) abi.Code { _, _, code := n.List(nil, nil, limit); return code }
	for _, test := range []struct {
		what      string
		got, want abi.Code
	}{
		{"get nothing", get("none"), abi.NotFound},
		{"get no key", get(""), abi.NotFound},
		{"get a key that cannot be", get(long), abi.NotFound},
		{"get a window", get("window"), abi.BadArgument},
		{"get a counter", get("counter"), abi.OK},
		{"set no key", put("", "v", 0), abi.BadArgument},
		{"set a long key", put(long, "v", 0), abi.BadArgument},
		{"set a large value", put("k", large, 0), abi.BadArgument},
		{"set a large value over a value", put("value", large, 0), abi.BadArgument},
		{"set for less than no time", put("k", "v", -1), abi.BadArgument},
		{"cas no key", cas("", 0, "v", 0), abi.BadArgument},
		{"cas a large value", cas("k", 0, large, 0), abi.BadArgument},
		{"cas for less than no time", cas("k", 0, "v", -1), abi.BadArgument},
		{"cas what is not there", cas("none", 7, "v", 0), abi.NotFound},
		{"cas what is there as new", cas("value", 0, "v", 0), abi.Conflict},
		{"cas another version", cas("value", 7, "v", 0), abi.Conflict},
		{"delete nothing", n.Delete([]byte("none")), abi.NotFound},
		{"delete no key", n.Delete(nil), abi.NotFound},
		{"incr no key", incr("", 0, 10, 0), abi.BadArgument},
		{"incr a long key", incr(long, 0, 10, 0), abi.BadArgument},
		{"incr within nothing", incr("counter", 1, 0, 0), abi.BadArgument},
		{"incr for less than no time", incr("counter", 0, 10, -1), abi.BadArgument},
		{"incr a text", incr("value", 0, 10, 0), abi.BadArgument},
		{"incr an empty value", incr("empty", 0, 10, 0), abi.BadArgument},
		{"incr what no counter holds", incr("huge", 0, 10, 0), abi.BadArgument},
		{"incr a window", incr("window", 0, 10, 0), abi.BadArgument},
		{"add to no key", window("", 1, 10, time.Minute), abi.BadArgument},
		{"add to a long key", window(long, 1, 10, time.Minute), abi.BadArgument},
		{"add less than nothing", window("window", -1, 10, time.Minute), abi.BadArgument},
		{"add under a negative limit", window("window", 1, -1, time.Minute), abi.BadArgument},
		{"add within no time", window("window", 1, 10, 0), abi.BadArgument},
		{"add within years", window("window", 1, 10, MaxWindow+1), abi.BadArgument},
		{"add to a value", window("value", 1, 10, time.Minute), abi.BadArgument},
		{"add to a counter", window("counter", 1, 10, time.Minute), abi.BadArgument},
		{"add within a nanosecond", window("brief", 1, 10, 1), abi.OK},
		{"add within a year", window("lengthy", 1, 10, MaxWindow), abi.OK},
		{"list nothing", list(0), abi.BadArgument},
		{"list less than nothing", list(-1), abi.BadArgument},
		{"list much", list(math.MaxInt), abi.OK},
	} {
		if test.got != test.want {
			t.Errorf("%s: %s, want %s", test.what, name(test.got), name(test.want))
		}
	}
	if text(n, "value") != "hello" {
		t.Errorf("what was refused changed the value to %s", text(n, "value"))
	}
	checked(t, n)
}

func TestGetCopiesWhatFits(t *testing.T) {
	n := only(t, quiet(newDisk(), newClock()))
	mine := []byte("hello")
	if code := n.Set([]byte("k"), mine, 0); code != abi.OK {
		t.Fatal(code)
	}
	copy(mine, "HELLO")
	for _, test := range []struct {
		size int
		want string
	}{{0, ""}, {4, "...."}, {5, "hello"}, {7, "hello.."}} {
		buf := []byte(strings.Repeat(".", test.size))
		length, _, code := n.Get([]byte("k"), buf)
		if length != 5 || code != abi.OK || string(buf) != test.want {
			t.Errorf("into %d bytes: %d, %s, %q; want 5, OK, %q", test.size, length, name(code), buf, test.want)
		}
		copy(buf, "-----")
	}
	if got := text(n, "k"); got != "hello" {
		t.Errorf("%q: the value is a caller's memory", got)
	}
	if _, _, code := n.Incr([]byte("c"), -120, math.MinInt64, 0, 0); code != abi.OK {
		t.Fatal(code)
	}
	var digits [4]byte
	if length, _, _ := n.Get([]byte("c"), digits[:3]); length != 4 || digits != [4]byte{} {
		t.Errorf("a counter that does not fit: %d, %q", length, digits)
	}
	if length, _, _ := n.Get([]byte("c"), digits[:]); length != 4 || string(digits[:]) != "-120" {
		t.Errorf("a counter: %d, %q", length, digits)
	}
}

func TestIncrStaysWithinBounds(t *testing.T) {
	const least, most = math.MinInt64, math.MaxInt64
	for _, test := range []struct {
		name                  string
		before                string // "": no key
		delta, floor, ceiling int64
		value                 int64
		applied               bool
		after                 string
	}{
		{"a new key", "", 3, 0, 10, 3, true, "3"},
		{"a new key, too much", "", 11, 0, 10, 0, false, "not found"},
		{"a new key, asked only", "", 0, 0, 10, 0, true, "not found"},
		{"a new key, out of bounds", "", 0, 1, 10, 0, false, "not found"},
		{"up to the ceiling", "7", 3, 0, 10, 10, true, "10"},
		{"above the ceiling", "7", 4, 0, 10, 7, false, "7"},
		{"down to the floor", "7", -7, 0, 10, 0, true, "0"},
		{"below the floor", "7", -8, 0, 10, 7, false, "7"},
		{"asked only", "7", 0, 0, 10, 7, true, "7"},
		{"bounds that have moved away", "70", -3, 0, 10, 70, false, "70"},
		{"back into the bounds", "70", -60, 0, 10, 10, true, "10"},
		{"no bounds", "-5", 10, least, most, 5, true, "5"},
		{"over the top", "9223372036854775807", 1, least, most, most, false, "9223372036854775807"},
		{"over the bottom", "-9223372036854775808", -1, least, most, least, false, "-9223372036854775808"},
		{"from end to end", "9223372036854775807", least, least, most, -1, true, "-1"},
		{"the bottom, from nothing", "", least, least, most, least, true, "-9223372036854775808"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := only(t, quiet(newDisk(), newClock()))
			if test.before != "" {
				set(t, n, "k", test.before, 0)
			}
			value, applied, code := n.Incr([]byte("k"), test.delta, test.floor, test.ceiling, 0)
			if value != test.value || applied != test.applied || code != abi.OK {
				t.Errorf("%d, %t, %s; want %d, %t", value, applied, name(code), test.value, test.applied)
			}
			if got := text(n, "k"); got != test.after {
				t.Errorf("then it is %s, want %s", got, test.after)
			}
			checked(t, n)
		})
	}
	n := only(t, quiet(newDisk(), newClock()))
	for _, odd := range []string{"+1", "01", "-0", " 1", "1 ", "1.0", "0x1", "1_0", "٣", "12345678901234567890"} {
		set(t, n, "k", odd, 0)
		if _, _, code := n.Incr([]byte("k"), 1, 0, most, 0); code != abi.BadArgument || text(n, "k") != odd {
			t.Errorf("counting on from %q: %s, and it is %q", odd, name(code), text(n, "k"))
		}
	}
}

func TestCASKnowsEveryVersion(t *testing.T) {
	n := only(t, quiet(newDisk(), newClock()))
	key := []byte("k")
	seen := map[uint64]bool{0: true}
	note := func(version uint64) uint64 {
		t.Helper()
		if seen[version] {
			t.Errorf("version %d for the second time", version)
		}
		seen[version] = true
		return version
	}
	v, code := n.CAS(key, 0, []byte("1"), 0)
	if note(v); code != abi.OK {
		t.Fatal(name(code))
	}
	if _, got, _ := n.Get(key, nil); got != v {
		t.Errorf("Get says version %d, CAS %d", got, v)
	}
	first := v
	if v, code = n.CAS(key, v, []byte("2"), 0); code != abi.OK {
		t.Fatal(name(code))
	}
	note(v)
	if now, code := n.CAS(key, first, []byte("3"), 0); code != abi.Conflict || now != v {
		t.Errorf("with an old version: %d, %s; want %d, conflict", now, name(code), v)
	}
	set(t, n, "k", "4", 0)
	_, v, _ = n.Get(key, nil)
	note(v)
	if _, _, code := n.Incr(key, 1, 0, 10, 0); code != abi.OK {
		t.Fatal(name(code))
	}
	_, v, _ = n.Get(key, nil)
	note(v)
	if code := n.Delete(key); code != abi.OK {
		t.Fatal(name(code))
	}
	if _, code := n.CAS(key, v, []byte("5"), 0); code != abi.NotFound {
		t.Errorf("after Delete: %s", name(code))
	}
	v, _ = n.CAS(key, 0, []byte("6"), 0)
	note(v)
	if text(n, "k") != "6" {
		t.Errorf("it is %s", text(n, "k"))
	}
}

// A version that a policy has seen is never given again, not even if a kill has lost it, or all keys have gone.
func TestVersionsDoNotComeBack(t *testing.T) {
	d, c := newDisk(), newClock()
	n := only(t, quiet(d, c))
	set(t, n, "k", "written", 0)
	flushed(t, n)
	killed := d.snapshot()
	set(t, n, "k", "lost", 0)
	_, lost, _ := n.Get([]byte("k"), nil)
	for _, after := range []struct {
		name string
		rows *disk
	}{{"a kill", killed}, {"all keys have gone", newDisk()}} {
		c.Add(time.Millisecond)
		n := only(t, quiet(after.rows, c))
		set(t, n, "k", "again", 0)
		if _, version, _ := n.Get([]byte("k"), nil); version <= lost {
			t.Errorf("after %s: version %d, and %d was given before", after.name, version, lost)
		}
	}
	c.Add(-time.Hour) // then the rows know
	n = only(t, quiet(killed, c))
	_, before, _ := n.Get([]byte("k"), nil)
	set(t, n, "k", "again", 0)
	if _, version, _ := n.Get([]byte("k"), nil); version <= before {
		t.Errorf("with the clock put back: version %d after %d", version, before)
	}
}

func TestExpiredIsGoneForEveryOperation(t *testing.T) {
	const forever = time.Duration(math.MaxInt64)
	key := []byte("k")
	for _, test := range []struct {
		name string
		do   func(n *Namespace) string
		want string
	}{
		{"get", func(n *Namespace) string { return text(n, "k") }, "not found"},
		{"set", func(n *Namespace) string { return name(n.Set(key, []byte("new"), 0)) + " " + text(n, "k") }, "OK new"},
		{"set for ever", func(n *Namespace) string { return name(n.Set(key, nil, forever)) + text(n, "k") }, "OK"},
		{"delete", func(n *Namespace) string { return name(n.Delete(key)) }, "not found"},
		{"cas", func(n *Namespace) string {
			_, code := n.CAS(key, 0, []byte("new"), 0)
			return name(code) + " " + text(n, "k")
		}, "OK new"},
		{"incr", func(n *Namespace) string {
			value, applied, code := n.Incr(key, 1, 0, 10, 0)
			return fmt.Sprint(value, applied, " ", name(code))
		}, "1 true OK"},
		{"window", func(n *Namespace) string {
			allowed, used, reset, code := n.WindowAdd(key, 1, 10, 16*time.Second)
			return fmt.Sprint(allowed, used, reset, " ", name(code))
		}, "true 1 17s OK"},
		{"list", func(n *Namespace) string {
			keys, next, _ := n.List(nil, nil, 10)
			return fmt.Sprint(keys, next)
		}, "[]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, restart := range []bool{false, true} {
				d, c := newDisk(), newClock()
				opts := quiet(d, c)
				kv := opened(t, opts)
				n := namespace(t, kv, "p")
				set(t, n, "k", "7", time.Minute)
				c.Add(time.Minute - 1)
				if got := text(n, "k"); got != "7" {
					t.Fatalf("a moment before: %s", got)
				}
				if restart {
					if err := kv.Close(); err != nil {
						t.Fatal(err)
					}
					n = only(t, opts)
				}
				c.Add(1)
				if got := test.do(n); got != test.want {
					t.Errorf("restarted %t: %s, want %s", restart, got, test.want)
				}
				checked(t, n)
			}
		})
	}
}

// Incr's ttl begins with the key.
func TestIncrDoesNotProlong(t *testing.T) {
	c := newClock()
	n := only(t, quiet(newDisk(), c))
	for i := range int64(3) {
		if value, _, _ := n.Incr([]byte("k"), 1, 0, 10, time.Minute); value != i+1 {
			t.Errorf("call %d: %d", i, value)
		}
		c.Add(20 * time.Second)
	}
	if value, _, _ := n.Incr([]byte("k"), 1, 0, 10, time.Minute); value != 1 {
		t.Errorf("a minute after the first: %d, want 1", value)
	}
}

func TestListGoesOn(t *testing.T) {
	n := only(t, Options{Store: newDisk(), Clock: newClock().Now, interval: time.Hour})
	var want []string
	for i := range 2500 {
		key := fmt.Sprintf("a/%04d", i*7919%2500)
		set(t, n, key, "", 0)
		want = append(want, key)
	}
	slices.Sort(want)
	set(t, n, "a", "", 0)
	set(t, n, "b", "", 0)
	for _, limit := range []int{1, 7, 512, 1000, math.MaxInt} {
		var got []string
		calls := 0
		for cursor := ""; calls == 0 || cursor != ""; calls++ {
			keys, next, code := n.List([]byte("a/"), []byte(cursor), limit)
			if code != abi.OK || len(keys) > min(limit, maxList) || calls > 3000 {
				t.Fatalf("limit %d: %d keys, %s, after %d calls", limit, len(keys), name(code), calls)
			}
			got, cursor = append(got, keys...), next
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: %d keys, want %d", limit, len(got), len(want))
		}
	}
	for _, test := range []struct{ prefix, cursor, want string }{
		{"", "a/2498", "[a/2499 b]"},
		{"b", "", "[b]"},
		{"b", "a", "[b]"},
		{"a/249", "a/2498", "[a/2499]"},
		{"a/249", "a/25", "[]"},
		{"c", "", "[]"},
	} {
		if keys, next, _ := n.List([]byte(test.prefix), []byte(test.cursor), 10); fmt.Sprint(keys) != test.want || next != "" {
			t.Errorf("List(%q, %q): %v, %q; want %s", test.prefix, test.cursor, keys, next, test.want)
		}
	}
}

// Expired keys that lie in a List's way do not make one call long.
func TestListPassesOverExpired(t *testing.T) {
	c := newClock()
	n := only(t, quiet(newDisk(), c))
	for i := range 2500 {
		set(t, n, fmt.Sprintf("%04d", i), "", time.Second)
	}
	set(t, n, "last", "", 0)
	c.Add(time.Second)
	keys, next, _ := n.List(nil, nil, 5)
	if len(keys) != 0 || next == "" {
		t.Errorf("the first call: %v, %q", keys, next)
	}
	for calls := 0; next != "" && calls < 10; calls++ {
		keys, next, _ = n.List(nil, []byte(next), 5)
	}
	if fmt.Sprint(keys, next) != "[last]" {
		t.Errorf("the last call: %v, %q", keys, next)
	}
}

func TestQuota(t *testing.T) {
	n := only(t, Options{Store: newDisk(), Clock: newClock().Now, Quota: Quota{Keys: 3, Bytes: 400, Key: 4, Value: 200}, interval: time.Hour})
	zero := func(size int) []byte { return []byte(strings.Repeat("0", size)) }
	put := func(key string, size int) func() abi.Code {
		return func() abi.Code { return n.Set([]byte(key), zero(size), 0) }
	}
	incr := func(key string) func() abi.Code {
		return func() abi.Code { _, _, code := n.Incr([]byte(key), 1, 0, 10, 0); return code }
	}
	window := func(key string, units int64) func() abi.Code {
		return func() abi.Code { _, _, _, code := n.WindowAdd([]byte(key), units, 10, time.Minute); return code }
	}
	drop := func(key string) func() abi.Code { return func() abi.Code { return n.Delete([]byte(key)) } }
	for i, test := range []struct {
		do          func() abi.Code
		code        abi.Code
		keys, bytes int64
	}{
		{put("a", 201), abi.BadArgument, 0, 0},
		{put("abcde", 1), abi.BadArgument, 0, 0},
		{put("a", 200), abi.OK, 1, 201},
		{put("b", 199), abi.OverQuota, 1, 201},
		{put("b", 198), abi.OK, 2, 400},
		{put("c", 0), abi.OverQuota, 2, 400},
		{put("b", 199), abi.OverQuota, 2, 400},
		{incr("c"), abi.OverQuota, 2, 400},
		{put("b", 0), abi.OK, 2, 202},
		{window("w", 1), abi.OK, 3, 363},
		{window("x", 1), abi.OverQuota, 3, 363},
		{window("x", 0), abi.OK, 3, 363},
		{window("w", 1), abi.OK, 3, 363},
		{put("d", 0), abi.OverQuota, 3, 363},
		{put("w", 0), abi.OK, 3, 203},
		{drop("w"), abi.OK, 2, 202},
		{drop("w"), abi.NotFound, 2, 202},
		{incr("c"), abi.OK, 3, 211},
		{put("c", 1), abi.OK, 3, 204},
		{incr("c"), abi.OK, 3, 211},
		{drop("a"), abi.OK, 2, 10},
		{drop("b"), abi.OK, 1, 9},
		{drop("c"), abi.OK, 0, 0},
	} {
		code := test.do()
		if f := n.figures(); code != test.code || f.Keys != test.keys || f.Bytes != test.bytes {
			t.Errorf("step %d: %s with %d keys and %d bytes; want %s, %d, %d", i, name(code), f.Keys, f.Bytes, name(test.code), test.keys, test.bytes)
		}
		checked(t, n)
	}
	if f := n.figures(); f.Refused != 6 {
		t.Errorf("%d were refused, want 6", f.Refused)
	}
}

// What has expired counts, but it does not keep out what is new.
func TestExpiredGivesWay(t *testing.T) {
	c := newClock()
	n := only(t, Options{Store: newDisk(), Clock: c.Now, Quota: Quota{Keys: 1000}, interval: time.Hour})
	for i := range 1000 {
		set(t, n, fmt.Sprint("old", i), "", time.Second)
	}
	c.Add(time.Second)
	if f := n.figures(); f.Keys != 1000 {
		t.Errorf("before it is swept it counts as %d keys, want 1000", f.Keys)
	}
	for i := range 1000 {
		set(t, n, fmt.Sprint("new", i), "", 0)
	}
	if code := n.Set([]byte("one more"), nil, 0); code != abi.OverQuota {
		t.Errorf("one more: %s", name(code))
	}
	checked(t, n)
}

func TestSweepGoesRound(t *testing.T) {
	d, c := newDisk(), newClock()
	n := only(t, quiet(d, c))
	for i := range 9000 {
		set(t, n, fmt.Sprint("k", i), "", time.Duration(i%2)*time.Second)
	}
	flushed(t, n)
	c.Add(time.Second)
	n.sweepAll()
	if f := n.figures(); f.Keys == 4500 || f.Keys < 9000-sweepStep*sweepSteps {
		t.Errorf("after one round %d keys are left: it is not bounded", f.Keys)
	}
	for range 3 {
		n.sweepAll()
	}
	flushed(t, n)
	if f := n.figures(); f.Keys != 4500 || d.len() != 4500 {
		t.Errorf("%d keys and %d rows are left, want 4500", f.Keys, d.len())
	}
	checked(t, n)
}
