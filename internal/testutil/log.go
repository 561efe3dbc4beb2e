package testutil

import (
	"bytes"
	"sync"
)

// Log is what a test reads while others still write it.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// String returns all that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Size is how many bytes were written.
func (l *Log) Size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Len()
}

// Says reports whether a word stands behind the first bytes: who looks often reads only what is new.
func (l *Log) Says(word string, behind int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Contains(l.text.Bytes()[behind:], []byte(word))
}
