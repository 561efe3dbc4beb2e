package state

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Names of files in the data folder.
const (
	lockFile    = "lock"
	probeFile   = "probe"
	ballastFile = "ballast"
)

// lockFolder takes the data folder for this process: Badger's files are memory-mapped and have one user. The lock is
// ours because Badger has one per database and reports it only in words. It goes away with the process.
func lockFolder(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
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
