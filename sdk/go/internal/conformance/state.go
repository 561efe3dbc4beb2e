//go:build wasm

package main

import (
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"time"

	sallyport "github.com/sallyport-dev/sallyport/sdk/go"
	"github.com/sallyport-dev/sallyport/sdk/go/internal/host"
)

// outside does the tasks that are about what the gateway keeps or computes for a policy.
func outside(task string) sallyport.Verdict {
	var err error
	switch task {
	case "remember":
		err = sayKey("a")
	case "values":
		err = values()
	case "counters":
		err = counters()
	case "windows":
		err = windows()
	case "keys":
		err = keys()
	case "gateway":
		err = gateway()
	case "unavailable":
		sayCode("set", host.KVSet("a", []byte("x"), 0))
		sayInt("version", host.KVVersion("a"))
	}
	if err != nil {
		return sallyport.Fail(err)
	}
	return sallyport.Pass
}

// sayKey logs what is stored under a key.
func sayKey(key string) error {
	value, found, err := sallyport.KVGet(key)
	if !found {
		value = []byte("none")
	}
	if err == nil {
		say(key, value)
	}
	return err
}

// sayRefusal logs with which code a change was refused.
func sayRefusal(name string, err error) {
	var code sallyport.Code
	errors.As(err, &code)
	sayCode(name, int32(code))
}

func values() error {
	if err := sayKey("greeting"); err != nil {
		return err
	}
	before, err := sallyport.KVVersion("greeting")
	if err != nil {
		return err
	}
	after, err := sallyport.KVCAS("greeting", before, []byte("hi"), 0)
	sayBool("swapped", after > before && err == nil)
	_, err = sallyport.KVCAS("greeting", before, []byte("hey"), 0)
	sayRefusal("conflict", err)
	_, err = sallyport.KVCAS("nobody", before, []byte("hey"), 0)
	sayRefusal("not found", err)
	created, err := sallyport.KVCAS("new", 0, []byte("hey"), 0)
	sayBool("created", created > 0 && err == nil)
	if err := sallyport.KVSet("empty", nil, 0); err != nil {
		return err
	}
	empty, _, err := sallyport.KVGet("empty")
	sayInt("empty bytes", int64(len(empty)))
	return errors.Join(err, sallyport.KVSet("brief", []byte("x"), time.Minute), sallyport.KVDelete("gone"), sallyport.KVDelete("gone"), sayKey("gone"))
}

func counters() error {
	for _, add := range []struct{ delta, floor, ceiling int64 }{
		{3, 0, 5}, {3, 0, 5}, {-4, 0, 5}, {-3, 0, 5}, {math.MaxInt64, math.MinInt64, math.MaxInt64},
	} {
		n, applied, err := sallyport.KVIncr("n", add.delta, add.floor, add.ceiling, 0)
		if err != nil {
			return err
		}
		say("n", strconv.FormatInt(n, 10)+" "+strconv.FormatBool(applied))
	}
	_, _, err := sallyport.KVIncr("text", 1, 0, 9, 0)
	sayRefusal("text", err)
	return nil
}

func windows() error {
	for _, n := range []int64{2, 2, 0} {
		w, err := sallyport.KVWindowAdd("w", n, 3, time.Minute)
		if err != nil {
			return err
		}
		say("w", strconv.FormatBool(w.Allowed)+" "+strconv.FormatInt(w.Used, 10)+" "+strconv.FormatInt(w.Reset.Milliseconds(), 10))
	}
	return nil
}

func keys() error {
	var first, last string
	count := int64(0)
	for key, err := range sallyport.KVKeys("user/") {
		if err != nil {
			return err
		}
		if last = string(key); count == 0 {
			first = last
		}
		count++
	}
	sayInt("keys", count)
	say("first", first)
	say("last", last)
	count = 0
	for range sallyport.KVKeys("nothing") {
		count++
	}
	sayInt("none", count)
	return nil
}

func gateway() error {
	sum, err := sallyport.Digest([]byte("abc"))
	if err != nil {
		return err
	}
	say("digest", hex.EncodeToString(sum[:]))
	script, err := sallyport.Script()
	say("script", script)
	err = errors.Join(err, sallyport.Metric("seen_total", 2), sallyport.Metric("seen_total", 3))
	sayRefusal("bad metric", sallyport.Metric("Bad", 1))
	return err
}
