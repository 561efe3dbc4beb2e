package state

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sallyport-dev/sallyport/abi"
	"github.com/sallyport-dev/sallyport/identity"
)

// A volume of 200 MB is written as fast as possible until nothing more is taken, and then, when Badger has merged what
// it wants to merge, filled to the last byte by somebody else. It happens in a process of its own with a file system of
// its own: Badger's way to report a full disk is SIGBUS.
func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 200 MB")
	}
	cmd, said := child(t, "full disk", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	err := cmd.Run()
	if errors.Is(err, unix.EPERM) || cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == noMount {
		t.Skip("this machine lets nobody mount a file system")
	}
	if err != nil {
		t.Errorf("%v: %s", err, said)
	}
	t.Logf("%s", said)
}

const noMount = 77

func fillDisk(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=200m"); err != nil {
		os.Exit(noMount)
	}
	d := &disk{dir: filepath.Join(dir, "data"), filler: filepath.Join(dir, "filler")}
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"filling the disk", d.fill},
		{"settling", d.settle},
		{"refusing on a disk that others filled", d.refuse},
		{"closing on it", d.close},
		{"opening on it", d.reopenFull},
		{"recovering", d.recover},
	} {
		if err := step.run(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		free, _ := freeSpace(dir)
		fmt.Fprintf(os.Stderr, "%s: %d segments, %d KiB free\n", step.name, d.segments, free>>10)
	}
	return nil
}

type disk struct {
	dir, filler string
	s           *State
	digest      abi.Digest
	segments    uint64
}

func (d *disk) open() (err error) {
	d.s, err = Open(d.dir, Options{Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	return err
}

// step writes a little of everything, and returns what the ledger answered.
func (d *disk) step(n int) error {
	if err := d.s.Append(d.segments+1, make([]byte, 1000+n%20_000), false); err != nil {
		return err
	}
	d.segments++
	for range 20 {
		d.s.Record(exchange(time.Now()))
	}
	rows := make(map[string][]byte)
	for i := range 20 {
		rows[fmt.Sprintf("row/%d", (n*7919+i)%20_000)] = make([]byte, 500)
	}
	if err := errors.Join(d.s.Write(maps.All(rows)), d.s.WriteBooks(maps.All(rows))); err != nil {
		return err
	}
	return d.s.AddUsage("2026-11-21", d.segments, sumsOf(map[string]int64{fmt.Sprint(n % 100): 1}))
}

func (d *disk) fill() error {
	if err := d.open(); err != nil {
		return err
	}
	h, err := identity.NewHasher(make([]byte, identity.PepperSize))
	if err != nil {
		return err
	}
	d.digest = h.Digest([]byte("ci"))
	if err := d.s.CreateKey(context.Background(), identity.Key{ID: "key_ci", Name: "ci"}, &d.digest); err != nil {
		return err
	}
	for n := 0; ; n++ {
		switch err := d.step(n); {
		case errors.Is(err, ErrDiskFull):
			return nil
		case err != nil:
			return err
		}
	}
}

// settle waits until Badger does nothing by itself any more.
func (d *disk) settle() error {
	same, last := 0, uint64(0)
	for range time.Tick(50 * time.Millisecond) {
		free, err := freeSpace(d.dir)
		if err != nil {
			return err
		}
		if same++; free != last {
			same, last = 0, free
		}
		if same == 30 {
			break
		}
	}
	return nil
}

func (d *disk) refuse() error {
	if err := fillFile(d.filler); err != nil {
		return err
	}
	d.s.space.check(true)
	for _, err := range []error{
		d.s.Append(d.segments+1, []byte("x"), true),
		d.s.Write(maps.All(map[string][]byte{"row/1": {1}})),
		d.s.WriteBooks(maps.All(map[string][]byte{"row/1": {1}})),
		d.s.AddUsage("2026-11-21", d.segments+1, sumsOf(map[string]int64{"a": 1})),
		d.s.CreateTeam(context.Background(), identity.Team{Team: abi.Team{Name: "x"}}),
	} {
		if !errors.Is(err, ErrDiskFull) {
			return fmt.Errorf("got %w, want %w", err, ErrDiskFull)
		}
	}
	if _, ok := d.s.Lookup(&d.digest); !ok {
		return errors.New("the key is not found")
	}
	return nil
}

func (d *disk) close() error {
	if err := d.s.Close(); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(d.dir, ballastFile)); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the ballast was not given up: %w", err)
	}
	return nil
}

func (d *disk) reopenFull() error {
	if err := fillFile(d.filler + "2"); err != nil {
		return err
	}
	if err := d.open(); !errors.Is(err, ErrDiskFull) {
		return fmt.Errorf("got %w, want %w", err, ErrDiskFull)
	}
	return nil
}

func (d *disk) recover() error {
	if err := errors.Join(os.Remove(d.filler), os.Remove(d.filler+"2"), os.RemoveAll(filepath.Join(d.dir, requestsFolder))); err != nil {
		return err
	}
	if err := d.open(); err != nil {
		return err
	}
	if err := d.step(1); err != nil {
		return err
	}
	var seen uint64
	err := d.s.Segments(context.Background(), 1, func(uint64, []byte) error { seen++; return nil })
	if err != nil || seen != d.segments {
		return fmt.Errorf("%d segments of %d are there: %w", seen, d.segments, err)
	}
	return d.s.Close()
}

// fillFile writes a file until the disk has no byte left.
func fillFile(name string) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	if !errors.Is(err, unix.ENOSPC) {
		return err
	}
	return f.Close()
}
