package state

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"
)

// children are what a test runs in a process of its own, because the process is to die, or might.
var children = map[string]func(dir string) error{
	"append":          appendForever,
	"close read-only": closeReadOnly,
	"full disk":       fillDisk,
}

const childVariable = "SALLYPORT_STATE_TEST_CHILD"

func TestMain(m *testing.M) {
	if run, ok := children[os.Getenv(childVariable)]; ok {
		if err := run(os.Args[len(os.Args)-1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// child prepares a process that runs one of the children. What it says on standard error is in the buffer.
func child(t *testing.T, name, dir string) (*exec.Cmd, *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, dir)
	cmd.Env = append(os.Environ(), childVariable+"="+name)
	said := new(bytes.Buffer)
	cmd.Stderr = said
	return cmd, said
}
