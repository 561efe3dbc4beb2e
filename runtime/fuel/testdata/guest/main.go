// Command guest is what a policy written in Go looks like: a reactor module with exported functions, a garbage
// collector and goroutines. The tests compare it metered and unmetered.
package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"regexp"
	"sort"
	"strings"
	"sync"
)

func main() {}

const document = `{"model":"gpt-x","messages":[{"role":"system","content":"You are brief."},{"role":"user","content":
"Grüße, ünïcödé \u00e9 and a number: 1.5e3"}],"stream":true,"temperature":0.25,"max_tokens":128,"stop":["a","b"]}`

//go:wasmexport empty
func empty() int32 { return 0 }

//go:wasmexport decode
func decode() int64 {
	var v struct {
		Model    string
		Messages []struct{ Role, Content string }
		Stream   bool
		Max      int `json:"max_tokens"`
	}
	if err := json.Unmarshal([]byte(document), &v); err != nil {
		return -1
	}
	sum := sha256.Sum256([]byte(v.Messages[1].Content))
	return int64(binary.LittleEndian.Uint64(sum[:])) ^ int64(v.Max)
}

//go:wasmexport churn
func churn(n int32) int64 {
	h := fnv.New64a()
	words := map[string]int{}
	for i := range int(n) {
		key := fmt.Sprintf("k%d", i*7919%int(n))
		words[key] += i
		words[strings.Repeat("x", i%97)]++
	}
	keys := make([]string, 0, len(words))
	for k := range words {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		fmt.Fprintf(h, "%s=%d;", k, words[k])
	}
	return int64(h.Sum64())
}

//go:wasmexport goroutines
func goroutines(n int32) int64 {
	var mu sync.Mutex
	var wg sync.WaitGroup
	sum := int64(0)
	for i := range int(n) {
		wg.Go(func() {
			mu.Lock()
			defer mu.Unlock()
			sum += int64(i) * int64(i)
		})
	}
	wg.Wait()
	return sum
}

//go:wasmexport match
func match(n int32) int32 {
	re := regexp.MustCompile(`^(claude|gpt)-[a-z]+(\.[0-9]+)*$`)
	hits := int32(0)
	for i := range n {
		if re.MatchString(fmt.Sprintf("gpt-abc.%d", i)) {
			hits++
		}
	}
	return hits
}

//go:wasmexport recovered
func recovered(index int32) (result int32) {
	defer func() {
		if recover() != nil {
			result = -1
		}
	}()
	return []int32{1, 2, 3}[index]
}

//go:wasmexport fib
func fib(n int32) int32 {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

//go:wasmexport spin
func spin() {
	for {
	}
}
