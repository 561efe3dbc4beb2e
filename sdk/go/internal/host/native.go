//go:build !wasm

package host

import (
	"sync"

	"github.com/sallyport-dev/sallyport/sdk/go/internal/abi"
)

// Host answers for the gateway in a native build. Its methods are the functions of the contract.
type Host interface {
	Get(field abi.Field, index int32, buf []byte) int32
	GetInts(field abi.Field, buf []int64) int32
	GetInt(field abi.Field) int64
	GetNamed(field abi.Field, name string, buf []byte) int32
	Set(field abi.Field, index int32, value string) int32
	SetInts(field abi.Field, values []int64) int32
	SetElement(field abi.Field, index int32, value int64) int32
	IdentityLookup(digest []byte) int32
	Log(level int32, line string) int32
	Now() int64
	Random(b []byte) int32
	Config(buf []byte) int32
	Script(buf []byte) int32
	Digest(b []byte, sum *[32]byte) int32
	Metric(name string, value int64) int32
	KVGet(key string, buf []byte) int32
	KVVersion(key string) int64
	KVSet(key string, value []byte, ttl int64) int32
	KVDelete(key string) int32
	KVCAS(key string, version int64, value []byte, ttl int64) int64
	KVIncr(key string, delta, floor, ceiling, ttl int64, value *int64) int32
	KVWindowAdd(key string, n, limit, window int64, out *[2]int64) int32
	KVList(prefix string, cursor, buf []byte) int32
}

// serving is who answers now. A native build is one instance of a guest: it serves one call at a time, which the
// mutex sees to, so that tests may run in parallel.
var serving struct {
	sync.Mutex
	host Host
}

// Serve lets h answer while call runs.
func Serve(h Host, call func() int32) int32 {
	serving.Lock()
	defer serving.Unlock()
	serving.host = h
	defer func() { serving.host = nil }()
	return call()
}

func current() Host {
	if serving.host == nil {
		panic("sallyport: there is no host here: call the hook through package hosttest")
	}
	return serving.host
}

// Get asks the host in place, as do the functions below; see wasm.go for what each means.
func Get(field abi.Field, index int32, buf []byte) int32 { return current().Get(field, index, buf) }

// GetInts reads a whole list of numbers.
func GetInts(field abi.Field, buf []int64) int32 { return current().GetInts(field, buf) }

// GetInt reads a number.
func GetInt(field abi.Field) int64 { return current().GetInt(field) }

// GetNamed reads an element by its name.
func GetNamed(field abi.Field, name string, buf []byte) int32 {
	return current().GetNamed(field, name, buf)
}

// Set writes a text.
func Set(field abi.Field, index int32, value string) int32 { return current().Set(field, index, value) }

// SetInts writes a whole list of numbers.
func SetInts(field abi.Field, values []int64) int32 { return current().SetInts(field, values) }

// SetInt writes a number.
func SetInt(field abi.Field, value int64) int32 { return current().SetElement(field, 0, value) }

// SetElement writes an element of a list of numbers.
func SetElement(field abi.Field, index int32, value int64) int32 {
	return current().SetElement(field, index, value)
}

// IdentityLookup finds a stored key.
func IdentityLookup(digest []byte) int32 { return current().IdentityLookup(digest) }

// Log writes a log line.
func Log(level int32, line string) int32 { return current().Log(level, line) }

// Now returns unix milliseconds.
func Now() int64 { return current().Now() }

// Random fills b.
func Random(b []byte) int32 { return current().Random(b) }

// Config reads the policy's configuration.
func Config(buf []byte) int32 { return current().Config(buf) }

// Script reads the policy's source text.
func Script(buf []byte) int32 { return current().Script(buf) }

// Digest writes the SHA-256 of b to sum.
func Digest(b []byte, sum *[32]byte) int32 { return current().Digest(b, sum) }

// Metric adds to a counter of the policy.
func Metric(name string, value int64) int32 { return current().Metric(name, value) }

// KVGet reads what is stored under a key.
func KVGet(key string, buf []byte) int32 { return current().KVGet(key, buf) }

// KVVersion returns its version.
func KVVersion(key string) int64 { return current().KVVersion(key) }

// KVSet stores a value.
func KVSet(key string, value []byte, ttl int64) int32 { return current().KVSet(key, value, ttl) }

// KVDelete removes a key.
func KVDelete(key string) int32 { return current().KVDelete(key) }

// KVCAS stores a value if the key has that version.
func KVCAS(key string, version int64, value []byte, ttl int64) int64 {
	return current().KVCAS(key, version, value, ttl)
}

// KVIncr adds to a counter.
func KVIncr(key string, delta, floor, ceiling, ttl int64, value *int64) int32 {
	return current().KVIncr(key, delta, floor, ceiling, ttl, value)
}

// KVWindowAdd adds to a window.
func KVWindowAdd(key string, n, limit, window int64, out *[2]int64) int32 {
	return current().KVWindowAdd(key, n, limit, window, out)
}

// KVList reads keys.
func KVList(prefix string, cursor, buf []byte) int32 { return current().KVList(prefix, cursor, buf) }
