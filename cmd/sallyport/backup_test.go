package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// A pipe, or a device, is written to. In its place there must not be a file afterwards.
func TestWriteToAPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.OpenFile(pipe, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c := &cobra.Command{}
	c.SetErr(io.Discard)
	if err := writeTo(c, pipe, func(w io.Writer) error { _, err := io.WriteString(w, "all of it"); return err }); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(pipe); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Fatalf("%v, %v: the pipe is gone", info.Mode(), err)
	}
	got := make([]byte, 100)
	if n, err := out.Read(got); err != nil || string(got[:n]) != "all of it" {
		t.Errorf("read %q, %v", got[:n], err)
	}
}
