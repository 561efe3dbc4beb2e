package plugins

import (
	"fmt"
	"os"
	"testing"
)

// compiled is where the tests share what was compiled: a guest is compiled once, not for every test.
var compiled string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sallyport-plugins-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	compiled = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}
