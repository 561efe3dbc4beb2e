//go:build e2e

package e2e

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// volume is a small file system of its own. It is mounted where nobody else sees it: in the namespace of a process
// that does nothing but hold it, and that the gateway is started in.
type volume struct {
	t      *testing.T
	dir    string // where it is mounted there
	root   string // the same, as this process reaches it
	holder string // process id
	enter  []string
}

// mountVolume mounts a volume at dir, in a user namespace of its own where that is allowed, else as root. Where
// neither is, the test is skipped.
func mountVolume(t *testing.T, dir, size string) *volume {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o700))
	ownUser := &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	v, err := hold(t, dir, size, ownUser, "--user", "--preserve-credentials")
	if err != nil {
		var rootErr error
		if v, rootErr = hold(t, dir, size, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}); rootErr != nil {
			t.Skipf("nothing can be mounted here: %v; as root: %v", err, rootErr)
		}
	}
	return v
}

// hold starts the process that holds a volume. It ends with the test: its standard input does.
func hold(t *testing.T, dir, size string, attributes *syscall.SysProcAttr, enter ...string) (*volume, error) {
	c := exec.Command("sh", "-c", `mount --make-rprivate / 2>/dev/null; mount -t tmpfs -o size="$1" tmpfs "$0" && echo mounted && exec cat >/dev/null`, dir, size)
	c.SysProcAttr = attributes
	in, err := c.StdinPipe()
	must(t, err)
	out, err := c.StdoutPipe()
	must(t, err)
	said := &buffer{}
	c.Stderr = said
	if err := c.Start(); err != nil {
		return nil, err
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "mounted\n" {
		return nil, errors.Join(errors.New(strings.TrimSpace(said.String())), in.Close(), c.Wait())
	}
	t.Cleanup(func() {
		must(t, in.Close())
		must(t, c.Wait())
	})
	holder := strconv.Itoa(c.Process.Pid)
	return &volume{
		t: t, dir: dir, root: filepath.Join("/proc", holder, "root", dir), holder: holder,
		enter: append([]string{"nsenter", "--target", holder, "--mount"}, enter...),
	}, nil
}

// run runs a command where the volume is mounted.
func (v *volume) run(args ...string) error {
	line := append(append([]string{}, v.enter...), args...)
	if out, err := exec.CommandContext(v.t.Context(), line[0], line[1:]...).CombinedOutput(); err != nil {
		return errors.Join(err, errors.New(strings.TrimSpace(string(out))))
	}
	return nil
}

// free is how many bytes are left.
func (v *volume) free() int64 {
	v.t.Helper()
	var stat syscall.Statfs_t
	must(v.t, syscall.Statfs(v.root, &stat))
	return int64(stat.Bavail) * stat.Bsize
}

// leave fills the volume with a file until so many bytes are left, or makes that file smaller.
func (v *volume) leave(bytes int64) {
	v.t.Helper()
	f, err := os.OpenFile(v.filler(), os.O_CREATE|os.O_RDWR, 0o600)
	must(v.t, err)
	defer f.Close()
	info, err := f.Stat()
	must(v.t, err)
	size := info.Size() + v.free() - bytes
	must(v.t, f.Truncate(min(size, info.Size())))
	for more := size - info.Size(); more > 0; more -= 1 << 16 {
		_, err := f.WriteAt(make([]byte, min(more, 1<<16)), size-more)
		if errors.Is(err, syscall.ENOSPC) && bytes < 1<<20 {
			return // somebody else took the last of it
		}
		must(v.t, err)
	}
}

func (v *volume) filler() string { return filepath.Join(v.root, "filler") }

// clear takes away what filled the volume.
func (v *volume) clear() {
	v.t.Helper()
	must(v.t, os.Remove(v.filler()))
}
