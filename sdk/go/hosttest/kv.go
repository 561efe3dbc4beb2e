//go:build !wasm

package hosttest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
)

// KV is what a policy remembers. It outlives the questions that it is handed to, so a test fills it before one and looks
// into it after. The zero value is empty.
type KV struct {
	entries map[string]*entry
	version int64
}

// entry is a value, a counter or a window.
type entry struct {
	value   []byte
	version int64
	expires int64 // unix milliseconds; 0: never
	hits    []hit // of a window, which has no value
	window  bool
}

// hit is units that were added to a window.
type hit struct{ at, units int64 }

// Set stores a value for good.
func (k *KV) Set(key, value string) { k.put(key, &entry{value: []byte(value)}) }

// Get returns a value, or a counter as decimal text; nothing for a window. What has expired is still there until the
// policy asks for it.
func (k *KV) Get(key string) (value string, found bool) {
	e := k.entries[key]
	if e == nil || e.window {
		return "", false
	}
	return string(e.value), true
}

// Keys are all keys, in order.
func (k *KV) Keys() []string { return slices.Sorted(maps.Keys(k.entries)) }

func (k *KV) put(key string, e *entry) {
	if k.entries == nil {
		k.entries = map[string]*entry{}
	}
	k.version++
	e.version = k.version
	k.entries[key] = e
}

// Bounds of the gateway.
const (
	maxKVCalls = 64
	maxKVBytes = 1 << 20
	maxKey     = 256
	maxValue   = 64 << 10
	maxWindow  = 366 * 24 * int64(time.Hour/time.Millisecond)
	maxDigest  = 1 << 20
	maxMetrics = 16
	maxMetric  = 64
)

// keep counts a call that moves so many bytes, and says whether it may.
func (h *fake) keep(moved int) int32 {
	switch {
	case h.setting.KV == nil:
		return int32(sallyport.NotGranted)
	case h.kvCalls == maxKVCalls || h.kvBytes+moved > maxKVBytes:
		return int32(sallyport.OverQuota)
	}
	h.kvCalls++
	h.kvBytes += moved
	return 0
}

// kept finds what a key holds, nil if that is nothing.
func (h *fake) kept(key string) *entry {
	e := h.setting.KV.entries[key]
	if e != nil && e.expires != 0 && h.Now() >= e.expires {
		delete(h.setting.KV.entries, key)
		return nil
	}
	return e
}

func (h *fake) expiry(ttl int64) int64 {
	if ttl == 0 {
		return 0
	}
	return h.Now() + ttl
}

func (h *fake) KVGet(key string, buf []byte) int32 {
	if code := h.keep(len(key)); code < 0 {
		return code
	}
	e := h.kept(key)
	switch {
	case e == nil:
		return int32(sallyport.NotFound)
	case e.window:
		return int32(sallyport.BadArgument)
	}
	return answer(string(e.value), buf)
}

func (h *fake) KVVersion(key string) int64 {
	if code := h.keep(len(key)); code < 0 {
		return int64(code)
	}
	e := h.kept(key)
	switch {
	case e == nil:
		return abi.NoValue
	case e.window:
		return int64(sallyport.BadArgument)
	}
	return e.version
}

func (h *fake) KVSet(key string, value []byte, ttl int64) int32 {
	if code := h.keep(len(key) + len(value)); code < 0 {
		return code
	}
	if key == "" || len(key) > maxKey || len(value) > maxValue || ttl < 0 {
		return int32(sallyport.BadArgument)
	}
	h.setting.KV.put(key, &entry{value: bytes.Clone(value), expires: h.expiry(ttl)})
	return 0
}

func (h *fake) KVDelete(key string) int32 {
	if code := h.keep(len(key)); code < 0 {
		return code
	}
	if h.kept(key) == nil {
		return int32(sallyport.NotFound)
	}
	delete(h.setting.KV.entries, key)
	return 0
}

func (h *fake) KVCAS(key string, version int64, value []byte, ttl int64) int64 {
	if h.setting.KV != nil && version >= 0 {
		switch e := h.kept(key); {
		case e == nil && version != 0:
			return int64(sallyport.NotFound)
		case e != nil && version != e.version:
			return int64(sallyport.Conflict)
		}
	} else if h.setting.KV != nil {
		return int64(sallyport.BadArgument)
	}
	if code := h.KVSet(key, value, ttl); code < 0 {
		return int64(code)
	}
	return h.setting.KV.version
}

func (h *fake) KVIncr(key string, delta, floor, ceiling, ttl int64, value *int64) int32 {
	if code := h.keep(len(key)); code < 0 {
		return code
	}
	e, before := h.kept(key), int64(0)
	if e != nil {
		var err error
		if before, err = strconv.ParseInt(string(e.value), 10, 64); err != nil {
			return int32(sallyport.BadArgument)
		}
	}
	if floor > ceiling || ttl < 0 || key == "" || len(key) > maxKey {
		return int32(sallyport.BadArgument)
	}
	sum := before + delta
	if overflows := delta != 0 && (sum > before) != (delta > 0); overflows || sum < floor || sum > ceiling {
		*value = before
		return 0
	}
	*value = sum
	if delta != 0 {
		counter := &entry{value: strconv.AppendInt(nil, sum, 10), expires: h.expiry(ttl)}
		if e != nil {
			counter.expires = e.expires
		}
		h.setting.KV.put(key, counter)
	}
	return 1
}

// KVWindowAdd forgets units when they are as old as the window, where the gateway counts them up to a sixteenth longer.
func (h *fake) KVWindowAdd(key string, n, limit, window int64, out *[2]int64) int32 {
	if code := h.keep(len(key)); code < 0 {
		return code
	}
	e := h.kept(key)
	if n < 0 || limit < 0 || window <= 0 || window > maxWindow || key == "" || len(key) > maxKey || e != nil && !e.window {
		return int32(sallyport.BadArgument)
	}
	next := &entry{window: true}
	if e != nil {
		next.hits = slices.DeleteFunc(slices.Clone(e.hits), func(old hit) bool { return old.at+window <= h.Now() })
	}
	used := int64(0)
	for _, old := range next.hits {
		used += old.units
	}
	if n > limit-used && n > 0 {
		out[0], out[1] = used, h.untilRoom(next.hits, n-limit+used, window)
		return 0
	}
	if n > 0 {
		next.hits = append(next.hits, hit{h.Now(), n})
		h.setting.KV.put(key, next)
	}
	out[0], out[1] = used+n, h.untilRoom(next.hits, used+n, window)
	return 1
}

// untilRoom is how long it takes until so many units count no more, or all of them if they are fewer.
func (h *fake) untilRoom(hits []hit, units, window int64) (reset int64) {
	for _, old := range hits {
		if units > 0 {
			units -= old.units
			reset = old.at + window - h.Now()
		}
	}
	return reset
}

func (h *fake) KVList(prefix string, cursor, buf []byte) int32 {
	if code := h.keep(len(prefix) + len(cursor)); code < 0 {
		return code
	}
	var out []byte
	for _, key := range h.setting.KV.Keys() {
		if !strings.HasPrefix(key, prefix) || key <= string(cursor) || h.kept(key) == nil {
			continue
		}
		packed := append(binary.LittleEndian.AppendUint32(nil, uint32(len(key))), key...)
		if len(out)+len(packed) > len(buf) {
			if len(out) == 0 {
				return int32(len(packed))
			}
			break
		}
		out = append(out, packed...)
	}
	return int32(copy(buf, out))
}

func (h *fake) Script(buf []byte) int32 {
	if h.setting.Script == "" {
		return int32(sallyport.Absent)
	}
	return answer(h.setting.Script, buf)
}

func (h *fake) Digest(b []byte, sum *[32]byte) int32 {
	if len(b) > maxDigest {
		return int32(sallyport.BadArgument)
	}
	*sum = sha256.Sum256(b)
	return 0
}

func (h *fake) Metric(name string, value int64) int32 {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789_"
	if name == "" || len(name) > maxMetric || strings.Trim(name, letters) != "" || value < 0 {
		return int32(sallyport.BadArgument)
	}
	if _, known := h.metrics[name]; !known && len(h.metrics) == maxMetrics {
		return int32(sallyport.OverQuota)
	}
	if h.metrics == nil {
		h.metrics = map[string]int64{}
	}
	h.metrics[name] += value
	return 0
}
