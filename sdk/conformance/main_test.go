package conformance_test

import (
	"testing"

	"github.com/sallyport-dev/sallyport/internal/testutil"
)

// scratch is where the guests are built, and where what was compiled of them is shared by the tests.
var scratch string

func TestMain(m *testing.M) { testutil.RunWithFolder(m, &scratch) }
