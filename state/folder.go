package state

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// lockFolder takes the data folder for this process: Badger's files are memory-mapped and have one user. The lock is
// ours because Badger has one per database and reports it only in words. It goes away with the process.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	switch err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, errors.Join(ErrLocked, f.Close())
	case err != nil:
		return nil, errors.Join(os.NewSyscallError("flock", err), f.Close())
	}
	return f, nil
}

// spaceToOpen is what Badger needs to open its files, the memory tables and logs of two databases, without writing
// into a hole of a sparse file that the disk cannot fill: that is a SIGBUS, and the end of the process.
const spaceToOpen = 64 << 20

// spaceWatch notices when the disk fills.
type spaceWatch struct {
	folder string
	least  uint64 // bytes
	free   func(string) (uint64, error)
	log    *slog.Logger
	low    atomic.Bool // the request log must not write
}

func (w *spaceWatch) enoughToOpen() error {
	free, err := w.free(w.folder)
	if err != nil {
		return fmt.Errorf("asking for free space: %w", err)
	}
	if free < spaceToOpen {
		return fmt.Errorf("%w: %d MiB, at least %d are needed", ErrDiskFull, free>>20, spaceToOpen>>20)
	}
	return nil
}

// check compares the free space with the bound and says so when it crosses it. Coming back takes an eighth more
// than the bound, so that a disk at the bound does not switch every second.
func (w *spaceWatch) check() {
	free, err := w.free(w.folder)
	switch low := w.low.Load(); {
	case err != nil:
		w.log.Warn("asking for free space failed", "folder", w.folder, "error", err)
	case !low && free < w.least:
		w.low.Store(true)
		w.log.Error("the disk is nearly full: requests are no longer logged",
			"folder", w.folder, "free_mib", free>>20, "needed_mib", w.least>>20)
	case low && free >= w.least+w.least/8:
		w.low.Store(false)
		w.log.Info("there is space again: requests are logged", "folder", w.folder, "free_mib", free>>20)
	}
}

// freeSpace returns how many bytes a process without privileges may still write.
func freeSpace(folder string) (uint64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil {
		return 0, os.NewSyscallError("statfs", err)
	}
	return stat.Bavail * uint64(stat.Bsize), nil
}
