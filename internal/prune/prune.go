// Package prune decides what goes from a cache, whose content can be had again: what nobody has needed for long, and the
// oldest while there is too much.
//
// It imports nothing of ours. runtime and plugin/registry import it, and cmd/sallyport for the limits.
package prune

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"
)

// Limits say how much stays that nobody needs now: it may be wanted again, and is at hand then. Zero values mean that
// nothing is removed for that reason.
type Limits struct {
	Unused time.Duration // what was not needed for so long is removed
	Bytes  int64         // while there is more than this, what was not needed for longest is removed
}

// The limits that a gateway holds to.
const (
	DefaultUnused = 30 * 24 * time.Hour
	DefaultBytes  = 1 << 30
)

// Default are the limits that a gateway holds to.
func Default() Limits { return Limits{DefaultUnused, DefaultBytes} }

// Fresh is how long something stays whatever the limits say: somebody has just brought it, and may be about to need it.
const Fresh = time.Hour

// Item is something in a cache.
type Item struct {
	Name  string
	Used  time.Time // when it was needed last
	Bytes int64
}

// Prune has removed what the limits say, the oldest first, and never what is needed. What cannot be removed still counts.
func (l Limits) Prune(items []Item, now time.Time, needed map[string]bool, remove func(Item) error) error {
	total := int64(0)
	for _, i := range items {
		total += i.Bytes
	}
	oldest := func(a, b Item) int { return cmp.Or(a.Used.Compare(b.Used), strings.Compare(a.Name, b.Name)) }
	var errs []error
	for _, i := range slices.SortedFunc(slices.Values(items), oldest) {
		unused := now.Sub(i.Used)
		tooOld := l.Unused > 0 && unused > l.Unused
		tooMuch := l.Bytes > 0 && total > l.Bytes
		if needed[i.Name] || unused < Fresh || !tooOld && !tooMuch {
			continue
		}
		if err := remove(i); err != nil {
			errs = append(errs, err)
			continue
		}
		total -= i.Bytes
	}
	return errors.Join(errs...)
}
