//go:build wasm

package host

import (
	"unsafe"

	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
)

// Get reads a field into buf. It returns the field's length, above len(buf) if nothing was read, or a code.
func Get(field abi.Field, index int32, buf []byte) int32 {
	return get(int32(field), index, unsafe.Pointer(unsafe.SliceData(buf)), uint32(len(buf)))
}

// GetInts is Get for a whole list of numbers. The length is in bytes; WebAssembly is little-endian, as the packed form.
func GetInts(field abi.Field, buf []int64) int32 {
	return get(int32(field), abi.AllIndexes, unsafe.Pointer(unsafe.SliceData(buf)), uint32(8*len(buf)))
}

// GetInt reads a number, or abi.NoValue.
func GetInt(field abi.Field) int64 { return getInt(int32(field), 0) }

// GetNamed is Get for an element that is found by its name.
func GetNamed(field abi.Field, name string, buf []byte) int32 {
	return getNamed(int32(field), name, unsafe.Pointer(unsafe.SliceData(buf)), uint32(len(buf)))
}

// Set writes a text and returns 0 or a code.
func Set(field abi.Field, index int32, value string) int32 { return set(int32(field), index, value) }

// SetInts writes a whole list of numbers.
func SetInts(field abi.Field, values []int64) int32 {
	return setPacked(int32(field), abi.AllIndexes, unsafe.Pointer(unsafe.SliceData(values)), uint32(8*len(values)))
}

// SetInt writes a number.
func SetInt(field abi.Field, value int64) int32 { return setInt(int32(field), 0, value) }

// SetElement writes an element of a list of numbers.
func SetElement(field abi.Field, index int32, value int64) int32 {
	return setInt(int32(field), index, value)
}

// IdentityLookup returns a handle or a code.
func IdentityLookup(digest []byte) int32 {
	return identityLookup(unsafe.Pointer(unsafe.SliceData(digest)), uint32(len(digest)))
}

// Log writes a log line.
func Log(level int32, line string) int32 { return log(level, line) }

// Now returns unix milliseconds.
func Now() int64 { return now() }

// Random fills b.
func Random(b []byte) int32 { return random(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))) }

// Config is Get for the policy's configuration.
func Config(buf []byte) int32 {
	return config(unsafe.Pointer(unsafe.SliceData(buf)), uint32(len(buf)))
}

// Script is Get for the policy's source text.
func Script(buf []byte) int32 {
	return script(unsafe.Pointer(unsafe.SliceData(buf)), uint32(len(buf)))
}

// Digest writes the SHA-256 of b to sum.
func Digest(b []byte, sum *[32]byte) int32 {
	return digest(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b)), unsafe.Pointer(sum))
}

// Metric adds to a counter of the policy.
func Metric(name string, value int64) int32 { return metric(name, value) }

// KVGet is Get for what is stored under a key.
func KVGet(key string, buf []byte) int32 {
	return kvGet(key, unsafe.Pointer(unsafe.SliceData(buf)), uint32(len(buf)))
}

// KVVersion returns its version, abi.NoValue or a code.
func KVVersion(key string) int64 { return kvVersion(key) }

// KVSet stores a value.
func KVSet(key string, value []byte, ttl int64) int32 {
	return kvSet(key, unsafe.Pointer(unsafe.SliceData(value)), uint32(len(value)), ttl)
}

// KVDelete removes a key.
func KVDelete(key string) int32 { return kvDelete(key) }

// KVCAS stores a value if the key has that version, and returns the new one or a code.
func KVCAS(key string, version int64, value []byte, ttl int64) int64 {
	return kvCAS(key, version, unsafe.Pointer(unsafe.SliceData(value)), uint32(len(value)), ttl)
}

// KVIncr adds to a counter, and returns 1 if it did, 0 if that was out of bounds, or a code.
func KVIncr(key string, delta, floor, ceiling, ttl int64, value *int64) int32 {
	return kvIncr(key, delta, floor, ceiling, ttl, unsafe.Pointer(value))
}

// KVWindowAdd adds to a window, and returns 1 if it did, 0 if there was no room, or a code.
func KVWindowAdd(key string, n, limit, window int64, out *[2]int64) int32 {
	return kvWindowAdd(key, n, limit, window, unsafe.Pointer(out))
}

// KVList reads keys behind cursor, each as its length in 4 bytes and its bytes.
func KVList(prefix string, cursor, buf []byte) int32 {
	return kvList(prefix, unsafe.Pointer(unsafe.SliceData(cursor)), uint32(len(cursor)),
		unsafe.Pointer(unsafe.SliceData(buf)), uint32(len(buf)))
}

// A string parameter is a pointer and a length. What is passed does not escape: the host keeps nothing.

//go:wasmimport sallyport:policy/1 get
//go:noescape
func get(field, index int32, buf unsafe.Pointer, size uint32) int32

//go:wasmimport sallyport:policy/1 get_i64
func getInt(field, index int32) int64

//go:wasmimport sallyport:policy/1 get_named
//go:noescape
func getNamed(field int32, name string, buf unsafe.Pointer, size uint32) int32

//go:wasmimport sallyport:policy/1 set
//go:noescape
func set(field, index int32, value string) int32

//go:wasmimport sallyport:policy/1 set
//go:noescape
func setPacked(field, index int32, ptr unsafe.Pointer, length uint32) int32

//go:wasmimport sallyport:policy/1 set_i64
func setInt(field, index int32, value int64) int32

//go:wasmimport sallyport:policy/1 identity_lookup
//go:noescape
func identityLookup(digest unsafe.Pointer, length uint32) int32

//go:wasmimport sallyport:policy/1 log
//go:noescape
func log(level int32, line string) int32

//go:wasmimport sallyport:policy/1 now
func now() int64

//go:wasmimport sallyport:policy/1 random
//go:noescape
func random(ptr unsafe.Pointer, length uint32) int32

//go:wasmimport sallyport:policy/1 config
//go:noescape
func config(buf unsafe.Pointer, size uint32) int32

//go:wasmimport sallyport:policy/1 script
//go:noescape
func script(buf unsafe.Pointer, size uint32) int32

//go:wasmimport sallyport:policy/1 digest
//go:noescape
func digest(ptr unsafe.Pointer, length uint32, out unsafe.Pointer) int32

//go:wasmimport sallyport:policy/1 metric
//go:noescape
func metric(name string, value int64) int32

//go:wasmimport sallyport:policy/1 kv_get
//go:noescape
func kvGet(key string, buf unsafe.Pointer, size uint32) int32

//go:wasmimport sallyport:policy/1 kv_version
//go:noescape
func kvVersion(key string) int64

//go:wasmimport sallyport:policy/1 kv_set
//go:noescape
func kvSet(key string, ptr unsafe.Pointer, length uint32, ttl int64) int32

//go:wasmimport sallyport:policy/1 kv_delete
//go:noescape
func kvDelete(key string) int32

//go:wasmimport sallyport:policy/1 kv_cas
//go:noescape
func kvCAS(key string, version int64, ptr unsafe.Pointer, length uint32, ttl int64) int64

//go:wasmimport sallyport:policy/1 kv_incr
//go:noescape
func kvIncr(key string, delta, floor, ceiling, ttl int64, out unsafe.Pointer) int32

//go:wasmimport sallyport:policy/1 kv_window_add
//go:noescape
func kvWindowAdd(key string, n, limit, window int64, out unsafe.Pointer) int32

//go:wasmimport sallyport:policy/1 kv_list
//go:noescape
func kvList(prefix string, cursor unsafe.Pointer, cursorLength uint32, buf unsafe.Pointer, size uint32) int32
