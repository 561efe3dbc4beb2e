package gateway

import (
	"io"
	"strconv"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

func hexOf(n int) string { return strconv.FormatInt(int64(n), 16) }

// read reads exactly n bytes.
func read(t *testing.T, r io.Reader, n int) string {
	t.Helper()
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		t.Fatalf("reading %d bytes: %v", n, err)
	}
	return string(b)
}
