package hosttest_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
	"github.com/sallyport-dev/sallyport/sdk/go/hosttest"
)

// remembering asks a policy that does this and passes.
func remembering(s hosttest.Setting, do func()) hosttest.Outcome {
	return hosttest.Authentication{Setting: s}.Ask(authenticating(func(*sallyport.Authentication) sallyport.Verdict {
		do()
		return sallyport.Pass
	})).Outcome
}

func TestStateNeedsItsGrant(t *testing.T) {
	remembering(hosttest.Setting{}, func() {
		_, _, get := sallyport.KVGet("a")
		_, version := sallyport.KVVersion("a")
		_, cas := sallyport.KVCAS("a", 0, nil, 0)
		_, _, incr := sallyport.KVIncr("a", 1, 0, 9, 0)
		_, window := sallyport.KVWindowAdd("a", 1, 9, time.Minute)
		var list error
		for _, list = range sallyport.KVKeys("") {
		}
		for name, err := range map[string]error{
			"get": get, "version": version, "set": sallyport.KVSet("a", nil, 0), "delete": sallyport.KVDelete("a"), "cas": cas,
			"incr": incr, "window": window, "list": list,
		} {
			if !errors.Is(err, sallyport.NotGranted) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestStateOutlivesAQuestion(t *testing.T) {
	kv := &hosttest.KV{}
	kv.Set("greeting", "hello")
	remembering(hosttest.Setting{KV: kv}, func() {
		before, err := sallyport.KVVersion("greeting")
		value, found, _ := sallyport.KVGet("greeting")
		if string(value) != "hello" || !found || err != nil {
			t.Errorf("it is %q, %t, %v", value, found, err)
		}
		if err := sallyport.KVSet("greeting", []byte("hi"), 0); err != nil {
			t.Error(err)
		}
		if _, err := sallyport.KVCAS("greeting", before, nil, 0); !errors.Is(err, sallyport.Conflict) {
			t.Errorf("an old version: %v", err)
		}
		if _, err := sallyport.KVCAS("none", before, nil, 0); !errors.Is(err, sallyport.NotFound) {
			t.Errorf("a version of nothing: %v", err)
		}
		if _, err := sallyport.KVCAS("none", -1, nil, 0); !errors.Is(err, sallyport.BadArgument) {
			t.Errorf("a version below 0: %v", err)
		}
		now, _ := sallyport.KVVersion("greeting")
		if version, err := sallyport.KVCAS("greeting", now, []byte("hey"), time.Minute); version <= now || err != nil {
			t.Errorf("version %d after %d, %v", version, now, err)
		}
		if version, err := sallyport.KVVersion("none"); version != 0 || err != nil {
			t.Errorf("the version of nothing is %d, %v", version, err)
		}
		for range 2 { // that it is gone already is no error
			if err := sallyport.KVDelete("none"); err != nil {
				t.Error(err)
			}
		}
	})
	if value, found := kv.Get("greeting"); value != "hey" || !found {
		t.Errorf("afterwards it is %q, %t", value, found)
	}
	later := hosttest.Setting{KV: kv, Now: time.Date(2027, 1, 1, 0, 1, 0, 0, time.UTC)}
	remembering(later, func() {
		if value, found, err := sallyport.KVGet("greeting"); found || err != nil {
			t.Errorf("after its time it is %q, %v", value, err)
		}
	})
}

func TestCountersAndWindows(t *testing.T) {
	kv := &hosttest.KV{}
	remembering(hosttest.Setting{KV: kv}, func() {
		for _, f := range []struct {
			delta, want int64
			applied     bool
		}{{0, 0, true}, {3, 3, true}, {3, 3, false}, {2, 5, true}, {-6, 5, false}, {-5, 0, true}} {
			if value, applied, err := sallyport.KVIncr("n", f.delta, 0, 5, 0); value != f.want || applied != f.applied || err != nil {
				t.Errorf("%+d: %d, %t, %v", f.delta, value, applied, err)
			}
		}
		for _, want := range []sallyport.Window{{Allowed: true, Used: 2, Reset: time.Minute}, {Used: 2, Reset: time.Minute}} {
			if w, err := sallyport.KVWindowAdd("w", 2, 3, time.Minute); w != want || err != nil {
				t.Errorf("got %+v, %v, want %+v", w, err, want)
			}
		}
		if _, _, err := sallyport.KVIncr("w", 1, 0, 9, 0); !errors.Is(err, sallyport.BadArgument) {
			t.Errorf("a window is no counter: %v", err)
		}
	})
	if value, _ := kv.Get("n"); value != "0" {
		t.Errorf("the counter is %q", value)
	}
	remembering(hosttest.Setting{KV: kv, Now: time.Date(2027, 1, 1, 0, 1, 0, 0, time.UTC)}, func() {
		if w, err := sallyport.KVWindowAdd("w", 3, 3, time.Minute); !w.Allowed || w.Used != 3 || err != nil {
			t.Errorf("a minute later: %+v, %v", w, err)
		}
	})
}

func TestKeys(t *testing.T) {
	kv := &hosttest.KV{}
	var want []string
	for i := range 300 { // more than one asking has room for
		key := fmt.Sprintf("user/%03d", i)
		kv.Set(key, "")
		want = append(want, key)
	}
	kv.Set("other", "")
	kv.Set("user/"+strings.Repeat("z", 251), "")
	want = append(want, "user/"+strings.Repeat("z", 251))
	remembering(hosttest.Setting{KV: kv}, func() {
		var got []string
		for key, err := range sallyport.KVKeys("user/") {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(key))
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %d keys: %v", len(got), got)
		}
		for key := range sallyport.KVKeys("user/") {
			if string(key) == "user/001" {
				break
			}
		}
	})
	if got := kv.Keys(); len(got) != 302 || got[0] != "other" {
		t.Errorf("%d keys", len(got))
	}
}

func TestWhatAHookMayMove(t *testing.T) {
	remembering(hosttest.Setting{KV: &hosttest.KV{}}, func() {
		for range 64 {
			if err := sallyport.KVSet("a", nil, 0); err != nil {
				t.Fatal(err)
			}
		}
		if err := sallyport.KVSet("a", nil, 0); !errors.Is(err, sallyport.OverQuota) {
			t.Errorf("the 65th call: %v", err)
		}
	})
	remembering(hosttest.Setting{KV: &hosttest.KV{}}, func() {
		value := make([]byte, 64<<10)
		for i := range 16 {
			if err := sallyport.KVSet("a", value, 0); (err != nil) != (i == 15) {
				t.Errorf("call %d: %v", i, err)
			}
		}
	})
}

func TestMetricsDigestAndScript(t *testing.T) {
	var script []byte
	got := remembering(hosttest.Setting{Script: "pass()"}, func() {
		script, _ = sallyport.Script()
		script = slices.Clone(script)
		sum, err := sallyport.Digest([]byte("abc"))
		if fmt.Sprintf("%x", sum[:4]) != "ba7816bf" || err != nil {
			t.Errorf("the digest is %x, %v", sum, err)
		}
		if _, err := sallyport.Digest(make([]byte, 1<<20+1)); !errors.Is(err, sallyport.BadArgument) {
			t.Errorf("more than a mebibyte: %v", err)
		}
		for _, value := range []int64{1, 2} {
			if err := sallyport.Metric("denied_total", value); err != nil {
				t.Error(err)
			}
		}
		for _, name := range []string{"", "Denied", "a b", strings.Repeat("x", 65)} {
			if err := sallyport.Metric(name, 1); !errors.Is(err, sallyport.BadArgument) {
				t.Errorf("%q: %v", name, err)
			}
		}
		for i := range 16 {
			if err := sallyport.Metric(fmt.Sprintf("m%d", i), 1); (err != nil) != (i == 15) {
				t.Errorf("name %d: %v", i, err)
			}
		}
	})
	if string(script) != "pass()" || got.Metrics["denied_total"] != 3 || len(got.Metrics) != 16 {
		t.Errorf("script %q, metrics %v", script, got.Metrics)
	}
}
