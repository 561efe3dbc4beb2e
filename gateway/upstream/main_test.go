package upstream

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain looks for goroutines that outlive the tests. Only fasthttp has one that does.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}
