package kv

import (
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// operations are those of every request.
func operations(tb testing.TB, n *Namespace) map[string]func() abi.Code {
	value, buf := []byte(strings.Repeat("v", 100)), make([]byte, 256)
	keys := map[string][]byte{}
	for _, key := range []string{"value", "timed", "counter", "window", "full", "set"} {
		keys[key] = []byte(key)
	}
	set(tb, n, "value", string(value), 0)
	set(tb, n, "timed", string(value), time.Hour)
	ops := map[string]func() abi.Code{
		"Get":            func() abi.Code { _, _, code := n.Get(keys["value"], buf); return code },
		"Get with a ttl": func() abi.Code { _, _, code := n.Get(keys["timed"], buf); return code },
		"Get a counter":  func() abi.Code { _, _, code := n.Get(keys["counter"], buf); return code },
		"Set":            func() abi.Code { return n.Set(keys["set"], value, time.Hour) },
		"Incr":           func() abi.Code { _, _, code := n.Incr(keys["counter"], 1, 0, 1<<60, 0); return code },
		"WindowAdd": func() abi.Code {
			_, _, _, code := n.WindowAdd(keys["window"], 1, 1<<60, time.Minute)
			return code
		},
		"WindowAdd refused": func() abi.Code {
			_, _, _, code := n.WindowAdd(keys["full"], 1, 1, time.Hour)
			return code
		},
	}
	for _, op := range []string{"Incr", "WindowAdd", "WindowAdd refused", "Set"} {
		ops[op]()
	}
	return ops
}

func TestOperationsAllocateNothing(t *testing.T) {
	n := only(t, Options{Store: newDisk(), interval: time.Hour})
	for name, op := range operations(t, n) {
		if allocs := testing.AllocsPerRun(1000, func() { op() }); allocs != 0 {
			t.Errorf("%s allocates %v times, want 0", name, allocs)
		}
	}
}

// BenchmarkOperations prints what an operation costs, among 10,000 keys, alone and with all processors in one
// namespace. Changes are written to a store in memory meanwhile.
func BenchmarkOperations(b *testing.B) {
	n := only(b, Options{Store: newDisk(), Quota: Quota{Keys: 20_000}})
	for i := range 10_000 {
		set(b, n, "key_"+strings.Repeat("0", i%7)+time.Duration(i).String(), "v", 0)
	}
	ops := operations(b, n)
	for _, name := range []string{"Get", "Get with a ttl", "Set", "Incr", "WindowAdd", "WindowAdd refused"} {
		op := ops[name]
		b.Run(name+"/single", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				op()
			}
		})
	}
	for _, name := range []string{"Get", "Incr", "WindowAdd"} {
		b.Run(name+"/parallel", func(b *testing.B) {
			b.ReportAllocs()
			key, number := []byte(strings.ToLower(name[:1])), int64(1)<<60
			set(b, n, "g", strings.Repeat("v", 100), 0)
			b.RunParallel(func(pb *testing.PB) {
				buf := make([]byte, 256)
				for pb.Next() {
					switch name {
					case "Get":
						n.Get(key, buf)
					case "Incr":
						n.Incr(key, 1, 0, number, 0)
					default:
						n.WindowAdd(key, 1, number, time.Minute)
					}
				}
			})
		})
	}
}

// BenchmarkFlush prints what it costs to write 10,000 changed keys, and to list and to add one among as many.
func BenchmarkFlush(b *testing.B) {
	d := newDisk()
	n := only(b, Options{Store: d, interval: time.Hour})
	keys := make([][]byte, 9_999)
	for i := range keys {
		keys[i] = []byte(time.Duration(i).String())
		n.Incr(keys[i], 1, 0, 1<<60, 0)
	}
	b.Run("flush", func(b *testing.B) {
		for b.Loop() {
			for _, key := range keys {
				n.Incr(key, 1, 0, 1<<60, 0)
			}
			if err := n.flush(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("add", func(b *testing.B) {
		for b.Loop() {
			n.Set([]byte("another"), nil, 0)
			n.Delete([]byte("another"))
		}
	})
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			n.List([]byte("5"), nil, 100)
		}
	})
}
