package conformance_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/hostfuncs"
	"github.com/sallyport-dev/sallyport/internal/testutil"
	"github.com/sallyport-dev/sallyport/kv"
)

// outside is what is outside the host: what its policies remember, anew in every case, and what they count.
type outside struct {
	hostfuncs.Namespace // of the case
	unavailable         bool
	metrics             map[string]int64
}

func (o *outside) options() hostfuncs.Options { return hostfuncs.Options{KV: o.open, Meter: o} }

// open answers the same namespace for every policy, so that an unavailable one has to be asked for first.
func (o *outside) open(string) (hostfuncs.Namespace, error) {
	if o.unavailable {
		return nil, errors.New("on purpose")
	}
	return o, nil
}

// Add counts.
func (o *outside) Add(_, name string, value int64) { o.metrics[name] += value }

// begin has a case's state remembered.
func (o *outside) begin(t testing.TB, c *golden) {
	t.Helper()
	all, err := kv.Open(t.Context(), kv.Options{Store: testutil.NewMemory(), Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = all.Close() })
	n, err := all.Namespace("guest")
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range c.State {
		n.Set([]byte(key), []byte(value), 0)
	}
	for i := range c.StateCount {
		n.Set(fmt.Appendf(nil, "user/%03d", i), nil, 0)
	}
	o.Namespace, o.unavailable, o.metrics = n, c.Unavailable, map[string]int64{}
	if c.Unavailable {
		o.Namespace = closed{}
	}
}

// closed is a namespace that cannot be used.
type closed struct{ hostfuncs.Namespace }

func (closed) Get([]byte, []byte) (int, uint64, abi.Code) { return 0, 0, abi.Unavailable }
func (closed) Set([]byte, []byte, time.Duration) abi.Code { return abi.Unavailable }

// checkState compares what a case left behind with what it wants.
func (o *outside) checkState(t *testing.T, c *golden) {
	t.Helper()
	if c.Want.Metrics != nil && !maps.Equal(o.metrics, c.Want.Metrics) {
		t.Errorf("it counted %v, want %v", o.metrics, c.Want.Metrics)
	}
	if c.Want.State == nil && c.Want.Windows == nil {
		return
	}
	keys, _, _ := o.List(nil, nil, 1000)
	got, windows := map[string]string{}, 0
	for _, key := range keys {
		value := make([]byte, 1024)
		switch n, _, code := o.Get([]byte(key), value); code {
		case abi.OK:
			got[key] = string(value[:n])
		case abi.BadArgument:
			windows++
		default:
			t.Errorf("%s answers %d", key, code)
		}
	}
	if !maps.Equal(got, c.Want.State) || windows != len(c.Want.Windows) {
		t.Errorf("it remembers %v and %d windows, want %v and %v", got, windows, c.Want.State, c.Want.Windows)
	}
}
