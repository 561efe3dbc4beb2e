package plugins

import (
	"testing"

	"github.com/sallyport-dev/sallyport/internal/testutil"
)

// compiled is where the tests share what was compiled: a guest is compiled once, not for every test.
var compiled string

func TestMain(m *testing.M) { testutil.RunWithFolder(m, &compiled) }
