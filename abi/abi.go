// Package abi is the contract between the gateway and its policies: the names and numbers that a guest sees
// (SPEC.md is the prose), and the Go values that carry one hook call from the request path to the policy runtime
// and back.
//
// It imports nothing but the standard library. Everything may import it. The constants and field tables here are
// the one description from which the SDKs' constants and SPEC.md's tables are generated; numbers are append-only.
package abi

//go:generate go run ./gen

// Version is the version of the contract. A guest states the version that it was built for by the name of the
// module that it imports, so the two never have to be compared.
const Version = 1

// Names of the modules that a guest may import.
const (
	// ModulePolicy is the fast tier: lazily read fields over (pointer, length) in guest memory.
	ModulePolicy = "sallyport:policy/1"
	// ModuleWASI is what the Go and C toolchains import by themselves. Sallyport serves a small part of it:
	// a clock, random bytes, standard output as log lines. Everything else answers ENOSYS.
	ModuleWASI = "wasi_snapshot_preview1"
)

// Hook is a fixed point of the request path at which policies are asked.
type Hook uint8

// The hooks, in the order of the request path.
const (
	Authenticate Hook = iota
	ChooseStep
	PriceResponse
	NumHooks
)

// hookNames are at once the names of the guest's exports and of the hooks in policies.yaml.
var hookNames = [NumHooks]string{"authenticate", "choose_step", "price_response"}

// String returns the name of the hook, which is also the name of the guest's export.
func (h Hook) String() string {
	if h < NumHooks {
		return hookNames[h]
	}
	return "unknown"
}

// ParseHook finds a hook by its name.
func ParseHook(name string) (Hook, bool) {
	for h, n := range hookNames {
		if n == name {
			return Hook(h), true
		}
	}
	return NumHooks, false
}

// Names of the optional exports. They are of type () -> () (_initialize) and () -> i32 (configure, hooks).
const (
	ExportInitialize = "_initialize" // run once per instance before anything else
	ExportConfigure  = "configure"   // run once per instance after _initialize; 0 accepts the configuration
	ExportHooks      = "hooks"       // run once when a policy is loaded, after configure: which hooks it serves, a bit each
	ExportMemory     = "memory"      // the guest's linear memory
)

// What a hook export returns. Anything else is a policy error.
const (
	ReturnVerdict = 0 // a verdict was set
	ReturnError   = 1 // the policy failed and knows it
	ReturnPass    = 2 // no opinion: ask the next policy
)

// Code is what a host function answers when it does not return a length or a value. Codes are negative, so that
// they never collide with lengths.
type Code int32

// Codes of version 1. A code never traps the guest.
const (
	OK           Code = 0
	UnknownField Code = -1  // this host does not know the field id
	Absent       Code = -2  // the field has no value in this call, or the index is past its end
	NotGranted   Code = -3  // policies.yaml does not grant this policy the field or the function
	BadArgument  Code = -4  // pointer, length, index, type or value out of range
	WrongHook    Code = -5  // the field does not belong to the hook that is running
	OverQuota    Code = -6  // a cap of this call or this policy is used up
	NotSupported Code = -7  // the function is known to the contract but not served by this host
	NotFound     Code = -8  // nothing is stored under this name
	Unavailable  Code = -9  // the host cannot store it, or read it, just now
	Conflict     Code = -10 // the version is not the one that was expected
)

// NoValue is what get_i64 returns where get would answer with a code: no amount, count or time of the contract
// ever takes this value.
const NoValue int64 = -1 << 63

// AllIndexes as the index of a list of i64 reads or writes the whole list at once, packed little-endian.
const AllIndexes int32 = -1

// Log levels of the log host function.
const (
	LogDebug int32 = iota
	LogInfo
	LogWarn
	LogError
)

// Dimension is one thing that providers count and charge for. A token stands in exactly one dimension: Input holds
// only what was not read from or written to a cache, Output only what is not Reasoning, audio or an image.
type Dimension uint8

// The dimensions. New ones are appended.
const (
	Input Dimension = iota
	Output
	CacheRead
	CacheWrite5m
	CacheWrite1h
	Reasoning
	AudioInput
	AudioOutput
	Image
	Requests
	CacheReadAudio // audio tokens of the prompt that were read from a cache
	ImageOutput    // tokens of images in the answer
	NumDimensions
)

var dimensionNames = [NumDimensions]string{
	"input", "output", "cache_read", "cache_write_5m", "cache_write_1h",
	"reasoning", "audio_input", "audio_output", "image", "requests", "cache_read_audio", "image_output",
}

// String returns the name of the dimension, as in records, metrics and price rows.
func (d Dimension) String() string {
	if d < NumDimensions {
		return dimensionNames[d]
	}
	return "unknown"
}

// Usage counts what one exchange used, by dimension: tokens, except for Image (images) and Requests (requests).
type Usage [NumDimensions]int64

// InputTokens is the whole prompt: uncached, cached and audio.
func (u *Usage) InputTokens() int64 {
	return u[Input] + u[CacheRead] + u[CacheWrite5m] + u[CacheWrite1h] + u[AudioInput] + u[CacheReadAudio]
}

// OutputTokens is the whole answer: text, reasoning, audio and images.
func (u *Usage) OutputTokens() int64 {
	return u[Output] + u[Reasoning] + u[AudioOutput] + u[ImageOutput]
}

// NanoUSD is an amount of money: a billionth of a US dollar. Money is never a float.
type NanoUSD int64

// PriceRow holds the price of a million units of each dimension. A row is complete: what the operator left out was
// filled in from the dimension that providers charge instead (reasoning from output, cache reads from input, …).
type PriceRow [NumDimensions]NanoUSD
