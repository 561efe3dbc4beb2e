//go:build !race

package upstream

import (
	"testing"
	"time"
)

// A round trip on a pooled connection allocates nothing but what fasthttp does not reuse of a header; the checkout
// and the release nothing at all.
func TestAllocations(t *testing.T) {
	pool := canned(t, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nfine")
	exchange := roundTripper(t, pool)
	exchange()
	if n := testing.AllocsPerRun(200, exchange); n > 0 {
		t.Errorf("a round trip allocates %v times", n)
	}
	limits := testRequest().Timeouts
	trip := Trip{pool: pool}
	if n := testing.AllocsPerRun(200, func() {
		now := time.Now()
		c, err := trip.connect(&limits, now, now.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		pool.release(c, true)
	}); n > 0 {
		t.Errorf("checkout and release allocate %v times", n)
	}
}
