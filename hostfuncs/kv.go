package hostfuncs

import (
	"encoding/binary"
	"maps"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/runtime"
)

// Namespace is what one policy remembers: values, counters and windows by key. All methods are called by many guests at
// once, with bytes that are theirs only during the call, and answer a code for whatever a guest passes.
type Namespace interface {
	// Get copies the value into buf if it fits there, and returns its length in any case, and its version, above 0.
	Get(key, buf []byte) (length int, version uint64, code abi.Code)
	// Set stores a value. A ttl of 0 is for good.
	Set(key, value []byte, ttl time.Duration) abi.Code
	Delete(key []byte) abi.Code
	// CAS is Set if the key has that version; version 0 is for a key that is not there.
	CAS(key []byte, version uint64, value []byte, ttl time.Duration) (newVersion uint64, code abi.Code)
	// Incr adds delta if the sum is within floor and ceiling. It returns what the counter is then.
	Incr(key []byte, delta, floor, ceiling int64, ttl time.Duration) (value int64, applied bool, code abi.Code)
	// WindowAdd adds units if with them no more than limit were added within length.
	WindowAdd(key []byte, units, limit int64, length time.Duration) (allowed bool, used int64, reset time.Duration, code abi.Code)
	// List returns up to limit keys behind cursor, in order, and what to go on with; "" if there are no more. It may
	// return none although there are.
	List(prefix, cursor []byte, limit int) (keys []string, next string, code abi.Code)
}

// store finds the namespaces of policies.
type store struct {
	open  func(policy string) (Namespace, error)
	known byPolicy[Namespace]
}

// byPolicy keeps something for each policy. Finding it takes no lock that all processors share.
type byPolicy[T any] struct {
	adding sync.Mutex
	all    atomic.Pointer[map[string]T]
}

func (b *byPolicy[T]) find(policy string) (T, bool) {
	if all := b.all.Load(); all != nil {
		found, ok := (*all)[policy]
		return found, ok
	}
	var none T
	return none, false
}

// add makes what is not there yet.
func (b *byPolicy[T]) add(policy string, create func() (T, error)) (T, error) {
	b.adding.Lock()
	defer b.adding.Unlock()
	if found, ok := b.find(policy); ok {
		return found, nil
	}
	added, err := create()
	if err != nil {
		return added, err
	}
	more := map[string]T{policy: added}
	if all := b.all.Load(); all != nil {
		maps.Copy(more, *all)
	}
	b.all.Store(&more)
	return added, nil
}

// of returns the namespace of the policy that runs, if it may use one.
func (s *store) of(c *runtime.Call) (Namespace, abi.Code) {
	if code := c.AdmitKV(); code != abi.OK {
		return nil, code
	}
	if n, ok := s.known.find(c.Policy); ok {
		return n, abi.OK
	}
	if s.open == nil {
		return nil, abi.Unavailable
	}
	n, err := s.known.add(c.Policy, func() (Namespace, error) { return s.open(c.Policy) })
	if err != nil { // who opens namespaces has told the operator
		return nil, abi.Unavailable
	}
	return n, abi.OK
}

// key returns the namespace of the policy that runs and the key that stands in the first two words.
func (s *store) key(c *runtime.Call, stack []uint64) (n Namespace, key []byte, code abi.Code) {
	if n, code = s.of(c); code != abi.OK {
		return nil, nil, code
	}
	key, ok := c.Read(word(stack, 0), word(stack, 1))
	if !ok {
		return nil, nil, abi.BadArgument
	}
	return n, key, c.ChargeKV(int64(len(key)))
}

// get is kv_get(key, key_len, buf, cap) -> length.
func (s *store) get(c *runtime.Call, stack []uint64) {
	n, key, code := s.key(c, stack)
	if code != abi.OK {
		answerCode(stack, code)
		return
	}
	answer(stack, read(c, n, key, word(stack, 2), word(stack, 3)))
}

// read asks for the length first: what a value costs has to be known before it is copied, and a guest may say that it
// has more room than there is memory. If another guest makes the value longer meanwhile, that is told as one that does
// not fit.
func read(c *runtime.Call, n Namespace, key []byte, buf, size uint32) int32 {
	length, _, code := n.Get(key, nil)
	switch {
	case code != abi.OK:
		return int32(code)
	case length == 0 || length > int(size):
		return int32(length)
	}
	room, ok := c.Read(buf, uint32(length))
	if !ok {
		return int32(abi.BadArgument)
	}
	if code := c.ChargeKV(int64(length)); code != abi.OK {
		return int32(code)
	}
	if length, _, code = n.Get(key, room); code != abi.OK {
		return int32(code)
	}
	return int32(length)
}

// version is kv_version(key, key_len) -> version.
func (s *store) version(c *runtime.Call, stack []uint64) {
	n, key, code := s.key(c, stack)
	if code != abi.OK {
		answerLong(stack, int64(code))
		return
	}
	switch _, version, code := n.Get(key, nil); code {
	case abi.OK:
		answerLong(stack, int64(version))
	case abi.NotFound:
		answerLong(stack, abi.NoValue)
	default:
		answerLong(stack, int64(code))
	}
}

// set is kv_set(key, key_len, ptr, len, ttl_ms) -> code.
func (s *store) set(c *runtime.Call, stack []uint64) {
	n, key, code := s.key(c, stack)
	if code != abi.OK {
		answerCode(stack, code)
		return
	}
	value, ttl, code := change(c, word(stack, 2), word(stack, 3), int64(stack[4]))
	if code == abi.OK {
		code = n.Set(key, value, ttl)
	}
	answerCode(stack, code)
}

// change reads the value that a guest wants to store, and how long.
func change(c *runtime.Call, ptr, length uint32, ttl int64) ([]byte, time.Duration, abi.Code) {
	value, ok := c.Read(ptr, length)
	duration, fits := milliseconds(ttl)
	if !ok || !fits {
		return nil, 0, abi.BadArgument
	}
	return value, duration, c.ChargeKV(int64(length))
}

// milliseconds is a time that a guest gave. It may be 0, but not negative, nor longer than 292 years.
func milliseconds(ms int64) (time.Duration, bool) {
	return time.Duration(ms) * time.Millisecond, ms >= 0 && ms <= math.MaxInt64/int64(time.Millisecond)
}

// remove is kv_delete(key, key_len) -> code.
func (s *store) remove(c *runtime.Call, stack []uint64) {
	n, key, code := s.key(c, stack)
	if code == abi.OK {
		code = n.Delete(key)
	}
	answerCode(stack, code)
}

// cas is kv_cas(key, key_len, version, ptr, len, ttl_ms) -> version.
func (s *store) cas(c *runtime.Call, stack []uint64) {
	n, key, code := s.key(c, stack)
	if code != abi.OK {
		answerLong(stack, int64(code))
		return
	}
	version := int64(stack[2])
	value, ttl, code := change(c, word(stack, 3), word(stack, 4), int64(stack[5]))
	if version < 0 {
		code = abi.BadArgument
	}
	if code != abi.OK {
		answerLong(stack, int64(code))
		return
	}
	created, code := n.CAS(key, uint64(version), value, ttl)
	if code != abi.OK {
		answerLong(stack, int64(code))
		return
	}
	answerLong(stack, int64(created))
}

// incr is kv_incr(key, key_len, delta, floor, ceiling, ttl_ms, out) -> whether it was applied. What is answered has
// room before anything is changed.
func (s *store) incr(c *runtime.Call, stack []uint64) {
	n, key, code := s.key(c, stack)
	if code != abi.OK {
		answerCode(stack, code)
		return
	}
	ttl, fits := milliseconds(int64(stack[5]))
	out, ok := c.Read(word(stack, 6), 8)
	if !ok || !fits {
		answerCode(stack, abi.BadArgument)
		return
	}
	value, applied, code := n.Incr(key, int64(stack[2]), int64(stack[3]), int64(stack[4]), ttl)
	if code == abi.OK {
		binary.LittleEndian.PutUint64(out, uint64(value))
	}
	answerTruth(stack, applied, code)
}

// windowAdd is kv_window_add(key, key_len, n, limit, window_ms, out) -> whether they were let in.
func (s *store) windowAdd(c *runtime.Call, stack []uint64) {
	n, key, code := s.key(c, stack)
	if code != abi.OK {
		answerCode(stack, code)
		return
	}
	length, fits := milliseconds(int64(stack[4]))
	out, ok := c.Read(word(stack, 5), 16)
	if !ok || !fits {
		answerCode(stack, abi.BadArgument)
		return
	}
	allowed, used, reset, code := n.WindowAdd(key, int64(stack[2]), int64(stack[3]), length)
	if code == abi.OK {
		binary.LittleEndian.PutUint64(out, uint64(used))
		// Rounded up, so that who waits that long has waited long enough.
		binary.LittleEndian.PutUint64(out[8:], uint64((reset+time.Millisecond-1)/time.Millisecond))
	}
	answerTruth(stack, allowed, code)
}

// Bounds of one call of kv_list.
const (
	maxListed = 256 // keys
	// listFuel is what a key costs beside its bytes: about what finding it takes.
	listFuel = 64
)

// list is kv_list(prefix, prefix_len, cursor, cursor_len, buf, cap) -> length.
func (s *store) list(c *runtime.Call, stack []uint64) {
	n, prefix, code := s.key(c, stack)
	if code != abi.OK {
		answerCode(stack, code)
		return
	}
	cursor, ok := c.Read(word(stack, 2), word(stack, 3))
	if !ok {
		answerCode(stack, abi.BadArgument)
		return
	}
	if code := c.ChargeKV(int64(len(cursor))); code != abi.OK {
		answerCode(stack, code)
		return
	}
	keys, code := listed(n, prefix, cursor, min(int(word(stack, 5))/5+1, maxListed))
	if code != abi.OK {
		answerCode(stack, code)
		return
	}
	answer(stack, outputKeys(c, keys, word(stack, 4), word(stack, 5)))
}

// listed returns keys, unless there are no more. A namespace passes over a bounded number of keys that have expired at
// a time, and has a bounded number of keys, so this comes to an end.
func listed(n Namespace, prefix, cursor []byte, limit int) ([]string, abi.Code) {
	for {
		keys, next, code := n.List(prefix, cursor, limit)
		if code != abi.OK || len(keys) > 0 || next == "" {
			return keys, code
		}
		cursor = []byte(next)
	}
}

// outputKeys writes as many keys as fit, each behind its length.
func outputKeys(c *runtime.Call, keys []string, buf, size uint32) int32 {
	fit, length := 0, 0
	for _, key := range keys {
		if length+4+len(key) > int(size) {
			break
		}
		fit, length = fit+1, length+4+len(key)
	}
	switch {
	case len(keys) == 0:
		return 0
	case fit == 0:
		return int32(4 + len(keys[0]))
	}
	room, ok := c.Read(buf, uint32(length))
	if !ok {
		return int32(abi.BadArgument)
	}
	if code := c.ChargeKV(int64(length)); code != abi.OK {
		return int32(code)
	}
	c.Charge(int64(fit) * listFuel)
	for _, key := range keys[:fit] {
		binary.LittleEndian.PutUint32(room, uint32(len(key)))
		room = room[4+copy(room[4:], key):]
	}
	return int32(length)
}

func answerLong(stack []uint64, n int64) { stack[0] = uint64(n) }

// answerTruth answers 1 or 0, or a code.
func answerTruth(stack []uint64, truth bool, code abi.Code) {
	switch {
	case code != abi.OK:
		answerCode(stack, code)
	case truth:
		answer(stack, 1)
	default:
		answer(stack, 0)
	}
}
