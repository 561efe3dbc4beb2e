package kv

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// hammered is one namespace with what its goroutines did to it.
type hammered struct {
	n                  *Namespace
	added, cas, window atomic.Int64
}

// work does a bit of everything. What must add up is counted.
func (h *hammered) work(r *rand.Rand, i int) error {
	key := []byte(fmt.Sprint("k", r.IntN(60)))
	var buf [256]byte
	switch r.IntN(8) {
	case 0:
		length, _, code := h.n.Get(key, buf[:])
		if code == abi.OK && string(buf[:length]) != strings.Repeat(string(buf[:1]), length) {
			return fmt.Errorf("%s holds a mixture: %s", key, buf[:length])
		}
	case 1:
		h.n.Set(key, []byte(strings.Repeat(strconv.Itoa(i%10), 1+r.IntN(200))), time.Duration(r.IntN(3))*time.Millisecond)
	case 2:
		h.n.Delete(key)
	case 3:
		h.n.List([]byte("k"), key, 10)
	case 4:
		length, version, _ := h.n.Get([]byte("cas"), buf[:])
		number, _ := strconv.Atoi(string(buf[:length]))
		if _, code := h.n.CAS([]byte("cas"), version, strconv.AppendInt(nil, int64(number)+1, 10), 0); code == abi.OK {
			h.cas.Add(1)
		}
	case 5:
		if allowed, _, _, _ := h.n.WindowAdd([]byte("window"), 1, 300, 24*time.Hour); allowed {
			h.window.Add(1)
		}
	case 6:
		if value, _, _ := h.n.Incr([]byte("limited"), 1, 0, 100, 0); value > 100 {
			return fmt.Errorf("a counter up to 100 is %d", value)
		}
	default:
		if _, applied, _ := h.n.Incr([]byte("counter"), 1, 0, 1<<40, 0); applied {
			h.added.Add(1)
		}
	}
	return nil
}

// verify compares what adds up.
func (h *hammered) verify(t *testing.T, n *Namespace) {
	t.Helper()
	_, used, _, _ := n.WindowAdd([]byte("window"), 0, 300, 24*time.Hour)
	got := fmt.Sprint(text(n, "counter"), " ", text(n, "cas"), " ", used)
	if want := fmt.Sprint(h.added.Load(), " ", h.cas.Load(), " ", h.window.Load()); got != want || used > 300 {
		t.Errorf("counter, CAS and window are %s; %s were added", got, want)
	}
	checked(t, n)
}

func TestHammer(t *testing.T) {
	steps := 20_000
	if testing.Short() {
		steps = 2_000
	}
	d := newDisk()
	opts := Options{Store: d, Resident: 500, Quota: Quota{Keys: 50}, interval: time.Millisecond}
	kv := opened(t, opts)
	names := []string{"one", "two"}
	var all [2]hammered
	var working sync.WaitGroup
	for i := range all {
		all[i].n = namespace(t, kv, names[i])
		for worker := range 4 {
			working.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), uint64(worker)))
				for step := range steps {
					if err := all[i].work(r, step); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
	}
	working.Go(func() {
		for i := range steps / 20 {
			d.failWith(map[bool]error{true: errBroken}[i%4 == 0], i%7)
			kv.Figures()
			if n, err := kv.Namespace(names[i%2]); err != nil || n != all[i%2].n {
				t.Error("another namespace", err)
			}
		}
		d.failWith(nil, 0)
	})
	working.Wait()
	if err := kv.Close(); err != nil {
		t.Fatal(err)
	}
	kv = opened(t, opts)
	for i := range all {
		all[i].verify(t, all[i].n)
		all[i].verify(t, namespace(t, kv, names[i]))
	}
}
