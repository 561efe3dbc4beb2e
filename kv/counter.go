package kv

import (
	"bytes"
	"strconv"
	"time"

	"github.com/sallyport-dev/sallyport/abi"
)

// maxDigits is the length of the longest number.
const maxDigits = 20

func appendNumber(dst []byte, number int64) []byte { return strconv.AppendInt(dst, number, 10) }

// Incr adds delta to a counter, if the sum is within floor and ceiling, both included; else it changes nothing. It
// returns what the counter is then, and whether delta was added. A key that is not there counts as 0; adding to it
// creates it, to live for ttl, or for good if that is 0. Later calls do not change how long it lives. A delta of 0 asks
// only, and is applied if the counter is within the bounds.
//
// The code is BadArgument if floor is above ceiling, ttl negative, the key empty or too long, or if it holds what is no
// whole number in its shortest decimal form; OverQuota; or Unavailable after Close.
func (n *Namespace) Incr(key []byte, delta, floor, ceiling int64, ttl time.Duration) (value int64, applied bool, code abi.Code) {
	if floor > ceiling || ttl < 0 {
		return 0, false, abi.BadArgument
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed && delta != 0 {
		return 0, false, abi.Unavailable
	}
	e := n.live(key)
	if e != nil {
		var ok bool
		if value, ok = e.asNumber(); !ok {
			return 0, false, abi.BadArgument
		}
	}
	sum := value + delta
	if overflows := (sum > value) != (delta > 0) && delta != 0; overflows || sum < floor || sum > ceiling {
		return value, false, abi.OK
	}
	if delta == 0 {
		return value, true, abi.OK
	}
	switch {
	case e == nil:
		now := n.now()
		if e, code = n.create(key, counterSize, now); code != abi.OK {
			return 0, false, code
		}
		e.expires = until(now, ttl)
	case e.kind != counter:
		n.bytes += counterSize - int64(e.size) // some bytes, which the quota does not refuse
	}
	e.count(sum)
	n.touch(e)
	return sum, true, abi.OK
}

// asNumber returns what the entry holds as a number. Values that are not in memory are longer than any number.
func (e *entry) asNumber() (number int64, ok bool) {
	switch {
	case e.kind == counter:
		return e.number, true
	case e.kind != plain || len(e.value) == 0 || len(e.value) > maxDigits:
		return 0, false
	}
	number, err := strconv.ParseInt(string(e.value), 10, 64)
	var digits [maxDigits]byte
	return number, err == nil && bytes.Equal(appendNumber(digits[:0], number), e.value)
}
