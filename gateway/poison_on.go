//go:build poison

package gateway

// poison overwrites a buffer that goes back to where others take it from, so that whoever still reads it shows.
func poison(b []byte) {
	b = b[:cap(b)]
	for i := range b {
		b[i] = 0xDB
	}
}
