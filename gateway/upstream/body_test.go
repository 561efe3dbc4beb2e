package upstream

import (
	"bytes"
	"io"
	"net/http/httputil"
	"testing"
	"testing/iotest"
)

// FuzzChunked compares the chunk reader with the standard library's: what both read to the end is the same, and
// nothing that ends too early reads as whole. Ours is the stricter one.
func FuzzChunked(f *testing.F) {
	for _, s := range []string{
		"0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", "3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n", "A\r\n0123456789\r\n3\r\nabc\r\n0\r\n\r\n",
		"3\r\nabc", "3\r\nabc\r\n", "3\r\nabc\r\n0\r\n", "ffffffffffffffff\r\n", "-1\r\n", "\r\n", "3\nabc\n0\n\n",
	} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, wire []byte, size int) {
		if size <= 0 || size > 64 {
			size = 7
		}
		in := reader{src: iotest.OneByteReader(bytes.NewReader(wire)), buf: make([]byte, 64)}
		b := body{framing: chunked, in: &in}
		var got []byte
		var err error
		for p := make([]byte, size); err == nil; {
			var n int
			n, err = b.read(p)
			got = append(got, p[:n]...)
		}
		if err != io.EOF { //nolint:errorlint // the reader's own end
			return
		}
		want, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(wire)))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("read %q as whole, the standard library reads %q, %v", got, want, err)
		}
		if !bytes.Contains(wire, []byte("\r\n\r\n")) {
			t.Fatalf("%q has no end", wire)
		}
	})
}
