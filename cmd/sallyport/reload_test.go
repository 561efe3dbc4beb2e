package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/sallyport-dev/sallyport/config"
)

// A reload that the gateway's own end cuts short refuses nothing, and nobody is told that it did.
func TestAReloadThatIsCutShort(t *testing.T) {
	var said bytes.Buffer
	h := &house{log: slog.New(slog.NewTextHandler(&said, nil))}
	h.current.Store(&generation{})
	ending, end := context.WithCancel(t.Context())
	h.load = func() (*config.Snapshot, error) { end(); return nil, ending.Err() }
	h.reload(ending)
	if said.Len() > 0 {
		t.Errorf("it says %s", &said)
	}
	h.load = func() (*config.Snapshot, error) { return nil, errors.New("it is broken") }
	if h.reload(t.Context()); !strings.Contains(said.String(), "configuration refused") || !strings.Contains(said.String(), "it is broken") {
		t.Errorf("of one that is refused it says %q", &said)
	}
}
