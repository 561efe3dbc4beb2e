//go:build wasip1

// Command goguest is a policy as the Go toolchain builds it, without an SDK. The model of the request says what it
// tries; it denies with what came of it.
package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
	"unsafe"
)

//go:wasmimport sallyport:policy/1 get
func get(field, index int32, buf unsafe.Pointer, size uint32) int32

//go:wasmimport sallyport:policy/1 set
func set(field, index int32, ptr unsafe.Pointer, size uint32) int32

//go:wasmimport sallyport:policy/1 set_i64
func setInt(field, index int32, value int64) int32

const (
	fieldModel       = 7
	fieldDenyStatus  = 1010
	fieldDenyMessage = 1011

	verdict = 0
	pass    = 2
)

var buf [256]byte

func model() string {
	n := get(fieldModel, 0, unsafe.Pointer(&buf), uint32(len(buf)))
	return string(buf[:max(n, 0)])
}

//go:wasmexport authenticate
func authenticate() int32 {
	message := "nothing"
	switch model() {
	case "pass":
		return pass
	case "json":
		var v struct{ A []int }
		err := json.Unmarshal([]byte(`{"a":[1,2,3]}`), &v)
		message = fmt.Sprint(v.A, err)
	case "surroundings":
		_, err := os.ReadFile("/etc/passwd")
		message = fmt.Sprintf("args %d, environment %d, file %t", len(os.Args), len(os.Environ()), err == nil)
	case "clock":
		message = time.Now().UTC().Format(time.RFC3339Nano)
	case "random":
		var b [4]byte
		_, _ = rand.Read(b[:])
		message = fmt.Sprintf("%x", b)
	case "print":
		fmt.Println("hello", "log")
	case "garbage":
		message = fmt.Sprint(len(garbage()))
	case "panic":
		panic("on purpose")
	case "exit":
		os.Exit(0)
	}
	set(fieldDenyMessage, 0, unsafe.Pointer(unsafe.StringData(message)), uint32(len(message)))
	setInt(fieldDenyStatus, 0, 403)
	return verdict
}

// garbage makes 64 KiB of it.
func garbage() (s []string) {
	for i := range 64 {
		s = append(s, strings.Repeat(string(rune('a'+i%26)), 1024))
	}
	return s
}

func main() {}
