package sallyport

import (
	"encoding/binary"
	"iter"
	"time"

	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/host"
)

// What a policy remembers is kept by the gateway, in a namespace of the policy's own, for all its instances: values,
// counters and windows, each under a key of up to 256 bytes. It needs the grant "kv: own"; without it errors wrap
// NotGranted. A hook may make 64 calls, which move up to 1 MiB together; beyond that, and where the namespace is full,
// errors wrap OverQuota. They wrap Unavailable while the gateway cannot store anything. A kill of the gateway loses up
// to the last second.

// KVGet reads what is stored under a key, and false if nothing is. A counter is read as decimal text.
func KVGet(key string) (value []byte, found bool, err error) {
	free := answers.freeText(0)
	n := host.KVGet(key, free)
	for int(n) > len(free) { // again if it has grown meanwhile
		free = answers.freeText(int(n))
		n = host.KVGet(key, free)
	}
	if n == int32(NotFound) {
		return nil, false, nil
	}
	value, err = answers.takeText("kv_get", n)
	return value, err == nil, err
}

// KVVersion is the version of what is stored under a key, 0 if nothing is. Each change gives a key a version that none
// had before. Ask for it before KVGet, and hand it to KVCAS: then no change in between is overwritten.
func KVVersion(key string) (int64, error) {
	version := host.KVVersion(key)
	if version == abi.NoValue {
		return 0, nil
	}
	return version, checkLong("kv_version", version)
}

// KVSet stores a value of up to 64 KiB, for ttl, or for good if that is 0.
func KVSet(key string, value []byte, ttl time.Duration) error {
	return check("kv_set", host.KVSet(key, value, milliseconds(ttl)))
}

// KVDelete removes a key, whatever it holds. That there is none is no error.
func KVDelete(key string) error {
	if code := host.KVDelete(key); code != int32(NotFound) {
		return check("kv_delete", code)
	}
	return nil
}

// KVCAS is KVSet if the key has that version; version 0 is for a key that is not there. It returns the new version. If
// the key has another version the error wraps Conflict; if there is no such key, NotFound.
func KVCAS(key string, version int64, value []byte, ttl time.Duration) (newVersion int64, err error) {
	newVersion = host.KVCAS(key, version, value, milliseconds(ttl))
	if err := checkLong("kv_cas", newVersion); err != nil {
		return 0, err
	}
	return newVersion, nil
}

// KVIncr adds delta to a counter, if the sum is within floor and ceiling, both included; else it changes nothing. It
// returns what the counter is then, and whether delta was added. A key that is not there is 0; adding creates it, to
// live for ttl, or for good if that is 0. A delta of 0 asks only.
func KVIncr(key string, delta, floor, ceiling int64, ttl time.Duration) (value int64, applied bool, err error) {
	answer := host.KVIncr(key, delta, floor, ceiling, milliseconds(ttl), &value)
	return value, answer == 1, check("kv_incr", answer)
}

// Window is how a sliding window stands.
type Window struct {
	Allowed bool          // the units were added
	Used    int64         // units that count now
	Reset   time.Duration // until none counts any more or, if they were not added, until there is room for them
}

// KVWindowAdd adds n units to a sliding window, if no more than limit were then added within any time as long as length,
// at most 366 days; else it adds nothing. An n of 0 asks only.
func KVWindowAdd(key string, n, limit int64, length time.Duration) (Window, error) {
	var out [2]int64
	answer := host.KVWindowAdd(key, n, limit, milliseconds(length), &out)
	return Window{answer == 1, out[0], time.Duration(out[1]) * time.Millisecond}, check("kv_window_add", answer)
}

// listRoom is how many bytes of keys are asked for at a time.
const listRoom = 2048

// KVKeys are the keys that begin with prefix, in the order of their bytes, each with nil. An error is the last one, with
// no key. Keys that come or go meanwhile may be among them or not.
func KVKeys(prefix string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var cursor []byte
		for {
			keys, err := keysBehind(prefix, cursor)
			if err != nil {
				yield(nil, err)
				return
			}
			if len(keys) == 0 {
				return
			}
			for len(keys) > 0 {
				end := 4 + binary.LittleEndian.Uint32(keys)
				cursor = keys[4:end:end]
				keys = keys[end:]
				if !yield(cursor, nil) {
					return
				}
			}
		}
	}
}

// keysBehind reads the next keys as the host packs them.
func keysBehind(prefix string, cursor []byte) ([]byte, error) {
	free := answers.freeText(listRoom)
	n := host.KVList(prefix, cursor, free)
	for int(n) > len(free) {
		free = answers.freeText(int(n))
		n = host.KVList(prefix, cursor, free)
	}
	return answers.takeText("kv_list", n)
}

// milliseconds rounds up: what is to live for a moment must not live for good. Below 0 it stays what it is, which the
// host refuses.
func milliseconds(d time.Duration) int64 {
	if d <= 0 {
		return max(int64(d), -1)
	}
	return int64((d-1)/time.Millisecond) + 1
}

// checkLong turns a negative answer of 64 bits into an error. The least of them is the answer of a host that does not
// know the function.
func checkLong(what string, answer int64) error {
	if answer == abi.NoValue {
		return check(what, int32(NotSupported))
	}
	return check(what, int32(max(min(answer, 0), -1<<31)))
}
