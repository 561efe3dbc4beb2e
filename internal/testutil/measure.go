package testutil

import (
	"math"
	"testing"
	"time"
)

// Measure times a call. Beside the mean it tells the least mean of so many calls in a row, which a machine that does other
// things too disturbs little.
func Measure(b *testing.B, inRow int, call func()) {
	b.Helper()
	least, n, began := time.Duration(math.MaxInt64), 0, time.Now()
	b.ReportAllocs()
	for b.Loop() {
		call()
		if n++; n%inRow == 0 {
			now := time.Now()
			least, began = min(least, now.Sub(began)), now
		}
	}
	if n >= inRow {
		b.ReportMetric(float64(least)/float64(inRow), "least-ns/op")
	}
}
