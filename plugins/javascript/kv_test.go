package javascript_test

import (
	"context"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/runtime"
)

// namespace is a namespace in memory, for one call at a time. Time does not pass in it.
type namespace struct {
	values   map[string]string
	versions map[string]uint64
	made     uint64
}

func (n *namespace) Get(key, buf []byte) (int, uint64, abi.Code) {
	value, ok := n.values[string(key)]
	if !ok {
		return 0, 0, abi.NotFound
	}
	if len(value) <= len(buf) {
		copy(buf, value)
	}
	return len(value), n.versions[string(key)], abi.OK
}

func (n *namespace) Set(key, value []byte, _ time.Duration) abi.Code {
	n.made++
	n.values[string(key)], n.versions[string(key)] = string(value), n.made
	return abi.OK
}

func (n *namespace) Delete(key []byte) abi.Code {
	if _, ok := n.values[string(key)]; !ok {
		return abi.NotFound
	}
	delete(n.values, string(key))
	return abi.OK
}

func (n *namespace) CAS(key []byte, version uint64, value []byte, ttl time.Duration) (uint64, abi.Code) {
	if n.versions[string(key)] != version {
		return 0, abi.Conflict
	}
	code := n.Set(key, value, ttl)
	return n.made, code
}

func (n *namespace) Incr(key []byte, delta, floor, ceiling int64, ttl time.Duration) (int64, bool, abi.Code) {
	value, _ := strconv.ParseInt(n.values[string(key)], 10, 64)
	if sum := value + delta; sum < floor || sum > ceiling {
		return value, false, abi.OK
	}
	n.Set(key, strconv.AppendInt(nil, value+delta, 10), ttl)
	return value + delta, true, abi.OK
}

func (n *namespace) WindowAdd(key []byte, units, limit int64, length time.Duration) (bool, int64, time.Duration, abi.Code) {
	used, applied, code := n.Incr(key, units, 0, limit, length)
	return applied, used, length, code
}

// List returns one key at a time, so that a script that wants all has to go on.
func (n *namespace) List(prefix, cursor []byte, _ int) ([]string, string, abi.Code) {
	for _, key := range slices.Sorted(maps.Keys(n.values)) {
		if strings.HasPrefix(key, string(prefix)) && key > string(cursor) {
			return []string{key}, key, abi.OK
		}
	}
	return nil, "", abi.OK
}

// meter is what was counted.
type meter map[string]int64

func (m meter) Add(_, name string, value int64) { m[name] += value }

var (
	_ hostfuncs.Namespace = (*namespace)(nil)
	_ hostfuncs.Meter     = (meter)(nil)
)

func TestScriptsKeep(t *testing.T) {
	facts := []struct{ name, body, want string }{
		{"nothing", `[kv.get("a"), kv.version("a"), kv.delete("a"), kv.keys().length]`, `[null,"0",false,0]`},
		{"a value", `kv.set("a", "é", 1000), kv.get("a")`, `é`},
		{"a long value", `kv.set("a", "x".repeat(5000)), kv.get("a").length`, `5000`},
		{"a value that is removed", `kv.set("a", "1"), [kv.delete("a"), kv.get("a")]`, `[true,null]`},
		{"a value by its version", `kv.set("a", "1"), [kv.cas("a", 0n, "2"), kv.cas("a", kv.version("a"), "3"), kv.get("a")]`, `[null,"2","3"]`},
		{"a counter", `kv.incr("a"), kv.incr("a", 2), [kv.incr("a", 5, {ceiling: 7}), kv.get("a")]`, `[{"applied":false,"value":3},"3"]`},
		{"a counter of money", `typeof kv.incr("a", 5n, {floor: 0n}).value`, `bigint`},
		{"a window", `kv.windowAdd("a", 1, 1, 1000), kv.windowAdd("a", 1, 1, 1000)`, `{"allowed":false,"used":1,"resetMs":1000}`},
		{"the keys", `kv.set("b/1", "x"), kv.set("a", "x"), kv.set("b/2", "x"), [kv.keys(), kv.keys("b/")]`, `[["a","b/1","b/2"],["b/1","b/2"]]`},
		{"a count", `sallyport.metric("seen"), sallyport.metric("seen", 2)`, `undefined`},
	}
	for _, f := range facts {
		t.Run(f.name, func(t *testing.T) {
			h, counted := &host{}, meter{}
			kept := &namespace{values: map[string]string{}, versions: map[string]uint64{}}
			r, err := runtime.New(t.Context(), runtime.Options{
				CacheDir: filepath.Join(scratch, "compiled"),
				Log:      slog.New(&h.log),
				Functions: hostfuncs.Functions(hostfuncs.Options{
					KV:    func(string) (hostfuncs.Namespace, error) { return kept, nil },
					Meter: counted,
				}),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = r.Close(context.Background()) })
			set, err := r.Load(t.Context(), []runtime.Policy{{
				Name: "rule", Wasm: engine(t), Grants: runtime.Grants{KV: true}, Limits: runtime.Limits{Time: patience},
				Script: []byte(inAuthenticate("const kv = sallyport.kv; const value = (" + f.body + "); console.log(value);")),
			}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(set.Close)
			set.Authenticate(&abi.Authentication{Request: &abi.Request{}})
			if said := h.log.take(); !slices.Equal(said, []string{f.want}) {
				t.Errorf("it logged %q, want %q; %s", said, f.want, h.log.last())
			}
			if f.name == "a count" && counted["seen"] != 3 {
				t.Errorf("it counted %v", counted)
			}
		})
	}
}
