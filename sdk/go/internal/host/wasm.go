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
